package rest

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/auth"
	"github.com/sextantdb/sextant/internal/config"
	"github.com/sextantdb/sextant/internal/node"
)

// backend is what the edge asks of a node. Tests of the edge alone have their own.
type backend interface {
	process
	collections
	points
	snapshots
	clusters
}

type clusters interface {
	Cluster(a auth.Access) (node.ClusterInfo, error)
	RemovePeer(ctx context.Context, a auth.Access, id uint64, force bool, timeout time.Duration) error
	RecoverConsensus(a auth.Access) error
	MetadataKeys(a auth.Access) ([]string, error)
	Metadata(a auth.Access, key string) (json.RawMessage, error)
	SetMetadata(ctx context.Context, a auth.Access, key string, value json.RawMessage, wait bool) error
	CreateShardKey(ctx context.Context, a auth.Access, name string, k node.CreateShardKey, timeout time.Duration) error
	DropShardKey(ctx context.Context, a auth.Access, name string, key node.ShardKey, timeout time.Duration) error
	DropReplica(ctx context.Context, a auth.Access, name string, shard uint32, peer uint64, timeout time.Duration) error
	StartTransfer(ctx context.Context, a auth.Access, name string, t node.Transfer, timeout time.Duration) error
	AbortTransfer(ctx context.Context, a auth.Access, name string, t node.Transfer, timeout time.Duration) error
	VerifyShard(ctx context.Context, a auth.Access, name string, shard uint32, timeout time.Duration) (seq uint64, equal bool, err error)
	RestartTransfer(ctx context.Context, a auth.Access, name string, t node.Transfer, timeout time.Duration) error
	Reshard(a auth.Access, name string, o node.Resharding) error
	ReplicatePoints(ctx context.Context, a auth.Access, name string, from, to node.ShardKey, f *sextant.Filter, timeout time.Duration) error
	ClusterTelemetry(ctx context.Context, a auth.Access, timeout time.Duration) (node.ClusterTelemetry, error)
}

type process interface {
	Settings() config.Config
	Version() (version, commit string)
	ID() string
	PeerID() uint64
	Started() time.Time
	AwaitReady(ctx context.Context) bool
	Recovery() string
	AuthEnabled() bool
	Authenticate(ctx context.Context, apiKey, bearer string) (auth.Access, error)
	Go(what string, f func(ctx context.Context) error)
	Collections(a auth.Access) []node.CollectionReport
}

type collections interface {
	CreateCollection(ctx context.Context, a auth.Access, name string, c node.CreateCollection, timeout time.Duration) error
	PatchCollection(ctx context.Context, a auth.Access, name string, p node.PatchCollection, timeout time.Duration) error
	DeleteCollection(ctx context.Context, a auth.Access, name string, timeout time.Duration) (bool, error)
	ListCollections(a auth.Access) []string
	CollectionExists(a auth.Access, name string) (bool, error)
	CollectionInfo(ctx context.Context, a auth.Access, name string) (node.CollectionInfo, error)
	UpdateAliases(ctx context.Context, a auth.Access, actions []node.AliasAction, timeout time.Duration) error
	Aliases(a auth.Access, collection string) ([]node.Alias, error)
	CreateIndex(ctx context.Context, a auth.Access, collection string, key sextant.Path, spec sextant.FieldSpec,
		o node.WriteOptions) (sextant.Receipt, error)
	DropIndex(ctx context.Context, a auth.Access, collection string, key sextant.Path,
		o node.WriteOptions) (sextant.Receipt, error)
	CreateVector(ctx context.Context, a auth.Access, collection, name string, v node.VectorSchema,
		o node.WriteOptions) (sextant.Receipt, error)
	DropVector(ctx context.Context, a auth.Access, collection, name string, o node.WriteOptions) (sextant.Receipt, error)
	CollectionCluster(a auth.Access, name string) (node.CollectionCluster, error)
	ChangeCluster(a auth.Access, name string) error
	ShardKeys(a auth.Access, name string) (keys []node.ShardKey, ok bool, err error)
	Optimizations(a auth.Access, name string, completedLimit int) (node.Optimizations, error)
	Memory(a auth.Access, name string) (node.Memory, error)
}

type points interface {
	Update(ctx context.Context, a auth.Access, collection string, u sextant.Update,
		o node.WriteOptions) (sextant.Receipt, error)
	UpdateBatch(ctx context.Context, a auth.Access, collection string, us []sextant.Update,
		o node.WriteOptions) ([]sextant.Receipt, error)
	Query(ctx context.Context, a auth.Access, collection string, qs []sextant.Query,
		o node.ReadOptions) ([][]sextant.ScoredPoint, error)
	Scroll(ctx context.Context, a auth.Access, collection string, s sextant.Scroll,
		o node.ReadOptions) ([]sextant.Record, *sextant.PointID, error)
	Retrieve(ctx context.Context, a auth.Access, collection string, ids []sextant.PointID, p sextant.PayloadSelector,
		v sextant.VectorSelector, o node.ReadOptions) ([]sextant.Record, error)
	Count(ctx context.Context, a auth.Access, collection string, f *sextant.Filter, exact bool,
		o node.ReadOptions) (uint64, error)
}

type snapshots interface {
	CreateSnapshot(ctx context.Context, a auth.Access, collection string, shard *uint32) (node.SnapshotInfo, error)
	ListSnapshots(a auth.Access, collection string, shard *uint32) ([]node.SnapshotInfo, error)
	OpenSnapshot(a auth.Access, collection string, shard *uint32, name string) (*node.SnapshotFile, error)
	DeleteSnapshot(ctx context.Context, a auth.Access, collection string, shard *uint32, name string) error
	RecoverSnapshot(ctx context.Context, a auth.Access, collection string, shard *uint32, location string,
		o node.RecoverOptions) error
	MayRecover(a auth.Access, collection string) error
	UploadSnapshot(ctx context.Context, a auth.Access, collection string, shard *uint32, r io.Reader,
		o node.RecoverOptions, wait bool) error
	StreamShardSnapshot(ctx context.Context, a auth.Access, collection string, shard uint32, name func(string),
		w io.Writer) error
}
