package payload

import "math/bits"

// rowSet is a set of rows as an index keeps it: in one of five forms. It may hold rows beyond the view at hand (a head
// grows) or, in a damaged file, beyond the segment; every use cuts these off.
type rowSet struct {
	count uint32   // of rows
	loose bool     // a row may be in list more than once, and count counts it as often
	list  []uint32 // rows in any order
	bits  []uint64
	prev  []uint32 // makes list a pool of chains: list[last-1] is a row, prev[last-1] the next last, 0 ends
	last  uint32
	all   bool // every row
	// fill adds the rows, which are found only now, and count is a bound. Such a set is only ever added.
	fill func(dst []uint64)
}

func (s *rowSet) addTo(dst []uint64) {
	switch {
	case s.fill != nil:
		s.fill(dst)
	case s.all:
		for i := range dst {
			dst[i] = ^uint64(0)
		}
	case s.bits != nil:
		for i := range min(len(dst), len(s.bits)) {
			dst[i] |= s.bits[i]
		}
	case s.prev != nil:
		s.chain(func(r uint32) bool {
			if w := int(r >> 6); w < len(dst) {
				dst[w] |= 1 << (r & 63)
			}
			return true
		})
	default:
		for _, r := range s.list {
			if w := int(r >> 6); w < len(dst) {
				dst[w] |= 1 << (r & 63)
			}
		}
	}
}

func (s *rowSet) removeFrom(dst []uint64) {
	switch {
	case s.all:
		clear(dst)
	case s.bits != nil:
		for i := range min(len(dst), len(s.bits)) {
			dst[i] &^= s.bits[i]
		}
	case s.prev != nil:
		s.chain(func(r uint32) bool {
			if w := int(r >> 6); w < len(dst) {
				dst[w] &^= 1 << (r & 63)
			}
			return true
		})
	default:
		for _, r := range s.list {
			if w := int(r >> 6); w < len(dst) {
				dst[w] &^= 1 << (r & 63)
			}
		}
	}
}

// countIn returns how many rows of the set are in sel. Rows must not repeat.
func (s *rowSet) countIn(sel []uint64) uint32 {
	n := 0
	switch {
	case s.bits != nil:
		for i := range min(len(sel), len(s.bits)) {
			n += bits.OnesCount64(sel[i] & s.bits[i])
		}
	case s.prev != nil:
		s.chain(func(r uint32) bool {
			if w := int(r >> 6); w < len(sel) {
				n += int(sel[w] >> (r & 63) & 1)
			}
			return true
		})
	default:
		for _, r := range s.list {
			if w := int(r >> 6); w < len(sel) {
				n += int(sel[w] >> (r & 63) & 1)
			}
		}
	}
	return uint32(n)
}

// each calls yield with the rows: ascending of a sorted list and of bits, descending of a chain.
func (s *rowSet) each(yield func(row uint32) bool) bool {
	switch {
	case s.bits != nil:
		return eachBit(s.bits, yield)
	case s.prev != nil:
		return s.chain(yield)
	}
	for _, r := range s.list {
		if !yield(r) {
			return false
		}
	}
	return true
}

func (s *rowSet) chain(yield func(row uint32) bool) bool {
	for at := s.last; at > 0; at = s.prev[at-1] {
		if !yield(s.list[at-1]) {
			return false
		}
	}
	return true
}

func eachBit(b []uint64, yield func(row uint32) bool) bool {
	for i, w := range b {
		for ; w != 0; w &= w - 1 {
			if !yield(uint32(i)<<6 + uint32(bits.TrailingZeros64(w))) {
				return false
			}
		}
	}
	return true
}

func countBits(b []uint64) uint32 {
	n := 0
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return uint32(n)
}

func words(n uint32) int { return int((uint64(n) + 63) / 64) }

// fill returns the set of all n rows.
func fill(dst []uint64, n uint32) {
	for i := range dst {
		dst[i] = ^uint64(0)
	}
	if n%64 != 0 {
		dst[len(dst)-1] = 1<<(n%64) - 1
	}
}
