package node

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/network"
	"github.com/sextantdb/sextant/internal/topology"
)

// wire joins the nodes of one test by address. Lanes keep their order; nothing is lost but by an end going away.
type wire struct {
	mu   sync.Mutex
	ends map[string]*wireEnd
	lag  func(method string) time.Duration // of calls; nil: none
}

type wireEnd struct {
	w    *wire
	uri  string
	self network.Identity
	h    network.Handler
	life context.Context
	end  context.CancelFunc
	run  sync.WaitGroup

	mu    sync.Mutex
	uris  map[topology.PeerID]string
	lanes map[topology.PeerID][network.Lanes]chan []byte
	stops map[topology.PeerID]context.CancelFunc
}

func (w *wire) connect(uri string) func(network.Identity, network.Handler) (network.Network, func() error, error) {
	return func(self network.Identity, h network.Handler) (network.Network, func() error, error) {
		e := &wireEnd{w: w, uri: topology.NormalURI(uri), self: self, h: h, uris: map[topology.PeerID]string{},
			lanes: map[topology.PeerID][network.Lanes]chan []byte{}, stops: map[topology.PeerID]context.CancelFunc{}}
		e.life, e.end = context.WithCancel(context.Background())
		return e, func() error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.ends[e.uri] != nil {
				return errors.New("the address is in use")
			}
			w.ends[e.uri] = e
			return nil
		}, nil
	}
}

func (w *wire) at(uri string) *wireEnd {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ends[topology.NormalURI(uri)]
}

func (e *wireEnd) CallAt(ctx context.Context, uri, method string, body []byte) ([]byte, error) {
	to := e.w.at(uri)
	if to == nil || e.life.Err() != nil {
		return nil, network.ErrUnreachable
	}
	e.w.mu.Lock()
	lag := e.w.lag
	e.w.mu.Unlock()
	if lag != nil {
		select {
		case <-time.After(lag(method)):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	out, err := to.h.Call(ctx, e.self.Peer, method, slices.Clone(body))
	var user *sextant.Error
	if err != nil && ctx.Err() == nil && !errors.As(err, &user) {
		err = sextant.Errorf(sextant.KindOf(err), "%s", err.Error())
	}
	return out, err
}

func (e *wireEnd) Call(ctx context.Context, to topology.PeerID, method string, body []byte) ([]byte, error) {
	e.mu.Lock()
	uri, ok := e.uris[to]
	e.mu.Unlock()
	if at := e.w.at(uri); !ok || at == nil || at.self.Peer != to {
		return nil, network.ErrUnreachable
	}
	return e.CallAt(ctx, uri, method, body)
}

func (e *wireEnd) Send(to topology.PeerID, lane network.Lane, message []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if l, ok := e.lanes[to]; ok {
		select {
		case l[lane] <- slices.Clone(message):
		default:
		}
	}
}

func (e *wireEnd) SetPeers(uris map[topology.PeerID]string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.life.Err() != nil {
		return
	}
	for id, stop := range e.stops {
		if uris[id] != e.uris[id] {
			stop()
			delete(e.stops, id)
			delete(e.lanes, id)
		}
	}
	e.uris = maps.Clone(uris)
	for id, uri := range uris {
		if id == e.self.Peer || e.stops[id] != nil {
			continue
		}
		ctx, stop := context.WithCancel(e.life)
		var lanes [network.Lanes]chan []byte
		for i := range lanes {
			lanes[i] = make(chan []byte, 1<<16)
			e.run.Go(func() { e.carry(ctx, id, uri, network.Lane(i), lanes[i]) })
		}
		e.stops[id], e.lanes[id] = stop, lanes
	}
}

func (e *wireEnd) SetCluster(string)                    {}
func (e *wireEnd) Failures() map[string]network.Failure { return nil }

func (e *wireEnd) Close() error {
	e.w.mu.Lock()
	delete(e.w.ends, e.uri)
	e.w.mu.Unlock()
	e.end()
	e.run.Wait()
	return nil
}
