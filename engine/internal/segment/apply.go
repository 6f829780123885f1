package segment

import (
	"slices"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/document"
	"github.com/sextantdb/sextant/internal/invariant"
)

// Apply changes the state by one entry. Effects name their points by id; vectors have passed Prepare. The outcome depends
// on nothing but the state and the arguments.
//
// A user error says what part of the entry could not be done: with a missing id all other points of the list are still
// changed, with a vector that does not fit the schema nothing is. The entry counts as applied in both cases. After any
// other error (sextant.Corrupt) the state must not be used any more.
func (s *State) Apply(seq uint64, effects sextant.Update) (err error) {
	defer border(&err)()
	invariant.Check(seq > s.seq, "entries are applied in order, each once")
	s.seq = seq
	switch u := effects.(type) {
	case sextant.Upsert:
		return s.upsert(u)
	case sextant.DeletePoints:
		for _, id := range u.IDs {
			if p, row, ok := s.find(id); ok {
				s.kill(p, row)
			}
		}
		return nil
	case sextant.SetPayload:
		return s.edit(u.IDs, func(old sextant.Payload) sextant.Payload { return document.Merge(old, u.Payload, u.Key) })
	case sextant.OverwritePayload:
		return s.edit(u.IDs, func(sextant.Payload) sextant.Payload { return u.Payload })
	case sextant.DeletePayload:
		return s.edit(u.IDs, func(old sextant.Payload) sextant.Payload { return document.Delete(old, u.Keys) })
	case sextant.ClearPayload:
		return s.edit(u.IDs, func(sextant.Payload) sextant.Payload { return nil })
	case sextant.UpdateVectors:
		return s.updateVectors(u)
	case sextant.DeleteVectors:
		return s.deleteVectors(u)
	case sextant.CreateField:
		s.createField(u.Key.String(), FieldSlot{u.Spec, seq})
	case sextant.DropField:
		s.dropField(u.Key.String())
	case sextant.CreateVector:
		return s.createVector(u.Name, VectorSlot{u.Spec, seq})
	case sextant.DropVector:
		if slot, ok := s.schema.Vectors[u.Name]; ok {
			s.schema = s.schema.setVector(u.Name, nil)
			s.head().head.dropSlot(slotKey{u.Name, slot.Seq})
		}
	default:
		invariant.Check(false, "every kind of update is applied")
	}
	return nil
}

// Skip counts an entry that changes no point.
func (s *State) Skip(seq uint64) {
	invariant.Check(seq > s.seq, "entries are applied in order, each once")
	s.seq = seq
}

func (s *State) upsert(u sextant.Upsert) error {
	invariant.Check(u.Filter == nil, "effects have no filter")
	for i := range u.Points {
		if err := s.schema.checkPoint(&u.Points[i]); err != nil {
			return err
		}
	}
	for i := range u.Points {
		point := &u.Points[i]
		p, row, exists := s.find(point.ID)
		if exists && u.Mode == sextant.ModeInsertOnly || !exists && u.Mode == sextant.ModeUpdateOnly {
			continue
		}
		if exists {
			s.kill(p, row)
		}
		s.append(newRow{id: point.ID, payload: point.Payload, given: point.Vectors})
	}
	return nil
}

// newRow is a row to be appended: the vectors given, and those of an old row that are neither among them nor dropped.
type newRow struct {
	id      sextant.PointID
	payload sextant.Payload
	given   []sextant.NamedVector
	old     *part // may be nil
	oldRow  uint32
	without []string // names
}

func (s *State) append(r newRow) {
	h := s.head().head
	for name, slot := range s.schema.Vectors {
		key := slotKey{name, slot.Seq}
		dst := h.slots[key]
		if v := lastNamed(r.given, name); v != nil {
			dst.appendVector(h.len(), v.Vector)
			continue
		}
		raw, ok := r.old.rawVector(key, r.oldRow)
		if ok && !slices.Contains(r.without, name) {
			dst.appendRaw(h.len(), raw)
		} else {
			dst.appendNone()
		}
	}
	h.finish(r.id, s.seq, r.payload)
	s.digest.add(r.id, s.seq)
}

func lastNamed(list []sextant.NamedVector, name string) *sextant.NamedVector {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}

// rawVector returns the stored bytes of a vector of a row; a nil part has none.
func (p *part) rawVector(key slotKey, row uint32) ([]byte, bool) {
	if p == nil {
		return nil, false
	}
	if p.head != nil {
		return p.head.rawVector(key, row)
	}
	if v := p.sealed.vectors(key); v != nil && v.has(row) {
		return v.raw(row), true
	}
	return nil, false
}

func (p *part) payload(row uint32) sextant.Payload {
	if p.head != nil {
		return p.head.payload(row)
	}
	return p.sealed.payload(row)
}

// move replaces a live row by a changed one.
func (s *State) move(p *part, row uint32, changed newRow) {
	changed.id, changed.old, changed.oldRow = p.pointID(row), p, row
	s.kill(p, row)
	s.append(changed)
}

// edit changes the payloads of points. All are done before the first missing id is reported.
func (s *State) edit(ids []sextant.PointID, change func(sextant.Payload) sextant.Payload) (err error) {
	for _, id := range ids {
		p, row, ok := s.find(id)
		if !ok {
			err = first(err, missing(id))
			continue
		}
		s.move(p, row, newRow{payload: change(p.payload(row))})
	}
	return err
}

func (s *State) updateVectors(u sextant.UpdateVectors) (err error) {
	invariant.Check(u.Filter == nil, "effects have no filter")
	for i := range u.Points {
		if err := s.schema.checkPoint(&u.Points[i]); err != nil {
			return err
		}
	}
	for i := range u.Points {
		p, row, ok := s.find(u.Points[i].ID)
		if !ok {
			err = first(err, missing(u.Points[i].ID))
			continue
		}
		s.move(p, row, newRow{payload: p.payload(row), given: u.Points[i].Vectors})
	}
	return err
}

func (s *State) deleteVectors(u sextant.DeleteVectors) (err error) {
	for _, name := range u.Names {
		if _, ok := s.schema.Vectors[name]; !ok {
			return unknownVector(name)
		}
	}
	for _, id := range u.IDs {
		p, row, ok := s.find(id)
		if !ok {
			err = first(err, missing(id))
			continue
		}
		s.move(p, row, newRow{payload: p.payload(row), without: u.Names})
	}
	return err
}

func first(err, next error) error {
	if err != nil {
		return err
	}
	return next
}

func missing(id sextant.PointID) error {
	text, _ := id.AppendText(nil)
	return sextant.Errorf(sextant.NotFound, "No point with id %s found", text)
}

func (s *State) createVector(name string, slot VectorSlot) error {
	if old, ok := s.schema.Vectors[name]; ok {
		if old.Spec == slot.Spec {
			return nil
		}
		return sextant.Errorf(sextant.WrongInput, "Vector `%s` already exists with a different configuration", name)
	}
	s.schema = s.schema.setVector(name, &slot)
	s.head().head.addSlot(slotKey{name, slot.Seq}, slot.Spec)
	return nil
}

// createField indexes a path in all heads at once; sealed segments get their index by a build.
func (s *State) createField(key string, slot FieldSlot) {
	old, ok := s.schema.Fields[key]
	if ok && old.Spec.Equal(slot.Spec) {
		return
	}
	s.dropField(key)
	s.schema = s.schema.setField(key, &slot)
	for _, p := range s.parts {
		if p.head != nil {
			p.head.addField(slotKey{key, slot.Seq}, slot.Spec)
		}
	}
}

func (s *State) dropField(key string) {
	old, ok := s.schema.Fields[key]
	if !ok {
		return
	}
	s.schema = s.schema.setField(key, nil)
	for _, p := range s.parts {
		if p.head != nil {
			p.head.dropField(slotKey{key, old.Seq})
		}
	}
}
