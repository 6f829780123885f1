package wal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sextantdb/sextant/internal/invariant"
	"github.com/sextantdb/sextant/internal/order"
)

// quietBuffer is the largest buffer that a log keeps while nothing is appended.
const quietBuffer = 64 << 10

// batch is what was appended and not yet handed to the disk.
type batch struct {
	buf     []byte
	records []pendingRecord
	entries int // records that are no notes
}

type pendingRecord struct {
	pos  order.Pos
	end  int // in buf
	note bool
}

// Ticket stands for appended records until they are durable. The zero Ticket is durable.
type Ticket struct {
	seq   order.Seq
	reign *reign
}

// Append puts records behind the last one; they are readable and durable once Sync says so. Their bodies are copied.
// ErrGap: the first does not follow Last, or they do not follow each other; then nothing was appended. It waits only when
// much is pending already.
func (l *Log) Append(ctx context.Context, records ...Record) (Ticket, error) {
	for {
		l.mu.Lock()
		if len(l.pending.buf) < maxPending {
			break
		}
		t := Ticket{seq: l.last.Seq, reign: l.reign}
		l.mu.Unlock()
		if err := l.Sync(ctx, t); err != nil {
			return Ticket{}, err
		}
	}
	defer l.mu.Unlock()
	if l.failed != nil {
		return Ticket{}, l.failed
	}
	p := l.last
	for i := range records {
		r := &records[i]
		if r.Kind == 0 || r.Kind >= commitNote || len(r.Body) > maxBody {
			return Ticket{}, fmt.Errorf("wal: record %d is malformed", r.Seq)
		}
		if r.Seq != p.Seq+1 || r.Term < p.Term || r.Term == 0 {
			return Ticket{}, fmt.Errorf("%w: %d@%d behind %s", ErrGap, r.Seq, r.Term, p)
		}
		p = order.Pos{Seq: r.Seq, Term: r.Term}
	}
	for i := range records {
		r := &records[i]
		l.last = order.Pos{Seq: r.Seq, Term: r.Term}
		l.history = l.history.Extend(l.last)
		r.Commit, r.Durable = min(l.commit, r.Seq), l.durable
		l.add(r)
	}
	l.stats.Appends += uint64(len(records))
	return Ticket{seq: l.last.Seq, reign: l.reign}, nil
}

// add encodes a record behind the pending ones; the caller holds mu.
func (l *Log) add(r *Record) {
	b := &l.pending
	b.buf = r.appendTo(b.buf)
	note := r.Kind == commitNote
	b.records = append(b.records, pendingRecord{pos: order.Pos{Seq: r.Seq, Term: r.Term}, end: len(b.buf), note: note})
	if !note {
		b.entries++
	}
	l.noted = max(l.noted, r.Commit)
}

// Sync returns when the ticket's records are durable. Several callers share one fsync. If ctx ends first the records stay
// appended and the next Sync, of whomever, takes them along. After an error Last and Durable say which of the ticket's
// records, of several, stay in the log nevertheless: a disk may have become full between two files.
func (l *Log) Sync(ctx context.Context, t Ticket) error {
	for {
		l.mu.Lock()
		done, err := l.outcome(t)
		round := l.round
		l.mu.Unlock()
		if done {
			return err
		}
		select {
		case <-round:
		case l.io <- struct{}{}:
			_ = l.flush() // the outcome of the ticket tells
			<-l.io
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// outcome says whether a ticket's fate is known; the caller holds mu.
func (l *Log) outcome(t Ticket) (done bool, err error) {
	switch {
	case t.reign == nil:
		return true, nil
	case t.reign.ended && t.seq <= t.reign.durable, !t.reign.ended && t.seq <= l.durable:
		return true, nil
	case t.reign.ended:
		return true, t.reign.why
	case l.failed != nil:
		return true, l.failed
	}
	return false, nil
}

// Note writes the commit into the log unless a record has told it already, without fsync: after the end of the process
// alone, Open knows that everything up to here may be applied. It is meant for a log that nobody appends to just now;
// records that are pending nevertheless are made durable.
func (l *Log) Note() error {
	l.io <- struct{}{}
	defer func() { <-l.io }()
	l.mu.Lock()
	if l.failed != nil || l.noted >= l.commit && len(l.pending.records) == 0 {
		defer l.mu.Unlock()
		return l.failed
	}
	l.addNote()
	l.mu.Unlock()
	return l.flush()
}

// addNote puts a note behind the pending records if there is something to tell; the caller holds mu.
func (l *Log) addNote() {
	if l.failed == nil && l.noted < l.commit {
		l.add(&Record{Kind: commitNote, Seq: l.last.Seq, Term: l.last.Term, Commit: l.commit, Durable: l.durable})
	}
}

// flush hands what is pending to the disk and syncs it, if there are entries among it. After an error what was not
// durable is taken back, or the log has failed. The caller holds io.
func (l *Log) flush() error {
	l.mu.Lock()
	b := l.pending
	if l.failed != nil || len(b.records) == 0 {
		defer l.mu.Unlock()
		return l.failed
	}
	l.pending = batch{buf: l.spare[:0]}
	l.spare = nil
	l.mu.Unlock()

	err := l.write(b)
	var fatal error
	if err != nil {
		fatal = l.takeBack(err)
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	if cap(b.buf) <= quietBuffer || len(l.pending.records) > 0 {
		l.spare = b.buf[:0]
	}
	if fatal != nil {
		l.failed = fatal
	}
	l.wake()
	return err
}

// write appends a batch to the tail, in as many files as it takes.
func (l *Log) write(b batch) error {
	rest := b.records
	for from := 0; len(rest) > 0; {
		l.mu.Lock()
		tail := l.files[len(l.files)-1]
		full := l.ended || l.durable >= tail.first && tail.size >= l.fileBytes
		l.mu.Unlock()
		if full {
			if err := l.roll(); err != nil {
				return err
			}
			continue
		}
		n, entries := 0, 0
		for n < len(rest) && (n == 0 || tail.size+int64(rest[n].end-from) <= l.fileBytes) {
			if !rest[n].note {
				entries++
			}
			n++
		}
		end := rest[n-1].end
		l.dirty = true
		if _, err := l.tail.Write(b.buf[from:end]); err != nil {
			return fmt.Errorf("wal: append: %w", err)
		}
		if entries > 0 {
			if err := l.sync(); err != nil {
				return err
			}
		}
		l.mu.Lock()
		for _, r := range rest[:n] {
			if !r.note && (r.pos.Seq-tail.first)%indexEvery == 0 {
				invariant.Check(len(tail.index) == int(r.pos.Seq-tail.first)/indexEvery, "the index of the last file is whole")
				tail.index = append(tail.index, tail.size)
			}
			tail.size += int64(r.end - from)
			from = r.end
			if !r.note {
				l.durable = r.pos.Seq
			}
		}
		l.mu.Unlock()
		rest = rest[n:]
	}
	return nil
}

// syncError is a failed fsync: what the file holds is not known any more.
type syncError struct{ err error }

func (e *syncError) Error() string { return "wal: sync: " + e.err.Error() }
func (e *syncError) Unwrap() error { return e.err }

func (l *Log) sync() error {
	if !l.dirty {
		return nil
	}
	begin := time.Now()
	if err := l.tail.Sync(); err != nil {
		return &syncError{err}
	}
	l.dirty = false
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Syncs++
	l.stats.SyncTime += time.Since(begin)
	return nil
}

// roll closes the tail, durably, and begins the next file.
func (l *Log) roll() error {
	if err := l.sync(); err != nil {
		return err
	}
	l.mu.Lock()
	term, _ := l.history.TermAt(l.durable)
	base := order.Pos{Seq: l.durable, Term: term}
	l.mu.Unlock()
	l.ended = true
	if err := l.begin(base); err != nil {
		return fmt.Errorf("wal: new file: %w", err)
	}
	return nil
}

// takeBack forgets, after a failed write, everything that is not durable: in memory, and in the file, where part of it
// may stand. It returns an error if the log cannot go on.
func (l *Log) takeBack(why error) error {
	var unsure *syncError
	if errors.As(why, &unsure) {
		return why
	}
	l.mu.Lock()
	size := l.files[len(l.files)-1].size
	l.mu.Unlock()
	if err := l.tail.Truncate(size); err != nil {
		return fmt.Errorf("%w; and taking it back: %w", why, err)
	}
	if err := l.tail.Sync(); err != nil {
		return fmt.Errorf("%w; and taking it back: %w", why, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending = batch{buf: l.pending.buf[:0]}
	l.history = l.history.Cut(l.durable)
	term, _ := l.history.TermAt(l.durable)
	l.last = order.Pos{Seq: l.durable, Term: term}
	l.commit = min(l.commit, l.durable)
	l.noted = 0
	l.endReign(why)
	return nil
}

// endReign tells all tickets out that nothing behind durable counts any more; the caller holds mu.
func (l *Log) endReign(why error) {
	*l.reign = reign{ended: true, durable: l.durable, why: why}
	l.reign = &reign{}
}
