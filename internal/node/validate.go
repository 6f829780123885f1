package node

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sextantdb/sextant"
)

// problems collects what is wrong with the values of a request, by place.
type problems struct{ list []string }

func (p *problems) add(at, text string) { p.list = append(p.list, at+": "+text) }

// err is the one error of all problems, in the form of the API.
func (p *problems) err(place string) error {
	if len(p.list) == 0 {
		return nil
	}
	return sextant.Errorf(sextant.Invalid, "Validation error in %s: [%s]", place, strings.Join(p.list, "; "))
}

type number interface{ ~uint32 | ~uint64 }

func least[T number](p *problems, at string, value *T, least T) {
	if value != nil && *value < least {
		p.add(at, fmt.Sprintf("value %d invalid, must be %d or larger", *value, least))
	}
}

func between[T number](p *problems, at string, value *T, least, most T) {
	if value != nil && (*value < least || *value > most) {
		p.add(at, fmt.Sprintf("value %d invalid, must be from %d to %d", *value, least, most))
	}
}

func betweenFloats(p *problems, at string, value *float64, least, most float64) {
	if value != nil && !(*value >= least && *value <= most) {
		p.add(at, fmt.Sprintf("value %s invalid, must be from %s to %s", decimal(*value), decimal(least), decimal(most)))
	}
}

// decimal prints a float with a decimal point.
func decimal(f float64) string {
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.ContainsAny(s, ".IN") {
		s += ".0"
	}
	return s
}

func (c CreateCollection) check() error {
	var p problems
	least(&p, "shard_number", c.ShardNumber, 1)
	least(&p, "replication_factor", c.ReplicationFactor, 1)
	least(&p, "write_consistency_factor", c.WriteConsistencyFactor, 1)
	if c.Vectors != nil {
		for _, name := range slices.Sorted(maps.Keys(c.Vectors.Map)) {
			v, at := c.Vectors.Map[name], "vectors"
			if !c.Vectors.Single {
				at = "vectors.?"
			}
			between(&p, at+".size", &v.Size, 1, 65536)
			p.hnsw(at+".hnsw_config", v.HNSW)
			p.quantization(at+".quantization_config", v.Quantization)
			p.unpinned(at+".memory", v.Memory, "dense vector storage")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.SparseVectors)) {
		p.sparse(c.SparseVectors[name])
	}
	p.hnsw("hnsw_config", c.HNSW)
	if c.WAL != nil {
		least(&p, "wal_config.wal_capacity_mb", c.WAL.CapacityMB, 1)
		least(&p, "wal_config.wal_retain_closed", c.WAL.RetainClosed, 1)
	}
	p.optimizers(c.Optimizers)
	p.quantization("quantization_config", c.Quantization)
	p.strict(c.StrictMode)
	if c.Payload != nil {
		p.unpinned("payload.memory", c.Payload.Memory, "payload storage")
	}
	return p.err("JSON body")
}

func (c PatchCollection) check() error {
	var p problems
	for _, name := range slices.Sorted(maps.Keys(c.Vectors)) {
		v := c.Vectors[name]
		p.hnsw("vectors.?.hnsw_config", v.HNSW)
		p.quantization("vectors.?.quantization_config", v.Quantization)
		p.unpinned("vectors.?.memory", v.Memory, "dense vector storage")
	}
	for _, name := range slices.Sorted(maps.Keys(c.SparseVectors)) {
		p.sparse(c.SparseVectors[name])
	}
	p.optimizers(c.Optimizers)
	if c.Params != nil {
		least(&p, "params.replication_factor", c.Params.ReplicationFactor, 1)
		least(&p, "params.write_consistency_factor", c.Params.WriteConsistencyFactor, 1)
		if c.Params.Payload != nil {
			p.unpinned("params.payload.memory", c.Params.Payload.Memory, "payload storage")
		}
	}
	p.hnsw("hnsw_config", c.HNSW)
	p.quantization("quantization_config", c.Quantization)
	p.strict(c.StrictMode)
	return p.err("JSON body")
}

func (p *problems) hnsw(at string, h *sextant.HNSWDiff) {
	if h != nil {
		least(p, at+".ef_construct", h.EfConstruct, 4)
		least(p, at+".full_scan_threshold", h.FullScanThreshold, 10)
	}
}

func (p *problems) optimizers(o *OptimizersDiff) {
	if o != nil {
		betweenFloats(p, "optimizers_config.deleted_threshold", o.DeletedThreshold, 0, 1)
		least(p, "optimizers_config.vacuum_min_vector_number", o.VacuumMinVectorNumber, 100)
		least(p, "optimizers_config.max_segment_size", o.MaxSegmentSize, 1)
	}
}

func (p *problems) quantization(at string, q *sextant.QuantizationConfig) {
	if q != nil && q.Scalar != nil && q.Scalar.Quantile != nil {
		wide := float64(*q.Scalar.Quantile)
		betweenFloats(p, at+".scalar.quantile", &wide, 0.5, 1)
	}
}

func (p *problems) unpinned(at string, m *sextant.Memory, what string) {
	if m != nil && *m == sextant.Pinned {
		p.add(at, "`pinned` memory placement is not supported for "+what)
	}
}

func (p *problems) sparse(s sextant.SparseParams) {
	if s.Index != nil && s.Index.Datatype != nil && *s.Index.Datatype == sextant.Turbo4 {
		p.add("sparse_vectors.?.index.datatype", "sparse vectors do not support the `turbo4` datatype")
	}
}

func (p *problems) strict(s *sextant.StrictModeConfig) {
	if s == nil {
		return
	}
	const at = "strict_mode_config."
	least(p, at+"max_query_limit", s.MaxQueryLimit, 1)
	least(p, at+"max_timeout", s.MaxTimeout, 1)
	least(p, at+"read_rate_limit", s.ReadRateLimit, 1)
	least(p, at+"write_rate_limit", s.WriteRateLimit, 1)
	least(p, at+"max_points_count", s.MaxPointsCount, 1)
	between(p, at+"max_resident_memory_percent", s.MaxResidentMemoryPercent, 1, 100)
	for _, name := range slices.Sorted(maps.Keys(s.Multivector)) {
		least(p, at+"multivector_config.?.max_vectors", s.Multivector[name].MaxVectors, 1)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Sparse)) {
		least(p, at+"sparse_config.?.max_length", s.Sparse[name].MaxLength, 1)
	}
}

const forbidden = "<>:\"/\\|?*\x00\x1f"

// checkCollectionName is the rule for names of new collections.
func checkCollectionName(name string) error {
	var p problems
	if n := len([]rune(name)); n < 1 || n > 255 {
		p.add("collection_name", fmt.Sprintf("value %q invalid, must be from 1 to 255 characters", name))
	} else if i := strings.IndexAny(name, forbidden); i >= 0 {
		p.add("collection_name", fmt.Sprintf("collection name cannot contain %q char", name[i:i+1]))
	}
	return p.err("path parameters")
}

// vectorNameProblem says why a vector name cannot be used; "" if it can.
func vectorNameProblem(name string) string {
	if len(name) > 200 {
		return "vector name is too long, the limit is 200 bytes"
	}
	if i := strings.IndexAny(name, forbidden); i >= 0 {
		return fmt.Sprintf("vector name cannot contain %q char", name[i:i+1])
	}
	return ""
}

// checkVectors is what a create request must obey beyond the values of its single fields.
func checkVectors(c sextant.CollectionParams) error {
	for _, name := range slices.Sorted(maps.Keys(c.Vectors.Map)) {
		if why := vectorNameProblem(name); why != "" {
			return sextant.Errorf(sextant.WrongInput, "Invalid dense vector name `%s`: %s", name, why)
		}
		if d := c.Vectors.Map[name].Datatype; d != nil && *d == sextant.Turbo4 {
			return sextant.Errorf(sextant.NotImplemented, "The datatype turbo4 of vector `%s` is not supported by this version", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.SparseVectors)) {
		if name == "" {
			return sextant.Errorf(sextant.WrongInput, "Sparse vector name cannot be empty")
		}
		if why := vectorNameProblem(name); why != "" {
			return sextant.Errorf(sextant.WrongInput, "Invalid sparse vector name `%s`: %s", name, why)
		}
		if _, twice := c.Vectors.Map[name]; twice {
			return sextant.Errorf(sextant.WrongInput, "Dense and sparse vector names must be unique - duplicate found with '%s'", name)
		}
	}
	return nil
}
