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

// connect makes the network between peers; open begins to answer on the port for them.
func connect(cfg Config, log *slog.Logger, self network.Identity, h network.Handler) (network.Network, func() error, error) {
	var secure *tls.Config
	if cfg.Cluster.P2P.EnableTLS {
		cfg.Service.VerifyHTTPSClientCertificate = true // peers know each other by certificates of one authority
		all, err := newTLS(cfg, log)
		if err != nil {
			return nil, nil, err
		}
		if secure, err = all.GetConfigForClient(nil); err != nil {
			return nil, nil, err
		}
		secure = secure.Clone()
		secure.RootCAs, secure.NextProtos = secure.ClientCAs, []string{"h2"}
	}
	n := peer.New(peer.Options{Self: self, TLS: secure, Log: log, ConnectTimeout: time.Duration(cfg.Cluster.ConnectionTimeoutMs) * time.Millisecond})
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
