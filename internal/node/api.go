package node

import (
	"encoding/json"
	"io"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/collection"
	"github.com/sextantdb/sextant/internal/topology"
)

// Reports of collections, shown as they are by the edges.
type (
	ShardKey       = topology.ShardKey
	CollectionInfo = collection.Info
	ShardInfo      = collection.ShardInfo
	FieldInfo      = collection.FieldInfo
	Optimizations  = collection.Optimizations
	Build          = collection.Build
	Memory         = collection.Memory
)

// ReadOptions say how a read is done.
type ReadOptions struct {
	Timeout     time.Duration // 0: the default, and strict mode's max_timeout does not look at it
	Consistency string        // "" is the default; a number, majority, quorum, all
	ShardKeys   []ShardKey    // nil: all shards
	Fallback    *ShardKey     // in place of the one key of ShardKeys, if that cannot be read
	Shard       *uint32       // only this local shard
	// Linearizable reads miss nothing that was acknowledged before them.
	Linearizable bool
	Affinity     string // reads of equal, non-empty affinity go to the same replicas
}

// WriteOptions say how a write is done.
type WriteOptions struct {
	Wait     bool
	Ordering string         // "" or weak, medium, strong: every write of a shard takes one order anyway
	Timeout  *time.Duration // nil: the default; 0 is allowed and means: do not wait at all
	ShardKey []ShardKey     // of collections with custom sharding
	Fallback *ShardKey      // in place of the one ShardKey, if that has nobody active
}

// CreateCollection is the body of a create request: what is nil or absent takes the server's defaults.
type CreateCollection struct {
	Vectors                *sextant.VectorsConfig          `json:"vectors,omitempty"`
	SparseVectors          map[string]sextant.SparseParams `json:"sparse_vectors,omitempty"`
	ShardNumber            *uint32                         `json:"shard_number,omitempty"`
	ShardingMethod         *string                         `json:"sharding_method,omitempty"`
	ReplicationFactor      *uint32                         `json:"replication_factor,omitempty"`
	WriteConsistencyFactor *uint32                         `json:"write_consistency_factor,omitempty"`
	OnDiskPayload          *bool                           `json:"on_disk_payload,omitempty"`
	Payload                *sextant.PayloadStorage         `json:"payload,omitempty"`
	HNSW                   *sextant.HNSWDiff               `json:"hnsw_config,omitempty"`
	WAL                    *WALDiff                        `json:"wal_config,omitempty"`
	Optimizers             *OptimizersDiff                 `json:"optimizers_config,omitempty"`
	Quantization           *sextant.QuantizationConfig     `json:"quantization_config,omitempty"`
	StrictMode             *sextant.StrictModeConfig       `json:"strict_mode_config,omitempty"`
	Metadata               json.RawMessage                 `json:"metadata,omitempty"`
}

// WALDiff sets some of sextant.WALConfig.
type WALDiff struct {
	CapacityMB    *uint64 `json:"wal_capacity_mb,omitempty"`
	SegmentsAhead *uint64 `json:"wal_segments_ahead,omitempty"`
	RetainClosed  *uint64 `json:"wal_retain_closed,omitempty"`
}

// OptimizersDiff sets some of sextant.OptimizerConfig. Sizes are in KB.
type OptimizersDiff struct {
	DeletedThreshold       *float64     `json:"deleted_threshold,omitempty"`
	VacuumMinVectorNumber  *uint64      `json:"vacuum_min_vector_number,omitempty"`
	DefaultSegmentNumber   *uint64      `json:"default_segment_number,omitempty"`
	MaxSegmentSize         *uint64      `json:"max_segment_size,omitempty"`
	MemmapThreshold        *uint64      `json:"memmap_threshold,omitempty"`
	IndexingThreshold      *uint64      `json:"indexing_threshold,omitempty"`
	FlushIntervalSec       *uint64      `json:"flush_interval_sec,omitempty"`
	MaxOptimizationThreads *AutoThreads `json:"max_optimization_threads,omitempty"`
	PreventUnoptimized     *bool        `json:"prevent_unoptimized,omitempty"`
}

// AutoThreads is a number of threads or the word "auto".
type AutoThreads struct {
	Auto bool
	N    uint64
}

// UnmarshalJSON reads either form.
func (t *AutoThreads) UnmarshalJSON(b []byte) error {
	if string(b) == `"auto"` {
		*t = AutoThreads{Auto: true}
		return nil
	}
	t.Auto = false
	return json.Unmarshal(b, &t.N)
}

// PatchCollection is the body of a PATCH: what is nil stays as it is.
type PatchCollection struct {
	Vectors       map[string]VectorPatch          `json:"vectors,omitempty"` // the unnamed vector is ""
	SparseVectors map[string]sextant.SparseParams `json:"sparse_vectors,omitempty"`
	Optimizers    *OptimizersDiff                 `json:"optimizers_config,omitempty"`
	Params        *ParamsPatch                    `json:"params,omitempty"`
	HNSW          *sextant.HNSWDiff               `json:"hnsw_config,omitempty"`
	Quantization  *sextant.QuantizationConfig     `json:"quantization_config,omitempty"` // Disabled removes it
	StrictMode    *sextant.StrictModeConfig       `json:"strict_mode_config,omitempty"`
	Metadata      json.RawMessage                 `json:"metadata,omitempty"`
}

// VectorPatch changes the settings of one dense vector name.
type VectorPatch struct {
	HNSW         *sextant.HNSWDiff           `json:"hnsw_config,omitempty"`
	Quantization *sextant.QuantizationConfig `json:"quantization_config,omitempty"`
	OnDisk       *bool                       `json:"on_disk,omitempty"`
	Memory       *sextant.Memory             `json:"memory,omitempty"`
}

// ParamsPatch changes sextant.CollectionParams.
type ParamsPatch struct {
	ReplicationFactor      *uint32                 `json:"replication_factor,omitempty"`
	WriteConsistencyFactor *uint32                 `json:"write_consistency_factor,omitempty"`
	ReadFanOutFactor       *uint32                 `json:"read_fan_out_factor,omitempty"`
	ReadFanOutDelayMs      *uint64                 `json:"read_fan_out_delay_ms,omitempty"`
	OnDiskPayload          *bool                   `json:"on_disk_payload,omitempty"`
	Payload                *sextant.PayloadStorage `json:"payload,omitempty"`
}

// VectorSchema is a vector name to be added: Dense or Sparse is set.
type VectorSchema struct {
	Dense  *sextant.VectorParams
	Sparse *sextant.SparseParams
}

// AliasAction is one step of an alias update; its kind is one of these.
type AliasAction = topology.AliasAction

const (
	CreateAlias = topology.CreateAlias
	DeleteAlias = topology.DeleteAlias
	RenameAlias = topology.RenameAlias
)

// Alias is another name for a collection.
type Alias struct {
	Alias      string `json:"alias_name"`
	Collection string `json:"collection_name"`
}

// CollectionCluster is where the shards of a collection are.
type CollectionCluster struct {
	PeerID     uint64
	ShardCount int
	Local      []LocalShard
	Remote     []RemoteShard
	Transfers  []TransferInfo
}

// TransferInfo is a transfer of a shard's data between peers.
type TransferInfo struct {
	Shard    uint32
	ToShard  *uint32
	From, To uint64
	Sync     bool
	Method   string
	Comment  string // of the sender: how far it is; "" elsewhere
}

// LocalShard is a replica on this node.
type LocalShard struct {
	ID     uint32
	Key    *ShardKey
	Points uint64
	State  string // Active, Dead, …
}

// RemoteShard is a replica on another peer.
type RemoteShard struct {
	ID    uint32
	Key   *ShardKey
	Peer  uint64
	State string
}

// SnapshotInfo is a stored snapshot as lists show it.
type SnapshotInfo struct {
	Name     string
	Created  time.Time // UTC, whole seconds; zero: unknown
	Size     int64
	Checksum string // lower-case hex SHA-256; "": the side file is missing
}

// SnapshotFile is a stored snapshot opened for download.
type SnapshotFile struct {
	SnapshotInfo
	io.ReadSeeker
	io.Closer
}

// RecoverOptions say how the data of a snapshot take their place.
type RecoverOptions struct {
	Priority string // "" or snapshot, replica, no_sync
	Checksum string // lower-case hex SHA-256 that the file must have; "": any
	APIKey   string // sent when the location is fetched
}

// CollectionReport is one collection as telemetry and metrics see it.
type CollectionReport struct {
	Name     string
	InitTime time.Duration
	Config   sextant.CollectionConfig
	Shards   []ShardReport
	// Transfers are those of the whole cluster; only their senders know how far they are.
	Transfers []TransferInfo
	// Snapshot counters of this process.
	SnapshotsCreated                    uint64
	SnapshotsCreating, SnapshotsLoading int
}

// ShardReport is one shard as telemetry sees it: in a cluster also one without a replica here, of which only where it is is told.
type ShardReport struct {
	ID       uint32
	Key      *ShardKey
	State    string            // of the replica here; "": there is none
	Replicas map[uint64]string // the states of all replicas, by peer
	Stands   *ReplicaSight     // where the replica here stands; nil: there is none, or the node is alone
	Info     ShardInfo
	Builds   Optimizations
	Error    string // why the shard is not served; "" when it is
	Recovery bool   // a snapshot is being restored into it
}
