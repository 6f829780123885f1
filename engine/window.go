package engine

import (
	"cmp"
	"slices"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/wal"
)

// windowSize is how many request ids a shard remembers, and livesKept of how many lives of processes it knows up to where it
// has forgotten.
const (
	windowSize = 1024
	livesKept  = 256
)

// pastRequest is a client's request that was applied.
type pastRequest struct {
	ID  wal.RequestID `json:"id"`
	Seq order.Seq     `json:"seq"`
	// Kind and Text are the user's error that it ended with; "": none.
	Kind sextant.Kind `json:"kind,omitempty"`
	Text string       `json:"text,omitempty"`
}

func (r pastRequest) with(err error) pastRequest {
	if err != nil {
		r.Kind, r.Text = sextant.KindOf(err), err.Error()
	}
	return r
}

// eviction says up to which number the requests of one life of a peer may be forgotten.
type eviction struct {
	Peer    uint64 `json:"peer"`
	Life    uint64 `json:"life"`
	Through uint64 `json:"through"`
}

// window remembers the newest requests and their fate. It is a function of the log, so replicas agree on it.
type window struct {
	byID    map[wal.RequestID]pastRequest
	list    []wal.RequestID // oldest first, at most twice windowSize
	evicted []eviction      // by peer, then life
}

func (w *window) add(r pastRequest) {
	if r.ID == (wal.RequestID{}) {
		return
	}
	if w.byID == nil {
		w.byID = map[wal.RequestID]pastRequest{}
	}
	w.byID[r.ID] = r
	w.list = append(w.list, r.ID)
	if len(w.list) < 2*windowSize {
		return
	}
	for _, id := range w.list[:windowSize] {
		w.evict(id)
		delete(w.byID, id)
	}
	w.list = append([]wal.RequestID(nil), w.list[windowSize:]...)
	if n := len(w.evicted) - livesKept; n > 0 {
		w.evicted = slices.Delete(w.evicted, 0, n)
	}
}

func compareLives(e eviction, id wal.RequestID) int {
	return cmp.Or(cmp.Compare(e.Peer, id.Peer), cmp.Compare(e.Life, id.Life))
}

func (w *window) evict(id wal.RequestID) {
	i, found := slices.BinarySearchFunc(w.evicted, id, compareLives)
	if !found {
		w.evicted = slices.Insert(w.evicted, i, eviction{Peer: id.Peer, Life: id.Life})
	}
	w.evicted[i].Through = max(w.evicted[i].Through, id.Number)
}

// find returns the fate of a request. forgotten is exact while the life is known: what has a number above all that were
// forgotten never came.
func (w *window) find(id wal.RequestID) (seq order.Seq, outcome error, known, forgotten bool) { //nolint:staticcheck // outcome is what became of the request, not a failure of the call
	if r, ok := w.byID[id]; ok {
		if r.Text != "" {
			outcome = sextant.Errorf(r.Kind, "%s", r.Text)
		}
		return r.Seq, outcome, true, false
	}
	i, found := slices.BinarySearchFunc(w.evicted, id, compareLives)
	if found {
		return 0, nil, false, id.Number <= w.evicted[i].Through
	}
	return 0, nil, false, len(w.evicted) >= livesKept
}

// newest returns what the window remembers, oldest first, and what it has forgotten.
func (w *window) newest() ([]pastRequest, []eviction) {
	past := make([]pastRequest, 0, len(w.list))
	for _, id := range w.list {
		past = append(past, w.byID[id])
	}
	return past, slices.Clone(w.evicted)
}

func (w *window) restore(past []pastRequest, evicted []eviction) {
	w.evicted = slices.Clone(evicted)
	for _, r := range past {
		w.add(r)
	}
}
