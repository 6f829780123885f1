package replica

import (
	"time"

	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/topology"
)

// Status is where a replica stands, for people.
type Status struct {
	Shard   string
	Primary topology.PeerID // as the topology names it
	Term    order.Term
	Version uint64 // of the in-sync set
	InSync  []topology.PeerID

	Last, Durable, Commit, Applied order.Seq
	// Office: this replica leads, and its reign is confirmed. The members below are the primary's knowledge.
	Office    bool
	Fresh     bool  // nothing that a reader may know of is missing here
	Broken    error // why the store cannot apply
	Alarms    uint64
	Pending   int // operations under way
	Verified  time.Duration
	Proven    bool // Verified says how long ago all replicas were found to be equal
	Followers []FollowerStatus
}

// FollowerStatus is a counted replica as the primary sees it.
type FollowerStatus struct {
	Peer            topology.PeerID
	Connected       bool
	Match, Applied  order.Seq
	Lag             uint64        // entries that are logged here and not durable there
	Behind          time.Duration // for how long it has owed them
	InFlight        int           // bytes
	Refusal         string
	Verified        time.Duration
	Proven, Admitee bool
}

// Status returns where the replica stands.
func (l *Local) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.core
	now := l.hub.clock()
	s := Status{Shard: l.uuid, Last: c.last.Seq, Durable: c.durable, Commit: c.commit, Applied: c.applied, Fresh: c.fresh, Broken: c.broken, Alarms: l.alarms}
	ago := func(at int64) (time.Duration, bool) {
		if at == 0 {
			return 0, false
		}
		return time.Duration(now-at) * time.Millisecond, true
	}
	s.Verified, s.Proven = ago(c.verifiedAt)
	if c.view != nil {
		s.Primary, s.Term, s.Version, s.InSync = c.view.Primary, c.view.Term, c.view.Version, c.view.InSync()
	}
	if c.lead == nil {
		return s
	}
	s.Office, s.Pending = c.lead.office, len(c.lead.queue)+len(c.lead.waiting)
	for _, f := range c.lead.followers {
		one := FollowerStatus{Peer: f.peer, Connected: f.up, Match: f.match, Applied: f.applied, InFlight: f.bytes, Refusal: f.refusal, Admitee: f.admission != nil}
		if f.match < c.last.Seq {
			one.Lag = uint64(c.last.Seq - f.match)
			one.Behind, _ = ago(f.since)
		}
		one.Verified, one.Proven = ago(f.verifiedAt)
		s.Followers = append(s.Followers, one)
	}
	return s
}

// Stands is the place of the replica, as the protocol sees it.
func (l *Local) Stands() (last order.Pos, durable, commit, applied order.Seq) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.core.last, l.core.durable, l.core.commit, l.core.applied
}
