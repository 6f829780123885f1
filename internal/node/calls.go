package node

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/codec"
	"github.com/sextantdb/sextant/internal/network"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/replica"
	"github.com/sextantdb/sextant/internal/topology"
)

// What peers ask each other. Bodies begin with the 36 bytes of a shard's uuid where one is meant.
const (
	callJoin     = "join"
	callAnnounce = "announce"
	callHere     = "here"
	callHears    = "hears"
	callAwait    = "await"
	callUpdate   = "update"
	callRead     = "read"
	callBarrier  = "barrier"
	callInfo     = "info"
	callLast     = "last"
	callDrain    = "drain"
	callSight    = "sight"
	callCommit   = "commit"

	callMark   = "mark"
	callRanges = "ranges"

	callStand    = "stand" // of transfers, as are the following
	callBegin    = "begin"
	callStep     = "step"
	callComplete = "complete"
	callFeed     = "feed"
	callAdmit    = "admit"
)

const uuidText = 36

// Call implements network.Handler.
func (c *cluster) Call(ctx context.Context, from topology.PeerID, method string, body []byte) ([]byte, error) {
	switch method {
	case callJoin, callAnnounce:
		return c.serveEntry(ctx, method, body)
	case callHere:
		return c.serveHere(ctx, body)
	case callHears:
		about, err := strconv.ParseUint(string(body), 10, 64)
		return strconv.AppendBool(nil, c.hub.Alive(topology.PeerID(about))), err
	case callAwait:
		index, err := strconv.ParseUint(string(body), 10, 64)
		if err != nil {
			return nil, err
		}
		return nil, c.matchedBy(ctx, index)
	case callDrain:
		return c.serveDrain(ctx, body)
	case callCommit:
		return strconv.AppendUint(nil, c.member.Status().Commit, 10), nil
	case callSight:
		return json.Marshal(c.sight())
	}
	if len(body) < uuidText {
		return nil, sextant.Errorf(sextant.Internal, "the call %q cannot be read", method)
	}
	uuid, body := string(body[:uuidText]), body[uuidText:]
	if method == callInfo {
		return c.serveInfo(uuid)
	}
	var out []byte
	var err error
	switch method {
	case callRanges:
		out, err = c.serveRanges(uuid, body)
	case callLast:
		out, err = c.serveLast(uuid)
	case callStand, callBegin, callStep, callComplete, callFeed, callAdmit:
		out, err = c.serveTransfer(ctx, from, method, uuid, body)
	default:
		out, err = c.serveShard(ctx, method, uuid, body)
	}
	if err != nil {
		return replica.AppendError([]byte{1}, err), nil
	}
	return append([]byte{0}, out...), nil
}

// matchedBy waits until the log is applied here up to an index, and reality matches.
func (c *cluster) matchedBy(ctx context.Context, index uint64) error {
	if err := c.member.Await(ctx, index); err != nil {
		return err
	}
	return c.matched(ctx, c.n.machine.State().Index)
}

// serveEntry makes a process a member, or takes its new address, and tells it who there is.
func (c *cluster) serveEntry(ctx context.Context, method string, body []byte) ([]byte, error) {
	var e entry
	err := json.Unmarshal(body, &e)
	if host := network.From(ctx); e.URI == "" && e.Port != 0 && host != "" {
		e.URI = "http://" + net.JoinHostPort(host, strconv.Itoa(int(e.Port)))
	}
	if err != nil || e.ID == 0 || e.URI == "" {
		return nil, sextant.Errorf(sextant.BadRequest, "a peer that comes must say its id and uri")
	}
	state := c.n.machine.State()
	if e.ID == c.n.peer {
		return nil, sextant.Errorf(sextant.BadRequest, "the peer id %d is that of the asked peer: two processes must not have the same", e.ID)
	}
	if err := c.alone(ctx, e); err != nil {
		return nil, err
	}
	if method == callAnnounce {
		if e.Cluster != state.Cluster {
			return nil, sextant.Errorf(sextant.BadRequest, "peer %d is of cluster %s, this is cluster %s", e.ID, e.Cluster, state.Cluster)
		}
		c.hear(map[topology.PeerID]topology.Peer{e.ID: {URI: topology.NormalURI(e.URI), Life: e.Life}})
		c.poke()
		if err := c.Propose(ctx, topology.Command{UpdatePeer: &topology.UpdatePeer{ID: e.ID, URI: e.URI, Life: e.Life}}); err != nil {
			return nil, err
		}
	} else {
		if err := c.displace(ctx, state, e); err != nil {
			return nil, err
		}
		if err := c.member.AddPeer(ctx, uint64(e.ID), topology.Command{AddPeer: &topology.AddPeer{ID: e.ID, URI: e.URI, Life: e.Life}}.Encode()); err != nil {
			return nil, err
		}
	}
	state = c.n.machine.State()
	out := entry{ID: c.n.peer, Cluster: state.Cluster, Peers: map[topology.PeerID]string{}, Index: state.Index}
	for id, p := range state.Peers {
		out.Peers[id] = p.URI
	}
	return json.Marshal(out)
}

// alone refuses a process that comes from another address while its peer answers where it was.
func (c *cluster) alone(ctx context.Context, e entry) error {
	if uri := c.addresses()[e.ID]; uri != "" && uri != topology.NormalURI(e.URI) && c.answers(ctx, e.ID) {
		return sextant.Errorf(sextant.BadRequest, "peer %d answers at %s: two processes must not have the same id; does one of them run on a copy of the other's storage?", e.ID, uri)
	}
	return nil
}

// slowAnswer is how long a peer that there is a connection to may take to answer: it may only be slow.
const slowAnswer = 6 * time.Second

// answers reports whether a peer answers right now where it was last. What is heard from it does not count: that may be the
// process which comes from elsewhere. The connection to one that has ended is lost at once.
func (c *cluster) answers(ctx context.Context, p topology.PeerID) bool {
	ctx, cancel := context.WithTimeout(ctx, slowAnswer)
	defer cancel()
	for {
		try, end := context.WithTimeout(ctx, time.Second)
		_, err := c.net.Call(try, p, callCommit, nil)
		end()
		if err == nil {
			return true
		}
		if ctx.Err() != nil || !c.hub.Reaches(p) {
			c.n.log.Warn("a peer comes from another address; it does not answer where it was", "peer", p, "err", err)
			return false
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// serveHere takes note of where a peer says that it is, and answers where the others are.
func (c *cluster) serveHere(ctx context.Context, body []byte) ([]byte, error) {
	var e entry
	if err := json.Unmarshal(body, &e); err != nil || e.ID == 0 || e.URI == "" {
		return nil, sextant.Errorf(sextant.BadRequest, "a peer that tells its address must say its id and uri")
	}
	if state := c.n.machine.State(); e.Cluster != state.Cluster {
		return nil, sextant.Errorf(sextant.BadRequest, "peer %d is of cluster %s, this is cluster %s", e.ID, e.Cluster, state.Cluster)
	}
	if err := c.alone(ctx, e); err != nil {
		return nil, err
	}
	c.hear(map[topology.PeerID]topology.Peer{e.ID: {URI: topology.NormalURI(e.URI), Life: e.Life}})
	return json.Marshal(c.places())
}

// hear notes addresses that peers told of themselves. What former lives of them said, and comes late, counts no more.
func (c *cluster) hear(places map[topology.PeerID]topology.Peer) {
	agreed := c.agreed()
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, p := range places {
		if _, known := agreed[id]; known && id != c.n.peer && p.Life >= c.heard[id].Life {
			c.heard[id] = p
		}
	}
}

// sayHere tells somebody where this process is, and learns where the others are.
func (c *cluster) sayHere(ctx context.Context, call func(ctx context.Context, method string, body []byte) ([]byte, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	here, err := json.Marshal(entry{ID: c.n.peer, URI: topology.NormalURI(c.o.URI), Cluster: c.n.machine.State().Cluster, Life: c.life})
	if err != nil {
		return err
	}
	b, err := call(ctx, callHere, here)
	var places map[topology.PeerID]topology.Peer
	if err == nil {
		err = json.Unmarshal(b, &places)
	}
	if err == nil {
		c.hear(places)
		c.poke()
	}
	return err
}

// tell gives a peer that can be reached the address of this one. It may know an old one, since it has not heard what was agreed
// on; and it may never hear that, if what it waits for needs its answers.
func (c *cluster) tell(to topology.PeerID) {
	if c.o.URI == "" || c.busyWith(fmt.Sprint("tell ", to)) {
		return
	}
	c.run.Go(func() {
		defer c.done(fmt.Sprint("tell ", to))
		for range 5 {
			err := c.sayHere(c.n.life, func(ctx context.Context, method string, body []byte) ([]byte, error) {
				return c.net.Call(ctx, to, method, body)
			})
			if err == nil {
				return
			}
			select {
			case <-time.After(time.Second):
			case <-c.n.life.Done():
				return
			}
		}
	})
}

// displace removes another peer at the address of one that comes, if it holds nothing.
func (c *cluster) displace(ctx context.Context, state *topology.State, e entry) error {
	for id, p := range state.Peers {
		if id != e.ID && p.URI == topology.NormalURI(e.URI) && !state.Holds(id) && !c.hub.Alive(id) {
			return c.member.RemovePeer(ctx, uint64(id), topology.Command{RemovePeer: &topology.RemovePeer{ID: id}}.Encode())
		}
	}
	return nil
}

// find returns the replica of a shard here and its data.
func (c *cluster) find(uuid string) (*replica.Local, *slot, error) {
	if local, s := c.hub.Local(uuid), c.slot(uuid); local != nil && s != nil {
		return local, s, nil
	}
	return nil, nil, &replica.NotPrimary{Why: fmt.Sprintf("peer %d has no replica of shard %s yet", c.n.peer, uuid)}
}

func (c *cluster) serveShard(ctx context.Context, method, uuid string, body []byte) ([]byte, error) {
	local, s, err := c.find(uuid)
	if err != nil {
		return nil, err
	}
	switch method {
	case callUpdate:
		r, err := replica.ParseRequest(body)
		if err != nil {
			return nil, err
		}
		ctx, cancel := replica.AnswerInTime(ctx)
		defer cancel()
		receipt, err := local.Update(ctx, r)
		return replica.AppendReceipt(nil, receipt), err
	case callRead:
		min, n := binary.Uvarint(body)
		if n <= 0 {
			return nil, sextant.Errorf(sextant.Corrupt, "a read cannot be read")
		}
		r, err := codec.ReadRead(body[n:])
		if err != nil {
			return nil, err
		}
		a, err := replica.ReadLocal(ctx, local, s.current(), replica.Read{Read: r, MinSeq: order.Seq(min)})
		if err != nil {
			return nil, err
		}
		return codec.AppendAnswer(nil, a), nil
	case callMark:
		seq, err := local.Mark(ctx)
		return binary.AppendUvarint(nil, uint64(seq)), err
	case callBarrier:
		seq, err := local.Barrier(ctx)
		return binary.AppendUvarint(nil, uint64(seq)), err
	}
	return nil, sextant.Errorf(sextant.NotImplemented, "this peer does not know the call %q", method)
}

func (c *cluster) serveInfo(uuid string) ([]byte, error) {
	_, s, err := c.find(uuid)
	if err != nil {
		return nil, err
	}
	now := s.current()
	return json.Marshal(shardSight{Info: now.Info(), Builds: now.Optimizations(), Memory: now.Memory()})
}

// hears asks a peer whether it hears another one.
func (c *cluster) hears(ctx context.Context, asked, about topology.PeerID) (bool, error) {
	b, err := c.net.Call(ctx, asked, callHears, strconv.AppendUint(nil, uint64(about), 10))
	return string(b) == "true", err
}

// spread waits until all peers that can be reached have applied what is applied here, so that what was made on one can be used
// on another at once. It is a courtesy: who is slow is not waited for.
func (c *cluster) spread(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	state := c.n.machine.State()
	index := strconv.AppendUint(nil, state.Index, 10)
	done := make(chan error, len(state.Peers))
	asked := 0
	for _, p := range slices.Sorted(maps.Keys(state.Peers)) {
		if p != c.n.peer && c.hub.Alive(p) {
			asked++
			c.run.Go(func() {
				_, err := c.net.Call(ctx, p, callAwait, index)
				done <- err
			})
		}
	}
	for range asked {
		if err := <-done; err != nil {
			c.n.log.Warn("a peer is slow to take over a change", "err", err)
		}
	}
}

// peers are replicas behind other peers.
type peers struct{ c *cluster }

func (p peers) call(ctx context.Context, to topology.PeerID, method, uuid string, body []byte) ([]byte, error) {
	b, err := p.c.net.Call(ctx, to, method, append(append(make([]byte, 0, uuidText+len(body)), uuid...), body...))
	switch {
	case errors.Is(err, network.ErrUnreachable):
		return nil, fmt.Errorf("%w: %w", replica.ErrAway, err)
	case err != nil:
		return nil, err
	case len(b) == 0:
		return nil, fmt.Errorf("%w: an empty answer", replica.ErrUnknown)
	case b[0] != 0:
		return nil, replica.ParseError(b[1:])
	}
	return b[1:], nil
}

// Update implements replica.Peers, as do the following.
func (p peers) Update(ctx context.Context, to topology.PeerID, shard string, r replica.Request) (sextant.Receipt, error) {
	b, err := p.call(ctx, to, callUpdate, shard, replica.AppendRequest(nil, r))
	if err != nil {
		return sextant.Receipt{}, err
	}
	return replica.ParseReceipt(b)
}

func (p peers) Read(ctx context.Context, to topology.PeerID, shard string, r replica.Read) (codec.Answer, error) {
	b, err := p.call(ctx, to, callRead, shard, codec.AppendRead(binary.AppendUvarint(nil, uint64(r.MinSeq)), r.Read))
	if err != nil {
		return codec.Answer{}, err
	}
	return codec.ReadAnswer(b)
}

func (p peers) Barrier(ctx context.Context, to topology.PeerID, shard string) (order.Seq, error) {
	b, err := p.call(ctx, to, callBarrier, shard, nil)
	if err != nil {
		return 0, err
	}
	seq, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, sextant.Errorf(sextant.Corrupt, "the answer to a barrier cannot be read")
	}
	return order.Seq(seq), nil
}
