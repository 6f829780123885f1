package payload

import (
	"context"
	"math/bits"
)

// selection evaluates a filter over sets of candidates, clause by clause.
type selection struct {
	ctx  context.Context
	src  Source
	n    uint32
	free [][]uint64 // sets to be used again
	err  error
}

func selectRows(ctx context.Context, m *Matcher, alive []uint64) (Selection, error) {
	s := &selection{ctx: ctx, src: m.src, n: m.n}
	from := s.empty()
	fill(from, m.n)
	for i := range from {
		if alive == nil {
			break
		}
		if i < len(alive) {
			from[i] &= alive[i]
		} else {
			from[i] = 0
		}
	}
	found := s.eval(&m.root, from)
	if s.err == nil {
		s.err = ctx.Err()
	}
	if s.err != nil {
		return Selection{}, s.err
	}
	return Selection{Bits: found, Count: countBits(found)}, nil
}

// empty returns a set without rows.
func (s *selection) empty() []uint64 {
	if last := len(s.free) - 1; last >= 0 {
		set := s.free[last]
		s.free = s.free[:last]
		clear(set)
		return set
	}
	return make([]uint64, words(s.n))
}

func (s *selection) clone(set []uint64) []uint64 {
	out := s.empty()
	copy(out, set)
	return out
}

func (s *selection) done(set []uint64) { s.free = append(s.free, set) }

// eval returns the candidates for which the node is true, as a set of its own.
func (s *selection) eval(nd *node, from []uint64) []uint64 {
	if s.err != nil {
		return s.empty()
	}
	if nd.class == scan && nd.op != opTrue && nd.op != opFalse {
		out := s.empty()
		s.test([]node{*nd}, from, out, true)
		return out
	}
	switch nd.op {
	case opTrue:
		return s.clone(from)
	case opFalse:
		return s.empty()
	case opAnd:
		return s.and(nd.kids, from)
	case opOr:
		return s.or(nd.kids, from)
	case opNot:
		out := s.clone(from)
		s.subtract(out, s.eval(&nd.kids[0], from))
		return out
	case opAtLeast:
		return s.atLeast(nd, from)
	}
	return s.leaf(nd, from)
}

func (s *selection) subtract(from, set []uint64) {
	for i, w := range set {
		from[i] &^= w
	}
	s.done(set)
}

// scanFrom returns where the kids begin that no index helps with; those before are ordered before them.
func scanFrom(kids []node) int {
	for i := range kids {
		if kids[i].class == scan {
			return i
		}
	}
	return len(kids)
}

func (s *selection) and(kids []node, from []uint64) []uint64 {
	cut := scanFrom(kids)
	left := s.clone(from)
	for i := range kids[:cut] {
		next := s.eval(&kids[i], left)
		s.done(left)
		left = next
	}
	if cut == len(kids) {
		return left
	}
	out := s.empty()
	s.test(kids[cut:], left, out, true)
	s.done(left)
	return out
}

func (s *selection) or(kids []node, from []uint64) []uint64 {
	cut := scanFrom(kids)
	left, out := s.clone(from), s.empty()
	for i := range kids[:cut] {
		hits := s.eval(&kids[i], left)
		for j, w := range hits {
			out[j] |= w
			left[j] &^= w
		}
		s.done(hits)
	}
	if cut < len(kids) {
		s.test(kids[cut:], left, out, false)
	}
	s.done(left)
	return out
}

// test adds to out the candidates that match all of the nodes, or one of them, reading each payload once.
func (s *selection) test(nodes []node, from, out []uint64, all bool) {
	const stride = 64 // words between looks at the context
	for i, w := range from {
		if i%stride == 0 {
			if s.err = s.ctx.Err(); s.err != nil {
				return
			}
		}
		for ; w != 0; w &= w - 1 {
			row := uint32(i)<<6 + uint32(bits.TrailingZeros64(w))
			c := cursor{src: s.src, row: row}
			hit := all
			for k := range nodes {
				if nodes[k].match(&c) != all {
					hit = !all
					break
				}
			}
			if hit {
				out[i] |= w & -w
			}
		}
	}
}

// atLeast counts in binary, one set per digit.
func (s *selection) atLeast(nd *node, from []uint64) []uint64 {
	digits := make([][]uint64, bits.Len(uint(len(nd.kids))))
	for i := range digits {
		digits[i] = s.empty()
	}
	for k := range nd.kids {
		carry := s.eval(&nd.kids[k], from)
		for _, d := range digits {
			for i, w := range carry {
				d[i], carry[i] = d[i]^w, d[i]&w
			}
		}
		s.done(carry)
	}
	more, same := s.empty(), s.clone(from) // counts above, and equal to, least in the digits seen so far
	for k := len(digits) - 1; k >= 0; k-- {
		for i, w := range digits[k] {
			if nd.least>>k&1 == 1 {
				same[i] &= w
			} else {
				more[i] |= same[i] & w
				same[i] &^= w
			}
		}
		s.done(digits[k])
	}
	for i, w := range same {
		more[i] |= w & from[i]
	}
	s.done(same)
	return more
}

// leaf evaluates a node by its probe.
func (s *selection) leaf(nd *node, from []uint64) []uint64 {
	p := nd.probe
	out := s.empty()
	for i := range p.base {
		p.base[i].addTo(out)
	}
	for i := range p.minus {
		p.minus[i].removeFrom(out)
	}
	for i := range p.plus {
		p.plus[i].addTo(out)
	}
	if len(p.every) > 0 && !p.everyMaybe {
		s.intersect(p.every, out)
	}
	for i, w := range from {
		out[i] &= w
	}
	if len(p.maybe) == 0 && !p.everyMaybe {
		return out
	}
	maybe := s.empty()
	for i := range p.maybe {
		p.maybe[i].addTo(maybe)
	}
	if p.everyMaybe {
		s.intersect(p.every, maybe)
	}
	for i, w := range from {
		maybe[i] &= w &^ out[i]
	}
	bare := *nd
	s.test([]node{bare}, maybe, out, true)
	s.done(maybe)
	return out
}

// intersect adds to dst the rows that are in all sets.
func (s *selection) intersect(sets []rowSet, dst []uint64) {
	both := s.empty()
	sets[0].addTo(both)
	for i := range sets[1:] {
		next := s.empty()
		sets[1+i].addTo(next)
		for j, w := range next {
			both[j] &= w
		}
		s.done(next)
	}
	for i, w := range both {
		dst[i] |= w
	}
	s.done(both)
}
