package replica

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/codec"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/topology"
)

// ReadOptions say how a read is done.
type ReadOptions struct {
	Consistency  string // "" and "1": one answer; a number, majority, quorum, all
	FanOut       int    // so many more replicas are asked
	FanOutDelay  time.Duration
	Affinity     string // reads of equal text go to the same replicas
	Linearizable bool   // nothing that was acknowledged before the read is missing
}

type readKey struct{}

// WithReadOptions makes reads under a context follow options.
func WithReadOptions(ctx context.Context, o ReadOptions) context.Context {
	return context.WithValue(ctx, readKey{}, o)
}

func readOptions(ctx context.Context) ReadOptions {
	o, _ := ctx.Value(readKey{}).(ReadOptions)
	return o
}

// answer is what one replica said.
type answer struct {
	peer topology.PeerID
	codec.Answer
	err error
}

// Read answers a read by as many replicas as the options of ctx ask for.
func (s *Set) Read(ctx context.Context, r codec.Read) (codec.Answer, error) {
	o := readOptions(ctx)
	shard, _ := s.o.Shard()
	if shard == nil {
		return codec.Answer{}, sextant.Errorf(sextant.NotFound, "the shard does not exist any more")
	}
	read := Read{Read: r}
	if o.Linearizable {
		seq, _, err := s.primaryBarrier(ctx)
		if err != nil {
			return codec.Answer{}, err
		}
		read.MinSeq = seq
	}
	for begun := time.Now(); ; {
		moved := s.o.Moved()
		a, used, err := s.askWhoMay(ctx, read, o)
		if err == nil || used == nil || !passing(ctx, err) || time.Since(begun) >= patience {
			return a, err
		}
		// This node may not have heard yet where the replicas are now, or which of them may be read; they may be so new, or so
		// fresh from a restart, that they have yet to hear from a primary in office.
		select {
		case <-moved:
		case <-time.After(pause):
		case <-ctx.Done():
			return a, err
		}
	}
}

const (
	patience = time.Second // for how long a read that nobody answered is tried again
	pause    = 100 * time.Millisecond
)

// askWhoMay does a read by the present topology. It returns the shard as it was then, nil if another try would be in vain.
func (s *Set) askWhoMay(ctx context.Context, read Read, o ReadOptions) (codec.Answer, *topology.Shard, error) {
	shard, readable, err := s.begun(ctx)
	if err != nil {
		return codec.Answer{}, nil, err
	}
	n := len(shard.Replicas)
	ask, need, err := plan(o.Consistency, n, len(readable))
	if err != nil {
		return codec.Answer{}, nil, err
	}
	if len(readable) < ask || len(readable) == 0 {
		return codec.Answer{}, shard, sextant.Errorf(sextant.Internal, "The replica set for shard %s on peer %d does not have enough active replicas", shard.UUID, s.o.Self)
	}
	peers := s.sort(readable, o)
	var a codec.Answer
	if ask > 1 {
		a, err = s.several(ctx, shard, peers, read, ask, need, o)
	} else {
		a, err = s.one(ctx, shard, peers, read, o)
	}
	return a, shard, err
}

// begunTime is for how long a read of a new shard waits for its replicas to become active.
const begunTime = 2 * time.Second

// begun returns the replicas that may be read. A shard whose replicas are being made, or whose data are being replaced, is not
// refused: they are active in a moment.
func (s *Set) begun(ctx context.Context) (*topology.Shard, []topology.PeerID, error) {
	ctx, cancel := context.WithTimeout(ctx, begunTime)
	defer cancel()
	for {
		moved := s.o.Moved()
		shard, _ := s.o.Shard()
		if shard == nil {
			return nil, nil, sextant.Errorf(sextant.NotFound, "the shard does not exist any more")
		}
		making := shard.Restoring() || slices.ContainsFunc(shard.InSync(), func(p topology.PeerID) bool { return shard.Replicas[p].State == topology.Initializing })
		readable := shard.Readable()
		if len(readable) > 0 || !making {
			return shard, readable, nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return shard, nil, nil
		}
	}
}

// plan returns how many replicas are asked, and in how many answers an item must be.
func plan(consistency string, replicas, readable int) (ask, need int, err error) {
	switch consistency {
	case "":
		return 1, 1, nil
	case "majority":
		return replicas, replicas/2 + 1, nil
	case "quorum":
		return replicas/2 + 1, replicas/2 + 1, nil
	case "all":
		return replicas, replicas, nil
	}
	n, err := strconv.Atoi(consistency)
	if err != nil || n < 1 {
		return 0, 0, sextant.Errorf(sextant.BadRequest, "read consistency %q is no number, majority, quorum or all", consistency)
	}
	n = min(n, replicas)
	return n, n, nil
}

// sort puts the replica here first, those that are not heard last, the others into a random order.
func (s *Set) sort(readable []topology.PeerID, o ReadOptions) []topology.PeerID {
	peers := s.shuffle(readable, o.Affinity)
	local, _ := s.o.Local()
	rank := func(p topology.PeerID) int {
		switch {
		case p == s.o.Self && local != nil && local.Readable() == nil:
			if o.Affinity != "" {
				return 1
			}
			return 0
		case p == s.o.Self || !s.o.Alive(p):
			return 2
		}
		return 1
	}
	slices.SortStableFunc(peers, func(a, b topology.PeerID) int { return rank(a) - rank(b) })
	return peers
}

// ask asks one replica.
func (s *Set) ask(ctx context.Context, shard *topology.Shard, p topology.PeerID, r Read) answer {
	if p != s.o.Self {
		a, err := s.o.Peers.Read(ctx, p, shard.UUID, r)
		return answer{p, a, err}
	}
	local, reader := s.o.Local()
	if local == nil {
		return answer{peer: p, err: sextant.Errorf(sextant.Precondition, "the replica is not open yet")}
	}
	a, err := ReadLocal(ctx, local, reader, r)
	return answer{p, a, err}
}

// ReadLocal answers a read from the replica here, if it may be read.
func ReadLocal(ctx context.Context, local *Local, reader Reader, r Read) (a codec.Answer, err error) {
	if err := local.Readable(); err != nil {
		return a, err
	}
	if r.MinSeq > 0 {
		if err := awaitBriefly(ctx, local, r.MinSeq); err != nil {
			return a, err
		}
	}
	switch {
	case r.Query != nil:
		a.Points, err = reader.Query(ctx, *r.Query)
	case r.Scroll != nil:
		a.Records, a.Next, err = reader.Scroll(ctx, *r.Scroll)
	case r.Retrieve != nil:
		a.Records, err = reader.Retrieve(ctx, r.Retrieve.IDs, r.Retrieve.Payload, r.Retrieve.Vectors)
	case r.Count != nil:
		a.Count, err = reader.Count(ctx, r.Count.Filter, r.Count.Exact)
	}
	return a, err
}

// lagTime is for how long a read waits for a replica that lacks what it has to see; it may have left the in-sync set.
const lagTime = time.Second

func awaitBriefly(ctx context.Context, local *Local, seq order.Seq) error {
	inner, cancel := context.WithTimeout(ctx, lagTime)
	defer cancel()
	err := local.Await(inner, seq)
	if err != nil && inner.Err() != nil && ctx.Err() == nil {
		return sextant.Errorf(sextant.Precondition, "the replica has not applied entry %d", seq)
	}
	return err
}

// passing reports whether another replica may do better.
func passing(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	switch sextant.KindOf(err) {
	case sextant.Internal, sextant.Timeout, sextant.Precondition, sextant.Unavailable, sextant.Quota, sextant.Corrupt:
		return true
	}
	return false
}

// hurry is after how long without an answer a further replica is asked, whatever the settings say: one may hang.
const hurry = time.Second

// one asks replicas one after the other until one answers; with a fan-out, or when an answer is slow, several at a time.
func (s *Set) one(ctx context.Context, shard *topology.Shard, peers []topology.PeerID, r Read, o ReadOptions) (codec.Answer, error) {
	if o.FanOut == 0 && peers[0] == s.o.Self {
		a := s.ask(ctx, shard, peers[0], r)
		if a.err == nil || !passing(ctx, a.err) || len(peers) == 1 {
			return a.Answer, a.err
		}
		peers = append(peers[1:len(peers):len(peers)], peers[0])
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan answer, len(peers))
	next, open := 0, 0
	launch := func() {
		p := peers[next]
		next++
		open++
		go func() { answers <- s.ask(ctx, shard, p, r) }()
	}
	launch()
	wait, more := hurry, 1 // after that time so many more are asked
	if o.FanOut > 0 {
		wait, more = o.FanOutDelay, o.FanOut
	}
	var failures []string
	for {
		slow := time.NewTimer(wait)
		select {
		case a := <-answers:
			slow.Stop()
			open--
			if a.err == nil || !passing(ctx, a.err) {
				return a.Answer, a.err
			}
			failures = append(failures, "peer "+strconv.FormatUint(uint64(a.peer), 10)+": "+a.err.Error())
			if next < len(peers) {
				launch()
			} else if open == 0 {
				return codec.Answer{}, allFailed(failures, len(peers))
			}
		case <-slow.C:
			for range min(more, len(peers)-next) {
				launch()
			}
			wait, more = hurry, 1
		case <-ctx.Done():
			slow.Stop()
			return codec.Answer{}, ctx.Err()
		}
	}
}

// several asks so many replicas, others for those that fail, and settles what they said.
func (s *Set) several(ctx context.Context, shard *topology.Shard, peers []topology.PeerID, r Read, ask, need int, o ReadOptions) (codec.Answer, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan answer, len(peers))
	next := 0
	launch := func() {
		p := peers[next]
		next++
		go func() { answers <- s.ask(ctx, shard, p, r) }()
	}
	for range min(ask+o.FanOut, len(peers)) {
		launch()
	}
	var good []answer
	var failures []string
	slow := time.NewTicker(hurry)
	defer slow.Stop()
	for len(good) < ask {
		select {
		case <-slow.C:
			if next < len(peers) {
				launch()
			}
		case a := <-answers:
			if a.err == nil {
				good = append(good, a)
				continue
			}
			if !passing(ctx, a.err) {
				return codec.Answer{}, a.err
			}
			failures = append(failures, "peer "+strconv.FormatUint(uint64(a.peer), 10)+": "+a.err.Error())
			if next < len(peers) {
				launch()
			} else if len(good)+len(peers)-len(failures) < ask {
				return codec.Answer{}, allFailed(failures, len(peers))
			}
		case <-ctx.Done():
			return codec.Answer{}, ctx.Err()
		}
	}
	slices.SortFunc(good, func(a, b answer) int { return cmp.Compare(a.peer, b.peer) })
	limit := 0
	switch {
	case r.Query != nil:
		limit = r.Query.Limit
	case r.Scroll != nil:
		limit = r.Scroll.Limit
	}
	return settle(good, need, limit, r.Count != nil, o.Consistency == "majority"), nil
}

func allFailed(failures []string, asked int) error {
	return sextant.Errorf(sextant.Internal, "%d of %d read operations failed:\n  %s", len(failures), asked, strings.Join(failures, "\n  "))
}
