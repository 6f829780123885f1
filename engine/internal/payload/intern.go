package payload

import (
	"hash/maphash"
)

// interner numbers different byte strings from 0 in the order of their first appearance. It holds no pointer per string.
type interner struct {
	arena []byte
	ends  []uint64
	table []uint32 // id+1 by hash, open addressing; a power of two, at most half full
	seed  maphash.Seed
}

func newInterner() *interner { return &interner{table: make([]uint32, 64), seed: maphash.MakeSeed()} }

func (t *interner) len() int { return len(t.ends) }

// name returns the string of an id. It stays valid.
func (t *interner) name(id uint32) []byte {
	from := uint64(0)
	if id > 0 {
		from = t.ends[id-1]
	}
	return t.arena[from:t.ends[id]:t.ends[id]]
}

// find returns the place of a string in the table: of its id, or free.
func (t *interner) find(s []byte) int {
	mask := len(t.table) - 1
	at := int(maphash.Bytes(t.seed, s)) & mask
	for t.table[at] != 0 && string(t.name(t.table[at]-1)) != string(s) {
		at = (at + 1) & mask
	}
	return at
}

func (t *interner) lookup(s []byte) (id uint32, ok bool) {
	slot := t.table[t.find(s)]
	return slot - 1, slot != 0
}

func (t *interner) id(s []byte) uint32 {
	at := t.find(s)
	if t.table[at] != 0 {
		return t.table[at] - 1
	}
	if 2*(len(t.ends)+1) > len(t.table) {
		t.grow()
		at = t.find(s)
	}
	t.arena = append(t.arena, s...)
	t.ends = append(t.ends, uint64(len(t.arena)))
	t.table[at] = uint32(len(t.ends))
	return uint32(len(t.ends) - 1)
}

func (t *interner) grow() {
	t.table = make([]uint32, 2*len(t.table))
	for id := range uint32(len(t.ends)) {
		t.table[t.find(t.name(id))] = id + 1
	}
}

func (t *interner) bytes() int64 {
	return int64(cap(t.arena) + 8*cap(t.ends) + 4*len(t.table))
}
