package replica

import (
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/wal"
)

// remembered is how many applied requests core itself remembers: enough to bridge the moment between a question to the
// store, which remembers longer, and the append.
const remembered = 256

// memory knows the requests that are logged and not applied, and the newest applied ones.
type memory struct {
	byID map[wal.RequestID]order.Seq
	list []memo // by seq
	done order.Seq
}

type memo struct {
	id  wal.RequestID
	seq order.Seq
	err error // a user's error, when applied
}

func (m *memory) add(id wal.RequestID, seq order.Seq) {
	if id == (wal.RequestID{}) {
		return
	}
	if m.byID == nil {
		m.byID = map[wal.RequestID]order.Seq{}
	}
	m.byID[id] = seq
	m.list = append(m.list, memo{id: id, seq: seq})
}

// cut forgets what was logged above a seq.
func (m *memory) cut(after order.Seq) {
	for n := len(m.list); n > 0 && m.list[n-1].seq > after; n-- {
		if last := m.list[n-1]; m.byID[last.id] == last.seq {
			delete(m.byID, last.id)
		}
		m.list = m.list[:n-1]
	}
}

func (m *memory) outcome(seq order.Seq, err error) {
	for i := len(m.list) - 1; i >= 0 && m.list[i].seq >= seq; i-- {
		if m.list[i].seq == seq {
			m.list[i].err = err
		}
	}
}

// applied tells how far entries are applied; old ones are the store's to remember.
func (m *memory) applied(seq order.Seq) {
	m.done = max(m.done, seq)
	drop := 0
	for drop+remembered < len(m.list) && m.list[drop].seq <= m.done {
		drop++
	}
	if drop < remembered { // not for each one
		return
	}
	for _, old := range m.list[:drop] {
		if m.byID[old.id] == old.seq {
			delete(m.byID, old.id)
		}
	}
	m.list = append([]memo(nil), m.list[drop:]...)
}

// find returns where a request was logged, and what it brought if it is applied.
func (m *memory) find(id wal.RequestID) (seq order.Seq, outcome error, known bool) {
	seq, known = m.byID[id]
	if !known || id == (wal.RequestID{}) {
		return 0, nil, false
	}
	for i := len(m.list) - 1; i >= 0; i-- {
		if m.list[i].seq == seq {
			return seq, m.list[i].err, true
		}
	}
	return seq, nil, true
}
