package telemetry

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sextantdb/sextant/internal/node"
)

// MetricsOptions say how metrics are printed.
type MetricsOptions struct {
	Anonymize     bool // hash the names of collections
	PerCollection bool // response times by collection
}

// printer builds the exposition format.
type printer struct {
	b      strings.Builder
	prefix string
	name   func(collection string) string
}

// family begins a metric.
func (p *printer) family(name, kind, help string) {
	p.b.WriteString("# HELP " + p.prefix + name + " " + help + "\n# TYPE " + p.prefix + name + " " + kind + "\n")
}

// sample prints a value with labels: name, value, name, value, …
func (p *printer) sample(name string, v float64, labels ...string) {
	p.b.WriteString(p.prefix + name)
	for i := 0; i < len(labels); i += 2 {
		if i == 0 {
			p.b.WriteByte('{')
		} else {
			p.b.WriteByte(',')
		}
		p.b.WriteString(labels[i] + `="` + escaper.Replace(labels[i+1]) + `"`)
	}
	if len(labels) > 0 {
		p.b.WriteByte('}')
	}
	p.b.WriteString(" " + strconv.FormatFloat(v, 'g', -1, 64) + "\n")
}

var escaper = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

// Metrics prints everything as Prometheus text.
func Metrics(s State, r *Recorder, o MetricsOptions) string {
	p := &printer{name: func(c string) string { return c }}
	if o.Anonymize {
		p.name = anonymous
	}
	if prefix := s.Settings.Service.MetricsPrefix; prefix != nil {
		p.prefix = *prefix
	}
	p.app(s)
	p.collections(s.Collections)
	p.memory()
	p.responses(r, o.PerCollection)
	p.process()
	p.own(s.Collections)
	p.replicas(s)
	return p.b.String()
}

// anonymous stands for a name that is not to be told; equal names stay equal.
func anonymous(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:8])
}

func (p *printer) app(s State) {
	p.family("app_info", "gauge", "information about qdrant server")
	p.sample("app_info", 1, "name", "qdrant", "version", s.Version)
	p.family("app_status_recovery_mode", "gauge", "is the server running in recovery mode")
	p.sample("app_status_recovery_mode", truth(s.Recovery))
	p.family("cluster_enabled", "gauge", "is cluster support enabled")
	p.sample("cluster_enabled", truth(s.Settings.Cluster.Enabled))
	if s.Cluster != nil {
		p.cluster(s.Cluster)
	}
}

// one prints a family of one sample.
func (p *printer) one(name, kind, help string, v float64, labels ...string) {
	p.family(name, kind, help)
	p.sample(name, v, labels...)
}

// cluster prints what consensus knows.
func (p *printer) cluster(i *node.ClusterInfo) {
	p.one("cluster_peers_total", "gauge", "total number of cluster peers", float64(len(i.Peers)))
	p.one("cluster_term", "counter", "current cluster term", float64(i.Term))
	p.one("cluster_commit", "counter", "index of last committed (finalized) operation cluster peer is aware of", float64(i.Commit), "peer_id", decimal(i.PeerID))
	p.one("cluster_pending_operations_total", "gauge", "total number of pending operations for cluster peer", float64(i.Pending))
	p.one("cluster_voter", "gauge", "is cluster peer a voter or learner", truth(i.Voter))
	p.family("cluster_working_state", "gauge", "is the consensus of the peer working")
	p.sample("cluster_working_state", truth(i.Err == "" && !i.Stopped), "state", "working")
	p.sample("cluster_working_state", truth(i.Err != "" || i.Stopped), "state", "stopped")
	p.one("cluster_last_update_timestamp_seconds", "counter", "unix timestamp of last update", float64(i.Updated.UnixMilli()/1000))
	p.family("sextant_cluster_role", "gauge", "1 for the role in consensus that the peer has")
	for _, role := range []string{"Leader", "Follower", "PreCandidate", "Candidate"} {
		p.sample("sextant_cluster_role", truth(i.Role == role), "role", role)
	}
	p.one("sextant_cluster_leader_known", "gauge", "1 while the peer knows who leads consensus", truth(i.Leader != 0))
	p.one("sextant_ready", "gauge", "1 when /readyz says so", truth(i.Ready))
	if len(i.Failures) > 0 {
		p.family("sextant_cluster_send_failures", "gauge", "failed sends to an address in a row")
		for _, uri := range slices.Sorted(maps.Keys(i.Failures)) {
			p.sample("sextant_cluster_send_failures", float64(i.Failures[uri].Count), "uri", uri)
		}
	}
}

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// each prints a family with one sample per collection.
func (p *printer) each(list []node.CollectionReport, name, kind, help string, value func(*node.CollectionReport) float64) {
	if len(list) == 0 {
		return
	}
	p.family(name, kind, help)
	for i := range list {
		p.sample(name, value(&list[i]), "id", p.name(list[i].Name))
	}
}

// sum adds something over the shards of a collection.
func sum(f func(*node.ShardReport) uint64) func(*node.CollectionReport) float64 {
	return func(c *node.CollectionReport) float64 {
		total := uint64(0)
		for i := range c.Shards {
			total += f(&c.Shards[i])
		}
		return float64(total)
	}
}

func (p *printer) collections(list []node.CollectionReport) {
	p.family("collections_total", "gauge", "number of collections")
	p.sample("collections_total", float64(len(list)))
	vectors, least, most := 0.0, -1.0, 0.0
	for i := range list {
		for j := range list[i].Shards {
			shard := &list[i].Shards[j]
			for _, n := range shard.Info.Vectors {
				vectors += float64(n)
			}
			active := 0.0
			for _, state := range shard.Replicas {
				active += truth(state == "Active")
			}
			most = max(most, active)
			if least < 0 || active < least {
				least = active
			}
		}
	}
	p.family("collections_vector_total", "gauge", "total number of vectors in all collections")
	p.sample("collections_vector_total", vectors)
	p.each(list, "collection_points", "gauge", "approximate amount of points per collection",
		sum(func(s *node.ShardReport) uint64 { return s.Info.Points }))
	p.byVector(list, "collection_vectors", "collection", "amount of vectors grouped by vector name",
		func(s *node.ShardReport) map[string]uint64 { return s.Info.Vectors })
	p.byVector(list, "collection_indexed_only_excluded_points", "id", "amount of points excluded in indexed_only requests",
		func(s *node.ShardReport) map[string]uint64 { return s.Info.HiddenByIndexedOnly })
	if least >= 0 {
		p.family("collection_active_replicas_min", "gauge", "minimum number of active replicas across all shards")
		p.sample("collection_active_replicas_min", least)
		p.family("collection_active_replicas_max", "gauge", "maximum number of active replicas across all shards")
		p.sample("collection_active_replicas_max", most)
	}
	p.each(list, "collection_running_optimizations", "gauge", "number of currently running optimization tasks per collection",
		sum(func(s *node.ShardReport) uint64 { return uint64(len(s.Builds.Running)) }))
	p.each(list, "collection_update_queue_length", "gauge", "number of pending operations in the update queue per collection",
		sum(func(s *node.ShardReport) uint64 { return s.Info.QueueLength }))
	p.each(list, "collection_dead_replicas", "gauge", "total amount of shard replicas in non-active state per collection",
		sum(func(s *node.ShardReport) (n uint64) {
			for _, state := range s.Replicas {
				n += uint64(truth(state != "Active"))
			}
			return n
		}))
	p.each(list, "snapshot_creation_running", "gauge", "amount of snapshot creations that are currently running",
		func(c *node.CollectionReport) float64 { return float64(c.SnapshotsCreating) })
	p.each(list, "snapshot_recovery_running", "gauge", "amount of snapshot recovery operations currently running",
		func(c *node.CollectionReport) float64 { return float64(c.SnapshotsLoading) })
	p.each(list, "snapshot_created_total", "counter", "total amount of snapshots created",
		func(c *node.CollectionReport) float64 { return float64(c.SnapshotsCreated) })
}

// byVector prints a family with one sample per collection and vector name.
func (p *printer) byVector(list []node.CollectionReport, name, label, help string, of func(*node.ShardReport) map[string]uint64) {
	begun := false
	for i := range list {
		total := map[string]uint64{}
		for j := range list[i].Shards {
			for vector, n := range of(&list[i].Shards[j]) {
				total[vector] += n
			}
		}
		for _, vector := range slices.Sorted(maps.Keys(total)) {
			if !begun {
				begun = true
				p.family(name, "gauge", help)
			}
			p.sample(name, float64(total[vector]), label, p.name(list[i].Name), "vector", vector)
		}
	}
}

func (p *printer) memory() {
	m := readMemory()
	for _, f := range []struct {
		name, help string
		value      uint64
	}{
		{"memory_active_bytes", "Total number of bytes in active pages allocated by the application", m.Active},
		{"memory_allocated_bytes", "Total number of bytes allocated by the application", m.Allocated},
		{"memory_metadata_bytes", "Total number of bytes dedicated to metadata", m.Metadata},
		{"memory_resident_bytes", "Maximum number of bytes in physically resident data pages mapped", m.Resident},
		{"memory_retained_bytes", "Total number of bytes in virtual memory mappings", m.Retained},
	} {
		p.family(f.name, "gauge", f.help)
		p.sample(f.name, float64(f.value))
	}
}

// own prints the families that only this server has.
func (p *printer) own(list []node.CollectionReport) {
	segments := func(f func(s *node.ShardReport, i int) uint64) func(*node.CollectionReport) float64 {
		return sum(func(s *node.ShardReport) (n uint64) {
			for i := range s.Info.Segments {
				n += f(s, i)
			}
			return n
		})
	}
	p.each(list, "sextant_collection_segments", "gauge", "segments of local shards",
		segments(func(*node.ShardReport, int) uint64 { return 1 }))
	p.each(list, "sextant_collection_unindexed_vectors", "gauge", "live vectors outside of any index",
		segments(func(s *node.ShardReport, i int) uint64 {
			g := &s.Info.Segments[i]
			return g.Vectors - min(g.Vectors, g.IndexedVectors)
		}))
	p.each(list, "sextant_collection_deleted_points", "gauge", "deleted points that still take space",
		segments(func(s *node.ShardReport, i int) uint64 { return s.Info.Segments[i].DeletedPoints }))
	p.each(list, "sextant_collection_disk_bytes", "gauge", "bytes of segment files",
		segments(func(s *node.ShardReport, i int) uint64 { return s.Info.Segments[i].DiskBytes }))
	p.each(list, "sextant_collection_ram_bytes", "gauge", "bytes of segments in memory that cannot be evicted",
		segments(func(s *node.ShardReport, i int) uint64 { return s.Info.Segments[i].RAMBytes }))
	p.each(list, "sextant_collection_queued_optimizations", "gauge", "builds that wait",
		sum(func(s *node.ShardReport) uint64 { return uint64(len(s.Builds.Queued)) }))
	if len(list) > 0 {
		p.byShard(list, "sextant_shard_last_seq", "gauge", "entry of the log that was applied last",
			func(s *node.ShardReport) float64 { return float64(s.Info.LastSeq) })
		p.byShard(list, "sextant_shard_quarantined", "gauge", "1 for a damaged shard that is not served",
			func(s *node.ShardReport) float64 { return truth(s.Error != "") })
	}
	v := sample("/sched/goroutines:goroutines", "/gc/heap/goal:bytes", "/gc/cycles/total:gc-cycles")
	p.family("sextant_goroutines", "gauge", "live goroutines")
	p.sample("sextant_goroutines", float64(v[0]))
	p.family("sextant_heap_goal_bytes", "gauge", "heap size at which the next collection ends")
	p.sample("sextant_heap_goal_bytes", float64(v[1]))
	p.family("sextant_gc_cycles_total", "counter", "completed garbage collections")
	p.sample("sextant_gc_cycles_total", float64(v[2]))
}

// byShard prints a family with one sample per shard that is here.
func (p *printer) byShard(list []node.CollectionReport, name, kind, help string, value func(*node.ShardReport) float64) {
	begun := false
	for i := range list {
		for j := range list[i].Shards {
			s := &list[i].Shards[j]
			if s.State == "" {
				continue
			}
			if !begun {
				begun = true
				p.family(name, kind, help)
			}
			p.sample(name, value(s), "id", p.name(list[i].Name), "shard", strconv.FormatUint(uint64(s.ID), 10))
		}
	}
}
