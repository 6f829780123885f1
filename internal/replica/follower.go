package replica

import (
	"fmt"
	"slices"

	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/topology"
)

// session is what a follower knows of the primary that it hears.
type session struct {
	primary  topology.PeerID // 0: none was heard
	term     order.Term
	session  uint64
	number   uint64    // of its last message
	verified order.Seq // the log here equals the primary's up to this place
	round    uint64
	freshAt  *order.Seq // what the primary in office had committed when it wrote to this life
}

// lowest is the lowest term whose entries are taken here.
func (c *core) lowest() order.Term {
	if c.wrong.has(takeOldTerms) {
		return 0
	}
	return max(c.heard, c.history.Last(), c.used, c.using, c.view.Term)
}

// appended takes a message of a primary.
func (c *core) appended(from topology.PeerID, m *Append) {
	if c.view == nil || c.broken != nil {
		return // "not yet" is silence; what is broken gives way by itself
	}
	if low := c.lowest(); m.Term < low {
		c.do(action{send: &outgoing{from, Message{Ack: &Ack{Term: m.Term, Session: m.Session, Number: m.Number, Seen: low,
			Applied: c.applied, Last: c.last}}}})
		return
	}
	c.heard = m.Term
	if c.lead != nil {
		if m.Term == c.lead.term {
			c.alarm(fmt.Sprintf("peer %d leads in the own term %d", from, m.Term))
			return
		}
		c.stepDown(fmt.Sprintf("peer %d leads in term %d", from, m.Term))
	}
	s := &c.follow
	switch {
	case s.primary != from || s.term != m.Term || s.session < m.Session:
		round := s.round
		if s.term != m.Term && !c.wrong.has(mixRounds) {
			round = 0 // rounds are counted per term
		}
		*s = session{primary: from, term: m.Term, session: m.Session, round: round}
	case s.session > m.Session:
		return // of a connection that is no more
	}
	s.number = max(s.number, m.Number)
	if m.Prev.Seq > c.last.Seq || m.Prev.Seq >= c.base.Seq && c.at(m.Prev.Seq).Term != m.Prev.Term && !c.wrong.has(skipPrevCheck) {
		if m.Prev.Seq <= c.applied && m.Term == c.view.Term && from == c.view.Primary {
			c.alarm(fmt.Sprintf("the primary's entry before %d is not the one applied here", m.Prev.Seq+1))
		}
		c.do(action{send: &outgoing{from, Message{Ack: &Ack{Term: s.term, Session: s.session, Number: m.Number, Mismatch: true,
			Applied: c.applied, Last: c.last, History: c.history}}}})
		return
	}
	jobs := len(c.jobs)
	verified, ok := c.take(from, m)
	if !ok {
		return
	}
	s.verified = max(s.verified, verified)
	s.round = max(s.round, m.Round)
	known := m.Commit
	if !c.wrong.has(trustCommit) {
		known = min(known, s.verified)
	}
	commits := known > c.commit && len(m.Records) == 0 && m.Round == 0
	c.commit = max(c.commit, known)
	if (m.Office || c.wrong.has(freshWithoutOffice)) && (m.Life == c.life || c.wrong.has(freshAnyLife)) && m.Commit <= s.verified {
		at := m.Commit
		s.freshAt = &at
	}
	if m.Floor != c.floor {
		c.floor = m.Floor
		floor := m.Floor
		c.do(action{floor: &floor})
	}
	// A commit alone is answered when it is applied, new entries when they are durable: both are soon.
	if soon := commits && c.applied < c.commit && c.commit <= c.durable || jobs < len(c.jobs); !soon {
		c.acknowledge()
	}
	c.refresh()
}

// take appends the entries of a message that are not here yet, and returns up to where the log is the primary's now.
func (c *core) take(from topology.PeerID, m *Append) (verified order.Seq, ok bool) {
	verified = m.Prev.Seq
	for i := range m.Records {
		e := &m.Records[i]
		if e.Seq <= c.base.Seq || e.Seq <= c.last.Seq && c.at(e.Seq).Term == e.Term {
			verified = e.Seq
			continue
		}
		if e.Seq <= c.commit && (e.Seq <= c.applied || !c.wrong.has(cutCommitted)) {
			if m.Term == c.view.Term && from == c.view.Primary {
				c.alarm(fmt.Sprintf("the primary's entry %d@%d is not the one committed here", e.Seq, e.Term))
			}
			return 0, false
		}
		c.enqueue(c.at(e.Seq-1), slices.Clip(m.Records[i:]))
		return c.last.Seq, true
	}
	return verified, true
}

// acknowledge tells the primary what is verified against it and durable, and what is applied.
func (c *core) acknowledge() {
	s := &c.follow
	if s.primary == 0 || c.lead != nil || s.term < c.lowest() {
		return // nobody, or one that was deposed: what the log here has by now, from the sender of a transfer perhaps, is not its
	}
	match := min(s.verified, c.durable)
	if c.wrong.has(ackUnsynced) {
		match = s.verified
	}
	if c.wrong.has(ackLast) {
		match = c.last.Seq
	}
	a := &Ack{Term: s.term, Session: s.session, Number: s.number, Match: match, Verified: s.verified, Applied: c.applied,
		Last: c.last, Round: s.round, Mark: c.marked.seq, Digest: c.marked.digest}
	c.do(action{send: &outgoing{s.primary, Message{Ack: a}}})
}
