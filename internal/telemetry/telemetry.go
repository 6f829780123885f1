// Package telemetry turns what the parts of a node say about themselves into Prometheus text and telemetry JSON, and times
// requests.
//
// Shapes: a Recorder counts requests by route; State is everything else, taken at the moment of asking; Metrics and Report
// print both. Names and shapes are those of the public API, plus families of our own that begin with "sextant_":
//
//	sextant_collection_segments{id}              segments of local shards
//	sextant_collection_unindexed_vectors{id}     live vectors that no graph or inverted index holds
//	sextant_collection_deleted_points{id}        tombstones, until the next vacuum
//	sextant_collection_disk_bytes{id}            files of segments
//	sextant_collection_ram_bytes{id}             memory of segments that cannot be evicted
//	sextant_collection_queued_optimizations{id}  builds that wait
//	sextant_shard_last_seq{id,shard}             entry of the log that was applied last
//	sextant_shard_quarantined{id,shard}          1: the shard is damaged and not served
//	sextant_cluster_role{role}                   of a peer: 1 for the one that it has; more of consensus in metrics.go
//	sextant_replica_*{collection,shard,peer}     of a peer: where each of its replicas stands, and those that follow it; replicas.go
//	sextant_goroutines, sextant_heap_goal_bytes, sextant_gc_cycles_total
//
// Units: bytes, seconds; telemetry JSON has microseconds.
// Errors: none; what a system cannot tell is left out.
// Concurrency: a Recorder is used by any number of goroutines; printing needs no lock of the engine.
package telemetry

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sextantdb/sextant/internal/config"
	"github.com/sextantdb/sextant/internal/node"
)

// State is a node as it is now.
type State struct {
	ID              string // of the process
	Peer            uint64
	Version, Commit string
	Started         time.Time
	Recovery        bool // shards are not served
	Settings        config.Config
	Collections     []node.CollectionReport
	Cluster         *node.ClusterInfo // nil: the node is alone, or the caller may not see it
	Global          bool              // the caller may see more than some collections
}

// Request is one answered request.
type Request struct {
	Method, Route string // the route's template
	Collection    string
	Status        int
	Took          time.Duration
}

// buckets are the upper bounds of the histogram, in seconds.
var buckets = [...]float64{0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 10, 50}

// seriesKey names a series. Collection is "" for the sum over all.
type seriesKey struct {
	collection, method, route string
	status                    int
}

// series counts answers. Its members change one by one: a reader may see an answer half counted.
type series struct {
	count, total atomic.Int64 // total, least and most are nanoseconds
	least, most  atomic.Int64
	last         atomic.Int64 // unix nanoseconds
	within       [len(buckets)]atomic.Int64
}

// maxSeries bounds what names made up by clients can cost; beyond it, only the sums over all collections go on.
const maxSeries = 20_000

// Recorder counts and times requests.
type Recorder struct {
	mu     sync.RWMutex
	series map[seriesKey]*series // guarded by mu
}

// NewRecorder returns an empty Recorder.
func NewRecorder() *Recorder { return &Recorder{series: map[seriesKey]*series{}} }

// Observe counts one request.
func (r *Recorder) Observe(q Request) {
	key := seriesKey{"", q.Method, q.Route, q.Status}
	r.of(key).add(q.Took)
	if q.Collection == "" || q.Status == 404 {
		return
	}
	key.collection = q.Collection
	r.of(key).add(q.Took)
}

func (r *Recorder) of(key seriesKey) *series {
	r.mu.RLock()
	s := r.series[key]
	r.mu.RUnlock()
	if s != nil {
		return s
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s = r.series[key]; s == nil {
		s = &series{}
		s.least.Store(math.MaxInt64)
		if key.collection == "" || len(r.series) < maxSeries {
			r.series[key] = s
		}
	}
	return s
}

func (s *series) add(took time.Duration) {
	n := int64(took)
	s.count.Add(1)
	s.total.Add(n)
	s.last.Store(time.Now().UnixNano())
	for old := s.least.Load(); n < old && !s.least.CompareAndSwap(old, n); old = s.least.Load() {
	}
	for old := s.most.Load(); n > old && !s.most.CompareAndSwap(old, n); old = s.most.Load() {
	}
	for i, bound := range buckets {
		if took.Seconds() <= bound {
			s.within[i].Add(1)
			break
		}
	}
}

// sorted returns the series of all collections (each set) or of their sum, in a fixed order.
func (r *Recorder) sorted(each bool) (keys []seriesKey, values map[seriesKey]*series) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	values = map[seriesKey]*series{}
	for key, s := range r.series {
		if (key.collection != "") == each {
			keys = append(keys, key)
			values[key] = s
		}
	}
	slices.SortFunc(keys, func(a, b seriesKey) int {
		return cmp.Or(cmp.Compare(a.route, b.route), cmp.Compare(a.method, b.method), cmp.Compare(a.status, b.status),
			cmp.Compare(a.collection, b.collection))
	})
	return keys, values
}
