package replica

import (
	"context"
	"time"

	"github.com/sextantdb/sextant/internal/topology"
)

const (
	// gatherTime is how long a proposal waits for others: a peer that dies leaves thousands of shards.
	gatherTime = 2 * time.Millisecond
	// proposeTime is how long consensus may take; whoever needs the effect proposes again.
	proposeTime = 3 * time.Second
)

// propose brings something to consensus, together with whatever else is to be brought now. It does not wait.
func (h *Hub) propose(p proposal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	h.items = append(h.items, p)
	if !h.proposing {
		h.proposing = true
		h.run.Go(h.proposeAll)
	}
}

func (h *Hub) proposeAll() {
	for {
		select {
		case <-time.After(gatherTime):
		case <-h.life.Done():
			return
		}
		h.mu.Lock()
		items := h.items
		h.items = nil
		if len(items) == 0 {
			h.proposing = false
			h.mu.Unlock()
			return
		}
		h.mu.Unlock()
		for _, c := range commands(items) {
			ctx, cancel := context.WithTimeout(h.life, proposeTime)
			err := h.opts.Proposer.Propose(ctx, c)
			cancel()
			if err != nil && h.life.Err() == nil {
				h.log.Debug("a proposal did not pass", "err", err)
			}
		}
	}
}

// commands puts accusations and claims into one command, each once; the others stand alone.
func commands(items []proposal) []topology.Command {
	var all topology.Command
	var single []topology.Command
	failed := map[topology.ReplicaFailed]bool{}
	claims := map[topology.ClaimPrimary]bool{}
	for _, p := range items {
		switch {
		case p.failed != nil:
			if !failed[*p.failed] {
				failed[*p.failed] = true
				all.Failed = append(all.Failed, *p.failed)
			}
		case p.claim != nil:
			if !claims[*p.claim] {
				claims[*p.claim] = true
				all.Claims = append(all.Claims, *p.claim)
			}
		case p.admit != nil:
			single = append(single, topology.Command{Admit: p.admit})
		case p.finish != nil:
			single = append(single, topology.Command{Finish: p.finish})
		case p.abort != nil:
			single = append(single, topology.Command{Abort: p.abort})
		}
	}
	if len(all.Failed)+len(all.Claims) > 0 {
		single = append([]topology.Command{all}, single...)
	}
	return single
}
