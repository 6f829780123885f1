package peer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/sextantdb/sextant/internal/network"
	"github.com/sextantdb/sextant/internal/topology"
)

const (
	callMethod  = "/sextant.Peer/Call"
	laneMethod  = "/sextant.Peer/Lane"
	lifeKey     = "sextant-life"
	refusedKey  = "sextant-refused"
	laneBytes   = 64 << 20 // that wait on a lane; more, and its connection is given up
	frameBytes  = 1 << 20  // of one frame, if a message is not larger
	firstPause  = 50 * time.Millisecond
	longPause   = 500 * time.Millisecond
	helloWithin = 5 * time.Second
)

// lane sends messages to a peer, in order, over one connection after another.
type lane struct {
	n    *Network
	r    *remote
	kind network.Lane
	conn *conn
	life context.Context
	end  context.CancelFunc

	mu      sync.Mutex
	up      bool
	queue   [][]byte
	bytes   int
	giveUp  context.CancelFunc // ends the present connection
	wake    chan struct{}      // something is queued
	hurry   chan struct{}      // the peer lives: try at once
	stopped chan struct{}
}

// newLane begins a lane, once the one before it has told its end: else that end would be taken for the new one's.
func newLane(n *Network, r *remote, kind network.Lane, conn *conn, before <-chan struct{}) *lane {
	l := &lane{n: n, r: r, kind: kind, conn: conn, wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1), stopped: make(chan struct{})}
	l.life, l.end = context.WithCancel(n.life)
	n.run.Go(func() {
		if before != nil {
			<-before
		}
		l.work()
	})
	return l
}

func (l *lane) close() {
	l.end()
	<-l.stopped
	_ = l.conn.Close()
}

// send queues a message if there is a connection; otherwise it is lost, as everybody knows.
func (l *lane) send(m []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.up {
		return
	}
	if l.bytes += len(m); l.bytes > laneBytes {
		l.giveUp()
		l.up, l.queue, l.bytes = false, nil, 0
		return
	}
	l.queue = append(l.queue, m)
	signal(l.wake)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// work keeps a connection.
func (l *lane) work() {
	defer close(l.stopped)
	pause := firstPause
	for l.life.Err() == nil {
		began := time.Now()
		err := l.connect()
		if l.life.Err() != nil {
			return
		}
		l.n.note(l.r.uri, err)
		if time.Since(began) > time.Second {
			pause = firstPause
		}
		select {
		case <-time.After(pause):
			pause = min(pause*3/2, longPause)
		case <-l.hurry:
			pause = firstPause
			l.conn.hurry()
		case <-l.life.Done():
		}
	}
}

// connect opens one connection and sends on it until it fails.
func (l *lane) connect() error {
	ctx, cancel := context.WithCancel(l.life)
	defer cancel()
	early := time.AfterFunc(helloWithin, cancel)
	stream, err := l.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, laneMethod)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(&frame{l.n.hello(l.r.id, strconv.Itoa(int(l.kind)))}); err != nil {
		return errors.Join(err, stream.RecvMsg(&frame{}))
	}
	head, err := stream.Header()
	if err != nil {
		return err
	}
	if why := head.Get(refusedKey); len(why) > 0 {
		return fmt.Errorf("refused: %s", why[0])
	}
	lives := head.Get(lifeKey)
	if len(lives) == 0 {
		return errors.New("the peer did not say who it is")
	}
	life, err := strconv.ParseUint(lives[0], 10, 64)
	if err != nil {
		return err
	}
	if !early.Stop() {
		return context.DeadlineExceeded
	}
	l.n.note(l.r.uri, nil)
	l.mu.Lock()
	l.up, l.queue, l.bytes, l.giveUp = true, nil, 0, cancel
	l.mu.Unlock()
	h := l.n.served()
	if h != nil {
		h.Connected(l.r.id, life, l.kind, true)
	}
	broken := make(chan error, 1)
	l.n.run.Go(func() { broken <- stream.RecvMsg(&frame{}) }) // nothing comes but the end
	err = l.pass(ctx, stream, broken)
	l.mu.Lock()
	l.up, l.queue, l.bytes = false, nil, 0
	l.mu.Unlock()
	if h != nil && l.n.life.Err() == nil {
		h.Connected(l.r.id, life, l.kind, false)
	}
	return err
}

// pass sends what is queued.
func (l *lane) pass(ctx context.Context, stream grpc.ClientStream, broken <-chan error) error {
	for {
		l.mu.Lock()
		var b []byte
		n := 0
		for n < len(l.queue) && (n == 0 || len(b)+len(l.queue[n]) <= frameBytes) {
			b = append(binary.AppendUvarint(b, uint64(len(l.queue[n]))), l.queue[n]...)
			l.bytes -= len(l.queue[n])
			l.queue[n] = nil
			n++
		}
		if l.queue = l.queue[n:]; len(l.queue) == 0 {
			l.queue = nil
		}
		l.mu.Unlock()
		if n > 0 {
			if err := stream.SendMsg(&frame{b}); err != nil {
				return err
			}
			continue
		}
		select {
		case <-l.wake:
		case err := <-broken:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (n *Network) served() network.Handler {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.handler
}

// service is what this peer answers.
func (n *Network) service() *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: "sextant.Peer", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Call", Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			in := &frame{}
			if err := decode(in); err != nil {
				return nil, err
			}
			return &frame{n.serveCall(ctx, in.b)}, nil
		}}},
		Streams: []grpc.StreamDesc{{StreamName: "Lane", ClientStreams: true, ServerStreams: true, Handler: func(_ any, stream grpc.ServerStream) error {
			return n.serveLane(stream)
		}}},
	}
}

// serveCall does a call. It goes on when the caller goes away.
func (n *Network) serveCall(caller context.Context, b []byte) []byte {
	g, err := n.greet(b)
	if err != nil {
		n.refused("a call was refused", err)
		return append([]byte{answerIdentity}, err.Error()...)
	}
	ctx := n.life
	if from, ok := peer.FromContext(caller); ok {
		if host, _, err := net.SplitHostPort(from.Addr.String()); err == nil {
			ctx = network.WithFrom(ctx, host)
		}
	}
	if deadline, ok := caller.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	out, err := n.served().Call(ctx, g.from.Peer, g.method, g.body)
	if err != nil {
		return encodeError(err)
	}
	return append([]byte{answerOK}, out...)
}

func (n *Network) serveLane(stream grpc.ServerStream) error {
	var f frame
	if err := stream.RecvMsg(&f); err != nil {
		return err
	}
	g, err := n.greet(f.b)
	kind, parseErr := strconv.Atoi(g.method)
	if err = errors.Join(err, parseErr); err != nil || kind < 0 || kind >= int(network.Lanes) {
		n.refused("a peer was refused", err)
		return stream.SendHeader(metadata.Pairs(refusedKey, fmt.Sprint(err)))
	}
	if err := stream.SendHeader(metadata.Pairs(lifeKey, strconv.FormatUint(n.opts.Self.Life, 10))); err != nil {
		return err
	}
	n.poke(g.from.Peer)
	h := n.served()
	for {
		var f frame
		if err := stream.RecvMsg(&f); err != nil {
			return err
		}
		for b := f.b; len(b) > 0; {
			size, used := binary.Uvarint(b)
			if used <= 0 || size > uint64(len(b)-used) {
				return errors.New("a malformed frame")
			}
			m := b[used : used+int(size) : used+int(size)]
			b = b[used+int(size):]
			h.Receive(g.from.Peer, network.Lane(kind), m)
		}
	}
}

// poke has the lanes to a peer tried at once: it lives, since it calls.
func (n *Network) poke(p topology.PeerID) {
	n.mu.Lock()
	r := n.peers[p]
	n.mu.Unlock()
	if r == nil {
		return
	}
	for _, conn := range r.calls {
		conn.hurry()
	}
	for _, l := range r.lanes {
		signal(l.hurry)
	}
}
