package replica

import (
	"slices"

	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/wal"
)

// core is the protocol of one replica: a step machine without goroutines, clocks or I/O.
//
// Events are its methods: show (the topology moved), propose, barrier and mark (requests), appended and acked (messages),
// connected (lanes), stored, failed, reached and fetched (the store did what was asked), resolved, tick. Before each event its
// owner sets now. What is to be done afterwards stands in three places: out lists sends, proposals, answers and the like, in
// order; jobs what the store has to make durable, first to last; and whenever commit is above applied, Apply is due.
type core struct {
	self topology.PeerID
	life uint64 // of this process
	now  int64  // milliseconds
	time limits

	// The log as the store was asked to make it; what lies above durable is still on its way to the disk.
	base    order.Pos
	last    order.Pos
	history order.History
	durable order.Seq
	commit  order.Seq
	applied order.Seq
	used    order.Term // the last one used as primary, durable
	before  order.Term // the last one that was given before this life: what a disk that was put back says of used may be old
	using   order.Term // on its way to the disk; 0: none
	jobs    []job
	jobID   uint64

	view    *topology.Shard // nil: not told yet
	index   uint64          // of the topology that view is from
	heard   order.Term      // the highest that any message of this life carried
	caught  bool            // this node has caught up with consensus in this life
	fresh   bool            // reads may see this replica: nothing that a reader may know of is missing
	broken  error           // why the store cannot apply; the replica gives way
	differs bool            // the digest here is not that of the others
	told    int64           // when it last proposed to give way, or to claim

	lead   *reign  // nil: not primary
	follow session // of the primary that was heard last
	memory memory
	floor  order.Seq                  // the first entry that somebody who is away lacks; 0: nobody is
	marked mark                       // the newest mark applied here
	lanes  map[topology.PeerID]uint64 // lives of the peers that there is a connection to

	verifiedAt int64 // when all counted replicas were proven equal; 0: not in this life

	out []action

	wrong wrong // rules that tests switch off
}

// limits are the times of the protocol in milliseconds.
type limits struct {
	silent int64 // a follower that owes an answer for so long has failed
	broken int64 // the same, when there is no connection to it
	ping   int64 // how long to wait before asking again
	again  int64 // how long to wait before a proposal is repeated
	audit  int64 // how often a shard that changes is proven equal
	quorum int64 // how long a write waits for consensus to remove a replica, if it has no shorter limit
	prove  int64 // how long an admitted receiver must follow before it is called healthy
}

func defaultLimits() limits {
	return limits{silent: 3000, broken: 300, ping: 300, again: 500, audit: 60_000, quorum: 30_000, prove: 1000}
}

// job is what the store has to make durable: a term, or records behind a place, where a conflicting tail is cut.
type job struct {
	id      uint64
	term    order.Term // 0: records
	after   order.Pos
	records []wal.Record
}

func (j *job) end() order.Seq { return j.after.Seq + order.Seq(len(j.records)) }

// action is something to do. One member is set.
type action struct {
	send    *outgoing
	propose *proposal
	answer  *operation    // its receipt and err are set
	resolve *operation    // its effects are to be made now: everything is applied
	fetch   *fetchRequest // read the log
	alarm   string
	floor   *order.Seq
	differ  *Difference
}

type outgoing struct {
	to topology.PeerID
	m  Message
}

// proposal is one item for consensus.
type proposal struct {
	failed *topology.ReplicaFailed
	claim  *topology.ClaimPrimary
	admit  *topology.Admit
	finish *topology.TransferFinish
	abort  *topology.TransferAbort
}

type fetchRequest struct {
	to      topology.PeerID
	session uint64
	from    order.Seq
	through order.Seq
}

// mark is what a replica found when it applied a mark: the digest of each range of ids, and one of them all.
type mark struct {
	seq    order.Seq
	digest [16]byte
	ranges []byte // known for this replica only
}

func newCore(self topology.PeerID, life uint64, s order.Stands, tail []wal.Record) *core {
	c := &core{self: self, life: life, time: defaultLimits()}
	c.stand(s)
	c.commit, c.applied, c.used = max(s.Commit, s.Applied.Seq), s.Applied.Seq, s.UsedTerm
	for i := range tail {
		c.memory.add(tail[i].ID, tail[i].Seq)
	}
	return c
}

// stand takes over what the store says about its log.
func (c *core) stand(s order.Stands) {
	c.base, c.last, c.history, c.durable = s.Base, s.Last, s.History, s.Durable
}

func (c *core) do(a action) { c.out = append(c.out, a) }

func (c *core) alarm(text string) { c.do(action{alarm: text}) }

// at returns the place of a seq that the log, or its base, knows.
func (c *core) at(seq order.Seq) order.Pos {
	if seq == c.base.Seq {
		return c.base
	}
	term, _ := c.history.TermAt(seq)
	return order.Pos{Seq: seq, Term: term}
}

// holds reports whether a place is in the log, or its base.
func (c *core) holds(p order.Pos) bool {
	return p.Seq >= c.base.Seq && p.Seq <= c.last.Seq && c.at(p.Seq).Term == p.Term
}

// me is this replica in the topology; nil if it is not listed.
func (c *core) me() *topology.Replica {
	if c.view == nil {
		return nil
	}
	if r, ok := c.view.Replicas[c.self]; ok {
		return &r
	}
	return nil
}

// show tells that the topology has moved.
func (c *core) show(v *topology.Shard, index uint64) {
	was := c.me()
	c.view, c.index = v, index
	if !c.caught && c.last.Seq > 0 {
		c.before = max(c.before, v.Term)
	}
	if me := c.me(); me != nil && me.State.Readable() && was != nil && !was.State.Readable() && !(was.State == topology.ManualRecovery && was.InSync) && !c.wrong.has(keepFresh) {
		c.fresh, c.follow.freshAt = false, nil // it may lack what was answered while nobody read it, and waited for it
	}
	if c.lead != nil && (v.Term != c.lead.term || v.Primary != c.self) && !c.wrong.has(keepReigning) {
		c.stepDown("the topology names another primary or term")
	}
	if c.lead != nil {
		c.count()
		c.advance()
	} else {
		c.rise()
	}
	c.refresh()
}

// caughtUp tells that the node has seen everything that consensus had committed when this life began, or that there was no
// leader to ask.
func (c *core) caughtUp() {
	c.caught = true
	c.refresh()
}

// refresh opens reads after a restart if nothing that a reader may know of is missing: everything logged here is applied,
// and the topology is not an old one; or what the primary in office had committed when it connected to this life.
func (c *core) refresh() {
	switch {
	case c.fresh || c.view == nil:
		return
	case c.wrong.has(readAtOnce):
		c.fresh = true
	case c.caught && c.applied == c.last.Seq && len(c.jobs) == 0:
		c.fresh = true
	case c.follow.freshAt != nil && c.applied >= *c.follow.freshAt:
		c.fresh = true
	case c.lead != nil && c.lead.office && c.applied >= c.lead.noop:
		c.fresh = true
	}
}

// rise takes the office that the topology offers: at once if its term was given in this life and never used here, else by claiming
// a new one.
func (c *core) rise() {
	v := c.view
	if v == nil || v.Primary != c.self || c.lead != nil || c.using != 0 || c.broken != nil || v.Term < max(c.heard, c.history.Last()) {
		return // the last: this topology is an old one, there is a later primary
	}
	if v.Restoring() {
		return // other data take the place of what is here
	}
	if v.Term > max(c.used, c.before) || c.wrong.has(reuseTerm) {
		c.using = v.Term
		c.job(job{term: v.Term})
		return
	}
	if c.due() {
		c.do(action{propose: &proposal{claim: &topology.ClaimPrimary{Shard: v.UUID, Term: v.Term, Peer: c.self}}})
	}
}

// due paces proposals that are repeated until the topology shows their effect.
func (c *core) due() bool {
	if c.told != 0 && c.now-c.told < c.time.again {
		return false
	}
	c.told = c.now
	return true
}

// giveWay proposes that this replica is out of the in-sync set, since its store is not to be trusted.
func (c *core) giveWay(successor topology.PeerID) {
	me := c.me()
	if me == nil || !me.InSync || len(c.view.InSync()) < 2 || !c.due() {
		return
	}
	if successor == 0 && c.view.Primary == c.self {
		successor = c.heir()
	}
	c.do(action{propose: &proposal{failed: &topology.ReplicaFailed{Shard: c.view.UUID, Term: c.view.Term,
		Version: c.view.Version, Peer: c.self, Successor: successor, Differs: c.differs}}})
}

// heir is the in-sync replica that should lead next: one that is connected, an active one, the one that has most.
func (c *core) heir() topology.PeerID {
	var best topology.PeerID
	var rank [3]uint64
	for _, p := range c.view.InSync() {
		if p == c.self {
			continue
		}
		var r [3]uint64
		if c.view.Replicas[p].State == topology.Active {
			r[1] = 1
		}
		if c.lead != nil {
			if f := c.lead.follower(p); f != nil {
				if f.up {
					r[0] = 1
				}
				r[2] = uint64(f.match)
			}
		}
		if best == 0 || slices.Compare(r[:], rank[:]) > 0 {
			best, rank = p, r
		}
	}
	return best
}

func (c *core) job(j job) {
	c.jobID++
	j.id = c.jobID
	c.jobs = append(c.jobs, j)
}

// enqueue asks the store for records behind a place, and cuts what conflicts.
func (c *core) enqueue(after order.Pos, records []wal.Record) {
	if after.Seq < c.last.Seq {
		c.history = c.history.Cut(after.Seq)
		c.durable = min(c.durable, after.Seq)
		c.memory.cut(after.Seq)
		c.follow.verified = min(c.follow.verified, after.Seq) // what a sender of a transfer cuts, no primary may count
		c.last = after
	}
	for i := range records {
		c.last = order.Pos{Seq: records[i].Seq, Term: records[i].Term}
		c.history = c.history.Extend(c.last)
		c.memory.add(records[i].ID, records[i].Seq)
	}
	c.job(job{after: after, records: records})
}

// stored tells that the store has done all jobs up to one.
func (c *core) stored(id uint64) {
	for len(c.jobs) > 0 && c.jobs[0].id <= id {
		j := c.jobs[0]
		c.jobs = c.jobs[1:]
		if j.term != 0 {
			c.used, c.using = max(c.used, j.term), 0
			if c.view.Primary == c.self && c.view.Term == j.term && c.lead == nil && c.broken == nil && !c.view.Restoring() && j.term >= max(c.heard, c.history.Last()) {
				c.begin(j.term)
			} else {
				c.rise()
			}
			continue
		}
		c.durable = j.end()
		for i := range c.jobs {
			if c.jobs[i].term == 0 { // it may cut some of it
				c.durable = min(c.durable, c.jobs[i].after.Seq)
			}
		}
	}
	if c.lead != nil {
		c.advance()
	} else {
		c.acknowledge()
	}
	c.refresh()
}

// failed tells that the store could not do the first job; the others were dropped. tail is what the log holds behind what is
// applied. A primary has sent what it could not log under its term: the term must not be used for anything else.
func (c *core) failed(why error, s order.Stands, tail []wal.Record) {
	sure := s.Last.Seq // behind it the log may hold what was to be cut
	for i := range c.jobs {
		if c.jobs[i].term == 0 {
			sure = min(sure, c.jobs[i].after.Seq)
		}
	}
	c.jobs, c.using = nil, 0
	c.stand(s)
	c.used = max(c.used, s.UsedTerm)
	c.commit, c.follow.verified = min(c.commit, sure), min(c.follow.verified, sure)
	c.memory.cut(sure)
	for i := range tail {
		if tail[i].Seq > sure {
			c.memory.add(tail[i].ID, tail[i].Seq)
		}
	}
	if c.lead != nil {
		successor := c.heir()
		c.stepDown(why.Error())
		c.told = 0
		c.giveWay(successor)
		return
	}
	if c.follow.primary != 0 {
		c.do(action{send: &outgoing{c.follow.primary, Message{Ack: &Ack{Term: c.follow.term, Session: c.follow.session,
			Number: c.follow.number, Refused: true, Why: why.Error(), Applied: c.applied, Last: c.last}}}})
	}
}

// reached tells how far the store has applied, what its entries brought, and whether it cannot go on.
func (c *core) reached(applied order.Seq, outcomes []order.Outcome, err error) {
	c.applied = max(c.applied, applied)
	for _, o := range outcomes {
		if o.Digest != nil && o.Seq > c.marked.seq {
			c.marked = newMark(o.Seq, o.Digest)
		}
		if o.Err != nil {
			c.memory.outcome(o.Seq, o.Err)
		}
	}
	c.memory.applied(c.applied)
	if err != nil {
		c.breaks(err)
	}
	if c.lead != nil {
		c.advance()
	} else {
		c.acknowledge()
	}
	c.refresh()
}

// breaks tells that the store is of no use any more: this replica gives way.
func (c *core) breaks(why error) {
	if c.broken == nil {
		c.broken = why
		c.alarm("entries cannot be applied: " + why.Error())
		c.giveWay(0)
	}
}

// tick lets time pass.
func (c *core) tick() {
	switch {
	case c.broken != nil:
		c.giveWay(0)
	case c.lead == nil:
		c.rise()
	}
	if c.lead != nil {
		c.watch()
	}
}

// pace is how often time must pass for a replica.
type pace int

const (
	still  pace = iota // something must happen first
	seldom             // once in a while will do
	often              // something is waited for that may never come
)

func (c *core) pace() pace {
	waits := false
	switch {
	case c.view == nil:
	case c.broken != nil:
		me := c.me()
		waits = me != nil && me.InSync && len(c.view.InSync()) > 1
	case c.lead == nil:
		waits = c.view.Primary == c.self
	default:
		return c.lead.pace(c)
	}
	if waits {
		return often
	}
	return still
}
