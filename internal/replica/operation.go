package replica

import (
	"math"
	"slices"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/wal"
)

// operation is something asked of a primary: an update, a barrier, or a mark.
type operation struct {
	Request
	body    []byte    // the effects; nil: they depend on stored data
	against order.Seq // the entry whose schema the update was checked against
	schema  bool      // it changes the schema

	at    int64     // when it came
	seq   order.Seq // where it is logged; of a barrier: what must be applied
	round uint64    // of a barrier

	recalled bool // it was applied long ago, and brought outcome
	outcome  error

	receipt sextant.Receipt
	err     error
	done    chan struct{} // closed when answered
}

func (op *operation) fail(err error) { op.err = err }

// propose takes an update. It is logged when the primary is in office, and its turn has come.
func (c *core) propose(op *operation) {
	if !c.leading(op) {
		return
	}
	c.lead.queue = append(c.lead.queue, op)
	c.work()
	c.pumpAll()
}

func (c *core) leading(op *operation) bool {
	if c.lead != nil {
		return true
	}
	no := &NotPrimary{Term: c.heard, Why: "this replica follows"}
	if c.view != nil {
		no.Term, no.Primary = c.view.Term, c.view.Primary
	}
	if no.Primary == c.self {
		no.Why = "this replica is about to take office"
	}
	op.fail(no)
	c.do(action{answer: op})
	return false
}

func (c *core) pumpAll() {
	if c.lead == nil {
		return
	}
	for _, f := range c.lead.followers {
		c.pump(f)
	}
}

// work begins the rounds of linearizable reads, and logs the operations whose turn has come.
func (c *core) work() {
	r := c.lead
	if !r.office {
		return
	}
	for _, op := range r.barriers {
		if op.round == 0 {
			if !c.wrong.has(barrierUnasked) || r.round == 0 {
				r.round++
			}
			op.round, op.seq = r.round, c.commit
		}
	}
	for len(r.queue) > 0 && !r.resolves { // what is being resolved stays the first one
		op := r.queue[0]
		if seq, _, known := c.memory.find(op.ID); known && !c.wrong.has(logTwice) {
			op.seq = seq
			c.attend(op)
			continue
		}
		if err := c.short(op.Factor); err != nil {
			c.refuse(op, err)
			continue
		}
		if op.body == nil || op.against < r.schema {
			if c.applied < c.last.Seq && !c.wrong.has(resolveEarly) {
				return // it, and all behind it, waits until everything that it may depend on is applied
			}
			r.resolves = true
			c.do(action{resolve: op})
			return
		}
		op.seq = c.log(wal.Effects, op.ID, op.body).Seq
		op.body = nil
		if op.schema {
			r.schema = op.seq
		}
		c.attend(op)
	}
}

// attend moves the first operation of the queue, which is logged, to those that wait for their answer.
func (c *core) attend(op *operation) {
	r := c.lead
	r.queue = r.queue[1:]
	r.waiting = append(r.waiting, op)
	if op.seq <= c.commit {
		c.answer()
	}
}

// refuse answers the first operation of the queue by an error: nothing is logged.
func (c *core) refuse(op *operation, err error) {
	c.lead.queue = c.lead.queue[1:]
	op.fail(err)
	c.do(action{answer: op})
}

// resolved brings the effects of an operation, as of everything that is logged.
func (c *core) resolved(op *operation, body []byte, err error) {
	r := c.lead
	if r == nil || len(r.queue) == 0 || r.queue[0] != op {
		return // the reign has ended meanwhile
	}
	r.resolves = false
	if err != nil {
		c.refuse(op, err)
	} else {
		op.body, op.against = body, math.MaxUint64
	}
	c.work()
	c.pumpAll()
}

// recall answers an operation that the store remembers from long ago.
func (c *core) recall(op *operation, seq order.Seq, outcome error) {
	if !c.leading(op) {
		return
	}
	op.seq, op.recalled, op.outcome = seq, true, outcome
	c.lead.waiting = append(c.lead.waiting, op)
	c.answer()
}

// barrier asks for a seq that holds everything acknowledged before.
func (c *core) barrier(op *operation) {
	if !c.leading(op) {
		return
	}
	c.lead.barriers = append(c.lead.barriers, op)
	c.work()
	c.advance()
}

// withdraw takes back an operation that is not logged, and reports whether that was in time.
func (c *core) withdraw(op *operation) bool {
	if c.lead == nil || op.seq != 0 {
		return false
	}
	for i, waiting := range c.lead.queue {
		if waiting == op && !(i == 0 && c.lead.resolves) {
			c.lead.queue = append(c.lead.queue[:i:i], c.lead.queue[i+1:]...)
			return true
		}
	}
	return false
}

// expire answers the writes that wait for consensus to remove a replica, and have waited too long.
func (c *core) expire() {
	r := c.lead
	r.waiting = slices.DeleteFunc(r.waiting, func(op *operation) bool {
		if op.seq <= c.commit || c.now-op.at < c.time.quorum {
			return false
		}
		_, peer := c.blames(op)
		if peer == 0 {
			return false
		}
		op.fail(noQuorum(peer))
		c.do(action{answer: op})
		return true
	})
}

// holdsUp returns a peer that owes what is logged, and that consensus was asked to remove; 0 if there is none.
func (c *core) holdsUp() topology.PeerID {
	if c.lead != nil {
		for _, f := range c.lead.followers {
			if f.match < c.last.Seq && f.accused != 0 {
				return f.peer
			}
		}
	}
	return 0
}

// blames says who keeps a logged operation from its answer: committed reports whether it is kept for certain, peer who has
// not made it durable.
func (c *core) blames(op *operation) (committed bool, peer topology.PeerID) {
	if c.lead == nil || op.seq == 0 {
		return false, 0
	}
	if op.seq <= c.commit {
		return true, 0
	}
	for _, f := range c.lead.followers {
		if f.match < op.seq && f.accused != 0 {
			return false, f.peer
		}
	}
	return false, 0
}
