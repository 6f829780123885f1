package replica

import (
	"github.com/sextantdb/sextant/internal/topology"
)

// Some accidents take several steps that chance alone seldom puts in a row. A plot does its first ones; the rest is up to chance.

func (w *chaosWorld) plot() {
	r := w.chance.IntN
	s := w.newest()
	p := w.node(s.Primary)
	others := s.InSync()
	q := w.node(others[r(len(others))])
	switch r(6) {
	case 0, 1: // the primary is cut off and deposed, and does not know
		if q == p || !p.up {
			return
		}
		w.trace("plot: node %d is deposed by %d and does not know", p.peer, q.peer)
		p.frozen = true
		for _, o := range w.nodes {
			w.blocked[p.i][o.i], w.blocked[o.i][p.i] = w.roll(1, 2), w.roll(1, 2)
		}
		w.decide(topology.Command{Failed: []topology.ReplicaFailed{{Shard: chaosShard, Term: s.Term, Version: s.Version, Peer: p.peer, Successor: q.peer}}})
		if w.roll(3, 4) {
			w.leap(q)
		}
	case 2: // a node forgets what it has heard
		if q.up {
			w.trace("plot: node %d forgets", q.peer)
			w.crash(q)
			w.start(q, r(4))
			q.frozen = w.roll(1, 2)
		}
	case 3: // all restart at once
		w.trace("plot: all restart")
		for _, o := range w.nodes {
			w.crash(o)
		}
		for _, o := range w.nodes {
			w.start(o, 0)
		}
	case 4: // a replica is filled anew while its last answers are on their way
		if q == p || !p.up || !q.up {
			return
		}
		w.trace("plot: node %d is filled anew", q.peer)
		w.breakLane(q, p.i)
		w.decide(topology.Command{Failed: []topology.ReplicaFailed{{Shard: chaosShard, Term: s.Term, Version: s.Version, Peer: q.peer}}})
		w.decide(topology.Command{Start: &topology.TransferStart{Shard: chaosShard, From: p.peer, To: q.peer, Method: topology.StreamRecords, Sync: true}})
		w.leap(p)
		w.leap(q)
	case 5: // a sender begins its task again
		for _, o := range w.nodes {
			if o.up && o.core != nil && o.sender.number != 0 && w.roll(1, 2) {
				w.trace("plot: node %d begins task %d again", o.peer, o.sender.number)
				w.again(o)
			}
		}
	}
}

// leap shows a node all that consensus has decided.
func (w *chaosWorld) leap(n *chaosNode) {
	if n.up && n.view < len(w.states)-1 && w.bad == "" {
		n.view = len(w.states) - 1
		w.trace("node %d sees topology %d", n.peer, n.view)
		w.show(n)
	}
}
