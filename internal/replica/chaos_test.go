package replica

import (
	"flag"
	"fmt"
	"reflect"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/sextantdb/sextant/internal/topology"
)

var (
	chaosSeed  = flag.Uint64("chaos.seed", 0, "the history to begin with; alone, and with its trace, if it fails")
	chaosTime  = flag.Duration("chaos.time", 0, "how long to try histories; 0: 600")
	chaosSteps = flag.Int("chaos.steps", 2000, "of a history, before faults stop")
	chaosTrace = flag.Int("chaos.trace", 60, "how many events of a history that fails are shown")
)

// TestChaos plays random histories with random faults and checks after each step what must hold.
func TestChaos(t *testing.T) {
	var sum chaosStats
	begin := time.Now()
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	for seed := *chaosSeed; sum.Histories < 600 || time.Since(begin) < *chaosTime; seed++ {
		if bad := playChaos(seed, 0, noFlaw, &sum); bad != "" {
			t.Fatalf("seed %d: %s", seed, chaosReport(seed, 0, noFlaw))
		}
	}
	t.Log(sum.String(time.Since(begin)))
}

func (s *chaosStats) String(d time.Duration) string {
	v := reflect.ValueOf(*s)
	var b strings.Builder
	for i := range v.NumField() {
		fmt.Fprintf(&b, "%s %d, ", strings.ToLower(v.Type().Field(i).Name), v.Field(i).Int())
	}
	fmt.Fprintf(&b, "%.0f steps/s", float64(s.Steps)/d.Seconds())
	return b.String()
}

func (s *chaosStats) add(o *chaosStats) {
	v, w := reflect.ValueOf(s).Elem(), reflect.ValueOf(o).Elem()
	for i := range v.NumField() {
		v.Field(i).SetInt(v.Field(i).Int() + w.Field(i).Int())
	}
}

// chaosReport plays a history that fails once more and tells its end.
func chaosReport(seed uint64, wrong wrong, flaw flaw) string {
	w := newChaosWorldTraced(seed, wrong, flaw)
	w.play(*chaosSteps)
	from := max(0, len(w.events)-*chaosTrace)
	if last := len(w.events) - 1; last >= 0 && strings.HasPrefix(w.events[last][9:], "VIOLATED") {
		w.events = w.events[:last]
	}
	test := "TestChaos$"
	if wrong != 0 || flaw != noFlaw {
		test = "TestChaosFindsMutants' -chaos.only '" + *chaosOnly
	}
	return fmt.Sprintf("%s\n%s\nrepeat: go test ./internal/replica -count=1 -run '%s' -chaos.seed %d -chaos.steps %d -chaos.trace 400",
		w.bad, strings.Join(w.events[from:], "\n"), test, seed, *chaosSteps)
}

func newChaosWorldTraced(seed uint64, wrong wrong, flaw flaw) *chaosWorld {
	w := newChaosWorld(seed, wrong, flaw)
	w.traced = true
	w.trace("%+v", w.kind)
	return w
}

// playChaos plays one history and returns what it violates.
func playChaos(seed uint64, wrong wrong, flaw flaw, sum *chaosStats) string {
	w := newChaosWorld(seed, wrong, flaw)
	w.play(*chaosSteps)
	if sum != nil {
		w.stats.Histories = 1
		sum.add(&w.stats)
	}
	return w.bad
}

func (w *chaosWorld) play(steps int) {
	defer func() {
		if r := recover(); r != nil {
			w.fail("panic: %v", r)
			if w.wrong == 0 && w.flaw == noFlaw {
				panic(r)
			}
		}
	}()
	for range steps {
		if w.bad != "" {
			return
		}
		w.stats.Steps++
		w.happen()
	}
	w.heal()
}

// What may happen, and how often by default. Each history has its own taste: much of this, little of that.
const (
	chaosDeliver = iota
	chaosStore
	chaosApply
	chaosReached
	chaosWork
	chaosTick
	chaosLanes
	chaosView
	chaosDecide
	chaosWrite
	chaosRetry
	chaosPropose
	chaosRead
	chaosProve
	chaosWithdraw
	chaosSend
	chaosServe
	chaosTrouble
	chaosEvents
)

var chaosOften = [chaosEvents]int{chaosDeliver: 290, chaosStore: 110, chaosApply: 90, chaosReached: 80, chaosWork: 50, chaosTick: 60, chaosLanes: 50,
	chaosView: 60, chaosDecide: 40, chaosWrite: 35, chaosRetry: 10, chaosPropose: 15, chaosRead: 8, chaosProve: 2, chaosWithdraw: 2, chaosSend: 80,
	chaosServe: 110, chaosTrouble: 60}

// taste chooses how often things happen in this history, and which node is slow at what.
func (w *chaosWorld) taste() {
	for i, often := range chaosOften {
		switch x := w.chance.IntN(6); {
		case x > 1 || w.kind.calm:
			if w.kind.calm && i == chaosTrouble {
				often /= 4
			}
		case x == 0:
			often = often*3 + 1
		default:
			often = often/4 + 1
		}
		w.total += often
		w.often[i] = w.total
	}
	for _, n := range w.nodes {
		for range w.chance.IntN(3) {
			if w.kind.calm && w.roll(3, 4) {
				continue
			}
			n.slow |= 1 << []int{chaosStore, chaosApply, chaosReached, chaosWork, chaosTick, chaosLanes, chaosView, chaosSend}[w.chance.IntN(8)]
		}
	}
}

// happen is one event.
func (w *chaosWorld) happen() {
	n := w.nodes[w.chance.IntN(len(w.nodes))]
	w.now += int64(w.chance.IntN(12))
	if w.ripe && w.roll(1, 3) {
		w.surprise()
		return
	}
	w.tellStory()
	x, event := w.chance.IntN(w.total), 0
	for x >= w.often[event] {
		event++
	}
	one := func(holds func(n *chaosNode) bool) bool { // is there one? then n is
		n = w.any(n, holds)
		return holds(n) && (n.slow&(1<<event) == 0 || w.roll(1, 10))
	}
	switch event {
	case chaosDeliver:
		w.deliverSome()
	case chaosStore:
		if one(func(n *chaosNode) bool { return n.core != nil && len(n.core.jobs) > 0 }) {
			w.store(n)
		}
	case chaosApply:
		if one(func(n *chaosNode) bool {
			return n.core != nil && n.applied == nil && min(n.core.commit, n.core.durable) > n.core.applied
		}) {
			w.applySome(n)
		}
	case chaosReached:
		if one(func(n *chaosNode) bool { return n.applied != nil }) {
			w.report(n)
		}
	case chaosWork:
		if one(func(n *chaosNode) bool { return len(n.resolving)+len(n.fetching) > 0 }) {
			w.work(n)
		}
	case chaosTick:
		if one(func(n *chaosNode) bool { return n.core != nil && n.core.pace() != still }) {
			w.step(n, (*core).tick)
		}
	case chaosLanes:
		to := w.chance.IntN(len(w.nodes))
		if one(func(n *chaosNode) bool {
			return n.up && n.i != to && (n.lanes[to].conn == nil || len(n.lanes[to].told) > 0)
		}) {
			w.tell(n, to)
			w.connect(n, to)
		}
	case chaosView:
		if one(func(n *chaosNode) bool { return n.up && (n.view < len(w.states)-1 || !n.caught) }) {
			w.advance(n)
		}
	case chaosDecide:
		w.decideSome()
	case chaosWrite:
		if p := w.leader(n); p != nil {
			w.write(p, w.newRequest())
		}
	case chaosRetry:
		if p := w.leader(n); p != nil {
			w.retry(p)
		}
	case chaosPropose:
		if one(func(n *chaosNode) bool { return len(n.delayed) > 0 }) {
			op := n.delayed[0]
			n.delayed = n.delayed[1:]
			w.step(n, func(c *core) { c.propose(op) })
		}
	case chaosRead:
		p := w.leader(n)
		for _, o := range w.nodes { // rather one that was deposed
			if o.core != nil && o.core.lead != nil && o.core.lead.term < p.core.lead.term && w.roll(1, 2) {
				p = o
			}
		}
		if p != nil {
			w.ask(p, chaosBarrier)
		}
	case chaosProve:
		if p := w.leader(n); p != nil {
			w.ask(p, chaosMark)
		}
	case chaosWithdraw:
		w.withdraw(n)
	case chaosSend:
		if one(func(n *chaosNode) bool { return n.sender.number != 0 }) {
			w.sendOn(n)
		}
	case chaosServe:
		w.serveSome()
	case chaosTrouble:
		w.trouble(n)
	}
}

// trouble is what goes wrong.
func (w *chaosWorld) trouble(n *chaosNode) {
	r, k := w.chance.IntN, &w.kind
	switch {
	case r(1000) < k.plots:
		switch {
		case len(w.story) == 0 && r(2) == 0:
			w.beginStory()
		case len(w.story) == 0 || r(8) == 0:
			w.plot()
		}
	case r(10_000) < 25*k.crashes:
		if n.up && r(3) == 0 || len(w.up()) == len(w.nodes) {
			w.crash(n)
		}
		if r(60) < k.allCrash {
			for _, o := range w.nodes {
				w.crash(o)
			}
		}
	case r(1000) < k.breaks:
		w.breakLane(n, r(len(w.nodes)))
	case r(1000) < k.leaps:
		w.now += int64(r(1500))
	case r(1000) < k.suspicions:
		w.suspect(n)
	case r(1000) < k.transfers:
		w.meddle(n)
	case r(200) == 0:
		w.blocked[n.i][r(len(w.nodes))] = true
	case r(40) == 0:
		w.blocked = [chaosNodes][chaosNodes]bool{}
	case r(100) == 0 && k.frozen:
		n.frozen = !n.frozen
	case r(10) == 0 && n.disk != nil && n.core != nil:
		w.trim(n, r(2) == 0)
	case r(60) == 0 && n.core != nil && n.core.broken == nil && k.failures > 0:
		w.step(n, func(c *core) { c.reached(c.applied, nil, errFull) })
	case !n.up && r(4) == 0:
		back := 0
		if r(3) == 0 {
			back = r(k.back)
		}
		w.start(n, back)
	case r(4) == 0 && n.up:
		w.manage(n)
	}
}

// any is a node of which something holds: this one, or the next; this one also if there is none.
func (w *chaosWorld) any(n *chaosNode, holds func(*chaosNode) bool) *chaosNode {
	for i := range w.nodes {
		if o := w.nodes[(n.i+i)%len(w.nodes)]; holds(o) {
			return o
		}
	}
	return n
}

func (w *chaosWorld) up() (list []*chaosNode) {
	for _, n := range w.nodes {
		if n.up {
			list = append(list, n)
		}
	}
	return list
}

// leader is a node that leads or believes so: this one, or the next.
func (w *chaosWorld) leader(n *chaosNode) *chaosNode {
	for i := range w.nodes {
		if o := w.nodes[(n.i+i)%len(w.nodes)]; o.core != nil && o.core.lead != nil {
			return o
		}
	}
	return nil
}

func (w *chaosWorld) deliverSome() {
	if len(w.conns) == 0 {
		return
	}
	i := w.chance.IntN(len(w.conns))
	if c := w.conns[i]; (!w.blocked[c.from][c.to] || c.lost) && (!c.slow || w.roll(1, 20)) {
		w.deliver(i)
	}
}

func (w *chaosWorld) serveSome() {
	if len(w.late) > 0 && w.roll(1, 30) {
		i := w.chance.IntN(len(w.late))
		c := w.late[i]
		w.late[i] = w.late[len(w.late)-1]
		w.late = w.late[:len(w.late)-1]
		w.serve(&c)
		return
	}
	if len(w.calls) == 0 {
		return
	}
	i := w.chance.IntN(len(w.calls))
	c := w.calls[i]
	if w.roll(1, 30) { // comes once more
		w.serve(&c)
		return
	}
	w.calls[i] = w.calls[len(w.calls)-1]
	w.calls = w.calls[:len(w.calls)-1]
	if w.roll(1, 12) && len(w.late) < 16 {
		w.late = append(w.late, c)
		return
	}
	if !w.roll(1, 25) && !w.blocked[c.from][c.to] {
		w.serve(&c)
	}
}

// advance shows a node more of what consensus has decided, sometimes with a leap.
func (w *chaosWorld) advance(n *chaosNode) {
	if n.up && !n.caught && w.roll(1, 40) { // nobody to ask
		w.catchUp(n)
	}
	ahead := len(w.states) - 1 - n.view
	if !n.up || ahead <= 0 || n.frozen && !w.roll(1, 25) {
		return
	}
	if n.view++; w.roll(1, 6) {
		n.view += w.chance.IntN(ahead)
	}
	w.trace("node %d sees topology %d", n.peer, n.view)
	w.show(n)
}

func (w *chaosWorld) decideSome() {
	if len(w.past) > 0 && w.roll(1, 25) {
		w.decide(w.past[w.chance.IntN(len(w.past))])
		return
	}
	if len(w.wishes) == 0 {
		return
	}
	i := w.chance.IntN(len(w.wishes))
	c := w.wishes[i]
	if c.Admit != nil && w.held {
		return
	}
	x := w.chance.IntN(20)
	if x < 1 || x > 2 {
		w.wishes = append(w.wishes[:i], w.wishes[i+1:]...)
	}
	if x > 0 {
		w.decide(c)
	}
}

// suspect has somebody believe that somebody else is dead.
func (w *chaosWorld) suspect(n *chaosNode) {
	if n.core == nil {
		return
	}
	v := w.sees(n)
	if r := n.core.lead; r != nil && len(r.followers) > 0 && w.roll(1, 2) {
		f := r.followers[w.chance.IntN(len(r.followers))]
		w.step(n, func(c *core) { c.accuse(f) })
		return
	}
	suspect := v.Primary
	if w.roll(1, 5) {
		suspect = topology.PeerID(1 + w.chance.IntN(len(w.nodes)))
	}
	w.propose(topology.Command{Failed: []topology.ReplicaFailed{{Shard: chaosShard, Term: v.Term, Version: v.Version, Peer: suspect,
		Successor: topology.PeerID(1 + w.chance.IntN(len(w.nodes)))}}})
}

// meddle has a user do something to the replicas.
func (w *chaosWorld) meddle(n *chaosNode) {
	v := w.sees(n)
	switch x := w.chance.IntN(20); {
	case x < 11:
		w.recover(n)
	case x < 15 && len(v.Transfers) > 0:
		t := v.Transfers[w.chance.IntN(len(v.Transfers))]
		if w.roll(1, 2) {
			w.propose(topology.Command{Abort: &topology.TransferAbort{Shard: chaosShard, ID: t.ID}})
		} else {
			w.propose(topology.Command{Stage: &topology.TransferStage{Shard: chaosShard, ID: t.ID, Attempt: t.Attempt, Method: w.method()}})
		}
	case x < 18:
		to := topology.PeerID(1 + w.chance.IntN(len(w.nodes)))
		w.propose(topology.Command{Start: &topology.TransferStart{Shard: chaosShard, From: n.peer, To: to, Method: w.method(), Sync: w.roll(1, 2)}})
	case x == 18 && len(v.Replicas) > 1:
		w.propose(topology.Command{DropReplica: &topology.DropReplica{Shard: chaosShard, Peer: topology.PeerID(1 + w.chance.IntN(len(w.nodes)))}})
	case w.kind.listeners:
		p := topology.PeerID(1 + w.chance.IntN(len(w.nodes)))
		state := topology.Listener
		if v.Replicas[p].State == topology.Listener {
			state = topology.Active
		}
		w.propose(topology.Command{Replicas: []topology.SetReplica{{Shard: chaosShard, Peer: p, State: state}}})
	}
}

func (w *chaosWorld) method() string {
	if w.roll(1, 2) {
		return topology.StreamRecords
	}
	return topology.WALDelta
}

// recover starts transfers to replicas that are dead.
func (w *chaosWorld) recover(n *chaosNode) {
	v := w.sees(n)
	for _, p := range v.Peers() {
		if v.Replicas[p].State != topology.Dead || len(v.Transfers) > 1 {
			continue
		}
		from := v.Primary
		if w.roll(1, 2) {
			in := v.InSync()
			from = in[w.chance.IntN(len(in))]
		}
		version := v.Version
		w.propose(topology.Command{Start: &topology.TransferStart{Shard: chaosShard, From: from, To: p, Method: w.method(), Sync: true, Version: &version}})
		return
	}
}

// manage does what a node does for its replicas beside the protocol.
func (w *chaosWorld) manage(n *chaosNode) {
	v := w.sees(n)
	own, mine := v.Replicas[n.peer]
	if mine && n.core != nil && own.State == topology.Initializing {
		w.propose(topology.Command{Replicas: []topology.SetReplica{{Shard: chaosShard, Peer: n.peer, State: topology.Active, From: own.State}}})
	}
}

func (w *chaosWorld) trim(n *chaosNode, log bool) {
	before := n.disk.first
	n.disk.check(log)
	if n.disk.first > before {
		w.stats.Trims++
	}
}

// heal stops all faults and waits until every replica is active and equal, and everybody is answered.
func (w *chaosWorld) heal() {
	if w.bad != "" {
		return
	}
	w.trace("faults stop")
	w.stale, w.story, w.held = nil, nil, false
	w.blocked = [chaosNodes][chaosNodes]bool{}
	w.kind.failures = 0
	for _, n := range w.nodes {
		n.frozen, n.slow = false, 0
		if n.core != nil && n.core.broken != nil {
			w.crash(n) // what is broken stays so until it is started again
		}
		if !n.up {
			w.start(n, 0)
		}
		if n.disk != nil {
			n.disk.full = false
		}
	}
	probe := uint64(0)
	for round := 0; round < 1500 && w.bad == ""; round++ {
		w.round()
		if round%8 == 0 {
			for _, n := range w.nodes {
				w.recover(n)
			}
		}
		for _, p := range w.newest().Peers() {
			if w.newest().Replicas[p].State == topology.Listener {
				w.propose(topology.Command{Replicas: []topology.SetReplica{{Shard: chaosShard, Peer: p, State: topology.Active}}})
			}
		}
		if probe == 0 && round > 5 && w.settled() {
			probe = w.newRequest()
			w.write(w.node(w.newest().Primary), probe)
		} else if probe != 0 && w.requests[probe].done && w.settled() {
			return
		} else if probe != 0 && w.requests[probe].flying == 0 && !w.requests[probe].done {
			probe = 0
		}
	}
	if w.bad == "" {
		w.fail("faults have stopped, and the shard does not become whole: %s", w.describe())
	}
}

// round lets everybody do once what is to be done, without faults.
func (w *chaosWorld) round() {
	w.now += 40
	for _, n := range w.nodes {
		for n.up && !n.frozen && n.view < len(w.states)-1 {
			n.view++
			w.show(n)
		}
		for to := range w.nodes {
			if n.up {
				w.tell(n, to)
				w.connect(n, to)
			}
		}
		for n.core != nil && len(n.core.jobs) > 0 && w.bad == "" && n.slow&(1<<chaosStore) == 0 {
			w.store(n)
		}
		w.applySome(n)
		w.report(n)
		w.work(n)
		if len(n.delayed) > 0 && n.core != nil {
			op := n.delayed[0]
			n.delayed = n.delayed[1:]
			w.step(n, func(c *core) { c.propose(op) })
		}
		if n.core != nil && n.core.pace() != still {
			w.step(n, (*core).tick)
		}
		w.sendOn(n)
		w.manage(n)
	}
	for i := len(w.conns) - 1; i >= 0; i-- {
		for c := w.conns[i]; len(c.queue) > 0 && w.bad == "" && (!w.blocked[c.from][c.to] || c.lost); {
			w.deliver(i)
		}
	}
	for n := len(w.calls); n > 0 && len(w.calls) > 0; n-- {
		c := w.calls[0]
		w.calls = append(w.calls[:0], w.calls[1:]...)
		w.serve(&c)
	}
	for n := len(w.wishes); n > 0 && len(w.wishes) > 0; n-- {
		c := w.wishes[0]
		w.wishes = append(w.wishes[:0], w.wishes[1:]...)
		w.decide(c)
	}
}

func (w *chaosWorld) describe() string {
	var b strings.Builder
	s := w.newest()
	fmt.Fprintf(&b, "term %d primary %d%s committed %d", s.Term, s.Primary, chaosReplicas(s), w.truth.top())
	for i, q := range w.requests {
		if q.flying > 0 {
			fmt.Fprintf(&b, "; request %d flies %d times, is at %d", i, q.flying, q.seq)
			break
		}
	}
	for _, n := range w.nodes {
		fmt.Fprintf(&b, "\nnode %d sees %d of %d", n.peer, n.view, len(w.states)-1)
		if c := n.core; c != nil {
			fmt.Fprintf(&b, ", base %s last %s durable %d commit %d applied %d used %d using %d heard %d fresh %v broken %v jobs %d delayed %d", c.base, c.last, c.durable,
				c.commit, c.applied, c.used, c.using, c.heard, c.fresh, c.broken, len(c.jobs), len(n.delayed))
			if r := c.lead; r != nil {
				fmt.Fprintf(&b, "; leads term %d office %v queue %d waiting %d mark %d open %v", r.term, r.office, len(r.queue), len(r.waiting), r.proof.mark, r.proof.open)
				for _, f := range r.followers {
					fmt.Fprintf(&b, "; %+v", *f)
				}
			}
		}
		if n.sender.number != 0 {
			x := n.sender
			fmt.Fprintf(&b, "; sends %d/%d task %d phase %d point %d next %d", x.id, x.attempt, x.number, x.phase, x.point, x.next)
		}
		if n.receiver.number != 0 {
			x := n.receiver
			fmt.Fprintf(&b, "; receives %d/%d task %d point %d filling %v waits %d", x.id, x.attempt, x.number, x.point, x.filling != nil, len(x.waits))
		}
	}
	return b.String()
}
