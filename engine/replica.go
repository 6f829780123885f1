package engine

import (
	"context"
	"fmt"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/codec"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/wal"
)

// The methods of this file are for shards with Options.ManualApply: somebody else gives the order, and says what is
// committed. Append and Apply are called by one goroutine each.

// Resolve turns an update into the bytes of its effects, as of everything that is logged here: it waits until that is
// applied, and the caller logs nothing before the result.
func (s *Shard) Resolve(ctx context.Context, u sextant.Update) ([]byte, error) {
	if err := s.disk.check(s); err != nil {
		return nil, err
	}
	r, err := s.request(ctx, u)
	if err != nil {
		return nil, err
	}
	if r.dependent {
		if err := s.writer.await(ctx, s.log.Last().Seq); err != nil {
			return nil, err
		}
		effects, err := s.resolve(u)
		if err != nil {
			return nil, err
		}
		r.body = codec.AppendUpdate(nil, effects)
	}
	return r.body, nil
}

// Append makes records durable behind the place after, as far as the log does not hold them already. Only where it holds an
// entry of another term for a seq is it cut, from there on, unless that is committed. A Precondition error says that after
// is not in the log.
func (s *Shard) Append(ctx context.Context, after order.Pos, records []wal.Record) error {
	if err := s.usable(); err != nil {
		return err
	}
	last, history := s.log.Last(), s.log.History()
	if term, known := history.TermAt(after.Seq); after.Seq > last.Seq || !known || term != after.Term {
		return sextant.Errorf(sextant.Precondition, "the log has no entry %s", after)
	}
	for len(records) > 0 && records[0].Seq <= last.Seq {
		if term, known := history.TermAt(records[0].Seq); !known || term != records[0].Term {
			if err := s.log.Cut(ctx, records[0].Seq-1); err != nil {
				return fmt.Errorf("append behind %s: %w", after, err)
			}
			break
		}
		records = records[1:] // heard before: by log matching, seq and term tell
	}
	if len(records) == 0 {
		return nil
	}
	ticket, err := s.log.Append(ctx, records...)
	if err == nil {
		err = s.log.Sync(ctx, ticket)
	}
	if err != nil {
		return s.logError(err)
	}
	return nil
}

// Apply applies the log up to commit, or its durable end, and returns the seq reached. Errors that users made are no errors
// here.
func (s *Shard) Apply(ctx context.Context, commit order.Seq) (order.Seq, error) {
	commit = min(commit, s.log.Durable())
	s.log.SetCommit(commit)
	s.keeper.throttle(ctx)
	if err := s.replay(ctx, commit); err != nil {
		return s.writer.place().Seq, err
	}
	s.keeper.applied()
	// The commit of a quiet shard would be told by no record: after the end of the process, reads could not open.
	if err := s.log.Note(); err != nil {
		return commit, s.logError(err)
	}
	return s.writer.place().Seq, nil
}

// OpenLog returns a reader of the log from an entry on, which the log keeps until the reader is closed. A Precondition error
// says that the log begins later.
func (s *Shard) OpenLog(from order.Seq) (*wal.Reader, error) {
	r, err := s.log.Reader(from)
	if err != nil {
		return nil, sextant.Errorf(sextant.Precondition, "%w", err)
	}
	return r, nil
}

// UseTerm stores that this process uses a term as primary, before its first entry.
func (s *Shard) UseTerm(ctx context.Context, term order.Term) error { return s.log.UseTerm(ctx, term) }

// Logged returns where a request was logged, if the shard remembers it.
func (s *Shard) Logged(id wal.RequestID) (seq order.Seq, known bool) {
	s.writer.mu.Lock()
	defer s.writer.mu.Unlock()
	seq, known = s.writer.requests.seqs[id]
	return seq, known
}
