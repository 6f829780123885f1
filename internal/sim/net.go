package sim

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/network"
	"github.com/sextantdb/sextant/internal/topology"
)

// Net is the network of a World. It has no goroutines but those in which calls are answered: whatever is under way is an event
// with a time, and the driver has one event happen after the other.
type Net struct {
	w    *World
	wake chan struct{} // something was sent

	mu    sync.Mutex
	ends  map[string]*end // by address
	lanes []*lane
	calls []*call // under way, unsorted
	fresh []sent  // since the driver looked last
	links map[route]*link
	count map[string]uint64 // of what was sent, by class and route
}

// route is a direction between two machines.
type route struct{ from, to int }

// link is what is wrong with a route. The zero link is healthy.
type link struct {
	cut   bool // nothing arrives, and nobody is told
	mute  bool // the same for the lane of consensus alone
	slow  time.Duration
	loss  uint64 // of a thousand messages
	twice uint64 // of a thousand calls that may be done twice
}

// end is the network as one process has it; it implements network.Network.
type end struct {
	n    *Net
	peer *Peer // the machine
	uri  string
	self network.Identity
	h    network.Handler
	life context.Context
	stop context.CancelFunc
	run  sync.WaitGroup

	// guarded by n.mu
	open    bool
	dead    bool // its process does not exist any more
	cluster string
	uris    map[topology.PeerID]string
}

// lane is the own lane to a peer, over one connection after another.
type lane struct {
	e    *end
	to   topology.PeerID
	uri  string
	kind network.Lane
	gone bool // the peer is not there any more, or elsewhere

	up      bool
	target  *end
	queue   []message
	at      time.Time // when it is dialled, or tried again
	stalled time.Time // since when its first message cannot pass
	breaks  time.Time // when the connection is found broken; zero: it is not
}

type message struct {
	at   time.Time
	body []byte
	lost bool
}

// call is a call at one of its stages.
type call struct {
	from    *end
	to      topology.PeerID // 0: whoever is there
	uri     string
	method  string
	body    []byte
	left    time.Duration // for the other side, from when it hears of it
	timed   bool
	answers chan answer
	at      time.Time
	lost    bool      // its connection is, which is found out at that time
	stuck   time.Time // since when it cannot pass
	back    bool      // it is the answer that is under way
	server  *end
	answer
}

type answer struct {
	out []byte
	err error
}

// sent is what a process has given to the network in this step.
type sent struct {
	lane *lane
	call *call
	body []byte
}

func newNet(w *World) *Net {
	return &Net{w: w, wake: make(chan struct{}, 1), ends: map[string]*end{}, links: map[route]*link{}, count: map[string]uint64{}}
}

func (n *Net) link(from, to int) *link {
	r := route{from, to}
	if n.links[r] == nil {
		n.links[r] = &link{}
	}
	return n.links[r]
}

// heal makes every link healthy.
func (n *Net) heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.links)
}

// change does something to links, or whatever else the lock guards.
func (n *Net) change(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

// connect is what ClusterOptions.Connect is for the process of a machine at an address.
func (n *Net) connect(p *Peer, uri string) func(network.Identity, network.Handler) (network.Network, func() error, error) {
	life := p.life.Load()
	return func(self network.Identity, h network.Handler) (network.Network, func() error, error) {
		e := &end{n: n, peer: p, uri: topology.NormalURI(uri), self: self, h: h, uris: map[topology.PeerID]string{}}
		e.life, e.stop = context.WithCancel(context.Background())
		return e, func() error {
			n.mu.Lock()
			defer n.mu.Unlock()
			if p.life.Load() != life {
				return errors.New("the process is dead")
			}
			if other := n.ends[e.uri]; other != nil && !other.dead {
				return fmt.Errorf("the address %s is in use", e.uri)
			}
			n.ends[e.uri], e.open, p.end, p.id = e, true, e, self.Peer
			return nil
		}, nil
	}
}

// kill ends all that a process has under way. Its peers find out soon, or, if the machine went silently, late.
func (n *Net) kill(e *end, silent bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	e.dead = true
	n.leave(e, silent)
}

// leave takes an end off the network; the caller holds mu.
func (n *Net) leave(e *end, silent bool) {
	if n.ends[e.uri] == e {
		delete(n.ends, e.uri)
	}
	e.open = false
	for _, l := range n.lanes {
		if l.target == e && l.up && l.breaks.IsZero() {
			l.breaks = time.Now().Add(n.delay("reset"))
			if silent {
				l.breaks = l.breaks.Add(time.Duration(hash(n.w.seed, "silent", n.count["reset"]) % 8e9))
			}
		}
	}
	n.lanes = slices.DeleteFunc(n.lanes, func(l *lane) bool { return l.e == e })
}

// SetCluster implements network.Network, as do the following.
func (e *end) SetCluster(id string) {
	e.n.mu.Lock()
	defer e.n.mu.Unlock()
	e.cluster = id
}

func (e *end) Failures() map[string]network.Failure { return nil }

func (e *end) SetPeers(uris map[topology.PeerID]string) {
	n := e.n
	n.mu.Lock()
	defer n.mu.Unlock()
	if e.dead || e.life.Err() != nil || maps.Equal(e.uris, uris) {
		return
	}
	for _, l := range n.lanes {
		if l.e == e && uris[l.to] != l.uri {
			l.gone = true // its end is told by the driver
		}
	}
	for _, id := range slices.Sorted(maps.Keys(uris)) {
		if id == e.self.Peer || e.uris[id] == uris[id] {
			continue
		}
		for kind := range network.Lanes {
			n.lanes = append(n.lanes, &lane{e: e, to: id, uri: uris[id], kind: kind,
				at: time.Now().Add(time.Millisecond + n.delay(fmt.Sprint("dial ", e.peer.i, " ", id, " ", kind)))})
		}
	}
	slices.SortStableFunc(n.lanes, func(a, b *lane) int {
		return cmp.Or(a.e.peer.i-b.e.peer.i, cmp.Compare(a.e.self.Life, b.e.self.Life), cmp.Compare(a.to, b.to), int(a.kind)-int(b.kind))
	})
	e.uris = maps.Clone(uris)
	n.ring()
}

func (n *Net) ring() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (e *end) Send(to topology.PeerID, kind network.Lane, body []byte) {
	n := e.n
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.lanes {
		if l.e == e && l.to == to && l.kind == kind && !l.gone {
			if l.up && !e.dead {
				n.fresh = append(n.fresh, sent{lane: l, body: slices.Clone(body)})
				n.ring()
			}
			return
		}
	}
}

func (e *end) Call(ctx context.Context, to topology.PeerID, method string, body []byte) ([]byte, error) {
	e.n.mu.Lock()
	uri, known := e.uris[to]
	e.n.mu.Unlock()
	if !known {
		return nil, network.ErrUnreachable
	}
	return e.call(ctx, to, uri, method, body)
}

func (e *end) CallAt(ctx context.Context, uri, method string, body []byte) ([]byte, error) {
	return e.call(ctx, 0, topology.NormalURI(uri), method, body)
}

func (e *end) call(ctx context.Context, to topology.PeerID, uri, method string, body []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c := &call{from: e, to: to, uri: uri, method: method, body: slices.Clone(body), answers: make(chan answer, 1)}
	if deadline, ok := ctx.Deadline(); ok {
		c.left, c.timed = time.Until(deadline), true
	}
	e.n.mu.Lock()
	dead := e.dead || e.life.Err() != nil
	if !dead {
		e.n.fresh = append(e.n.fresh, sent{call: c})
		e.n.ring()
	}
	e.n.mu.Unlock()
	if dead {
		return nil, network.ErrUnreachable
	}
	select {
	case a := <-c.answers:
		return a.out, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-e.life.Done():
		return nil, network.ErrLost
	}
}

func (e *end) Close() error {
	e.n.mu.Lock()
	e.dead = true
	e.n.leave(e, false)
	e.n.mu.Unlock()
	e.stop()
	e.run.Wait()
	return nil
}

// gather takes over what was sent in the step that has ended. What several goroutines of a process sent has no order: it gets one.
func (n *Net) gather() {
	n.mu.Lock()
	defer n.mu.Unlock()
	fresh := n.fresh
	n.fresh = nil
	slices.SortStableFunc(fresh, func(a, b sent) int {
		switch {
		case a.lane != nil && b.lane != nil:
			return cmp.Or(slices.Index(n.lanes, a.lane)-slices.Index(n.lanes, b.lane), bytes.Compare(shardOf(a), shardOf(b)))
		case a.call != nil && b.call != nil:
			return cmp.Or(a.call.from.peer.i-b.call.from.peer.i, strings.Compare(a.call.uri, b.call.uri), strings.Compare(a.call.method, b.call.method), bytes.Compare(a.call.body, b.call.body))
		case a.lane != nil:
			return -1
		}
		return 1
	})
	now := time.Now()
	for _, s := range fresh {
		if l := s.lane; l != nil {
			if l.gone || !l.up || !l.breaks.IsZero() {
				continue // lost with its connection
			}
			class := fmt.Sprint("lane ", l.kind, " ", l.e.peer.i, " ", l.target.peer.i)
			at := now.Add(n.delay(class)).Add(n.link(l.e.peer.i, l.target.peer.i).slow)
			if k := len(l.queue); k > 0 && !at.After(l.queue[k-1].at) {
				at = l.queue[k-1].at.Add(1)
			}
			m := message{at: at, body: s.body, lost: n.chance(class+" lost", n.link(l.e.peer.i, l.target.peer.i).loss)}
			l.queue = append(l.queue, m)
			continue
		}
		c := s.call
		class := "answer " + c.method
		if !c.back {
			class = "call " + c.method
		}
		class += fmt.Sprint(" ", c.from.peer.i, " ", c.uri)
		c.at = now.Add(n.delay(class))
		n.w.trace("%s is sent, for %v", class, c.at.Sub(now))
		if to := n.ends[c.uri]; to != nil {
			c.at = c.at.Add(n.link(c.from.peer.i, to.peer.i).slow)
			if loss := n.link(c.from.peer.i, to.peer.i).loss; n.chance(class+" lost", loss) {
				n.w.count("calls lost")
				c.at, c.lost = now.Add(callPatience), true
			}
			if !c.back && repeatable[c.method] && n.chance(class+" twice", n.link(c.from.peer.i, to.peer.i).twice) {
				n.w.count("calls doubled")
				copied := *c
				copied.at = c.at.Add(n.delay(class))
				n.calls = append(n.calls, &copied)
			}
		}
		n.calls = append(n.calls, c)
	}
}

// repeatable are calls that a network may do twice without anybody being entitled to notice.
var repeatable = map[string]bool{"hears": true, "await": true, "read": true, "barrier": true, "info": true, "sight": true, "announce": true}

// shardOf is what orders messages of one step on one lane: those of different shards have none.
func shardOf(s sent) []byte {
	if s.lane.kind != network.Replication || len(s.body) < 17 {
		return nil
	}
	return s.body[1:17]
}

// delay is how long the next message of a class takes: mostly little, sometimes long.
func (n *Net) delay(class string) time.Duration {
	n.count[class]++
	x := hash(n.w.seed, class, n.count[class])
	d := 60*time.Microsecond + time.Duration(x%1_500_000)
	switch x >> 32 % 1000 {
	case 0, 1:
		d += time.Duration(x >> 42 % 1_000_000_000)
	case 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19:
		d += time.Duration(x >> 42 % 60_000_000)
	}
	return d
}

// chance decides by the seed whether something of a class happens now, of a thousand times.
func (n *Net) chance(class string, of uint64) bool {
	if of == 0 {
		return false
	}
	n.count[class]++
	return hash(n.w.seed, class, n.count[class])%1000 < of
}

// event is something that can happen.
type event struct {
	at   time.Time
	what string
	do   func()
}

// next returns the first event of the network; its do is called without the lock.
func (n *Net) next() (first event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	earlier := func(at time.Time) bool { return first.do == nil || at.Before(first.at) }
	for _, l := range n.lanes {
		if at, ok := l.due(); ok && earlier(at) {
			first = event{at: at, do: func() { n.turn(l) }}
		}
	}
	for _, c := range n.calls {
		if earlier(c.at) {
			first = event{at: c.at, do: func() { n.pass(c) }}
		}
	}
	return first
}

// callPatience is after how long a connection that carries nothing is given up, and calls on it with it.
const callPatience = 10 * time.Second

// due is when something happens on a lane.
func (l *lane) due() (time.Time, bool) {
	switch {
	case l.gone:
		return time.Time{}, true
	case !l.up:
		return l.at, true
	case !l.breaks.IsZero() && (len(l.queue) == 0 || l.queue[0].at.After(l.breaks) || !l.stalled.IsZero()):
		return l.breaks, true
	case len(l.queue) > 0 && !l.stalled.IsZero():
		return l.at, true
	case len(l.queue) > 0:
		return l.queue[0].at, true
	}
	return time.Time{}, false
}

// turn has the next thing happen on a lane.
func (n *Net) turn(l *lane) {
	n.mu.Lock()
	e, now := l.e, time.Now()
	told := func(what string, f func()) {
		n.w.trace("lane %d>%d/%d %s", e.peer.i, n.machine(l.to), l.kind, what)
		n.mu.Unlock()
		f()
	}
	switch {
	case l.gone:
		n.lanes = slices.DeleteFunc(n.lanes, func(o *lane) bool { return o == l })
		if !l.up || e.dead {
			n.mu.Unlock()
			return
		}
		told("ends", func() { e.h.Connected(l.to, l.target.self.Life, l.kind, false) })
	case !l.up:
		to := n.ends[l.uri]
		l.at = now.Add(100*time.Millisecond + n.delay("dial again"))
		if to == nil || !to.open || n.blocked(l, to) || n.stranger(e, to, l.to) {
			n.w.trace("lane %d>%d/%d does not open", e.peer.i, n.machine(l.to), l.kind)
			n.mu.Unlock()
			return
		}
		l.up, l.target, l.queue, l.breaks, l.stalled = true, to, nil, time.Time{}, time.Time{}
		for _, other := range n.lanes { // who is called knows that the caller lives
			if other.e == to && other.to == e.self.Peer && !other.up {
				if soon := now.Add(n.delay("dial back")); soon.Before(other.at) {
					other.at = soon
				}
			}
		}
		told("opens", func() { e.h.Connected(l.to, to.self.Life, l.kind, true) })
	case !l.breaks.IsZero() && !now.Before(l.breaks):
		n.breakNow(l)
		told("breaks", func() { e.h.Connected(l.to, l.target.self.Life, l.kind, false) })
	default:
		m := l.queue[0]
		if n.blocked(l, l.target) {
			if l.stalled.IsZero() {
				l.stalled = now
			}
			if l.at = now.Add(50*time.Millisecond + n.delay("stall")); now.Sub(l.stalled) > n.w.laneTime {
				n.w.count("connections lost in a cut")
				l.breaks = now
			}
			n.w.trace("lane %d>%d/%d is stuck", e.peer.i, n.machine(l.to), l.kind)
			n.mu.Unlock()
			return
		}
		l.stalled = time.Time{}
		if m.lost {
			n.w.count("messages lost with their connection")
			l.breaks, l.queue = now.Add(n.delay("break")), nil
			if hash(n.w.seed, "slow break", n.count["break"])%4 == 0 {
				l.breaks = now.Add(2 * time.Second)
			}
			n.mu.Unlock()
			return
		}
		l.queue = l.queue[1:]
		if l.target.dead {
			n.mu.Unlock()
			return
		}
		n.w.messages++
		told(fmt.Sprintf("carries %d bytes, %x", len(m.body), hash(0, string(m.body), 0)>>48), func() { l.target.h.Receive(e.self.Peer, l.kind, m.body) })
	}
}

// breakNow ends a connection. Some of what was under way may still come, as from a socket that nobody has closed.
func (n *Net) breakNow(l *lane) {
	l.up, l.at = false, time.Now().Add(50*time.Millisecond+n.delay("dial again"))
	target, e, kind := l.target, l.e, l.kind
	if hash(n.w.seed, "late", n.count["dial again"])%4 == 0 && kind == network.Replication {
		late := time.Now()
		for _, m := range l.queue {
			late = late.Add(n.delay("late"))
			n.w.at(late, "late message", func() {
				if !target.dead && !e.dead {
					n.w.count("messages of a former connection")
					target.h.Receive(e.self.Peer, kind, m.body)
				}
			})
		}
	}
	l.queue = nil
}

func (n *Net) blocked(l *lane, to *end) bool {
	k := n.link(l.e.peer.i, to.peer.i)
	return k.cut || k.mute && l.kind == network.Consensus || !l.up && n.link(to.peer.i, l.e.peer.i).cut
}

// stranger reports whether an end is not who is meant.
func (n *Net) stranger(e, to *end, id topology.PeerID) bool {
	return id != 0 && to.self.Peer != id || e.cluster != "" && to.cluster != "" && e.cluster != to.cluster
}

func (n *Net) machine(id topology.PeerID) int {
	for _, p := range n.w.peers {
		if p.id == id {
			return p.i
		}
	}
	return -1
}

// pass has a call come a stage further.
func (n *Net) pass(c *call) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	to, back := n.ends[c.uri], c.from
	if c.back {
		to = c.server
	}
	drop := func() { n.calls = slices.DeleteFunc(n.calls, func(o *call) bool { return o == c }) }
	end := func(a answer) {
		drop()
		select {
		case c.answers <- a:
		default: // who asked has gone, or has an answer
		}
	}
	if back.dead {
		drop()
		return
	}
	if to != nil {
		k := n.link(back.peer.i, to.peer.i)
		if c.back {
			k = n.link(to.peer.i, back.peer.i)
		}
		if k.cut && c.stuck.IsZero() {
			c.stuck = now
		}
		if c.lost = c.lost || k.cut && now.Sub(c.stuck) >= callPatience; k.cut && !c.lost {
			c.at = now.Add(100*time.Millisecond + n.delay("stall"))
			n.w.trace("call %d>%s %s is stuck", back.peer.i, c.uri, c.method)
			return
		}
	}
	switch {
	case c.lost:
		n.w.trace("call %d>%s %s is lost", back.peer.i, c.uri, c.method)
		end(answer{err: network.ErrLost})
	case c.back:
		n.w.trace("answer %d<%d %s %d bytes %v", back.peer.i, c.server.peer.i, c.method, len(c.out), c.err)
		end(c.answer)
	case to == nil || !to.open || to.dead:
		n.w.trace("call %d>%s %s finds nobody", back.peer.i, c.uri, c.method)
		end(answer{err: network.ErrUnreachable})
	case n.stranger(back, to, c.to):
		end(answer{err: fmt.Errorf("%w: this is peer %d, not peer %d", network.ErrUnreachable, to.self.Peer, c.to)})
	default:
		n.w.trace("call %d>%d %s %d bytes", back.peer.i, to.peer.i, c.method, len(c.body))
		n.w.calls++
		drop()
		n.serve(c, to)
	}
}

// serve has a call done, for as long as its caller wants to wait from now on.
func (n *Net) serve(c *call, to *end) {
	done := *c
	done.back, done.server = true, to
	to.run.Go(func() {
		ctx, cancel := to.life, context.CancelFunc(func() {})
		if c.timed {
			ctx, cancel = context.WithTimeout(ctx, c.left)
		}
		defer cancel()
		out, err := to.h.Call(ctx, c.from.self.Peer, c.method, c.body)
		if err != nil {
			out, err = nil, sextant.Errorf(sextant.KindOf(err), "%s", err.Error())
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		if to.dead {
			out, err = nil, network.ErrLost
		}
		done.out, done.err = out, err
		n.fresh = append(n.fresh, sent{call: &done})
		n.ring()
	})
}
