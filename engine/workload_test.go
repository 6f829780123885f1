package engine_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/sextantdb/sextant"
)

// vectorNames are the names that a shard may have. Those of dyn come and go, and come back in another shape.
var vectorNames = map[string]sextant.VectorSpec{
	"":       {Kind: sextant.Dense, Dim: 4, Distance: sextant.Dot, Datatype: sextant.Float32},
	"unit":   {Kind: sextant.Dense, Dim: 3, Distance: sextant.Cosine, Datatype: sextant.Float32},
	"half":   {Kind: sextant.Dense, Dim: 5, Distance: sextant.Euclid, Datatype: sextant.Float16},
	"rows":   {Kind: sextant.Multi, Dim: 2, Distance: sextant.Dot, Datatype: sextant.Float32},
	"sparse": {Kind: sextant.Sparse, Datatype: sextant.Float32},
}

var dynShapes = []sextant.VectorSpec{
	{Kind: sextant.Dense, Dim: 2, Distance: sextant.Manhattan, Datatype: sextant.Uint8},
	{Kind: sextant.Dense, Dim: 6, Distance: sextant.Dot, Datatype: sextant.Float32},
	{Kind: sextant.Sparse, Datatype: sextant.Float32},
}

var fieldNames = map[string]sextant.FieldSpec{
	"k":   {Type: sextant.KeywordField},
	"n":   {Type: sextant.IntegerField, Lookup: true, Range: true},
	"f":   {Type: sextant.FloatField},
	"b":   {Type: sextant.BoolField},
	"o.x": {Type: sextant.IntegerField, Lookup: true, Range: true},
}

func startSchema() sextant.Schema {
	return sextant.Schema{Vectors: maps.Clone(vectorNames)}
}

// workload makes random updates over few ids, so that all of them meet. Equal seeds make equal ones.
type workload struct {
	*rand.Rand
	ids int
	pad int // bytes that some payloads are longer, to fill files of the log
}

func newWorkload(seed uint64, ids int) *workload {
	return &workload{Rand: rand.New(rand.NewPCG(seed, 0x5e87a27)), ids: ids}
}

func (w *workload) id() sextant.PointID {
	n := uint64(w.IntN(w.ids))
	if n%3 == 0 {
		return sextant.PointID{Hi: n * 0x9E3779B97F4A7C15, Lo: n, IsUUID: true}
	}
	return sextant.NumID(n * n)
}

func (w *workload) someIDs() []sextant.PointID {
	ids := make([]sextant.PointID, 1+w.IntN(6))
	for i := range ids {
		ids[i] = w.id()
	}
	return ids
}

// vector has small whole numbers, which every datatype holds exactly.
func (w *workload) vector(spec sextant.VectorSpec) sextant.Vector {
	values := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(w.IntN(100))
		}
		return v
	}
	switch spec.Kind {
	case sextant.Sparse:
		v := sextant.Vector{Kind: sextant.Sparse, Indices: []uint32{}}
		for i := range uint32(12) {
			if w.IntN(4) == 0 {
				v.Indices = append(v.Indices, i*i)
			}
		}
		v.Values = values(len(v.Indices))
		return v
	case sextant.Multi:
		rows := 1 + w.IntN(3)
		return sextant.Vector{Kind: sextant.Multi, Rows: rows, Values: values(rows * spec.Dim)}
	}
	return sextant.Vector{Values: values(spec.Dim)}
}

func (w *workload) vectors(s sextant.Schema) []sextant.NamedVector {
	list := []sextant.NamedVector{}
	for _, name := range slices.Sorted(maps.Keys(s.Vectors)) {
		if w.IntN(4) > 0 {
			list = append(list, sextant.NamedVector{Name: name, Vector: w.vector(s.Vectors[name])})
		}
	}
	return list
}

func (w *workload) payload() sextant.Payload {
	if w.IntN(6) == 0 {
		return nil
	}
	var parts []string
	some := func(one int, format string, args ...any) {
		if w.IntN(one) > 0 {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	switch w.IntN(8) {
	case 0:
		some(2, `"k":["k%d","k%d"]`, w.IntN(5), w.IntN(5))
	case 1:
		some(2, `"k":%s`, []string{"null", "[]", "[null]", "7", `{"x":1}`}[w.IntN(5)])
	default:
		some(5, `"k":"k%d"`, w.IntN(5))
	}
	some(5, `"n":%d`, w.IntN(20)-5)
	some(3, `"f":%g`, float64(w.IntN(40))/8-1)
	some(3, `"b":%v`, w.IntN(2) == 0)
	some(3, `"o":{"x":%d,"y":null}`, w.IntN(6))
	if w.pad > 0 && w.IntN(10) == 0 {
		some(1<<30, `"pad":%q`, strings.Repeat("x", w.pad))
	}
	return sextant.Payload("{" + strings.Join(parts, ",") + "}")
}

func (w *workload) points(s sextant.Schema) []sextant.Point {
	n := 1 + w.IntN(8)
	if w.IntN(12) == 0 {
		n = w.ids
	}
	list := make([]sextant.Point, n)
	for i := range list {
		list[i] = sextant.Point{ID: w.id(), Vectors: w.vectors(s), Payload: w.payload()}
	}
	return list
}

func (w *workload) selector(s sextant.Schema) sextant.Selector {
	if w.IntN(3) == 0 {
		return sextant.Selector{Filter: w.narrow(s)}
	}
	return sextant.Selector{IDs: w.someIDs()}
}

// narrow is a filter that seldom matches much.
func (w *workload) narrow(s sextant.Schema) *sextant.Filter {
	return &sextant.Filter{Must: []sextant.Condition{w.condition(s, 1), w.condition(s, 1), w.condition(s, 1)}}
}

// update is a random update of points of a shard with the schema s.
func (w *workload) update(s sextant.Schema) sextant.Update {
	switch n := w.IntN(100); {
	case n < 8:
		return sextant.DeletePoints{Selector: w.selector(s)}
	case n < 16:
		patch := []string{`{"k":"set"}`, `{"n":3,"f":null}`, `{"b":true,"o":{"x":9}}`, `{"k":null}`}[w.IntN(4)]
		return sextant.SetPayload{Selector: w.selector(s), Payload: sextant.Payload(patch)}
	case n < 19:
		key := sextant.MustPath([]string{"o", "o.deep", "fresh"}[w.IntN(3)])
		return sextant.SetPayload{Selector: w.selector(s), Payload: sextant.Payload(`{"x":4,"z":[1,2]}`), Key: key}
	case n < 23:
		return sextant.OverwritePayload{Selector: w.selector(s), Payload: w.payload()}
	case n < 28:
		keys := []sextant.Path{sextant.MustPath([]string{"k", "n", "o", "o.x", "none"}[w.IntN(5)]), sextant.MustPath("f")}
		return sextant.DeletePayload{Selector: w.selector(s), Keys: keys[:1+w.IntN(2)]}
	case n < 31:
		return sextant.ClearPayload{Selector: w.selector(s)}
	case n < 42:
		u := sextant.UpdateVectors{}
		for _, id := range w.someIDs() {
			u.Points = append(u.Points, sextant.Point{ID: id, Vectors: w.vectors(s)})
		}
		if w.IntN(3) == 0 {
			u.Filter = w.filter(s)
		}
		return u
	case n < 47:
		names := slices.Sorted(maps.Keys(s.Vectors))
		w.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		return sextant.DeleteVectors{Selector: w.selector(s), Names: names[:1+w.IntN(2)]}
	}
	u := sextant.Upsert{Points: w.points(s)}
	switch w.IntN(12) {
	case 0:
		u.Mode = sextant.ModeInsertOnly
	case 1:
		u.Mode = sextant.ModeUpdateOnly
	case 2:
		u.Mode, u.Filter = sextant.ModeUpdateOnly, w.filter(s)
	case 3:
		u.Filter = w.filter(s)
	}
	return u
}

// schemaChange makes or drops a vector name or a payload index.
func (w *workload) schemaChange(s sextant.Schema) sextant.Update {
	if w.IntN(3) == 0 {
		if _, ok := s.Vectors["dyn"]; ok {
			return sextant.DropVector{Name: "dyn"}
		}
		return sextant.CreateVector{Name: "dyn", Spec: dynShapes[w.IntN(len(dynShapes))]}
	}
	keys := slices.Sorted(maps.Keys(fieldNames))
	key := keys[w.IntN(len(keys))]
	if _, ok := s.Fields[key]; ok && w.IntN(2) == 0 {
		return sextant.DropField{Key: sextant.MustPath(key)}
	}
	return sextant.CreateField{Key: sextant.MustPath(key), Spec: fieldNames[key]}
}

// wrong is an update that every schema refuses.
func (w *workload) wrong() sextant.Update {
	p := sextant.Point{ID: w.id(), Vectors: []sextant.NamedVector{{Vector: sextant.Vector{Values: []float32{1, 2, 3}}}}}
	switch w.IntN(3) {
	case 0:
		p.Vectors[0].Name = "no such name"
	case 1:
		return sextant.DeleteVectors{Selector: sextant.Selector{IDs: w.someIDs()}, Names: []string{"no such name"}}
	}
	return sextant.Upsert{Points: []sextant.Point{{ID: w.id()}, p}}
}

func (w *workload) filter(s sextant.Schema) *sextant.Filter { return w.filterOf(s, 2) }

func (w *workload) filterOf(s sextant.Schema, depth int) *sextant.Filter {
	f := &sextant.Filter{}
	for range 1 + w.IntN(3) {
		c := w.condition(s, depth)
		switch w.IntN(4) {
		case 0:
			f.Should = append(f.Should, c)
		case 1:
			f.MustNot = append(f.MustNot, c)
		default:
			f.Must = append(f.Must, c)
		}
	}
	if w.IntN(6) == 0 {
		list := []sextant.Condition{w.condition(s, 0), w.condition(s, 0), w.condition(s, 0)}
		f.MinShould = &sextant.MinShould{Conditions: list, MinCount: 1 + w.IntN(2)}
	}
	return f
}

func (w *workload) condition(s sextant.Schema, depth int) sextant.Condition {
	if depth > 0 && w.IntN(5) == 0 {
		return w.filterOf(s, depth-1)
	}
	keys := slices.Sorted(maps.Keys(fieldNames))
	key := sextant.MustPath(keys[w.IntN(len(keys))])
	number := func() *float64 {
		if w.IntN(3) == 0 {
			return nil
		}
		x := float64(w.IntN(40))/2 - 5
		return &x
	}
	field := func(test sextant.FieldTest) sextant.Condition { return sextant.Field{Key: key, Test: test} }
	switch w.IntN(12) {
	case 0:
		return sextant.HasID{IDs: append(w.someIDs(), w.someIDs()...)}
	case 1:
		names := append(slices.Sorted(maps.Keys(s.Vectors)), "dyn", "no such name")
		return sextant.HasVector{Name: names[w.IntN(len(names))]}
	case 2:
		return sextant.IsEmpty{Key: key}
	case 3:
		return sextant.IsNull{Key: key}
	case 4:
		n := uint64(w.IntN(3))
		return field(sextant.ValuesCount{Gte: &n})
	case 5, 6:
		return field(sextant.Range{Gte: number(), Lt: number()})
	case 7:
		return field(sextant.MatchAny{Strings: []string{"k0", "set", "k3"}})
	case 8:
		return field(sextant.MatchAny{Ints: []int64{1, 2, 3, int64(w.IntN(9))}})
	case 9:
		return field(sextant.MatchExcept{Strings: []string{"k1", "k2"}})
	case 10:
		return field(sextant.MatchPrefix{Prefix: "k"})
	}
	return field(sextant.Match{Value: []any{"k1", "k2", int64(w.IntN(9)), w.IntN(2) == 0}[w.IntN(4)]})
}
