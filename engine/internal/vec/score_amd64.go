//go:build !purego

package vec

import "unsafe"

func (s *Scorer) batch(ids []uint32, out []float32) bool {
	base, stride, limit, q, dim := s.base, s.stride, s.limit, s.query, s.dim
	list, n, to := unsafe.SliceData(ids), len(ids), unsafe.SliceData(out)
	switch s.kernel {
	case f32DotAVX2:
		return f32DotAVX2Batch(base, stride, limit, q, dim, list, n, to)
	case f32EuclidAVX2:
		return f32EuclidAVX2Batch(base, stride, limit, q, dim, list, n, to)
	case f32ManhattanAVX2:
		return f32ManhattanAVX2Batch(base, stride, limit, q, dim, list, n, to)
	case f16DotAVX2:
		return f16DotAVX2Batch(base, stride, limit, q, dim, list, n, to)
	case f16EuclidAVX2:
		return f16EuclidAVX2Batch(base, stride, limit, q, dim, list, n, to)
	case f16ManhattanAVX2:
		return f16ManhattanAVX2Batch(base, stride, limit, q, dim, list, n, to)
	case u8DotAVX2:
		return u8DotAVX2Batch(base, stride, limit, q, dim, list, n, to)
	case u8EuclidAVX2:
		return u8EuclidAVX2Batch(base, stride, limit, q, dim, list, n, to)
	case u8ManhattanAVX2:
		return u8ManhattanAVX2Batch(base, stride, limit, q, dim, list, n, to)
	case f32DotAVX512:
		return f32DotAVX512Batch(base, stride, limit, q, dim, list, n, to)
	case f32EuclidAVX512:
		return f32EuclidAVX512Batch(base, stride, limit, q, dim, list, n, to)
	case f32ManhattanAVX512:
		return f32ManhattanAVX512Batch(base, stride, limit, q, dim, list, n, to)
	case f16DotAVX512:
		return f16DotAVX512Batch(base, stride, limit, q, dim, list, n, to)
	case f16EuclidAVX512:
		return f16EuclidAVX512Batch(base, stride, limit, q, dim, list, n, to)
	case f16ManhattanAVX512:
		return f16ManhattanAVX512Batch(base, stride, limit, q, dim, list, n, to)
	case u8DotVNNI:
		return u8DotVNNIBatch(base, stride, limit, q, dim, list, n, to)
	case u8EuclidVNNI:
		return u8EuclidVNNIBatch(base, stride, limit, q, dim, list, n, to)
	case u8ManhattanVNNI:
		return u8ManhattanVNNIBatch(base, stride, limit, q, dim, list, n, to)
	case u8CosineAVX2, u8CosineVNNI:
		return s.cosineBatch(ids, out)
	default:
		return s.twinBatch(ids, out)
	}
}

func (s *Scorer) span(from uint32, out []float32) {
	base, stride, q, dim := s.at(from), s.stride, s.query, s.dim
	n, to := len(out), unsafe.SliceData(out)
	switch s.kernel {
	case f32DotAVX2:
		f32DotAVX2Span(base, stride, q, dim, n, to)
	case f32EuclidAVX2:
		f32EuclidAVX2Span(base, stride, q, dim, n, to)
	case f32ManhattanAVX2:
		f32ManhattanAVX2Span(base, stride, q, dim, n, to)
	case f16DotAVX2:
		f16DotAVX2Span(base, stride, q, dim, n, to)
	case f16EuclidAVX2:
		f16EuclidAVX2Span(base, stride, q, dim, n, to)
	case f16ManhattanAVX2:
		f16ManhattanAVX2Span(base, stride, q, dim, n, to)
	case u8DotAVX2:
		u8DotAVX2Span(base, stride, q, dim, n, to)
	case u8EuclidAVX2:
		u8EuclidAVX2Span(base, stride, q, dim, n, to)
	case u8ManhattanAVX2:
		u8ManhattanAVX2Span(base, stride, q, dim, n, to)
	case f32DotAVX512:
		f32DotAVX512Span(base, stride, q, dim, n, to)
	case f32EuclidAVX512:
		f32EuclidAVX512Span(base, stride, q, dim, n, to)
	case f32ManhattanAVX512:
		f32ManhattanAVX512Span(base, stride, q, dim, n, to)
	case f16DotAVX512:
		f16DotAVX512Span(base, stride, q, dim, n, to)
	case f16EuclidAVX512:
		f16EuclidAVX512Span(base, stride, q, dim, n, to)
	case f16ManhattanAVX512:
		f16ManhattanAVX512Span(base, stride, q, dim, n, to)
	case u8DotVNNI:
		u8DotVNNISpan(base, stride, q, dim, n, to)
	case u8EuclidVNNI:
		u8EuclidVNNISpan(base, stride, q, dim, n, to)
	case u8ManhattanVNNI:
		u8ManhattanVNNISpan(base, stride, q, dim, n, to)
	case u8CosineAVX2, u8CosineVNNI:
		s.cosineSpan(from, out)
	default:
		s.twinSpan(from, out)
	}
}

// cosinePart is how many rows the kernels of CosineU8 take at a time; their two sums per row live on the stack.
const cosinePart = 64

func (s *Scorer) cosineBatch(ids []uint32, out []float32) bool {
	base, stride, limit, q, dim := s.base, s.stride, s.limit, s.query, s.dim
	var dots, norms [cosinePart]uint32
	for len(ids) > 0 {
		n := min(len(ids), cosinePart)
		var ok bool
		if s.kernel == u8CosineVNNI {
			ok = u8CosineVNNIBatch(base, stride, limit, q, dim, &ids[0], n, &dots[0], &norms[0])
		} else {
			ok = u8CosineAVX2Batch(base, stride, limit, q, dim, &ids[0], n, &dots[0], &norms[0])
		}
		if !ok {
			return false
		}
		for i := range n {
			out[i] = cosineU8(dots[i], norms[i], s.norm)
		}
		ids, out = ids[n:], out[n:]
	}
	return true
}

func (s *Scorer) cosineSpan(from uint32, out []float32) {
	stride, q, dim := s.stride, s.query, s.dim
	var dots, norms [cosinePart]uint32
	for len(out) > 0 {
		n := min(len(out), cosinePart)
		base := s.at(from)
		if s.kernel == u8CosineVNNI {
			u8CosineVNNISpan(base, stride, q, dim, n, &dots[0], &norms[0])
		} else {
			u8CosineAVX2Span(base, stride, q, dim, n, &dots[0], &norms[0])
		}
		for i := range n {
			out[i] = cosineU8(dots[i], norms[i], s.norm)
		}
		from, out = from+uint32(n), out[n:]
	}
}

func (s *Scorer) queryNorm() uint32 {
	var dot, norm uint32
	switch s.kernel {
	case u8CosineVNNI:
		u8CosineVNNISpan(s.query, 0, s.query, s.dim, 1, &dot, &norm)
	case u8CosineAVX2:
		u8CosineAVX2Span(s.query, 0, s.query, s.dim, 1, &dot, &norm)
	default:
		return s.twinQueryNorm()
	}
	return norm
}
