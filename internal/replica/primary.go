package replica

import (
	"fmt"
	"math"
	"slices"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/wal"
)

// reign is what a primary knows in one term.
type reign struct {
	term   order.Term
	noop   order.Seq // the entry that began the reign; nothing is committed before it is
	office bool      // that entry is committed

	followers []*follower // by peer; those that are counted
	sessions  uint64
	round     uint64 // of questions whether this is the primary still
	absent    map[topology.PeerID]order.Seq

	queue    []*operation // not logged yet, first to last
	resolves bool         // the effects of the first one are being made
	waiting  []*operation // logged and not answered, by seq
	barriers []*operation
	schema   order.Seq // the last entry that changes the schema, or may: updates prepared before it are prepared anew

	tail      []wal.Record // the newest records, as long as some follower lacks them
	tailBytes int

	proof proof
}

// follower is what a primary knows of a counted replica. All but peer and ever belongs to one session.
type follower struct {
	peer    topology.PeerID
	up      bool
	life    uint64 // of its process, which the connection told
	session uint64

	next     order.Seq // to be sent
	match    order.Seq // verified and durable there
	applied  order.Seq
	answered bool   // it has accepted something in this session
	number   uint64 // of the last message
	rewindAt uint64 // refusals of earlier messages are about something else
	heard    uint64 // the newest message that it has answered
	flight   []sent // messages that it has not answered
	bytes    int    // in flight
	commit   order.Seq
	floor    order.Seq
	round    uint64 // sent
	heardOf  uint64 // round that it has answered
	fetching bool
	mark     mark

	ever    order.Seq // highest match of the reign
	since   int64     // since when it owes something without a step forward; 0: it owes nothing
	downAt  int64
	asked   int64
	accused int64
	refusal string
	differs bool // its digest was another one

	verifiedAt int64
	admission  *admission // of a receiver that consensus does not list as in sync yet
}

// sent is a message in flight, and the last entry in it.
type sent struct {
	number uint64
	end    order.Seq
	bytes  int
}

const (
	batchBytes  = 1 << 20 // of one message
	flightBytes = 8 << 20 // in flight to one follower
	// flightMessages with entries may be in flight: what comes meanwhile goes into one.
	flightMessages = 8
	tailLimit      = 16 << 20
)

func (r *reign) follower(p topology.PeerID) *follower {
	i, found := slices.BinarySearchFunc(r.followers, p, func(f *follower, p topology.PeerID) int { return int(int64(f.peer) - int64(p)) })
	if !found {
		return nil
	}
	return r.followers[i]
}

// begin starts a reign. Its term is stored as used.
func (c *core) begin(term order.Term) {
	c.lead = &reign{term: term, absent: map[topology.PeerID]order.Seq{}, proof: proof{changed: true, at: c.now}}
	c.heard = max(c.heard, term)
	c.follow = session{}
	for _, p := range c.view.Peers() {
		if r := c.view.Replicas[p]; !r.InSync && p != c.self {
			c.lead.absent[p] = 0
		}
	}
	c.lead.noop = c.log(wal.Noop, wal.RequestID{}, nil).Seq
	c.lead.schema = c.last.Seq
	if c.wrong.has(officeAtOnce) {
		c.lead.office = true
	}
	c.count()
	c.advance()
}

// stepDown ends the reign. What was logged may be kept by the next one, or not.
func (c *core) stepDown(why string) {
	r := c.lead
	c.lead = nil
	for _, op := range r.queue {
		op.fail(&NotPrimary{Term: r.term, Primary: c.view.Primary, Why: why})
		c.do(action{answer: op})
	}
	for _, op := range slices.Concat(r.waiting, r.barriers, r.proof.asking) {
		op.fail(fmt.Errorf("%w: %s", ErrUnknown, why))
		c.do(action{answer: op})
	}
}

// log appends an entry of the own term.
func (c *core) log(kind wal.Kind, id wal.RequestID, body []byte) order.Pos {
	r := c.lead
	rec := wal.Record{Seq: c.last.Seq + 1, Term: r.term, Kind: kind, ID: id, Body: body}
	if len(r.tail) > 0 || len(r.followers) > 0 {
		r.tail = append(r.tail, rec)
		r.tailBytes += len(body)
		for r.tailBytes > tailLimit && len(r.tail) > 1 {
			r.tailBytes -= len(r.tail[0].Body)
			r.tail = r.tail[1:]
		}
	}
	c.enqueue(c.last, []wal.Record{rec})
	if kind == wal.Effects {
		r.proof.changed = true
	}
	return c.last
}

// count makes the followers those that have to be heard: in sync by the topology, or being admitted.
func (c *core) count() {
	r, v := c.lead, c.view
	var now []*follower
	for _, p := range v.Peers() {
		if p == c.self {
			continue
		}
		f := r.follower(p)
		if f != nil && f.admission != nil {
			t := v.Transfer(f.admission.id)
			switch {
			case t == nil || t.Attempt != f.admission.attempt:
				r.absent[p] = f.applied // ended before it was admitted
				f = nil
			case t.Admitted:
				f.admission = nil
			}
		}
		in := v.Replicas[p].InSync
		switch {
		case f == nil && in:
			up, life := c.lane(p)
			f = &follower{peer: p, up: up, life: life, downAt: c.now, ever: r.absent[p]}
			delete(r.absent, p)
			now = append(now, f)
			c.renew(f)
		case f != nil && (in || f.admission != nil):
			now = append(now, f)
		case f != nil:
			r.absent[p] = f.applied
		default:
			if _, known := r.absent[p]; !known {
				r.absent[p] = 0
			}
		}
	}
	for p := range r.absent {
		if _, listed := v.Replicas[p]; !listed {
			delete(r.absent, p)
		}
	}
	r.followers = now
	c.trimTail()
	c.keep()
}

// keep tells everybody from where on the log is needed by those that are away.
func (c *core) keep() {
	floor := order.Seq(0)
	for _, applied := range c.lead.absent {
		if floor == 0 || applied+1 < floor {
			floor = applied + 1
		}
	}
	if floor != c.floor {
		c.floor = floor
		c.do(action{floor: &floor})
	}
}

// renew begins a session: nothing that was heard before counts.
func (c *core) renew(f *follower) {
	r := c.lead
	r.sessions++
	match := f.match
	*f = follower{peer: f.peer, up: f.up, life: f.life, session: r.sessions, next: c.last.Seq + 1, ever: f.ever,
		since: f.since, downAt: f.downAt, accused: f.accused, admission: f.admission, verifiedAt: f.verifiedAt}
	if c.wrong.has(keepSessions) {
		f.match = match
	}
	c.pump(f)
}

// connected tells that the lane to a peer was opened anew, to a process of that life, or was lost.
func (c *core) connected(p topology.PeerID, life uint64, up bool) {
	if c.lanes == nil {
		c.lanes = map[topology.PeerID]uint64{}
	}
	if delete(c.lanes, p); up {
		c.lanes[p] = life
	}
	if c.lead != nil {
		if f := c.lead.follower(p); f != nil {
			if f.up && !up {
				f.downAt = c.now
			}
			f.up, f.life = up, life
			if up {
				c.renew(f)
			}
		}
	}
	if up && c.follow.primary == p {
		c.acknowledge() // the last one may be lost
	}
}

func (c *core) lane(p topology.PeerID) (up bool, life uint64) {
	life, up = c.lanes[p]
	return up, life
}

// pump sends a follower what it has not been sent, as far as it takes more.
func (c *core) pump(f *follower) {
	r := c.lead
	for f.up {
		news := f.commit < c.commit || f.round < r.round || f.floor != c.floor || f.number == 0
		var records []wal.Record
		if f.next <= c.last.Seq && !f.fetching && f.bytes < flightBytes && len(f.flight) < flightMessages && (f.answered || f.number == 0) {
			if len(r.tail) == 0 || r.tail[0].Seq > f.next {
				if f.next <= c.durable { // else it cannot be read yet; once it can, this comes again
					f.fetching = true
					c.do(action{fetch: &fetchRequest{to: f.peer, session: f.session, from: f.next, through: min(c.last.Seq, c.durable)}})
				}
			} else {
				records = batch(r.tail[f.next-r.tail[0].Seq:])
			}
		}
		if len(records) == 0 && !news {
			return
		}
		c.sendAppend(f, records)
	}
}

// batch takes records from the front, as many as go into one message.
func batch(records []wal.Record) []wal.Record {
	size := 0
	for i := range records {
		if size += len(records[i].Body) + 32; size > batchBytes && i > 0 {
			return records[:i:i]
		}
	}
	return records[:len(records):len(records)]
}

func (c *core) sendAppend(f *follower, records []wal.Record) {
	r := c.lead
	size := 0
	for i := range records {
		size += len(records[i].Body)
	}
	prev := c.at(f.next - 1)
	f.next += order.Seq(len(records))
	f.number++
	f.bytes += size
	f.flight = append(f.flight, sent{f.number, f.next - 1, size})
	f.commit, f.round, f.floor, f.asked = c.commit, r.round, c.floor, c.now
	c.do(action{send: &outgoing{f.peer, Message{Append: &Append{Term: r.term, Session: f.session, Number: f.number, Life: f.life,
		Prev: prev, Records: records, Commit: c.commit, Round: r.round, Floor: c.floor, Office: r.office}}}})
}

// fetched brings records that were asked of the store for a follower.
func (c *core) fetched(p topology.PeerID, session uint64, records []wal.Record, err error) {
	if c.lead == nil {
		return
	}
	f := c.lead.follower(p)
	if f == nil || f.session != session {
		return
	}
	f.fetching = false
	if err != nil {
		f.refusal = "the log does not reach back to its last entry: " + err.Error()
		c.accuse(f)
		return
	}
	if len(records) > 0 && records[0].Seq == f.next && records[len(records)-1].Seq <= c.last.Seq {
		for len(records) > 0 {
			part := batch(records)
			if c.at(part[len(part)-1].Seq).Term != part[len(part)-1].Term {
				break // cut meanwhile
			}
			c.sendAppend(f, part)
			records = records[len(part):]
		}
	}
	c.pump(f)
}

// acked takes a follower's answer.
func (c *core) acked(from topology.PeerID, a *Ack) {
	r := c.lead
	if r == nil {
		return
	}
	if a.Seen > r.term {
		c.heard = max(c.heard, a.Seen)
		c.stepDown(fmt.Sprintf("peer %d knows term %d", from, a.Seen))
		c.rise()
		return
	}
	f := r.follower(from)
	if f == nil || a.Term != r.term || a.Session != f.session && !c.wrong.has(keepSessions) {
		return
	}
	if a.Session == f.session {
		if a.Number < f.heard {
			return // it came on an earlier connection, and is overtaken: it would tell of a log that was shorter
		}
		f.heard = a.Number
	}
	if a.Refused {
		f.refusal = a.Why
		c.accuse(f)
		return
	}
	if a.Applied > c.last.Seq {
		c.alarm(fmt.Sprintf("peer %d has applied %d, the log here ends at %d: this disk has lost entries", from, a.Applied, c.last.Seq))
		c.told = 0
		c.giveWay(from)
		return
	}
	if kept := min(f.ever, c.commit); a.Last.Seq < kept { // what is not committed, a deposed primary may have cut
		f.refusal = fmt.Sprintf("its log ends at %d, it has acknowledged %d", a.Last.Seq, kept)
		c.alarm(fmt.Sprintf("peer %d: %s", from, f.refusal))
		c.accuse(f)
		return
	}
	if a.Mismatch {
		c.rewind(f, a)
		return
	}
	f.answered, f.refusal = true, ""
	end := order.Seq(0)
	for len(f.flight) > 0 && f.flight[0].number <= a.Number {
		end = max(end, f.flight[0].end)
		f.bytes -= f.flight[0].bytes
		f.flight = f.flight[1:]
	}
	if end > a.Verified { // it could not use a message: its replica was not there yet
		f.next, f.rewindAt, f.flight, f.bytes = a.Verified+1, f.number+1, nil, 0
	}
	if match := min(a.Match, c.last.Seq); match > f.match {
		f.match, f.ever = match, max(f.ever, match)
		if f.since != 0 {
			f.since = c.now
		}
	}
	f.applied = max(f.applied, a.Applied)
	if a.Round > f.heardOf {
		f.heardOf = a.Round
		if f.match >= c.last.Seq {
			f.since = 0
		}
	}
	if f.since != 0 && f.match >= c.last.Seq && f.heardOf >= r.round {
		f.since = c.now // it lives: all that it may owe is to apply, which takes what it takes
	}
	if a.Mark > f.mark.seq {
		f.mark = mark{seq: a.Mark, digest: a.Digest}
	}
	c.trimTail()
	c.advance()
	if c.lead == r && r.follower(from) == f {
		c.pump(f)
	}
}

// rewind goes back to the last place that the logs have in common.
func (c *core) rewind(f *follower, a *Ack) {
	if a.Number < f.rewindAt {
		return
	}
	meet := c.history.Meet(c.last.Seq, a.History, a.Last.Seq)
	if meet.Seq == 0 && c.base.Seq > 0 && !c.holds(meet) || meet.Seq < c.base.Seq {
		f.refusal = fmt.Sprintf("its log ends at %s, which the log here, from %s on, does not know", a.Last, c.base)
		c.accuse(f)
		return
	}
	f.next, f.rewindAt, f.flight, f.bytes, f.answered = meet.Seq+1, f.number+1, nil, 0, true
	c.pump(f)
}

// trimTail forgets records that every follower has.
func (c *core) trimTail() {
	r := c.lead
	low := order.Seq(math.MaxUint64)
	for _, f := range r.followers {
		low = min(low, f.match)
	}
	n := 0
	for n < len(r.tail) && r.tail[n].Seq <= low {
		r.tailBytes -= len(r.tail[n].Body)
		n++
	}
	if r.tail = r.tail[n:]; len(r.tail) == 0 {
		r.tail = nil
	}
}

// advance commits what everybody has, and does what waited for it.
func (c *core) advance() {
	r := c.lead
	if r == nil {
		return
	}
	all := c.durable
	if c.wrong.has(countUnsynced) {
		all = c.last.Seq
	}
	for _, f := range r.followers {
		if f.admission != nil && c.wrong.has(admitUncounted) {
			continue
		}
		all = min(all, f.match)
	}
	if all > c.commit && (all >= r.noop || c.wrong.has(commitOldTerm)) {
		c.commit = all
		r.office = r.office || all >= r.noop
	}
	c.admitting()
	c.judge()
	c.answer()
	c.work()
	for _, f := range r.followers {
		c.pump(f)
	}
}

// answer tells the requests whose time has come.
func (c *core) answer() {
	r := c.lead
	seen := c.applied // by everybody who may be read
	asked := r.round
	for _, f := range r.followers {
		if s := c.view.Replicas[f.peer].State; s != topology.Listener && !(c.wrong.has(waitActiveOnly) && s != topology.Active) {
			seen = min(seen, f.applied)
		}
		asked = min(asked, f.heardOf)
	}
	if c.wrong.has(barrierUnasked) {
		asked = r.round
	}
	r.waiting = slices.DeleteFunc(r.waiting, func(op *operation) bool {
		switch {
		case op.seq > c.commit, op.Wait == sextant.Applied && op.seq > seen:
			return false
		case op.Wait == sextant.Applied:
			op.receipt.Status = sextant.Completed
			if _, op.err, _ = c.memory.find(op.ID); op.recalled {
				op.err = op.outcome
			}
		}
		op.receipt.Seq = uint64(op.seq)
		if short := c.short(op.Factor); short != nil && op.err == nil {
			op.err = short
		}
		c.do(action{answer: op})
		return true
	})
	r.barriers = slices.DeleteFunc(r.barriers, func(op *operation) bool {
		if op.round == 0 || op.round > asked || op.seq > c.applied {
			return false // it is not begun, or not heard
		}
		op.receipt.Seq = uint64(op.seq)
		c.do(action{answer: op})
		return true
	})
}

// short is the error of a write for which too few replicas are in sync.
func (c *core) short(factor int) error {
	need := min(max(factor, 1), len(c.view.Replicas))
	if have := len(c.view.InSync()); have < need {
		return sextant.Errorf(sextant.Internal, "Not enough replicas are in sync: %d of %d, the write consistency factor asks for %d",
			have, len(c.view.Replicas), need)
	}
	return nil
}

// watch looks for followers that do not do what they owe.
func (c *core) watch() {
	r := c.lead
	for _, f := range r.followers {
		owes := c.last.Seq > c.commit && f.match < c.last.Seq || c.awaits(f) || len(r.barriers) > 0 && f.heardOf < r.round || f.admission != nil && f.match < f.admission.target
		switch {
		case !owes:
			f.since = 0
		case f.since == 0:
			f.since = c.now
		}
		silent, broken := c.time.silent, c.time.broken
		if c.view.Replicas[f.peer].State == topology.Initializing && f.ever == 0 {
			silent, broken = 10*silent, silent // its directory is being made
		}
		if owes && (f.refusal != "" || c.now-f.since >= silent || !f.up && c.now-max(f.since, f.downAt) >= broken) {
			c.accuse(f)
		}
		if f.up && (owes || !f.answered) && c.now-f.asked >= c.time.ping {
			c.sendAppend(f, nil)
		}
	}
	c.expire()
	c.admitting()
	c.judge()
	c.pumpAll()
}

// awaits reports whether a request waits for a follower to apply what is committed. One that died behind its acknowledgement
// owes nothing else, and would let the request wait for ever.
func (c *core) awaits(f *follower) bool {
	if c.view.Replicas[f.peer].State == topology.Listener {
		return false
	}
	return slices.ContainsFunc(c.lead.waiting, func(op *operation) bool {
		return op.Wait == sextant.Applied && op.seq <= c.commit && op.seq > f.applied
	})
}

// accuse proposes that a follower is out of the in-sync set; that of a receiver under admission, that its transfer ends.
func (c *core) accuse(f *follower) {
	if f.accused != 0 && c.now-f.accused < c.time.again {
		return
	}
	f.accused = c.now
	if f.admission != nil {
		c.do(action{propose: &proposal{abort: &topology.TransferAbort{Shard: c.view.UUID, ID: f.admission.id, Reason: "the receiver does not follow: " + f.refusal}}})
		return
	}
	c.do(action{propose: &proposal{failed: &topology.ReplicaFailed{Shard: c.view.UUID, Term: c.view.Term, Version: c.view.Version, Peer: f.peer,
		Differs: f.differs}}})
}

func (r *reign) pace(c *core) pace {
	if c.last.Seq > c.commit || c.applied < c.commit || len(r.queue) > 0 || len(r.waiting) > 0 || len(r.barriers) > 0 || r.proof.busy() {
		return often
	}
	for _, f := range r.followers {
		if f.admission != nil || f.up && (!f.answered || f.next <= c.last.Seq) {
			return often
		}
	}
	if slices.ContainsFunc(c.view.Transfers, func(t topology.Transfer) bool { return t.Admitted }) {
		return often
	}
	if r.proof.changed { // a mark is due within the minute
		return seldom
	}
	return still
}
