package replica

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/codec"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/topology"
)

var aCount = codec.Read{Count: &codec.Count{Exact: true}}

// doRead runs a read for at most 10 s in a bubble.
func doRead(s *Set, o ReadOptions) (codec.Answer, error, time.Duration) { //nolint:staticcheck // how long it took comes last
	begin := time.Now()
	ctx, cancel := context.WithTimeout(WithReadOptions(context.Background(), o), 10*time.Second)
	defer cancel()
	a, err := s.Read(ctx, aCount)
	synctest.Wait()
	return a, err, time.Since(begin)
}

// saying makes each peer answer with its id as the count.
func saying(_ context.Context, to topology.PeerID, _ Read) (codec.Answer, error) {
	return codec.Answer{Count: uint64(to)}, nil
}

// One replica is asked; another one when the first cannot.
func TestAReadGoesOnToTheNextReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newScript(topology.Active, topology.Dead, topology.Active)
		w.read = saying
		seen := map[uint64]bool{}
		for range 20 {
			a, err, _ := doRead(s, ReadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			seen[a.Count] = true
		}
		if len(w.asked) != 20 || !reflect.DeepEqual(seen, map[uint64]bool{2: true, 4: true}) {
			t.Errorf("%d questions to %v", len(w.asked), seen)
		}
		for _, end := range []error{ErrAway, sextant.Errorf(sextant.Precondition, "not yet"), sextant.Errorf(sextant.Quota, "full")} {
			w.read = func(ctx context.Context, to topology.PeerID, r Read) (codec.Answer, error) {
				if to == 2 {
					return codec.Answer{}, end
				}
				return saying(ctx, to, r)
			}
			for range 5 {
				if a, err, took := doRead(s, ReadOptions{}); err != nil || a.Count != 4 || took > 0 {
					t.Fatal(a, err, took)
				}
			}
		}
	})
}

// A peer that is known to be silent is asked last.
func TestASilentReplicaIsAskedLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newScript(topology.Active, topology.Active)
		w.kill(2)
		w.read = saying
		for range 10 {
			if a, err, _ := doRead(s, ReadOptions{}); err != nil || a.Count != 3 {
				t.Fatal(a, err)
			}
		}
	})
}

// A replica that hangs holds a read up for a moment only.
func TestAHangingReplicaIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, o := range []ReadOptions{{}, {Consistency: "quorum"}} {
			w, s := newScript(topology.Active, topology.Active, topology.Active)
			w.read = func(ctx context.Context, to topology.PeerID, r Read) (codec.Answer, error) {
				if to == 2 {
					<-ctx.Done()
					return codec.Answer{}, ctx.Err()
				}
				return saying(ctx, to, r)
			}
			for range 6 {
				if a, err, took := doRead(s, o); err != nil || a.Count < 3 || took > hurry {
					t.Fatal(o, a, err, took)
				}
			}
		}
	})
}

func TestReadErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newScript(topology.Active, topology.Active, topology.Active)
		w.read = func(context.Context, topology.PeerID, Read) (codec.Answer, error) {
			return codec.Answer{}, sextant.Errorf(sextant.Precondition, "not yet")
		}
		for _, o := range []ReadOptions{{}, {Consistency: "all"}} {
			if _, err, _ := doRead(s, o); sextant.KindOf(err) != sextant.Internal || !strings.Contains(err.Error(), "of 3 read operations failed:") {
				t.Error(err)
			}
		}
		bad := sextant.Errorf(sextant.BadRequest, "no such index")
		w.read = func(context.Context, topology.PeerID, Read) (codec.Answer, error) { return codec.Answer{}, bad }
		for _, o := range []ReadOptions{{}, {Consistency: "all"}} {
			w.asked = nil
			if _, err, _ := doRead(s, o); !errors.Is(err, bad) || o.Consistency == "" && len(w.asked) != 1 {
				t.Errorf("%v after %d questions", err, len(w.asked))
			}
		}
		w, s = newScript(topology.Active, topology.Dead, topology.Dead)
		w.read = saying
		for _, c := range []string{"2", "quorum", "majority", "all"} {
			if _, err, _ := doRead(s, ReadOptions{Consistency: c}); err == nil || !strings.HasSuffix(err.Error(), "does not have enough active replicas") {
				t.Errorf("%s: %v", c, err)
			}
		}
		if a, err, _ := doRead(s, ReadOptions{}); err != nil || a.Count != 2 {
			t.Error(a, err)
		}
	})
}

// So many are asked as the level says, and what they say is settled.
func TestConsistency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			level string
			asked int
			least uint64
		}{{"1", 1, 2}, {"2", 2, 2}, {"quorum", 2, 2}, {"all", 3, 2}, {"majority", 3, 3}} {
			w, s := newScript(topology.Active, topology.Active, topology.Active)
			w.read = saying
			a, err, _ := doRead(s, ReadOptions{Consistency: c.level})
			if err != nil || len(w.asked) != c.asked || a.Count < c.least || c.asked == 3 && a.Count != c.least {
				t.Errorf("%s: %d, %v, asked %v", c.level, a.Count, err, w.asked)
			}
		}
	})
}

// Further replicas are asked after the delay, and the first answer counts.
func TestFanOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(ctx context.Context, to topology.PeerID, r Read) (codec.Answer, error) {
			select {
			case <-time.After(time.Duration(to) * 100 * time.Millisecond):
				return saying(ctx, to, r)
			case <-ctx.Done():
				return codec.Answer{}, ctx.Err()
			}
		}
		for _, c := range []struct {
			more  int
			delay time.Duration
			asked int
		}{{0, 0, 1}, {2, 0, 3}, {2, 150 * time.Millisecond, 3}, {1, 150 * time.Millisecond, 2}, {2, 450 * time.Millisecond, 1}} {
			w, s := newScript(topology.Active, topology.Active, topology.Active)
			w.read = slow
			a, err, took := doRead(s, ReadOptions{FanOut: c.more, FanOutDelay: c.delay, Affinity: "same"})
			if err != nil || len(w.asked) != c.asked {
				t.Errorf("%+v: %d after %s, %v, asked %v", c, a.Count, took, err, w.asked)
			}
			if c.asked == 3 && took > c.delay+200*time.Millisecond {
				t.Errorf("%+v took %s", c, took)
			}
		}
	})
}

// Reads of the same text go to the same replica, from every peer.
func TestAffinity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := map[uint64]bool{}
		for _, text := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
			var first uint64
			for i := range 4 {
				w, s := newScript(topology.Active, topology.Active, topology.Active)
				w.read, s.chance = saying, NewSet(SetOptions{Seed: uint64(i)}).chance
				a, err, _ := doRead(s, ReadOptions{Affinity: text})
				if err != nil || i > 0 && a.Count != first {
					t.Fatal(text, a, first, err)
				}
				first = a.Count
			}
			seen[first] = true
		}
		if len(seen) < 2 {
			t.Error("all texts go to one replica")
		}
	})
}

// A linearizable read waits until the primary has said how far a replica must be.
func TestALinearizableReadAsksThePrimary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newScript(topology.Active, topology.Active)
		tries := 0
		w.barrier = func(_ context.Context, to topology.PeerID) (order.Seq, error) {
			if tries++; to == 2 {
				time.AfterFunc(30*time.Millisecond, func() {
					if w.shard.Primary == 2 {
						w.elect(3)
					}
				})
				return 0, &NotPrimary{}
			}
			return 77, nil
		}
		w.read = func(ctx context.Context, to topology.PeerID, r Read) (codec.Answer, error) {
			if r.MinSeq != 77 {
				t.Errorf("the read asks for %d", r.MinSeq)
			}
			return saying(ctx, to, r)
		}
		if _, err, took := doRead(s, ReadOptions{Linearizable: true}); err != nil || tries < 2 || took > 100*time.Millisecond {
			t.Error(err, tries, took)
		}
		w.barrier = func(context.Context, topology.PeerID) (order.Seq, error) { return 0, ErrAway }
		if _, err, took := doRead(s, ReadOptions{Linearizable: true}); !errors.Is(err, context.DeadlineExceeded) || took != 10*time.Second || len(w.suspects) == 0 {
			t.Error(err, took)
		}
	})
}

// The replicas of a new shard are active in a moment: a read waits for them.
func TestAFreshShardIsNotRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newScript(topology.Initializing, topology.Initializing)
		w.read = saying
		if _, err, took := doRead(s, ReadOptions{}); err == nil || !strings.HasSuffix(err.Error(), "does not have enough active replicas") || took != begunTime {
			t.Error(err, took)
		}
		time.AfterFunc(50*time.Millisecond, func() {
			w.mu.Lock()
			next := *w.shard
			next.Replicas = map[topology.PeerID]topology.Replica{2: {State: topology.Active, InSync: true}, 3: w.shard.Replicas[3]}
			w.shard = &next
			w.mu.Unlock()
			w.elect(2)
		})
		if a, err, took := doRead(s, ReadOptions{}); err != nil || a.Count != 2 || took != 50*time.Millisecond {
			t.Error(a, err, took)
		}
	})
}

// move has the topology show the only replica of the shard on a peer.
func (w *script) move(p topology.PeerID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	next := *w.shard
	next.Primary, next.Replicas = p, map[topology.PeerID]topology.Replica{p: {State: topology.Active, InSync: true}}
	w.shard, w.index = &next, w.index+1
	close(w.moved)
	w.moved = make(chan struct{})
}

// A shard that moved away is read where it is now, as soon as this peer hears of it.
func TestAReadFollowsAShardThatMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newScript(topology.Active)
		w.read = func(ctx context.Context, to topology.PeerID, r Read) (codec.Answer, error) {
			if to == 2 {
				return codec.Answer{}, sextant.Errorf(sextant.Precondition, "it is not here")
			}
			return saying(ctx, to, r)
		}
		time.AfterFunc(patience/2+1, func() { w.move(7) })
		if a, err, took := doRead(s, ReadOptions{}); err != nil || a.Count != 7 || took != patience/2+1 {
			t.Error(a, err, took)
		}
		w.move(2)
		if _, err, took := doRead(s, ReadOptions{}); err == nil || took != patience {
			t.Error(err, took)
		}
		soon := time.Now().Add(patience / 2)
		w.read = func(ctx context.Context, to topology.PeerID, r Read) (codec.Answer, error) {
			if time.Now().Before(soon) {
				return codec.Answer{}, sextant.Errorf(sextant.Precondition, "the replica has not caught up since the start of its process")
			}
			return saying(ctx, to, r)
		}
		if a, err, took := doRead(s, ReadOptions{}); err != nil || a.Count != 2 || took > patience/2+pause {
			t.Error(a, err, took)
		}
	})
}
