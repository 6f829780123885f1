package sparse

import (
	"context"
	"math"
	"math/bits"
	"slices"
)

// term is an index of the query that some row has.
type term struct {
	list  list
	q     float64
	max   float64 // no row gets more than this from the whole list; ≥ 0
	bound float64 // the same for the current window
	below float64 // in the current window: the sum of the smaller bounds
	count int     // postings in the current window, at most
	lazy  bool    // in the current window only looked up for rows that other terms found
}

// search is one run of a query over the lists of one index.
type search struct {
	terms []term // by ascending index: sums are made in this order wherever possible
	n     uint32
	alive []uint64
	top   top
	// prune: bounds hold, because no weight of the query is negative.
	prune  bool
	share  float64 // of the worst hit that lazy terms may make up: less when that gave many candidates
	byMax  []int   // terms by ascending max
	order  []int   // terms by ascending bound in the current window
	window *window
	found  []candidate
}

// candidate is a row of the current window whose sum of the eager terms may suffice.
type candidate struct {
	row uint32
	sum float64
}

// slack makes up for rounding in sums of bounds.
const slack = 1 + 1e-9

// run finds the best rows. lists belong to the query's indices, nil where no row has the index.
func run(ctx context.Context, q *Query, n uint32, postings uint64, lists []list) ([]Hit, error) {
	s := search{n: min(n, q.N), alive: q.Alive, top: newTop(q), prune: true, share: 1}
	if s.alive != nil {
		s.n = uint32(min(uint64(s.n), 64*uint64(len(s.alive))))
	}
	for i, l := range lists {
		value := float64(q.Values[i]) + 0 // no negative zero
		s.prune = s.prune && value >= 0
		if l != nil {
			s.terms = append(s.terms, term{list: l, q: value})
		}
	}
	if q.K <= 0 || s.n == 0 || len(s.terms) == 0 {
		return nil, ctx.Err()
	}
	for i := range s.terms {
		t := &s.terms[i]
		t.max = t.q * max(0, float64(t.list.max())) * slack
		s.byMax, s.order = append(s.byMax, i), append(s.order, i)
	}
	s.sort(s.byMax, func(t *term) float64 { return t.max })
	var err error
	if s.fewRows(postings) {
		err = s.byRow(ctx)
	} else {
		err = s.byWindow(ctx)
	}
	if err != nil {
		return nil, err
	}
	return s.top.sorted(), nil
}

// fewRows reports whether looking up each row that may be found costs less than reading the lists.
func (s *search) fewRows(postings uint64) bool {
	if s.alive == nil {
		return false
	}
	const lookup = 16 // costs as much as reading this many postings
	few := postings / (uint64(len(s.terms)) * lookup)
	rows := uint64(0)
	for i := uint32(0); i < s.n && rows <= few; i += groupRows {
		rows += uint64(bits.OnesCount64(s.aliveGroup(i)))
	}
	return rows <= few
}

// aliveGroup returns the bits of the rows from row on that may be found; row is a multiple of groupRows below n.
func (s *search) aliveGroup(row uint32) uint64 {
	word := uint64(math.MaxUint64)
	if s.alive != nil {
		word = s.alive[row/groupRows]
	}
	if left := s.n - row; left < groupRows {
		word &= 1<<left - 1
	}
	return word
}

// byRow looks up every alive row in every list.
func (s *search) byRow(ctx context.Context) error {
	for group := uint32(0); group < s.n; group += groupRows {
		if group%(1<<16) == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		for word := s.aliveGroup(group); word != 0; word &= word - 1 {
			row := group + uint32(bits.TrailingZeros64(word))
			sum, shared := 0.0, false
			for i := range s.terms {
				if weight, ok := s.terms[i].list.weight(row); ok {
					sum += s.terms[i].q * float64(weight)
					shared = true
				}
			}
			if shared && sum > s.top.above {
				s.top.offer(row, sum)
			}
		}
	}
	return nil
}

// byWindow adds up the lists window by window. Windows, and lists within a window, that cannot lift a row above the worst
// kept hit are left out.
func (s *search) byWindow(ctx context.Context) error {
	s.window = newWindow()
	lo := uint32(0)
	for step := 0; ; step++ {
		if step%32 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		lo = s.next(lo)
		if lo == none {
			return nil
		}
		lo &^= groupRows - 1
		hi := s.n
		if s.n-lo > windowRows {
			hi = lo + windowRows
		}
		if rest, some := s.plan(lo, hi); some {
			s.fill(lo, hi)
			s.collect(lo, rest)
			s.finish(lo, hi)
		}
		if lo = hi; lo >= s.n {
			return nil
		}
	}
}

// next returns a row ≥ lo that is not after the next row worth looking at, none if there is no such row. Lists that
// together cannot lift a row above the worst hit are not asked.
func (s *search) next(lo uint32) uint32 {
	pruning := s.prune && s.top.above > 0
	least := 0.0 // the sum of the smallest maxima
	row := uint32(none)
	for _, i := range s.byMax {
		t := &s.terms[i]
		if least += t.max; least > s.top.above || !pruning {
			row = min(row, t.list.next(lo))
		}
	}
	if row >= s.n {
		return none
	}
	return row
}

// sort puts the terms named by order in order by an ascending key; order changes little from window to window.
func (s *search) sort(order []int, key func(t *term) float64) {
	for i := 1; i < len(order); i++ {
		at := order[i]
		k := key(&s.terms[at])
		j := i
		for ; j > 0 && key(&s.terms[order[j-1]]) > k; j-- {
			order[j] = order[j-1]
		}
		order[j] = at
	}
}

// plan computes the terms' bounds in [lo,hi) and makes those lazy whose bounds together, rest, stay below a share of the
// worst hit: a row that only has them cannot be a hit. some is false when no row can be one.
func (s *search) plan(lo, hi uint32) (rest float64, some bool) {
	pruning := s.prune && s.top.above > 0
	for i := range s.terms {
		t := &s.terms[i]
		t.lazy, t.bound, t.count = false, 0, 0
		if t.list.next(lo) < hi {
			weight, count := t.list.bound(lo, hi)
			t.bound, t.count = t.q*max(0, float64(weight))*slack, count
			some = true
		}
	}
	if !pruning {
		return 0, some
	}
	s.sort(s.order, func(t *term) float64 { return t.bound })
	sum := 0.0
	for _, i := range s.order {
		t := &s.terms[i]
		t.below = sum
		if sum += t.bound; sum <= s.share*s.top.above {
			t.lazy, rest = true, sum
		}
	}
	return rest, sum > s.top.above
}

// fill adds up the eager terms.
func (s *search) fill(lo, hi uint32) {
	for i := range s.terms {
		if t := &s.terms[i]; !t.lazy && t.count > 0 {
			t.list.add(s.window, lo, hi, t.q)
		}
	}
}

// collect finds the candidates in the window and leaves the window empty.
func (s *search) collect(lo uint32, rest float64) {
	s.found = s.found[:0]
	w := s.window
	above := s.top.above - rest // rounding is no matter: scores that differ do so in float32
	for ; w.mask != 0; w.mask &= w.mask - 1 {
		group := bits.TrailingZeros64(w.mask)
		first := lo + uint32(group)*groupRows
		sums := (*[groupRows]float64)(w.sums[group*groupRows:])
		if first < s.n {
			good := s.aliveGroup(first)
			if above >= 0 {
				good &= aboveMask(sums, above)
			} else {
				good &= touchedMask(sums)
			}
			for ; good != 0; good &= good - 1 {
				i := bits.TrailingZeros64(good)
				s.found = append(s.found, candidate{first + uint32(i), sums[i]})
			}
		}
		*sums = untouched
	}
}

// finish adds the lazy terms to the candidates and offers them.
func (s *search) finish(lo, hi uint32) {
	lazy, postings := 0, 0
	for i := range s.terms {
		if t := &s.terms[i]; t.lazy && t.count > 0 {
			lazy++
			postings += t.count
		}
	}
	const lookup = 8 // costs as much as adding this many postings; most candidates do not need all lists
	switch {
	case lazy == 0:
		s.share = min(1, s.share+1./64)
		for _, c := range s.found {
			if c.sum > s.top.above {
				s.top.offer(c.row, c.sum)
			}
		}
	case len(s.found)*lazy*lookup > postings:
		s.share /= 2
		s.addLazy(lo, hi)
	default:
		s.share = min(1, s.share+1./16)
		s.lookUpLazy()
	}
}

// addLazy adds up the lazy terms in the window.
func (s *search) addLazy(lo, hi uint32) {
	for i := range s.terms {
		if t := &s.terms[i]; t.lazy && t.count > 0 {
			t.list.add(s.window, lo, hi, t.q)
		}
	}
	for _, c := range s.found {
		if sum := c.sum + s.window.sums[c.row-lo]; sum > s.top.above {
			s.top.offer(c.row, sum)
		}
	}
	for ; s.window.mask != 0; s.window.mask &= s.window.mask - 1 {
		s.window.clear(bits.TrailingZeros64(s.window.mask))
	}
}

// lookUpLazy looks up the candidates in the lazy terms, largest bound first, as long as they may be hits.
func (s *search) lookUpLazy() {
	for _, c := range s.found {
		for _, i := range slices.Backward(s.order) {
			t := &s.terms[i]
			if !t.lazy || t.count == 0 {
				continue
			}
			if c.sum+t.below+t.bound <= s.top.above {
				break
			}
			if weight, ok := t.list.weight(c.row); ok {
				c.sum += t.q * float64(weight)
			}
		}
		if c.sum > s.top.above {
			s.top.offer(c.row, c.sum)
		}
	}
}
