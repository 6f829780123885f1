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

// Prepare refuses what the schema can refuse and turns an update into the bytes of its effects, by the newest view, whose seq is
// against. A nil body says that the update depends on stored data: Resolve makes its effects.
func (s *Shard) Prepare(ctx context.Context, u sextant.Update) (body []byte, against order.Seq, err error) {
	if err := s.usable(); err != nil {
		return nil, 0, err
	}
	if s.keeper.overfull.Load() {
		return nil, 0, s.keeper.overfullError()
	}
	if err := s.disk.check(s); err != nil {
		return nil, 0, err
	}
	r, against, err := s.prepare(ctx, u)
	if err != nil && userError(err) {
		if logged := s.log.Commit(); against < logged && s.writer.await(ctx, logged) == nil { // its vector name may just be on its way
			r, against, err = s.prepare(ctx, u)
		}
	}
	if err != nil {
		return nil, against, err
	}
	return r.body, against, nil
}

// Resolve turns an update into the bytes of its effects, as of everything that is applied. The caller has waited until that is
// everything that is logged, and logs nothing before the result.
func (s *Shard) Resolve(ctx context.Context, u sextant.Update) ([]byte, error) {
	r, _, err := s.prepare(ctx, u)
	if err != nil {
		return nil, err
	}
	if r.dependent {
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

// Apply applies the log up to commit, or its durable end, and returns the place reached. outcome, which may be nil, is called in
// order for each entry that ended with a user's error, and for each mark.
func (s *Shard) Apply(ctx context.Context, commit order.Seq, outcome func(order.Outcome)) (order.Pos, error) {
	commit = min(commit, s.log.Durable())
	s.log.SetCommit(commit)
	s.keeper.throttle(ctx)
	if err := s.replay(ctx, commit, outcome); err != nil {
		return s.writer.place(), err
	}
	s.keeper.applied()
	// The commit of a quiet shard would be told by no record: after the end of the process, reads could not open.
	if err := s.log.Note(); err != nil {
		return s.writer.place(), s.logError(err)
	}
	return s.writer.place(), nil
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

// Logged returns the fate of a request that was applied here: where it was logged, and the user's error that it ended with.
// forgotten says that it may have been, longer ago than the shard remembers.
func (s *Shard) Logged(id wal.RequestID) (seq order.Seq, outcome error, known, forgotten bool) { //nolint:staticcheck // outcome is what became of the request, not a failure of the call
	s.writer.mu.Lock()
	defer s.writer.mu.Unlock()
	return s.writer.requests.find(id)
}
