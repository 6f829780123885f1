package engine

import (
	"cmp"
	"slices"
)

const (
	// farAbove is how many small segments above the target are put up with for the sake of fewer copies, and how many are
	// worth a merge while updates come in.
	farAbove = 4
	// cheapMerge is a size that is merged at once.
	cheapMerge = 8 << 20
)

// merge plans merges of the smallest segments until their number is the target, as far as they stay below the largest size
// together.
//
// A large segment is not copied for a small gain: those that are merged with it must together have a quarter of its size, so
// that however many segments come, a row is copied a logarithmic number of times. Where sizes forbid all merges though there
// are far too many small segments, the two smallest are merged nevertheless.
//
// While updates come in, more segments follow soon, and of young ones only several at once are merged: with the present size
// of heads and segments a row is then copied once or twice instead of with every head that is sealed.
func (p *planner) merge() {
	slices.SortStableFunc(p.idle, func(a, b candidate) int { return cmp.Compare(a.live(), b.live()) })
	for from := 0; p.count > p.target && from < len(p.idle)-1; {
		crowded := p.crowded()
		n := p.group(p.idle[from:], crowded)
		if n == 0 {
			from++ // too small or too large beside its peers: larger ones may fit each other better
			continue
		}
		group := slices.Clone(p.idle[from : from+n])
		p.idle = slices.Delete(p.idle, from, from+n)
		p.count -= n - 1
		p.add(job{name: mergeBuild, later: n < farAbove && !crowded && !p.pressing(group)}, group...)
	}
}

// group returns how many of the segments, smallest first, are to become one, 0 for none: the most that the target asks for
// and the sizes allow.
func (p *planner) group(list []candidate, crowded bool) (n int) {
	sum := int64(0)
	for i := range min(len(list), p.count-p.target+1) {
		size := list[i].live()
		if sum+size >= p.limit {
			break
		}
		if i > 0 && sum >= size/4 {
			n = i + 1
		}
		sum += size
	}
	if n == 0 && crowded && list[0].live()+list[1].live() < p.limit {
		return 2
	}
	return n
}

// crowded says whether there are far more small segments than all should be.
func (p *planner) crowded() bool {
	small := 0
	for i := range p.idle {
		if p.idle[i].live() < p.limit/2 {
			small++
		}
	}
	return small >= p.target+farAbove
}

// pressing says whether a merge is due also while updates come in: nothing young is in it, it costs next to nothing, or one
// of the sources would be copied anyway.
func (p *planner) pressing(group []candidate) bool {
	sum, young := int64(0), false
	for i := range group {
		c := &group[i]
		if wasteful(c.rows, c.dead, p.tuning) {
			return true
		}
		young = young || c.young
		sum += c.live()
	}
	return !young || sum <= cheapMerge
}
