package codec

import (
	"reflect"
	"testing"

	"github.com/sextantdb/sextant"
)

func ptr[T any](v T) *T { return &v }

func everyFilter() *sextant.Filter {
	key := sextant.MustPath(`a."b c"[].d[3]`)
	field := func(t sextant.FieldTest) sextant.Condition { return sextant.Field{Key: key, Test: t} }
	return &sextant.Filter{
		Must: []sextant.Condition{
			field(sextant.Match{Value: "s"}), field(sextant.Match{Value: int64(-5)}), field(sextant.Match{Value: true}),
			field(sextant.MatchAny{Strings: []string{"x", ""}}), field(sextant.MatchAny{Ints: []int64{1, -2}}),
			field(sextant.MatchExcept{}), field(sextant.MatchText{Text: "t", Mode: sextant.TextPhrase}),
			field(sextant.MatchPrefix{Prefix: "p"}), field(sextant.Range{Gt: ptr(1.5), Lte: ptr(-2.0)}),
			field(sextant.DatetimeRange{Gte: ptr(int64(-7))}), field(sextant.ValuesCount{Lt: ptr(uint64(9))}),
		},
		Should: []sextant.Condition{
			field(sextant.GeoRadius{Center: sextant.GeoPoint{Lon: 1, Lat: 2}, Radius: 3}),
			field(sextant.GeoBox{TopLeft: sextant.GeoPoint{Lon: 1, Lat: 2}, BottomRight: sextant.GeoPoint{Lon: 3, Lat: -4}}),
			field(sextant.GeoPolygon{Exterior: []sextant.GeoPoint{{Lon: 1}, {Lat: 1}}, Interiors: [][]sextant.GeoPoint{{{Lon: 5}}}}),
			field(sextant.FieldIsEmpty{Want: true}), field(sextant.FieldIsNull{}),
		},
		MustNot: []sextant.Condition{
			sextant.IsEmpty{Key: key}, sextant.IsNull{Key: key}, sextant.HasVector{Name: "v"}, sextant.Slice{Total: 4, Index: 3},
			sextant.HasID{IDs: []sextant.PointID{sextant.NumID(1 << 63), sextant.UUIDFromBytes([16]byte{1, 15: 9})}},
		},
		MinShould: &sextant.MinShould{MinCount: 2, Conditions: []sextant.Condition{
			sextant.Nested{Key: key, Filter: &sextant.Filter{}}, &sextant.Filter{Must: []sextant.Condition{sextant.HasVector{}}},
		}},
	}
}

func everyUpdate() []sextant.Update {
	ids := sextant.Selector{IDs: []sextant.PointID{sextant.NumID(7), sextant.UUIDFromBytes([16]byte{3})}}
	byFilter := sextant.Selector{Filter: everyFilter()}
	points := []sextant.Point{
		{ID: sextant.NumID(1), Payload: sextant.Payload(`{"a":1}`), Vectors: []sextant.NamedVector{
			{Name: "", Vector: sextant.Vector{Values: []float32{1, -2.5}}},
			{Name: "m", Vector: sextant.Vector{Kind: sextant.Multi, Rows: 2, Values: []float32{1, 2, 3, 4}}},
			{Name: "s", Vector: sextant.Vector{Kind: sextant.Sparse, Values: []float32{0.5}, Indices: []uint32{1 << 31}}},
		}},
		{ID: sextant.UUIDFromBytes([16]byte{9})},
	}
	return []sextant.Update{
		sextant.Upsert{Points: points, Mode: sextant.ModeUpdateOnly, Filter: everyFilter()},
		sextant.Upsert{Points: []sextant.Point{}},
		sextant.UpdateVectors{Points: points},
		sextant.DeletePoints{Selector: ids}, sextant.DeletePoints{Selector: byFilter},
		sextant.SetPayload{Selector: ids, Payload: sextant.Payload(`{}`), Key: sextant.MustPath("a[].b")},
		sextant.OverwritePayload{Selector: byFilter, Payload: sextant.Payload(`{"x":null}`)},
		sextant.DeletePayload{Selector: ids, Keys: []sextant.Path{sextant.MustPath("k")}},
		sextant.ClearPayload{Selector: ids},
		sextant.DeleteVectors{Selector: ids, Names: []string{"", "x"}},
		sextant.CreateField{Key: sextant.MustPath("k"), Spec: sextant.FieldSpec{Type: sextant.TextField, Params: []byte(`{"type":"text"}`), Text: &sextant.TextSpec{Tokenizer: "word"}}},
		sextant.DropField{Key: sextant.MustPath("k")},
		sextant.CreateVector{Name: "n", Spec: sextant.VectorSpec{Dim: 3, Distance: sextant.Cosine, Datatype: sextant.Float32}},
		sextant.DropVector{Name: "n"},
	}
}

func TestUpdatesSurviveARoundTrip(t *testing.T) {
	for _, u := range everyUpdate() {
		got, err := Update(AppendUpdate(nil, u))
		if err != nil || !reflect.DeepEqual(got, u) {
			t.Errorf("%T: got %+v, %v\nwant %+v", u, got, err, u)
		}
	}
	f, err := Filter(AppendFilter(nil, everyFilter()))
	if err != nil || !reflect.DeepEqual(f, everyFilter()) {
		t.Errorf("filter: got %+v, %v", f, err)
	}
}

// Every cut and every flipped byte must decode to an error or to some update, and never panic.
func TestDamagedUpdatesAreErrors(t *testing.T) {
	for _, u := range everyUpdate() {
		whole := AppendUpdate(nil, u)
		for cut := range whole {
			if _, err := Update(whole[:cut]); sextant.KindOf(err) != sextant.Corrupt || err == nil {
				t.Fatalf("%T cut at %d: %v", u, cut, err)
			}
		}
		for i := range whole {
			damaged := append([]byte(nil), whole...)
			damaged[i] ^= 0x55
			_, _ = Update(damaged)
		}
	}
}

func FuzzUpdate(f *testing.F) {
	for _, u := range everyUpdate() {
		f.Add(AppendUpdate(nil, u))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		u, err := Update(in)
		if err != nil {
			return
		}
		again, err := Update(AppendUpdate(nil, u))
		if err != nil {
			t.Fatalf("re-encoded %+v: %v", u, err)
		}
		_ = again
	})
}

func BenchmarkUpsert(b *testing.B) {
	points := make([]sextant.Point, 100)
	for i := range points {
		points[i] = sextant.Point{ID: sextant.NumID(uint64(i)), Payload: sextant.Payload(`{"city":"Berlin"}`),
			Vectors: []sextant.NamedVector{{Vector: sextant.Vector{Values: make([]float32, 768)}}}}
	}
	in := AppendUpdate(nil, sextant.Upsert{Points: points})
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Update(in); err != nil {
			b.Fatal(err)
		}
	}
}
