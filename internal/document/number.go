package document

import (
	"math"
	"strconv"
)

// Num is a JSON number. Float is always set: numbers are compared as float64. IsInt says that the number is exactly Int,
// which also holds for a float without fraction (5.0, 1e2); Digits says that it was written as an integer.
type Num struct {
	Float  float64
	Int    int64
	IsInt  bool
	Digits bool
}

// Num returns the value of a Number; ok is false for other kinds.
func (v Value) Num() (n Num, ok bool) {
	if len(v.raw) == 0 || v.raw[0] != '-' && (v.raw[0] < '0' || v.raw[0] > '9') {
		return Num{}, false
	}
	if i, ok := parseInt(v.raw); ok {
		return Num{Float: float64(i), Int: i, IsInt: true, Digits: true}, true
	}
	f, err := strconv.ParseFloat(alias(v.raw), 64)
	if err != nil {
		return Num{}, false
	}
	n = Num{Float: f, Digits: true}
	for _, c := range v.raw {
		if c == '.' || c|0x20 == 'e' {
			n.Digits = false
			break
		}
	}
	// 2^63 is the first float64 above int64. An integer in digits that got here is outside int64, whatever its float.
	if !n.Digits && f >= math.MinInt64 && f < 1<<63 && f == math.Trunc(f) {
		n.Int, n.IsInt = int64(f), true
	}
	return n, true
}

// parseInt reads digits with an optional minus that fit int64.
func parseInt(b []byte) (int64, bool) {
	negative := b[0] == '-'
	if negative {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 19 {
		return 0, false
	}
	var u uint64
	for _, c := range b {
		if c -= '0'; c > 9 {
			return 0, false
		}
		u = u*10 + uint64(c)
	}
	if negative {
		return -int64(u), u <= 1<<63
	}
	return int64(u), u < 1<<63
}
