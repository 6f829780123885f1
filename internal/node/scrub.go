package node

import (
	"context"
	"time"

	"github.com/sextantdb/sextant/internal/task"
)

const (
	// scrubEvery is how often all stored data are read and compared with their checksums and digests, if there is time for it:
	// much data take longer, see scrubShare.
	scrubEvery = time.Minute
	// scrubShare is the part of one processor that may be spent on it.
	scrubShare = 0.02
)

// scrub looks after the shards of this node, one at a time, until the node is closed. A replica whose data are damaged gives way, also
// if it was a read that found it.
func (n *Node) scrub(ctx context.Context) error {
	e, ok := n.engines.(*engines)
	if !ok {
		return nil
	}
	for {
		wait := time.NewTimer(scrubEvery)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return nil
		}
		_ = e.board.Start(ctx, "scrub", n.scrubAll).Wait(ctx) // each error is told where it arises
	}
}

func (n *Node) scrubAll(ctx context.Context, p *task.Progress) error {
	hosted := n.hosted.Load()
	if hosted == nil {
		return nil
	}
	for _, h := range *hosted {
		for _, s := range h.slots() {
			p.Total(1)
			if own, ok := s.current().(*engineShard); ok {
				n.scrubOne(ctx, s, own)
			}
			if p.Add(1); ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return nil
}

func (n *Node) scrubOne(ctx context.Context, s *slot, own *engineShard) {
	if own.Damage() == nil {
		if err := own.Scrub(ctx, scrubShare, task.NewProgress("scrub")); err != nil && ctx.Err() == nil && s.current() == own {
			n.log.Warn("stored data could not be looked after", "dir", s.dir, "err", err)
		}
	}
	if why := own.Damage(); why != nil && n.cluster != nil && s.current() == own {
		if local := n.cluster.hub.Local(s.uuid); local != nil {
			local.Break(why)
		}
	}
}
