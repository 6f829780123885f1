package replica

import (
	"context"
	"fmt"
	"slices"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/wal"
)

// Feed is a stretch of committed entries on its way from the sender of a transfer to its receiver.
type Feed struct {
	ID, Attempt uint64 // of the transfer
	Prev        order.Pos
	Records     []wal.Record // of seqs Prev.Seq+1, …
}

// fed takes committed entries from the sender of a transfer, as a follower takes those of its primary: the place before them
// is compared, a tail that was never committed is cut. It returns up to where the log here is the sender's now.
func (c *core) fed(from topology.PeerID, f Feed) (order.Seq, error) {
	if c.view == nil {
		return 0, sextant.Errorf(sextant.Precondition, "the topology has not been seen yet")
	}
	t := c.view.Transfer(f.ID)
	if t == nil || t.Attempt != f.Attempt || t.From != from || t.To != c.self {
		return 0, sextant.Errorf(sextant.Precondition, "transfer %d, attempt %d, from peer %d is not known here", f.ID, f.Attempt, from)
	}
	if c.broken != nil {
		return 0, c.broken
	}
	if c.lead != nil {
		return 0, sextant.Errorf(sextant.Precondition, "this replica leads: it needs no sender")
	}
	if f.Prev.Seq > c.last.Seq || f.Prev.Seq >= c.base.Seq && c.at(f.Prev.Seq).Term != f.Prev.Term {
		return 0, sextant.Errorf(sextant.Precondition, "the log here, up to %s, does not hold the sender's entry %s", c.last, f.Prev)
	}
	end, ok := c.take(from, &Append{Prev: f.Prev, Records: f.Records})
	if !ok {
		text := fmt.Sprintf("transfer %d brings an entry behind %s that is not the one committed here", f.ID, f.Prev)
		c.alarm(text)
		return 0, sextant.Errorf(sextant.Corrupt, "%s", text)
	}
	c.commit = max(c.commit, end)
	return end, nil
}

// Feed takes entries of a transfer and returns when they are durable and applied here.
func (l *Local) Feed(ctx context.Context, from topology.PeerID, f Feed) (order.Seq, error) {
	f.Records = slices.Clip(f.Records)
	end, err := order.Seq(0), errClosed
	l.step(func(c *core) { end, err = c.fed(from, f) })
	if err != nil {
		return 0, err
	}
	var failed error
	err = l.until(ctx, func(c *core) bool {
		switch {
		case c.broken != nil:
			failed = c.broken
		case c.last.Seq < end: // the store could not log it
			failed = sextant.Errorf(sextant.Internal, "entries up to %d could not be logged", end)
		}
		return failed != nil || c.applied >= end
	})
	if err == nil {
		err = failed
	}
	return end, err
}

// Admit has the primary count the receiver of a transfer, whose log is the sender's up to a place, for every commit from now
// on, and bring it into the in-sync set. Precondition and *NotPrimary errors say that it is too early, or that another
// primary has to be asked.
func (l *Local) Admit(ctx context.Context, id, attempt uint64, at order.Seq) error {
	err := errClosed
	l.step(func(c *core) {
		if err = c.admit(id, attempt, at); err == nil && c.lead != nil {
			c.advance()
		}
	})
	return err
}
