package replica

import (
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/wal"
)

// chaosCall is a call between the two ends of a transfer, or its answer. Calls have no order, and may be lost.
type chaosCall struct {
	kind                int
	from, to            int
	life                uint64 // of the asker, which an answer reaches
	id, attempt, number uint64
	at                  order.Pos
	history             order.History
	records             []wal.Record
	point               int
	value               chaosPoint
	digest              []byte
	own, ok             bool
}

const (
	callBase    = iota // where does the receiver stand?
	callStands         // the answer
	callPoint          // one point of the base, or its begin
	callPointed        // the answer
	callFeed
	callFed
	callAdmit
)

// chaosSender is the sending end of a transfer, chaosReceiver the other. Neither survives a crash.
type chaosSender struct {
	id, attempt, number uint64 // number is of the task; 0: none
	phase               int
	base                order.Pos
	history             order.History
	points              chaosPoints // at base
	point               int         // of these the next to send; -1: the begin
	next                order.Seq
	level               bool // the receiver's replica is whole
}

type chaosReceiver struct {
	id, attempt, number uint64
	filling             *chaosDisk // the generation that is being made
	point               int
	waits               []chaosWait
}

// chaosWait is a feed that is answered when it is applied.
type chaosWait struct {
	end  order.Seq
	call chaosCall
}

const (
	sendAsks = iota
	sendPoints
	sendFeeds
)

// followTransfers begins and ends the ends of transfers as the topology that a node sees says.
func (w *chaosWorld) followTransfers(n *chaosNode) {
	v := w.sees(n)
	s := &n.sender
	if s.number != 0 {
		if t := v.Transfer(s.id); t == nil || t.Attempt != s.attempt || t.Admitted || t.From != n.peer {
			w.endSender(n)
		}
	}
	for i := range v.Transfers {
		if t := &v.Transfers[i]; s.number == 0 && t.From == n.peer && !t.Admitted && n.disk != nil {
			w.number++
			*s = chaosSender{id: t.ID, attempt: t.Attempt, number: w.number}
		}
	}
	if r := &n.receiver; r.number != 0 {
		if t := v.Transfer(r.id); t == nil || t.Attempt != r.attempt || t.To != n.peer {
			if w.flaw == halfBase && r.filling != nil {
				w.use(n, r.filling)
			}
			*r = chaosReceiver{}
		}
	}
}

func (w *chaosWorld) endSender(n *chaosNode) {
	n.sender = chaosSender{}
	if n.disk != nil {
		n.disk.pinned = 0
	}
}

func (w *chaosWorld) call(n *chaosNode, to topology.PeerID, c chaosCall) {
	c.from, c.to = n.i, int(to-1)
	c.life = n.life
	for i := range w.calls { // it is on its way already
		if o := &w.calls[i]; o.kind == c.kind && o.from == c.from && o.number == c.number && o.point == c.point && o.at == c.at {
			return
		}
	}
	if len(w.calls) >= 24 {
		i := w.chance.IntN(len(w.calls))
		w.calls[i] = c
		return
	}
	w.calls = append(w.calls, c)
}

// again has the sender ask the receiver anew: its task was lost.
func (w *chaosWorld) again(n *chaosNode) {
	s := &n.sender
	w.number++
	*s = chaosSender{id: s.id, attempt: s.attempt, number: w.number}
	n.disk.pinned = 0
}

// sendOn has a sender do what it does next; calls are repeated until they are answered.
func (w *chaosWorld) sendOn(n *chaosNode) {
	s := &n.sender
	v := w.sees(n)
	t := v.Transfer(s.id)
	if s.number == 0 || t == nil || n.core == nil || n.core.broken != nil {
		return
	}
	d := n.disk
	c := chaosCall{id: s.id, attempt: s.attempt, number: s.number}
	switch s.phase {
	case sendAsks:
		c.kind = callBase
	case sendPoints:
		c.kind, c.at, c.history, c.point = callPoint, s.base, s.history, s.point
		if s.point >= 0 {
			c.value = s.points[s.point]
		}
		if w.flaw == cachedDigest {
			c.digest = d.points.digest()
		}
		if w.flaw == looseBase && s.point < 0 {
			c.at = d.at(d.applied) // noted apart from the points, and later
			c.history = d.history
		}
	case sendFeeds:
		through := min(n.core.commit, n.core.durable)
		if w.flaw == feedAll {
			through = d.last().Seq
		}
		records, err := d.read(s.next, min(through, s.next+order.Seq(w.chance.IntN(4))))
		if err != nil {
			w.fall(n, t)
			return
		}
		c.kind, c.at, c.records = callFeed, d.at(s.next-1), records
		if s.level && s.next > through-min(through, 2) {
			w.call(n, v.Primary, chaosCall{kind: callAdmit, id: s.id, attempt: s.attempt, at: d.at(s.next - 1)})
		}
	}
	w.call(n, t.To, c)
}

// fall begins the transfer anew with the method that needs nothing of the receiver.
func (w *chaosWorld) fall(n *chaosNode, t *topology.Transfer) {
	w.stats.Fallbacks++
	w.propose(topology.Command{Stage: &topology.TransferStage{Shard: chaosShard, ID: t.ID, Attempt: t.Attempt, Method: topology.StreamRecords}})
}

// serve does a call.
func (w *chaosWorld) serve(c *chaosCall) {
	n := w.nodes[c.to]
	if !n.up {
		return
	}
	v := w.sees(n)
	t := v.Transfer(c.id)
	listed := t != nil && t.Attempt == c.attempt && t.To == n.peer
	r, s := &n.receiver, &n.sender
	mine := r.number != 0 && r.number == c.number && r.id == c.id && r.attempt == c.attempt
	sends := s.number != 0 && s.number == c.number
	answer := chaosCall{from: c.to, to: c.from, life: c.life, id: c.id, attempt: c.attempt, number: c.number, point: c.point}
	switch c.kind {
	case callBase:
		if !listed || n.disk != nil && n.core == nil || r.number > c.number {
			return
		}
		if !mine {
			*r = chaosReceiver{id: c.id, attempt: c.attempt, number: c.number, point: -1}
		}
		d := n.disk
		answer.kind = callStands
		if d == nil {
			break
		}
		answer.ok, answer.at = true, d.at(d.applied)
		answer.own = d.id == c.id && d.attempt == c.attempt && w.flaw != buildAgain
		if w.flaw == reportLast {
			answer.at = d.last()
		}
	case callPoint:
		answer.kind = callPointed
		done := n.disk != nil && n.disk.id == c.id && n.disk.attempt == c.attempt && w.flaw != buildAgain
		answer.ok = listed && mine && (done || c.point <= r.point)
		if answer.ok && !done && c.point == r.point {
			w.fill(n, c)
		} else if !answer.ok && mine {
			*r = chaosReceiver{}
		}
	case callFeed:
		answer.kind = callFed
		if !listed || !mine || n.core == nil || r.filling != nil {
			break
		}
		w.trace("node %d is fed %s behind %s", n.peer, chaosRecords(c.records), c.at)
		var end order.Seq
		var err error
		w.step(n, func(core *core) {
			end, err = core.fed(topology.PeerID(c.from+1), Feed{ID: c.id, Attempt: c.attempt, Prev: c.at, Records: c.records})
		})
		if err != nil {
			w.trace("node %d refuses: %v", n.peer, err)
			break
		}
		w.stats.Feeds++
		answer.ok, answer.at.Seq = true, end
		r.waits = append(r.waits, chaosWait{end, answer})
		w.feedDone(n)
		return
	case callAdmit:
		if n.core != nil {
			w.ripe = true
			w.step(n, func(core *core) {
				if core.admit(c.id, c.attempt, c.at.Seq) == nil && core.lead != nil {
					core.advance()
				}
			})
		}
		return
	case callStands:
		if sends && s.phase == sendAsks && n.life == c.life {
			w.stands(n, c)
		}
		return
	case callPointed:
		switch {
		case !sends || s.phase != sendPoints || n.life != c.life:
		case !c.ok:
			w.again(n)
		case c.point == s.point:
			if s.point++; s.point == len(s.points) {
				s.phase, s.next, s.level = sendFeeds, s.base.Seq+1, true
			}
		}
		return
	case callFed:
		switch {
		case !sends || s.phase != sendFeeds || n.life != c.life:
		case !c.ok:
			w.again(n)
		case c.at.Seq >= s.next-1:
			s.next, s.level = c.at.Seq+1, true
			n.disk.pinned = max(n.disk.pinned, s.next)
		}
		return
	}
	w.calls = append(w.calls, answer)
}

// stands takes the receiver's word where it stands.
func (w *chaosWorld) stands(n *chaosNode, c *chaosCall) {
	s, d := &n.sender, n.disk
	t := w.sees(n).Transfer(s.id)
	if t == nil || n.core == nil {
		return
	}
	if t.Method == topology.StreamRecords && !c.own {
		s.phase, s.point, s.points = sendPoints, -1, d.points
		s.base, s.history = d.at(d.applied), d.history.Cut(d.applied)
		if w.flaw == claimCommit {
			s.base, s.history = d.at(n.core.commit), d.history.Cut(n.core.commit)
		}
		d.pinned = s.base.Seq + 1
		return
	}
	switch a := c.at; {
	case !c.ok, a.Seq+1 < d.first, a.Seq > d.last().Seq, d.at(a.Seq) != a:
		w.fall(n, t)
	default:
		s.phase, s.next, s.level = sendFeeds, a.Seq+1, true
		d.pinned = s.next
	}
}

// fill takes a point of a new generation, which is used when it has them all.
func (w *chaosWorld) fill(n *chaosNode, c *chaosCall) {
	r := &n.receiver
	if c.point < 0 {
		r.filling = &chaosDisk{base: c.at, first: c.at.Seq + 1, history: c.history, applied: c.at.Seq, checked: c.at.Seq, commit: c.at.Seq, id: c.id, attempt: c.attempt}
	} else {
		r.filling.points[c.point] = c.value
	}
	r.filling.digest = c.digest
	if r.point++; r.point == len(chaosPoints{}) {
		w.use(n, r.filling)
		r.filling = nil
	}
}

// use switches a replica to a new generation.
func (w *chaosWorld) use(n *chaosNode, d *chaosDisk) {
	w.stats.Generations++
	w.ripe = true
	w.trace("node %d switches to a generation at %s", n.peer, d.base)
	d.checkpoint = d.points
	if w.flaw != forgetTerm {
		d.born = n.view // after a restart it does nothing by an older topology
	}
	if n.disk != nil && w.flaw != forgetTerm {
		d.used = n.disk.used
		if n.core != nil {
			d.used = max(d.used, n.core.used, n.core.using)
		}
	}
	waits := n.receiver.waits
	w.close(n)
	n.receiver.waits = waits
	n.disk = d
	if d.applied > w.truth.top() || d.points != w.truth.states[d.applied] {
		w.fail("the new generation of node %d at %d is %v, that is %v", n.peer, d.applied, d.points, w.truth.states[min(d.applied, w.truth.top())])
		return
	}
	w.open(n)
	index := w.states[n.view].Index
	w.step(n, func(c *core) { c.show(w.sees(n), index) })
	w.checkDurableOf(n)
}

// feedDone answers the feeds that are applied, or will never be.
func (w *chaosWorld) feedDone(n *chaosNode) {
	r := &n.receiver
	rest := r.waits[:0]
	for _, wait := range r.waits {
		switch {
		case n.core == nil || n.core.last.Seq < wait.end:
			wait.call.ok = false
			w.calls = append(w.calls, wait.call)
		case n.core.applied >= wait.end:
			w.calls = append(w.calls, wait.call)
		default:
			rest = append(rest, wait)
		}
	}
	r.waits = rest
}

// flaw is something wrong around core: in the ends of transfers, in what a store does, or in the topology.
type flaw int

const (
	noFlaw          flaw = iota
	halfBase             // an aborted base is used, half-filled as it is
	byKey                // Admit, Finish and Abort mean whatever transfer has the same receiver now
	looseBase            // the place of a base is noted apart from its points
	claimCommit          // a base claims the commit, and has what is applied
	replayTail           // a start applies the log up to its end
	forgetTerm           // a new generation forgets which term was used, and by which topology it was made
	forgetBase           // and whose requests its base contains
	buildAgain           // one attempt builds several generations
	reportLast           // a receiver reports the end of its log
	feedAll              // a sender sends what is not committed
	obeyOldTopology      // data is deleted, and made anew, by an older topology than was acted on before
	actUnborn            // a replica acts on a topology that is older than itself
	cachedDigest         // a digest is kept apart from the points, and copied with a base as it is then
	looseLanes           // no flaw, but a world where messages to a life may reach the next one
)

var flawNames = [...]string{halfBase: "halfBase", byKey: "byKey", looseBase: "looseBase", claimCommit: "claimCommit", replayTail: "replayTail",
	forgetTerm: "forgetTerm", forgetBase: "forgetBase", buildAgain: "buildAgain", reportLast: "reportLast", feedAll: "feedAll", obeyOldTopology: "obeyOldTopology", actUnborn: "actUnborn", cachedDigest: "cachedDigest"}

// twist has a command mean something else, if the world is so.
func (w *chaosWorld) twist(c *topology.Command, s *topology.Shard) {
	if w.flaw != byKey {
		return
	}
	now := func(to topology.PeerID) *topology.Transfer {
		for i := range s.Transfers {
			if s.Transfers[i].To == to {
				return &s.Transfers[i]
			}
		}
		return nil
	}
	if c.Admit != nil {
		if t := now(c.Admit.Peer); t != nil {
			a := *c.Admit
			a.ID, a.Attempt = t.ID, t.Attempt
			c.Admit = &a
		}
	}
	if c.Finish != nil && len(s.Transfers) > 0 {
		f := *c.Finish
		f.ID, f.Attempt = s.Transfers[0].ID, s.Transfers[0].Attempt
		c.Finish = &f
	}
}
