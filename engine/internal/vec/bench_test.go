package vec

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// hop is how many rows a benchmark scores per call, about what one hop of a graph search asks for.
const hop = 24

var benchDims = []int{100, 128, 768, 1536}

// arenas gives the rows of a benchmark: near fits the first-level cache, far is 256 MiB.
func arenas(b *testing.B, label string, t Type, dim int, do func(b *testing.B, rows Rows, ids []uint32)) {
	for _, place := range []struct {
		name  string
		bytes int
	}{{"near", 32 << 10}, {"far", 256 << 20}} {
		b.Run(fmt.Sprintf("%s/dim=%d/%s", label, dim, place.name), func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, uint64(dim)))
			n := place.bytes / Stride(t, dim)
			rows := Rows{Data: alignedBytes(n * Stride(t, dim)), Stride: Stride(t, dim), Dim: dim, Type: t}
			sample := randomRows(r, t, dim, 1)
			for i := range n {
				copy(rows.Row(uint32(i)), sample.Row(0))
			}
			ids := make([]uint32, hop<<14)
			for i := range ids {
				ids[i] = uint32(r.IntN(n))
			}
			do(b, rows, ids)
		})
	}
}

func perVector(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/vec")
	b.ReportMetric(0, "ns/op")
}

func BenchmarkBatch(b *testing.B) {
	for name, f := range tiers() {
		for _, k := range kinds {
			label := fmt.Sprintf("tier=%s/metric=%d/type=%d", name, k.metric, k.typ)
			for _, dim := range benchDims {
				arenas(b, label, k.typ, dim, func(b *testing.B, rows Rows, ids []uint32) {
					s := newScorer(k.metric, rows, append(alignedBytes(0), rows.Row(0)...), f)
					out, at := make([]float32, hop), 0
					for b.Loop() {
						s.ScoreBatch(ids[at:at+hop], out)
						at = (at + hop) % len(ids)
					}
					perVector(b, hop)
				})
			}
		}
	}
}

func BenchmarkRange(b *testing.B) {
	for _, dim := range benchDims {
		arenas(b, "dot", F32, dim, func(b *testing.B, rows Rows, _ []uint32) {
			s, at := NewRowScorer(Dot, rows, 0), 0
			n := min(rows.Len(), 256)
			out := make([]float32, n)
			for b.Loop() {
				s.ScoreRange(uint32(at), out)
				if at += n; at+n > rows.Len() {
					at = 0
				}
			}
			perVector(b, n)
		})
	}
}

func BenchmarkPair(b *testing.B) {
	r := rand.New(rand.NewPCG(14, 15))
	for _, dim := range benchDims {
		x, y := randomVector(r, F32, dim), randomVector(r, F32, dim)
		b.Run(fmt.Sprintf("dot/dim=%d", dim), func(b *testing.B) {
			var sum float32
			for b.Loop() {
				sum += DotF32(x, y)
			}
		})
	}
}

// BenchmarkRowScorer is what a graph build pays before the first distance to a new vertex.
func BenchmarkRowScorer(b *testing.B) {
	rows := randomRows(rand.New(rand.NewPCG(16, 17)), F32, 100, 8)
	var sum float32
	for b.Loop() {
		s := NewRowScorer(Dot, rows, 2)
		sum += s.Score(3)
	}
}

func BenchmarkDotU8I8(b *testing.B) {
	for name, f := range tiers() {
		for _, dim := range benchDims {
			arenas(b, "tier="+name, U8, dim, func(b *testing.B, rows Rows, ids []uint32) {
				query, out, at := make([]int8, dim), make([]int32, hop), 0
				for b.Loop() {
					dotU8I8Batch(f, query, rows.Data, rows.Stride, ids[at:at+hop], out)
					at = (at + hop) % len(ids)
				}
				perVector(b, hop)
			})
		}
	}
}

func BenchmarkXorPopcnt(b *testing.B) {
	for name, f := range tiers() {
		for _, words := range []int{2, 12, 24} { // 128, 768, 1536 bits
			arenas(b, "tier="+name, U8, 8*words, func(b *testing.B, rows Rows, ids []uint32) {
				query, out, at := make([]uint64, words), make([]int32, hop), 0
				for b.Loop() {
					xorPopcntBatch(f, query, rows.Data, rows.Stride, ids[at:at+hop], out)
					at = (at + hop) % len(ids)
				}
				perVector(b, hop)
			})
		}
	}
}
