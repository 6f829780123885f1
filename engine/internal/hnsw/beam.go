package hnsw

import (
	"math"
	mathbits "math/bits"
)

// A beam is the ascending array of the best candidates of a walk, best last in value but first in place.
// A candidate is one word, so that ordering is one comparison and ties fall to the lower id:
//
//	bits 63-32  score, mapped so that unsigned order is the order of floats
//	bits 31-1   complement of the id
//	bit  0      set once the candidate has been expanded
type beam struct {
	at   []uint64 // descending
	size int      // ef: how many are kept
	next int      // no candidate before this place is unexpanded
}

const expanded = 1

func pack(score float32, id uint32) uint64 {
	b := math.Float32bits(score)
	b ^= uint32(int32(b)>>31) | 1<<31
	return uint64(b)<<32 | uint64(^id<<1)
}

func packedID(c uint64) uint32 { return ^(uint32(c) >> 1) & (maxVertices - 1) }

func packedScore(c uint64) float32 {
	b := uint32(c >> 32)
	b ^= ^uint32(int32(b)>>31) | 1<<31
	return math.Float32frombits(b)
}

func (b *beam) reset(size int) {
	if cap(b.at) < size+1 {
		b.at = make([]uint64, 0, size+1)
	}
	b.at, b.size, b.next = b.at[:0], size, 0
}

// floor is the score below which a candidate need not be offered.
func (b *beam) floor() float32 {
	if len(b.at) < b.size {
		return float32(math.Inf(-1))
	}
	return packedScore(b.at[len(b.at)-1])
}

// offer puts a candidate in its place unless the beam is full of better ones.
func (b *beam) offer(c uint64) {
	at := b.at
	lo := rank(at, c)
	if len(at) < b.size {
		at = append(at, 0)
	} else if lo == len(at) {
		return
	}
	copy(at[lo+1:], at[lo:])
	at[lo] = c
	b.at = at
	b.next = min(b.next, lo)
}

// rank is how many candidates are better than c. The search makes no jump that depends on the data: its
// comparisons are coin tosses, and a wrong guess costs more than the copy that follows.
func rank(at []uint64, c uint64) int {
	lo, n := 0, len(at)
	for n > 0 {
		half := (n + 1) >> 1
		_, better := mathbits.Sub64(c, at[lo+half-1], 0)
		lo += half & -int(better)
		n -= half
	}
	return lo
}

// peek is the best unexpanded candidate.
func (b *beam) peek() (id uint32, ok bool) {
	for b.next < len(b.at) && b.at[b.next]&expanded != 0 {
		b.next++
	}
	if b.next == len(b.at) {
		return 0, false
	}
	return packedID(b.at[b.next]), true
}

// take is peek and marks the candidate as expanded.
func (b *beam) take() (id uint32, ok bool) {
	if id, ok = b.peek(); ok {
		b.at[b.next] |= expanded
	}
	return id, ok
}
