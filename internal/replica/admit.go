package replica

import (
	"slices"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/topology"
)

// admission is a receiver on its way into the in-sync set: it is counted for every commit before consensus lists it.
type admission struct {
	id, attempt uint64
	target      order.Seq // what it must hold before Admit is proposed
	asked       int64
}

// admit counts the receiver of a transfer from now on. It is close to the end of the log, at a place that the sender tells.
// Precondition errors say that it is too early, or that another primary has to be asked.
func (c *core) admit(id, attempt uint64, at order.Seq) error {
	r := c.lead
	if r == nil || !r.office && !c.wrong.has(admitBeforeOffice) {
		return &NotPrimary{Term: c.heard, Why: "no primary in office"}
	}
	t := c.view.Transfer(id)
	switch {
	case t == nil || t.Attempt != attempt || t.To == c.self:
		return sextant.Errorf(sextant.Precondition, "transfer %d, attempt %d, is not known here", id, attempt)
	case t.Admitted:
		return nil
	case at < c.base.Seq:
		return sextant.Errorf(sextant.Precondition, "the log begins behind entry %d", at)
	}
	f := r.follower(t.To)
	if f != nil && f.admission != nil && f.admission.id == id && f.admission.attempt == attempt {
		return nil
	}
	if f == nil {
		up, life := c.lane(t.To)
		f = &follower{peer: t.To, up: up, life: life, downAt: c.now}
		r.followers = append(r.followers, f)
		slices.SortFunc(r.followers, func(a, b *follower) int { return int(int64(a.peer) - int64(b.peer)) })
	}
	delete(r.absent, t.To)
	f.admission = &admission{id: id, attempt: attempt, target: c.last.Seq}
	if c.wrong.has(admitAtCommit) {
		f.admission.target = c.commit
	}
	c.renew(f)
	return nil
}

// admitting proposes Admit for receivers that are level, and Finish for those that are proven.
func (c *core) admitting() {
	r := c.lead
	for _, f := range r.followers {
		a := f.admission
		if a == nil || f.match < a.target && !c.wrong.has(admitUncounted) || a.asked != 0 && c.now-a.asked < c.time.again {
			continue
		}
		a.asked = max(c.now, 1)
		c.do(action{propose: &proposal{admit: &topology.Admit{ID: a.id, Attempt: a.attempt, Shard: c.view.UUID, Term: r.term, Peer: f.peer}}})
	}
	p := &r.proof
	for id := range p.since {
		if t := c.view.Transfer(id); t == nil || !t.Admitted {
			delete(p.since, id)
		}
	}
	if !r.office {
		return
	}
	for i := range c.view.Transfers {
		t := &c.view.Transfers[i]
		if !t.Admitted {
			continue
		}
		a := p.since[t.ID]
		if a == nil {
			if p.since == nil {
				p.since = map[uint64]*admitted{}
			}
			a = &admitted{from: c.last.Seq}
			p.since[t.ID] = a
		}
		if a.proven == 0 || c.now-a.proven < c.time.prove || a.asked != 0 && c.now-a.asked < c.time.again {
			continue
		}
		a.asked = max(c.now, 1)
		c.do(action{propose: &proposal{finish: &topology.TransferFinish{Shard: c.view.UUID, ID: t.ID, Attempt: t.Attempt}}})
	}
}
