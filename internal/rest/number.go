package rest

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
	"unsafe"
)

// pow10 are the powers of ten that a float64 holds exactly.
var pow10 = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
	1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// number is a JSON number cut into its parts: value = ±mantissa × 10^exp, unless long says that the mantissa did not fit.
type number struct {
	mantissa uint64
	exp      int
	end      int // position behind the last byte
	negative bool
	integer  bool // neither fraction nor exponent
	long     bool
}

// scanNumber cuts the JSON number at b[i:]. ok is false when there is none: then end is the offending position.
func scanNumber(b []byte, i int) (n number, ok bool) {
	if i < len(b) && b[i] == '-' {
		n.negative = true
		i++
	}
	if i >= len(b) || b[i]-'0' > 9 {
		n.end = i
		return n, false
	}
	n.integer = true
	if b[i] == '0' {
		i++
		if i < len(b) && b[i]-'0' <= 9 {
			n.end = i
			return n, false
		}
	} else {
		i = n.digits(b, i)
	}
	if i < len(b) && b[i] == '.' {
		n.integer = false
		start := i + 1
		i = n.digits(b, start)
		if i == start {
			n.end = i
			return n, false
		}
		n.exp = start - i
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		n.integer = false
		i++
		down := false
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			down = b[i] == '-'
			i++
		}
		start, e := i, 0
		for i < len(b) && b[i]-'0' <= 9 {
			if e < 1<<20 {
				e = e*10 + int(b[i]-'0')
			}
			i++
		}
		if i == start {
			n.end = i
			return n, false
		}
		if down {
			e = -e
		}
		n.exp += e
	}
	n.end = i
	return n, true
}

// digits reads decimal digits into the mantissa.
func (n *number) digits(b []byte, i int) int {
	for n.mantissa < 1e11 && i+8 <= len(b) {
		v, count := eightDigits(b[i:])
		n.mantissa = n.mantissa*powers[count] + v
		if i += count; count < 8 {
			return i
		}
	}
	for i < len(b) {
		d := b[i] - '0'
		if d > 9 {
			break
		}
		if n.mantissa >= math.MaxUint64/10 && (n.mantissa > math.MaxUint64/10 || d > math.MaxUint64%10) {
			n.long = true
		}
		n.mantissa = n.mantissa*10 + uint64(d)
		i++
	}
	return i
}

var powers = [9]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8}

// eightDigits returns the number that the digits at the begin of b are, at most eight of them, and how many there are. All
// bytes are looked at together: a digit has 3 as its high half, also after 6 is added.
func eightDigits(b []byte) (v uint64, count int) {
	const threes, high, six = 0x3030303030303030, 0xF0F0F0F0F0F0F0F0, 0x0606060606060606
	w := binary.LittleEndian.Uint64(b)
	count = bits.TrailingZeros64((w&high^threes)|((w+six)&high^threes)) >> 3
	w = (w - threes) << (64 - 8*count) // digits to the end, zeros before them; nothing is left of no digits
	w = w*10 + w>>8
	return (w&0x000000FF000000FF*0x000F424000000064 + w>>16&0x000000FF000000FF*0x0000271000000001) >> 32 & 0xFFFFFFFF, count
}

// readFloat32 reads the number at b[i:]. It is scanNumber and float32 in one, for vectors: a number of the plain form
// -12.3456 is read in one go. end is behind it, or where it is wrong.
func readFloat32(b []byte, i int) (f float32, end int, v verdict) {
	start := i
	negative := i < len(b) && b[i] == '-'
	if negative {
		i++
	}
	if i+24 > len(b) || b[i]-'0' > 9 {
		return slowFloat32(b, start)
	}
	m, exp := uint64(b[i]-'0'), 0
	i++
	for m != 0 && m < 1e8 && b[i]-'0' <= 9 && i+17 < len(b) {
		m = m*10 + uint64(b[i]-'0')
		i++
	}
	if b[i] == '.' {
		i++
		v, count := eightDigits(b[i:])
		m, exp = m*powers[count]+v, count
		if count == 8 && m < 1e11 && i+16 <= len(b) {
			v, count = eightDigits(b[i+8:])
			m, exp = m*powers[count]+v, exp+count
		}
		if i += exp; exp == 0 || i == len(b) {
			return slowFloat32(b, start)
		}
		for exp < 19 && b[i]-'0' <= 9 && m < 1e17 && i+1 < len(b) {
			m = m*10 + uint64(b[i]-'0')
			i++
			exp++
		}
	}
	if c := b[i]; c-'0' <= 9 || c|0x20 == 'e' || c == '.' {
		return slowFloat32(b, start)
	}
	d := float64(m) / pow10[exp]
	if low := math.Float64bits(d) & (1<<29 - 1); low-(1<<28-4) <= 8 || d < 1.2e-38 && d != 0 {
		return slowFloat32(b, start)
	}
	if negative {
		d = -d
	}
	return float32(d), i, good
}

// verdict is how reading a number went.
type verdict uint8

const (
	good     verdict = iota
	noNumber         // not a JSON number
	tooLarge         // for float32
)

func slowFloat32(b []byte, i int) (float32, int, verdict) {
	n, ok := scanNumber(b, i)
	if !ok {
		return 0, n.end, noNumber
	}
	f, ok := n.float32(b, i)
	if !ok {
		return 0, n.end, tooLarge
	}
	return f, n.end, good
}

// float32 returns the float32 nearest to the number that stands at b[start:n.end]; false when it is beyond the largest.
//
// Mantissa and power of ten are exact, so the float64 between is off by at most about one unit in its last place; only when
// it lies that close to the middle of two float32 (or outside their normal range) the exact, slow way decides.
func (n number) float32(b []byte, start int) (float32, bool) {
	if !n.long && -22 <= n.exp && n.exp <= 22 {
		d := float64(n.mantissa)
		if n.exp < 0 {
			d /= pow10[-n.exp]
		} else {
			d *= pow10[n.exp]
		}
		low := math.Float64bits(d) & (1<<29 - 1)
		if low-(1<<28-4) > 8 && (d == 0 || d >= 1.2e-38 && d <= 3.4e38) {
			if n.negative {
				d = -d
			}
			return float32(d), true
		}
	}
	f, err := strconv.ParseFloat(viewString(b[start:n.end]), 32)
	return float32(f), err == nil
}

// float64 is float32 for double precision.
func (n number) float64(b []byte, start int) (float64, bool) {
	if !n.long && n.mantissa < 1<<53 && -22 <= n.exp && n.exp <= 22 {
		d := float64(n.mantissa)
		if n.negative {
			d = -d
		}
		if n.exp < 0 {
			return d / pow10[-n.exp], true
		}
		return d * pow10[n.exp], true
	}
	f, err := strconv.ParseFloat(viewString(b[start:n.end]), 64)
	return f, err == nil
}

// viewString lends b as a string. It must not outlive the next change of b.
func viewString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
