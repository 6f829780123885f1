//go:build !amd64 || purego

package vec

// Machines without assembly kernels, and builds with -tags purego, use the Go twins.

type kernel uint8

type features struct{}

var host features

func pick(Metric, Type, int, features) kernel { return 0 }

func (s *Scorer) batch(ids []uint32, out []float32) bool { return s.twinBatch(ids, out) }

func (s *Scorer) span(from uint32, out []float32) { s.twinSpan(from, out) }

func (s *Scorer) queryNorm() uint32 { return s.twinQueryNorm() }

func pairDotF32(a, b []float32) float32 { return twinPairDotF32(a, b) }

func pairEuclidF32(a, b []float32) float32 { return twinPairEuclidF32(a, b) }

func pairManhattanF32(a, b []float32) float32 { return twinPairManhattanF32(a, b) }

func dotU8I8Batch(_ features, query []int8, codes []byte, stride int, ids []uint32, out []int32) bool {
	return twinDotU8I8Batch(query, codes, stride, ids, out)
}

func dotU8I8Range(_ features, query []int8, codes []byte, stride int, from uint32, out []int32) {
	twinDotU8I8Range(query, codes, stride, from, out)
}

func xorPopcntBatch(_ features, query []uint64, codes []byte, stride int, ids []uint32, out []int32) bool {
	return twinXorPopcntBatch(query, codes, stride, ids, out)
}

func xorPopcntRange(_ features, query []uint64, codes []byte, stride int, from uint32, out []int32) {
	twinXorPopcntRange(query, codes, stride, from, out)
}
