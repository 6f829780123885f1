package replica

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/wal"
)

const chaosShard = "11111111-2222-3333-4444-555555555555"

// chaosWorld is one shard, its nodes, the network between them, and consensus. One call of step is one event: everything that
// happens is chosen by chance, so a seed repeats a history exactly.
type chaosWorld struct {
	chance *rand.Rand
	kind   chaosKind
	wrong  wrong // rules of core that are off
	flaw   flaw  // and of what surrounds it
	stats  chaosStats
	bad    string // what was violated; "": nothing yet

	now    int64 // milliseconds
	nodes  []*chaosNode
	states []*topology.State // what consensus has decided, oldest first
	wishes []topology.Command
	past   []topology.Command // proposals of which copies may come again

	conns   []*chaosConn // those with messages in them
	stale   []*chaosConn // those that were lost, and whose messages come much later
	ripe    bool         // it is a good moment for them
	blocked [chaosNodes][chaosNodes]bool
	calls   []chaosCall
	late    []chaosCall // those that come much later
	number  uint64      // of tasks

	requests []chaosRequest // by number
	owed     []uint64       // requests that may be sent again
	value    uint16

	story []chaosScene
	tries int  // of the next scene
	held  bool // consensus decides on no Admit

	truth chaosTruth

	often [chaosEvents]int // how often what happens, summed up
	total int

	events []string // the last ones, if it is traced
	traced bool
}

const chaosNodes = 5

// chaosKind is what a history is like.
type chaosKind struct {
	nodes, replicas int
	crashes         int // each per 10 000 steps
	allCrash        int
	breaks          int
	leaps           int // of time
	slow            int // of 100 connections
	back            int // topologies, at a restart, at most
	suspicions      int
	transfers       int
	plots           int // of 1000 troubles
	calm            bool
	failures        int // of the disk, per 1000 appends
	schemas         int // per 100 updates
	window          order.Seq
	listeners       bool
	beginning       bool // the replicas begin as Initializing
	frozen          bool // topologies come late to some nodes
}

type chaosStats struct {
	Histories, Steps, Reigns, Claims, Crashes, Commits, Acks, Waits, Linear, Retries, Recalled, Refused, Unknown, Admits, Finishes,
	Aborts, Drops, Deltas, Streams, Generations, Feeds, Fallbacks, Trims, Cuts, Failures, Marks int64
}

type chaosNode struct {
	i    int
	peer topology.PeerID
	life uint64

	// What survives a crash.
	disk   *chaosDisk // nil: no replica here
	listed int        // the newest topology that listed a replica here, and was acted on
	view   int        // consensus may show an older one after a restart

	slow   uint // bits of what is slow here
	up     bool
	began  int64
	core   *core
	caught bool
	target int // the topology that there was when this life began
	lanes  [chaosNodes]chaosLane

	applied   *chaosApplied // by the store, and not told core yet
	resolving []*operation
	fetching  []fetchRequest
	delayed   []*operation // asked the store, and not proposed yet
	frozen    bool         // consensus reaches it seldom

	sender   chaosSender
	receiver chaosReceiver

	seenJob uint64
	seenAt  order.Seq // applied
}

type chaosApplied struct {
	to       order.Seq
	outcomes []order.Outcome
}

// chaosLane is the sender's end of the connection to another node.
type chaosLane struct {
	conn  *chaosConn // nil: none
	told  []laneNews // what core has not been told yet
	knows bool       // core was told that there is one
	life  uint64
}

type laneNews struct {
	up   bool
	life uint64
}

// chaosConn is one connection: messages in order, to one life of a node. When it is lost, part of them may still come.
type chaosConn struct {
	from, to int
	life     uint64
	queue    []Message
	lost     bool
	slow     bool // its messages come late
}

func (w *chaosWorld) fail(format string, args ...any) {
	if w.bad == "" {
		w.bad = fmt.Sprintf(format, args...)
		w.trace("VIOLATED: %s", w.bad)
	}
}

func (w *chaosWorld) trace(format string, args ...any) {
	if !w.traced {
		return
	}
	if len(w.events) >= 4000 {
		w.events = append(w.events[:0], w.events[2000:]...)
	}
	w.events = append(w.events, fmt.Sprintf("%7d  ", w.stats.Steps)+fmt.Sprintf(format, args...))
}

// roll is true so many times out of so many.
func (w *chaosWorld) roll(times, of int) bool { return w.chance.IntN(of) < times }

func newChaosWorld(seed uint64, wrong wrong, flaw flaw) *chaosWorld {
	w := &chaosWorld{chance: rand.New(rand.NewPCG(seed, 0)), wrong: wrong, flaw: flaw, requests: make([]chaosRequest, 1, 128), now: 1}
	r := w.chance.IntN
	k := &w.kind
	k.nodes = 2 + r(4)
	if k.nodes == 5 && r(2) == 0 {
		k.nodes = 3
	}
	k.replicas = k.nodes - r(2)*r(2)
	pick := func(values ...int) int { return values[r(len(values))] }
	k.crashes, k.allCrash = pick(4, 20, 60), pick(0, 2, 10)
	k.breaks, k.leaps, k.slow, k.back = pick(10, 40, 100), pick(0, 10, 40), pick(0, 10, 40), pick(4, 12)
	k.suspicions, k.transfers = pick(5, 30, 100, 300), pick(40, 100, 200)
	k.plots = pick(0, 20, 60, 150)
	if k.plots > 0 && r(2) == 0 { // so that they come out
		k.calm, k.plots = true, 400
		k.crashes, k.allCrash, k.breaks, k.suspicions, k.transfers = 0, 0, pick(0, 10), 0, pick(0, 20, 100)
	}
	k.failures, k.schemas, k.window = pick(0, 0, 5, 20), pick(0, 5, 20), order.Seq(pick(3, 1000, 1000, 1000))
	k.listeners, k.beginning, k.frozen = r(6) == 0, r(6) == 0, r(3) == 0
	w.truth.init()

	s := &topology.State{}
	do := func(c topology.Command) {
		next, err := s.Apply(s.Index+1, c)
		if err != nil {
			panic(err)
		}
		s = next
	}
	var peers []topology.PeerID
	for i := range k.nodes {
		p := topology.PeerID(i + 1)
		do(topology.Command{AddPeer: &topology.AddPeer{ID: p, URI: fmt.Sprintf("http://%d", p)}})
		if i < k.replicas {
			peers = append(peers, p)
		}
		w.nodes = append(w.nodes, &chaosNode{i: i, peer: p})
	}
	state := topology.Active
	if k.beginning {
		state = topology.Initializing
	}
	shard := topology.NewShard(chaosShard, peers, state)
	shard.Primary = peers[r(len(peers))]
	do(topology.Command{Create: &topology.CreateCollection{Name: "c", Collection: topology.Collection{UUID: "c",
		Shards: map[topology.ShardID]*topology.Shard{0: &shard}}}})
	w.states = []*topology.State{s}
	w.taste()
	for _, n := range w.nodes {
		w.start(n, 0)
	}
	return w
}

// newest is what consensus has decided.
func (w *chaosWorld) newest() *topology.Shard { return w.states[len(w.states)-1].Shard(chaosShard) }

// sees is what a node knows of that.
func (w *chaosWorld) sees(n *chaosNode) *topology.Shard { return w.states[n.view].Shard(chaosShard) }

func (w *chaosWorld) node(p topology.PeerID) *chaosNode { return w.nodes[p-1] }

// ---- life and death ----

// start begins a life. Consensus shows a topology that may be some steps older than what the last life saw.
func (w *chaosWorld) start(n *chaosNode, back int) {
	if n.up {
		return
	}
	n.up, n.life, n.began = true, n.life+1, w.now-1
	n.view = max(0, n.view-back)
	w.ripe = true
	n.caught, n.target = false, len(w.states)-1
	w.trace("node %d starts life %d, sees topology %d", n.peer, n.life, n.view)
	if n.disk != nil {
		w.open(n)
	}
	w.show(n)
}

// open makes the replica on a node's disk run.
func (w *chaosWorld) open(n *chaosNode) {
	d := n.disk
	if n.view < d.born && w.flaw != actUnborn {
		return // that topology speaks of another replica, which was here before
	}
	commit := d.commit
	if w.flaw == replayTail {
		commit = d.last().Seq
	}
	w.apply(n, commit, func(*wal.Record, error) {})
	if w.bad != "" {
		return
	}
	s := d.stands()
	tail, err := d.read(d.applied+1, s.Last.Seq)
	if err != nil {
		w.fail("node %d cannot open its log: %v", n.peer, err)
		return
	}
	c := newCore(n.peer, n.life, s, tail)
	c.wrong = w.wrong
	c.time = limits{silent: 1200, broken: 300, ping: 100, again: 150, audit: 3000, quorum: 4000, prove: 300}
	n.core, n.seenJob, n.seenAt, n.applied, n.resolving, n.fetching = c, 0, d.applied, nil, nil, nil
	w.step(n, func(c *core) {
		c.caught = n.caught
		for p := range n.lanes {
			if l := &n.lanes[p]; l.knows {
				c.connected(topology.PeerID(p+1), l.life, true)
			}
		}
	})
}

// close ends the replica of a node, which lives on.
func (w *chaosWorld) close(n *chaosNode) {
	if n.core == nil {
		return
	}
	w.orphan(n)
	n.core, n.applied, n.resolving, n.fetching, n.delayed = nil, nil, nil, nil, nil
	n.receiver.waits = nil
}

// orphan leaves everything that was asked of a replica without an answer.
func (w *chaosWorld) orphan(n *chaosNode) {
	lose := func(ops []*operation) {
		for _, op := range ops {
			w.answerLost(op)
		}
	}
	lose(n.delayed)
	if r := n.core.lead; r != nil {
		lose(r.queue)
		lose(r.waiting)
	}
}

// crash ends a life. What was on its way to the disk may be there, or part of it.
func (w *chaosWorld) crash(n *chaosNode) {
	if !n.up {
		return
	}
	w.stats.Crashes++
	if c := n.core; c != nil {
		w.orphan(n)
		if len(c.jobs) > 0 && w.roll(1, 2) {
			j, _ := w.batch(c)
			if j.term != 0 {
				n.disk.used = max(n.disk.used, j.term)
			} else if err := n.disk.append(j.after, j.records, w.chance.IntN(len(j.records)+1), w.roll(1, 2)); err != nil {
				w.fail("the store of node %d: %v", n.peer, err)
			}
		}
	}
	if n.disk != nil {
		n.disk.crash(w.chance.IntN(len(n.disk.notes)+1) * w.chance.IntN(2))
		w.trace("node %d crashes; its disk has %s to %s, commit %d, checkpoint %d", n.peer, n.disk.base, n.disk.last(), n.disk.commit, n.disk.checked)
	}
	n.up, n.core, n.caught = false, nil, false
	n.applied, n.resolving, n.fetching, n.delayed = nil, nil, nil, nil
	n.sender, n.receiver = chaosSender{}, chaosReceiver{}
	for i, o := range w.nodes {
		w.lose(&n.lanes[i])
		n.lanes[i] = chaosLane{}
		if l := &o.lanes[n.i]; o.up && l.conn != nil {
			if w.flaw != looseLanes {
				l.conn.queue = nil
			}
			w.breakLane(o, n.i)
		}
	}
	w.checkDurable()
}

// ---- the topology ----

// show has a node act on the topology that it sees.
func (w *chaosWorld) show(n *chaosNode) {
	w.ripe = true
	v := w.sees(n)
	own, mine := v.Replicas[n.peer]
	old := n.view < n.listed && w.flaw != obeyOldTopology
	switch {
	case mine && n.disk == nil && !old && own.InSync && (own.State != topology.Active || v.Version == 1):
		n.listed = max(n.listed, n.view)
		n.disk = &chaosDisk{first: 1, born: n.view}
		w.trace("node %d makes an empty replica", n.peer)
		w.open(n)
	case mine: // without files it waits for a transfer that brings them
		n.listed = max(n.listed, n.view)
		if n.core == nil && n.disk != nil {
			w.open(n)
		}
	case n.disk != nil && (n.caught || w.flaw == obeyOldTopology) && !old:
		w.trace("node %d deletes its replica", n.peer)
		w.close(n)
		n.disk, n.listed = nil, max(n.listed, n.view)
		n.sender, n.receiver = chaosSender{}, chaosReceiver{}
	}
	if n.core != nil {
		index := w.states[n.view].Index
		w.step(n, func(c *core) {
			if v != c.view && index >= c.index {
				c.show(v, index)
			}
		})
	}
	if w.bad == "" {
		w.followTransfers(n)
	}
	if !n.caught && n.view >= n.target {
		w.catchUp(n)
	}
}

// catchUp tells a node that it has seen what there was when its life began, or has found nobody to ask.
func (w *chaosWorld) catchUp(n *chaosNode) {
	n.caught = true
	if n.core != nil {
		w.step(n, (*core).caughtUp)
	}
}

// propose puts something into the pool of what may be decided.
func (w *chaosWorld) propose(c topology.Command) {
	if len(w.wishes) >= 16 {
		w.wishes = append(w.wishes[:0], w.wishes[1:]...)
	}
	w.wishes = append(w.wishes, c)
}

// decide has consensus take a proposal; a copy may be taken again, much later.
func (w *chaosWorld) decide(c topology.Command) {
	if len(w.past) >= 40 {
		w.past[w.chance.IntN(len(w.past))] = c
	} else {
		w.past = append(w.past, c)
	}
	last := w.states[len(w.states)-1]
	w.twist(&c, last.Shard(chaosShard))
	next, err := last.Apply(last.Index+1, c)
	if err != nil || next.Shard(chaosShard) == last.Shard(chaosShard) {
		return
	}
	w.states = append(w.states, next)
	s := next.Shard(chaosShard)
	switch {
	case c.Admit != nil:
		w.stats.Admits++
	case c.Finish != nil:
		w.stats.Finishes++
	case c.Abort != nil:
		w.stats.Aborts++
	case c.DropReplica != nil:
		w.stats.Drops++
	case len(c.Claims) > 0:
		w.stats.Claims++
	case c.Start != nil && c.Start.Method == topology.WALDelta:
		w.stats.Deltas++
	case c.Start != nil:
		w.stats.Streams++
	}
	if w.traced {
		w.trace("consensus %d: %s: term %d version %d primary %d %s", len(w.states)-1, c.Encode(), s.Term, s.Version, s.Primary, chaosReplicas(s))
	}
	if len(s.InSync()) == 0 {
		w.fail("no replica is in sync")
	} else if !s.Replicas[s.Primary].InSync {
		w.fail("the primary is not in sync")
	}
	w.checkDurable()
}

func chaosReplicas(s *topology.Shard) string {
	var b strings.Builder
	for _, p := range s.Peers() {
		r := s.Replicas[p]
		fmt.Fprintf(&b, " %d:%s", p, r.State)
		if r.InSync {
			b.WriteString("+")
		}
	}
	for _, t := range s.Transfers {
		fmt.Fprintf(&b, " [%d/%d %d→%d %s admitted %v]", t.ID, t.Attempt, t.From, t.To, t.Method, t.Admitted)
	}
	return b.String()
}

// ---- lanes ----

func (w *chaosWorld) send(n *chaosNode, to topology.PeerID, m Message) {
	c := n.lanes[to-1].conn
	if c == nil {
		return
	}
	if len(c.queue) == 0 {
		w.conns = append(w.conns, c)
	}
	c.queue = append(c.queue, m)
}

// lose ends a connection: of what is on its way, the first few messages may still come, also after those of the next one.
func (w *chaosWorld) lose(l *chaosLane) {
	if c := l.conn; c != nil {
		c.queue = c.queue[:w.chance.IntN(len(c.queue)+1)]
		c.lost = true
		l.conn = nil
		if len(c.queue) > 0 && w.roll(1, 2) {
			i := slices.Index(w.conns, c)
			w.conns = slices.Delete(w.conns, i, i+1)
			w.stale = append(w.stale, c)
		}
	}
}

// surprise brings what was held up for long, at a moment when it may do harm.
func (w *chaosWorld) surprise() {
	if w.roll(1, 2) {
		w.ripe = false
	}
	if len(w.stale) == 0 {
		return
	}
	i := w.chance.IntN(len(w.stale))
	c := w.stale[i]
	w.stale = slices.Delete(w.stale, i, i+1)
	w.conns = append(w.conns, c)
	for len(c.queue) > 1 && w.roll(3, 4) {
		w.deliver(len(w.conns) - 1)
	}
	w.deliver(len(w.conns) - 1)
}

func (w *chaosWorld) breakLane(n *chaosNode, to int) {
	l := &n.lanes[to]
	if l.conn == nil {
		return
	}
	w.lose(l)
	l.told = append(l.told, laneNews{})
}

func (w *chaosWorld) connect(n *chaosNode, to int) {
	l, o := &n.lanes[to], w.nodes[to]
	if l.conn != nil || len(l.told) > 0 || !o.up || o == n || w.blocked[n.i][to] {
		return
	}
	l.conn = &chaosConn{from: n.i, to: to, life: o.life, slow: w.roll(w.kind.slow, 100)}
	l.told = append(l.told, laneNews{true, o.life})
}

// tell brings the news of a lane to core.
func (w *chaosWorld) tell(n *chaosNode, to int) {
	l := &n.lanes[to]
	if len(l.told) == 0 {
		return
	}
	news := l.told[0]
	l.told = l.told[1:]
	l.knows, l.life = news.up, news.life
	w.trace("node %d: lane to %d is up: %v, life %d", n.peer, to+1, news.up, news.life)
	if n.core != nil {
		w.step(n, func(c *core) { c.connected(topology.PeerID(to+1), news.life, news.up) })
	}
}

// deliver brings the next message of a connection.
func (w *chaosWorld) deliver(i int) {
	c := w.conns[i]
	var m Message
	if len(c.queue) > 0 {
		m = c.queue[0]
		c.queue = c.queue[1:]
	}
	if len(c.queue) == 0 {
		w.conns[i] = w.conns[len(w.conns)-1]
		w.conns = w.conns[:len(w.conns)-1]
	}
	n := w.nodes[c.to]
	if m == (Message{}) || !n.up || n.life != c.life && w.flaw != looseLanes || n.core == nil {
		return
	}
	from := topology.PeerID(c.from + 1)
	if w.traced {
		if a := m.Append; a != nil {
			w.trace("%d→%d append term %d session %d number %d behind %s: %s; commit %d round %d office %v life %d", from, n.peer, a.Term, a.Session,
				a.Number, a.Prev, chaosRecords(a.Records), a.Commit, a.Round, a.Office, a.Life)
		} else {
			a := *m.Ack
			a.Digest, a.History = [16]byte{}, nil
			w.trace("%d→%d ack %+v", from, n.peer, a)
		}
	}
	w.step(n, func(c *core) {
		if m.Append != nil {
			c.appended(from, m.Append)
		} else {
			c.acked(from, m.Ack)
		}
	})
}

func chaosRecords(records []wal.Record) string {
	var b strings.Builder
	for i := range records {
		r := &records[i]
		fmt.Fprintf(&b, " %d@%d", r.Seq, r.Term)
		if r.Kind == wal.Effects {
			fmt.Fprintf(&b, "(request %d)", r.ID.Number)
		} else {
			fmt.Fprintf(&b, "(%d)", r.Kind)
		}
	}
	return b.String()
}

// ---- one replica ----

// step does one event of core and what comes of it.
func (w *chaosWorld) step(n *chaosNode, event func(c *core)) {
	c := n.core
	if w.bad != "" {
		return
	}
	c.now = w.now - n.began
	event(c)
	w.checkCore(n)
	for len(c.out) > 0 && w.bad == "" {
		out := c.out
		c.out = nil
		for i := range out {
			w.perform(n, &out[i])
		}
	}
}

func (w *chaosWorld) perform(n *chaosNode, a *action) {
	switch {
	case a.send != nil:
		w.send(n, a.send.to, a.send.m)
	case a.propose != nil:
		for _, c := range commands([]proposal{*a.propose}) {
			w.propose(c)
		}
	case a.answer != nil:
		w.answered(n, a.answer)
	case a.resolve != nil:
		n.resolving = append(n.resolving, a.resolve)
	case a.fetch != nil:
		n.fetching = append(n.fetching, *a.fetch)
	case a.alarm != "":
		if !w.falseAlarm(n, a.alarm) {
			w.fail("node %d: alarm: %s", n.peer, a.alarm)
		}
	}
}

// falseAlarm reports whether an alarm has a reason that is none of the protocol's: a store that was made to fail, or a replica
// that was removed and made anew while the primary sees an old topology.
func (w *chaosWorld) falseAlarm(n *chaosNode, text string) bool {
	var p topology.PeerID
	var last, acked order.Seq
	if count, _ := fmt.Sscanf(text, "peer %d: its log ends at %d, it has acknowledged %d", &p, &last, &acked); count == 3 {
		return !w.inSync(w.node(p))
	}
	return n.core.broken != nil && strings.HasPrefix(text, "entries cannot be applied")
}

// batch is what a store does with one call.
func (w *chaosWorld) batch(c *core) (j job, last uint64) {
	j, n := c.jobs[0], 1
	for j.term == 0 && n < len(c.jobs) && c.jobs[n].term == 0 && c.jobs[n].after.Seq == c.jobs[n-1].end() {
		j.records = append(j.records[:len(j.records):len(j.records)], c.jobs[n].records...)
		n++
		if w.roll(1, 3) {
			break // those came later
		}
	}
	return j, c.jobs[n-1].id
}

// store does the next job of a replica.
func (w *chaosWorld) store(n *chaosNode) {
	c := n.core
	if c == nil || len(c.jobs) == 0 {
		return
	}
	j, last := w.batch(c)
	if n.disk.full || w.roll(w.kind.failures, 1000) {
		w.stats.Failures++
		if few := w.chance.IntN(len(j.records) + 1); j.term == 0 && w.roll(1, 2) {
			if err := n.disk.append(j.after, j.records, few, true); err != nil {
				w.fail("the store of node %d: %v", n.peer, err)
				return
			}
		}
		n.disk.full = w.roll(1, 3)
		w.trace("node %d: an append fails, the log ends at %s", n.peer, n.disk.last())
		s := n.disk.stands()
		tail, err := n.disk.read(n.disk.applied+1, s.Last.Seq)
		if err != nil {
			w.fail("the store of node %d: %v", n.peer, err)
			return
		}
		w.step(n, func(c *core) { c.failed(errFull, s, tail) })
		w.checkDurable()
		return
	}
	if j.term != 0 {
		w.trace("node %d has used term %d", n.peer, j.term)
		n.disk.used = max(n.disk.used, j.term)
	} else {
		if n.disk.last().Seq > j.after.Seq {
			w.stats.Cuts++
		}
		w.trace("node %d has stored %s behind %s", n.peer, chaosRecords(j.records), j.after)
		if err := n.disk.append(j.after, j.records, len(j.records), true); err != nil {
			w.fail("the store of node %d: %v", n.peer, err)
			return
		}
		w.checkDurableOf(n)
	}
	w.step(n, func(c *core) { c.stored(last) })
}

var errFull = fmt.Errorf("the disk is full")

// applySome has the store apply some of what is committed; core is told later.
func (w *chaosWorld) applySome(n *chaosNode) {
	c := n.core
	if c == nil || n.applied != nil || c.broken != nil {
		return
	}
	commit := min(c.commit, c.durable)
	if commit <= c.applied {
		return
	}
	if n.disk.applied < commit && w.roll(1, 2) {
		commit = max(c.applied+1, n.disk.applied+1) + order.Seq(w.chance.IntN(int(commit-n.disk.applied)))
	}
	n.disk.commit = max(n.disk.commit, min(commit, n.disk.last().Seq))
	told := &chaosApplied{to: commit}
	w.apply(n, commit, func(r *wal.Record, err error) {
		switch {
		case r.Kind == wal.Mark:
			digest := n.disk.points.digest()
			if n.disk.digest != nil {
				digest, n.disk.digest = n.disk.digest, nil
			}
			told.outcomes = append(told.outcomes, order.Outcome{Seq: r.Seq, Digest: digest})
		case err != nil:
			told.outcomes = append(told.outcomes, order.Outcome{Seq: r.Seq, Err: err})
		}
	})
	n.disk.note()
	w.trace("node %d has applied up to %d", n.peer, commit)
	n.applied = told
}

// apply has a store apply its log, and compares what comes of it with the truth after each entry.
func (w *chaosWorld) apply(n *chaosNode, commit order.Seq, each func(*wal.Record, error)) {
	d := n.disk
	err := d.apply(commit, func(r *wal.Record, err error) {
		w.checkApplied(n, r, err)
		each(r, err)
	})
	if err != nil {
		w.fail("the store of node %d: %v", n.peer, err)
	}
	if d.applied >= w.truth.waited {
		return
	}
	w.checkReads(n)
}

// report tells core what the store has applied.
func (w *chaosWorld) report(n *chaosNode) {
	if n.core == nil || n.applied == nil {
		return
	}
	a := n.applied
	n.applied = nil
	w.step(n, func(c *core) { c.reached(a.to, a.outcomes, nil) })
	w.feedDone(n)
}

// work does one thing that core has asked of others than the log.
func (w *chaosWorld) work(n *chaosNode) {
	if n.core == nil {
		return
	}
	if len(n.resolving) > 0 {
		op := n.resolving[0]
		n.resolving = n.resolving[1:]
		body := op.body
		if q := &w.requests[op.ID.Number]; q.filter {
			body = n.disk.points.resolve(q.value)
			w.trace("node %d resolves request %d as of %d", n.peer, op.ID.Number, n.disk.applied)
		} else {
			body = q.body
		}
		w.step(n, func(c *core) { c.resolved(op, body, nil) })
		return
	}
	if len(n.fetching) > 0 {
		f := n.fetching[0]
		n.fetching = n.fetching[1:]
		records, err := n.disk.read(f.from, f.through)
		w.step(n, func(c *core) { c.fetched(f.to, f.session, records, err) })
	}
}

// readable says whether a node answers reads.
func (w *chaosWorld) readable(n *chaosNode) bool {
	if !n.up || n.core == nil || !n.core.fresh {
		return false
	}
	me := n.core.me()
	return me != nil && me.State.Readable()
}

// inSync reports whether consensus counts a node.
func (w *chaosWorld) inSync(n *chaosNode) bool { return w.newest().Replicas[n.peer].InSync }

// settled reports whether all replicas are active and have applied everything; heal waits for it.
func (w *chaosWorld) settled() bool {
	s := w.newest()
	for _, n := range w.nodes {
		r, mine := s.Replicas[n.peer]
		if n.view != len(w.states)-1 || mine && (n.core == nil || r.State != topology.Active || !r.InSync) {
			return false
		}
		if mine && (n.core.applied != order.Seq(len(w.truth.entries)) || n.core.last.Seq != n.core.applied || !n.core.fresh) {
			return false
		}
	}
	p := w.node(s.Primary)
	return len(s.Transfers) == 0 && p.core.lead != nil && p.core.lead.office && !slices.ContainsFunc(w.requests, func(q chaosRequest) bool { return q.flying > 0 })
}
