package vec

import (
	"encoding/binary"
	"math"
)

// Encode writes v as one row of type t into dst, which has room for len(v) components. F16 rounds to nearest even; U8
// cuts the fraction and saturates at 0 and 255, NaN becomes 0.
func Encode(t Type, v []float32, dst []byte) {
	dst = dst[:len(v)*t.Size()]
	switch t {
	case F32:
		for i, x := range v {
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(x))
		}
	case F16:
		for i, x := range v {
			binary.LittleEndian.PutUint16(dst[2*i:], toHalf(x))
		}
	default:
		for i, x := range v {
			dst[i] = toByte(x)
		}
	}
}

// Decode widens len(dst) components of type t from src.
func Decode(t Type, src []byte, dst []float32) {
	src = src[:len(dst)*t.Size()]
	switch t {
	case F32:
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		}
	case F16:
		for i := range dst {
			dst[i] = fromHalf(binary.LittleEndian.Uint16(src[2*i:]))
		}
	default:
		for i, b := range src {
			dst[i] = float32(b)
		}
	}
}

// Normalize scales v to unit length in place. A vector that is (nearly) zero or of unit length already is kept as it
// is, so that repeated writes do not change it.
//
// Squares of float32 are exact in float64 and are added in one fixed order, so all machines agree on every bit.
func Normalize(v []float32) {
	const epsilon = 1.1920929e-7 // of float32
	var s0, s1, s2, s3 float64
	i := 0
	for ; i+4 <= len(v); i += 4 {
		q := v[i : i+4 : i+4]
		s0 += float64(q[0]) * float64(q[0])
		s1 += float64(q[1]) * float64(q[1])
		s2 += float64(q[2]) * float64(q[2])
		s3 += float64(q[3]) * float64(q[3])
	}
	for _, x := range v[i:] {
		s0 += float64(x) * float64(x)
	}
	sum := (s0 + s1) + (s2 + s3)
	if sum < epsilon || math.Abs(sum-1) <= 1e-6 {
		return
	}
	scale := 1 / math.Sqrt(sum)
	for i, x := range v {
		v[i] = float32(float64(x) * scale)
	}
}

func toByte(x float32) byte {
	switch {
	case x >= 255:
		return 255
	case x > 0:
		return byte(x)
	default: // NaN too
		return 0
	}
}

// toHalf rounds to nearest even, as VCVTPS2PH does.
func toHalf(x float32) uint16 {
	b := math.Float32bits(x)
	sign := uint16(b >> 16 & 0x8000)
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000: // NaN stays a (quiet) NaN
		return sign | 0x7e00 | uint16(b>>13&0x3ff)
	case b >= 0x47800000: // from 2^16 on
		return sign | 0x7c00
	case b < 0x38800000: // below 2^-14 the result is subnormal; the unit of 0.5 is just the unit of those
		return sign | uint16(math.Float32bits(math.Float32frombits(b)+0.5)-0x3f000000)
	default: // a carry out of the mantissa, even into infinity, is what rounding wants
		b += 0xfff + b>>13&1
		return sign | uint16((b-0x38000000)>>13)
	}
}

func fromHalf(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	b := uint32(h&0x7fff) << 13
	if h&0x7c00 == 0x7c00 {
		b |= 0x7f800000
	} else { // the product is exact, for subnormals too
		b = math.Float32bits(math.Float32frombits(b) * 0x1p112)
	}
	return math.Float32frombits(sign | b)
}
