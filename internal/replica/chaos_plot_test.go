package replica

import (
	"slices"

	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/topology"
)

// Some accidents take several steps that chance alone seldom puts in a row. A plot does its first ones; the rest is up to chance.

func (w *chaosWorld) plot() {
	r := w.chance.IntN
	s := w.newest()
	p := w.node(s.Primary)
	others := s.InSync()
	q := w.node(others[r(len(others))])
	switch r(7) {
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
	case 6: // a receiver becomes primary as soon as it is admitted
		for i := range s.Transfers {
			if t := s.Transfers[i]; t.Admitted && t.To != p.peer {
				w.trace("plot: node %d leads after node %d", t.To, p.peer)
				w.depose(p, w.node(t.To))
				return
			}
		}
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

// A story is a longer plot: its scenes follow each other with events of chance between. A scene that is not ready is tried again
// later, and after some tries the story ends.
type chaosScene func() (ready bool)

const sceneTries = 300

// tell plays the next scene now and then.
func (w *chaosWorld) tellStory() {
	if len(w.story) == 0 || !w.roll(1, 4) {
		return
	}
	if w.story[0]() {
		w.story, w.tries = w.story[1:], 0
		w.trace("story: %d scenes left", len(w.story))
	} else if w.tries++; w.tries > sceneTries {
		w.story, w.tries, w.held = nil, 0, false
	}
}

// begin chooses a story, and its roles.
func (w *chaosWorld) beginStory() {
	s := w.newest()
	a := w.node(s.Primary)
	var cast []*chaosNode // the others that are in sync
	for _, p := range s.InSync() {
		if p != s.Primary {
			cast = append(cast, w.node(p))
		}
	}
	w.chance.Shuffle(len(cast), func(i, j int) { cast[i], cast[j] = cast[j], cast[i] })
	switch x := w.chance.IntN(6); {
	case x == 0 && len(cast) >= 3:
		w.trace("story: quarrel")
		w.quarrel(a, cast[0], cast[1], cast[2])
	case x == 1 && len(cast) >= 2:
		w.trace("story: oblivion")
		w.oblivion(a, cast[0], cast[1])
	case x == 2 && len(cast) >= 2:
		w.trace("story: twice")
		w.twice(a, cast[0], cast[1])
	case x == 3 && len(cast) >= 1:
		w.trace("story: lateQuestion")
		w.lateQuestion(a, cast[0])
	case x == 4 && len(cast) >= 2:
		w.trace("story: oldRounds")
		w.oldRounds(a, cast[0], cast[1])
	case x == 5 && len(cast) >= 1:
		w.trace("story: lateWord")
		w.lateWord(a, cast[0])
	}
}

// depose has consensus name another primary; only that one sees it at once.
func (w *chaosWorld) depose(p, successor *chaosNode) bool {
	s := w.newest()
	if s.Primary != p.peer || !s.Replicas[successor.peer].InSync {
		return false
	}
	w.decide(topology.Command{Failed: []topology.ReplicaFailed{{Shard: chaosShard, Term: s.Term, Version: s.Version, Peer: p.peer, Successor: successor.peer}}})
	w.leap(successor)
	return true
}

// cut blocks what a node sends to all but one.
func (w *chaosWorld) cut(n, but *chaosNode) {
	for _, o := range w.nodes {
		w.blocked[n.i][o.i] = o != but
	}
}

// flow lets everything go on without faults, other than what is blocked, slow or frozen, until something holds.
func (w *chaosWorld) flow(rounds int, until func() bool) bool {
	for range rounds {
		if w.bad != "" || until() {
			break
		}
		w.round()
	}
	return w.bad == "" && until()
}

// quarrel: two deposed primaries wrote different entries for one place; a later one commits the first of them by count, and a
// follower that has forgotten the later one hears the second. It takes so long that nothing in it is left to chance.
func (w *chaosWorld) quarrel(a, b, c, d *chaosNode) {
	actors := []*chaosNode{a, b, c, d}
	defer func() {
		w.blocked = [chaosNodes][chaosNodes]bool{}
		for _, n := range actors {
			n.frozen = false
		}
	}()
	live := func() bool {
		return !slices.ContainsFunc(actors, func(n *chaosNode) bool { return n.core == nil })
	}
	leads := func(n *chaosNode) bool { return n.core != nil && n.core.lead != nil }
	if !w.flow(60, func() bool { return live() && leads(a) && a.core.lead.office && b.core.last == a.core.last }) {
		return
	}
	w.blocked[a.i][b.i] = true
	q := w.newRequest()
	w.requests[q].filter, w.requests[q].body = false, chaosEffect(nil, 0, chaosUpsert, w.value)
	w.write(a, q)
	wrote := order.Seq(0)
	if !w.flow(20, func() bool {
		if !live() || !leads(a) {
			return false
		}
		wrote = a.core.last.Seq
		return b.core.last.Seq < wrote && c.core.durable >= wrote && d.core.durable >= wrote
	}) {
		return
	}
	seen := len(w.states)
	for _, n := range actors {
		n.frozen = true
	}
	w.cut(a, nil)
	w.cut(b, nil)
	if !w.depose(a, b) || !w.flow(10, func() bool { return leads(b) && b.core.last.Seq == b.core.durable }) {
		return
	}
	d.slow |= 1 << chaosStore
	if !w.depose(b, c) || !w.flow(20, func() bool {
		f := (*follower)(nil)
		if leads(c) {
			f = c.core.lead.follower(d.peer)
		}
		return f != nil && f.answered && len(d.core.jobs) > 0 && d.core.last.Seq > wrote && f.match >= wrote
	}) {
		d.slow = 0
		return
	}
	d.slow = 0
	w.crash(d)
	w.start(d, max(0, d.view-seen))
	w.cut(b, d)
	for _, n := range w.nodes { // nobody else is heard
		w.blocked[n.i][d.i] = n != b
	}
	w.flow(20, func() bool {
		return d.core != nil && b.core != nil && d.core.last == b.core.last && len(d.core.jobs) == 0
	})
}

// oblivion: a deposed primary is filled by somebody who knows nothing of its successor, and starts again as if it led still.
func (w *chaosWorld) oblivion(a, b, c *chaosNode) {
	before, filled := 0, uint64(0)
	w.story = []chaosScene{
		func() bool {
			before = len(w.states) - 1
			s := w.newest()
			w.decide(topology.Command{Failed: []topology.ReplicaFailed{{Shard: chaosShard, Term: s.Term, Version: s.Version, Peer: a.peer, Successor: b.peer}}})
			w.decide(topology.Command{Start: &topology.TransferStart{Shard: chaosShard, From: c.peer, To: a.peer, Method: topology.StreamRecords, Sync: true}})
			b.frozen = true
			for i := range w.newest().Transfers {
				filled = w.newest().Transfers[i].ID
			}
			w.leap(a)
			w.leap(c)
			return filled != 0
		},
		func() bool {
			if a.disk == nil || a.disk.id != filled || !a.up {
				return false
			}
			w.crash(a)
			w.start(a, a.view-min(a.view, before))
			a.frozen = true
			return true
		},
	}
}

// twice: the sender of a transfer begins its task again when the receiver is about to be admitted.
func (w *chaosWorld) twice(a, b, c *chaosNode) {
	var made *chaosDisk
	w.story = []chaosScene{
		func() bool {
			s := w.newest()
			w.decide(topology.Command{Failed: []topology.ReplicaFailed{{Shard: chaosShard, Term: s.Term, Version: s.Version, Peer: b.peer}}})
			w.decide(topology.Command{Start: &topology.TransferStart{Shard: chaosShard, From: c.peer, To: b.peer, Method: topology.StreamRecords, Sync: true}})
			c.slow |= 1<<chaosApply | 1<<chaosReached
			w.held = true
			for _, n := range []*chaosNode{a, b, c} {
				w.leap(n)
			}
			return true
		},
		func() bool {
			if a.core == nil || a.core.lead == nil || c.core == nil || c.sender.number == 0 {
				return false
			}
			f := a.core.lead.follower(b.peer)
			if f == nil || f.admission == nil || f.match < f.admission.target {
				return false
			}
			made = b.disk
			w.again(c)
			return true
		},
		func() bool {
			if b.disk == made {
				return false
			}
			w.held = false
			for _, wish := range w.wishes {
				if wish.Admit != nil && w.roll(1, 2) {
					w.decide(wish)
				}
			}
			return true
		},
	}
}

// lateQuestion: a client asks a replica that was filled since what became of a request.
func (w *chaosWorld) lateQuestion(a, b *chaosNode) {
	number := uint64(0)
	w.story = []chaosScene{
		func() bool { // somebody dies before the answer
			if a.core == nil || a.core.lead == nil || len(a.core.lead.waiting) == 0 {
				return false
			}
			number = a.core.lead.waiting[0].ID.Number
			w.requests[number].kept = true
			w.crash(a)
			w.start(a, 0)
			return true
		},
		func() bool {
			q := &w.requests[number]
			s := w.newest()
			if q.seq == 0 || a.disk == nil || a.disk.applied < q.seq || s.Primary != a.peer {
				return false
			}
			w.decide(topology.Command{Failed: []topology.ReplicaFailed{{Shard: chaosShard, Term: s.Term, Version: s.Version, Peer: b.peer}}})
			w.decide(topology.Command{Start: &topology.TransferStart{Shard: chaosShard, From: a.peer, To: b.peer, Method: topology.StreamRecords, Sync: true}})
			w.leap(a)
			w.leap(b)
			return true
		},
		func() bool { return w.inSync(b) && w.depose(a, b) },
		func() bool {
			if b.core == nil || b.core.lead == nil || !b.core.lead.office {
				return false
			}
			if !w.requests[number].done {
				w.write(b, number)
			}
			return true
		},
	}
}

// oldRounds: a deposed primary asks whether it leads still, and all that its follower ever said was to the primary before it.
func (w *chaosWorld) oldRounds(a, b, c *chaosNode) {
	acked := w.truth.acked
	w.story = []chaosScene{
		func() bool {
			if a.core == nil || a.core.lead == nil || !a.core.lead.office || c.core == nil {
				return false
			}
			w.ask(a, chaosBarrier)
			return c.core.follow.round > 3
		},
		func() bool { return w.depose(a, b) },
		func() bool {
			if b.core == nil || b.core.lead == nil || !b.core.lead.office {
				return false
			}
			b.frozen = true
			for _, n := range w.nodes {
				w.blocked[b.i][n.i], w.blocked[n.i][b.i] = true, true
			}
			acked = w.truth.acked
			return w.depose(b, c)
		},
		func() bool {
			if c.core == nil || c.core.lead == nil || !c.core.lead.office || w.roll(3, 4) {
				return false
			}
			w.write(c, w.newRequest())
			return w.truth.acked > acked
		},
		func() bool {
			if b.core != nil && b.core.lead != nil {
				w.ask(b, chaosBarrier)
			}
			return true
		},
	}
}

// lateWord: a message to a former life tells an old commit to the next one, which has forgotten a newer one.
func (w *chaosWorld) lateWord(a, b *chaosNode) {
	defer func() { w.blocked = [chaosNodes][chaosNodes]bool{} }()
	level := func() bool {
		return a.core != nil && a.core.lead != nil && a.core.lead.office && len(a.core.lead.queue)+len(a.core.lead.waiting) == 0 &&
			b.core != nil && b.core.applied == a.core.last.Seq && b.disk.applied == a.core.applied
	}
	if !w.flow(60, level) || a.lanes[b.i].conn == nil || len(a.lanes[b.i].conn.queue) > 0 {
		return
	}
	w.blocked[a.i][b.i] = true
	q := w.newRequest()
	w.requests[q].filter, w.requests[q].body = false, chaosEffect(nil, 0, chaosUpsert, w.value)
	w.write(a, q)
	w.flow(2, func() bool { return false })
	l := &a.lanes[b.i]
	if l.conn == nil || len(l.conn.queue) == 0 {
		return
	}
	old := *l.conn
	old.queue, old.lost = slices.Clone(old.queue), true
	l.conn.queue = nil
	w.breakLane(a, b.i)
	w.blocked[a.i][b.i] = false
	if !w.flow(60, level) {
		return
	}
	w.crash(b)
	w.start(b, 0)
	w.blocked[a.i][b.i] = true
	w.conns = append(w.conns, &old)
	w.flow(2, func() bool { return false })
}
