package segment

import (
	"math/bits"
	"sync"

	"github.com/sextantdb/sextant"
)

// idTable finds the rows of an id in a head. It knows the newest row of each id; older ones hang behind it, so that a view
// which does not see the newest yet finds its own.
type idTable struct {
	mu    sync.RWMutex // readers hold it for one lookup; the writer, who alone changes anything, only while it does so
	slots []uint32     // row+1, open addressing
	ids   column[sextant.PointID]
	prev  column[uint32] // row of the same id before, or none
	used  int
}

func hashID(id sextant.PointID) uint64 {
	h := id.Lo*0x9E3779B97F4A7C15 ^ bits.RotateLeft64(id.Hi*0xC2B2AE3D27D4EB4F, 31)
	if id.IsUUID {
		h ^= 0x165667B19E3779F9
	}
	h ^= h >> 32
	h *= 0xD6E8FEB86659FD93
	return h ^ h>>29
}

// slot returns the place of id in slots: its own, or the free one where it belongs.
func (t *idTable) slot(slots []uint32, id sextant.PointID) int {
	mask := len(slots) - 1
	for i := int(hashID(id)) & mask; ; i = (i + 1) & mask {
		if s := slots[i]; s == 0 || t.ids.at(s-1) == id {
			return i
		}
	}
}

// append adds the next row. Only the writer calls it.
func (t *idTable) append(id sextant.PointID) {
	if 4*(t.used+1) > 3*len(t.slots) {
		t.rehash()
	}
	i := t.slot(t.slots, id)
	t.mu.Lock()
	defer t.mu.Unlock()
	before := none
	if s := t.slots[i]; s != 0 {
		before = s - 1
	} else {
		t.used++
	}
	t.ids.append(id)
	t.prev.append(before)
	t.slots[i] = t.ids.n
}

// rehash doubles the table beside the old one, so that readers wait only for the exchange.
func (t *idTable) rehash() {
	bigger := make([]uint32, max(16, 2*len(t.slots)))
	for _, s := range t.slots {
		if s != 0 {
			bigger[t.slot(bigger, t.ids.at(s-1))] = s
		}
	}
	t.mu.Lock()
	t.slots = bigger
	t.mu.Unlock()
}

// newest returns the newest row of id. Only the writer calls it.
func (t *idTable) newest(id sextant.PointID) (uint32, bool) {
	if len(t.slots) == 0 {
		return 0, false
	}
	s := t.slots[t.slot(t.slots, id)]
	return s - 1, s != 0
}

// find returns the newest row of id below n.
func (t *idTable) find(id sextant.PointID, n uint32) (uint32, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	row, ok := t.newest(id)
	for ok && row >= n {
		row = t.prev.at(row)
		ok = row != none
	}
	return row, ok
}

// older visits the rows of id before row.
func (t *idTable) older(row uint32, visit func(row uint32)) {
	for {
		t.mu.RLock()
		row = t.prev.at(row)
		t.mu.RUnlock()
		if row == none {
			return
		}
		visit(row)
	}
}
