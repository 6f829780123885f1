package peer

import (
	"context"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
)

// conn is a connection to one address, made when it is needed, again and again. How soon it is tried again is decided here:
// gRPC's own way to be told that a peer is back walks through a map that it changes meanwhile, which ends the process.
type conn struct {
	*grpc.ClientConn
	dialer net.Dialer

	mu    sync.Mutex
	tried time.Time     // when it was tried last
	pause time.Duration // until it may be tried again
	soon  chan struct{} // closed when the peer is known to live
}

// grpcPause is what gRPC itself waits between tries.
const grpcPause = 10 * time.Millisecond

// hurry has the connection tried at once.
func (c *conn) hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pause = 0
	close(c.soon)
	c.soon = make(chan struct{})
}

// dial makes a connection, after a pause that grows while tries follow each other.
func (c *conn) dial(ctx context.Context, target string) (net.Conn, error) {
	c.mu.Lock()
	left, soon := time.Until(c.tried.Add(c.pause)), c.soon
	c.mu.Unlock()
	if left > 0 {
		select {
		case <-time.After(left):
		case <-soon:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	c.mu.Lock()
	if now := time.Now(); now.Sub(c.tried) > 4*longPause {
		c.tried, c.pause = now, firstPause
	} else {
		c.tried, c.pause = now, min(max(c.pause*3/2, firstPause), longPause)
	}
	c.mu.Unlock()
	return c.dialer.DialContext(ctx, "tcp", target)
}
