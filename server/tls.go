package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificates are the files of TLS, read again when they are older than their time to live.
type certificates struct {
	cfg     Config
	log     *slog.Logger
	setting string        // that asks for TLS
	verify  bool          // who connects must show a certificate
	live    time.Duration // 0: never read again

	mu   sync.Mutex // guards all below
	now  *tls.Config
	read time.Time
}

// openCertificates reads the files. peers: those who connect must show a certificate of the authority, too; setting is what asks for it.
func openCertificates(cfg Config, log *slog.Logger, setting string, peers bool) (*certificates, error) {
	c := &certificates{cfg: cfg, log: log, setting: setting, verify: peers || cfg.Service.VerifyHTTPSClientCertificate}
	if ttl := cfg.TLS.CertTTL; ttl != nil {
		c.live = time.Duration(*ttl) * time.Second
	}
	first, err := c.load()
	if err != nil {
		return nil, err
	}
	c.now, c.read = first, time.Now()
	return c, nil
}

// newTLS is what the port for clients needs.
func newTLS(cfg Config, log *slog.Logger) (*tls.Config, error) {
	c, err := openCertificates(cfg, log, "service.enable_tls", false)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		NextProtos:         c.now.NextProtos,
		Certificates:       c.now.Certificates,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.fresh(), nil },
	}, nil
}

// peerTLS is what the port for peers needs, in both directions: they know each other by certificates of one authority.
func peerTLS(cfg Config, log *slog.Logger) (func() *tls.Config, error) {
	c, err := openCertificates(cfg, log, "cluster.p2p.enable_tls", true)
	if err != nil {
		return nil, err
	}
	return func() *tls.Config {
		now := c.fresh().Clone()
		now.RootCAs, now.NextProtos = now.ClientCAs, []string{"h2"}
		return now
	}, nil
}

// fresh returns the files as of not long ago; files that cannot be read are reported and the old ones serve on.
func (c *certificates) fresh() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live > 0 && time.Since(c.read) > c.live {
		c.read = time.Now()
		next, err := c.load()
		if err != nil {
			c.log.Error("certificates cannot be read again; the old ones serve on", "err", err)
		} else {
			c.now = next
		}
	}
	return c.now
}

func (c *certificates) load() (*tls.Config, error) {
	if c.cfg.TLS.Cert == nil || c.cfg.TLS.Key == nil {
		return nil, errors.New(c.setting + " needs tls.cert and tls.key")
	}
	pair, err := tls.LoadX509KeyPair(*c.cfg.TLS.Cert, *c.cfg.TLS.Key)
	if err != nil {
		return nil, fmt.Errorf("tls.cert, tls.key: %w", err)
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, Certificates: []tls.Certificate{pair}}
	if !c.verify {
		return out, nil
	}
	if c.cfg.TLS.CACert == nil {
		return nil, errors.New("verifying who connects (service.verify_https_client_certificate, cluster.p2p.enable_tls) needs tls.ca_cert")
	}
	pem, err := os.ReadFile(*c.cfg.TLS.CACert)
	if err != nil {
		return nil, fmt.Errorf("tls.ca_cert: %w", err)
	}
	out.ClientCAs = x509.NewCertPool()
	if !out.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls.ca_cert: %s holds no certificate", *c.cfg.TLS.CACert)
	}
	out.ClientAuth = tls.RequireAndVerifyClientCert
	return out, nil
}
