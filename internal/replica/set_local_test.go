package replica

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/codec"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/wal"
)

// toyPeers reach the replicas of a toy world by their binary forms, over a wire that loses answers.
type toyPeers struct {
	w    *toyWorld
	away atomic.Uint64 // a peer that refuses calls

	mu     sync.Mutex
	chance *rand.Rand
	lose   int // of 100 answers
	lost   int
}

func (p *toyPeers) at(to topology.PeerID) (*toyNode, error) {
	if p.away.Load() == uint64(to) {
		return nil, fmt.Errorf("%w: refused", ErrAway)
	}
	time.Sleep(time.Millisecond)
	return p.w.nodes[to-1], nil
}

func (p *toyPeers) loses() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.chance.IntN(100) < p.lose {
		p.lost++
		return true
	}
	return false
}

func (p *toyPeers) Update(ctx context.Context, to topology.PeerID, _ string, r Request) (sextant.Receipt, error) {
	n, err := p.at(to)
	if err != nil {
		return sextant.Receipt{}, err
	}
	if r, err = ParseRequest(AppendRequest(nil, r)); err != nil {
		return sextant.Receipt{}, err
	}
	inner, cancel := AnswerInTime(ctx)
	defer cancel()
	receipt, err := n.local.Update(inner, r)
	if p.loses() {
		return sextant.Receipt{}, errors.New("the answer was lost")
	}
	if err != nil {
		return sextant.Receipt{}, ParseError(AppendError(nil, err))
	}
	return ParseReceipt(AppendReceipt(nil, receipt))
}

func (p *toyPeers) Read(ctx context.Context, to topology.PeerID, _ string, r Read) (codec.Answer, error) {
	n, err := p.at(to)
	if err != nil {
		return codec.Answer{}, err
	}
	return ReadLocal(ctx, n.local, n.store, r)
}

func (p *toyPeers) Barrier(ctx context.Context, to topology.PeerID, _ string) (order.Seq, error) {
	n, err := p.at(to)
	if err != nil {
		return 0, err
	}
	return n.local.Barrier(ctx)
}

// A toyStore as a Reader only counts.
func (s *toyStore) Count(context.Context, *sextant.Filter, bool) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return uint64(len(s.points)), nil
}

func (s *toyStore) Query(context.Context, sextant.Query) ([]sextant.ScoredPoint, error) {
	return nil, nil
}

func (s *toyStore) Scroll(context.Context, sextant.Scroll) ([]sextant.Record, *sextant.PointID, error) {
	return nil, nil, nil
}

func (s *toyStore) Retrieve(context.Context, []sextant.PointID, sextant.PayloadSelector, sextant.VectorSelector) ([]sextant.Record, error) {
	return nil, nil
}

// set is the coordinator on a node of a toy world. It finds the topology moved by looking.
func (p *toyPeers) set(n *toyNode) *Set {
	return NewSet(SetOptions{Self: n.peer(), Life: n.life, Numbers: &atomic.Uint64{}, Peers: p, Seed: uint64(n.i),
		Shard: func() (*topology.Shard, uint64) {
			p.w.mu.Lock()
			defer p.w.mu.Unlock()
			return p.w.shard, p.w.index
		},
		Moved:   func() <-chan struct{} { return nil },
		Local:   func() (*Local, Reader) { return n.local, n.store },
		Alive:   func(q topology.PeerID) bool { return p.away.Load() != uint64(q) },
		Suspect: func(string, topology.PeerID) {},
		Factor:  func() int { return 1 }})
}

// Answers get lost and the primary is deposed, while two peers take updates: each is logged once, is kept if it was
// acknowledged, and is seen by every linearizable read that begins later.
func TestUpdatesAreDoneOnceThroughLossAndFailOver(t *testing.T) {
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			w := newToyWorld(t, 3)
			defer w.close()
			p := &toyPeers{w: w, chance: rand.New(rand.NewPCG(seed, 1)), lose: 30}
			sets := []*Set{p.set(w.nodes[1]), p.set(w.nodes[2])}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var acked atomic.Uint64
			var all sync.WaitGroup
			for client := range uint64(8) {
				s := sets[client%2]
				all.Go(func() {
					for i := range uint64(10) {
						u := sextant.Upsert{Points: []sextant.Point{{ID: sextant.NumID(client*100 + i), Payload: sextant.Payload(`{}`)}}}
						if _, err := s.Update(ctx, u, sextant.Applied); err != nil {
							t.Error(client, i, err)
							return
						}
						least := acked.Add(1)
						o := WithReadOptions(ctx, ReadOptions{Linearizable: true})
						if a, err := sets[(client+i)%2].Read(o, aCount); err != nil || a.Count < least {
							t.Errorf("%d points are seen of %d acknowledged (%v)", a.Count, least, err)
						}
					}
				})
			}
			time.AfterFunc(40*time.Millisecond, func() {
				p.away.Store(1)
				time.Sleep(100 * time.Millisecond)
				_ = w.nodes[1].Propose(ctx, topology.Command{Failed: []topology.ReplicaFailed{{Shard: w.uuid, Term: w.shard.Term, Version: w.shard.Version, Peer: 1, Successor: 2}}})
			})
			all.Wait()
			time.Sleep(time.Second)
			w.same()
			for _, n := range w.nodes[1:] {
				if len(n.store.points) != 80 {
					t.Errorf("peer %d has %d points", n.peer(), len(n.store.points))
				}
				once(t, n.store)
			}
			if p.lost == 0 || w.primary() != w.nodes[1] {
				t.Errorf("%d answers were lost, peer %d leads", p.lost, w.primary().peer())
			}
		})
	}
}

// once checks that no request is twice in a log.
func once(t *testing.T, s *toyStore) {
	t.Helper()
	r, err := s.OpenLog(1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	seen := map[wal.RequestID]order.Seq{}
	for at := order.Seq(0); at < s.log.Last().Seq; {
		part, err := r.Next(s.log.Last().Seq, 1<<20)
		if err != nil || len(part) == 0 {
			t.Fatal(err)
		}
		for _, rec := range part {
			if at = rec.Seq; rec.Kind != wal.Effects {
				continue
			}
			if seen[rec.ID] != 0 {
				t.Errorf("request %v is logged at %d and %d", rec.ID, seen[rec.ID], at)
			}
			seen[rec.ID] = at
		}
	}
}

// A replica that lacks what a read must see says so after a while: another one may have it.
func TestALaggingReplicaGivesAReadAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newToyWorld(t, 3)
		defer w.close()
		time.Sleep(time.Second)
		begin := time.Now()
		n := w.nodes[1]
		_, err := ReadLocal(t.Context(), n.local, n.store, Read{Read: aCount, MinSeq: 1000})
		if took := time.Since(begin); sextant.KindOf(err) != sextant.Precondition || !passing(t.Context(), err) || took != lagTime {
			t.Error(err, took)
		}
		if _, err := ReadLocal(t.Context(), n.local, n.store, Read{Read: aCount}); err != nil {
			t.Error(err)
		}
	})
}
