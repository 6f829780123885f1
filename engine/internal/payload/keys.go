package payload

import (
	"math"

	"github.com/sextantdb/sextant"
)

// floatKey maps floats to integers of the same order. Both zeros are one value.
func floatKey(f float64) int64 {
	if f == 0 {
		return 0
	}
	b := int64(math.Float64bits(f))
	if b < 0 {
		b ^= math.MaxInt64
	}
	return b
}

func keyFloat(key int64) float64 {
	if key < 0 {
		key ^= math.MaxInt64
	}
	return math.Float64frombits(uint64(key))
}

// floatKeys returns the keys of the floats within a range; ok is false if there are none.
func floatKeys(r *sextant.Range) (lo, hi int64, ok bool) {
	lo, hi = floatKey(math.Inf(-1)), floatKey(math.Inf(1))
	for _, b := range []*float64{r.Gt, r.Gte, r.Lt, r.Lte} {
		if b != nil && math.IsNaN(*b) {
			return 0, 0, false
		}
	}
	if r.Gt != nil {
		lo = max(lo, floatKey(*r.Gt)+1)
	}
	if r.Gte != nil {
		lo = max(lo, floatKey(*r.Gte))
	}
	if r.Lt != nil {
		hi = min(hi, floatKey(*r.Lt)-1)
	}
	if r.Lte != nil {
		hi = min(hi, floatKey(*r.Lte))
	}
	return lo, hi, lo <= hi
}

// intKeys returns the integers that are, as float64, within a range. Rounding keeps the order, so they are a stretch.
func intKeys(t *test) (lo, hi int64, ok bool) {
	below := func(i int64) bool { // i lies before the range
		f := float64(i)
		return t.rng.Gt != nil && !(f > *t.rng.Gt) || t.rng.Gte != nil && !(f >= *t.rng.Gte)
	}
	above := func(i int64) bool {
		f := float64(i)
		return t.rng.Lt != nil && !(f < *t.rng.Lt) || t.rng.Lte != nil && !(f <= *t.rng.Lte)
	}
	lo, ok1 := firstInt(func(i int64) bool { return !below(i) })
	last, ok2 := firstInt(above)
	switch {
	case !ok1 || ok2 && last == math.MinInt64:
		return 0, 0, false
	case ok2:
		hi = last - 1
	default:
		hi = math.MaxInt64
	}
	return lo, hi, lo <= hi
}

// firstInt returns the least integer for which f is true; f must be false before and true from there on.
func firstInt(f func(int64) bool) (int64, bool) {
	if !f(math.MaxInt64) {
		return 0, false
	}
	lo, hi := int64(math.MinInt64), int64(math.MaxInt64)
	for lo < hi {
		mid := lo + int64(uint64(hi-lo)/2)
		if f(mid) {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	return lo, true
}

func dateKeys(r *sextant.DatetimeRange) (lo, hi int64, ok bool) {
	lo, hi = math.MinInt64, math.MaxInt64
	if r.Gt != nil {
		if *r.Gt == math.MaxInt64 {
			return 0, 0, false
		}
		lo = max(lo, *r.Gt+1)
	}
	if r.Gte != nil {
		lo = max(lo, *r.Gte)
	}
	if r.Lt != nil {
		if *r.Lt == math.MinInt64 {
			return 0, 0, false
		}
		hi = min(hi, *r.Lt-1)
	}
	if r.Lte != nil {
		hi = min(hi, *r.Lte)
	}
	return lo, hi, lo <= hi
}

// startKeys returns the keys that an order which begins at start goes through.
func startKeys(t sextant.FieldType, desc bool, start *sextant.OrderStart) (lo, hi int64, ok bool) {
	if start == nil {
		return math.MinInt64, math.MaxInt64, true
	}
	if t == sextant.FloatField {
		f := start.Float
		if start.IsInt || start.IsDatetime {
			f = float64(start.Int)
		}
		if desc {
			return floatKeys(&sextant.Range{Lte: &f})
		}
		return floatKeys(&sextant.Range{Gte: &f})
	}
	if !start.IsInt && !start.IsDatetime {
		if desc {
			return intKeys(&test{rng: sextant.Range{Lte: &start.Float}})
		}
		return intKeys(&test{rng: sextant.Range{Gte: &start.Float}})
	}
	if desc {
		return math.MinInt64, start.Int, true
	}
	return start.Int, math.MaxInt64, true
}
