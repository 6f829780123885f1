package sparse

import "math"

const (
	windowRows = 4096 // sums of one window fit the first-level cache
	groupRows  = 64   // one word of a bit set; one bit of window.mask
)

// window adds up the scores of windowRows consecutive rows, list after list. The first row is a multiple of groupRows.
//
// A sum that nothing was added to is the negative zero: it stays apart from a sum of 0 because x + y is never the negative
// zero when y is not, and products are added as q·w + 0.
type window struct {
	sums [windowRows]float64
	mask uint64 // groups that have sums
}

var untouched = func() (group [groupRows]float64) {
	for i := range group {
		group[i] = math.Copysign(0, -1)
	}
	return group
}()

func newWindow() *window {
	w := &window{mask: math.MaxUint64}
	for g := range windowRows / groupRows {
		w.clear(g)
	}
	w.mask = 0
	return w
}

func (w *window) clear(group int) {
	copy(w.sums[group*groupRows:][:groupRows], untouched[:])
}

// aboveMask returns the bits of the sums that exceed above, which is not negative. It has no branch on a sum, since how
// those would turn out is chance: numbers that are not negative compare as their bits do. (NaN counts as above.)
func aboveMask(sums *[groupRows]float64, above float64) (mask uint64) {
	limit := int64(math.Float64bits(above))
	for _, sum := range sums {
		x := int64(math.Float64bits(sum))
		x &^= x >> 63 // below 0 is no better than 0
		mask = mask>>1 | uint64(limit-x)&(1<<63)
	}
	return mask
}

// touchedMask returns the bits of the sums that something was added to.
func touchedMask(sums *[groupRows]float64) (mask uint64) {
	for _, sum := range sums {
		x := math.Float64bits(sum) ^ 1<<63
		mask = mask>>1 | (x|-x)&(1<<63)
	}
	return mask
}

// touch marks the groups of rows: one by one if they are few, else all from the first to the last.
func touch[T uint8 | uint16 | uint32](w *window, rows []T, shift uint32) {
	first, last := (shift+uint32(rows[0]))%windowRows/groupRows, (shift+uint32(rows[len(rows)-1]))%windowRows/groupRows
	if uint32(len(rows)) >= last-first {
		w.mask |= math.MaxUint64 << first & (math.MaxUint64 >> (63 - last))
		return
	}
	for _, row := range rows {
		w.mask |= 1 << ((shift + uint32(row)) % windowRows / groupRows)
	}
}

// addPostings adds q·weight to the sums of rows shift+row, where shift makes rows relative to the window. The remainder by
// windowRows costs nothing and keeps damaged rows from doing worse than wrong sums.
func addPostings[T uint8 | uint16 | uint32](w *window, rows []T, weights []float32, shift uint32, q float64) {
	if len(rows) == 0 {
		return
	}
	touch(w, rows, shift)
	weights = weights[:len(rows)]
	for i, row := range rows {
		w.sums[(shift+uint32(row))%windowRows] += q*float64(weights[i]) + 0
	}
}

// lowerBound returns the first place in ascending rows whose row is not below row.
func lowerBound[T uint8 | uint16 | uint32](rows []T, row uint32) int {
	lo, n := 0, len(rows)
	for n > 0 {
		half := n / 2
		if uint32(rows[lo+half]) < row {
			lo += half + 1
			n -= half + 1
		} else {
			n = half
		}
	}
	return lo
}
