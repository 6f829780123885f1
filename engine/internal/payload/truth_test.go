package payload

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sextantdb/sextant"
)

func typed(t sextant.FieldType) sextant.FieldSpec {
	return sextant.FieldSpec{Type: t, Lookup: true, Range: true}
}

// variants returns the segment without an index and with each index that must not change any answer, sealed and head.
func variants(m *memory, key string) map[string]*memory {
	all := map[string]*memory{"plain": m}
	for _, typ := range sextant.FieldTypes() {
		all["head "+string(typ)] = m.withHead(key, typed(typ))
		all["sealed "+string(typ)] = m.withSealed(key, typed(typ))
	}
	return all
}

func TestTruthTable(t *testing.T) {
	columns := []string{``, `null`, `[]`, `[null]`, `"a"`, `["a","b"]`, `5`, `5.0`, `[5,"a"]`, `true`, `{}`, `{"x":1}`, `[["a"]]`}
	table := []struct {
		test sextant.FieldTest
		want string
	}{
		{sextant.Match{Value: "a"}, "F F F F T T F F T F F F F"},
		{sextant.Match{Value: int64(5)}, "F F F F F F T T T F F F F"},
		{sextant.Match{Value: true}, "F F F F F F F F F T F F F"},
		{sextant.Match{Value: false}, "F F F F F F F F F F F F F"},
		{sextant.MatchAny{Strings: []string{"a", "z"}}, "F F F F T T F F T F F F F"},
		{sextant.MatchAny{Ints: []int64{5, 7}}, "F F F F F F T T T F F F F"},
		{sextant.MatchAny{}, "F F F F F F F F F F F F F"},
		{sextant.MatchExcept{Strings: []string{"a"}}, "F F F F F T T T T T T T T"},
		{sextant.MatchExcept{Ints: []int64{5}}, "F F F F T T F F T T T T T"},
		{sextant.MatchExcept{}, "F F F F T T T T T T T T T"},
		{sextant.MatchPrefix{Prefix: ""}, "F F F F T T F F T F F F F"},
		{sextant.MatchPrefix{Prefix: "b"}, "F F F F F T F F F F F F F"},
		{sextant.Range{Gte: ptr(5.0)}, "F F F F F F T T T F F F F"},
		{sextant.Range{}, "F F F F F F T T T F F F F"},
		{sextant.Range{Gt: ptr(5.0)}, "F F F F F F F F F F F F F"},
		{sextant.DatetimeRange{}, "F F F F F F F F F F F F F"},
		{sextant.FieldIsEmpty{Want: true}, "T T T F F F F F F F F F F"},
		{sextant.FieldIsEmpty{Want: false}, "F F F T T T T T T T T T T"},
		{sextant.FieldIsNull{Want: true}, "F T F T F F F F F F F F F"},
		{sextant.FieldIsNull{Want: false}, "T F T F T T T T T T T T T"},
		{sextant.ValuesCount{Gte: ptr(uint64(1))}, "F F F T T T T T T T T T T"},
		{sextant.ValuesCount{Lt: ptr(uint64(1))}, "T T T F F F F F F F F F F"},
		{sextant.ValuesCount{Gt: ptr(uint64(1))}, "F F F F F T F F T F F F F"},
		{sextant.ValuesCount{Gte: ptr(uint64(1)), Lt: ptr(uint64(2))}, "F F F T T F T T F T T T T"},
		{sextant.ValuesCount{Lte: ptr(uint64(1))}, "T T T T T F T T F T T T T"},
	}
	var docs []string
	for _, c := range columns {
		if c == "" {
			docs = append(docs, `{"other":1}`)
		} else {
			docs = append(docs, `{"k":`+c+`}`)
		}
	}
	for name, src := range variants(segment(docs...), "k") {
		f := func(cond sextant.Condition, want string) {
			t.Helper()
			hit := make([]string, len(columns))
			for i := range hit {
				hit[i] = "F"
			}
			for _, row := range found(t, src, must(cond)) {
				hit[row] = "T"
			}
			if got := strings.Join(hit, " "); got != want {
				t.Errorf("%s: %T%+v:\n got %s\nwant %s", name, cond, cond, got, want)
			}
		}
		for _, row := range table {
			f(on("k", row.test), row.want)
		}
		key := sextant.MustPath("k")
		f(sextant.IsEmpty{Key: key}, "T T T F F F F F F F F F F")
		f(sextant.IsNull{Key: key}, "F T F T F F F F F F F F F")
		if got := found(t, src, mustNot(on("k", sextant.Match{Value: "a"}))); fmt.Sprint(got) != "[0 1 2 3 6 7 9 10 11 12]" {
			t.Errorf("%s: must_not match a: %v", name, got)
		}
	}
}

// points says which ids a filter finds; row i is id i+1.
func points(t *testing.T, src *memory, f *sextant.Filter) string {
	t.Helper()
	var out []string
	for _, row := range found(t, src, f) {
		out = append(out, fmt.Sprint(row+1))
	}
	return strings.Join(out, " ")
}

func TestWorkedExamples(t *testing.T) {
	base := segment(`{"k":"a","n":4}`, `{"k":["a","b"],"n":[1,9]}`, `{"k":null,"n":4.6}`, `{"k":[]}`, `{}`, `{"k":5,"n":"4"}`)
	isA := on("k", sextant.Match{Value: "a"})
	for name, src := range variants(base, "k") {
		for other, src := range variants(src, "n") {
			f := func(filter *sextant.Filter, want string) {
				t.Helper()
				if got := points(t, src, filter); got != want {
					t.Errorf("k %s, n %s: %s gives %q, want %q", name, other, show(filter), got, want)
				}
			}
			f(nil, "1 2 3 4 5 6")
			f(&sextant.Filter{}, "1 2 3 4 5 6")
			f(must(isA), "1 2")
			f(mustNot(isA), "3 4 5 6")
			f(must(on("k", sextant.MatchExcept{Strings: []string{"a"}})), "2 6")
			f(must(on("k", sextant.MatchAny{})), "")
			f(must(on("n", sextant.Range{Gt: ptr(3.0), Lt: ptr(5.0)})), "1 3")
			f(must(on("n", sextant.Range{Gte: ptr(9.0)})), "2")
			f(must(on("n", sextant.Range{Gt: ptr(4.5)})), "2 3")
			f(must(sextant.IsEmpty{Key: sextant.MustPath("k")}), "3 4 5")
			f(must(sextant.IsNull{Key: sextant.MustPath("k")}), "3")
			f(must(on("k", sextant.ValuesCount{Gte: ptr(uint64(2))})), "2")
			f(must(on("k", sextant.ValuesCount{Lte: ptr(uint64(0))})), "3 4 5")
			f(&sextant.Filter{Must: []sextant.Condition{isA}, Should: []sextant.Condition{ids(2, 3)}, MustNot: []sextant.Condition{ids(1)}}, "2")
			three := []sextant.Condition{ids(1, 2, 3), on("n", sextant.Range{Lt: ptr(5.0)}), sextant.IsNull{Key: sextant.MustPath("k")}}
			f(&sextant.Filter{MinShould: &sextant.MinShould{Conditions: three, MinCount: 2}}, "1 2 3")
			f(&sextant.Filter{MinShould: &sextant.MinShould{Conditions: three, MinCount: 3}}, "3")
			f(&sextant.Filter{MinShould: &sextant.MinShould{Conditions: three, MinCount: 4}}, "")
			f(&sextant.Filter{MinShould: &sextant.MinShould{MinCount: 1}}, "")
			f(must(should(ids(1, 2), ids(5)), mustNot(ids(2))), "1 5")
			f(must(sextant.HasID{}), "")
		}
	}
}

func TestNested(t *testing.T) {
	base := segment(`{"d":[{"x":1,"y":2},{"x":3,"y":4}]}`, `{"d":[{"x":1,"y":4}]}`, `{"d":[]}`, `{"d":{"x":1,"y":4}}`, `{"d":[5,null,[{"x":1}]]}`)
	x1, y4 := sextant.Match{Value: int64(1)}, sextant.Match{Value: int64(4)}
	in := func(f *sextant.Filter) sextant.Condition {
		return sextant.Nested{Key: sextant.MustPath("d"), Filter: f}
	}
	for name, src := range variants(base, "d[].x") {
		for other, src := range variants(src, "d[].y") {
			f := func(filter *sextant.Filter, want string) {
				t.Helper()
				if got := points(t, src, filter); got != want {
					t.Errorf("x %s, y %s: %s gives %q, want %q", name, other, show(filter), got, want)
				}
			}
			f(must(on("d[].x", x1), on("d[].y", y4)), "1 2")
			f(must(in(must(on("x", x1), on("y", y4)))), "2")
			f(must(in(mustNot(on("x", x1)))), "1")
			f(mustNot(in(must(on("x", x1)))), "3 4 5")
			f(must(in(must(ids(1, 2)))), "")
			f(must(in(mustNot(ids(1, 2)))), "1 2")
			f(must(in(nil)), "1 2")
			f(must(sextant.Nested{Key: sextant.MustPath("d[]"), Filter: must(on("x", x1))}), "1 2")
		}
	}
	deep := segment(`{"a":[{"b":[{"c":1,"d":2}]},{"b":[{"c":3,"d":4}]}]}`, `{"a":[{"b":[{"c":1,"d":4}]}]}`)
	nested := sextant.Nested{Key: sextant.MustPath("a"), Filter: must(sextant.Nested{Key: sextant.MustPath("b"),
		Filter: must(on("c", x1), on("d", y4))})}
	for name, src := range variants(deep, "a[].b[].c") {
		if got := points(t, src, must(nested)); got != "2" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestSlices(t *testing.T) {
	docs := make([]string, 12)
	src := segment(docs...)
	for i := range 11 {
		src.ids = append(src.ids, sextant.NumID(uint64(i)))
	}
	id, _ := sextant.ParseUUID("550e8400-e29b-41d4-a716-446655440000")
	src.ids = append(src.ids, id)
	f := func(total, index uint64, want string) {
		t.Helper()
		if got := fmt.Sprint(found(t, src, must(sextant.Slice{Total: total, Index: index}))); got != want {
			t.Errorf("slice %d of %d: %s, want %s", index, total, got, want)
		}
	}
	f(3, 0, "[5 8 9 11]")
	f(3, 1, "[3 6 7 10]")
	f(3, 2, "[0 1 2 4]")
	f(2, 0, "[1 3 4 5 7 9 10 11]")
	f(2, 1, "[0 2 6 8]")
	one, _ := sextant.NumID(1).Bytes()
	if h := sipHash(one[:8]); h != 9224715256000962398 {
		t.Errorf("hash of 1: %d", h)
	}
	if n := sliceOf(id, 4); n != 0 {
		t.Errorf("%s is in slice %d of 4", id, n)
	}
	if b, _ := id.Bytes(); sipHash(b[:]) != 17712879580654916868 {
		t.Errorf("hash of %s: %d", id, sipHash(b[:]))
	}
}

func TestHasVector(t *testing.T) {
	src := segment("", "", "")
	src.vectors = map[string][]uint32{"": {0, 2}, "v": {1}}
	if got := points(t, src, must(sextant.HasVector{})); got != "1 3" {
		t.Errorf("unnamed: %q", got)
	}
	if got := points(t, src, should(sextant.HasVector{Name: "v"}, sextant.HasVector{Name: "unknown"})); got != "2" {
		t.Errorf("v: %q", got)
	}
}

func TestGeo(t *testing.T) {
	place := func(lon, lat float64) string { return fmt.Sprintf(`{"p":{"lon":%v,"lat":%v}}`, lon, lat) }
	base := segment(place(2.3522, 48.8566), place(179, 0), place(-179, 0), place(0, 0), place(170, 0),
		`{"p":[{"lon":1,"lat":1,"x":0},{"lon":30,"lat":30}]}`, `{"p":{"lon":200,"lat":0}}`, `{"p":{"lon":"1","lat":1}}`, place(179.9, 0), place(5, 0))
	berlin := sextant.GeoPoint{Lon: 13.4050, Lat: 52.5200}
	at := func(lon, lat float64) sextant.GeoPoint { return sextant.GeoPoint{Lon: lon, Lat: lat} }
	ring := func(p ...float64) (r []sextant.GeoPoint) {
		for i := 0; i < len(p); i += 2 {
			r = append(r, at(p[i], p[i+1]))
		}
		return r
	}
	for name, src := range variants(base, "p") {
		f := func(test sextant.FieldTest, want string) {
			t.Helper()
			if got := points(t, src, must(on("p", test))); got != want {
				t.Errorf("%s: %+v gives %q, want %q", name, test, got, want)
			}
		}
		f(sextant.GeoRadius{Center: berlin, Radius: 877464}, "")
		f(sextant.GeoRadius{Center: berlin, Radius: 877465}, "1")
		f(sextant.GeoRadius{Center: at(-179.9, 0), Radius: 22239.0}, "")
		f(sextant.GeoRadius{Center: at(-179.9, 0), Radius: 22239.1}, "9")
		f(sextant.GeoRadius{Center: at(-179.9, 0), Radius: 150000}, "2 3 9")
		f(sextant.GeoRadius{Center: at(0, 90), Radius: 1e9}, "1 2 3 4 5 6 9 10")
		f(sextant.GeoRadius{Center: at(0, 0), Radius: 0}, "")
		f(sextant.GeoRadius{Center: at(0, 0), Radius: -1}, "")
		f(sextant.GeoBox{TopLeft: at(170, 10), BottomRight: at(-170, -10)}, "2 3 9")
		f(sextant.GeoBox{TopLeft: at(0, 10), BottomRight: at(10, 0)}, "6")
		f(sextant.GeoBox{TopLeft: at(-1, 10), BottomRight: at(10, -1)}, "4 6 10")
		f(sextant.GeoBox{TopLeft: at(29, 31), BottomRight: at(31, 29)}, "6")
		f(sextant.GeoPolygon{Exterior: ring(-10, -10, 10, -10, 10, 10, -10, 10, -10, -10)}, "4 6 10")
		f(sextant.GeoPolygon{Exterior: ring(0, -10, 10, -10, 10, 10, 0, 10, 0, -10)}, "6 10")
		f(sextant.GeoPolygon{Exterior: ring(-10, -10, 10, -10, 10, 10, -10, 10, -10, -10),
			Interiors: [][]sextant.GeoPoint{ring(0.5, 0.5, 2, 0.5, 2, 2, 0.5, 2, 0.5, 0.5)}}, "4 10")
		f(sextant.GeoPolygon{Exterior: ring(-10, -10, 10, -10, 10, 10, -10, 10, -10, -10),
			Interiors: [][]sextant.GeoPoint{ring(0, -1, 4, -1, 4, 1, 0, 1, 0, -1)}}, "10")
	}
}

func TestDistances(t *testing.T) {
	f := func(a, b sextant.GeoPoint, want float64) {
		t.Helper()
		if got := haversine(a, b); got < want-0.005 || got > want+0.005 {
			t.Errorf("%v to %v: %.3f, want %.3f", a, b, got, want)
		}
	}
	f(sextant.GeoPoint{Lon: 13.4050, Lat: 52.5200}, sextant.GeoPoint{Lon: 2.3522, Lat: 48.8566}, 877464.54)
	f(sextant.GeoPoint{}, sextant.GeoPoint{Lon: 1}, 111195.080)
	f(sextant.GeoPoint{Lon: 179.9}, sextant.GeoPoint{Lon: -179.9}, 22239.016)
}

func TestDatetimeRange(t *testing.T) {
	base := segment(`{"t":"2024-05-01T14:30:00+02:00"}`, `{"t":1714566600}`, `{"t":["never","2024-05-02"]}`, `{"t":"never"}`)
	const noon = int64(1714566600) * 1e6
	for name, src := range variants(base, "t") {
		f := func(r sextant.DatetimeRange, want string) {
			t.Helper()
			if got := points(t, src, must(on("t", r))); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		f(sextant.DatetimeRange{Gte: ptr(noon)}, "1 3")
		f(sextant.DatetimeRange{Lt: ptr(noon + 1)}, "1")
		f(sextant.DatetimeRange{Gt: ptr(noon)}, "3")
		f(sextant.DatetimeRange{Lte: ptr(noon)}, "1")
		f(sextant.DatetimeRange{}, "1 3")
	}
}
