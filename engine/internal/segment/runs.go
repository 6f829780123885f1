package segment

import (
	"slices"
	"sort"
	"sync"

	"github.com/sextantdb/sextant"
)

// sortedRuns keeps the rows of a head in id order for scrolls, as immutable runs whose lengths are falling powers of two
// times runRows, like the digits of a binary counter. Readers extend it when they need it: writers never pay for it.
type sortedRuns struct {
	mu      sync.Mutex // guards what follows; held while sorting, which only other scrolls wait for
	runs    []run
	covered uint32
}

const runRows = 1024

// run is rows in the order of their ids, rows of one id ascending.
type run struct {
	rows []uint32
	ids  column[sextant.PointID] // reaches all of rows
}

// upTo returns runs that together hold every row of v. They may hold rows that came after it, too.
func (r *sortedRuns) upTo(v *headView) []run {
	r.mu.Lock()
	for end := v.n - v.n%runRows; r.covered < end; r.covered += runRows {
		r.push(sortRows(v, r.covered, r.covered+runRows))
	}
	lists, covered := slices.Clone(r.runs), r.covered
	r.mu.Unlock()
	if covered < v.n {
		lists = append(lists, sortRows(v, covered, v.n))
	}
	return lists
}

func (r *sortedRuns) push(next run) {
	for len(r.runs) > 0 && len(r.runs[len(r.runs)-1].rows) == len(next.rows) {
		next = mergeRows(r.runs[len(r.runs)-1], next)
		r.runs = r.runs[:len(r.runs)-1]
	}
	r.runs = append(r.runs, next)
}

func sortRows(v *headView, from, end uint32) run {
	rows := make([]uint32, 0, end-from)
	for row := from; row < end; row++ {
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b uint32) int {
		if c := v.id(a).Compare(v.id(b)); c != 0 {
			return c
		}
		return int(a) - int(b)
	})
	return run{rows, v.ids}
}

// mergeRows merges two runs of which all rows of b are newer.
func mergeRows(before, after run) run {
	a, b := before.rows, after.rows
	out := make([]uint32, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if after.ids.at(a[0]).Compare(after.ids.at(b[0])) <= 0 {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return run{append(append(out, a...), b...), after.ids}
}

// from returns the part of the run that begins at the first row with an id not below start.
func (r run) from(start sextant.PointID) run {
	i := sort.Search(len(r.rows), func(i int) bool { return r.ids.at(r.rows[i]).Compare(start) >= 0 })
	return run{r.rows[i:], r.ids}
}
