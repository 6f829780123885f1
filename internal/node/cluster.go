package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/consensus"
	"github.com/sextantdb/sextant/internal/network"
	"github.com/sextantdb/sextant/internal/replica"
	"github.com/sextantdb/sextant/internal/task"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/transfer"
	"github.com/sextantdb/sextant/internal/vfs"
)

// ClusterOptions are what a node of a cluster is given besides its settings.
type ClusterOptions struct {
	URI       string // where other peers reach this one
	Bootstrap string // the address of any peer of the cluster to join; "": the first one
	Reinit    bool   // forget the other peers, or, with Bootstrap, what was agreed on
	// Connect makes the network; open opens its port, once the node can answer.
	Connect func(self network.Identity, h network.Handler) (net network.Network, open func() error, err error)
	Seed    uint64 // of everything random; 0: chance
	// Wrong names rules of replication that are switched off. Only a simulation does that, to show that it notices.
	Wrong []string
}

// cluster is what a node has besides a lone one: the agreement with others, and replicas of shards.
type cluster struct {
	n       *Node
	o       ClusterOptions
	life    uint64
	numbers atomic.Uint64 // of requests
	net     network.Network
	member  *consensus.Member
	hub     *replica.Hub
	accuser *replica.Accuser
	ready   *latch
	caught  atomic.Bool
	run     sync.WaitGroup
	acting  chan struct{} // the token of those who write actedFile
	poked   chan struct{} // has the next pass come at once
	board   task.Board    // transfers whose sender is here
	byUUID  atomic.Pointer[map[string]*slot]
	gate    gate

	copiesFrom atomic.Uint64 // copies up to this id were begun before this life

	mu      sync.Mutex
	made    uint64                            // index of the topology that reality matches
	moved   chan struct{}                     // closed when made moves; nil: nobody waits
	heard   map[topology.PeerID]topology.Peer // where peers said that they are: several that moved would else never find the quorum to agree on it
	revived map[string]revival                // by shard
	written map[topology.PeerID]topology.Peer // addresses as of the end of the own log, whether it is committed or not, or as the cluster told them
	through uint64                            // the last entry of that log, or what the cluster had committed then: a topology that is newer knows better
	acted   uint64                            // index of the newest topology by which a replica was made here
	busy    map[string]bool
	aligned map[string]uint64 // revision of the collection whose schema a shard has, by shard
	sets    map[string]*replica.Set

	sending  map[string]*transfer.Progress     // by attempt.prefix
	orphaned map[string]topology.TransferAbort // by attempt.prefix: what earlier lives left behind
	intakes  map[string]*intake                // by shard
	events   []Event                           // the last ones
	tried    map[string]tried                  // recoveries, by shard; of the passes alone
}

// openCluster starts a node of a cluster. It returns when the node is a member under its present address.
func (n *Node) openCluster(ctx context.Context) error {
	o := n.opts.Cluster
	c := &cluster{n: n, o: o, busy: map[string]bool{}, aligned: map[string]uint64{}, sets: map[string]*replica.Set{}, heard: map[topology.PeerID]topology.Peer{}, ready: newLatch(), acting: make(chan struct{}, 1),
		poked: make(chan struct{}, 1), sending: map[string]*transfer.Progress{}, orphaned: map[string]topology.TransferAbort{}, intakes: map[string]*intake{}, tried: map[string]tried{}}
	n.cluster = c
	n.engines = newEngines(n)
	for _, dir := range []string{n.store.Temp, n.incoming()} {
		if err := n.fs.RemoveAll(dir); err != nil {
			return err
		}
	}
	for _, dir := range []string{deletedDir, collectionsDir} {
		if err := n.fs.MkdirAll(path.Join(n.dir, dir)); err != nil {
			return err
		}
	}
	if err := n.fs.MkdirAll(n.incoming()); err != nil {
		return err
	}
	n.Go("empty "+deletedDir, n.emptyDeleted)
	if err := c.live(); err != nil {
		return err
	}
	s := n.settings.Cluster
	var err error
	c.member, err = consensus.Open(consensus.Options{FS: n.fs, Dir: path.Join(n.dir, "raft"), ID: uint64(n.peer), Life: c.life, Machine: &n.machine,
		Transport: consensusLink{c}, Log: n.log, Tick: time.Duration(s.Consensus.TickPeriodMs) * time.Millisecond, CompactEntries: s.Consensus.CompactWALEntries})
	if err != nil {
		return err
	}
	fresh := c.member.Fresh()
	if err := c.begin(fresh); err != nil {
		return errors.Join(err, c.member.Close())
	}
	c.hub = replica.NewHub(replica.Options{Self: n.peer, Life: c.life, Link: replicationLink{c}, Proposer: replicaProposer{c}, Differs: c.differs, Log: n.log,
		Silent: time.Duration(s.ReplicaAckTimeoutMs) * time.Millisecond, Probation: time.Duration(s.TransferProbationMs) * time.Millisecond, Wrong: o.Wrong})
	c.accuser = replica.NewAccuser(replica.AccuserOptions{Self: n.peer, State: n.machine.State, Alive: c.hub.Alive, Silence: c.hub.Silence, Hears: c.hears, Proposer: c})
	var open func() error
	if c.net, open, err = o.Connect(network.Identity{Peer: n.peer, Life: c.life}, c); err == nil {
		err = open()
	}
	if err != nil {
		c.stop()
		return err
	}
	c.net.SetCluster(n.machine.State().Cluster)
	c.remember()
	c.follow()
	c.pass()
	if err := c.member.Start(); err != nil {
		c.stop()
		return err
	}
	c.run.Go(c.loop)
	n.Go("scrub", n.scrub)
	if err := c.enter(ctx, fresh); err != nil {
		c.stop()
		return err
	}
	c.catchUp(ctx)
	if err := c.matched(ctx, n.machine.State().Index); err != nil { // else what exists would not be found
		c.stop()
		return err
	}
	n.log.Info("the node is a member of the cluster", "peer", n.peer, "life", c.life, "took", time.Since(n.started).Round(time.Millisecond))
	return nil
}

// live counts the lives of this data directory: the number of this one is used by no other.
func (c *cluster) live() error {
	file := path.Join(c.n.dir, lifeFile)
	if b, err := vfs.ReadFile(c.n.fs, file); err == nil {
		last, err := strconv.ParseUint(string(b), 10, 64)
		if err != nil {
			return sextant.Errorf(sextant.Corrupt, "%s: the number of this life cannot be read: %w", file, err)
		}
		c.life = last
	}
	// A directory that was restored from a copy must not live a life again that others know.
	c.life = max(c.life+1, uint64(time.Now().UnixMilli()))
	return vfs.WriteAtomic(c.n.fs, file, strconv.AppendUint(nil, c.life, 10))
}

// begin makes the consensus state of a process that has none, or, if asked to, a new one.
func (c *cluster) begin(fresh bool) error {
	uri, state := topology.NormalURI(c.o.URI), c.n.machine.State()
	first := c.o.Bootstrap == "" || topology.NormalURI(c.o.Bootstrap) == uri
	if first && c.o.Bootstrap != "" && fresh {
		c.n.log.Warn("the address to join at is the own one: this is the first peer of a new cluster", "bootstrap", c.o.Bootstrap)
	}
	switch {
	case c.o.Reinit && !fresh && first:
		if uri == "" {
			uri = state.Peers[c.n.peer].URI
		}
		return c.member.Reinit(topology.Command{Reinit: &topology.Reinit{Self: c.n.peer, URI: uri}}.Encode())
	case !fresh && !c.o.Reinit:
		return nil
	case !first:
		if fresh && c.hasSolo() {
			return sextant.Errorf(sextant.WrongInput, "The storage holds collections of a standalone node: it can begin a cluster, but not join one.")
		}
		return c.member.Join()
	}
	if uri == "" {
		return sextant.Errorf(sextant.WrongInput, "First peer should specify its uri.")
	}
	if c.hasSolo() { // what a standalone node had becomes the first state of the cluster
		if _, err := consensus.OpenSolo(c.n.fs, path.Join(c.n.dir, soloFile), &c.n.machine); err != nil {
			return err
		}
	}
	id := uuid.NewString()
	if c.o.Seed != 0 {
		id = fmt.Sprintf("00000000-0000-4000-8000-%012x", c.o.Seed&0xffffffffffff)
	}
	return c.member.Bootstrap(topology.Command{AddPeer: &topology.AddPeer{ID: c.n.peer, URI: uri, Cluster: id, Life: c.life}}.Encode())
}

func (c *cluster) hasSolo() bool {
	_, err := c.n.fs.Stat(path.Join(c.n.dir, soloFile))
	return err == nil
}

// entry is what a peer that comes says of itself, and what it is told.
type entry struct {
	ID      topology.PeerID            `json:"id"`
	URI     string                     `json:"uri"`
	Port    uint16                     `json:"port,omitempty"` // of a peer that does not know where others reach it
	Cluster string                     `json:"cluster,omitempty"`
	Peers   map[topology.PeerID]string `json:"peers,omitempty"`
	Index   uint64                     `json:"index,omitempty"`
	Life    uint64                     `json:"life,omitempty"`
}

// enter makes this process a member under its present address.
func (c *cluster) enter(ctx context.Context, fresh bool) error {
	n := c.n
	uri := topology.NormalURI(c.o.URI)
	state := n.machine.State()
	known := c.addresses()
	nobody := len(known) == 0 && !c.member.Status().Removed // what began to join and was not admitted begins again
	joins := c.o.Bootstrap != "" && topology.NormalURI(c.o.Bootstrap) != uri && (fresh || c.o.Reinit || nobody)
	if joins {
		return c.join(ctx, uri)
	}
	if known[n.peer] == uri || uri == "" {
		return nil
	}
	if len(known) <= 1 {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		return c.Propose(ctx, topology.Command{UpdatePeer: &topology.UpdatePeer{ID: n.peer, URI: uri, Life: c.life}})
	}
	return c.announce(ctx, uri, state)
}

func (c *cluster) join(ctx context.Context, uri string) error {
	limit := time.Duration(c.n.settings.Cluster.Consensus.BootstrapTimeoutSec) * time.Second
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ask, err := json.Marshal(entry{ID: c.n.peer, URI: uri, Port: c.n.settings.Cluster.P2P.Port, Life: c.life})
	if err != nil {
		return err
	}
	for {
		var b []byte
		b, err = c.net.CallAt(ctx, c.o.Bootstrap, callJoin, ask)
		if err == nil {
			return c.entered(ctx, b)
		}
		if errors.As(err, new(*sextant.Error)) && sextant.KindOf(err) != sextant.Internal && sextant.KindOf(err) != sextant.Unavailable {
			return fmt.Errorf("join the cluster at %s: %w", c.o.Bootstrap, err)
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("join the cluster at %s, which must be the address of a peer's cluster.p2p.port: no success within %v: %w", c.o.Bootstrap, limit, err)
		}
	}
}

// entered takes over what the cluster said and waits until the own topology shows it.
func (c *cluster) entered(ctx context.Context, b []byte) error {
	var told entry
	if err := json.Unmarshal(b, &told); err != nil {
		return err
	}
	c.net.SetCluster(told.Cluster)
	c.told(told)
	c.follow()
	return c.until(ctx, func() bool {
		s := c.n.machine.State()
		_, listed := s.Peers[c.n.peer]
		return listed && s.Index >= told.Index
	})
}

// told notes what the cluster said of addresses: the own topology is older until it has come to that index, and may list nobody whom
// this process could answer.
func (c *cluster) told(e entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.Index <= c.through {
		return
	}
	c.written, c.through = make(map[topology.PeerID]topology.Peer, len(e.Peers)), e.Index
	for id, uri := range e.Peers {
		c.written[id] = topology.Peer{URI: topology.NormalURI(uri)}
	}
}

// announce tells a new address to any peer that is known.
func (c *cluster) announce(ctx context.Context, uri string, state *topology.State) error {
	ask, err := json.Marshal(entry{ID: c.n.peer, URI: uri, Cluster: state.Cluster, Life: c.life})
	if err != nil {
		return err
	}
	var failed []error // of the last round
	for round := range 4 {
		var at []string
		addresses := c.addresses()
		for _, p := range slices.Sorted(maps.Keys(addresses)) {
			if p != c.n.peer {
				at = append(at, addresses[p])
			}
		}
		if boot := topology.NormalURI(c.o.Bootstrap); c.o.Bootstrap != "" && boot != uri && !slices.Contains(at, boot) {
			at = append(at, boot) // nobody may be where it was
		}
		failed = failed[:0]
		for _, to := range at {
			// Whom nobody can elect, since they have moved too, is found through those who hear them.
			_ = c.sayHere(ctx, func(ctx context.Context, method string, body []byte) ([]byte, error) {
				return c.net.CallAt(ctx, to, method, body)
			})
			try, cancel := context.WithTimeout(ctx, 10*time.Second)
			b, err := c.net.CallAt(try, to, callAnnounce, ask)
			if err == nil {
				err = c.entered(try, b)
			}
			cancel()
			if err == nil {
				return nil
			}
			failed = append(failed, fmt.Errorf("peer at %s: %w", to, err))
		}
		if round < 3 {
			select {
			case <-time.After(time.Duration(round+1) * time.Second):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return sextant.Errorf(sextant.Internal, "Failed to recover from any known peers: %w", errors.Join(failed...))
}

// until waits for something to become true of the topology.
func (c *cluster) until(ctx context.Context, ready func() bool) error {
	for {
		moved := c.n.machine.Watch()
		if ready() {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		case <-c.n.life.Done():
			return sextant.Errorf(sextant.Unavailable, "the server is stopping")
		}
	}
}

// catchUpTime is how long a start waits for what the others have agreed on meanwhile.
const catchUpTime = 5 * time.Second

// catchUp waits until this life knows what consensus had committed when it began, or nobody leads.
func (c *cluster) catchUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, catchUpTime)
	defer cancel()
	index, err := c.member.ReadIndex(ctx)
	if err == nil {
		err = c.member.Await(ctx, index)
	}
	if err != nil {
		c.n.log.Warn("the start goes on without knowing what others have agreed on", "err", err)
	}
	c.orphans()
	c.caught.Store(true)
	c.hub.CaughtUp()
	c.run.Go(c.becomeReady)
	c.poke()
}

// stop ends everything but the shards themselves.
func (c *cluster) stop() {
	c.n.end()
	c.board.Close()
	c.accuser.Close()
	if c.net != nil {
		if err := c.net.Close(); err != nil {
			c.n.log.Warn("the port for peers was not closed well", "err", err)
		}
	}
	c.hub.Close()
	if err := c.member.Close(); err != nil {
		c.n.log.Warn("consensus was not closed well", "err", err)
	}
	c.run.Wait()
}

// Propose brings a command to consensus and returns when it is applied here.
func (c *cluster) Propose(ctx context.Context, command topology.Command) error {
	_, err := c.member.Propose(ctx, command.Encode())
	return err
}

// replicaProposer brings what replicas want to consensus.
type replicaProposer struct{ *cluster }

// Propose implements replica.Proposer. A receiver becomes readable by the end of its transfer only when every peer that can be
// reached knows that it is in sync: one that does not might still name another replica to lead, or wait for none.
func (p replicaProposer) Propose(ctx context.Context, command topology.Command) error {
	c := p.cluster
	if a := command.Abort; a != nil {
		c.event(a.Shard, "transfer %d is ended by the primary: %s", a.ID, a.Reason)
	}
	for _, f := range command.Failed {
		c.event(f.Shard, "the replica of peer %d is said to have failed (term %d, successor %d, differs %t)", f.Peer, f.Term, f.Successor, f.Differs)
	}
	f := command.Finish
	if f == nil {
		return c.Propose(ctx, command)
	}
	what := fmt.Sprintf("finish %s %d", f.Shard, f.ID)
	if c.busyWith(what) {
		return nil // it is asked for again until the topology shows it
	}
	c.run.Go(func() {
		defer c.done(what)
		c.spread(c.n.life)
		ctx, cancel := context.WithTimeout(c.n.life, 5*time.Second)
		defer cancel()
		if err := c.Propose(ctx, command); err != nil {
			c.n.log.Debug("the end of a transfer did not pass", "shard", f.Shard, "id", f.ID, "err", err)
		}
	})
	return nil
}

// change is Propose that also waits until reality here matches.
func (c *cluster) change(ctx context.Context, command topology.Command) error {
	if err := c.Propose(ctx, command); err != nil {
		return err
	}
	return c.matched(ctx, c.n.machine.State().Index)
}

// matched waits until reality here matches a topology.
func (c *cluster) matched(ctx context.Context, index uint64) error {
	for {
		c.mu.Lock()
		if c.made >= index {
			c.mu.Unlock()
			return nil
		}
		if c.moved == nil {
			c.moved = make(chan struct{})
		}
		moved := c.moved
		c.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		case <-c.n.life.Done():
			return sextant.Errorf(sextant.Unavailable, "the server is stopping")
		}
	}
}

// consensusLink and replicationLink are the lanes as those who use them see them.
type (
	consensusLink   struct{ c *cluster }
	replicationLink struct{ c *cluster }
)

// Send implements consensus.Transport.
func (l consensusLink) Send(to uint64, message []byte) {
	l.c.net.Send(topology.PeerID(to), network.Consensus, message)
}

// Send implements replica.Link.
func (l replicationLink) Send(to topology.PeerID, message []byte) {
	l.c.net.Send(to, network.Replication, message)
}

// Receive implements network.Handler.
func (c *cluster) Receive(from topology.PeerID, lane network.Lane, message []byte) {
	if lane == network.Consensus {
		c.member.Step(uint64(from), message)
	} else {
		c.hub.Receive(from, message)
	}
}

// Connected implements network.Handler.
func (c *cluster) Connected(to topology.PeerID, life uint64, lane network.Lane, up bool) {
	switch {
	case lane == network.Replication:
		c.hub.Connected(to, life, up)
	case up:
		c.tell(to)
	default:
		c.member.Unreachable(uint64(to))
	}
}
