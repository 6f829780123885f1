package vec

import (
	"encoding/binary"
	"math"
)

// The Go twins of the assembly kernels: rows as bytes, a and b of equal length. Four sums break the chain of
// dependent additions. Distances are subtracted from zero, so that a distance of zero is no negative zero.

func f32(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }

func f16(b []byte) float32 { return fromHalf(binary.LittleEndian.Uint16(b)) }

func abs(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }

func twinDotF32(a, b []byte) float32 {
	var s0, s1, s2, s3 float32
	for len(a) >= 16 && len(b) >= 16 {
		s0 += f32(a) * f32(b)
		s1 += f32(a[4:]) * f32(b[4:])
		s2 += f32(a[8:]) * f32(b[8:])
		s3 += f32(a[12:]) * f32(b[12:])
		a, b = a[16:], b[16:]
	}
	for len(a) >= 4 && len(b) >= 4 {
		s0 += f32(a) * f32(b)
		a, b = a[4:], b[4:]
	}
	return (s0 + s1) + (s2 + s3)
}

func twinEuclidF32(a, b []byte) float32 {
	var s0, s1, s2, s3 float32
	for len(a) >= 16 && len(b) >= 16 {
		d0, d1 := f32(a)-f32(b), f32(a[4:])-f32(b[4:])
		d2, d3 := f32(a[8:])-f32(b[8:]), f32(a[12:])-f32(b[12:])
		s0 += d0 * d0
		s1 += d1 * d1
		s2 += d2 * d2
		s3 += d3 * d3
		a, b = a[16:], b[16:]
	}
	for len(a) >= 4 && len(b) >= 4 {
		d := f32(a) - f32(b)
		s0 += d * d
		a, b = a[4:], b[4:]
	}
	return 0 - ((s0 + s1) + (s2 + s3))
}

func twinManhattanF32(a, b []byte) float32 {
	var s0, s1, s2, s3 float32
	for len(a) >= 16 && len(b) >= 16 {
		s0 += abs(f32(a) - f32(b))
		s1 += abs(f32(a[4:]) - f32(b[4:]))
		s2 += abs(f32(a[8:]) - f32(b[8:]))
		s3 += abs(f32(a[12:]) - f32(b[12:]))
		a, b = a[16:], b[16:]
	}
	for len(a) >= 4 && len(b) >= 4 {
		s0 += abs(f32(a) - f32(b))
		a, b = a[4:], b[4:]
	}
	return 0 - ((s0 + s1) + (s2 + s3))
}

func twinDotF16(a, b []byte) float32 {
	var s0, s1 float32
	for len(a) >= 4 && len(b) >= 4 {
		s0 += f16(a) * f16(b)
		s1 += f16(a[2:]) * f16(b[2:])
		a, b = a[4:], b[4:]
	}
	if len(a) >= 2 && len(b) >= 2 {
		s0 += f16(a) * f16(b)
	}
	return s0 + s1
}

func twinEuclidF16(a, b []byte) float32 {
	var s0, s1 float32
	for len(a) >= 4 && len(b) >= 4 {
		d0, d1 := f16(a)-f16(b), f16(a[2:])-f16(b[2:])
		s0 += d0 * d0
		s1 += d1 * d1
		a, b = a[4:], b[4:]
	}
	if len(a) >= 2 && len(b) >= 2 {
		d := f16(a) - f16(b)
		s0 += d * d
	}
	return 0 - (s0 + s1)
}

func twinManhattanF16(a, b []byte) float32 {
	var s0, s1 float32
	for len(a) >= 4 && len(b) >= 4 {
		s0 += abs(f16(a) - f16(b))
		s1 += abs(f16(a[2:]) - f16(b[2:]))
		a, b = a[4:], b[4:]
	}
	if len(a) >= 2 && len(b) >= 2 {
		s0 += abs(f16(a) - f16(b))
	}
	return 0 - (s0 + s1)
}

func twinDotU8(a, b []byte) uint32 {
	b = b[:len(a)]
	var sum uint32
	for i, x := range a {
		sum += uint32(x) * uint32(b[i])
	}
	return sum
}

func twinEuclidU8(a, b []byte) uint32 {
	b = b[:len(a)]
	var sum uint32
	for i, x := range a {
		d := int32(x) - int32(b[i])
		sum += uint32(d * d)
	}
	return sum
}

func twinManhattanU8(a, b []byte) uint32 {
	b = b[:len(a)]
	var sum uint32
	for i, x := range a {
		sum += uint32(max(x, b[i]) - min(x, b[i]))
	}
	return sum
}

// cosineU8 is the last step of CosineU8, shared by all tiers.
func cosineU8(dot, norm uint32, queryNorm float64) float32 {
	product := float64(norm) * queryNorm
	if product == 0 {
		return 0
	}
	return float32(float64(dot) / math.Sqrt(product))
}
