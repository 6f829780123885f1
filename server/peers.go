package server

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/sextantdb/sextant/internal/network"
	"github.com/sextantdb/sextant/internal/peer"
)

// mostConnections bounds cluster.p2p.connection_pool_size.
const mostConnections = 64

// connect makes the network between peers; open begins to answer on the port for them.
func connect(cfg Config, log *slog.Logger, self network.Identity, h network.Handler) (network.Network, func() error, error) {
	var secure func() *tls.Config
	if cfg.Cluster.P2P.EnableTLS {
		var err error
		if secure, err = peerTLS(cfg, log); err != nil {
			return nil, nil, err
		}
	}
	n := peer.New(peer.Options{Self: self, TLS: secure, Log: log, Connections: int(min(cfg.Cluster.P2P.ConnectionPoolSize, mostConnections)),
		ConnectTimeout: time.Duration(cfg.Cluster.ConnectionTimeoutMs) * time.Millisecond})
	open := func() error {
		l, err := net.Listen("tcp", address(cfg, cfg.Cluster.P2P.Port))
		if err != nil {
			return fmt.Errorf("cluster.p2p.port: %w", err)
		}
		n.Serve(l, h)
		return nil
	}
	return n, open, nil
}
