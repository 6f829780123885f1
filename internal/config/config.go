// Package config reads the settings of a server: built-in defaults < files < environment < flags, as plain data.
//
// Shapes: keys are those of the configuration files, the Go fields follow them one to one. Sizes keep the unit of their
// key (mb, kb, sec); whoever uses a setting converts it once.
// Errors: there are none that stop a start. A value that cannot be used is left at what it was and told as a Warning.
// Concurrency: values; Load reads files and the environment only through its Sources.
// Sources: the public configuration of the Qdrant 1.19 protocol family.
package config

import "github.com/sextantdb/sextant"

// Config is every setting of a server.
type Config struct {
	LogLevel          string    `json:"log_level"`
	TelemetryDisabled bool      `json:"telemetry_disabled"`
	Logger            Logger    `json:"logger"`
	Storage           Storage   `json:"storage"`
	Service           Service   `json:"service"`
	Cluster           Cluster   `json:"cluster"`
	TLS               TLS       `json:"tls"`
	Inference         Inference `json:"inference"`
	Audit             Audit     `json:"audit"`
}

// Logger says how log lines look and where they go.
type Logger struct {
	Format     string  `json:"format"` // text, json
	Color      string  `json:"color"`  // auto, true, false
	SpanEvents any     `json:"span_events"`
	OnDisk     LogFile `json:"on_disk"`
}

// LogFile is a second place for log lines.
type LogFile struct {
	Enabled         bool    `json:"enabled"`
	LogFile         *string `json:"log_file"`
	LogLevel        *string `json:"log_level"`
	Format          string  `json:"format"`
	SpanEvents      any     `json:"span_events"`
	BufferSizeBytes uint64  `json:"buffer_size_bytes"`
}

// Storage is where data live and what collections are made with.
type Storage struct {
	StoragePath                string                  `json:"storage_path"`
	SnapshotsPath              string                  `json:"snapshots_path"`
	TempPath                   *string                 `json:"temp_path"`
	SnapshotsConfig            SnapshotsConfig         `json:"snapshots_config"`
	OnDiskPayload              bool                    `json:"on_disk_payload"`
	Payload                    *sextant.PayloadStorage `json:"payload"`
	UpdateConcurrency          *uint64                 `json:"update_concurrency"`
	UpdateQueueSize            uint64                  `json:"update_queue_size"`
	HandleCollectionLoadErrors bool                    `json:"handle_collection_load_errors"`
	RecoveryMode               *string                 `json:"recovery_mode"`
	NodeType                   string                  `json:"node_type"`
	MmapAdvice                 string                  `json:"mmap_advice"`
	LowMemoryMode              string                  `json:"low_memory_mode"`
	MaxCollections             *uint64                 `json:"max_collections"`
	HNSWGlobal                 HNSWGlobal              `json:"hnsw_global_config"`
	ShardTransferMethod        *string                 `json:"shard_transfer_method"`
	WAL                        WAL                     `json:"wal"`
	Performance                Performance             `json:"performance"`
	Optimizers                 Optimizers              `json:"optimizers"`
	OptimizersOverwrite        *OptimizersOverwrite    `json:"optimizers_overwrite"`
	HNSW                       HNSW                    `json:"hnsw_index"`
	Collection                 CollectionDefaults      `json:"collection"`
	Quotas                     Quotas                  `json:"quotas"`
}

// SnapshotsConfig says where finished snapshots are kept.
type SnapshotsConfig struct {
	SnapshotsStorage string `json:"snapshots_storage"` // local, s3
	S3               *S3    `json:"s3_config"`
}

// S3 is a bucket for snapshots.
type S3 struct {
	Bucket      string  `json:"bucket"`
	Region      *string `json:"region"`
	AccessKey   *string `json:"access_key"`
	SecretKey   *string `json:"secret_key"`
	EndpointURL *string `json:"endpoint_url"`
}

// HNSWGlobal tunes graph builds of the whole process.
type HNSWGlobal struct {
	HealingThreshold float64 `json:"healing_threshold"`
}

// WAL sizes logs: the first three are defaults for collections, the others bound what a log keeps for absent replicas.
type WAL struct {
	CapacityMB        uint64 `json:"wal_capacity_mb"`
	SegmentsAhead     uint64 `json:"wal_segments_ahead"`
	RetainClosed      uint64 `json:"wal_retain_closed"`
	RetentionMB       uint64 `json:"retention_mb"`
	AbsentRetentionMB uint64 `json:"absent_retention_mb"`
}

// Performance bounds what runs at the same time.
type Performance struct {
	MaxSearchThreads              uint64  `json:"max_search_threads"` // 0: auto
	MaxOptimizationRuntimeThreads uint64  `json:"max_optimization_runtime_threads"`
	OptimizerCPUBudget            int64   `json:"optimizer_cpu_budget"` // 0: auto; negative: leave that many free
	OptimizerIOBudget             int64   `json:"optimizer_io_budget"`
	UpdateRateLimit               *uint64 `json:"update_rate_limit"`
	SearchTimeoutSec              uint64  `json:"search_timeout_sec"`
	IncomingTransfersLimit        *uint64 `json:"incoming_shard_transfers_limit"`
	OutgoingTransfersLimit        *uint64 `json:"outgoing_shard_transfers_limit"`
	AsyncScorer                   any     `json:"async_scorer"`
	IOUring                       any     `json:"io_uring"`
	MaxCollectionLoads            uint64  `json:"max_concurrent_collection_loads"`
	MaxShardLoads                 uint64  `json:"max_concurrent_shard_loads"`
	MaxSegmentLoads               uint64  `json:"max_concurrent_segment_loads"`
}

// Optimizers are the optimizer settings of new collections.
type Optimizers struct {
	DeletedThreshold       float64 `json:"deleted_threshold"`
	VacuumMinVectorNumber  uint64  `json:"vacuum_min_vector_number"`
	DefaultSegmentNumber   uint64  `json:"default_segment_number"`
	MaxSegmentSizeKB       *uint64 `json:"max_segment_size_kb"`
	MemmapThresholdKB      *uint64 `json:"memmap_threshold_kb"`
	IndexingThresholdKB    *uint64 `json:"indexing_threshold_kb"`
	FlushIntervalSec       uint64  `json:"flush_interval_sec"`
	MaxOptimizationThreads *uint64 `json:"max_optimization_threads"`
	PreventUnoptimized     *bool   `json:"prevent_unoptimized"`
}

// OptimizersOverwrite wins over the settings of every collection; what is nil does not.
type OptimizersOverwrite struct {
	DeletedThreshold       *float64 `json:"deleted_threshold"`
	VacuumMinVectorNumber  *uint64  `json:"vacuum_min_vector_number"`
	DefaultSegmentNumber   *uint64  `json:"default_segment_number"`
	MaxSegmentSizeKB       *uint64  `json:"max_segment_size_kb"`
	MemmapThresholdKB      *uint64  `json:"memmap_threshold_kb"`
	IndexingThresholdKB    *uint64  `json:"indexing_threshold_kb"`
	FlushIntervalSec       *uint64  `json:"flush_interval_sec"`
	MaxOptimizationThreads *uint64  `json:"max_optimization_threads"`
	PreventUnoptimized     *bool    `json:"prevent_unoptimized"`
}

// HNSW are the graph settings of new collections.
type HNSW struct {
	M                   uint64          `json:"m"`
	EfConstruct         uint64          `json:"ef_construct"`
	FullScanThresholdKB uint64          `json:"full_scan_threshold_kb"`
	MaxIndexingThreads  uint64          `json:"max_indexing_threads"`
	OnDisk              *bool           `json:"on_disk"`
	Memory              *sextant.Memory `json:"memory"`
	PayloadM            *uint64         `json:"payload_m"`
	InlineStorage       *bool           `json:"inline_storage"`
}

// CollectionDefaults are the other settings of new collections.
type CollectionDefaults struct {
	ShardNumber            *uint32                     `json:"shard_number"`
	ShardNumberPerNode     *uint32                     `json:"shard_number_per_node"`
	ReplicationFactor      uint32                      `json:"replication_factor"`
	WriteConsistencyFactor uint32                      `json:"write_consistency_factor"`
	Vectors                *VectorDefaults             `json:"vectors"`
	Quantization           *sextant.QuantizationConfig `json:"quantization"`
	StrictMode             *sextant.StrictModeConfig   `json:"strict_mode"`
}

// VectorDefaults place the vectors of new collections.
type VectorDefaults struct {
	OnDisk *bool           `json:"on_disk"`
	Memory *sextant.Memory `json:"memory"`
}

// Quotas seed the quotas of the first start.
type Quotas struct {
	Enabled                  bool    `json:"enabled"`
	MaxResidentMemoryPercent *uint64 `json:"max_resident_memory_percent"`
	MaxDiskUsagePercent      *uint64 `json:"max_disk_usage_percent"`
	ReleaseMarginPercent     *uint64 `json:"release_margin_percent"`
}

// Service is the public ports and who may use them.
type Service struct {
	Host                         string  `json:"host"`
	HTTPPort                     uint16  `json:"http_port"`
	GRPCPort                     *uint16 `json:"grpc_port"`
	MetricsPort                  *uint16 `json:"metrics_port"`
	MaxRequestSizeMB             uint64  `json:"max_request_size_mb"`
	MaxWorkers                   uint64  `json:"max_workers"`
	HTTPKeepAliveTimeoutSec      uint64  `json:"http_keep_alive_timeout_sec"`
	HTTPClientRequestTimeoutSec  uint64  `json:"http_client_request_timeout_sec"`
	HTTPClientDisconnectTimeout  uint64  `json:"http_client_disconnect_timeout_sec"`
	EnableCORS                   bool    `json:"enable_cors"`
	EnableTLS                    bool    `json:"enable_tls"`
	VerifyHTTPSClientCertificate bool    `json:"verify_https_client_certificate"`
	APIKey                       *string `json:"api_key"`
	AltAPIKey                    *string `json:"alt_api_key"`
	ReadOnlyAPIKey               *string `json:"read_only_api_key"`
	JWTRBAC                      bool    `json:"jwt_rbac"`
	EnforceInternalAuth          bool    `json:"enforce_internal_auth"`
	HideJWTDashboard             bool    `json:"hide_jwt_dashboard"`
	StaticContentDir             string  `json:"static_content_dir"`
	EnableStaticContent          bool    `json:"enable_static_content"`
	SlowQuerySecs                float64 `json:"slow_query_secs"`
	HardwareReporting            bool    `json:"hardware_reporting"`
	MetricsPrefix                *string `json:"metrics_prefix"`
	EnableSnapshotURLRecovery    bool    `json:"enable_snapshot_url_recovery"`
}

// Cluster is how this peer meets others.
type Cluster struct {
	Enabled             bool      `json:"enabled"`
	PeerID              *uint64   `json:"peer_id"`
	GRPCTimeoutMs       uint64    `json:"grpc_timeout_ms"`
	ConnectionTimeoutMs uint64    `json:"connection_timeout_ms"`
	ReplicaAckTimeoutMs uint64    `json:"replica_ack_timeout_ms"`
	TransferProbationMs uint64    `json:"transfer_probation_ms"`
	ReshardingEnabled   bool      `json:"resharding_enabled"`
	P2P                 P2P       `json:"p2p"`
	Consensus           Consensus `json:"consensus"`
}

// P2P is the port for peers.
type P2P struct {
	Port               uint16 `json:"port"`
	ConnectionPoolSize uint64 `json:"connection_pool_size"`
	EnableTLS          bool   `json:"enable_tls"`
}

// Consensus times the agreement on the topology.
type Consensus struct {
	TickPeriodMs        uint64 `json:"tick_period_ms"`
	BootstrapTimeoutSec uint64 `json:"bootstrap_timeout_sec"`
	MaxMessageQueueSize uint64 `json:"max_message_queue_size"`
	MessageTimeoutTicks uint64 `json:"message_timeout_ticks"`
	CompactWALEntries   uint64 `json:"compact_wal_entries"`
}

// TLS names certificate files, in PEM.
type TLS struct {
	Cert    *string `json:"cert"`
	Key     *string `json:"key"`
	CACert  *string `json:"ca_cert"`
	CertTTL *uint64 `json:"cert_ttl"` // seconds; nil: never read again
}

// Inference is a service that makes vectors of texts and images.
type Inference struct {
	Address *string `json:"address"`
	Timeout *uint64 `json:"timeout"` // seconds
	Token   *string `json:"token"`
}

// Audit is the log of who did what.
type Audit struct {
	Enabled               bool   `json:"enabled"`
	Dir                   string `json:"dir"`
	Rotation              string `json:"rotation"` // daily, hourly
	MaxLogFiles           uint64 `json:"max_log_files"`
	TrustForwardedHeaders bool   `json:"trust_forwarded_headers"`
	LogAPI                bool   `json:"log_api"`
}

// Default returns the settings of a server that nobody configured.
func Default() Config {
	return Config{
		LogLevel: "INFO",
		Logger:   Logger{Format: "text", Color: "auto", OnDisk: LogFile{Format: "text", BufferSizeBytes: 1024}},
		Storage: Storage{
			StoragePath:     "./storage",
			SnapshotsPath:   "./snapshots",
			SnapshotsConfig: SnapshotsConfig{SnapshotsStorage: "local"},
			OnDiskPayload:   true,
			UpdateQueueSize: 200,
			NodeType:        "Normal",
			MmapAdvice:      "random",
			LowMemoryMode:   "disabled",
			HNSWGlobal:      HNSWGlobal{HealingThreshold: 0.3},
			WAL:             WAL{CapacityMB: 32, RetainClosed: 1, RetentionMB: 1024, AbsentRetentionMB: 8192},
			Performance: Performance{
				SearchTimeoutSec: 60, IncomingTransfersLimit: ptr[uint64](1), OutgoingTransfersLimit: ptr[uint64](1),
				MaxCollectionLoads: 1, MaxShardLoads: 1, MaxSegmentLoads: 8,
			},
			Optimizers: Optimizers{
				DeletedThreshold: 0.2, VacuumMinVectorNumber: 1000, IndexingThresholdKB: ptr[uint64](10000), FlushIntervalSec: 5,
			},
			HNSW:       HNSW{M: 16, EfConstruct: 100, FullScanThresholdKB: 10000, OnDisk: ptr(false)},
			Collection: CollectionDefaults{ReplicationFactor: 1, WriteConsistencyFactor: 1},
		},
		Service: Service{
			Host: "0.0.0.0", HTTPPort: 6333, GRPCPort: ptr[uint16](6334), MaxRequestSizeMB: 32,
			HTTPKeepAliveTimeoutSec: 5, HTTPClientRequestTimeoutSec: 5, HTTPClientDisconnectTimeout: 5,
			EnableCORS: true, StaticContentDir: "./static", EnableStaticContent: true, SlowQuerySecs: 1.2,
			EnableSnapshotURLRecovery: true,
		},
		Cluster: Cluster{
			GRPCTimeoutMs: 60000, ConnectionTimeoutMs: 2000, ReplicaAckTimeoutMs: 3000, TransferProbationMs: 1000,
			P2P: P2P{Port: 6335, ConnectionPoolSize: 2},
			Consensus: Consensus{
				TickPeriodMs: 100, BootstrapTimeoutSec: 15, MaxMessageQueueSize: 100, MessageTimeoutTicks: 10, CompactWALEntries: 128,
			},
		},
		TLS:   TLS{CertTTL: ptr[uint64](3600)},
		Audit: Audit{Dir: "./storage/audit", Rotation: "daily", MaxLogFiles: 7, LogAPI: true},
	}
}

func ptr[T any](v T) *T { return &v }
