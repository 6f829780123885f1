package segment

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/document"
)

// model is a shard as plain as can be.
type model struct {
	schema sextant.Schema
	points map[sextant.PointID]modelPoint
	test   func(id sextant.PointID, p modelPoint) bool // of nearest; nil: all
}

type modelPoint struct {
	version uint64
	payload sextant.Payload
	vectors map[string]sextant.Vector
}

func newModel(s sextant.Schema) *model {
	return &model{schema: s, points: map[sextant.PointID]modelPoint{}}
}

func (m *model) apply(seq uint64, u sextant.Update) {
	each := func(ids []sextant.PointID, change func(p *modelPoint)) {
		for _, id := range ids {
			if p, ok := m.points[id]; ok {
				p.vectors = maps.Clone(p.vectors)
				change(&p)
				p.version = seq
				m.points[id] = p
			}
		}
	}
	switch u := u.(type) {
	case sextant.Upsert:
		for _, pt := range u.Points {
			_, exists := m.points[pt.ID]
			if exists && u.Mode == sextant.ModeInsertOnly || !exists && u.Mode == sextant.ModeUpdateOnly {
				continue
			}
			p := modelPoint{version: seq, payload: pt.Payload, vectors: map[string]sextant.Vector{}}
			for _, v := range pt.Vectors {
				p.vectors[v.Name] = v.Vector
			}
			m.points[pt.ID] = p
		}
	case sextant.DeletePoints:
		for _, id := range u.IDs {
			delete(m.points, id)
		}
	case sextant.SetPayload:
		each(u.IDs, func(p *modelPoint) { p.payload = document.Merge(p.payload, u.Payload, u.Key) })
	case sextant.OverwritePayload:
		each(u.IDs, func(p *modelPoint) { p.payload = u.Payload })
	case sextant.DeletePayload:
		each(u.IDs, func(p *modelPoint) { p.payload = document.Delete(p.payload, u.Keys) })
	case sextant.ClearPayload:
		each(u.IDs, func(p *modelPoint) { p.payload = nil })
	case sextant.UpdateVectors:
		for _, pt := range u.Points {
			each([]sextant.PointID{pt.ID}, func(p *modelPoint) {
				for _, v := range pt.Vectors {
					p.vectors[v.Name] = v.Vector
				}
			})
		}
	case sextant.DeleteVectors:
		each(u.IDs, func(p *modelPoint) {
			for _, name := range u.Names {
				delete(p.vectors, name)
			}
		})
	case sextant.CreateVector:
		m.schema.Vectors[u.Name] = u.Spec
	case sextant.DropVector:
		delete(m.schema.Vectors, u.Name)
		for _, p := range m.points {
			delete(p.vectors, u.Name)
		}
	case sextant.CreateField:
		m.schema.Fields[u.Key.String()] = u.Spec
	case sextant.DropField:
		delete(m.schema.Fields, u.Key.String())
	}
}

// all returns the whole content in id order, as Scroll does.
func (m *model) all() (list []sextant.Record) {
	ids := slices.SortedFunc(maps.Keys(m.points), sextant.PointID.Compare)
	for _, id := range ids {
		p := m.points[id]
		rec := sextant.Record{ID: id, Version: p.version, Payload: sextant.Payload("{}"), Vectors: []sextant.NamedVector{}}
		if len(p.payload) > 0 {
			rec.Payload = p.payload
		}
		for _, name := range slices.Sorted(maps.Keys(p.vectors)) {
			rec.Vectors = append(rec.Vectors, sextant.NamedVector{Name: name, Vector: p.vectors[name]})
		}
		list = append(list, rec)
	}
	return list
}

func (m *model) digest() (d Digest) {
	for id, p := range m.points {
		d.add(id, p.version)
	}
	return d
}

var testSpecs = []struct {
	name string
	spec sextant.VectorSpec
}{
	{"", sextant.VectorSpec{Kind: sextant.Dense, Dim: 3, Distance: sextant.Euclid, Datatype: sextant.Float32}},
	{"dot", sextant.VectorSpec{Kind: sextant.Dense, Dim: 20, Distance: sextant.Dot, Datatype: sextant.Float16}},
	{"bytes", sextant.VectorSpec{Kind: sextant.Dense, Dim: 5, Distance: sextant.Manhattan, Datatype: sextant.Uint8}},
	{"multi", sextant.VectorSpec{Kind: sextant.Multi, Dim: 6, Distance: sextant.Dot, Datatype: sextant.Float32}},
	{"sparse", sextant.VectorSpec{Kind: sextant.Sparse, Datatype: sextant.Float32}},
}

func testSchema() sextant.Schema {
	s := sextant.Schema{Vectors: map[string]sextant.VectorSpec{}, Fields: map[string]sextant.FieldSpec{}}
	for _, t := range testSpecs {
		s.Vectors[t.name] = t.spec
	}
	return s
}

// workload makes random updates over few ids, so that all of them meet.
type workload struct {
	*rand.Rand
	ids int
}

func (w workload) id() sextant.PointID {
	n := w.IntN(w.ids)
	if n%3 == 0 {
		return sextant.PointID{Hi: uint64(n) * 7919, Lo: uint64(n), IsUUID: true}
	}
	return sextant.NumID(uint64(n) * uint64(n))
}

func (w workload) someIDs() (ids []sextant.PointID) {
	for range 1 + w.IntN(8) {
		ids = append(ids, w.id())
	}
	slices.SortFunc(ids, sextant.PointID.Compare)
	return slices.Compact(ids)
}

// vector returns small whole numbers, which every datatype holds exactly.
func (w workload) vector(spec sextant.VectorSpec) sextant.Vector {
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
		for i := range uint32(20) {
			if w.IntN(4) == 0 {
				v.Indices = append(v.Indices, i)
			}
		}
		v.Values = values(len(v.Indices))
		return v
	case sextant.Multi:
		rows := 1 + w.IntN(4)
		return sextant.Vector{Kind: sextant.Multi, Rows: rows, Values: values(rows * spec.Dim)}
	default:
		return sextant.Vector{Values: values(spec.Dim)}
	}
}

func (w workload) vectors(s sextant.Schema) (list []sextant.NamedVector) {
	for _, name := range slices.Sorted(maps.Keys(s.Vectors)) {
		if w.IntN(3) > 0 {
			list = append(list, sextant.NamedVector{Name: name, Vector: w.vector(s.Vectors[name])})
		}
	}
	return list
}

func (w workload) payload() sextant.Payload {
	if w.IntN(5) == 0 {
		return nil
	}
	return fmt.Appendf(nil, `{"a":%d,"city":"c%d","tags":["x%d","y"]}`, w.IntN(50), w.IntN(9), w.IntN(200))
}

func (w workload) update(s sextant.Schema) sextant.Update {
	names := slices.Sorted(maps.Keys(s.Vectors))
	sel := sextant.Selector{IDs: w.someIDs()}
	switch w.IntN(40) {
	case 0:
		t := testSpecs[w.IntN(len(testSpecs))]
		return sextant.DropVector{Name: t.name}
	case 1, 2:
		for _, t := range testSpecs {
			if _, ok := s.Vectors[t.name]; !ok {
				return sextant.CreateVector{Name: t.name, Spec: t.spec}
			}
		}
		fallthrough
	case 3, 4, 5:
		return sextant.DeletePoints{Selector: sel}
	case 6, 7, 8:
		return sextant.SetPayload{Selector: sel, Payload: sextant.Payload(fmt.Sprintf(`{"b":%d}`, w.IntN(9)))}
	case 9:
		return sextant.SetPayload{Selector: sel, Payload: sextant.Payload(`{"c":true}`), Key: sextant.MustPath("in.side")}
	case 10:
		return sextant.OverwritePayload{Selector: sel, Payload: w.payload()}
	case 11, 12:
		return sextant.DeletePayload{Selector: sel, Keys: []sextant.Path{sextant.MustPath("a"), sextant.MustPath("tags[]")}}
	case 13:
		return sextant.ClearPayload{Selector: sel}
	case 14, 15, 16, 17:
		u := sextant.UpdateVectors{}
		for _, id := range sel.IDs {
			u.Points = append(u.Points, sextant.Point{ID: id, Vectors: w.vectors(s)})
		}
		return u
	case 18, 19:
		if len(names) > 0 {
			return sextant.DeleteVectors{Selector: sel, Names: names[:1+w.IntN(len(names))]}
		}
	case 20:
		f := testFields[w.IntN(len(testFields))]
		if _, ok := s.Fields[f.key]; ok {
			return sextant.DropField{Key: sextant.MustPath(f.key)}
		}
		return sextant.CreateField{Key: sextant.MustPath(f.key), Spec: f.spec}
	case 21, 22:
		for _, f := range testFields {
			if _, ok := s.Fields[f.key]; !ok {
				return sextant.CreateField{Key: sextant.MustPath(f.key), Spec: f.spec}
			}
		}
	}
	u := sextant.Upsert{Mode: sextant.UpdateMode(max(0, w.IntN(8)-5))}
	for range 1 + w.IntN(8) {
		u.Points = append(u.Points, sextant.Point{ID: w.id(), Vectors: w.vectors(s), Payload: w.payload()})
	}
	return u
}

var everything = sextant.Scroll{
	Limit: 999999999, WithPayload: sextant.PayloadSelector{All: true}, WithVector: sextant.VectorSelector{All: true},
}

// sameContent compares a view with the model by every kind of read.
func sameContent(t *testing.T, w workload, v *View, m *model) {
	t.Helper()
	ctx := context.Background()
	want := m.all()
	got, next, err := v.Scroll(ctx, everything)
	if err != nil || next != nil {
		t.Fatal(next, err)
	}
	if !sameRecords(got, want) {
		t.Fatalf("seq %d: scrolled %d points\n%v\nwant %d\n%v", v.Seq, len(got), got, len(want), want)
	}
	ids := make([]sextant.PointID, len(want))
	for i, rec := range want {
		ids[i] = rec.ID
	}
	got, err = v.Retrieve(ids, everything.WithPayload, everything.WithVector)
	if err != nil || !sameRecords(got, want) {
		t.Fatalf("retrieved %v (%v)\nwant %v", got, err, want)
	}
	if n, err := v.Count(ctx, nil, true); err != nil || n != uint64(len(want)) || v.Points() != n {
		t.Fatalf("counted %d (%v), want %d", n, err, len(want))
	}
	pageThrough(t, w, v, want)
	for _, f := range testFilters(w) {
		sameFiltered(t, w, v, m, f)
	}
	for _, name := range slices.Sorted(maps.Keys(m.schema.Vectors)) {
		sameNearest(t, v, m, SearchRequest{Using: name, Vector: w.vector(m.schema.Vectors[name]), Limit: 1 + w.IntN(12)})
	}
}

func sameRecords(a, b []sextant.Record) bool {
	return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b)
}

func pageThrough(t *testing.T, w workload, v *View, want []sextant.Record) {
	t.Helper()
	s := everything
	s.Limit = 1 + w.IntN(20)
	var all []sextant.Record
	for {
		got, next, err := v.Scroll(context.Background(), s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, got...)
		if s.Offset = next; next == nil {
			break
		}
	}
	if !sameRecords(all, want) {
		t.Fatalf("paged %d points, want %d", len(all), len(want))
	}
}

// nearest is the search of the model.
func (m *model) nearest(q SearchRequest) (list []sextant.ScoredPoint) {
	spec := m.schema.Vectors[q.Using]
	for id, p := range m.points {
		v, ok := p.vectors[q.Using]
		if !ok || m.test != nil && !m.test(id, p) {
			continue
		}
		raw, ok := naiveScore(spec, q.Vector, v)
		if !ok {
			continue
		}
		list = append(list, sextant.ScoredPoint{
			Record: sextant.Record{ID: id, Version: p.version}, Score: shown(spec, raw),
		})
	}
	slices.SortFunc(list, func(a, b sextant.ScoredPoint) int {
		c := cmp.Compare(b.Score, a.Score)
		if spec.Kind != sextant.Sparse && spec.Distance.Ascending() {
			c = -c
		}
		if c != 0 {
			return c
		}
		return a.ID.Compare(b.ID)
	})
	return list[:min(len(list), q.Limit)]
}

func naiveScore(spec sextant.VectorSpec, q, v sextant.Vector) (sum float32, ok bool) {
	if spec.Kind == sextant.Sparse {
		for i, a := range q.Indices {
			if j := slices.Index(v.Indices, a); j >= 0 {
				sum += q.Values[i] * v.Values[j]
				ok = true
			}
		}
		return sum, ok
	}
	pair := func(a, b []float32) (s float32) {
		for i := range a {
			d := a[i] - b[i]
			switch spec.Distance {
			case sextant.Euclid:
				s -= d * d
			case sextant.Manhattan:
				s -= max(d, -d)
			default:
				s += a[i] * b[i]
			}
		}
		return s
	}
	for i := 0; i < len(q.Values); i += spec.Dim {
		best := pair(q.Values[i:i+spec.Dim], v.Values[:spec.Dim])
		for j := spec.Dim; j < len(v.Values); j += spec.Dim {
			best = max(best, pair(q.Values[i:i+spec.Dim], v.Values[j:j+spec.Dim]))
		}
		sum += best
	}
	return sum, true
}

func sameNearest(t *testing.T, v *View, m *model, q SearchRequest) {
	t.Helper()
	got, err := v.Search(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	if want := m.nearest(q); len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
		t.Fatalf("nearest to %v in %q: %v\nwant %v", q.Vector, q.Using, got, want)
	}
}

func TestHeadEqualsModel(t *testing.T) {
	for seed := range uint64(6) {
		w := workload{rand.New(rand.NewPCG(seed, 1)), 20 + int(seed)*10}
		m := newModel(testSchema())
		s := NewState(NewSchema(testSchema()), NewTuning(sextant.DefaultConfig()), nil, nil, 0)
		var old []*View
		var then []*model
		for seq := uint64(1); seq <= 200; seq++ {
			u := w.update(m.schema)
			if err := s.Apply(seq, u); err != nil && sextant.KindOf(err) == sextant.Corrupt {
				t.Fatal(err)
			}
			m.apply(seq, u)
			if w.IntN(60) == 0 {
				s.Freeze()
			}
			if w.IntN(8) == 0 {
				v := s.Publish()
				old = append(old, v)
				then = append(then, &model{m.copySchema(), maps.Clone(m.points), nil})
				sameContent(t, w, v, m)
			}
		}
		if s.Digest() != m.digest() {
			t.Fatal("digests differ")
		}
		for i, v := range old { // views stay what they were; the model shares dropped names' maps, so only ids are compared
			ids, err := v.SelectIDs(context.Background(), nil)
			if err != nil || len(ids) != len(then[i].points) {
				t.Fatalf("view %d changed: %v", i, err)
			}
			v.Release()
		}
	}
}

func (m *model) copySchema() sextant.Schema {
	return sextant.Schema{Vectors: maps.Clone(m.schema.Vectors), Fields: maps.Clone(m.schema.Fields)}
}
