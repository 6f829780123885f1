package replica

import (
	"reflect"
	"testing"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/codec"
)

func scored(ids ...uint64) answer {
	var a answer
	for _, id := range ids {
		a.Points = append(a.Points, sextant.ScoredPoint{Score: float32(100 - id), Record: sextant.Record{ID: sextant.NumID(id), Version: id * uint64(len(ids))}})
	}
	return a
}

func page(next uint64, ids ...uint64) answer {
	var a answer
	for _, id := range ids {
		a.Records = append(a.Records, sextant.Record{ID: sextant.NumID(id)})
	}
	if next > 0 {
		a.Next = &sextant.PointID{Lo: next}
	}
	return a
}

func numbers(a codec.Answer) (ids []uint64) {
	for _, p := range a.Points {
		ids = append(ids, p.ID.Lo)
	}
	for _, r := range a.Records {
		ids = append(ids, r.ID.Lo)
	}
	return ids
}

// What enough replicas agree on is kept, in the order that they have.
func TestSettleKeepsWhatIsAgreed(t *testing.T) {
	for _, c := range []struct {
		name        string
		answers     []answer
		need, limit int
		want        []uint64
		next        uint64
	}{
		{"all must have it", []answer{scored(1, 2, 3), scored(2, 3, 4)}, 2, 0, []uint64{2, 3}, 0},
		{"two of three, sorted", []answer{scored(2, 4), scored(1, 2, 3), scored(1, 3, 4)}, 2, 0, []uint64{1, 2, 3, 4}, 0},
		{"no more than asked for", []answer{scored(2, 4), scored(1, 2), scored(1, 4)}, 2, 2, []uint64{1, 2}, 0},
		{"nothing in common", []answer{scored(1), scored(2)}, 2, 0, nil, 0},
		{"the page ends where the first ends", []answer{page(4, 1, 3), page(5, 2, 3), page(0, 1, 3, 4, 5)}, 2, 2, []uint64{1, 3}, 4},
		{"a cut page goes on behind the cut", []answer{page(9, 1, 2), page(9, 2, 3), page(9, 1, 3)}, 2, 2, []uint64{1, 2}, 3},
		{"the last page", []answer{page(0, 1), page(0, 1)}, 2, 5, []uint64{1}, 0},
	} {
		got := settle(c.answers, c.need, c.limit, false, false)
		next := uint64(0)
		if got.Next != nil {
			next = got.Next.Lo
		}
		if !reflect.DeepEqual(numbers(got), c.want) || next != c.next {
			t.Errorf("%s: %v next %d, want %v next %d", c.name, numbers(got), next, c.want, c.next)
		}
	}
}

func TestSettleCounts(t *testing.T) {
	of := func(counts ...uint64) (list []answer) {
		for _, n := range counts {
			list = append(list, answer{Answer: codec.Answer{Count: n}})
		}
		return list
	}
	if got := settle(of(7, 5, 9), 3, 0, true, false); got.Count != 5 {
		t.Errorf("the least of 7, 5, 9 is not %d", got.Count)
	}
	if got := settle(of(7, 5, 9), 2, 0, true, true); got.Count != 7 {
		t.Errorf("the middle of 7, 5, 9 is not %d", got.Count)
	}
}

// Items are the same if users see the same; versions are not shown.
func TestSameItem(t *testing.T) {
	base := func() sextant.Record {
		return sextant.Record{ID: sextant.NumID(1), Version: 3, Payload: sextant.Payload(`{"a":1}`), OrderValue: &sextant.OrderValue{Int: 4},
			Vectors: []sextant.NamedVector{{Name: "v", Vector: sextant.Vector{Kind: sextant.Sparse, Values: []float32{1}, Indices: []uint32{7}}}}}
	}
	for name, change := range map[string]func(*sextant.Record){
		"id":      func(r *sextant.Record) { r.ID.Lo = 2 },
		"payload": func(r *sextant.Record) { r.Payload = sextant.Payload(`{"a":2}`) },
		"order":   func(r *sextant.Record) { r.OrderValue = &sextant.OrderValue{Int: 5} },
		"none":    func(r *sextant.Record) { r.OrderValue = nil },
		"values":  func(r *sextant.Record) { r.Vectors[0].Values[0] = 2 },
		"indices": func(r *sextant.Record) { r.Vectors[0].Indices[0] = 8 },
		"name":    func(r *sextant.Record) { r.Vectors[0].Name = "w" },
		"vectors": func(r *sextant.Record) { r.Vectors = nil },
	} {
		a, b := base(), base()
		b.Version = 99
		if !sameRecord(&a, &b) {
			t.Fatal("two versions of the same record differ")
		}
		if change(&b); sameRecord(&a, &b) {
			t.Errorf("records of another %s are the same", name)
		}
	}
	p, q := sextant.ScoredPoint{Score: 1, Record: base()}, sextant.ScoredPoint{Score: 2, Record: base()}
	if samePoint(&p, &q) {
		t.Error("points of another score are the same")
	}
}

// A point whose field has several values stands several times in a page that is ordered by it.
func TestSettleKeepsAPointThatIsListedTwice(t *testing.T) {
	a := answer{Answer: codec.Answer{Records: []sextant.Record{{ID: sextant.NumID(1), OrderValue: &sextant.OrderValue{Int: 1}}, {ID: sextant.NumID(1), OrderValue: &sextant.OrderValue{Int: 2}}}}}
	if got := settle([]answer{a, a}, 2, 0, false, false); len(got.Records) != 2 {
		t.Errorf("%+v", got.Records)
	}
}

func TestPlan(t *testing.T) {
	for _, c := range []struct {
		consistency string
		ask, need   int
	}{{"", 1, 1}, {"1", 1, 1}, {"2", 2, 2}, {"9", 3, 3}, {"majority", 3, 2}, {"quorum", 2, 2}, {"all", 3, 3}} {
		if ask, need, err := plan(c.consistency, 3, 3); ask != c.ask || need != c.need || err != nil {
			t.Errorf("%q: %d, %d, %v", c.consistency, ask, need, err)
		}
	}
	for _, wrong := range []string{"0", "-1", "most"} {
		if _, _, err := plan(wrong, 3, 3); sextant.KindOf(err) != sextant.BadRequest {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}
