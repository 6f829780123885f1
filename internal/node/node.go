// Package node makes this process match the topology and serves the edges: collections, points, snapshots.
//
// Shapes: every service takes the caller's auth.Access in the open and the names as the request has them; aliases are
// resolved here. Answers are values of the vocabulary.
// Errors: *sextant.Error with the texts of the API; kinds Invalid and Malformed carry the whole sentence, the others
// lack only the prefix of their kind.
// Concurrency: a Node is used by any number of goroutines until Close.
package node

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/auth"
	"github.com/sextantdb/sextant/internal/config"
	"github.com/sextantdb/sextant/internal/vfs"
)

// Options are what a node is made of.
type Options struct {
	Settings config.Config
	FS       vfs.FS       // nil: the real file system
	Log      *slog.Logger // nil: silent
	Version  string       // x.y.z that clients see
	Commit   string       // 40 hex digits, or ""
}

// Node is this process' part of the database.
type Node struct {
	opts Options
}

// Open starts a node on its storage directory.
func Open(ctx context.Context, opts Options) (*Node, error) { return nil, unfinished }

// Close stops everything the node does and makes its data durable; requests that still run end with errors.
func (n *Node) Close(ctx context.Context) error { return unfinished }

// Settings returns what the node was opened with.
func (n *Node) Settings() config.Config { return n.opts.Settings }

// Version returns the version and commit that clients see.
func (n *Node) Version() (version, commit string) { return n.opts.Version, n.opts.Commit }

// ID is the id of this process, a UUID; PeerID names this node in cluster answers.
func (n *Node) ID() string     { return "" }
func (n *Node) PeerID() uint64 { return 0 }

// Started is when the node was opened.
func (n *Node) Started() time.Time { return time.Time{} }

// Ready reports whether all shards can be used.
func (n *Node) Ready() bool { return false }

// Recovery returns the text of the recovery mode, "" when shards are served.
func (n *Node) Recovery() string { return "" }

// AuthEnabled reports whether callers must show a key.
func (n *Node) AuthEnabled() bool { return false }

// Authenticate turns the key of a request into its rights: apiKey is the header "api-key", bearer the whole header
// "Authorization"; both "" when absent. It returns Unauthenticated or Forbidden with the sentence to send as plain text.
func (n *Node) Authenticate(ctx context.Context, apiKey, bearer string) (auth.Access, error) {
	return auth.Access{}, unfinished
}

// Go runs f in the background until Close, for requests that do not wait; an error is only logged.
func (n *Node) Go(what string, f func(ctx context.Context) error) {}

var unfinished = sextant.Errorf(sextant.NotImplemented, "not built yet")

// Collections.

// CreateCollection makes a collection; timeout 0 is the default of 10 s.
func (n *Node) CreateCollection(ctx context.Context, a auth.Access, name string, c CreateCollection, timeout time.Duration) error {
	return unfinished
}

// PatchCollection changes settings, all or none.
func (n *Node) PatchCollection(ctx context.Context, a auth.Access, name string, p PatchCollection, timeout time.Duration) error {
	return unfinished
}

// DeleteCollection removes a collection and its aliases; false when there was none.
func (n *Node) DeleteCollection(ctx context.Context, a auth.Access, name string, timeout time.Duration) (bool, error) {
	return false, unfinished
}

// ListCollections returns the names that the caller may see, sorted.
func (n *Node) ListCollections(a auth.Access) []string { return nil }

// CollectionExists resolves aliases.
func (n *Node) CollectionExists(a auth.Access, name string) (bool, error) { return false, unfinished }

// CollectionInfo describes a collection.
func (n *Node) CollectionInfo(ctx context.Context, a auth.Access, name string) (CollectionInfo, error) {
	return CollectionInfo{}, unfinished
}

// UpdateAliases does all actions at once, or none.
func (n *Node) UpdateAliases(ctx context.Context, a auth.Access, actions []AliasAction, timeout time.Duration) error {
	return unfinished
}

// Aliases lists the aliases of a collection, or all with "".
func (n *Node) Aliases(a auth.Access, collection string) ([]Alias, error) { return nil, unfinished }

// CreateIndex makes a payload index.
func (n *Node) CreateIndex(ctx context.Context, a auth.Access, collection string, key sextant.Path, spec sextant.FieldSpec, o WriteOptions) (sextant.Receipt, error) {
	return sextant.Receipt{}, unfinished
}

// DropIndex removes a payload index; a missing one is no error.
func (n *Node) DropIndex(ctx context.Context, a auth.Access, collection string, key sextant.Path, o WriteOptions) (sextant.Receipt, error) {
	return sextant.Receipt{}, unfinished
}

// CreateVector adds a vector name.
func (n *Node) CreateVector(ctx context.Context, a auth.Access, collection, name string, v VectorSchema, o WriteOptions) (sextant.Receipt, error) {
	return sextant.Receipt{}, unfinished
}

// DropVector removes a vector name; a missing one is no error.
func (n *Node) DropVector(ctx context.Context, a auth.Access, collection, name string, o WriteOptions) (sextant.Receipt, error) {
	return sextant.Receipt{}, unfinished
}

// CollectionCluster tells where the shards of a collection are.
func (n *Node) CollectionCluster(a auth.Access, name string) (CollectionCluster, error) {
	return CollectionCluster{}, unfinished
}

// ChangeCluster is the access check and refusal of everything that needs a cluster.
func (n *Node) ChangeCluster(a auth.Access, name string) error { return unfinished }

// ShardKeys lists the shard keys; ok is false with automatic sharding.
func (n *Node) ShardKeys(a auth.Access, name string) (keys []ShardKey, ok bool, err error) {
	return nil, false, unfinished
}

// Optimizations lists builds: all that run and wait, the newest completed ones, and segments without work.
func (n *Node) Optimizations(a auth.Access, name string, completedLimit int) (Optimizations, error) {
	return Optimizations{}, unfinished
}

// Memory reports what a collection takes.
func (n *Node) Memory(a auth.Access, name string) (Memory, error) { return Memory{}, unfinished }

// Collections reports every collection that the caller may see, for telemetry and metrics.
func (n *Node) Collections(a auth.Access) []CollectionReport { return nil }

// Points.

// Update does one update.
func (n *Node) Update(ctx context.Context, a auth.Access, collection string, u sextant.Update, o WriteOptions) (sextant.Receipt, error) {
	return sextant.Receipt{}, unfinished
}

// UpdateBatch does updates in order; the first that fails ends it with its error.
func (n *Node) UpdateBatch(ctx context.Context, a auth.Access, collection string, us []sextant.Update, o WriteOptions) ([]sextant.Receipt, error) {
	return nil, unfinished
}

// Query answers queries in order, all or an error.
func (n *Node) Query(ctx context.Context, a auth.Access, collection string, qs []sextant.Query, o ReadOptions) ([][]sextant.ScoredPoint, error) {
	return nil, unfinished
}

// Scroll reads points in order and where the next page begins.
func (n *Node) Scroll(ctx context.Context, a auth.Access, collection string, s sextant.Scroll, o ReadOptions) ([]sextant.Record, *sextant.PointID, error) {
	return nil, nil, unfinished
}

// Retrieve reads points by id in the order asked, each once; missing ones are left out.
func (n *Node) Retrieve(ctx context.Context, a auth.Access, collection string, ids []sextant.PointID, p sextant.PayloadSelector, v sextant.VectorSelector, o ReadOptions) ([]sextant.Record, error) {
	return nil, unfinished
}

// Count counts the points that match.
func (n *Node) Count(ctx context.Context, a auth.Access, collection string, f *sextant.Filter, exact bool, o ReadOptions) (uint64, error) {
	return 0, unfinished
}

// Snapshots. collection "" with a nil shard is the whole storage, a nil shard the collection.

// CreateSnapshot makes a snapshot and stores it.
func (n *Node) CreateSnapshot(ctx context.Context, a auth.Access, collection string, shard *uint32) (SnapshotInfo, error) {
	return SnapshotInfo{}, unfinished
}

// ListSnapshots lists the stored snapshots, by name.
func (n *Node) ListSnapshots(a auth.Access, collection string, shard *uint32) ([]SnapshotInfo, error) {
	return nil, unfinished
}

// OpenSnapshot opens a stored snapshot for download.
func (n *Node) OpenSnapshot(a auth.Access, collection string, shard *uint32, name string) (*SnapshotFile, error) {
	return nil, unfinished
}

// DeleteSnapshot removes a stored snapshot.
func (n *Node) DeleteSnapshot(ctx context.Context, a auth.Access, collection string, shard *uint32, name string) error {
	return unfinished
}

// RecoverSnapshot replaces data by a snapshot from a location: http(s) URL, file URL, or for shards a stored name.
func (n *Node) RecoverSnapshot(ctx context.Context, a auth.Access, collection string, shard *uint32, location string, o RecoverOptions) error {
	return unfinished
}

// MayRecover is the access check of recover and upload alone, to be made before a body is read.
func (n *Node) MayRecover(a auth.Access, collection string) error { return unfinished }

// UploadSnapshot replaces data by the snapshot that r brings. It returns when the file is stored aside and, with wait,
// when the data are in their place; without, the rest goes on in the background.
func (n *Node) UploadSnapshot(ctx context.Context, a auth.Access, collection string, shard *uint32, r io.Reader, o RecoverOptions, wait bool) error {
	return unfinished
}

// StreamShardSnapshot writes a fresh shard snapshot to w; nothing is stored. name is told before the first byte.
func (n *Node) StreamShardSnapshot(ctx context.Context, a auth.Access, collection string, shard uint32, name func(string), w io.Writer) error {
	return unfinished
}
