package vec

import (
	"fmt"
	"unsafe"
)

// Scorer compares one query with stored rows. It is a small immutable value that points into the rows' Data. Its
// fields fit the registers of a call, because a graph build makes one for every link it weighs.
type Scorer struct {
	base   *byte // of the first row
	query  *byte // a row of the same type
	stride int
	limit  int // greatest byte offset from base at which a whole row begins; negative if there is none
	dim    int
	norm   float64 // Σq² for CosineU8
	metric Metric
	typ    Type
	kernel kernel
}

// NewScorer encodes a query of rows.Dim components as the rows are (halved or truncated where they are) and binds it
// to them. For cosine over F32 and F16 the caller has normalised it. The query is copied.
func NewScorer(m Metric, rows Rows, query []float32) (s Scorer) {
	if len(query) != rows.Dim {
		panic(fmt.Sprintf("vec: query has %d components, rows have %d", len(query), rows.Dim))
	}
	encoded := alignedBytes(rows.Dim * rows.Type.Size())
	Encode(rows.Type, query, encoded)
	s.bind(m, &rows, encoded, host)
	return s
}

// NewRowScorer binds a stored row, as the query, to the rows it is one of. Nothing is copied.
func NewRowScorer(m Metric, rows Rows, row uint32) (s Scorer) {
	from, size := int(row)*rows.Stride, rows.Dim*rows.Type.Size()
	s.bind(m, &rows, rows.Data[from:from+size], host)
	return s
}

// bind fills s field by field, because copies of whole structs that were just written stall.
func (s *Scorer) bind(m Metric, rows *Rows, query []byte, f features) {
	if m > CosineU8 || m == CosineU8 && rows.Type != U8 || rows.Dim > MaxDim {
		panic(fmt.Sprintf("vec: no kernel for metric %d over type %d with %d components", m, rows.Type, rows.Dim))
	}
	s.base, s.query = unsafe.SliceData(rows.Data), unsafe.SliceData(query)
	s.stride, s.limit, s.dim = rows.Stride, len(rows.Data)-len(query), rows.Dim
	s.metric, s.typ = m, rows.Type
	s.kernel = pick(m, rows.Type, rows.Dim, f)
	if m == CosineU8 && len(query) > 0 {
		s.norm = float64(s.queryNorm())
	}
}

// burst is how many bytes of rows one assembly call may walk, some 100 µs: the scheduler and the garbage collector
// cannot interrupt it.
const burst = 1 << 20

// burstRows returns how many of n rows go into one call.
func burstRows(stride, n int) int {
	if n*stride <= burst {
		return n
	}
	return min(max(burst/stride&^3, 4), n)
}

// ScoreBatch writes the raw similarity of row ids[i] to out[i]. The order of ids is free; they may repeat.
func (s *Scorer) ScoreBatch(ids []uint32, out []float32) {
	out = out[:len(ids)]
	for len(ids) > 0 {
		n := burstRows(s.stride, len(ids))
		if !s.batch(ids[:n], out[:n]) {
			panic("vec: a row number is out of range")
		}
		ids, out = ids[n:], out[n:]
	}
}

// ScoreRange writes the raw similarities of the rows from, from+1, … to all of out.
func (s *Scorer) ScoreRange(from uint32, out []float32) {
	if last := int(from) + len(out) - 1; len(out) > 0 && last*s.stride > s.limit {
		panic(fmt.Sprintf("vec: row %d is out of range", last))
	}
	for len(out) > 0 {
		n := burstRows(s.stride, len(out))
		s.span(from, out[:n])
		from, out = from+uint32(n), out[n:]
	}
}

// Score returns the raw similarity of one row.
func (s *Scorer) Score(row uint32) float32 {
	var out [1]float32
	s.ScoreRange(row, out[:])
	return out[0]
}

func (s *Scorer) twinBatch(ids []uint32, out []float32) bool {
	for i, id := range ids {
		if int(id)*s.stride > s.limit {
			return false
		}
		out[i] = s.twinScore(id)
	}
	return true
}

func (s *Scorer) twinSpan(from uint32, out []float32) {
	for i := range out {
		out[i] = s.twinScore(from + uint32(i))
	}
}

func (s *Scorer) twinQueryNorm() uint32 {
	q := unsafe.Slice(s.query, s.dim)
	return twinDotU8(q, q)
}

// at is the address of a row that is known to be inside.
func (s *Scorer) at(row uint32) *byte {
	return (*byte)(unsafe.Add(unsafe.Pointer(s.base), int(row)*s.stride))
}

func (s *Scorer) twinScore(row uint32) float32 {
	size := s.dim * s.typ.Size()
	v, q := unsafe.Slice(s.at(row), size), unsafe.Slice(s.query, size)
	switch {
	case s.typ == F32 && s.metric == Dot:
		return twinDotF32(v, q)
	case s.typ == F32 && s.metric == Euclid:
		return twinEuclidF32(v, q)
	case s.typ == F32:
		return twinManhattanF32(v, q)
	case s.typ == F16 && s.metric == Dot:
		return twinDotF16(v, q)
	case s.typ == F16 && s.metric == Euclid:
		return twinEuclidF16(v, q)
	case s.typ == F16:
		return twinManhattanF16(v, q)
	case s.metric == Dot:
		return float32(twinDotU8(v, q))
	case s.metric == Euclid:
		return 0 - float32(twinEuclidU8(v, q))
	case s.metric == Manhattan:
		return 0 - float32(twinManhattanU8(v, q))
	default:
		return cosineU8(twinDotU8(v, q), twinDotU8(v, v), s.norm)
	}
}

// alignedBytes returns n zero bytes that start at a multiple of 64, so that no load of the query crosses a cache line.
func alignedBytes(n int) []byte {
	b := make([]byte, n+63)
	from := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & 63)
	return b[from : from+n : from+n]
}
