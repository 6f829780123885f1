package vec

import (
	"fmt"
	"unsafe"
)

// Scorer compares one query with stored rows. It is a small immutable value that keeps the rows' Data and, if made by
// NewRowScorer, the query inside it.
type Scorer struct {
	rows   Rows
	query  []byte  // encoded as the rows are
	norm   float64 // Σq² for CosineU8
	limit  int     // greatest byte offset in Data at which a whole row begins; negative if there is none
	metric Metric
	kernel kernel
}

// NewScorer encodes a query of rows.Dim components as the rows are (halved or truncated where they are) and binds it
// to them. For cosine over F32 and F16 the caller has normalised it. The query is copied.
func NewScorer(m Metric, rows Rows, query []float32) Scorer {
	if len(query) != rows.Dim {
		panic(fmt.Sprintf("vec: query has %d components, rows have %d", len(query), rows.Dim))
	}
	encoded := alignedBytes(rows.Dim * rows.Type.Size())
	Encode(rows.Type, query, encoded)
	return newScorer(m, rows, encoded, host)
}

// NewRowScorer binds a stored row, as the query, to the rows it is one of. Nothing is copied.
func NewRowScorer(m Metric, rows Rows, row uint32) Scorer {
	return newScorer(m, rows, rows.Row(row), host)
}

func newScorer(m Metric, rows Rows, query []byte, f features) Scorer {
	if m > CosineU8 || m == CosineU8 && rows.Type != U8 || rows.Dim > MaxDim {
		panic(fmt.Sprintf("vec: no kernel for metric %d over type %d with %d components", m, rows.Type, rows.Dim))
	}
	s := Scorer{
		rows:   rows,
		query:  query,
		limit:  len(rows.Data) - len(query),
		metric: m,
		kernel: pick(m, rows.Type, rows.Dim, f),
	}
	if m == CosineU8 {
		s.norm = float64(twinDotU8(query, query))
	}
	return s
}

// ScoreBatch writes the raw similarity of row ids[i] to out[i]. The order of ids is free; they may repeat.
func (s *Scorer) ScoreBatch(ids []uint32, out []float32) {
	out = out[:len(ids)]
	if len(ids) == 0 {
		return
	}
	if !s.batch(ids, out) {
		panic(fmt.Sprintf("vec: a row number is out of range of %d rows", s.rows.Len()))
	}
}

// ScoreRange writes the raw similarities of the rows from, from+1, … to all of out.
func (s *Scorer) ScoreRange(from uint32, out []float32) {
	if len(out) == 0 {
		return
	}
	if last := int(from) + len(out) - 1; last*s.rows.Stride > s.limit {
		panic(fmt.Sprintf("vec: row %d is out of range of %d rows", last, s.rows.Len()))
	}
	s.span(from, out)
}

// Score returns the raw similarity of one row.
func (s *Scorer) Score(row uint32) float32 {
	var out [1]float32
	s.ScoreRange(row, out[:])
	return out[0]
}

func (s *Scorer) twinBatch(ids []uint32, out []float32) bool {
	for i, id := range ids {
		if int(id)*s.rows.Stride > s.limit {
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

func (s *Scorer) twinScore(row uint32) float32 {
	v := s.rows.Row(row)
	switch {
	case s.rows.Type == F32 && s.metric == Dot:
		return twinDotF32(v, s.query)
	case s.rows.Type == F32 && s.metric == Euclid:
		return twinEuclidF32(v, s.query)
	case s.rows.Type == F32:
		return twinManhattanF32(v, s.query)
	case s.rows.Type == F16 && s.metric == Dot:
		return twinDotF16(v, s.query)
	case s.rows.Type == F16 && s.metric == Euclid:
		return twinEuclidF16(v, s.query)
	case s.rows.Type == F16:
		return twinManhattanF16(v, s.query)
	case s.metric == Dot:
		return float32(twinDotU8(v, s.query))
	case s.metric == Euclid:
		return 0 - float32(twinEuclidU8(v, s.query))
	case s.metric == Manhattan:
		return 0 - float32(twinManhattanU8(v, s.query))
	default:
		return cosineU8(twinDotU8(v, s.query), twinDotU8(v, v), s.norm)
	}
}

// alignedBytes returns n zero bytes that start at a multiple of 64, so that no load of the query crosses a cache line.
func alignedBytes(n int) []byte {
	b := make([]byte, n+63)
	from := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & 63)
	return b[from : from+n : from+n]
}
