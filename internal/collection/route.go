package collection

import (
	"slices"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/topology"
)

// Standing is what the replicas of a shard are good for.
type Standing struct {
	Readable bool // one may answer reads
	Active   bool // one is the owner's: Active, or the like
	Early    bool // all are ActiveRead: readable, but the points still belong to another key
}

// StandingOf judges the replicas of a shard.
func StandingOf(s *topology.Shard) (out Standing) {
	if s == nil {
		return out
	}
	out.Early = len(s.Replicas) > 0
	for p, r := range s.Replicas {
		out.Readable = out.Readable || s.MayRead(p)
		out.Active = out.Active || r.State.Sends() || r.State == topology.ManualRecovery && r.InSync
		out.Early = out.Early && r.State == topology.ActiveRead
	}
	return out
}

// standing returns what the replicas of a shard are good for; a node that is alone has nothing but good ones.
func (v *View) standing(id topology.ShardID) Standing {
	if v.Standing == nil {
		return Standing{Readable: true, Active: true}
	}
	return v.Standing(id)
}

// each reports whether a key exists and all its shards are as told.
func (v *View) each(key topology.ShardKey, good func(Standing) bool) bool {
	ring, ok := v.rings[key]
	return ok && !slices.ContainsFunc(ring.Shards(), func(id topology.ShardID) bool { return !good(v.standing(id)) })
}

// instead chooses between a key and its fallback.
func (v *View) instead(target, fallback topology.ShardKey, good func(Standing) bool) (topology.ShardKey, error) {
	_, some := v.rings[target]
	_, other := v.rings[fallback]
	switch {
	case !some && !other:
		return target, sextant.Errorf(sextant.NotFound, "Neither target shard key %s nor fallback shard key %s exist", target, fallback)
	case v.each(target, good):
		return target, nil
	case v.each(fallback, good):
		return fallback, nil
	}
	return target, sextant.Errorf(sextant.Unavailable, "Neither target shard key %s nor fallback shard key %s have active replicas", target, fallback)
}

// forRead returns the shards that a read asks, ascending. Without a key, a shard of a custom collection that nobody can read is
// left out: its key may be one that is just being filled.
func (v *View) forRead(r Read) ([]topology.ShardID, error) {
	if r.Shard != nil {
		if _, ok := v.Shards[*r.Shard]; !ok {
			return nil, sextant.Errorf(sextant.NotFound, "shard %d not found", *r.Shard)
		}
		return []topology.ShardID{*r.Shard}, nil
	}
	if len(r.Keys) == 0 {
		if !v.custom() {
			return v.all.Shards(), nil
		}
		return slices.DeleteFunc(slices.Clone(v.all.Shards()), func(id topology.ShardID) bool { return !v.standing(id).Readable }), nil
	}
	keys := r.Keys
	if r.Fallback != nil {
		key, err := v.instead(keys[0], *r.Fallback, func(s Standing) bool { return s.Readable })
		if err != nil {
			return nil, err
		}
		keys = []topology.ShardKey{key}
	}
	var shards []topology.ShardID
	for _, key := range keys {
		ring, ok := v.rings[key]
		if !ok {
			return nil, sextant.Errorf(sextant.BadRequest, "Shard key %s not found", key)
		}
		shards = append(shards, ring.Shards()...)
	}
	slices.Sort(shards)
	return slices.Compact(shards), nil
}

// forWrite returns the rings that a write goes to, each once.
func (v *View) forWrite(w Write) ([]topology.Ring, error) {
	if len(w.Keys) == 0 {
		if v.custom() {
			return nil, sextant.Errorf(sextant.WrongInput, "Shard key not specified")
		}
		return []topology.Ring{v.all}, nil
	}
	keys := w.Keys
	if w.Fallback != nil {
		target := keys[0]
		ring := v.rings[target]
		_, other := v.rings[*w.Fallback]
		if other && slices.ContainsFunc(ring.Shards(), func(id topology.ShardID) bool { return v.standing(id).Early }) {
			keys = []topology.ShardKey{target, *w.Fallback} // the points move from the one to the other right now
		} else {
			key, err := v.instead(target, *w.Fallback, func(s Standing) bool { return s.Active })
			if err != nil {
				return nil, err
			}
			keys = []topology.ShardKey{key}
		}
	}
	var rings []topology.Ring
	for i, key := range keys {
		ring, ok := v.rings[key]
		if !ok {
			return nil, sextant.Errorf(sextant.WrongInput, "Shard key %s not found", key)
		}
		if !slices.Contains(keys[:i], key) {
			rings = append(rings, ring)
		}
	}
	return rings, nil
}
