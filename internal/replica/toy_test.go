package replica

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/codec"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/vfs"
	"github.com/sextantdb/sextant/internal/wal"
)

// toyStore is a shard of payloads in a map, over a real log. What it has applied is lost with it.
type toyStore struct {
	uuid string
	log  *wal.Log

	mu       sync.Mutex
	applied  order.Pos
	points   map[sextant.PointID]string
	requests map[wal.RequestID]order.Seq
	floor    order.Seq
	fail     error // of the next Append
	slow     time.Duration
	late     time.Duration // of each Apply
}

func openToy(t testing.TB, fs vfs.FS, uuid string) *toyStore {
	t.Helper()
	dir := "shard"
	log, err := wal.Open(fs, dir, order.Pos{}, nil, wal.Options{})
	if err != nil {
		if log, err = wal.Create(fs, dir, order.Pos{}, nil, wal.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	s := &toyStore{uuid: uuid, log: log, points: map[sextant.PointID]string{}, requests: map[wal.RequestID]order.Seq{}}
	if _, err := s.Apply(context.Background(), log.Commit(), func(order.Outcome) {}); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *toyStore) Stands() order.Stands {
	s.mu.Lock()
	defer s.mu.Unlock()
	return order.Stands{UUID: s.uuid, Applied: s.applied, Last: s.log.Last(), Durable: s.log.Durable(), Commit: s.log.Commit(),
		History: s.log.History(), UsedTerm: s.log.UsedTerm()}
}

func (s *toyStore) Prepare(_ context.Context, u sextant.Update) ([]byte, order.Seq, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d, ok := u.(sextant.DeletePoints); ok && d.Filter != nil {
		return nil, s.applied.Seq, nil
	}
	return codec.AppendUpdate(nil, u), s.applied.Seq, nil
}

func (s *toyStore) Resolve(_ context.Context, u sextant.Update) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d, ok := u.(sextant.DeletePoints); ok && d.Filter != nil {
		ids := slices.SortedFunc(maps.Keys(s.points), func(a, b sextant.PointID) int { return a.Compare(b) })
		u = sextant.DeletePoints{Selector: sextant.Selector{IDs: ids}}
	}
	return codec.AppendUpdate(nil, u), nil
}

func (s *toyStore) Append(ctx context.Context, after order.Pos, records []wal.Record) error {
	s.mu.Lock()
	fail, slow := s.fail, s.slow
	s.mu.Unlock()
	if slow > 0 {
		time.Sleep(slow)
	}
	if fail != nil {
		return fail
	}
	if after.Seq < s.log.Last().Seq {
		if err := s.log.Cut(ctx, after.Seq); err != nil {
			return err
		}
	}
	ticket, err := s.log.Append(ctx, records...)
	if err != nil {
		return err
	}
	return s.log.Sync(ctx, ticket)
}

func (s *toyStore) Apply(_ context.Context, commit order.Seq, outcome func(order.Outcome)) (order.Pos, error) {
	s.mu.Lock()
	late := s.late
	s.mu.Unlock()
	time.Sleep(late)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.SetCommit(commit)
	if commit <= s.applied.Seq {
		return s.applied, nil
	}
	r, err := s.log.Reader(s.applied.Seq + 1)
	if err != nil {
		return s.applied, err
	}
	defer r.Close()
	for s.applied.Seq < commit {
		part, err := r.Next(commit, 1<<20)
		if err != nil || len(part) == 0 {
			return s.applied, errors.Join(err, errors.New("short log"))
		}
		for _, rec := range part {
			s.applied = order.Pos{Seq: rec.Seq, Term: rec.Term}
			switch rec.Kind {
			case wal.Mark:
				outcome(order.Outcome{Seq: rec.Seq, Digest: s.digest()})
			case wal.Effects:
				u, err := codec.Update(rec.Body)
				if err != nil {
					return s.applied, err
				}
				s.requests[rec.ID] = rec.Seq
				switch u := u.(type) {
				case sextant.Upsert:
					for _, p := range u.Points {
						s.points[p.ID] = string(p.Payload)
					}
				case sextant.DeletePoints:
					for _, id := range u.IDs {
						delete(s.points, id)
					}
				}
			}
		}
	}
	return s.applied, nil
}

func (s *toyStore) digest() (b []byte) {
	ids := slices.SortedFunc(maps.Keys(s.points), func(a, b sextant.PointID) int { return a.Compare(b) })
	for _, id := range ids {
		b = binary.LittleEndian.AppendUint64(b, id.Lo)
		b = append(b, s.points[id]...)
	}
	return append(b, 0)
}

func (s *toyStore) Digest() ([]byte, order.Pos) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.digest(), s.applied
}
func (s *toyStore) OpenLog(from order.Seq) (*wal.Reader, error) { return s.log.Reader(from) }
func (s *toyStore) UseTerm(ctx context.Context, term order.Term) error {
	return s.log.UseTerm(ctx, term)
}
func (s *toyStore) Logged(id wal.RequestID) (order.Seq, error, bool, bool) { //nolint:staticcheck // as replica.Store has it
	s.mu.Lock()
	defer s.mu.Unlock()
	seq, known := s.requests[id]
	return seq, nil, known, false
}
func (s *toyStore) KeepFrom(absent order.Seq) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.floor = absent
}

// toyWorld is a shard with a replica on each of some peers, one topology that all see at once, and lanes with a delay.
type toyWorld struct {
	t     testing.TB
	uuid  string
	mu    sync.Mutex
	shard *topology.Shard
	index uint64
	nodes []*toyNode
	cut   map[[2]int]bool
}

type toyNode struct {
	w     *toyWorld
	i     int
	life  uint64
	disk  *vfs.Mem
	hub   *Hub
	local *Local
	store *toyStore
	up    atomic.Bool
	mu    sync.Mutex
	lanes map[topology.PeerID]chan []byte
}

func newToyWorld(t testing.TB, n int) *toyWorld {
	w := &toyWorld{t: t, uuid: "11111111-2222-3333-4444-555555555555", cut: map[[2]int]bool{}}
	w.shard = &topology.Shard{UUID: w.uuid, Term: 1, Version: 1, Primary: 1, Replicas: map[topology.PeerID]topology.Replica{}}
	for i := range n {
		w.shard.Replicas[topology.PeerID(i+1)] = topology.Replica{State: topology.Active, InSync: true}
		w.nodes = append(w.nodes, &toyNode{w: w, i: i, disk: new(vfs.Mem)})
	}
	for _, nd := range w.nodes {
		nd.start()
	}
	return w
}

func (n *toyNode) peer() topology.PeerID { return topology.PeerID(n.i + 1) }

func (n *toyNode) start() {
	n.life++
	n.store = openToy(n.w.t, n.disk, n.w.uuid)
	n.lanes = map[topology.PeerID]chan []byte{}
	n.hub = NewHub(Options{Self: n.peer(), Life: n.life, Link: n, Proposer: n})
	var err error
	if n.local, err = n.hub.Add(n.w.uuid, n.store, nil); err != nil {
		n.w.t.Fatal(err)
	}
	n.up.Store(true)
	n.w.mu.Lock()
	v, index := n.w.shard, n.w.index
	n.w.mu.Unlock()
	n.local.step(func(c *core) { c.show(v, index) })
	n.hub.CaughtUp()
	for _, o := range n.w.nodes {
		if o != n && o.up.Load() {
			n.hub.Connected(o.peer(), o.life, true)
			o.hub.Connected(n.peer(), n.life, true)
		}
	}
}

func (n *toyNode) kill() {
	n.up.Store(false)
	for _, o := range n.w.nodes {
		if o != n && o.up.Load() {
			o.hub.Connected(n.peer(), 0, false)
		}
	}
	n.hub.Close()
	n.stop()
	if err := n.store.log.Close(); err != nil {
		n.w.t.Log(err)
	}
}

func (n *toyNode) Send(to topology.PeerID, m []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.w.nodes[to-1]
	lane := n.lanes[to]
	if lane == nil {
		lane = make(chan []byte, 10000)
		n.lanes[to] = lane
		go func() {
			for m := range lane {
				time.Sleep(time.Millisecond)
				if !n.w.cut[[2]int{n.i, o.i}] && o.up.Load() {
					o.hub.Receive(n.peer(), m)
				}
			}
		}()
	}
	lane <- m
}

func (n *toyNode) Propose(_ context.Context, c topology.Command) error {
	w := n.w
	w.mu.Lock()
	defer w.mu.Unlock()
	s := *w.shard
	s.Replicas = maps.Clone(s.Replicas)
	for _, f := range c.Failed {
		r := s.Replicas[f.Peer]
		if f.Term != s.Term || f.Version != s.Version || !r.InSync || len(s.InSync()) < 2 {
			continue
		}
		s.Replicas[f.Peer] = topology.Replica{State: "Dead"}
		s.Version++
		if s.Primary == f.Peer {
			s.Term++
			if s.Primary = f.Successor; s.Primary == 0 {
				s.Primary = s.InSync()[0]
			}
		}
	}
	for _, cl := range c.Claims {
		if cl.Term == s.Term && cl.Peer == s.Primary {
			s.Term++
		}
	}
	w.shard, w.index = &s, w.index+1
	v, index := w.shard, w.index
	for _, o := range w.nodes {
		if o.up.Load() {
			go o.local.step(func(c *core) {
				if index > c.index {
					c.show(v, index)
				}
			})
		}
	}
	return nil
}

func (w *toyWorld) primary() *toyNode {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.nodes[w.shard.Primary-1]
}

var toyNumber uint64

func (n *toyNode) write(ctx context.Context, id uint64, text string, wait sextant.Wait) (sextant.Receipt, error) {
	toyNumber++
	return n.local.Update(ctx, Request{ID: wal.RequestID{Peer: 99, Life: 1, Number: toyNumber}, Wait: wait,
		Update: sextant.Upsert{Points: []sextant.Point{{ID: sextant.NumID(id), Payload: sextant.Payload(text)}}}})
}

func (w *toyWorld) same() {
	w.t.Helper()
	var first []byte
	for _, n := range w.nodes {
		if !n.up.Load() || !w.shard.Replicas[n.peer()].InSync {
			continue
		}
		d, at := n.store.Digest()
		if first == nil {
			first = d
		}
		if string(d) != string(first) {
			w.t.Errorf("peer %d differs at %v", n.peer(), at)
		}
	}
}

func (w *toyWorld) close() {
	for _, n := range w.nodes {
		if n.up.Load() {
			n.hub.Close()
		}
		n.stop()
	}
}

func (n *toyNode) stop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, lane := range n.lanes {
		close(lane)
	}
	n.lanes = nil
}

func TestThreeReplicasFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newToyWorld(t, 3)
		defer w.close()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for i := range uint64(50) {
			r, err := w.nodes[0].write(ctx, i, fmt.Sprintf(`{"v":%d}`, i), sextant.Applied)
			for errors.As(err, new(*NotPrimary)) {
				time.Sleep(time.Millisecond)
				r, err = w.nodes[0].write(ctx, i, fmt.Sprintf(`{"v":%d}`, i), sextant.Applied)
			}
			if err != nil || r.Status != sextant.Completed {
				t.Fatal(i, r, err)
			}
			for _, n := range w.nodes {
				if d, at := n.store.Digest(); uint64(at.Seq) < r.Seq || len(d) == 0 {
					t.Fatalf("peer %d has applied %v, the write is at %d", n.peer(), at, r.Seq)
				}
				if err := n.local.Readable(); err != nil {
					t.Error(err)
				}
			}
		}
		if _, err := w.nodes[0].local.Barrier(ctx); err != nil {
			t.Error(err)
		}
		if _, err := w.nodes[0].local.Mark(ctx); err != nil {
			t.Error(err)
		}
		w.same()
		// Nothing goes on once all is proven.
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		for _, n := range w.nodes {
			n.hub.mu.Lock()
			if n.hub.ticking || len(n.hub.busy) > 0 {
				t.Errorf("peer %d is busy: %+v", n.peer(), n.local.Status())
			}
			n.hub.mu.Unlock()
		}
	})
}

func TestPrimaryDiesAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newToyWorld(t, 3)
		defer w.close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		time.Sleep(100 * time.Millisecond)
		if _, err := w.nodes[0].write(ctx, 1, `{}`, sextant.Applied); err != nil {
			t.Fatal(err)
		}
		// A follower dies: the write goes on without it.
		w.nodes[2].kill()
		start := time.Now()
		if _, err := w.nodes[0].write(ctx, 2, `{}`, sextant.Applied); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("the write took %v", took)
		}
		// The primary is deposed while it hangs, and its restart claims nothing.
		w.nodes[0].kill()
		_ = w.nodes[1].Propose(ctx, topology.Command{Failed: []topology.ReplicaFailed{{Shard: w.uuid, Term: w.shard.Term, Version: w.shard.Version, Peer: 1, Successor: 2}}})
		time.Sleep(100 * time.Millisecond)
		if _, err := w.nodes[1].write(ctx, 3, `{}`, sextant.Applied); err != nil {
			t.Fatal(err)
		}
		// The one that is left is restarted: a new term, the same data.
		w.nodes[1].kill()
		w.nodes[1].start()
		time.Sleep(time.Second)
		if _, err := w.nodes[1].write(ctx, 4, `{}`, sextant.Applied); err != nil {
			t.Fatal(err)
		}
		if n := len(w.nodes[1].store.points); n != 4 {
			t.Errorf("%d points", n)
		}
		var no *NotPrimary
		w.nodes[0].start()
		time.Sleep(time.Second)
		if _, err := w.nodes[0].write(ctx, 5, `{}`, sextant.Applied); !errors.As(err, &no) || no.Primary != 2 {
			t.Errorf("a deposed primary answers %v", err)
		}
	})
}
