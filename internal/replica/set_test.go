package replica

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/codec"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/topology"
)

// script is a world of other peers that answer as a test says.
type script struct {
	mu       sync.Mutex
	shard    *topology.Shard
	index    uint64
	moved    chan struct{}
	dead     map[topology.PeerID]bool
	suspects []topology.PeerID
	requests []Request
	asked    []topology.PeerID

	update  func(ctx context.Context, to topology.PeerID, r Request) (sextant.Receipt, error)
	read    func(ctx context.Context, to topology.PeerID, r Read) (codec.Answer, error)
	barrier func(ctx context.Context, to topology.PeerID) (order.Seq, error)
}

func newScript(states ...topology.ReplicaState) (*script, *Set) {
	w := &script{moved: make(chan struct{}), index: 1, dead: map[topology.PeerID]bool{}}
	w.shard = &topology.Shard{UUID: "s", Term: 1, Version: 1, Primary: 2, Replicas: map[topology.PeerID]topology.Replica{}}
	for i, s := range states { // peer 1 coordinates and has no replica
		w.shard.Replicas[topology.PeerID(i+2)] = topology.Replica{State: s, InSync: s == topology.Active || s == topology.Initializing}
	}
	return w, NewSet(SetOptions{Self: 1, Life: 5, Numbers: &atomic.Uint64{}, Seed: 1, Peers: w,
		Shard: func() (*topology.Shard, uint64) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.shard, w.index
		},
		Moved: func() <-chan struct{} {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.moved
		},
		Local: func() (*Local, Reader) { return nil, nil },
		Alive: func(p topology.PeerID) bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return !w.dead[p]
		},
		Suspect: func(_ string, p topology.PeerID) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.suspects = append(w.suspects, p)
		},
		Factor: func() int { return 1 }})
}

func (w *script) Update(ctx context.Context, to topology.PeerID, _ string, r Request) (sextant.Receipt, error) {
	w.mu.Lock()
	w.asked, w.requests = append(w.asked, to), append(w.requests, r)
	w.mu.Unlock()
	return w.update(ctx, to, r)
}

func (w *script) Read(ctx context.Context, to topology.PeerID, _ string, r Read) (codec.Answer, error) {
	w.mu.Lock()
	w.asked = append(w.asked, to)
	w.mu.Unlock()
	return w.read(ctx, to, r)
}

func (w *script) Barrier(ctx context.Context, to topology.PeerID, _ string) (order.Seq, error) {
	return w.barrier(ctx, to)
}

// kill makes a peer silent.
func (w *script) kill(p topology.PeerID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead[p] = true
}

// elect makes another peer primary.
func (w *script) elect(p topology.PeerID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	next := *w.shard
	next.Primary, next.Term, next.Version = p, next.Term+1, next.Version+1
	w.shard, w.index = &next, w.index+1
	close(w.moved)
	w.moved = make(chan struct{})
}

var anUpdate = sextant.DeletePoints{Selector: sextant.Selector{IDs: []sextant.PointID{sextant.NumID(1)}}}

// doUpdate runs an update for at most 10 s in a bubble.
func doUpdate(s *Set) (sextant.Receipt, error, time.Duration) { //nolint:staticcheck // how long it took comes last
	begin := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, err := s.Update(ctx, anUpdate, sextant.Applied)
	return r, err, time.Since(begin)
}

// A peer that is not the primary has done nothing: the next try is a first try.
func TestAnUpdateFollowsThePrimary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newScript(topology.Active, topology.Active)
		w.update = func(_ context.Context, to topology.PeerID, _ Request) (sextant.Receipt, error) {
			if to == 2 {
				time.AfterFunc(10*time.Millisecond, func() { w.elect(3) })
				return sextant.Receipt{}, &NotPrimary{Term: 2, Primary: 3}
			}
			return sextant.Receipt{Seq: 8, Status: sextant.Completed}, nil
		}
		r, err, took := doUpdate(s)
		if err != nil || r.Seq != 8 || took > 50*time.Millisecond {
			t.Fatal(r, err, took)
		}
		last := w.requests[len(w.requests)-1]
		if last.Retry || last.ID != w.requests[0].ID || last.Index != 2 || w.requests[0].Index != 1 || len(w.suspects) > 0 {
			t.Errorf("%+v, suspects %v", w.requests, w.suspects)
		}
	})
}

// An answer that was lost leaves open what happened: the same request says so, and keeps its number.
func TestALostAnswerIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newScript(topology.Active, topology.Active)
		w.update = func(_ context.Context, _ topology.PeerID, r Request) (sextant.Receipt, error) {
			switch len(w.requests) {
			case 1:
				return sextant.Receipt{}, errors.New("the connection was lost")
			case 2:
				return sextant.Receipt{}, &NotPrimary{}
			}
			return sextant.Receipt{Seq: 1}, nil
		}
		if _, err, _ := doUpdate(s); err != nil {
			t.Fatal(err)
		}
		if w.requests[0].Retry || !w.requests[1].Retry || !w.requests[2].Retry || w.requests[2].ID != w.requests[0].ID {
			t.Errorf("%+v", w.requests)
		}
		if _, err, _ := doUpdate(s); err != nil || w.requests[3].ID == w.requests[0].ID || w.requests[3].Retry {
			t.Errorf("a second update: %+v, %v", w.requests[3], err)
		}
	})
}

// A refused connection is no harm, but somebody should look at the primary.
func TestAnUnreachablePrimaryIsSuspected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newScript(topology.Active, topology.Active)
		w.kill(2)
		time.AfterFunc(400*time.Millisecond, func() { w.elect(3) })
		w.update = func(_ context.Context, to topology.PeerID, _ Request) (sextant.Receipt, error) {
			if to == 2 {
				return sextant.Receipt{}, fmt.Errorf("%w: refused", ErrAway)
			}
			return sextant.Receipt{Seq: 1}, nil
		}
		_, err, took := doUpdate(s)
		if err != nil || took > 450*time.Millisecond || len(w.suspects) == 0 || w.requests[len(w.requests)-1].Retry {
			t.Errorf("%v after %s, suspects %v", err, took, w.suspects)
		}
	})
}

// A primary that is away is waited for as long as consensus may need to replace it.
func TestNoQuorumIsTold(t *testing.T) {
	for fails, want := range map[error]string{
		ErrAway:             "no quorum to remove peer 2",
		errors.New("broke"): "the outcome of the update is unknown: no quorum to remove peer 2",
	} {
		synctest.Test(t, func(t *testing.T) {
			w, s := newScript(topology.Active, topology.Active)
			w.kill(2)
			w.update = func(context.Context, topology.PeerID, Request) (sextant.Receipt, error) {
				return sextant.Receipt{}, fails
			}
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := s.Update(ctx, anUpdate, sextant.Applied)
			if took := time.Since(began); err == nil || err.Error() != want || sextant.KindOf(err) != sextant.Internal || took < quorumTime || took > quorumTime+time.Second {
				t.Errorf("%v after %v", err, took)
			}
		})
	}
}

// A primary that hangs while it has the update is suspected, and given up as soon as there is another.
func TestAHangingPrimaryIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newScript(topology.Active, topology.Active)
		time.AfterFunc(1800*time.Millisecond, func() { w.kill(2) })
		time.AfterFunc(2200*time.Millisecond, func() { w.elect(3) })
		w.update = func(ctx context.Context, to topology.PeerID, _ Request) (sextant.Receipt, error) {
			if to == 2 {
				<-ctx.Done()
				return sextant.Receipt{}, ctx.Err()
			}
			return sextant.Receipt{Seq: 1}, nil
		}
		_, err, took := doUpdate(s)
		if err != nil || took < 2200*time.Millisecond || took > 2300*time.Millisecond {
			t.Errorf("%v after %s", err, took)
		}
		if len(w.requests) != 2 || !w.requests[1].Retry || len(w.suspects) == 0 {
			t.Errorf("%+v, suspects %v", w.requests, w.suspects)
		}
	})
}

func TestWhatUsersDidWrongIsNotTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, end := range []error{sextant.Errorf(sextant.WrongInput, "no such vector"), noQuorum(3), sextant.Errorf(sextant.Quota, "full")} {
			w, s := newScript(topology.Active)
			w.update = func(context.Context, topology.PeerID, Request) (sextant.Receipt, error) {
				return sextant.Receipt{}, end
			}
			if _, err, took := doUpdate(s); !errors.Is(err, end) || took > 0 || len(w.requests) != 1 {
				t.Errorf("%v became %v after %s and %d tries", end, err, took, len(w.requests))
			}
		}
	})
}

// Where nobody remembers whether it was done, the user is told so at once.
func TestAForgottenUpdateIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s := newScript(topology.Active)
		w.update = func(_ context.Context, _ topology.PeerID, r Request) (sextant.Receipt, error) {
			if r.Retry {
				return sextant.Receipt{}, ParseError(AppendError(nil, errForgotten))
			}
			return sextant.Receipt{}, errors.New("lost")
		}
		_, err, took := doUpdate(s)
		if !errors.Is(err, ErrUnknown) || sextant.KindOf(err) != sextant.Internal || !strings.HasPrefix(err.Error(), "outcome unknown") || took > time.Second {
			t.Errorf("%v after %s", err, took)
		}
	})
}

// When the time is up the error says whether the update may have been done.
func TestTheDeadlineSaysWhatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			end     error
			unknown bool
		}{{&NotPrimary{}, false}, {ErrAway, false}, {errors.New("lost"), true}} {
			w, s := newScript(topology.Active)
			w.update = func(context.Context, topology.PeerID, Request) (sextant.Receipt, error) {
				return sextant.Receipt{}, c.end
			}
			_, err, took := doUpdate(s)
			if took != 10*time.Second || sextant.KindOf(err) != sextant.Timeout || errors.Is(err, ErrUnknown) != c.unknown || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v became %v after %s", c.end, err, took)
			}
		}
		w, s := newScript(topology.Dead)
		w.shard.Primary = 0
		if _, err, _ := doUpdate(s); err == nil || !strings.Contains(err.Error(), "has no active replica") {
			t.Error(err)
		}
		w.shard = nil
		if _, err, _ := doUpdate(s); sextant.KindOf(err) != sextant.NotFound {
			t.Error(err)
		}
	})
}

// The other side ends a little earlier, so that what it says at the end is heard.
func TestAnswerInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct{ all, inner time.Duration }{{time.Second, 900 * time.Millisecond}, {time.Minute, time.Minute - 100*time.Millisecond}, {10 * time.Millisecond, 9 * time.Millisecond}} {
			ctx, cancel := context.WithTimeout(context.Background(), c.all)
			inner, end := AnswerInTime(ctx)
			begin := time.Now()
			<-inner.Done()
			if took := time.Since(begin); took != c.inner {
				t.Errorf("%s of %s", took, c.all)
			}
			end()
			cancel()
		}
	})
}
