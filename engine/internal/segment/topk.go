package segment

import (
	"math"
	"slices"
)

// hit is a scored row of a piece of a view.
type hit struct {
	score float32
	row   uint32
	piece int32
}

// topK keeps the k best hits of one view: larger scores first, ties by ascending id. The zero k keeps none.
type topK struct {
	view *View
	k    int
	hits []hit // a heap with the worst on top once there are k
}

func (t *topK) worse(a, b hit) bool {
	if a.score != b.score {
		return a.score < b.score
	}
	return t.view.pieces[a.piece].rows.id(a.row).Compare(t.view.pieces[b.piece].rows.id(b.row)) > 0
}

// floor is the score below which a hit cannot enter.
func (t *topK) floor() float32 {
	if len(t.hits) < t.k {
		return float32(math.Inf(-1))
	}
	return t.hits[0].score
}

func (t *topK) offer(h hit) {
	if h.score != h.score { // a NaN, of infinities, is no match for anything
		h.score = float32(math.Inf(-1))
	}
	switch {
	case len(t.hits) < t.k:
		t.hits = append(t.hits, h)
		if len(t.hits) == t.k {
			for i := t.k/2 - 1; i >= 0; i-- {
				t.sink(i)
			}
		}
	case t.k > 0 && t.worse(t.hits[0], h):
		t.hits[0] = h
		t.sink(0)
	}
}

func (t *topK) sink(i int) {
	for {
		least := i
		for _, kid := range [2]int{2*i + 1, 2*i + 2} {
			if kid < len(t.hits) && t.worse(t.hits[kid], t.hits[least]) {
				least = kid
			}
		}
		if least == i {
			return
		}
		t.hits[i], t.hits[least] = t.hits[least], t.hits[i]
		i = least
	}
}

// sorted ends the collection and returns the hits, best first.
func (t *topK) sorted() []hit {
	slices.SortFunc(t.hits, func(a, b hit) int {
		switch {
		case t.worse(b, a):
			return -1
		case t.worse(a, b):
			return 1
		}
		return 0
	})
	return t.hits
}
