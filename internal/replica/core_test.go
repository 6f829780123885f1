package replica

import (
	"errors"
	"testing"

	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/wal"
)

// coreOf is a core that is to lead a shard of so many replicas, in term 2, after entries of term 1.
func coreOf(peers int, entries ...wal.Record) *core {
	s := topology.NewShard("s", nil, topology.Active)
	for i := range peers {
		s.Replicas[topology.PeerID(i+1)] = topology.Replica{State: topology.Active, InSync: true}
	}
	s.Term, s.Primary = 2, 1
	stands := order.Stands{}
	for _, e := range entries {
		stands.Last = order.Pos{Seq: e.Seq, Term: e.Term}
		stands.History = stands.History.Extend(stands.Last)
		stands.Durable = e.Seq
	}
	c := newCore(1, 1, stands, entries)
	c.now = 1
	c.show(&s, 1)
	return c
}

func (c *core) storeAll() {
	for len(c.jobs) > 0 {
		c.stored(c.jobs[len(c.jobs)-1].id)
	}
}

func answersOf(c *core) (list []*operation) {
	for _, a := range c.out {
		if a.answer != nil {
			list = append(list, a.answer)
		}
	}
	return list
}

// A linearizable read is not answered by a primary that is not in office, nor, while an update that depends on stored data is
// being made, as of the beginning of time.
func TestBarrierIsNotAnsweredEarly(t *testing.T) {
	c := coreOf(2)
	c.storeAll()
	early := &operation{done: make(chan struct{})}
	c.barrier(early)
	if got := answersOf(c); c.lead == nil || len(got) > 0 {
		t.Fatalf("leads %v, answers %d", c.lead != nil, len(got))
	}

	c = coreOf(1)
	c.storeAll()
	c.reached(c.commit, nil, nil)
	if !c.lead.office || c.applied != 1 {
		t.Fatalf("not in office, applied %d", c.applied)
	}
	c.propose(&operation{body: []byte{1}, against: 1, Request: Request{ID: wal.RequestID{Number: 1}}})
	c.storeAll() // committed, not applied
	c.propose(&operation{Request: Request{ID: wal.RequestID{Number: 2}}})
	late := &operation{}
	c.barrier(late)
	for _, op := range answersOf(c) {
		if op == late {
			t.Fatalf("answered with %d before entry 2 is applied", op.receipt.Seq)
		}
	}
	c.reached(2, nil, nil)
	if late.receipt.Seq != 2 {
		t.Fatalf("the read is to see 2, it was told %d", late.receipt.Seq)
	}
}

// What is being resolved stays the first of its queue, even if it would be refused now: else the queue waits for ever for a
// result that nobody takes.
func TestQueueGoesOnAfterAResolve(t *testing.T) {
	c := coreOf(2)
	c.storeAll()
	f := c.lead.follower(2)
	c.connected(2, 1, true)
	ack := func(seq order.Seq) {
		c.acked(2, &Ack{Term: 2, Session: f.session, Number: f.number, Match: seq, Verified: seq, Applied: seq, Last: order.Pos{Seq: seq, Term: 2}})
	}
	ack(1)
	c.reached(1, nil, nil)
	first := &operation{Request: Request{ID: wal.RequestID{Number: 1}, Factor: 2}}
	c.propose(first)
	if !c.lead.resolves {
		t.Fatal("it is not being resolved")
	}
	v := *c.view
	v.Replicas = map[topology.PeerID]topology.Replica{1: {State: topology.Active, InSync: true}, 2: {State: topology.Dead}}
	v.Version++
	c.show(&v, 2)
	c.propose(&operation{body: []byte{1}, against: 1, Request: Request{ID: wal.RequestID{Number: 2}}})
	c.resolved(first, []byte{2}, nil)
	if first.err == nil && first.seq == 0 {
		t.Error("the first one is neither logged nor refused")
	}
	if c.lead.resolves || len(c.lead.queue) > 0 {
		t.Errorf("resolves %v, %d wait", c.lead.resolves, len(c.lead.queue))
	}
}

// A store that cannot cut a conflicting tail still holds it: it is not committed, not acknowledged, and whose entries are there is
// known.
func TestFailedCutLeavesTheOldTail(t *testing.T) {
	mine := wal.RequestID{Peer: 1, Number: 1}
	old := wal.Record{Seq: 1, Term: 1, Kind: wal.Effects, ID: mine}
	c := coreOf(2, old)
	v := *c.view
	v.Term, v.Primary = 3, 2
	c.jobs, c.using = nil, 0
	c.show(&v, 2)
	theirs := wal.RequestID{Peer: 2, Number: 1}
	c.appended(2, &Append{Term: 3, Session: 1, Number: 1, Records: []wal.Record{{Seq: 1, Term: 3, Kind: wal.Effects, ID: theirs}}, Commit: 1})
	if len(c.jobs) != 1 || c.commit != 1 {
		t.Fatalf("%d jobs, commit %d", len(c.jobs), c.commit)
	}
	c.failed(errors.New("disk full"), order.Stands{Last: order.Pos{Seq: 1, Term: 1}, Durable: 1, History: order.History{{Term: 1, First: 1}}}, []wal.Record{old})
	if c.commit != 0 || c.follow.verified != 0 {
		t.Errorf("commit %d, verified %d of a log that holds another entry", c.commit, c.follow.verified)
	}
	if seq, _, known := c.memory.find(mine); !known || seq != 1 {
		t.Error("the request in the log is not known")
	}
	if _, _, known := c.memory.find(theirs); known {
		t.Error("a request that is not in the log is known")
	}
}

// Answers that come on a connection which was replaced meanwhile may be overtaken by newer ones: they do not tell that a log has
// become shorter.
func TestOvertakenAnswerAccusesNobody(t *testing.T) {
	c := coreOf(2)
	c.storeAll()
	c.connected(2, 1, true)
	c.fetched(2, 1, []wal.Record{{Seq: 1, Term: 2, Kind: wal.Noop}}, nil)
	f := c.lead.follower(2)
	answer := func(number uint64, seq order.Seq) {
		c.acked(2, &Ack{Term: 2, Session: f.session, Number: number, Match: seq, Verified: seq, Last: order.Pos{Seq: seq, Term: 2}})
	}
	answer(2, 1)
	c.out = nil
	answer(1, 0)
	for _, a := range c.out {
		if a.alarm != "" || a.propose != nil {
			t.Errorf("alarm %q, proposal %+v", a.alarm, a.propose)
		}
	}
}

// A receiver that becomes active because nobody else is left may not have applied what was answered before it was counted: it is
// read when it has.
func TestReceiverIsReadWhenItHasAppliedAll(t *testing.T) {
	c := coreOf(3, wal.Record{Seq: 1, Term: 1, Kind: wal.Noop}, wal.Record{Seq: 2, Term: 1, Kind: wal.Effects})
	c.jobs, c.using = nil, 0
	see := func(state topology.ReplicaState, in bool, primary topology.PeerID, term order.Term) {
		v := *c.view
		v.Replicas = map[topology.PeerID]topology.Replica{1: {State: state, InSync: in}, 2: {State: topology.Active, InSync: true}}
		v.Term, v.Primary = term, primary
		c.show(&v, c.index+1)
	}
	c.caught = true
	see(topology.Recovery, false, 2, 2)
	c.fresh = true // in an earlier time of this life
	see(topology.Partial, true, 2, 2)
	see(topology.Active, true, 1, 3)
	if c.fresh {
		t.Error("it is read, and has applied nothing")
	}
	c.caughtUp()
	c.commit = 2
	c.storeAll()
	c.reached(2, nil, nil)
	if c.fresh {
		t.Error("it is read before its own first entry is committed")
	}
	c.acked(2, &Ack{Term: 3, Session: c.lead.follower(2).session, Match: 3, Verified: 3, Last: order.Pos{Seq: 3, Term: 3}})
	c.reached(3, nil, nil)
	if !c.fresh {
		t.Error("it is not read, and has applied all")
	}
}

// A directory of a while ago that was put back does not know that its process has used a term: one that was given before this life
// is not used, but a new one claimed. A shard without entries has nothing to confuse.
func TestTermOfBeforeThisLifeIsNotUsed(t *testing.T) {
	c := coreOf(2, wal.Record{Seq: 1, Term: 1, Kind: wal.Noop})
	claimed := func() bool {
		for _, a := range c.out {
			if a.propose != nil && a.propose.claim != nil && a.propose.claim.Term == c.view.Term {
				return true
			}
		}
		return false
	}
	if c.lead != nil || len(c.jobs) > 0 || !claimed() {
		t.Errorf("it reigns in a term of before: %+v, %+v, %+v", c.lead, c.jobs, c.out)
	}
	c.caughtUp()
	v := *c.view
	v.Term = 3
	c.show(&v, 2)
	c.storeAll()
	if c.lead == nil || c.lead.term != 3 {
		t.Errorf("it does not reign in its own term: %+v", c.lead)
	}
	c = coreOf(2)
	c.storeAll()
	if c.lead == nil {
		t.Error("a new shard waits for nothing")
	}
}

// A deposed primary that does not know it is not told what a transfer brings to its former follower: it would believe that its own
// disk has lost that.
func TestDeposedPrimaryIsNotAnswered(t *testing.T) {
	c := coreOf(3)
	c.jobs, c.using = nil, 0
	v := *c.view
	v.Term, v.Primary = 2, 2
	c.show(&v, 2)
	noop := wal.Record{Seq: 1, Term: 2, Kind: wal.Noop}
	c.appended(2, &Append{Term: 2, Session: 1, Number: 1, Records: []wal.Record{noop}})
	c.storeAll()
	v.Term, v.Primary = 3, 3
	v.Transfers = []topology.Transfer{{ID: 1, Attempt: 1, From: 3, To: 1}}
	next := v
	c.show(&next, 3)
	c.out = nil
	if _, err := c.fed(3, Feed{ID: 1, Attempt: 1, Prev: order.Pos{Seq: 1, Term: 2}, Records: []wal.Record{{Seq: 2, Term: 3, Kind: wal.Noop}}}); err != nil {
		t.Fatal(err)
	}
	c.storeAll()
	c.reached(2, nil, nil)
	for _, a := range c.out {
		if a.send != nil {
			t.Errorf("peer %d is sent %+v", a.send.to, a.send.m.Ack)
		}
	}
}

// A receiver under proof whose report is lost, since it applied the mark before the connection was made anew, is asked again: the
// transfer would never end.
func TestLostReportIsAskedForAgain(t *testing.T) {
	c := coreOf(2)
	c.storeAll()
	c.connected(2, 1, true)
	c.fetched(2, 1, []wal.Record{{Seq: 1, Term: 2, Kind: wal.Noop}}, nil)
	f := c.lead.follower(2)
	answer := func(seq order.Seq, m order.Seq, digest []byte) {
		a := &Ack{Term: 2, Session: f.session, Number: f.number, Match: seq, Verified: seq, Last: order.Pos{Seq: seq, Term: 2}, Applied: seq}
		if m > 0 {
			a.Mark, a.Digest = m, newMark(m, digest).digest
		}
		c.acked(2, a)
	}
	answer(1, 0, nil)
	c.reached(1, nil, nil)
	if !c.lead.office {
		t.Fatal("it is not in office")
	}
	v := *c.view
	v.Replicas = map[topology.PeerID]topology.Replica{1: {State: topology.Active, InSync: true}, 2: {State: topology.Partial, InSync: true}}
	v.Transfers = []topology.Transfer{{ID: 1, Attempt: 1, From: 1, To: 2, Admitted: true, Sync: true}}
	c.show(&v, 2)
	digest := []byte("x")
	for round := range order.Seq(3) {
		mark := round + 2
		if c.last.Seq != mark || c.lead.proof.mark != mark {
			t.Fatalf("no mark %d but %d, the log ends at %d", mark, c.lead.proof.mark, c.last.Seq)
		}
		c.storeAll()
		report := order.Seq(0)
		if round == 2 {
			report = mark
		}
		answer(mark, report, digest)
		c.reached(mark, []order.Outcome{{Seq: mark, Digest: digest}}, nil)
	}
	if a := c.lead.proof.since[1]; a == nil || a.proven == 0 {
		t.Errorf("it is not proven: %+v", a)
	}
}

// What a follower has acknowledged and is not committed may be cut there, by a primary that was deposed, after a restart: only the
// loss of what is committed is the disk's.
func TestFollowerMayLoseWhatIsNotCommitted(t *testing.T) {
	c := coreOf(3, wal.Record{Seq: 1, Term: 1, Kind: wal.Noop}, wal.Record{Seq: 2, Term: 1, Kind: wal.Effects})
	c.caughtUp()
	v := *c.view
	v.Term = 3 // the other was given before this life
	c.show(&v, 2)
	c.storeAll()
	c.connected(2, 1, true)
	f := c.lead.follower(2)
	c.fetched(2, f.session, []wal.Record{{Seq: 3, Term: 3, Kind: wal.Noop}}, nil)
	answer := func(seq order.Seq) (alarms int) {
		c.out = nil
		c.acked(2, &Ack{Term: 3, Session: f.session, Number: f.number, Match: seq, Verified: seq, Last: order.Pos{Seq: seq, Term: 1}})
		for _, a := range c.out {
			if a.alarm != "" || a.propose != nil {
				alarms++
			}
		}
		return alarms
	}
	answer(2)
	c.connected(2, 2, true)
	if answer(1) > 0 {
		t.Error("it is accused for the loss of what is not committed")
	}
	c.commit = 2
	if answer(1) == 0 {
		t.Error("nobody minds the loss of what is committed")
	}
}
