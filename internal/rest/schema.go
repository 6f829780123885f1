package rest

import (
	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/node"
)

var (
	distances = []string{"Cosine", "Euclid", "Dot", "Manhattan"}
	datatypes = []string{"float32", "uint8", "float16", "turbo4"}
)

const turboSparse = "sparse vectors do not support the `turbo4` datatype"

// memory reads a placement. what is a component that cannot be pinned, or "".
func (s *scanner) memory(at, what string) *sextant.Memory {
	m := sextant.Memory(s.enum("cold", "cached", "pinned"))
	if m == sextant.Pinned && what != "" {
		s.violated(at, "`pinned` memory placement is not supported for %s", what)
	}
	return &m
}

// nonzero reads an integer whose type cannot be zero: that is an error of form, not of value.
func (s *scanner) nonzero(bits int) uint64 {
	at := s.pos
	n := s.uint(bits)
	if n == 0 && s.err == nil {
		s.failAt(at, "invalid value: integer `0`, expected a nonzero u%d", bits)
	}
	return n
}

// vectorsConfig reads the parameters of the unnamed vector, or of vectors by name.
func (s *scanner) vectorsConfig() *sextant.VectorsConfig {
	c := &sextant.VectorsConfig{Map: map[string]sextant.VectorParams{}}
	if s.isParams() {
		c.Single = true
		c.Map[""] = s.vectorParams()
		return c
	}
	s.in("?")
	for key := range s.members {
		name := string(key)
		c.Map[name] = s.vectorParams()
	}
	s.out()
	return c
}

// isParams reports whether the next value holds parameters: not all of its members are objects.
func (s *scanner) isParams() (params bool) {
	at, depth := s.pos, s.depth
	for range s.members {
		if s.peek() != object {
			params = true
			break
		}
		s.skip()
	}
	if s.err == nil {
		s.pos, s.depth = at, depth
	}
	return params
}

var (
	vectorParamsFields = fieldSet{names: []string{"size", "distance", "hnsw_config", "quantization_config", "on_disk", "memory",
		"datatype", "multivector_config"}, required: []string{"size", "distance"}, aliases: quantAlias}
	comparatorFields = allOf("comparator")
)

func (s *scanner) vectorParams() (v sextant.VectorParams) {
	for name := range vectorParamsFields.of(s) {
		s.in(name)
		switch name {
		case "size":
			v.Size = s.nonzero(64)
			s.checkSize(v.Size)
		case "distance":
			v.Distance = sextant.Distance(s.enum(distances...))
		case "hnsw_config":
			v.HNSW = s.hnswDiff()
		case "quantization_config":
			v.Quantization = s.quantization(false)
		case "on_disk":
			v.OnDisk = new(s.bool())
		case "memory":
			v.Memory = s.memory("", "dense vector storage")
		case "datatype":
			v.Datatype = new(sextant.Datatype(s.enum(datatypes...)))
		case "multivector_config":
			v.Multivector = s.multivector()
		}
		s.out()
	}
	return v
}

func (s *scanner) checkSize(size uint64) {
	if s.err == nil && (size == 0 || size > 65536) {
		s.violated("", "value %d invalid, must be from 1 to 65536", size)
	}
}

func (s *scanner) multivector() *sextant.MultivectorConfig {
	m := &sextant.MultivectorConfig{}
	for range comparatorFields.of(s) {
		m.Comparator = s.enum("max_sim")
	}
	return m
}

var hnswFields = fieldSet{names: []string{"m", "ef_construct", "full_scan_threshold", "max_indexing_threads", "on_disk", "memory",
	"payload_m", "inline_storage"}, aliases: map[string]string{"full_scan_threshold_kb": "full_scan_threshold"}}

func (s *scanner) hnswDiff() *sextant.HNSWDiff {
	h := &sextant.HNSWDiff{}
	for name := range hnswFields.of(s) {
		switch name {
		case "m":
			h.M = new(s.uint64())
		case "ef_construct":
			h.EfConstruct = new(s.atLeast(name, s.uint64(), 4))
		case "full_scan_threshold":
			h.FullScanThreshold = new(s.atLeast(name, s.uint64(), 10))
		case "max_indexing_threads":
			h.MaxIndexingThreads = new(s.uint64())
		case "on_disk":
			h.OnDisk = new(s.bool())
		case "memory":
			h.Memory = s.memory("", "")
		case "payload_m":
			h.PayloadM = new(s.uint64())
		case "inline_storage":
			h.InlineStorage = new(s.bool())
		}
	}
	return h
}

var (
	quantizationFields = fieldSet{names: []string{"scalar", "product", "binary", "turbo"}}
	coderFields        = fieldSet{names: []string{"type", "quantile", "always_ram", "memory", "compression", "encoding",
		"query_encoding", "bits"}}
)

// quantization reads one kind of quantization; where it may be switched off, also the word for that.
func (s *scanner) quantization(mayDisable bool) *sextant.QuantizationConfig {
	q := &sextant.QuantizationConfig{}
	if mayDisable && s.peek() == text {
		q.Disabled = s.enum("Disabled") != ""
		return q
	}
	s.space()
	start, count := s.pos, 0
	if s.peek() != object {
		s.noVariant("QuantizationConfig")
		return q
	}
	for name := range quantizationFields.of(s) {
		count++
		s.in(name)
		switch name {
		case "scalar":
			q.Scalar = s.scalar()
		case "product":
			q.Product = s.product()
		case "binary":
			q.Binary = s.binary()
		case "turbo":
			q.Turbo = s.turbo()
		}
		s.out()
	}
	if count != 1 {
		s.failAt(start, "data did not match any variant of untagged enum QuantizationConfig")
	}
	return q
}

func (s *scanner) scalar() *sextant.ScalarQuantization {
	q := &sextant.ScalarQuantization{}
	for name := range coderFields.of(s) {
		switch name {
		case "type":
			q.Type = s.enum("int8")
		case "quantile":
			q.Quantile = new(float32(s.between(name, float64(s.float32()), 0.5, 1)))
		case "always_ram":
			q.AlwaysRAM = new(s.bool())
		case "memory":
			q.Memory = s.memory("", "")
		default:
			s.skip()
		}
	}
	if q.Type == "" {
		s.fail("missing field `type`")
	}
	return q
}

func (s *scanner) product() *sextant.ProductQuantization {
	q := &sextant.ProductQuantization{}
	for name := range coderFields.of(s) {
		switch name {
		case "compression":
			q.Compression = s.enum("x4", "x8", "x16", "x32", "x64")
		case "always_ram":
			q.AlwaysRAM = new(s.bool())
		case "memory":
			q.Memory = s.memory("", "")
		default:
			s.skip()
		}
	}
	if q.Compression == "" {
		s.fail("missing field `compression`")
	}
	return q
}

func (s *scanner) binary() *sextant.BinaryQuantization {
	q := &sextant.BinaryQuantization{}
	for name := range coderFields.of(s) {
		switch name {
		case "always_ram":
			q.AlwaysRAM = new(s.bool())
		case "memory":
			q.Memory = s.memory("", "")
		case "encoding":
			q.Encoding = new(s.enum("one_bit", "two_bits", "one_and_half_bits"))
		case "query_encoding":
			q.QueryEncoding = new(s.enum("default", "binary", "scalar4bits", "scalar8bits"))
		default:
			s.skip()
		}
	}
	return q
}

func (s *scanner) turbo() *sextant.TurboQuantization {
	q := &sextant.TurboQuantization{}
	for name := range coderFields.of(s) {
		switch name {
		case "always_ram":
			q.AlwaysRAM = new(s.bool())
		case "memory":
			q.Memory = s.memory("", "")
		case "bits":
			q.Bits = new(s.enum("bits1", "bits1_5", "bits2", "bits4"))
		default:
			s.skip()
		}
	}
	return q
}

var (
	sparseParamsFields = fieldSet{names: []string{"index", "modifier"}}
	sparseIndexFields  = fieldSet{names: []string{"full_scan_threshold", "on_disk", "memory", "datatype"},
		aliases: map[string]string{"full_scan_threshold_kb": "full_scan_threshold"}}
)

// sparseVectors reads sparse vector parameters by name. It is never nil.
func (s *scanner) sparseVectors() map[string]sextant.SparseParams {
	all := map[string]sextant.SparseParams{}
	s.in("?")
	for key := range s.members {
		name := string(key)
		var p sextant.SparseParams
		for name := range sparseParamsFields.of(s) {
			if name == "modifier" {
				p.Modifier = new(s.enum("none", "idf"))
				continue
			}
			s.in(name)
			p.Index = s.sparseIndex()
			s.out()
		}
		all[name] = p
	}
	s.out()
	return all
}

func (s *scanner) sparseIndex() *sextant.SparseIndexParams {
	x := &sextant.SparseIndexParams{}
	for name := range sparseIndexFields.of(s) {
		switch name {
		case "full_scan_threshold":
			x.FullScanThreshold = new(s.uint64())
		case "on_disk":
			x.OnDisk = new(s.bool())
		case "memory":
			x.Memory = s.memory("", "")
		case "datatype":
			x.Datatype = s.sparseDatatype(name)
		}
	}
	return x
}

func (s *scanner) sparseDatatype(at string) *sextant.Datatype {
	d := sextant.Datatype(s.enum(datatypes...))
	if d == sextant.Turbo4 {
		s.violated(at, turboSparse)
	}
	return &d
}

var (
	nameConfigFields = fieldSet{names: []string{"dense", "sparse"}}
	denseNameFields  = fieldSet{names: []string{"size", "distance", "multivector_config", "datatype"},
		required: []string{"size", "distance"}}
	sparseNameFields  = fieldSet{names: []string{"modifier", "datatype"}}
	vectorNameVariant = "data did not match any variant of untagged enum VectorNameConfig"
)

// vectorSchema reads the body of a request that adds a vector name.
func (s *scanner) vectorSchema() (v node.VectorSchema) {
	s.space()
	start := s.pos
	for kind := range nameConfigFields.of(s) {
		s.in(kind)
		if kind == "dense" {
			v.Dense = s.denseName()
		} else {
			v.Sparse = &sextant.SparseParams{}
			for name := range sparseNameFields.of(s) {
				if name == "modifier" {
					v.Sparse.Modifier = new(s.enum("none", "idf"))
				} else {
					v.Sparse.Index = &sextant.SparseIndexParams{Datatype: s.sparseDatatype(name)}
				}
			}
		}
		s.out()
	}
	if (v.Dense == nil) == (v.Sparse == nil) {
		s.failAt(start, "%s", vectorNameVariant)
	}
	return v
}

func (s *scanner) denseName() *sextant.VectorParams {
	v := &sextant.VectorParams{}
	for name := range denseNameFields.of(s) {
		s.in(name)
		switch name {
		case "size":
			v.Size = s.uint64()
			s.checkSize(v.Size)
		case "distance":
			v.Distance = sextant.Distance(s.enum(distances...))
		case "multivector_config":
			v.Multivector = s.multivector()
		case "datatype":
			v.Datatype = new(sextant.Datatype(s.enum(datatypes...)))
		}
		s.out()
	}
	return v
}

// share reads a number between 0 and 1.
func (s *scanner) share(at string) *float64 { return new(s.between(at, s.float64(), 0, 1)) }
