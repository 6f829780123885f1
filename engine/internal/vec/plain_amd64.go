//go:build !purego

package vec

import "unsafe"

func pairDotF32(a, b []float32) float32 { return pairDot(host, a, b) }

func pairEuclidF32(a, b []float32) float32 { return pairEuclid(host, a, b) }

func pairManhattanF32(a, b []float32) float32 { return pairManhattan(host, a, b) }

func pairDot(f features, a, b []float32) (out float32) {
	x, y := (*byte)(unsafe.Pointer(unsafe.SliceData(a))), (*byte)(unsafe.Pointer(unsafe.SliceData(b)))
	switch {
	case f.avx512:
		f32DotAVX512Span(x, 0, y, len(a), 1, &out)
	case f.avx2:
		f32DotAVX2Span(x, 0, y, len(a), 1, &out)
	default:
		out = twinPairDotF32(a, b)
	}
	return out
}

func pairEuclid(f features, a, b []float32) (out float32) {
	x, y := (*byte)(unsafe.Pointer(unsafe.SliceData(a))), (*byte)(unsafe.Pointer(unsafe.SliceData(b)))
	switch {
	case f.avx512:
		f32EuclidAVX512Span(x, 0, y, len(a), 1, &out)
	case f.avx2:
		f32EuclidAVX2Span(x, 0, y, len(a), 1, &out)
	default:
		out = twinPairEuclidF32(a, b)
	}
	return out
}

func pairManhattan(f features, a, b []float32) (out float32) {
	x, y := (*byte)(unsafe.Pointer(unsafe.SliceData(a))), (*byte)(unsafe.Pointer(unsafe.SliceData(b)))
	switch {
	case f.avx512:
		f32ManhattanAVX512Span(x, 0, y, len(a), 1, &out)
	case f.avx2:
		f32ManhattanAVX2Span(x, 0, y, len(a), 1, &out)
	default:
		out = twinPairManhattanF32(a, b)
	}
	return out
}

func dotU8I8Batch(f features, query []int8, codes []byte, stride int, ids []uint32, out []int32) bool {
	base, limit, q, dim := unsafe.SliceData(codes), len(codes)-len(query), bytesOf(query), len(query)
	list, n, to := unsafe.SliceData(ids), len(ids), unsafe.SliceData(out)
	switch {
	case f.vnni:
		return dotU8I8VNNIBatch(base, stride, limit, q, dim, list, n, to)
	case f.avx2 && dim >= 16:
		return dotU8I8AVX2Batch(base, stride, limit, q, dim, list, n, to)
	default:
		return twinDotU8I8Batch(query, codes, stride, ids, out)
	}
}

func dotU8I8Range(f features, query []int8, codes []byte, stride int, from uint32, out []int32) {
	base, q, dim := codeAt(codes, stride, from), bytesOf(query), len(query)
	n, to := len(out), unsafe.SliceData(out)
	switch {
	case f.vnni:
		dotU8I8VNNISpan(base, stride, q, dim, n, to)
	case f.avx2 && dim >= 16:
		dotU8I8AVX2Span(base, stride, q, dim, n, to)
	default:
		twinDotU8I8Range(query, codes, stride, from, out)
	}
}

func xorPopcntBatch(f features, query []uint64, codes []byte, stride int, ids []uint32, out []int32) bool {
	base, limit, q, dim := unsafe.SliceData(codes), len(codes)-8*len(query), bytesOf(query), 2*len(query)
	list, n, to := unsafe.SliceData(ids), len(ids), unsafe.SliceData(out)
	switch {
	case f.popcnt:
		return xorPopcntAVX512Batch(base, stride, limit, q, dim, list, n, to)
	case f.avx2:
		return xorPopcntAVX2Batch(base, stride, limit, q, dim, list, n, to)
	default:
		return twinXorPopcntBatch(query, codes, stride, ids, out)
	}
}

func xorPopcntRange(f features, query []uint64, codes []byte, stride int, from uint32, out []int32) {
	base, q, dim := codeAt(codes, stride, from), bytesOf(query), 2*len(query)
	n, to := len(out), unsafe.SliceData(out)
	switch {
	case f.popcnt:
		xorPopcntAVX512Span(base, stride, q, dim, n, to)
	case f.avx2:
		xorPopcntAVX2Span(base, stride, q, dim, n, to)
	default:
		twinXorPopcntRange(query, codes, stride, from, out)
	}
}

func bytesOf[T int8 | uint64](v []T) *byte { return (*byte)(unsafe.Pointer(unsafe.SliceData(v))) }

// codeAt is the address of a code; the caller has checked that it is inside.
func codeAt(codes []byte, stride int, from uint32) *byte {
	return (*byte)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(codes)), int(from)*stride))
}
