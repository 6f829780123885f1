package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/segment"
	"github.com/sextantdb/sextant/internal/codec"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/wal"
)

// queue carries updates through the two steps of their life: a logger gives them seqs and makes them durable, all that wait
// with one fsync; an applier applies them, all that are durable with one view. Each is a goroutine that exists only while
// there is something to do, and each works while the other does: the next batch gathers during an fsync.
type queue struct {
	s     *Shard
	slots chan struct{} // one per update under way

	mu       sync.Mutex // guards all below
	waiting  []*request
	logged   []*request
	logging  bool
	applying bool
	closed   bool
	idle     sync.WaitGroup // the two goroutines
}

// request is an update under way.
type request struct {
	update    sextant.Update // its effects once resolved
	dependent bool           // the effects depend on stored data: resolved when everything before is applied
	body      []byte         // the effects encoded
	id        wal.RequestID

	pos     order.Pos
	refused bool // it is not in the log
	err     error
	logged  chan struct{} // closed when it is durable, or refused; pos and refused are set before
	done    chan struct{} // closed when it is applied, or cannot be; err is set before
}

// batchBytes bounds what is logged with one fsync.
const batchBytes = 8 << 20

func newQueue(s *Shard, slots int) *queue {
	return &queue{s: s, slots: make(chan struct{}, slots)}
}

// submit waits for a slot and puts a request behind the others. A deadline that is over does not keep an update out while
// there is room; a caller that is gone does.
func (q *queue) submit(ctx context.Context, r *request) error {
	r.logged, r.done = make(chan struct{}), make(chan struct{})
	select {
	case q.slots <- struct{}{}:
	default:
		select {
		case q.slots <- struct{}{}:
		case <-ctx.Done():
			return fmt.Errorf("no room in the update queue: %w", ctx.Err())
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		<-q.slots
		return errClosed
	}
	q.waiting = append(q.waiting, r)
	if !q.logging {
		q.logging = true
		q.idle.Go(q.logAll)
	}
	return nil
}

// length returns how many updates are under way.
func (q *queue) length() int { return len(q.slots) }

// close refuses what comes later and waits until everything that came before is applied.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.idle.Wait()
}

// logAll is the logger.
func (q *queue) logAll() {
	for {
		batch := q.take()
		if batch == nil {
			return
		}
		if batch = q.dependent(batch); len(batch) > 0 {
			q.pass(q.log(batch))
		}
	}
}

// take returns the next requests to log: those that wait, up to the first whose effects depend on the others before it.
// With none left the logger ends.
func (q *queue) take() []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	bytes, n := 0, 0
	for n < len(q.waiting) && bytes < batchBytes && (n == 0 || !q.waiting[n].dependent) {
		bytes += len(q.waiting[n].body)
		n++
	}
	if n == 0 {
		q.logging = false
		return nil
	}
	batch := append([]*request(nil), q.waiting[:n]...)
	clear(q.waiting[:n])
	q.waiting = q.waiting[n:]
	if len(q.waiting) == 0 {
		q.waiting = nil
	}
	return batch
}

// dependent turns the first request into effects, if they depend on stored data, and drops it if that fails.
func (q *queue) dependent(batch []*request) []*request {
	r := batch[0]
	if !r.dependent {
		return batch
	}
	err := q.s.writer.await(q.s.life, q.s.log.Commit()) // what a failed log ends with is never applied
	if err == nil {
		r.update, err = q.s.resolve(r.update)
	}
	if err != nil {
		q.fail(batch[:1], err)
		return batch[1:]
	}
	r.body = codec.AppendUpdate(nil, r.update)
	return batch
}

// log gives seqs, makes durable, and returns the requests that are.
func (q *queue) log(batch []*request) []*request {
	s := q.s
	if err := s.writer.failure(); err != nil {
		q.fail(batch, err)
		return nil
	}
	last := s.log.Last()
	records := make([]wal.Record, len(batch))
	for i, r := range batch {
		r.pos = order.Pos{Seq: last.Seq + 1 + order.Seq(i), Term: max(last.Term, 1)}
		records[i] = wal.Record{Seq: r.pos.Seq, Term: r.pos.Term, Kind: wal.Effects, ID: r.id, Body: r.body}
	}
	// The shard's own life, not a caller's: what was appended must become durable or be given up, whoever waits.
	background := context.Background()
	ticket, err := s.log.Append(background, records...)
	if err == nil {
		err = s.log.Sync(background, ticket)
	}
	if err != nil {
		// A disk that became full between two files may have taken the first ones.
		n := 0
		for durable := s.log.Durable(); n < len(batch) && batch[n].pos.Seq <= durable && ticket != (wal.Ticket{}); n++ {
		}
		q.fail(batch[n:], s.logError(err))
		batch = batch[:n]
	}
	if len(batch) > 0 {
		s.log.SetCommit(batch[len(batch)-1].pos.Seq)
	}
	return batch
}

// logError words a failure of the log.
func (s *Shard) logError(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		s.slog.Error("No space left on device: the log cannot be written", "err", err)
		return sextant.Errorf(sextant.Internal, "%s: %w", noSpace, err)
	}
	s.slog.Error("the log cannot be written", "err", err)
	return fmt.Errorf("write the log: %w", err)
}

// fail answers requests that are not in the log.
func (q *queue) fail(batch []*request, err error) {
	for _, r := range batch {
		r.err, r.refused = err, true
		close(r.logged)
		close(r.done)
		<-q.slots
	}
}

// pass hands durable requests to the applier.
func (q *queue) pass(batch []*request) {
	if len(batch) == 0 {
		return
	}
	for _, r := range batch {
		close(r.logged)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.logged = append(q.logged, batch...)
	if !q.applying {
		q.applying = true
		q.idle.Go(q.applyAll)
	}
}

// applyAll is the applier.
func (q *queue) applyAll() {
	for {
		q.mu.Lock()
		batch := q.logged
		q.logged = nil
		if len(batch) == 0 {
			q.applying = false
			q.mu.Unlock()
			return
		}
		q.mu.Unlock()
		q.s.keeper.throttle(q.s.life)
		entries := make([]entry, len(batch))
		for i, r := range batch {
			entries[i] = entry{pos: r.pos, kind: wal.Effects, id: r.id, effects: r.update, bytes: len(r.body)}
		}
		_ = q.s.apply(entries) // each entry has its error
		for i, r := range batch {
			r.err = entries[i].err
			r.update, r.body = nil, nil
			close(r.done)
			<-q.slots
		}
		q.s.keeper.applied()
	}
}

// resolve turns an update into effects as of everything that is logged so far: the caller has seen to it that all of that is
// applied, and logs nothing before the result.
func (s *Shard) resolve(u sextant.Update) (sextant.Update, error) {
	return read(s, func(v *segment.View) (sextant.Update, error) { return v.Resolve(s.life, u) })
}
