// Package server builds the objects of a running database out of its settings, opens the ports, and stops in order.
//
// Shapes: Config is all settings; DefaultConfig and LoadConfig make one. Start returns when requests are answered.
// Errors: a port or a directory that cannot be used, by name.
// Concurrency: a Server may be closed from any goroutine, also more than once. No goroutine outlives Close.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sextantdb/sextant/internal/config"
	"github.com/sextantdb/sextant/internal/network"
	"github.com/sextantdb/sextant/internal/node"
	"github.com/sextantdb/sextant/internal/rest"
	"github.com/sextantdb/sextant/internal/telemetry"
)

// APIVersion is the version of the protocol that clients are told.
const APIVersion = "1.19.0"

// Config is every setting of a server.
type Config = config.Config

// DefaultConfig returns the settings of a server that nobody configured.
func DefaultConfig() Config { return config.Default() }

// LoadConfig merges the files below the working directory and /etc, an own file ("": none), the environment, and flags by
// dotted key. What could not be used is logged.
func LoadConfig(file string, flags map[string]any, log *slog.Logger) Config {
	c, warnings := config.Load(config.Sources{ReadFile: os.ReadFile, Env: os.Environ(), Path: file, Flags: flags})
	for _, w := range warnings {
		level := slog.LevelWarn
		if w.Severe {
			level = slog.LevelError
		}
		log.Log(context.Background(), level, "a setting cannot be used", "source", w.Source, "err", w.Text)
	}
	return c
}

// Parts are what a server is given besides its settings. The zero value is usable.
type Parts struct {
	Log    *slog.Logger // nil: as the settings say, on stderr
	Commit string       // 40 hex digits; "": that of the build
	// Snapshots are restored before the ports open: collections by file, and a snapshot of everything.
	Snapshots       []Snapshot
	StorageSnapshot string
	ForceSnapshot   bool // also over existing collections

	URI       string // where other peers of a cluster reach this one
	Bootstrap string // address of a peer of the cluster to join
	Reinit    bool   // of a peer of a cluster: forget the others
}

// Snapshot is a file and the collection that it becomes.
type Snapshot struct{ File, Collection string }

// Server is a running database.
type Server struct {
	node   *node.Node
	log    *slog.Logger
	ports  []*http.Server
	addr   net.Addr
	failed chan error
	run    sync.WaitGroup
	end    context.CancelFunc // of the requests
	once   sync.Once
	err    error
}

// Start opens the storage and the ports.
func Start(ctx context.Context, cfg Config, parts Parts) (*Server, error) {
	log := parts.Log
	if log == nil {
		var err error
		if log, err = NewLogger(cfg, os.Stderr); err != nil {
			return nil, err
		}
	}
	if parts.Commit == "" {
		parts.Commit = buildCommit()
	}
	limitMemory(log)
	if err := portsFree(cfg); err != nil {
		return nil, err
	}
	n, err := node.Open(ctx, node.Options{Settings: cfg, Log: log, Version: APIVersion, Commit: parts.Commit, Cluster: node.ClusterOptions{
		URI: parts.URI, Bootstrap: parts.Bootstrap, Reinit: parts.Reinit,
		Connect: func(self network.Identity, h network.Handler) (network.Network, func() error, error) {
			return connect(cfg, log, self, h)
		}}})
	if err != nil {
		return nil, err
	}
	s := &Server{node: n, log: log, failed: make(chan error, 2)}
	if err := s.open(ctx, cfg, parts); err != nil {
		return nil, errors.Join(err, s.Close(ctx))
	}
	return s, nil
}

func (s *Server) open(ctx context.Context, cfg Config, parts Parts) error {
	if parts.StorageSnapshot != "" {
		if err := s.node.LoadStorage(ctx, parts.StorageSnapshot, parts.ForceSnapshot); err != nil {
			return fmt.Errorf("restore %s: %w", parts.StorageSnapshot, err)
		}
	}
	for _, snap := range parts.Snapshots {
		if err := s.node.LoadSnapshot(ctx, snap.File, snap.Collection, parts.ForceSnapshot); err != nil {
			return fmt.Errorf("restore %s: %w", snap.File, err)
		}
	}
	requests, end := context.WithCancel(context.WithoutCancel(ctx))
	s.end = end
	recorder := telemetry.NewRecorder()
	handler := rest.NewHandler(s.node, rest.Options{Log: s.log, Recorder: recorder})
	var secure *tls.Config
	if cfg.Service.EnableTLS {
		var err error
		if secure, err = newTLS(cfg, s.log); err != nil {
			return err
		}
	}
	addr, err := s.listen(requests, cfg, cfg.Service.HTTPPort, handler, secure)
	if err != nil {
		return fmt.Errorf("service.http_port: %w", err)
	}
	s.addr = addr
	if port := cfg.Service.MetricsPort; port != nil {
		if _, err := s.listen(requests, cfg, *port, handler.Metrics(), nil); err != nil {
			return fmt.Errorf("service.metrics_port: %w", err)
		}
	}
	for _, text := range unserved(cfg) {
		s.log.Warn("a setting has no effect in this version", "setting", text)
	}
	s.log.Info("serving", "addr", addr.String(), "tls", secure != nil, "keys", s.node.AuthEnabled(), "version", APIVersion)
	return nil
}

// unserved lists what was asked for on purpose and is not there. The gRPC port is on by default; asking for another one
// is on purpose.
func unserved(cfg Config) (list []string) {
	def := DefaultConfig()
	for text, asked := range map[string]bool{
		"service.grpc_port":            cfg.Service.GRPCPort != nil && *cfg.Service.GRPCPort != *def.Service.GRPCPort,
		"service.hardware_reporting":   cfg.Service.HardwareReporting,
		"audit.enabled":                cfg.Audit.Enabled,
		"inference.address":            cfg.Inference.Address != nil,
		"storage.quotas.enabled":       cfg.Storage.Quotas.Enabled,
		"storage.low_memory_mode":      cfg.Storage.LowMemoryMode != def.Storage.LowMemoryMode,
		"storage.snapshots_config: s3": cfg.Storage.SnapshotsConfig.SnapshotsStorage != "local",
	} {
		if asked {
			list = append(list, text)
		}
	}
	slices.Sort(list)
	return list
}

// portsFree refuses a start whose ports for clients are in use, before it becomes a member of a cluster. They open later: a client
// that connects shall not wait for a start that may take long.
func portsFree(cfg Config) error {
	ports := map[string]*uint16{"service.http_port": &cfg.Service.HTTPPort, "service.metrics_port": cfg.Service.MetricsPort}
	for _, setting := range slices.Sorted(maps.Keys(ports)) {
		if port := ports[setting]; port != nil && *port != 0 {
			l, err := net.Listen("tcp", address(cfg, *port))
			if err == nil {
				err = l.Close()
			}
			if err != nil {
				return fmt.Errorf("%s: %w", setting, err)
			}
		}
	}
	return nil
}

func address(cfg Config, port uint16) string {
	return net.JoinHostPort(cfg.Service.Host, strconv.Itoa(int(port)))
}

// listen opens one port and serves it until Close.
func (s *Server) listen(requests context.Context, cfg Config, port uint16, h http.Handler, secure *tls.Config) (net.Addr, error) {
	l, err := net.Listen("tcp", address(cfg, port))
	if err != nil {
		return nil, err
	}
	addr := l.Addr()
	p := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: time.Duration(cfg.Service.HTTPClientRequestTimeoutSec) * time.Second,
		IdleTimeout:       time.Duration(cfg.Service.HTTPKeepAliveTimeoutSec) * time.Second,
		BaseContext:       func(net.Listener) context.Context { return requests },
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		TLSConfig:         secure,
	}
	s.ports = append(s.ports, p)
	s.run.Go(func() {
		serve := p.Serve
		if secure != nil {
			serve = func(l net.Listener) error { return p.ServeTLS(l, "", "") }
		}
		if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
	})
	return addr, nil
}

// Addr is where the REST API is served.
func (s *Server) Addr() net.Addr { return s.addr }

// Failed tells when a port stopped working by itself.
func (s *Server) Failed() <-chan error { return s.failed }

const (
	// drainTime is for requests that run when the server stops; stopTime is for everything.
	drainTime = 2500 * time.Millisecond
	stopTime  = 5 * time.Second
)

// Close stops the server: no new requests, the running ones may end, then the storage is closed. It takes at most about
// five seconds, less if ctx ends.
func (s *Server) Close(ctx context.Context) error {
	s.once.Do(func() {
		start := time.Now()
		drain, cancel := context.WithTimeout(ctx, drainTime)
		defer cancel()
		var stopping sync.WaitGroup
		for _, p := range s.ports {
			stopping.Go(func() {
				if p.Shutdown(drain) != nil && s.end != nil {
					s.end() // whoever still works is told to stop
					_ = p.Close()
				}
			})
		}
		stopping.Wait()
		if s.end != nil {
			s.end()
		}
		s.run.Wait()
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime-time.Since(start))
		defer cancel()
		s.err = s.node.Close(closing)
		s.log.Info("stopped", "took", time.Since(start).Round(time.Millisecond))
	})
	return s.err
}

// limitMemory keeps the heap below the limit of the control group, unless GOMEMLIMIT says something else. A part is left
// to what is not on the heap: maps of files, stacks, the kernel.
func limitMemory(log *slog.Logger) {
	limit := node.GroupMemory()
	if limit == 0 || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	soft := int64(limit / 5 * 4)
	debug.SetMemoryLimit(soft)
	log.Info("the heap is kept below the limit of the control group", "limit", limit, "heap", soft)
}

func buildCommit() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) == 40 {
				return s.Value
			}
		}
	}
	return ""
}
