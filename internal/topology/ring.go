package topology

import (
	"slices"

	"github.com/sextantdb/sextant"
)

// Ring says which shard a point belongs to: the one with the highest of the hashes of (point, shard). So it depends on
// nothing but the point and the set of shards, a shard that is added takes only what becomes its own, about 1/(n+1) of
// the points, and a shard that goes away leaves its points to the others without touching theirs. The hash is part of
// the stored data: it never changes.
type Ring struct {
	shards []ShardID // ascending
	seeds  []uint64
}

// NewRing makes the ring of a set of shards.
func NewRing(shards []ShardID) Ring {
	r := Ring{shards: slices.Sorted(slices.Values(shards))}
	for _, s := range r.shards {
		r.seeds = append(r.seeds, mix(uint64(s)+0x5e47a9b1))
	}
	return r
}

// Len is the number of shards.
func (r Ring) Len() int { return len(r.shards) }

// Shards returns the shards, ascending.
func (r Ring) Shards() []ShardID { return r.shards }

// Owner returns the shard of a point. The ring must not be empty.
func (r Ring) Owner(id sextant.PointID) ShardID {
	if len(r.shards) == 1 {
		return r.shards[0]
	}
	h := mix(id.Lo)
	if id.IsUUID {
		h = mix(h ^ mix(id.Hi^0xd6e8feb86659fd93))
	}
	best, at := uint64(0), 0
	for i, seed := range r.seeds {
		if score := mix(h ^ seed); score > best || i == 0 {
			best, at = score, i
		}
	}
	return r.shards[at]
}

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
