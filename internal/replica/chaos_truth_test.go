package replica

import (
	"bytes"
	"errors"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/wal"
)

// chaosTruth is what an observer of everything knows: the one history that all replicas must agree with.
type chaosTruth struct {
	entries []wal.Record  // committed; the first has seq 1
	states  []chaosPoints // after so many entries
	errs    []error       // what each entry brought
	logged  map[order.Pos]chaosEntry
	reigns  map[order.Term]chaosLife
	acked   order.Seq // the highest that was acknowledged
	waited  order.Seq // the same, with wait=true
	linear  order.Seq // the highest that a linearizable read has seen
}

// chaosEntry is what an entry is, wherever it is logged under its seq and term.
type chaosEntry struct {
	request uint64
	kind    wal.Kind
	before  order.Term // of the entry before it
}

type chaosLife struct {
	peer topology.PeerID
	life uint64
}

func (t *chaosTruth) init() {
	t.states = make([]chaosPoints, 1, 64)
	t.logged = map[order.Pos]chaosEntry{}
	t.reigns = map[order.Term]chaosLife{}
}

func (t *chaosTruth) top() order.Seq { return order.Seq(len(t.entries)) }

// checkCore compares what an event has made of a replica with the truth.
func (w *chaosWorld) checkCore(n *chaosNode) {
	c := n.core
	for i := len(c.jobs) - 1; i >= 0 && c.jobs[i].id > n.seenJob; i-- {
		w.checkLogged(n, &c.jobs[i])
	}
	n.seenJob = max(n.seenJob, c.jobID)
	if r := c.lead; r != nil {
		me := chaosLife{n.peer, n.life}
		if by, known := w.truth.reigns[r.term]; !known {
			w.truth.reigns[r.term] = me
			w.ripe = true
			w.stats.Reigns++
		} else if by != me {
			w.fail("term %d is used by node %d in life %d, and was by node %d in life %d", r.term, me.peer, me.life, by.peer, by.life)
		}
	}
	switch top := w.truth.top(); {
	case c.commit > top && c.lead == nil:
		w.fail("node %d follows and believes that %d is committed, that is %d", n.peer, c.commit, top)
	case c.commit > top:
		for s := top + 1; s <= c.commit && w.bad == ""; s++ {
			w.commit(n, s)
		}
		w.checkDurable()
	}
	if c.applied > c.commit || c.commit > c.last.Seq || c.applied < n.seenAt {
		w.fail("node %d: applied %d (was %d), commit %d, last %s", n.peer, c.applied, n.seenAt, c.commit, c.last)
	}
	n.seenAt = c.applied
	if w.bad == "" && c.commit > c.base.Seq && c.at(c.commit).Term != w.truth.entries[c.commit-1].Term {
		w.fail("node %d holds %s, committed is term %d", n.peer, c.at(c.commit), w.truth.entries[c.commit-1].Term)
	}
	w.checkReads(n)
}

// checkLogged checks the law of matching logs.
func (w *chaosWorld) checkLogged(n *chaosNode, j *job) {
	before := j.after.Term
	for i := range j.records {
		r := &j.records[i]
		at, e := order.Pos{Seq: r.Seq, Term: r.Term}, chaosEntry{r.ID.Number, r.Kind, before}
		if was, known := w.truth.logged[at]; !known {
			w.truth.logged[at] = e
			if r.ID.Number != 0 {
				w.requests[r.ID.Number].logged = true
			}
		} else if was != e {
			w.fail("node %d logs %+v at %s, elsewhere that is %+v", n.peer, e, at, was)
		}
		before = r.Term
	}
}

// entry is an entry of a log as core believes it to be.
func (n *chaosNode) entry(seq order.Seq) *wal.Record {
	for i := len(n.core.jobs) - 1; i >= 0; i-- {
		if j := &n.core.jobs[i]; j.term == 0 && j.after.Seq < seq {
			if seq > j.end() {
				return nil
			}
			return &j.records[seq-j.after.Seq-1]
		}
	}
	return n.disk.record(seq)
}

// commit notes what the first primary that commits an entry makes the truth.
func (w *chaosWorld) commit(n *chaosNode, seq order.Seq) {
	r := n.entry(seq)
	if r == nil {
		w.fail("node %d commits %d, which it does not hold", n.peer, seq)
		return
	}
	t := &w.truth
	points := t.states[seq-1]
	if r.Kind == wal.Effects {
		q := &w.requests[r.ID.Number]
		if q.seq != 0 {
			w.fail("request %d is committed at %d and at %d", r.ID.Number, q.seq, seq)
		}
		if q.filter && !bytes.Equal(r.Body, points.resolve(q.value)) || !q.filter && !bytes.Equal(r.Body, q.body) {
			w.fail("the effects of request %d at %d are not those that it has there", r.ID.Number, seq)
		}
		q.seq = seq
	}
	w.stats.Commits++
	t.entries = append(t.entries, *r)
	t.errs = append(t.errs, points.apply(r))
	t.states = append(t.states, points)
}

// checkApplied compares an entry that a store has applied with the truth.
func (w *chaosWorld) checkApplied(n *chaosNode, r *wal.Record, err error) {
	t := &w.truth
	switch {
	case w.bad != "":
	case r.Seq > t.top():
		w.fail("node %d applies %d, committed is %d", n.peer, r.Seq, t.top())
	case t.entries[r.Seq-1].Term != r.Term || t.entries[r.Seq-1].ID != r.ID:
		w.fail("node %d applies %d of term %d, committed is that of term %d", n.peer, r.Seq, r.Term, t.entries[r.Seq-1].Term)
	case n.disk.points != t.states[r.Seq]:
		w.fail("node %d is %v at %d, that is %v", n.peer, n.disk.points, r.Seq, t.states[r.Seq])
	case err != t.errs[r.Seq-1]:
		w.fail("node %d: entry %d ends with %v, that is %v", n.peer, r.Seq, err, t.errs[r.Seq-1])
	}
}

// checkDurable checks that what is committed is on the disk of every replica in sync, and what is read where it may be.
func (w *chaosWorld) checkDurable() {
	for _, n := range w.nodes {
		w.checkDurableOf(n)
		w.checkReads(n)
	}
}

func (w *chaosWorld) checkDurableOf(n *chaosNode) {
	if w.bad != "" || !w.inSync(n) {
		return
	}
	top := w.truth.top()
	switch d := n.disk; {
	case top == 0:
	case d == nil:
		w.fail("node %d is in sync without a replica, %d is committed", n.peer, top)
	case d.last().Seq < top || d.base.Seq > top:
		w.fail("node %d is in sync, its disk has %s to %s, %d is committed", n.peer, d.base, d.last(), top)
	case d.at(top).Term != w.truth.entries[top-1].Term:
		w.fail("node %d is in sync, its disk has %s, committed is term %d", n.peer, d.at(top), w.truth.entries[top-1].Term)
	}
}

// checkReads checks that a replica which may be read shows what was answered with wait=true.
func (w *chaosWorld) checkReads(n *chaosNode) {
	if w.bad != "" || n.disk == nil || n.disk.applied >= w.truth.waited || !w.readable(n) {
		return
	}
	if r := w.newest().Replicas[n.peer]; r.InSync && r.State.Readable() {
		w.fail("a read of node %d sees %d, a write with wait=true is at %d", n.peer, n.disk.applied, w.truth.waited)
	}
}

// ---- clients ----

// chaosRequest is an update of a client, however often it is sent.
type chaosRequest struct {
	body   []byte
	value  uint16
	filter bool // its effects depend on what is stored
	schema bool
	sent   bool // it may have been logged; else a refusal is certain
	logged bool // somewhere
	done   bool
	kept   bool      // for a story
	flying int       // operations that are not answered
	seq    order.Seq // where it is committed
}

// What a chaos operation is, in the place of the peer of its id.
const (
	chaosUpdate uint64 = 1 + iota
	chaosBarrier
	chaosMark
)

func (w *chaosWorld) newRequest() uint64 {
	w.value += 2
	q := chaosRequest{value: w.value, schema: w.roll(w.kind.schemas, 100)}
	id := w.chance.IntN(len(chaosPoints{}))
	switch w.chance.IntN(7) {
	case 0, 1:
		q.body = chaosEffect(nil, id, chaosUpsert, w.value)
	case 2:
		q.body = chaosEffect(nil, id, chaosSetPayload, w.value+uint16(w.chance.IntN(2)))
	case 3:
		q.body = chaosEffect(nil, id, chaosDelete, 0)
	case 4: // two effects on one point
		q.body = chaosEffect(chaosEffect(nil, id, chaosUpsert, w.value), id, chaosSetPayload, w.value)
	case 5: // and on two
		q.body = chaosEffect(chaosEffect(nil, id, chaosUpsert, w.value), (id+1)%4, chaosDelete, 0)
	default:
		q.filter = true
		q.value++
	}
	w.requests = append(w.requests, q)
	return uint64(len(w.requests) - 1)
}

// write sends an update to a node that leads, or believes so.
func (w *chaosWorld) write(n *chaosNode, number uint64) {
	q := &w.requests[number]
	d := n.disk
	op := &operation{Request: Request{ID: wal.RequestID{Peer: chaosUpdate, Number: number}, Retry: q.sent}, schema: q.schema, at: w.now - n.began}
	if w.roll(1, 2) {
		op.Wait = sextant.Applied
	}
	if w.roll(1, 8) {
		op.Factor = 2
	}
	q.flying++
	w.trace("node %d is sent request %d (%x, by filter %v, schema %v), retry %v, wait %v", n.peer, number, q.body, q.filter, q.schema, q.sent, op.Wait == sextant.Applied)
	if q.sent {
		w.stats.Retries++
		switch {
		case q.seq == 0 || q.seq > d.applied || w.flaw == forgetBase && q.seq <= d.base.Seq:
		case q.seq+w.kind.window <= d.applied:
			q.flying--
			q.done = true // nobody remembers: the outcome stays unknown
			return
		default:
			w.stats.Recalled++
			w.step(n, func(c *core) { c.recall(op, q.seq, w.truth.errs[q.seq-1]) })
			return
		}
	}
	if !q.filter {
		op.body = q.body
	}
	op.against = d.applied
	if w.roll(1, 4) {
		n.delayed = append(n.delayed, op)
		return
	}
	w.step(n, func(c *core) { c.propose(op) })
}

// answered takes the answer of an operation.
func (w *chaosWorld) answered(n *chaosNode, op *operation) {
	if w.bad != "" {
		return
	}
	t := &w.truth
	seq := order.Seq(op.receipt.Seq)
	switch op.ID.Peer {
	case chaosBarrier:
		if op.err != nil {
			return
		}
		w.stats.Linear++
		if needs := order.Seq(op.ID.Number); seq < needs {
			w.fail("a linearizable read at node %d sees %d, it must see %d", n.peer, seq, needs)
		}
		if m := w.nodes[w.chance.IntN(len(w.nodes))]; w.readable(m) && m.disk.applied >= seq {
			t.linear = max(t.linear, m.disk.applied)
		}
		return
	case chaosMark:
		w.stats.Marks++
		if op.err == ErrDiffer {
			w.fail("replicas differ at %d", seq)
		}
		return
	}
	number := op.ID.Number
	q := &w.requests[number]
	q.flying--
	_, refused := op.err.(*NotPrimary)
	w.trace("node %d answers request %d: %d, %v", n.peer, number, seq, op.err)
	switch {
	case op.err == nil || op.err == errNoPoint:
		if seq == 0 || seq > t.top() || t.entries[seq-1].ID.Number != number {
			w.fail("request %d is acknowledged at %d, which is not what is committed", number, seq)
			return
		}
		waited := op.Wait == sextant.Applied
		if waited && op.err != t.errs[seq-1] {
			w.fail("request %d at %d is answered %v, it brought %v", number, seq, op.err, t.errs[seq-1])
		}
		w.stats.Acks++
		q.done = true
		t.acked = max(t.acked, seq)
		if waited {
			w.stats.Waits++
			if !w.kind.listeners { // nobody waits for a listener, and when it is read again it may still lack something
				t.waited = max(t.waited, seq)
				w.checkDurable()
			}
		}
	case refused || !errors.Is(op.err, ErrUnknown) && op.seq == 0:
		if q.logged && !q.sent {
			w.fail("request %d is refused (%v), and was logged", number, op.err)
		}
		w.stats.Refused++
		w.owed = append(w.owed, number)
	default:
		w.stats.Unknown++
		q.sent = true
		w.owed = append(w.owed, number)
	}
}

// answerLost is an operation whose node died.
func (w *chaosWorld) answerLost(op *operation) {
	q := &w.requests[op.ID.Number]
	q.flying--
	q.sent = true
	w.owed = append(w.owed, op.ID.Number)
}

// retry sends a request again: one that was refused, whose fate is unknown, or that nobody has answered for long.
func (w *chaosWorld) retry(n *chaosNode) {
	var number uint64
	switch {
	case len(w.owed) > 0 && w.roll(3, 4):
		i := w.chance.IntN(len(w.owed))
		number = w.owed[i]
		w.owed[i] = w.owed[len(w.owed)-1]
		w.owed = w.owed[:len(w.owed)-1]
	case len(w.requests) > 1:
		number = uint64(max(1, len(w.requests)-1-w.chance.IntN(6)))
	}
	if number == 0 || w.requests[number].done || w.requests[number].kept {
		return
	}
	if q := &w.requests[number]; q.flying > 0 {
		q.sent = true
	}
	w.write(n, number)
}

// withdraw is a client that does not wait any longer.
func (w *chaosWorld) withdraw(n *chaosNode) {
	if n.core == nil || n.core.lead == nil || len(n.core.lead.queue) == 0 {
		return
	}
	op := n.core.lead.queue[w.chance.IntN(len(n.core.lead.queue))]
	w.step(n, func(c *core) {
		if c.withdraw(op) {
			op.err = &NotPrimary{Why: "withdrawn"}
			c.do(action{answer: op})
		}
	})
}

// ask asks a primary for a linearizable read, or for a proof.
func (w *chaosWorld) ask(n *chaosNode, what uint64) {
	op := &operation{Request: Request{ID: wal.RequestID{Peer: what, Number: uint64(max(w.truth.acked, w.truth.linear))}}}
	w.step(n, func(c *core) {
		if what == chaosBarrier {
			c.barrier(op)
		} else {
			c.prove(op)
		}
	})
}
