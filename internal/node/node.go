// Package node makes this process match the topology and serves the edges: collections, points, snapshots.
//
// Shapes: every service takes the caller's auth.Access in the open and the names as the request has them; aliases are
// resolved here. Answers are values of the vocabulary.
// Errors: *sextant.Error with the texts of the API; kinds Invalid and Malformed carry the whole sentence, the others
// lack only the prefix of their kind.
// Concurrency: a Node is used by any number of goroutines until Close. What changes the topology waits in one line.
// Files: <storage>/topology (the agreed state), collections/<uuid>/<shard>/ (shards), .deleted/ (on their way out),
// tmp/ (uploads and downloads, emptied at start), peer (the id of this node), ballast (room for the way out of a full
// disk), lock.
package node

import (
	"context"
	"errors"
	"log/slog"
	"path"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/auth"
	"github.com/sextantdb/sextant/internal/collection"
	"github.com/sextantdb/sextant/internal/config"
	"github.com/sextantdb/sextant/internal/consensus"
	"github.com/sextantdb/sextant/internal/snapshot"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/vfs"
)

// Options are what a node is made of.
type Options struct {
	Settings config.Config
	FS       vfs.FS       // nil: the real file system
	Log      *slog.Logger // nil: silent
	Version  string       // x.y.z that clients see
	Commit   string       // 40 hex digits, or ""

	Cluster ClusterOptions // used if the settings enable the cluster
}

// Node is this process' part of the database.
type Node struct {
	opts     Options
	settings config.Config
	fs       vfs.FS
	log      *slog.Logger
	dir      string // absolute
	id       string // of this life, a UUID
	peer     topology.PeerID
	started  time.Time
	lock     interface{ Close() error }
	keys     *auth.Verifier
	store    *snapshot.Store
	engines  opener
	space    *space
	machine  topology.Machine
	solo     *consensus.Solo                    // standalone
	cluster  *cluster                           // nil: standalone
	hosted   atomic.Pointer[map[string]*hosted] // by uuid; replaced whole
	searches chan struct{}                      // a place for each search that may run
	change   chan struct{}                      // holds one token: whoever has it may change topology and hosted
	life     context.Context                    // ends with Close
	end      context.CancelFunc
	mu       sync.Mutex // guards closed, and that background work begins only before it
	closed   bool
	running  sync.WaitGroup
}

// Open starts a node on its storage directory. A shard that cannot be opened answers errors; it does not stop the start.
func Open(ctx context.Context, opts Options) (*Node, error) {
	n := &Node{opts: opts, settings: opts.Settings, fs: opts.FS, log: opts.Log, started: time.Now(), change: make(chan struct{}, 1)}
	if n.fs == nil {
		n.fs = vfs.OS{}
	}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	n.change <- struct{}{}
	n.searches = make(chan struct{}, searchPlaces(n.settings.Storage.Performance.MaxSearchThreads))
	n.hosted.Store(&map[string]*hosted{})
	n.life, n.end = context.WithCancel(context.WithoutCancel(ctx))
	if err := n.open(ctx); err != nil {
		n.end()
		n.running.Wait()
		if n.lock != nil {
			err = errors.Join(err, n.lock.Close())
		}
		return nil, err
	}
	return n, nil
}

// searchPlaces is how many searches may run at the same time; by default some for each processor, since searches also
// wait for disks.
func searchPlaces(setting uint64) int {
	if setting == 0 {
		return max(16, 4*runtime.GOMAXPROCS(0))
	}
	return int(min(setting, 1<<16))
}

func (n *Node) open(ctx context.Context) (err error) {
	s := n.settings
	if err := n.prepare(); err != nil {
		return err
	}
	if n.lock, err = n.fs.Lock(path.Join(n.dir, "lock")); errors.Is(err, vfs.ErrLocked) {
		return sextant.Errorf(sextant.Unavailable, "the storage directory %s is in use by another process", n.dir)
	} else if err != nil {
		return err
	}
	if err := n.identify(); err != nil {
		return err
	}
	n.keys = auth.New(auth.Options{APIKey: pick(s.Service.APIKey, ""), AltAPIKey: pick(s.Service.AltAPIKey, ""),
		ReadOnlyAPIKey: pick(s.Service.ReadOnlyAPIKey, ""), JWT: s.Service.JWTRBAC})
	n.space = newSpace(n.fs, n.dir)
	if s.Cluster.Enabled {
		return n.openCluster(ctx)
	}
	if n.solo, err = consensus.OpenSolo(n.fs, path.Join(n.dir, soloFile), &n.machine); err != nil {
		return err
	}
	if err := n.sweep(); err != nil {
		return err
	}
	n.engines = newEngines(n)
	n.reconcile(ctx)
	n.Go("scrub", n.scrub)
	n.log.Info("storage is open", "dir", n.dir, "collections", len(*n.hosted.Load()), "took", time.Since(n.started).Round(time.Millisecond))
	return nil
}

// closesAtOnce is how many shards are closed at the same time; each may write a checkpoint if that is quick.
const closesAtOnce = 32

// Close stops everything the node does and makes its data durable; requests that still run end with errors.
func (n *Node) Close(ctx context.Context) error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return nil
	}
	n.closed = true
	n.mu.Unlock()
	n.end()
	if n.cluster != nil {
		n.cluster.stop()
	}
	<-n.change // no change of the topology is under way, and none will be
	n.running.Wait()
	var all errgroup.Group
	all.SetLimit(closesAtOnce)
	for _, h := range *n.hosted.Load() {
		for _, s := range h.slots() {
			all.Go(func() error {
				err := s.close()
				if err != nil {
					n.log.Error("a shard was not closed well", "collection", h.c.Name(), "shard", s.id, "err", err)
				}
				return err
			})
		}
	}
	err := all.Wait()
	return errors.Join(err, n.engines.close(), n.lock.Close())
}

// Settings returns what the node was opened with.
func (n *Node) Settings() config.Config { return n.settings }

// Version returns the version and commit that clients see.
func (n *Node) Version() (version, commit string) { return n.opts.Version, n.opts.Commit }

// ID is the id of this life of the process, a UUID.
func (n *Node) ID() string { return n.id }

// PeerID names this node in cluster answers; it stays the same over restarts.
func (n *Node) PeerID() uint64 { return uint64(n.peer) }

// Started is when the node was opened.
func (n *Node) Started() time.Time { return n.started }

// Recovery returns the text of the recovery mode, "" when shards are served.
func (n *Node) Recovery() string { return pick(n.settings.Storage.RecoveryMode, "") }

// AuthEnabled reports whether callers must show a key.
func (n *Node) AuthEnabled() bool { return n.keys.Enabled() }

// Authenticate turns the key of a request into its rights: apiKey is the header "api-key", authorization the whole header
// "Authorization"; both "" when absent. It returns Unauthenticated or Forbidden with the sentence to send as plain text.
func (n *Node) Authenticate(ctx context.Context, apiKey, authorization string) (auth.Access, error) {
	a, err := n.keys.Verify(apiKey, authorization)
	if err != nil || a.ValueExists == nil {
		return a, err
	}
	want := a.ValueExists
	_, h := n.find(want.Collection)
	if h == nil {
		return auth.Access{}, sextant.Errorf(sextant.Forbidden, "Invalid JWT: collection %s of value_exists does not exist", want.Collection)
	}
	filter := &sextant.Filter{}
	for _, m := range want.Matches {
		filter.Must = append(filter.Must, sextant.Field{Key: m.Key, Test: sextant.Match{Value: m.Value}})
	}
	page, err := h.c.Scroll(ctx, sextant.Scroll{Limit: 1, Filter: filter}, collection.Read{Default: n.readTimeout(), Internal: true})
	if err != nil {
		return auth.Access{}, err
	}
	if len(page.Records) == 0 {
		return auth.Access{}, sextant.Errorf(sextant.Unauthenticated, "Invalid JWT, stateful validation failed")
	}
	return a, nil
}

// Go runs f in the background until Close, for requests that do not wait; an error is only logged.
func (n *Node) Go(what string, f func(ctx context.Context) error) { n.background(what, f) }

// background is Go that tells whether the node is open still.
func (n *Node) background(what string, f func(ctx context.Context) error) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return false
	}
	n.running.Go(func() {
		if err := f(n.life); err != nil && n.life.Err() == nil {
			n.log.Error("background work failed", "task", what, "err", err)
		}
	})
	return true
}
