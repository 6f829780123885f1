// Package peer is the wire between peers: calls and ordered lanes over gRPC, in bytes whose meaning it does not know.
//
// Shapes: some connections to each peer for calls, which take turns, and one for each lane, so that heartbeats never wait behind large
// messages.
// Both sides tell who they are and whom they expect; peers of another cluster, or at another's address, are refused by name.
// Errors: as package network says.
// Concurrency: everything may be called from any goroutine. Nothing runs after Close.
package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/network"
	"github.com/sextantdb/sextant/internal/topology"
)

// Options are what a Network is made of.
type Options struct {
	Self           network.Identity
	TLS            func() *tls.Config // nil: plain; else asked at each handshake, and both sides show certificates
	Connections    int                // for calls, to each peer; 0: 1
	ConnectTimeout time.Duration      // 0: 2 s
	Log            *slog.Logger       // nil: silent
}

// maxMessage bounds a call and a message.
const maxMessage = 1 << 30

// Network implements network.Network.
type Network struct {
	opts   Options
	log    *slog.Logger
	life   context.Context
	end    context.CancelFunc
	run    sync.WaitGroup
	server *grpc.Server

	mu       sync.Mutex
	handler  network.Handler
	cluster  string
	peers    map[topology.PeerID]*remote
	left     map[topology.PeerID]*remote // the last one that was given up: its lanes end before their successors begin
	failures map[string]network.Failure
	told     map[string]time.Time // refusals by text
}

// remote is a peer at an address.
type remote struct {
	id    topology.PeerID
	uri   string
	calls []*conn
	turn  atomic.Uint32 // of calls
	lanes [network.Lanes]*lane
}

// New makes a network that nobody can reach yet.
func New(o Options) *Network {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = 2 * time.Second
	}
	n := &Network{opts: o, log: o.Log, peers: map[topology.PeerID]*remote{}, left: map[topology.PeerID]*remote{}, failures: map[string]network.Failure{}}
	n.life, n.end = context.WithCancel(context.Background())
	return n
}

// Serve answers peers on a listener until Close.
func (n *Network) Serve(l net.Listener, h network.Handler) {
	n.mu.Lock()
	n.handler = h
	n.mu.Unlock()
	options := []grpc.ServerOption{
		grpc.ForceServerCodecV2(raw{}), grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage),
		grpc.InitialWindowSize(4 << 20), grpc.InitialConnWindowSize(8 << 20),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	}
	if n.opts.TLS != nil {
		options = append(options, grpc.Creds(newRenewing(n.opts.TLS)))
	}
	n.server = grpc.NewServer(options...)
	n.server.RegisterService(n.service(), n)
	n.run.Go(func() {
		if err := n.server.Serve(l); err != nil && n.life.Err() == nil {
			n.log.Error("the port for peers stopped", "err", err)
		}
	})
}

// Close ends everything.
func (n *Network) Close() error {
	n.end()
	n.mu.Lock()
	peers := n.peers
	n.peers = map[topology.PeerID]*remote{}
	n.mu.Unlock()
	for _, r := range peers {
		r.close()
	}
	if n.server != nil {
		n.server.Stop()
	}
	n.run.Wait()
	return nil
}

func (r *remote) close() {
	for _, l := range r.lanes {
		l.close()
	}
	for _, conn := range r.calls {
		_ = conn.Close()
	}
}

// SetCluster implements network.Network.
func (n *Network) SetCluster(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cluster = id
}

// SetPeers implements network.Network.
func (n *Network) SetPeers(uris map[topology.PeerID]string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.life.Err() != nil {
		return
	}
	for id, r := range n.peers {
		if uris[id] != r.uri {
			delete(n.peers, id)
			n.left[id] = r
			delete(n.failures, r.uri)
			n.run.Go(r.close)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(uris)) {
		if id == n.opts.Self.Peer || n.peers[id] != nil {
			continue
		}
		r, err := n.reach(id, uris[id])
		if err != nil {
			n.log.Error("the address of a peer cannot be used", "peer", id, "uri", uris[id], "err", err)
			continue
		}
		n.peers[id] = r
	}
}

// reach prepares the connections to a peer.
func (n *Network) reach(id topology.PeerID, uri string) (*remote, error) {
	r := &remote{id: id, uri: uri}
	for range max(n.opts.Connections, 1) {
		conn, err := n.dial(uri)
		if err != nil {
			return nil, err
		}
		r.calls = append(r.calls, conn)
	}
	for i := range r.lanes {
		conn, err := n.dial(uri)
		if err != nil {
			return nil, err
		}
		var before <-chan struct{}
		if old := n.left[id]; old != nil {
			before = old.lanes[i].stopped
		}
		r.lanes[i] = newLane(n, r, network.Lane(i), conn, before)
	}
	return r, nil
}

// dial prepares a connection; it is made when it is needed.
func (n *Network) dial(uri string) (*conn, error) {
	target, err := hostPort(uri)
	if err != nil {
		return nil, err
	}
	creds := insecure.NewCredentials()
	if n.opts.TLS != nil {
		creds = newRenewing(n.opts.TLS)
	}
	c := &conn{soon: make(chan struct{})}
	c.ClientConn, err = grpc.NewClient("passthrough:///"+target, grpc.WithTransportCredentials(creds), grpc.WithContextDialer(c.dial),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{}), grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithInitialWindowSize(4<<20), grpc.WithInitialConnWindowSize(8<<20),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: n.opts.ConnectTimeout, Backoff: backoff.Config{BaseDelay: grpcPause, Multiplier: 1, MaxDelay: grpcPause}}),
	)
	return c, err
}

// hostPort turns http://host:port/ into host:port.
func hostPort(uri string) (string, error) {
	if !strings.Contains(uri, "://") {
		uri = "http://" + uri
	}
	u, err := url.Parse(uri)
	if err != nil || u.Host == "" || u.Port() == "" {
		return "", sextant.Errorf(sextant.WrongInput, "%q is no address of a peer: it should look like http://host:6335", uri)
	}
	return u.Host, nil
}

// Failures implements network.Network.
func (n *Network) Failures() map[string]network.Failure {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.failures)
}

// note keeps what came of talking to an address.
func (n *Network) note(uri string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err == nil {
		delete(n.failures, uri)
		return
	}
	f := n.failures[uri]
	n.failures[uri] = network.Failure{Count: f.Count + 1, Latest: err.Error(), At: time.Now()}
}

const (
	// tellAgain is how often the same refusal is logged: who is wrong here tries again and again.
	tellAgain = time.Minute
	mostTold  = 100
)

// refused logs that somebody was sent away.
func (n *Network) refused(what string, err error) {
	text := fmt.Sprint(err)
	n.mu.Lock()
	again := time.Since(n.told[text]) < tellAgain
	if !again {
		if n.told == nil || len(n.told) >= mostTold {
			n.told = map[string]time.Time{}
		}
		n.told[text] = time.Now()
	}
	n.mu.Unlock()
	if !again {
		n.log.Warn(what, "err", text)
	}
}

// Send implements network.Network.
func (n *Network) Send(to topology.PeerID, lane network.Lane, message []byte) {
	n.mu.Lock()
	r := n.peers[to]
	n.mu.Unlock()
	if r != nil {
		r.lanes[lane].send(message)
	}
}

// Call implements network.Network.
func (n *Network) Call(ctx context.Context, to topology.PeerID, method string, body []byte) ([]byte, error) {
	n.mu.Lock()
	r := n.peers[to]
	n.mu.Unlock()
	if r == nil {
		return nil, fmt.Errorf("%w: the address of peer %d is not known", network.ErrUnreachable, to)
	}
	return n.call(ctx, r.calls[int(r.turn.Add(1))%len(r.calls)], to, method, body)
}

// CallAt implements network.Network.
func (n *Network) CallAt(ctx context.Context, uri, method string, body []byte) ([]byte, error) {
	conn, err := n.dial(uri)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return n.call(ctx, conn, 0, method, body)
}

func (n *Network) call(ctx context.Context, conn *conn, to topology.PeerID, method string, body []byte) ([]byte, error) {
	in, out := &frame{append(n.hello(to, method), body...)}, &frame{}
	err := conn.Invoke(ctx, callMethod, in, out)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, transportError(err)
	}
	return parseAnswer(out.b)
}

// transportError says whether a call that failed may have been done.
func transportError(err error) error {
	s := status.Convert(err)
	if s.Code() == codes.Unavailable && (strings.Contains(s.Message(), "while dialing") || strings.Contains(s.Message(), "connection refused") || strings.Contains(s.Message(), "last connection error") ||
		strings.Contains(s.Message(), "authentication handshake failed") || strings.Contains(s.Message(), "error reading server preface")) {
		return fmt.Errorf("%w: %s", network.ErrUnreachable, s.Message())
	}
	if s.Code() == codes.DeadlineExceeded {
		return fmt.Errorf("%w: %w", network.ErrLost, context.DeadlineExceeded)
	}
	return fmt.Errorf("%w: %s", network.ErrLost, s.Message())
}

var errIdentity = errors.New("the peer is not the one expected")
