package replica

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/codec"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/wal"
)

// Peers are replicas behind other peers. Errors: ErrAway when the call was certainly not delivered, *NotPrimary and user errors
// of the other side; anything else leaves open whether it was done.
type Peers interface {
	Update(ctx context.Context, to topology.PeerID, shard string, r Request) (sextant.Receipt, error)
	Read(ctx context.Context, to topology.PeerID, shard string, r Read) (codec.Answer, error)
	Barrier(ctx context.Context, to topology.PeerID, shard string) (order.Seq, error)
}

// errForgotten says that a retried update may have been done so long ago that nobody remembers.
var errForgotten = fmt.Errorf("%w: it was sent too long ago", ErrUnknown)

// ErrAway says that a peer was certainly not reached.
var ErrAway = errors.New("the peer cannot be reached")

// Reader answers reads from the data of the replica here.
type Reader interface {
	Query(ctx context.Context, q sextant.Query) ([]sextant.ScoredPoint, error)
	Scroll(ctx context.Context, s sextant.Scroll) ([]sextant.Record, *sextant.PointID, error)
	Retrieve(ctx context.Context, ids []sextant.PointID, p sextant.PayloadSelector, v sextant.VectorSelector) ([]sextant.Record, error)
	Count(ctx context.Context, f *sextant.Filter, exact bool) (uint64, error)
}

// Read is a read of one replica. MinSeq is what it must have applied.
type Read struct {
	codec.Read
	MinSeq order.Seq
}

// SetOptions are what a Set is made of.
type SetOptions struct {
	Self    topology.PeerID
	Life    uint64         // of this process
	Numbers *atomic.Uint64 // of requests, shared by all sets of a process
	// Shard returns the shard as of now, nil if it is gone, and the index of that topology.
	Shard func() (shard *topology.Shard, index uint64)
	// Moved returns a channel that is closed at the next change of the topology.
	Moved func() <-chan struct{}
	// Local returns the replica here; nil if there is none.
	Local func() (*Local, Reader)
	Peers Peers
	Alive func(topology.PeerID) bool
	// Suspect tells that a primary did not answer.
	Suspect func(shard string, primary topology.PeerID)
	Factor  func() int // write consistency
	Seed    uint64
}

// Set is one shard as coordinators see it: updates go to its primary, reads to whoever may answer.
type Set struct {
	o SetOptions

	mu     sync.Mutex
	chance *rand.Rand
}

// NewSet makes a set. Nothing runs in it.
func NewSet(o SetOptions) *Set {
	return &Set{o: o, chance: rand.New(rand.NewPCG(o.Seed, uint64(o.Self)))}
}

const (
	retryPause = 25 * time.Millisecond // when the topology may move any moment
	// attemptTime bounds one try at a primary: one that hangs is found out meanwhile, and another takes over.
	attemptTime = 3500 * time.Millisecond
	// quorumTime is how long consensus may take to name another primary in the place of one that cannot be reached.
	quorumTime = 30 * time.Second
)

// Update has an update done by the primary, whoever that is until ctx ends. It is done once, however often it had to be sent.
func (s *Set) Update(ctx context.Context, u sextant.Update, wait sextant.Wait) (sextant.Receipt, error) {
	r := Request{ID: wal.RequestID{Peer: uint64(s.o.Self), Life: s.o.Life, Number: s.o.Numbers.Add(1)}, Update: u, Wait: wait}
	sent := false // perhaps logged somewhere
	var last error
	var away struct { // the primary that cannot be reached
		term  order.Term
		since time.Time
	}
	for {
		moved := s.o.Moved()
		shard, index := s.o.Shard()
		if shard == nil {
			return sextant.Receipt{}, sextant.Errorf(sextant.NotFound, "the shard does not exist any more")
		}
		if shard.Primary == 0 {
			return sextant.Receipt{}, sextant.Errorf(sextant.Internal, "The replica set for shard %s on peer %d has no active replica", shard.UUID, s.o.Self)
		}
		r.Index, r.Factor, r.Retry = index, s.o.Factor(), sent
		receipt, err := s.try(ctx, shard, r)
		var no *NotPrimary
		switch {
		case err == nil:
			return receipt, nil
		case errors.As(err, &no):
		case errors.Is(err, errForgotten):
			return sextant.Receipt{}, &sextant.Error{Text: "outcome unknown: the update may have been done, so long ago that nobody remembers", Err: err}
		case errors.Is(err, ErrAway):
			s.o.Suspect(shard.UUID, shard.Primary)
		case errors.Is(err, ErrUnknown), sextant.KindOf(err) == sextant.Internal && !isUser(err):
			sent = true
			if s.silent(shard, err) {
				s.o.Suspect(shard.UUID, shard.Primary)
			}
		default:
			return receipt, err
		}
		last = err
		switch {
		case shard.Primary == s.o.Self || s.o.Alive(shard.Primary):
			away.term = 0
		case away.term != shard.Term:
			away.term, away.since = shard.Term, time.Now()
		case time.Since(away.since) < quorumTime:
		case sent:
			return sextant.Receipt{}, fmt.Errorf("%w: %w", ErrUnknown, noQuorum(shard.Primary))
		default:
			return sextant.Receipt{}, noQuorum(shard.Primary)
		}
		select {
		case <-moved:
		case <-time.After(retryPause):
		case <-ctx.Done():
			return sextant.Receipt{}, s.late(ctx, sent, last)
		}
		if ctx.Err() != nil {
			return sextant.Receipt{}, s.late(ctx, sent, last)
		}
	}
}

// isUser reports whether an error was worded for a user by somebody who knows the outcome.
func isUser(err error) bool {
	var known *sextant.Error
	return errors.As(err, &known) && !errors.Is(err, ErrUnknown)
}

// silent reports whether a failed try may be the primary's fault.
func (s *Set) silent(shard *topology.Shard, err error) bool {
	return shard.Primary != s.o.Self && (errors.Is(err, context.DeadlineExceeded) || !s.o.Alive(shard.Primary))
}

// try sends a request to the primary once.
func (s *Set) try(ctx context.Context, shard *topology.Shard, r Request) (sextant.Receipt, error) {
	if shard.Primary == s.o.Self {
		local, _ := s.o.Local()
		if local == nil {
			return sextant.Receipt{}, &NotPrimary{Term: shard.Term, Primary: shard.Primary, Why: "the replica is not open yet"}
		}
		return local.Update(ctx, r)
	}
	whole := ctx
	if !s.o.Alive(shard.Primary) { // ask quickly: it may be dead
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, attemptTime)
		defer cancel()
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var guard sync.WaitGroup
	defer guard.Wait()
	over := make(chan struct{})
	defer close(over)
	guard.Go(func() { s.guard(stop, over, shard) })
	receipt, err := s.o.Peers.Update(ctx, shard.Primary, shard.UUID, r)
	if err != nil && ctx.Err() != nil && whole.Err() == nil && !errors.As(err, new(*NotPrimary)) && !errors.Is(err, ErrAway) {
		err = fmt.Errorf("%w: %w", ErrUnknown, ctx.Err()) // given up here: what the other end says of that is of no interest
	}
	return receipt, err
}

// guard gives a call up when the topology names another primary or term, or the primary has been silent for long.
func (s *Set) guard(stop context.CancelFunc, over <-chan struct{}, shard *topology.Shard) {
	for {
		moved := s.o.Moved()
		if now, _ := s.o.Shard(); now == nil || now.Primary != shard.Primary || now.Term != shard.Term {
			stop()
			return
		}
		if !s.o.Alive(shard.Primary) {
			s.o.Suspect(shard.UUID, shard.Primary)
		}
		select {
		case <-over:
			return
		case <-moved:
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// AnswerInTime returns a context that ends a little before ctx does: what happens then is answered to a caller who has the same
// deadline.
func AnswerInTime(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-min(100*time.Millisecond, time.Until(deadline)/10)))
}

// late is the error of an update whose time has passed.
func (s *Set) late(ctx context.Context, sent bool, last error) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ctx.Err()
	}
	if isUser(last) {
		return last
	}
	e := &sextant.Error{Kind: sextant.Timeout, Err: errors.Join(ctx.Err(), last)}
	if e.Text = "Timeout error: Update operation timed out, it was not done"; sent {
		e.Text = "Timeout error: Update operation timed out, its outcome is unknown"
		e.Err = errors.Join(ErrUnknown, e.Err)
	}
	if !errors.Is(last, context.DeadlineExceeded) { // which would say the same again
		e.Text += ": " + last.Error()
	}
	return e
}

// Barrier returns a seq of the shard that holds everything acknowledged before the call.
func (s *Set) Barrier(ctx context.Context) (order.Seq, error) {
	seq, _, err := s.primaryBarrier(ctx)
	return seq, err
}

// primaryBarrier asks the primary for a seq that holds everything acknowledged before.
func (s *Set) primaryBarrier(ctx context.Context) (order.Seq, topology.PeerID, error) {
	for {
		moved := s.o.Moved()
		shard, _ := s.o.Shard()
		if shard == nil {
			return 0, 0, sextant.Errorf(sextant.NotFound, "the shard does not exist any more")
		}
		var seq order.Seq
		var err error
		if shard.Primary == s.o.Self {
			local, _ := s.o.Local()
			if err = error(&NotPrimary{}); local != nil {
				seq, err = local.Barrier(ctx)
			}
		} else {
			try, cancel := context.WithTimeout(ctx, attemptTime)
			seq, err = s.o.Peers.Barrier(try, shard.Primary, shard.UUID)
			cancel()
			if err != nil && ctx.Err() == nil && !errors.As(err, new(*NotPrimary)) {
				s.o.Suspect(shard.UUID, shard.Primary)
			}
		}
		if err == nil {
			return seq, shard.Primary, nil
		}
		select {
		case <-moved:
		case <-time.After(retryPause):
		case <-ctx.Done():
			return 0, 0, errors.Join(ctx.Err(), err)
		}
	}
}

// shuffle puts peers into a random order; a text makes it a function of the text.
func (s *Set) shuffle(peers []topology.PeerID, affinity string) []topology.PeerID {
	list := slices.Clone(peers)
	chance := s.chance
	if affinity != "" {
		var h uint64 = 14695981039346656037
		for _, b := range []byte(affinity) {
			h = (h ^ uint64(b)) * 1099511628211
		}
		chance = rand.New(rand.NewPCG(h, 0))
	} else {
		s.mu.Lock()
		defer s.mu.Unlock()
	}
	chance.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}
