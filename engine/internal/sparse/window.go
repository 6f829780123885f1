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

// addPostings adds q·weight to the sums of rows shift+row, where shift makes rows relative to the window. The remainder by
// windowRows costs nothing and keeps damaged rows from doing worse than wrong sums.
func addPostings[T uint8 | uint16 | uint32](w *window, rows []T, weights []float32, shift uint32, q float64) {
	mask := w.mask
	weights = weights[:len(rows)]
	for i, row := range rows {
		r := (shift + uint32(row)) % windowRows
		w.sums[r] += q*float64(weights[i]) + 0
		mask |= 1 << (r / groupRows)
	}
	w.mask = mask
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
