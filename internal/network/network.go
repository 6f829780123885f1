// Package network is the seam between a node and the wire to its peers: bytes only. Package peer implements it over gRPC, the
// simulation in memory.
//
// Shapes: a call is one request and its answer; a lane is an ordered stream of messages to a peer, one per kind and direction.
// Messages of a lane are lost only together with its connection; the next one is told by Handler.Connected.
// Errors: ErrUnreachable and ErrLost, a context's error, or the *sextant.Error of the other side with its kind and text.
// Concurrency: everything may be called from any goroutine.
package network

import (
	"context"
	"errors"
	"time"

	"github.com/sextantdb/sextant/internal/topology"
)

// Lane tells the streams between two peers apart.
type Lane uint8

const (
	Consensus   Lane = iota // small messages, not behind large ones
	Replication             // of all shards
	Lanes                   // how many there are
)

var (
	// ErrUnreachable says that a call was certainly not delivered.
	ErrUnreachable = errors.New("the peer cannot be reached")
	// ErrLost says that a call may have been done: its answer did not come.
	ErrLost = errors.New("the connection was lost before the answer came")
)

// Network carries calls and messages to peers.
type Network interface {
	Call(ctx context.Context, to topology.PeerID, method string, body []byte) ([]byte, error)
	// CallAt calls whoever is at an address.
	CallAt(ctx context.Context, uri string, method string, body []byte) ([]byte, error)
	// Send puts a message onto a lane. It never waits: if too much is under way, the connection is given up.
	Send(to topology.PeerID, lane Lane, message []byte)
	// SetPeers tells who there is, and where. Connections to other addresses end at once.
	SetPeers(uris map[topology.PeerID]string)
	// SetCluster tells the id of the cluster, once it is known. Peers of others are refused.
	SetCluster(id string)
	// Failures are the addresses that cannot be reached now.
	Failures() map[string]Failure
	Close() error
}

// Failure is what is wrong with an address.
type Failure struct {
	Count  uint64
	Latest string
	At     time.Time
}

// Handler answers peers.
type Handler interface {
	// Call does a request. ctx ends with the caller's deadline, not when the caller goes away.
	Call(ctx context.Context, from topology.PeerID, method string, body []byte) ([]byte, error)
	// Receive takes a message, in the order of its lane. It must not wait long.
	Receive(from topology.PeerID, lane Lane, message []byte)
	// Connected tells that the own lane to a peer was opened, to a process of that life, or was lost.
	Connected(to topology.PeerID, life uint64, lane Lane, up bool)
}

type fromKey struct{}

// WithFrom puts the host that a call comes from under its context.
func WithFrom(ctx context.Context, host string) context.Context {
	return context.WithValue(ctx, fromKey{}, host)
}

// From returns the host that a call comes from, as a Handler sees it; "" if it is not known.
func From(ctx context.Context) string {
	host, _ := ctx.Value(fromKey{}).(string)
	return host
}

// Identity is who speaks.
type Identity struct {
	Peer topology.PeerID
	Life uint64 // of the process
}
