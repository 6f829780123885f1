package replica

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/wal"
)

// proof is what a primary knows of the equality of its replicas. A mark is an entry at which every replica reports the digest
// of its state; equal digests at one mark prove equal data.
type proof struct {
	mark    order.Seq // the newest of this reign; 0: none
	at      int64     // when it was logged
	open    bool      // not everybody has reported
	changed bool      // something was logged behind it
	asking  []*operation
	since   map[uint64]*admitted // transfers whose receiver is admitted
}

// admitted is the proof of one receiver.
type admitted struct {
	from   order.Seq // marks above this one count: it was logged when the admission was seen
	proven int64     // when the digests were equal; 0: not yet
	asked  int64
}

func newMark(seq order.Seq, ranges []byte) mark {
	sum := sha256.Sum256(ranges)
	return mark{seq: seq, digest: [16]byte(sum[:16]), ranges: ranges}
}

func (p *proof) busy() bool { return p.open || len(p.asking) > 0 || len(p.since) > 0 }

// prove asks for a mark, answered when all counted replicas have reported equal digests.
func (c *core) prove(op *operation) {
	if !c.leading(op) {
		return
	}
	c.lead.proof.asking = append(c.lead.proof.asking, op)
	c.judge()
	c.pumpAll()
}

// judge logs marks when they are due and compares what was reported.
func (c *core) judge() {
	r := c.lead
	p := &r.proof
	if !r.office {
		return
	}
	if p.open && c.marked.seq >= p.mark {
		c.compare()
		if c.lead != r {
			return
		}
	}
	if len(r.followers) == 0 && len(p.asking) == 0 {
		p.changed, p.open = false, false
		return
	}
	unproven := false
	for _, a := range p.since {
		unproven = unproven || a.proven == 0 && (p.mark <= a.from || p.open)
	}
	// One that is open for so long lacks a report that was lost: there has to be another one. Nobody is thrown out for the sake
	// of an audit.
	due := (p.open || p.changed && c.now-p.at >= c.time.audit) && r.connected()
	for _, op := range p.asking {
		if op.seq == 0 || p.open {
			due = true
		}
	}
	if p.open && c.now-p.at < c.time.silent || !due && !unproven {
		return
	}
	p.mark, p.at, p.open, p.changed = c.log(wal.Mark, wal.RequestID{}, nil).Seq, c.now, true, false
	for _, op := range p.asking {
		if op.seq == 0 {
			op.seq = p.mark
		}
	}
}

// connected reports whether all followers can be reached.
func (r *reign) connected() bool {
	return !slices.ContainsFunc(r.followers, func(f *follower) bool { return !f.up || !f.answered })
}

// compare ends the newest mark if everybody has reported.
func (c *core) compare() {
	r := c.lead
	p := &r.proof
	if c.marked.seq != p.mark {
		return
	}
	votes := map[[16]byte]int{c.marked.digest: 1}
	for _, f := range r.followers {
		switch {
		case f.mark.seq == p.mark:
			votes[f.mark.digest]++
		case f.applied >= p.mark && f.mark.seq < p.mark && f.answered:
			p.at -= c.time.silent // its report is lost: a new mark
			return
		default:
			return
		}
	}
	p.open = false
	mine := votes[c.marked.digest]
	for _, f := range r.followers {
		if f.mark.digest == c.marked.digest {
			continue
		}
		c.alarm(fmt.Sprintf("at entry %d the digest of peer %d is %x, here it is %x", p.mark, f.peer, f.mark.digest, c.marked.digest))
		f.refusal = fmt.Sprintf("its digest at entry %d differs", p.mark)
		c.do(action{differ: &Difference{Shard: c.view.UUID, Peer: f.peer, Mark: p.mark, Ranges: c.marked.ranges}})
		switch others := votes[f.mark.digest]; {
		case c.underProof(f.peer) != nil:
			t := c.underProof(f.peer)
			c.do(action{propose: &proposal{abort: &topology.TransferAbort{Shard: c.view.UUID, ID: t.ID, Reason: f.refusal, Differs: true}}})
		case others >= 2 && mine == 1:
			c.told, c.differs = 0, true
			c.giveWay(f.peer)
			return
		case mine >= 2:
			f.differs = true
			c.accuse(f)
		}
		// one against one: nobody knows who is right
	}
	equal := mine == len(r.followers)+1
	if equal {
		p.verified(c, p.mark)
	}
	waiting := p.asking
	p.asking = nil
	for _, op := range waiting {
		if op.seq > p.mark || op.seq == 0 {
			p.asking = append(p.asking, op)
			continue
		}
		op.receipt.Seq = uint64(p.mark)
		if !equal {
			op.err = ErrDiffer
		}
		c.do(action{answer: op})
	}
}

// underProof returns the admitted transfer to a peer, nil if there is none.
func (c *core) underProof(p topology.PeerID) *topology.Transfer {
	for i := range c.view.Transfers {
		if t := &c.view.Transfers[i]; t.Admitted && t.To == p {
			return t
		}
	}
	return nil
}

func (p *proof) verified(c *core, at order.Seq) {
	c.verifiedAt = c.now
	for _, f := range c.lead.followers {
		f.verifiedAt = c.now
	}
	for _, a := range p.since {
		if a.proven == 0 && at > a.from {
			a.proven = max(c.now, 1)
		}
	}
}
