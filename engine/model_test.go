package engine_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/sextantdb/sextant"
)

// model is a shard as plain as can be: what it holds after entry seq. It is the truth that a Shard is compared with, and
// shares no code with it.
type model struct {
	seq    uint64
	schema sextant.Schema
	points map[sextant.PointID]*modelPoint // what is pointed to never changes
}

type modelPoint struct {
	version uint64
	payload map[string]any // as JSON, numbers as json.Number
	vectors map[string]sextant.Vector
}

func newModel(s sextant.Schema) *model {
	return (&model{schema: s, points: map[sextant.PointID]*modelPoint{}}).clone()
}

func (m *model) clone() *model {
	return &model{
		seq:    m.seq,
		schema: sextant.Schema{Vectors: maps.Clone(m.schema.Vectors), Fields: cloneFields(m.schema.Fields)},
		points: maps.Clone(m.points),
	}
}

func cloneFields(f map[string]sextant.FieldSpec) map[string]sextant.FieldSpec {
	out := map[string]sextant.FieldSpec{}
	maps.Copy(out, f)
	return out
}

// refuses says what an update that the schema cannot take is refused with.
func (m *model) refuses(u sextant.Update) error {
	check := func(points []sextant.Point) error {
		for _, p := range points {
			for _, v := range p.Vectors {
				spec, ok := m.schema.Vectors[v.Name]
				if !ok {
					return sextant.Errorf(sextant.WrongInput, "Not existing vector name error: %s", v.Name)
				}
				if spec.Kind == sextant.Dense && len(v.Values) != spec.Dim {
					return sextant.Errorf(sextant.WrongInput, "Vector dimension error: expected dim: %d, got %d", spec.Dim, len(v.Values))
				}
			}
		}
		return nil
	}
	switch u := u.(type) {
	case sextant.Upsert:
		return check(u.Points)
	case sextant.UpdateVectors:
		return check(u.Points)
	case sextant.DeleteVectors:
		for _, name := range u.Names {
			if _, ok := m.schema.Vectors[name]; !ok {
				return sextant.Errorf(sextant.WrongInput, "Not existing vector name error: %s", name)
			}
		}
	case sextant.CreateVector:
		if old, ok := m.schema.Vectors[u.Name]; ok && old != u.Spec {
			return sextant.Errorf(sextant.WrongInput, "Vector `%s` already exists with a different configuration", u.Name)
		}
	}
	return nil
}

// apply changes the model by an update that was logged as entry seq. The error is what the user is told; an update that
// does not fit the schema changes nothing, one with missing ids all but those.
func (m *model) apply(seq uint64, u sextant.Update) (err error) {
	m.seq = seq
	if err := m.refuses(u); err != nil {
		return err
	}
	each := func(s sextant.Selector, change func(p *modelPoint)) {
		for _, id := range m.selected(s) {
			p := m.points[id]
			if p == nil {
				if err == nil {
					err = sextant.Errorf(sextant.NotFound, "No point with id %s found", id)
				}
				continue
			}
			next := &modelPoint{version: seq, payload: copyJSON(p.payload), vectors: maps.Clone(p.vectors)}
			change(next)
			m.points[id] = next
		}
	}
	switch u := u.(type) {
	case sextant.Upsert:
		m.upsert(seq, u)
	case sextant.UpdateVectors:
		return m.updateVectors(seq, u)
	case sextant.DeletePoints:
		for _, id := range m.selected(u.Selector) {
			delete(m.points, id)
		}
	case sextant.SetPayload:
		each(u.Selector, func(p *modelPoint) { setPayload(p.payload, decodeJSON(u.Payload), u.Key) })
	case sextant.OverwritePayload:
		each(u.Selector, func(p *modelPoint) { p.payload = decodeJSON(u.Payload) })
	case sextant.DeletePayload:
		each(u.Selector, func(p *modelPoint) {
			for _, key := range u.Keys {
				deletePayload(p.payload, key)
			}
		})
	case sextant.ClearPayload:
		each(u.Selector, func(p *modelPoint) { p.payload = map[string]any{} })
	case sextant.DeleteVectors:
		each(u.Selector, func(p *modelPoint) {
			for _, name := range u.Names {
				delete(p.vectors, name)
			}
		})
	case sextant.CreateVector:
		m.schema.Vectors[u.Name] = u.Spec
	case sextant.DropVector:
		delete(m.schema.Vectors, u.Name)
		for id, p := range m.points {
			next := *p
			next.vectors = maps.Clone(p.vectors)
			delete(next.vectors, u.Name)
			m.points[id] = &next // its version stays
		}
	case sextant.CreateField:
		m.schema.Fields[u.Key.String()] = u.Spec
	case sextant.DropField:
		delete(m.schema.Fields, u.Key.String())
	}
	return err
}

func (m *model) upsert(seq uint64, u sextant.Upsert) {
	last := map[sextant.PointID]sextant.Point{}
	for _, p := range u.Points {
		last[p.ID] = p
	}
	before := maps.Clone(m.points)
	for id, p := range last {
		old := before[id]
		switch {
		case old == nil && u.Mode == sextant.ModeUpdateOnly,
			old != nil && u.Mode == sextant.ModeInsertOnly,
			old != nil && !matches(id, old, u.Filter):
			continue
		}
		next := &modelPoint{version: seq, payload: decodeJSON(p.Payload), vectors: map[string]sextant.Vector{}}
		for _, v := range p.Vectors {
			next.vectors[v.Name] = stored(m.schema.Vectors[v.Name], v.Vector)
		}
		m.points[id] = next
	}
}

func (m *model) updateVectors(seq uint64, u sextant.UpdateVectors) (err error) {
	before := maps.Clone(m.points)
	for _, p := range u.Points {
		old := before[p.ID]
		if old == nil {
			if err == nil {
				err = sextant.Errorf(sextant.NotFound, "No point with id %s found", p.ID)
			}
			continue
		}
		if !matches(p.ID, old, u.Filter) {
			continue
		}
		next := *m.points[p.ID]
		next.version, next.vectors = seq, maps.Clone(next.vectors)
		for _, v := range p.Vectors {
			next.vectors[v.Name] = stored(m.schema.Vectors[v.Name], v.Vector)
		}
		m.points[p.ID] = &next
	}
	return err
}

// selected returns the ids of a selector, sorted and unique.
func (m *model) selected(s sextant.Selector) []sextant.PointID {
	if s.IDs == nil {
		return m.matching(s.Filter)
	}
	return slices.Compact(slices.SortedFunc(slices.Values(s.IDs), sextant.PointID.Compare))
}

// matching returns the ids of all points that match, sorted.
func (m *model) matching(f *sextant.Filter) (ids []sextant.PointID) {
	for id, p := range m.points {
		if matches(id, p, f) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, sextant.PointID.Compare)
	return ids
}

// stored is the form of a vector that is read back: of the datatypes, the workload's small whole numbers fit into all.
func stored(spec sextant.VectorSpec, v sextant.Vector) sextant.Vector {
	if spec.Kind == sextant.Sparse || spec.Distance != sextant.Cosine {
		return v
	}
	out := v
	out.Values = slices.Clone(v.Values)
	for row := range slices.Chunk(out.Values, spec.Dim) {
		var sum float64
		for _, x := range row {
			sum += float64(x) * float64(x)
		}
		if sum < 1e-6 {
			continue
		}
		for i := range row {
			row[i] = float32(float64(row[i]) / math.Sqrt(sum))
		}
	}
	return out
}

func decodeJSON(raw sextant.Payload) map[string]any {
	out := map[string]any{}
	if len(raw) == 0 {
		return out
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&out); err != nil {
		panic(fmt.Sprintf("payload %s: %v", raw, err))
	}
	return out
}

func copyJSON(v map[string]any) map[string]any {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return decodeJSON(b)
}

// setPayload merges a patch at a path of keys; at the top level null removes its key.
func setPayload(at map[string]any, patch map[string]any, key sextant.Path) {
	for _, step := range key.Steps {
		kid, ok := at[step.Key].(map[string]any)
		if !ok {
			kid = map[string]any{}
			at[step.Key] = kid
		}
		at = kid
	}
	for k, v := range patch {
		if v == nil && key.IsZero() {
			delete(at, k)
		} else {
			at[k] = v
		}
	}
}

// deletePayload removes what a path of keys leads to.
func deletePayload(at map[string]any, key sextant.Path) {
	for _, step := range key.Steps[:len(key.Steps)-1] {
		kid, ok := at[step.Key].(map[string]any)
		if !ok {
			return
		}
		at = kid
	}
	delete(at, key.Steps[len(key.Steps)-1].Key)
}
