package rest

import (
	"github.com/sextantdb/sextant"
)

// target is the part of an update body that says which points it is about.
type target struct {
	points   []sextant.PointID // nil: not given
	filter   *sextant.Filter
	shardKey choice
}

// member reads a key of target, if name is one.
func (t *target) member(s *scanner, name string) {
	switch name {
	case "points":
		t.points = s.pointIDs()
	case "filter":
		s.in(name)
		t.filter = s.filter()
		s.out()
	case "shard_key":
		t.shardKey = s.shardKeys()
	}
}

// selector returns what the update is about: ids win over the filter.
func (t *target) selector(s *scanner) sextant.Selector {
	switch {
	case t.points == nil:
		return sextant.Selector{Filter: t.filter}
	case len(t.points) == 0 && s.err == nil:
		s.refuseEmpty()
	}
	return sextant.Selector{IDs: t.points}
}

func (t *target) none() bool { return t.points == nil && t.filter == nil }

var selectorFields = fieldSet{names: []string{"points", "filter", "shard_key"}}

// pointsSelector reads the body of delete points and clear payload.
func (s *scanner) pointsSelector() (sextant.Selector, choice) {
	var t target
	s.space()
	start := s.pos
	for name := range selectorFields.of(s) {
		t.member(s, name)
	}
	if t.none() {
		s.failAt(start, "data did not match any variant of untagged enum PointsSelector")
	}
	return t.selector(s), t.shardKey
}

func (s *scanner) deletePoints() change {
	sel, key := s.pointsSelector()
	return change{[]sextant.Update{sextant.DeletePoints{Selector: sel}}, key}
}

func (s *scanner) clearPayload() change {
	sel, key := s.pointsSelector()
	return change{[]sextant.Update{sextant.ClearPayload{Selector: sel}}, key}
}

var setPayloadFields = fieldSet{names: []string{"payload", "points", "filter", "shard_key", "key"}, required: []string{"payload"}}

func (s *scanner) setPayload() change {
	u, t := s.payloadChange()
	return change{[]sextant.Update{u}, t.shardKey}
}

func (s *scanner) overwritePayload() change {
	u, t := s.payloadChange()
	return change{[]sextant.Update{sextant.OverwritePayload{Selector: u.Selector, Payload: u.Payload}}, t.shardKey}
}

func (s *scanner) payloadChange() (u sextant.SetPayload, t target) {
	for name := range setPayloadFields.of(s) {
		switch name {
		case "payload":
			u.Payload = s.payload()
		case "key":
			u.Key = s.jsonPath()
		default:
			t.member(s, name)
		}
	}
	u.Selector = t.required(s)
	return u, t
}

// required is selector for bodies that must name their points.
func (t *target) required(s *scanner) sextant.Selector {
	if t.none() && s.err == nil {
		s.err = sextant.Errorf(sextant.Malformed,
			"Format error in JSON body: Either list of point ids or filter must be provided")
	}
	return t.selector(s)
}

var deletePayloadFields = fieldSet{names: []string{"keys", "points", "filter", "shard_key"}, required: []string{"keys"}}

func (s *scanner) deletePayload() change {
	var u sextant.DeletePayload
	var t target
	for name := range deletePayloadFields.of(s) {
		if name == "keys" {
			u.Keys = s.jsonPaths()
		} else {
			t.member(s, name)
		}
	}
	u.Selector = t.required(s)
	return change{[]sextant.Update{u}, t.shardKey}
}

var updateVectorsFields = fieldSet{names: []string{"points", "shard_key", "update_filter"}, required: []string{"points"}}

func (s *scanner) updateVectors() (c change) {
	var u sextant.UpdateVectors
	for name := range updateVectorsFields.of(s) {
		switch name {
		case "points":
			u.Points = s.points(&pointVectorFields)
		case "shard_key":
			c.shardKey = s.shardKeys()
		case "update_filter":
			s.in(name)
			u.Filter = s.filter()
			s.out()
		}
	}
	if s.err == nil && len(u.Points) == 0 {
		s.violated("points", "must specify points to update")
	}
	c.updates = []sextant.Update{u}
	return c
}

var deleteVectorsFields = fieldSet{names: []string{"vector", "points", "filter", "shard_key"},
	required: []string{"vector"}, aliases: vectorAlias}

// deleteVectors reads a request that may name points both ways; then the filter comes first.
func (s *scanner) deleteVectors() (c change) {
	var names []string
	var t target
	for name := range deleteVectorsFields.of(s) {
		if name == "vector" {
			names = s.strings()
		} else {
			t.member(s, name)
		}
	}
	if s.err == nil && len(names) == 0 {
		s.violated("vector", "must specify vector names to delete")
	}
	if t.none() {
		s.refuse(sextant.Errorf(sextant.BadRequest, "No filter or points provided"))
	}
	if t.filter != nil {
		c.updates = append(c.updates, sextant.DeleteVectors{Selector: sextant.Selector{Filter: t.filter}, Names: names})
	}
	if t.points != nil {
		c.updates = append(c.updates, sextant.DeleteVectors{Selector: t.selector(s), Names: names})
	}
	c.shardKey = t.shardKey
	return c
}

var (
	batchUpdateFields = allOf("operations")
	operationFields   = fieldSet{names: []string{"upsert", "delete", "set_payload", "overwrite_payload", "delete_payload",
		"clear_payload", "update_vectors", "delete_vectors"}}
)

// updateBatch reads a list of updates, each an object with one key.
func (s *scanner) updateBatch() (changes []change) {
	for range batchUpdateFields.of(s) {
		s.in("operations")
		for i := range s.elements {
			s.item(i)
			s.space()
			start, count := s.pos, 0
			for name := range operationFields.of(s) {
				s.in(name)
				changes = append(changes, s.operation(name))
				s.out()
				count++
			}
			if count != 1 {
				s.failAt(start, "data did not match any variant of untagged enum UpdateOperation")
			}
		}
		s.out()
	}
	return changes
}

func (s *scanner) operation(name string) change {
	switch name {
	case "upsert":
		return s.upsert()
	case "delete":
		return s.deletePoints()
	case "set_payload":
		return s.setPayload()
	case "overwrite_payload":
		return s.overwritePayload()
	case "delete_payload":
		return s.deletePayload()
	case "clear_payload":
		return s.clearPayload()
	case "update_vectors":
		return s.updateVectors()
	default:
		return s.deleteVectors()
	}
}
