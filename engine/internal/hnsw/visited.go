package hnsw

// visited is the set of ids a walk has met: one bit each. Bits at and above the number of ids are always
// set, so that an id which a damaged file makes too large is never scored.
type visited struct {
	bits []uint64
	n    int
}

func newVisited(n int) visited {
	v := visited{bits: make([]uint64, (n+63)/64), n: n}
	v.fence()
	return v
}

func (v *visited) fence() {
	if tail := v.n % 64; tail != 0 {
		v.bits[len(v.bits)-1] |= ^uint64(0) << tail
	}
}

func (v *visited) reset() {
	clear(v.bits)
	v.fence()
}

// take makes the set equal to some bits, of which there may be more or fewer, or to their complement.
func (v *visited) take(bits []uint64, complement uint64) {
	n := copy(v.bits, bits)
	clear(v.bits[n:])
	for i := range v.bits {
		v.bits[i] ^= complement
	}
	v.fence()
}

func (v *visited) bitSet(id uint32) bool { return v.bits[id>>6]>>(id&63)&1 != 0 }

// mark reports whether id was new.
func (v *visited) mark(id uint32) bool {
	w := uint(id >> 6)
	if w >= uint(len(v.bits)) {
		return false
	}
	old := v.bits[w]
	v.bits[w] = old | 1<<(id&63)
	return old>>(id&63)&1 == 0
}

// gather copies the ids of a block that are new to ids, marks them, and returns how many; ids is as long as
// the block at least. It has no branch that depends on the data: whether a neighbour is new is a coin toss.
func (v *visited) gather(block, ids []uint32) (count int, ok bool) {
	bits := v.bits
	ids = ids[:len(block)]
	for _, id := range block {
		w := uint(id >> 6)
		if w >= uint(len(bits)) {
			return 0, false
		}
		old := bits[w]
		ids[count] = id
		count += int(^old >> (id & 63) & 1)
		bits[w] = old | 1<<(id&63)
	}
	return count, true
}
