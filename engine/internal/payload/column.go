package payload

import (
	"cmp"
	"slices"
	"sort"
)

// column is a growing set of (key, row) pairs: sorted runs, of which each is at least as long as all after it together
// would make necessary to merge, and a short tail in order of arrival. Runs and the tail's entries never change in place.
type column struct {
	runs []run
	tail run
}

type run struct {
	keys []int64
	rows []uint32
}

const maxTail = 512

func (c *column) add(key int64, row uint32) {
	c.tail.keys, c.tail.rows = append(c.tail.keys, key), append(c.tail.rows, row)
	if len(c.tail.keys) < maxTail {
		return
	}
	next := c.tail.sorted()
	c.tail = run{make([]int64, 0, maxTail), make([]uint32, 0, maxTail)}
	runs := slices.Clone(c.runs)
	for len(runs) > 0 && len(runs[len(runs)-1].keys) <= len(next.keys) {
		next = runs[len(runs)-1].merged(next)
		runs = runs[:len(runs)-1]
	}
	c.runs = append(runs, next)
}

func (c *column) bytes() int64 {
	n := cap(c.tail.keys)
	for _, r := range c.runs {
		n += cap(r.keys)
	}
	return int64(12 * n)
}

// sorted returns a copy in order of key, then row. Rows arrive in ascending order, so that a stable sort is enough.
func (r run) sorted() run {
	order := make([]int, len(r.keys))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(r.keys[a], r.keys[b]) })
	out := run{make([]int64, len(order)), make([]uint32, len(order))}
	for i, at := range order {
		out.keys[i], out.rows[i] = r.keys[at], r.rows[at]
	}
	return out
}

// merged returns both in order; all rows of newer are above those of r.
func (r run) merged(newer run) run {
	n := len(r.keys) + len(newer.keys)
	out := run{make([]int64, 0, n), make([]uint32, 0, n)}
	i, j := 0, 0
	for len(out.keys) < n {
		if j == len(newer.keys) || i < len(r.keys) && r.keys[i] <= newer.keys[j] {
			out.keys, out.rows = append(out.keys, r.keys[i]), append(out.rows, r.rows[i])
			i++
		} else {
			out.keys, out.rows = append(out.keys, newer.keys[j]), append(out.rows, newer.rows[j])
			j++
		}
	}
	return out
}

// within returns the part of a sorted run whose keys are in [lo,hi].
func (r run) within(lo, hi int64) run {
	from := sort.Search(len(r.keys), func(i int) bool { return r.keys[i] >= lo })
	to := from + sort.Search(len(r.keys)-from, func(i int) bool { return r.keys[from+i] > hi })
	return run{r.keys[from:to], r.rows[from:to]}
}

// find adds the rows with a key in [lo,hi].
func (c *column) find(lo, hi int64, to []rowSet) []rowSet {
	for _, r := range c.runs {
		if part := r.within(lo, hi); len(part.rows) > 0 {
			to = append(to, rowSet{list: part.rows, count: uint32(len(part.rows)), loose: lo < hi})
		}
	}
	var rows []uint32
	for i, key := range c.tail.keys {
		if lo <= key && key <= hi {
			rows = append(rows, c.tail.rows[i])
		}
	}
	if len(rows) > 0 {
		to = append(to, rowSet{list: rows, count: uint32(len(rows)), loose: lo < hi})
	}
	return to
}

// sorted returns the pairs with a key in [lo,hi] as sorted runs, older rows first.
func (c *column) sorted(lo, hi int64) []run {
	var runs []run
	for _, r := range append(slices.Clone(c.runs), c.tail.sorted()) {
		if part := r.within(lo, hi); len(part.keys) > 0 {
			runs = append(runs, part)
		}
	}
	return runs
}

// merge calls yield with the pairs of all runs in order of key (descending if desc), rows ascending within one.
func merge(runs []run, desc bool, yield func(key int64, row uint32) bool) {
	at := make([]int, len(runs)) // how many keys of each run are done; a key's rows in one run are done together
	for {
		best := -1
		var bestKey int64
		for i, r := range runs {
			if at[i] == len(r.keys) {
				continue
			}
			key := r.keys[at[i]]
			if desc {
				key = r.keys[len(r.keys)-1-at[i]]
			}
			if best < 0 || !desc && key < bestKey || desc && key > bestKey {
				best, bestKey = i, key
			}
		}
		if best < 0 {
			return
		}
		// Of runs with the same key the older one has the lower rows.
		for i := best; i < len(runs); i++ {
			part := runs[i].within(bestKey, bestKey)
			for _, row := range part.rows {
				if !yield(bestKey, row) {
					return
				}
			}
			at[i] += len(part.keys)
		}
	}
}
