package vec

// DotF32 returns a·b. The slices have equal length.
func DotF32(a, b []float32) float32 {
	b = b[:len(a)]
	return pairDotF32(a, b)
}

// EuclidF32 returns −Σ(a−b)². The slices have equal length.
func EuclidF32(a, b []float32) float32 {
	b = b[:len(a)]
	return pairEuclidF32(a, b)
}

// ManhattanF32 returns −Σ|a−b|. The slices have equal length.
func ManhattanF32(a, b []float32) float32 {
	b = b[:len(a)]
	return pairManhattanF32(a, b)
}

func twinPairDotF32(a, b []float32) float32 {
	var s0, s1, s2, s3 float32
	for len(a) >= 4 && len(b) >= 4 {
		s0 += a[0] * b[0]
		s1 += a[1] * b[1]
		s2 += a[2] * b[2]
		s3 += a[3] * b[3]
		a, b = a[4:], b[4:]
	}
	for i, x := range a {
		s0 += x * b[i]
	}
	return (s0 + s1) + (s2 + s3)
}

func twinPairEuclidF32(a, b []float32) float32 {
	var s0, s1, s2, s3 float32
	for len(a) >= 4 && len(b) >= 4 {
		d0, d1, d2, d3 := a[0]-b[0], a[1]-b[1], a[2]-b[2], a[3]-b[3]
		s0 += d0 * d0
		s1 += d1 * d1
		s2 += d2 * d2
		s3 += d3 * d3
		a, b = a[4:], b[4:]
	}
	for i, x := range a {
		s0 += (x - b[i]) * (x - b[i])
	}
	return 0 - ((s0 + s1) + (s2 + s3))
}

func twinPairManhattanF32(a, b []float32) float32 {
	var s0, s1, s2, s3 float32
	for len(a) >= 4 && len(b) >= 4 {
		s0 += abs(a[0] - b[0])
		s1 += abs(a[1] - b[1])
		s2 += abs(a[2] - b[2])
		s3 += abs(a[3] - b[3])
		a, b = a[4:], b[4:]
	}
	for i, x := range a {
		s0 += abs(x - b[i])
	}
	return 0 - ((s0 + s1) + (s2 + s3))
}
