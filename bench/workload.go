package main

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/bench/dataset"
)

const wanted = 10 // neighbours asked for

// workload is a data set cut into vectors to index and queries that are not among them.
type workload struct {
	name     string
	dim      int
	distance sextant.Distance
	vectors  []float32 // unit length for Cosine
	queries  [][]float32
	truth    [][]uint64 // ids of the nearest, found by exact search
	near     []int      // per vector: 0…999, the rank of its projection on a random direction, in thousandths
}

func (w *workload) len() int            { return len(w.vectors) / w.dim }
func (w *workload) row(i int) []float32 { return w.vectors[i*w.dim : (i+1)*w.dim : (i+1)*w.dim] }

func split(set *dataset.Set, distance sextant.Distance, o options) *workload {
	w := &workload{name: set.Name, dim: set.Dim, distance: distance}
	every := set.Len() / o.queries
	for i := range set.Len() {
		row := set.Row(i)
		if distance == sextant.Cosine {
			normalize(row)
		}
		switch {
		case i%every == every/2 && len(w.queries) < o.queries:
			w.queries = append(w.queries, row)
		case o.n == 0 || w.len() < o.n:
			w.vectors = append(w.vectors, row...)
		}
	}
	w.project()
	return w
}

func normalize(v []float32) {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	if sum > 0 {
		for i := range v {
			v[i] = float32(float64(v[i]) / math.Sqrt(sum))
		}
	}
}

// project ranks the vectors along a random direction: a range of ranks is one region of space, so a filter on it is
// correlated with nearness.
func (w *workload) project() {
	rng := rand.New(rand.NewPCG(5, 6))
	direction := make([]float64, w.dim)
	for d := range direction {
		direction[d] = rng.NormFloat64()
	}
	at := make([]float64, w.len())
	order := make([]int, w.len())
	for i := range order {
		order[i] = i
		for d, x := range w.row(i) {
			at[i] += direction[d] * float64(x)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(at[a], at[b]) })
	w.near = make([]int, w.len())
	for rank, i := range order {
		w.near[i] = rank * 1000 / w.len()
	}
}

// random gives vector i a number from 0 to 999 that has nothing to do with where it is.
func random(i int) int {
	x := uint64(i) * 0x9e3779b97f4a7c15
	x ^= x >> 29
	return int(x * 0xbf58476d1ce4e5b9 >> 33 % 1000)
}

func (w *workload) point(i int) sextant.Point {
	return sextant.Point{
		ID:      sextant.NumID(uint64(i)),
		Vectors: []sextant.NamedVector{{Vector: sextant.Vector{Values: w.row(i)}}},
		Payload: sextant.Payload(fmt.Sprintf(`{"random":%d,"near":%d}`, random(i), w.near[i])),
	}
}

func recall(found []sextant.ScoredPoint, truth []uint64) float64 {
	if len(truth) == 0 {
		return 1
	}
	hits := 0
	for _, p := range found {
		if slices.Contains(truth, p.ID.Lo) {
			hits++
		}
	}
	return float64(hits) / float64(len(truth))
}
