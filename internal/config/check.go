package config

import (
	"fmt"
	"slices"
	"strings"
)

// check puts values that cannot work back to their defaults, and warns of them and of words that nobody knows.
func (c *Config) check() (warnings []Warning) {
	def := Default()
	warn := func(key, format string, args ...any) {
		warnings = append(warnings, Warning{Source: "settings", Text: key + ": " + fmt.Sprintf(format, args...)})
	}
	word := func(key string, value *string, fallback string, known ...string) {
		if !slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, *value) }) {
			warn(key, "%q is none of %s; using %q", *value, strings.Join(known, ", "), fallback)
			*value = fallback
		}
	}
	word("logger.format", &c.Logger.Format, def.Logger.Format, "text", "json")
	word("storage.snapshots_config.snapshots_storage", &c.Storage.SnapshotsConfig.SnapshotsStorage, "local", "local", "s3")
	word("storage.low_memory_mode", &c.Storage.LowMemoryMode, "disabled", "disabled", "no_resident", "no_populate")
	word("storage.node_type", &c.Storage.NodeType, "Normal", "Normal", "Listener")
	least := func(key string, value *uint64, least, fallback uint64) {
		if *value < least {
			warn(key, "value %d invalid, must be %d or larger; using %d", *value, least, fallback)
			*value = fallback
		}
	}
	least("storage.wal.wal_capacity_mb", &c.Storage.WAL.CapacityMB, 1, def.Storage.WAL.CapacityMB)
	least("storage.wal.wal_retain_closed", &c.Storage.WAL.RetainClosed, 1, def.Storage.WAL.RetainClosed)
	least("storage.performance.search_timeout_sec", &c.Storage.Performance.SearchTimeoutSec, 1, def.Storage.Performance.SearchTimeoutSec)
	least("storage.optimizers.vacuum_min_vector_number", &c.Storage.Optimizers.VacuumMinVectorNumber, 100, def.Storage.Optimizers.VacuumMinVectorNumber)
	least("storage.hnsw_index.ef_construct", &c.Storage.HNSW.EfConstruct, 4, def.Storage.HNSW.EfConstruct)
	least("storage.hnsw_index.full_scan_threshold_kb", &c.Storage.HNSW.FullScanThresholdKB, 10, def.Storage.HNSW.FullScanThresholdKB)
	least("storage.update_queue_size", &c.Storage.UpdateQueueSize, 1, def.Storage.UpdateQueueSize)
	least("service.max_request_size_mb", &c.Service.MaxRequestSizeMB, 1, def.Service.MaxRequestSizeMB)
	least("cluster.grpc_timeout_ms", &c.Cluster.GRPCTimeoutMs, 1, def.Cluster.GRPCTimeoutMs)
	least("cluster.consensus.tick_period_ms", &c.Cluster.Consensus.TickPeriodMs, 1, def.Cluster.Consensus.TickPeriodMs)
	if t := c.Storage.Optimizers.DeletedThreshold; t < 0 || t > 1 {
		warn("storage.optimizers.deleted_threshold", "value %v invalid, must be from 0.0 to 1.0; using 0.2", t)
		c.Storage.Optimizers.DeletedThreshold = 0.2
	}
	if id := c.Cluster.PeerID; id != nil && (*id == 0 || *id >= 1<<53) {
		warn("cluster.peer_id", "value %d invalid, must be from 1 to %d; choosing one", *id, uint64(1<<53-1))
		c.Cluster.PeerID = nil
	}
	if p := c.Service.MetricsPrefix; p != nil && strings.Trim(*p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" {
		warn("service.metrics_prefix", "%q holds more than letters, digits and _; using none", *p)
		c.Service.MetricsPrefix = nil
	}
	for key, value := range map[string]**string{"service.api_key": &c.Service.APIKey, "service.alt_api_key": &c.Service.AltAPIKey,
		"service.read_only_api_key": &c.Service.ReadOnlyAPIKey} {
		if *value != nil && **value == "" {
			warn(key, "an empty key is no key")
			*value = nil
		}
	}
	for key, value := range map[string]**uint32{"storage.collection.shard_number": &c.Storage.Collection.ShardNumber,
		"storage.collection.shard_number_per_node": &c.Storage.Collection.ShardNumberPerNode} {
		if *value != nil && **value == 0 {
			warn(key, "value 0 invalid, must be 1 or larger")
			*value = nil
		}
	}
	for key, value := range map[string]*uint32{"storage.collection.replication_factor": &c.Storage.Collection.ReplicationFactor,
		"storage.collection.write_consistency_factor": &c.Storage.Collection.WriteConsistencyFactor} {
		if *value == 0 {
			warn(key, "value 0 invalid, must be 1 or larger; using 1")
			*value = 1
		}
	}
	return warnings
}
