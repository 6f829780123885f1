package replica

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sextantdb/sextant"
)

// A follower that dies between its acknowledgement and its apply is all that a write waits for, and owes nothing else.
func TestAFollowerDiesBeforeItApplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newToyWorld(t, 3)
		defer w.close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		time.Sleep(100 * time.Millisecond)
		if _, err := w.nodes[0].write(ctx, 1, `{}`, sextant.Applied); err != nil {
			t.Fatal(err)
		}
		w.nodes[2].store.mu.Lock()
		w.nodes[2].store.late = 10 * time.Second
		w.nodes[2].store.mu.Unlock()
		took := make(chan time.Duration, 1)
		go func() {
			start := time.Now()
			r, err := w.nodes[0].write(ctx, 2, `{}`, sextant.Applied)
			if err != nil || r.Status != sextant.Completed {
				t.Error(r, err)
			}
			took <- time.Since(start)
		}()
		time.Sleep(5 * time.Second)
		select {
		case <-took:
			t.Error("the write did not wait for a follower that lives and is slow to apply")
		default:
		}
		w.nodes[2].kill()
		if took := <-took; took > 6*time.Second {
			t.Errorf("the write took %v", took)
		}
	})
}
