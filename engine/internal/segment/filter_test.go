package segment

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/sextantdb/sextant"
)

var testFields = []struct {
	key  string
	spec sextant.FieldSpec
}{
	{"a", sextant.FieldSpec{Type: sextant.IntegerField, Lookup: true, Range: true}},
	{"city", sextant.FieldSpec{Type: sextant.KeywordField}},
	{"tags", sextant.FieldSpec{Type: sextant.KeywordField}},
	{"in.side", sextant.FieldSpec{Type: sextant.BoolField}},
}

// testFilter is a filter with its meaning.
type testFilter struct {
	filter *sextant.Filter
	test   func(id sextant.PointID, p modelPoint) bool
}

type doc struct {
	A    *int     `json:"a"`
	City string   `json:"city"`
	Tags []string `json:"tags"`
}

func docOf(p modelPoint) (d doc) {
	if len(p.payload) > 0 {
		_ = json.Unmarshal(p.payload, &d) // the tests write what they read
	}
	return d
}

func testFilters(w workload) []testFilter {
	field := func(key string, test sextant.FieldTest) sextant.Condition {
		return sextant.Field{Key: sextant.MustPath(key), Test: test}
	}
	city, low, tag := fmt.Sprintf("c%d", w.IntN(9)), float64(w.IntN(50)), fmt.Sprintf("x%d", w.IntN(200))
	ids := w.someIDs()
	cityIs := func(_ sextant.PointID, p modelPoint) bool { return docOf(p).City == city }
	inRange := func(_ sextant.PointID, p modelPoint) bool {
		d := docOf(p)
		return d.A != nil && float64(*d.A) >= low && float64(*d.A) < low+10
	}
	hasTag := func(_ sextant.PointID, p modelPoint) bool { return slices.Contains(docOf(p).Tags, tag) }
	top := low + 10
	cityCond := field("city", sextant.Match{Value: city})
	rangeCond := field("a", sextant.Range{Gte: &low, Lt: &top})
	return []testFilter{
		{&sextant.Filter{Must: []sextant.Condition{cityCond}}, cityIs},
		{&sextant.Filter{Must: []sextant.Condition{rangeCond}}, inRange},
		{&sextant.Filter{Should: []sextant.Condition{cityCond, field("tags", sextant.Match{Value: tag})}},
			func(id sextant.PointID, p modelPoint) bool { return cityIs(id, p) || hasTag(id, p) }},
		{&sextant.Filter{MustNot: []sextant.Condition{cityCond}, Must: []sextant.Condition{rangeCond}},
			func(id sextant.PointID, p modelPoint) bool { return !cityIs(id, p) && inRange(id, p) }},
		{&sextant.Filter{Must: []sextant.Condition{sextant.HasID{IDs: ids}}},
			func(id sextant.PointID, _ modelPoint) bool { return slices.Contains(ids, id) }},
		{&sextant.Filter{MustNot: []sextant.Condition{sextant.HasID{IDs: ids}, sextant.HasVector{Name: "dot"}}},
			func(id sextant.PointID, p modelPoint) bool {
				_, has := p.vectors["dot"]
				return !has && !slices.Contains(ids, id)
			}},
	}
}

// sameFiltered compares all reads under one filter with the model.
func sameFiltered(t *testing.T, w workload, v *View, m *model, f testFilter) {
	t.Helper()
	ctx := context.Background()
	var want []sextant.PointID
	for _, id := range slices.SortedFunc(maps.Keys(m.points), sextant.PointID.Compare) {
		if f.test(id, m.points[id]) {
			want = append(want, id)
		}
	}
	if got, err := v.SelectIDs(ctx, f.filter); err != nil || !slices.Equal(got, want) {
		t.Fatalf("selected %v (%v), want %v", got, err, want)
	}
	if n, err := v.Count(ctx, f.filter, true); err != nil || n != uint64(len(want)) {
		t.Fatalf("counted %d (%v), want %d", n, err, len(want))
	}
	filtered := &model{schema: m.schema, points: m.points, test: f.test}
	for name, spec := range m.schema.Vectors {
		sameNearest(t, v, filtered, SearchRequest{
			Using: name, Vector: w.vector(spec), Filter: f.filter, Limit: 1 + w.IntN(12), Params: sextant.SearchParams{EF: 64},
		})
	}
	if _, ok := m.schema.Fields["a"]; ok {
		sameOrder(t, w, v, m, f)
	}
}

// sameOrder compares scrolls in the order of a field.
func sameOrder(t *testing.T, w workload, v *View, m *model, f testFilter) {
	t.Helper()
	s := sextant.Scroll{
		Limit: 1 + w.IntN(30), Filter: f.filter, OrderBy: &sextant.OrderBy{Key: sextant.MustPath("a"), Desc: w.IntN(2) == 0},
	}
	var want []sextant.Record
	for id, p := range m.points {
		if d := docOf(p); d.A != nil && f.test(id, p) {
			want = append(want, sextant.Record{ID: id, Version: p.version, OrderValue: &sextant.OrderValue{Int: int64(*d.A)}})
		}
	}
	slices.SortFunc(want, func(a, b sextant.Record) int {
		c := int(a.OrderValue.Int - b.OrderValue.Int)
		if c == 0 {
			c = a.ID.Compare(b.ID)
		}
		if s.OrderBy.Desc {
			return -c
		}
		return c
	})
	got, next, err := v.Scroll(context.Background(), s)
	if err != nil || next != nil || !sameRecords(got, want[:min(len(want), s.Limit)]) {
		t.Fatalf("ordered %v (%v), want %v", got, err, want)
	}
}
