package topology

import "maps"

// locate notes where a shard is; only while a State is made.
func (s *State) locate(uuid string, at place) {
	if s.places == nil {
		s.places = map[string]place{}
	}
	s.places[uuid] = at
}

// relocate makes the notes anew, after shards came or went.
func (s *State) relocate() {
	s.places = make(map[string]place, len(s.places)+1)
	for name, c := range s.Collections {
		for id, shard := range c.Shards {
			s.places[shard.UUID] = place{name, id}
		}
	}
}

// Shard returns the shard of a uuid, nil if there is none.
func (s *State) Shard(uuid string) *Shard {
	at, ok := s.places[uuid]
	if !ok {
		return nil
	}
	return s.Collections[at.collection].Shards[at.id]
}

// Place returns the collection and number of the shard of a uuid.
func (s *State) Place(uuid string) (collection string, id ShardID, ok bool) {
	at, ok := s.places[uuid]
	return at.collection, at.id, ok
}

// edit changes some shards: each is copied once, and so is what leads to it.
type edit struct {
	state       *State
	collections map[string]*Collection // copies that may be changed
	shards      map[string]*Shard      // the same, by uuid
}

func (s *State) edit() *edit {
	return &edit{state: s, collections: map[string]*Collection{}, shards: map[string]*Shard{}}
}

// shard returns a copy of a shard that may be changed; nil if there is none.
func (e *edit) shard(uuid string) *Shard {
	if own := e.shards[uuid]; own != nil {
		return own
	}
	was := e.state.Shard(uuid)
	if was == nil {
		return nil
	}
	at := e.state.places[uuid]
	c := e.collection(at.collection)
	own := was.clone()
	c.Shards[at.id] = own
	e.shards[uuid] = own
	return own
}

// collection returns a copy of a collection whose map of shards may be changed.
func (e *edit) collection(name string) *Collection {
	if own := e.collections[name]; own != nil {
		return own
	}
	own := *e.state.Collections[name]
	own.Shards = maps.Clone(own.Shards)
	if len(e.collections) == 0 {
		e.state.Collections = maps.Clone(e.state.Collections)
	}
	e.state.Collections[name] = &own
	e.collections[name] = &own
	return &own
}
