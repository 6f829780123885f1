package engine_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine"
)

var everything = sextant.Scroll{
	Limit: 999999999, WithPayload: sextant.PayloadSelector{All: true}, WithVector: sextant.VectorSelector{All: true},
}

// contents says how a shard differs from a model: points, versions, payloads, vectors, schema and digest.
func contents(s *engine.Shard, m *model) error {
	ctx := context.Background()
	list, next, err := s.Scroll(ctx, everything)
	if err != nil {
		return err
	}
	if next != nil {
		return fmt.Errorf("a scroll of everything goes on at %s", next)
	}
	if err := m.sameRecords(list, m.matching(nil)); err != nil {
		return err
	}
	schema, err := s.Schema()
	if err != nil {
		return err
	}
	if !sameMap(schema.Vectors, m.schema.Vectors) || !sameMap(schema.Fields, m.schema.Fields) {
		return fmt.Errorf("schema %v, want %v", schema, m.schema)
	}
	live, _ := s.Digest()
	counted, err := s.Recount(ctx)
	if err == nil && !slices.Equal(live, counted) {
		err = fmt.Errorf("the digest is not the sum of the points")
	}
	return err
}

func sameMap[K comparable, V any](a, b map[K]V) bool {
	return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b)
}

// sameRecords says how records with payload and vectors differ from the points of some ids.
func (m *model) sameRecords(list []sextant.Record, want []sextant.PointID) error {
	for i := range list {
		rec := &list[i]
		if i > 0 && list[i-1].ID.Compare(rec.ID) >= 0 {
			return fmt.Errorf("point %s comes behind %s", rec.ID, list[i-1].ID)
		}
		if i >= len(want) || rec.ID != want[i] {
			return fmt.Errorf("%d points, want %d; the first that differs is %s", len(list), len(want), rec.ID)
		}
		if err := m.points[rec.ID].differs(rec); err != nil {
			return fmt.Errorf("point %s: %w", rec.ID, err)
		}
	}
	if len(list) < len(want) {
		return fmt.Errorf("%d points, want %d; %s is missing", len(list), len(want), want[len(list)])
	}
	return nil
}

func (p *modelPoint) differs(rec *sextant.Record) error {
	if rec.Version != p.version {
		return fmt.Errorf("version %d, want %d", rec.Version, p.version)
	}
	if rec.Payload == nil || !json.Valid(rec.Payload) {
		return fmt.Errorf("payload %q is no JSON", rec.Payload)
	}
	if got := decodeJSON(rec.Payload); !reflect.DeepEqual(got, p.payload) {
		return fmt.Errorf("payload %v, want %v", got, p.payload)
	}
	if rec.Vectors == nil || len(rec.Vectors) != len(p.vectors) {
		return fmt.Errorf("vectors %v, want %v", rec.Vectors, p.vectors)
	}
	for _, v := range rec.Vectors {
		if want, ok := p.vectors[v.Name]; !ok || !sameVector(v.Vector, want) {
			return fmt.Errorf("vector %q is %v, want %v", v.Name, v.Vector, want)
		}
	}
	return nil
}

func sameVector(a, b sextant.Vector) bool {
	return a.Kind == b.Kind && a.Rows == b.Rows && slices.Equal(a.Indices, b.Indices) &&
		slices.EqualFunc(a.Values, b.Values, func(x, y float32) bool { return alike(float64(x), float64(y)) })
}

func alike(x, y float64) bool { return math.Abs(x-y) <= 1e-4*max(1, math.Abs(x), math.Abs(y)) }

// answers says how random reads of a shard differ from the model's: filtered and paged scrolls, retrieval, counts, orders
// and searches.
func answers(s *engine.Shard, m *model, w *workload) error {
	ctx := context.Background()
	for range 4 {
		f := w.filter(m.schema)
		want := m.matching(f)
		scroll := everything
		scroll.Filter, scroll.Limit = f, 1+w.IntN(2*w.ids)
		if err := m.paged(s, scroll, want); err != nil {
			return fmt.Errorf("scroll %s: %w", show(f), err)
		}
		if n, err := s.Count(ctx, f, true); err != nil || n != uint64(len(want)) {
			return fmt.Errorf("count %s: %d (%v), want %d", show(f), n, err, len(want))
		}
		if n, err := s.Count(ctx, f, false); err != nil || n > uint64(2*len(m.points)+10) {
			return fmt.Errorf("rough count %s: %d (%v) of %d points", show(f), n, err, len(m.points))
		}
	}
	if err := m.retrieved(s, w); err != nil {
		return fmt.Errorf("retrieve: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(m.schema.Vectors)) {
		if err := m.searched(s, w, name); err != nil {
			return fmt.Errorf("search in %q: %w", name, err)
		}
	}
	if err := m.counted(s); err != nil {
		return fmt.Errorf("info: %w", err)
	}
	for _, key := range []string{"n", "f"} {
		if _, ok := m.schema.Fields[key]; ok {
			if err := m.ordered(s, w, key); err != nil {
				return fmt.Errorf("order by %s: %w", key, err)
			}
		}
	}
	return nil
}

func show(f *sextant.Filter) string {
	b, err := json.Marshal(f)
	return fmt.Sprintf("%s %v", b, err)
}

func (m *model) paged(s *engine.Shard, scroll sextant.Scroll, want []sextant.PointID) error {
	var all []sextant.Record
	for {
		page, next, err := s.Scroll(context.Background(), scroll)
		if err != nil {
			return err
		}
		all = append(all, page...)
		if next == nil {
			return m.sameRecords(all, want)
		}
		if len(page) != scroll.Limit {
			return fmt.Errorf("a page of %d, with a next one", len(page))
		}
		scroll.Offset = next
	}
}

func (m *model) retrieved(s *engine.Shard, w *workload) error {
	ids := append(w.someIDs(), w.someIDs()...)
	list, err := s.Retrieve(context.Background(), ids, everything.WithPayload, everything.WithVector)
	if err != nil {
		return err
	}
	seen := map[sextant.PointID]bool{}
	for _, id := range ids {
		p := m.points[id]
		if p == nil || seen[id] {
			continue
		}
		seen[id] = true
		if len(list) == 0 || list[0].ID != id {
			return fmt.Errorf("point %s of %v is missing", id, ids)
		}
		if err := p.differs(&list[0]); err != nil {
			return fmt.Errorf("point %s: %w", id, err)
		}
		list = list[1:]
	}
	if len(list) > 0 {
		return fmt.Errorf("point %s does not exist", list[0].ID)
	}
	return nil
}

// searched compares an exact search with the model's, and holds a plain one to what any answer must be: as many points
// as there are, each one that matches, with its own score, in order.
func (m *model) searched(s *engine.Shard, w *workload, name string) error {
	spec := m.schema.Vectors[name]
	q := w.vector(spec)
	near := sextant.VectorInput{Vector: &q}
	var f *sextant.Filter
	if w.IntN(2) == 0 {
		f = w.filter(m.schema)
	}
	if id := w.id(); w.IntN(4) == 0 && m.points[id] != nil {
		v, ok := m.points[id].vectors[name]
		if ok {
			q, near = v, sextant.VectorInput{ID: &id}
		}
	}
	scores := map[sextant.PointID]float64{}
	var want []float64
	for _, id := range m.matching(f) {
		if near.ID != nil && *near.ID == id {
			continue
		}
		if v, ok := m.points[id].vectors[name]; ok {
			if x, ok := score(spec, q, v); ok {
				scores[id] = x
				want = append(want, x)
			}
		}
	}
	sign := 1.0
	if spec.Kind != sextant.Sparse && spec.Distance.Ascending() {
		sign = -1
	}
	slices.SortFunc(want, func(a, b float64) int { return cmp.Compare(sign*b, sign*a) })
	query := sextant.Query{Nearest: &near, Using: name, Filter: f, Limit: 1 + w.IntN(20), Offset: max(0, w.IntN(6)-3)}
	if len(want) > 0 && w.IntN(3) == 0 { // strictly better than one of them
		limit := float32(want[w.IntN(len(want))]) + 0.37
		query.ScoreThreshold = &limit
		want = slices.DeleteFunc(want, func(x float64) bool { return sign*x <= sign*float64(limit) })
	}
	want = want[min(len(want), query.Offset):]
	want = want[:min(len(want), query.Limit)]
	for _, exact := range []bool{true, false} {
		query.Params.Exact = exact
		list, err := s.Query(context.Background(), query)
		if err != nil {
			return err
		}
		if len(list) != len(want) {
			return fmt.Errorf("exact %v, limit %d, offset %d, filter %s: %d points, want %d", exact, query.Limit, query.Offset, show(f), len(list), len(want))
		}
		seen := map[sextant.PointID]bool{}
		for i, p := range list {
			x, ok := scores[p.ID]
			switch {
			case !ok || seen[p.ID]:
				return fmt.Errorf("point %s is no answer, or one twice", p.ID)
			case !alike(x, float64(p.Score)) || exact && !alike(want[i], x):
				return fmt.Errorf("exact %v: point %s at %d has score %v, its own is %v, that of the place %v", exact, p.ID, i, p.Score, x, want[i])
			case p.Version != m.points[p.ID].version:
				return fmt.Errorf("point %s has version %d, want %d", p.ID, p.Version, m.points[p.ID].version)
			case i > 0 && sign*float64(p.Score) > sign*float64(list[i-1].Score):
				return fmt.Errorf("point %s is better than the one before", p.ID)
			}
			seen[p.ID] = true
		}
	}
	return nil
}

// counted compares what a shard tells of itself.
func (m *model) counted(s *engine.Shard) error {
	info, err := s.Info()
	if err != nil || info.Points != uint64(len(m.points)) || uint64(info.Applied) != m.seq {
		return fmt.Errorf("%d points at %d, want %d (%v)", info.Points, info.Applied, len(m.points), err)
	}
	for name := range m.schema.Vectors {
		n := uint64(0)
		for _, p := range m.points {
			if _, ok := p.vectors[name]; ok {
				n++
			}
		}
		if info.Vectors[name] != n {
			return fmt.Errorf("%d vectors %q, want %d", info.Vectors[name], name, n)
		}
	}
	for key, spec := range m.schema.Fields {
		n := uint64(0)
		for _, p := range m.points {
			values := valuesAt(p.payload, sextant.MustPath(key))
			if slices.ContainsFunc(indexed(spec), func(t sextant.FieldTest) bool { return fieldHolds(values, t) }) {
				n++
			}
		}
		if info.Status == engine.Green && info.Fields[key] != n {
			return fmt.Errorf("%d points in the index of %s, want %d", info.Fields[key], key, n)
		}
	}
	return nil
}

// indexed returns tests one of which holds for each value that an index of a field takes.
func indexed(spec sextant.FieldSpec) []sextant.FieldTest {
	switch spec.Type {
	case sextant.KeywordField:
		return []sextant.FieldTest{sextant.MatchPrefix{}}
	case sextant.BoolField:
		return []sextant.FieldTest{sextant.Match{Value: true}, sextant.Match{Value: false}}
	}
	return []sextant.FieldTest{sextant.Range{}}
}

// ordered compares a scroll in the order of a numeric field.
func (m *model) ordered(s *engine.Shard, w *workload, key string) error {
	type place struct {
		value float64
		id    sextant.PointID
	}
	var want []place
	for id, p := range m.points {
		if n, ok := p.payload[key].(json.Number); ok {
			x, _ := n.Float64()
			want = append(want, place{x, id})
		}
	}
	desc := w.IntN(2) == 0
	slices.SortFunc(want, func(a, b place) int {
		c := cmp.Or(cmp.Compare(a.value, b.value), a.id.Compare(b.id))
		if desc {
			c = -c
		}
		return c
	})
	scroll := everything
	scroll.OrderBy = &sextant.OrderBy{Key: sextant.MustPath(key), Desc: desc}
	list, next, err := s.Scroll(context.Background(), scroll)
	if err != nil || next != nil || len(list) != len(want) {
		return fmt.Errorf("%d points, want %d (%v)", len(list), len(want), err)
	}
	for i, rec := range list {
		x := float64(rec.OrderValue.Int)
		if rec.OrderValue.IsFloat {
			x = rec.OrderValue.Float
		}
		if rec.ID != want[i].id || x != want[i].value {
			return fmt.Errorf("place %d: %s with %v, want %s with %v", i, rec.ID, x, want[i].id, want[i].value)
		}
	}
	return nil
}
