package topology

import (
	"maps"
	"slices"

	"github.com/sextantdb/sextant"
)

// CreateKey makes a shard key with its shards. Shards are numbered when the command is applied, behind the largest in use.
type CreateKey struct {
	Collection string   `json:"collection"`
	UUID       string   `json:"uuid"` // of the collection
	Key        ShardKey `json:"key"`
	Shards     []Shard  `json:"shards"`
}

// DropKey removes a shard key and its shards.
type DropKey struct {
	Collection string   `json:"collection"`
	UUID       string   `json:"uuid"`
	Key        ShardKey `json:"key"`
}

// Custom reports whether users choose shards by key.
func (c *Collection) Custom() bool {
	m := c.Config.Params.ShardingMethod
	return m != nil && *m == "custom"
}

// Keys returns the shard keys in the order of their first shards.
func (c *Collection) Keys() (keys []ShardKey) {
	for _, id := range c.ShardIDs() {
		if k := c.Shards[id].Key; k != nil && !slices.Contains(keys, *k) {
			keys = append(keys, *k)
		}
	}
	return keys
}

// OfKey returns the shards of a key, ascending.
func (c *Collection) OfKey(key ShardKey) (ids []ShardID) {
	for _, id := range c.ShardIDs() {
		if k := c.Shards[id].Key; k != nil && *k == key {
			ids = append(ids, id)
		}
	}
	return ids
}

// hosts refuses a new shard whose replicas are to be on peers that are no members (any more).
func (s *State) hosts(shard *Shard) error {
	if shard == nil {
		return sextant.Errorf(sextant.Corrupt, "topology: a new shard has no description")
	}
	for _, p := range shard.Peers() {
		if _, known := s.Peers[p]; !known && len(s.Peers) > 0 {
			return sextant.Errorf(sextant.BadRequest, "Peer %d does not exist", p)
		}
	}
	return nil
}

func (s *State) createKey(c *CreateKey) error {
	was, ok := s.Collections[c.Collection]
	if !ok || was.UUID != c.UUID {
		return missing(c.Collection)
	}
	if !was.Custom() {
		return sextant.Errorf(sextant.BadRequest, "Shard Key cannot be created with Auto sharding method")
	}
	if len(was.OfKey(c.Key)) > 0 {
		return sextant.Errorf(sextant.BadRequest, "Sharding key %s already exists for collection %s", c.Key, c.Collection)
	}
	for i := range c.Shards {
		if err := s.hosts(&c.Shards[i]); err != nil {
			return err
		}
	}
	own := s.edit().collection(c.Collection)
	next := ShardID(1)
	for id := range own.Shards {
		next = max(next, id+1)
	}
	for i := range c.Shards {
		made := c.Shards[i].clone()
		key := c.Key
		made.Key, made.Term = &key, max(made.Term, s.Epoch+1)
		own.Shards[next] = made
		next++
	}
	s.relocate()
	return nil
}

func (s *State) dropKey(c *DropKey) error {
	was, ok := s.Collections[c.Collection]
	if !ok || was.UUID != c.UUID {
		return missing(c.Collection)
	}
	if !was.Custom() {
		return sextant.Errorf(sextant.BadRequest, "Shard Key cannot be created with Auto sharding method")
	}
	gone := was.OfKey(c.Key)
	if len(gone) == 0 {
		return sextant.Errorf(sextant.BadRequest, "Sharding key %s does not exist for collection %s", c.Key, c.Collection)
	}
	own := s.edit().collection(c.Collection)
	maps.DeleteFunc(own.Shards, func(id ShardID, _ *Shard) bool { return slices.Contains(gone, id) })
	s.relocate()
	return nil
}
