package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/segment"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/wal"
)

// writer is the applied state of a shard. Its lock is held while entries are applied and while segments change places,
// never while files are written.
type writer struct {
	stopped atomic.Bool // broken is set: to be seen without waiting for an apply under way

	mu       sync.Mutex // guards all below
	state    *segment.State
	applied  order.Pos
	broken   error         // an entry could not be applied for a reason that is not the user's; nothing behind it is
	moved    chan struct{} // closed and renewed when applied moves, or the writer breaks
	requests window
	frozen   []segment.SegmentID // heads that no checkpoint has sealed yet
	since    work                // applied since the checkpoint
}

// work is what a checkpoint would save from being applied again.
type work struct {
	entries int
	bytes   int64 // of the log
	begun   time.Time
}

// entry is one entry to apply.
type entry struct {
	pos     order.Pos
	kind    wal.Kind
	id      wal.RequestID
	effects sextant.Update // of wal.Effects
	bytes   int            // its body in the log
	err     error          // outcome: what the user is told
	digest  []byte         // outcome of a mark
}

// apply applies entries in order and publishes what came of them as one view. Each entry's err is the user's error, if any;
// the error returned is one that stops the shard: then the entries from there on have it too.
func (s *Shard) apply(entries []entry) error {
	w := &s.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range entries {
		e := &entries[i]
		if w.broken == nil {
			e.err = w.applyOne(e)
			if e.err != nil && !userError(e.err) {
				w.stopped.Store(true)
				w.broken = sextant.Errorf(sextant.KindOf(e.err), "Not recovered from previous error: %w", e.err)
				s.slog.Error("an entry cannot be applied", "seq", e.pos.Seq, "term", e.pos.Term, "err", e.err)
			}
		} else {
			e.err = w.broken
		}
	}
	s.publish()
	close(w.moved)
	w.moved = make(chan struct{})
	return w.broken
}

func (w *writer) applyOne(e *entry) (err error) {
	if e.kind == wal.Effects {
		err = w.state.Apply(uint64(e.pos.Seq), e.effects)
	} else {
		w.state.Skip(uint64(e.pos.Seq))
	}
	if err != nil && !userError(err) {
		return err
	}
	if e.kind == wal.Mark {
		d := w.state.Digest()
		e.digest = d.Ranges()
	}
	w.applied = e.pos
	w.requests.add(pastRequest{ID: e.id, Seq: e.pos.Seq}.with(err))
	if w.since.entries == 0 {
		w.since.begun = time.Now()
	}
	w.since.entries++
	w.since.bytes += int64(e.bytes)
	return err
}

// userError says whether an error tells the user about the request; any other is one of this replica.
func userError(err error) bool {
	switch sextant.KindOf(err) {
	case sextant.Internal, sextant.Corrupt:
		return false
	}
	return true
}

// publish makes the state what readers see; the caller holds the writer's lock.
func (s *Shard) publish() { s.views.Set(s.writer.state.Publish()) }

// place returns the last entry applied.
func (w *writer) place() order.Pos {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.applied
}

// unsealed returns how many bytes of log the next start would apply.
func (w *writer) unsealed() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.since.bytes
}

// failure returns what stopped the writer, if anything did.
func (w *writer) failure() error {
	if !w.stopped.Load() {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.broken
}

// await waits until everything up to seq is applied.
func (w *writer) await(ctx context.Context, seq order.Seq) error {
	for {
		w.mu.Lock()
		applied, broken, moved := w.applied.Seq, w.broken, w.moved
		w.mu.Unlock()
		if applied >= seq {
			return nil
		}
		if broken != nil {
			return broken
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
