package sparse

import (
	"cmp"
	"math"
	"slices"
)

// top keeps the k best hits. Rows must come in ascending order: then a hit with the score of the worst kept one is worse.
type top struct {
	k     int
	above float64 // a score must exceed it
	hits  []Hit   // a heap with the worst hit first; it grows as hits come, whatever k is
}

func newTop(q *Query) top {
	t := top{k: q.K, above: math.Inf(-1)}
	if q.Above != nil {
		t.above = float64(*q.Above + 0) // no negative zero
	}
	return t
}

func worse(a, b Hit) bool { return a.Score < b.Score || a.Score == b.Score && a.Row > b.Row }

// offer keeps the hit if it is good enough.
func (t *top) offer(row uint32, sum float64) {
	hit := Hit{row, toScore(sum)}
	if !(float64(hit.Score) > t.above) {
		return
	}
	h := t.hits
	if len(h) < t.k {
		h = append(h, hit)
		for i := len(h) - 1; i > 0; {
			parent := (i - 1) / 2
			if !worse(h[i], h[parent]) {
				break
			}
			h[i], h[parent] = h[parent], h[i]
			i = parent
		}
		t.hits = h
	} else {
		h[0] = hit
		for i := 0; ; {
			child := 2*i + 1
			if child >= len(h) {
				break
			}
			if child+1 < len(h) && worse(h[child+1], h[child]) {
				child++
			}
			if !worse(h[child], h[i]) {
				break
			}
			h[i], h[child] = h[child], h[i]
			i = child
		}
	}
	if len(h) == t.k {
		t.above = float64(h[0].Score)
	}
}

// sorted returns the hits, best first.
func (t *top) sorted() []Hit {
	slices.SortFunc(t.hits, func(a, b Hit) int {
		if a.Score != b.Score {
			return cmp.Compare(b.Score, a.Score)
		}
		return cmp.Compare(a.Row, b.Row)
	})
	return t.hits
}
