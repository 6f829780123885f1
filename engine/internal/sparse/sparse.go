// Package sparse finds the rows of one segment whose sparse vectors have the largest dot products with a query, exactly.
//
// Shapes: a vector is ascending unique uint32 indices with as many values; a segment has rows [0,n); per index there is a
// list of postings (row, weight) in row order, in blocks of 128 that know their largest weight. A Head grows in memory, an
// Index is an immutable file laid out for use in place.
// Units: a score is the float32 nearest to the dot product, summed in float64; larger is nearer; equal scores are ordered
// by ascending row.
// Truth: a row is found if and only if it shares an index with the query, even with score 0. Weights of an Index are
// those stored for Float32, rounded for Float16 and Uint8; a Head always has exact weights.
// Errors: context errors from searches; a malformed file is sextant.Corrupt; Build fails only if its writer does.
// Concurrency: an Index is immutable; a Head has one writer and any number of readers at the same time.
// Sources: Turtle, Flood 1995 (MaxScore); Ding, Suel 2011 (block-max indexes).
package sparse

import "math"

// Query asks for the K best rows.
type Query struct {
	Indices []uint32 // ascending, unique
	Values  []float32
	K       int
	N       uint32   // only rows below N are looked at
	Alive   []uint64 // bit set of the rows that may be found; nil: all. Rows beyond its end may not be found
	Above   *float32 // only scores above it count; nil: all
}

// Hit is a found row.
type Hit struct {
	Row   uint32
	Score float32
}

// Dot returns the score of a vector, as a search with exact weights gives it, and whether the two share an index.
func Dot(queryIndices []uint32, queryValues []float32, indices []uint32, values []float32) (score float32, shared bool) {
	sum := 0.0
	for i, j := 0, 0; i < len(queryIndices) && j < len(indices); {
		switch a, b := queryIndices[i], indices[j]; {
		case a < b:
			i++
		case a > b:
			j++
		default:
			sum += float64(queryValues[i]) * float64(values[j])
			shared = true
			i++
			j++
		}
	}
	return toScore(sum), shared
}

// toScore rounds a sum; adding 0 turns a negative zero into a plain one.
func toScore(sum float64) float32 { return float32(sum) + 0 }

const none = math.MaxUint32 // no row: rows are below it
