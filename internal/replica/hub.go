package replica

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/wal"
)

// Options are what a Hub is made of.
type Options struct {
	Self     topology.PeerID
	Life     uint64 // of this process; rises from start to start
	Link     Link
	Proposer Proposer
	Log      *slog.Logger // nil: silent
	// Differs, if not nil, is told by primaries of replicas that were found to differ. It may take its time.
	Differs func(ctx context.Context, d Difference)

	Silent    time.Duration // how long a follower may owe an answer; 0: 3 s
	Probation time.Duration // how long an admitted receiver must follow; 0: 1 s
	Audit     time.Duration // how often a shard that changes is proven equal; 0: 60 s

	Wrong []string // rules that a simulation switches off, of Rules
}

// Hub holds the replicas of one process, the lane to each peer, and what is known of peers being alive.
type Hub struct {
	opts  Options
	log   *slog.Logger
	start time.Time
	life  context.Context
	end   context.CancelFunc
	run   sync.WaitGroup

	mu        sync.Mutex // never held together with that of a Local that waits for it
	locals    map[string]*Local
	busy      map[string]*Local // for these time passes often
	lazy      map[string]*Local // for these it passes, too
	ticking   bool
	caught    bool
	closed    bool
	state     *topology.State
	peers     map[topology.PeerID]*peerSight
	items     []proposal
	proposing bool

	received, sentBytes atomic.Uint64
}

// peerSight is what is known of a peer.
type peerSight struct {
	up    bool // there is a connection to it
	life  uint64
	heard int64 // when its last message came; 0: never
	deaf  int64 // for how long it had not heard this one, as its last beat said
	since int64 // since when up is what it is
}

const (
	// tickEvery is how often time passes for replicas that wait for something.
	tickEvery = 50 * time.Millisecond
	// lazyTicks is how many of these make one for replicas that wait for nothing but an audit.
	lazyTicks = 20
	// beatEvery is how often each peer is told that this one lives; a peer that was not heard for deafAfter is not alive.
	beatEvery = 500 * time.Millisecond
	deafAfter = 1800 * time.Millisecond
)

// NewHub makes a hub without replicas. Close ends it.
func NewHub(o Options) *Hub {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	h := &Hub{opts: o, log: o.Log, start: time.Now(), locals: map[string]*Local{}, busy: map[string]*Local{}, lazy: map[string]*Local{}, peers: map[topology.PeerID]*peerSight{}}
	h.life, h.end = context.WithCancel(context.Background())
	h.run.Go(h.beat)
	return h
}

// clock is the time of core: milliseconds since the start, never 0.
func (h *Hub) clock() int64 { return int64(time.Since(h.start)/time.Millisecond) + 1 }

// Add makes a shard's store a replica. align, if not nil, returns when the store has the schema of the topology of an index, or
// a later one; updates wait for it. The tail of the log is read before.
func (h *Hub) Add(uuid string, store Store, align func(ctx context.Context, index uint64) error) (*Local, error) {
	stands := store.Stands()
	tail, err := tailOf(store, stands)
	if err != nil {
		return nil, err
	}
	l := &Local{hub: h, uuid: uuid, store: store, align: align, slots: make(chan struct{}, updatesAtOnce)}
	l.life, l.end = context.WithCancel(h.life)
	l.core = newCore(h.opts.Self, h.opts.Life, stands, tail)
	l.core.wrong = switchedOff(h.opts.Wrong)
	l.core.time.silent = millis(h.opts.Silent, l.core.time.silent)
	l.core.time.prove = millis(h.opts.Probation, l.core.time.prove)
	l.core.time.audit = millis(h.opts.Audit, l.core.time.audit)
	l.seen = sight{applied: l.core.applied, last: l.core.last.Seq}

	h.mu.Lock()
	if h.closed || h.locals[uuid] != nil {
		h.mu.Unlock()
		l.end()
		return nil, fmt.Errorf("replica: shard %s is here already, or the hub is closed", uuid)
	}
	h.locals[uuid] = l
	state, caught := h.state, h.caught
	lanes := map[topology.PeerID]uint64{}
	for p, s := range h.peers {
		if s.up {
			lanes[p] = s.life
		}
	}
	h.mu.Unlock()

	l.step(func(c *core) {
		c.caught = caught
		for _, p := range slices.Sorted(maps.Keys(lanes)) {
			c.connected(p, lanes[p], true)
		}
	})
	if state != nil {
		l.show(state)
	}
	return l, nil
}

func millis(d time.Duration, otherwise int64) int64 { return cmp.Or(d.Milliseconds(), otherwise) }

// tailOf reads what is logged and not applied.
func tailOf(store Store, s order.Stands) (tail []wal.Record, err error) {
	if s.Applied.Seq >= s.Last.Seq {
		return nil, nil
	}
	r, err := store.OpenLog(s.Applied.Seq + 1)
	if err != nil {
		return nil, err
	}
	for {
		part, err := r.Next(s.Last.Seq, flightBytes)
		if err != nil || len(part) == 0 {
			return tail, cmp.Or(err, r.Close())
		}
		for i := range part {
			part[i].Body = nil // only who asked for it is of interest
		}
		tail = append(tail, part...)
	}
}

// Local returns the replica of a shard, nil if there is none here.
func (h *Hub) Local(uuid string) *Local {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.locals[uuid]
}

// Remove ends a replica; its store stays open.
func (h *Hub) Remove(uuid string) {
	h.mu.Lock()
	l := h.locals[uuid]
	delete(h.locals, uuid)
	h.mu.Unlock()
	if l != nil {
		l.close()
	}
}

// all returns the replicas by uuid.
func (h *Hub) all() []*Local {
	h.mu.Lock()
	defer h.mu.Unlock()
	return sorted(h.locals)
}

func sorted(m map[string]*Local) []*Local {
	list := make([]*Local, 0, len(m))
	for _, uuid := range slices.Sorted(maps.Keys(m)) {
		list = append(list, m[uuid])
	}
	return list
}

// Show tells that the topology has moved.
func (h *Hub) Show(s *topology.State) {
	h.mu.Lock()
	if h.state != nil && h.state.Index > s.Index {
		h.mu.Unlock()
		return
	}
	same := h.state == s // who was added since was shown it then
	h.state = s
	h.mu.Unlock()
	if same {
		return
	}
	for _, l := range h.all() {
		l.show(s)
	}
}

func (l *Local) show(s *topology.State) {
	v := s.Shard(l.uuid)
	if v == nil {
		return // the node removes it
	}
	l.step(func(c *core) {
		if v != c.view && s.Index >= c.index {
			c.show(v, s.Index)
		}
	})
}

// CaughtUp tells that this life has seen all that consensus had committed when it began.
func (h *Hub) CaughtUp() {
	h.mu.Lock()
	h.caught = true
	h.mu.Unlock()
	for _, l := range h.all() {
		l.step((*core).caughtUp)
	}
}

// Receive takes a message of a peer, in the order in which it sent them.
func (h *Hub) Receive(from topology.PeerID, message []byte) {
	h.received.Add(uint64(len(message)))
	h.mu.Lock()
	s := h.sight(from)
	s.heard = h.clock()
	if len(message) > 0 && message[0] == kindBeat {
		if deaf, n := binary.Uvarint(message[1:]); n > 0 && deaf < 1<<40 {
			s.deaf = int64(deaf)
		}
		h.mu.Unlock()
		return
	}
	h.mu.Unlock()
	m, err := parseMessage(message)
	if err != nil {
		h.log.Error("a message of a peer cannot be read", "peer", from, "err", err)
		return
	}
	l := h.Local(m.Shard)
	if l == nil {
		return // not yet, or not any more: it will be asked again
	}
	l.step(func(c *core) {
		if m.Append != nil {
			c.appended(from, m.Append)
		} else {
			c.acked(from, m.Ack)
		}
	})
}

// sight returns what is known of a peer; the caller holds mu.
func (h *Hub) sight(p topology.PeerID) *peerSight {
	s := h.peers[p]
	if s == nil {
		s = &peerSight{since: h.clock()}
		h.peers[p] = s
	}
	return s
}

// Connected tells that the lane to a peer was opened, to its process of a life, or was lost.
func (h *Hub) Connected(p topology.PeerID, life uint64, up bool) {
	h.mu.Lock()
	s := h.sight(p)
	s.up, s.life, s.since = up, life, h.clock()
	h.mu.Unlock()
	for _, l := range h.all() {
		l.step(func(c *core) { c.connected(p, life, up) })
	}
}

// Alive reports whether a peer was heard lately, and hears.
func (h *Hub) Alive(p topology.PeerID) bool {
	return p == h.opts.Self || h.Silence(p) < deafAfter
}

// Reaches reports whether there is a connection to a peer, where it is known to be.
func (h *Hub) Reaches(p topology.PeerID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sight(p).up
}

// Silence returns for how long a peer has given no sign of life: since its last message, or, if it cannot be reached, at least
// since it could. One that talks but does not hear this one is as good as silent: as a primary it could commit nothing.
func (h *Hub) Silence(p topology.PeerID) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.sight(p)
	now := h.clock()
	silent := max(now-max(s.heard, 1), min(s.deaf, now-s.since))
	if !s.up && s.heard <= s.since {
		silent = max(silent, deafAfter.Milliseconds())
	}
	return time.Duration(silent) * time.Millisecond
}

// differs tells of a difference, beside everything else.
func (h *Hub) differs(d Difference) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed && h.opts.Differs != nil {
		h.run.Go(func() { h.opts.Differs(h.life, d) })
	}
}

func (h *Hub) send(to topology.PeerID, m Message) {
	b := appendMessage(make([]byte, 0, messageSize(m)), m)
	h.sentBytes.Add(uint64(len(b)))
	h.opts.Link.Send(to, b)
}

// beat tells the peers that this one lives.
func (h *Hub) beat() {
	timer := time.NewTicker(beatEvery)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-h.life.Done():
			return
		}
		h.mu.Lock()
		now, beats := h.clock(), map[topology.PeerID][]byte{}
		if h.state != nil {
			for p := range h.state.Peers {
				beats[p] = binary.AppendUvarint([]byte{kindBeat}, uint64(now-max(h.sight(p).heard, 1)))
			}
		}
		h.mu.Unlock()
		for _, p := range slices.Sorted(maps.Keys(beats)) {
			if p != h.opts.Self {
				h.opts.Link.Send(p, beats[p])
			}
		}
	}
}

// watch has time pass for a replica as often as it must.
func (h *Hub) watch(l *Local, p pace) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.busy, l.uuid)
	delete(h.lazy, l.uuid)
	switch {
	case p == still || h.closed:
		return
	case p == often:
		h.busy[l.uuid] = l
	default:
		h.lazy[l.uuid] = l
	}
	if !h.ticking {
		h.ticking = true
		h.run.Go(h.tick)
	}
}

func (h *Hub) tick() {
	timer := time.NewTicker(tickEvery)
	defer timer.Stop()
	for n := 1; ; n++ {
		select {
		case <-timer.C:
		case <-h.life.Done():
			return
		}
		h.mu.Lock()
		list := sorted(h.busy)
		if n%lazyTicks == 0 {
			list = append(list, sorted(h.lazy)...)
		}
		if h.ticking = len(h.busy)+len(h.lazy) > 0; !h.ticking {
			h.mu.Unlock()
			return
		}
		h.mu.Unlock()
		for _, l := range list {
			l.step((*core).tick)
		}
	}
}

// Close ends all replicas. Their stores stay open.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed = true
	locals := sorted(h.locals)
	h.mu.Unlock()
	h.end()
	for _, l := range locals {
		l.close()
	}
	h.run.Wait()
}
