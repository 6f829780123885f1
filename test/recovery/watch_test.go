package recovery

import (
	"slices"
	"sync"
	"testing"
	"time"
)

// watcher looks at a transfer without a pause, as one peer shows it.
type watcher struct {
	end     chan struct{}
	run     sync.WaitGroup
	counts  []int    // of transfers, each change
	methods []string // each change
	states  []string // of the receiver, each change
}

// watch looks at a shard's transfers, and at their receiver, which is not the peer that is asked.
func (s *tale) watch(peer, receiver int, shard uint32) *watcher {
	w := &watcher{end: make(chan struct{})}
	glance := func() {
		v, err := s.Setup(peer, s.name)
		if err != nil {
			return
		}
		w.counts = change(w.counts, len(v.Moving))
		for _, m := range v.Moving {
			w.methods = change(w.methods, m.Method)
		}
		state := ""
		for _, r := range v.Remote {
			if r.Peer == s.ids[receiver] && r.Shard == shard {
				state = r.State
			}
		}
		w.states = change(w.states, state)
	}
	glance() // what is there before anything else happens
	w.run.Go(func() {
		for {
			select {
			case <-w.end:
				return
			case <-time.After(2 * time.Millisecond):
				glance()
			}
		}
	})
	return w
}

// change appends what is not the last one already.
func change[T comparable](seen []T, now T) []T {
	if n := len(seen); n == 0 || seen[n-1] != now {
		return append(seen, now)
	}
	return seen
}

// stop ends the watch and checks that transfers came once and went once, and that the receiver went through states in order;
// some may have been too short to be seen.
func (w *watcher) stop(t *testing.T, states ...string) {
	t.Helper()
	close(w.end)
	w.run.Wait()
	if !slices.Equal(w.counts, []int{0, 1, 0}) {
		t.Errorf("transfers were counted %v", w.counts)
	}
	at := 0
	for _, state := range w.states {
		i := slices.Index(states[at:], state)
		if i < 0 {
			t.Errorf("the receiver was %v, it should go through %v", w.states, states)
			return
		}
		at += i
	}
	if last := w.states[len(w.states)-1]; last != states[len(states)-1] {
		t.Errorf("the receiver ended as %q", last)
	}
}
