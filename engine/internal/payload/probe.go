package payload

import (
	"math"
	"slices"
	"sort"

	"github.com/sextantdb/sextant"
)

// probe is what an index knows about a node: rows for which it is true, and rows for which it may be. It is false for all
// others. True are (base − minus) ∪ plus ∪ the rows in all of every; the last may be true only, if everyMaybe.
type probe struct {
	base, minus, plus []rowSet
	every             []rowSet
	everyMaybe        bool
	maybe             []rowSet
	est               bounds
	reads             float64
}

// asMaybe weakens all that is known to "may be".
func (p *probe) asMaybe() probe {
	weak := probe{est: p.est, reads: max(1, p.est.max)}
	weak.maybe = slices.Concat(p.base, p.plus, p.maybe)
	weak.every, weak.everyMaybe = p.every, len(p.every) > 0
	weak.est.min = 0
	return weak
}

// store is what both forms of an index can look up. n cuts off rows that a head got later, from counts at least.
type store interface {
	state(k stateKind, n uint32) rowSet
	entries() uint32                                      // (value, row) pairs
	numbers(lo, hi int64, n uint32, to []rowSet) []rowSet // rows with a key in [lo,hi]
	term(t string, n uint32) rowSet
	prefixed(prefix string, n uint32, to []rowSet) []rowSet
	terms(n uint32, yield func(term string, rows rowSet) bool)
	termCount() int
	places(a *area, n uint32) (rows rowSet, likely float64)
	grown(n uint32) bool // there may be rows from n on in numbers
}

// stateKind names the sets of rows that every index keeps.
type stateKind uint8

const (
	indexed stateKind = iota // has a value of the index's type
	other                    // has a value that is not null and not of the index's type
	multi                    // has several different values of the index's type
	null                     // has a null
	hollow                   // is not empty and yet in neither indexed nor other: arrays of nulls
	states
)

// prober makes the probe of one node.
type prober struct {
	store
	typ sextant.FieldType
	n   uint32
	p   probe

	likely float64 // of base that is found only later: how many rows
}

func probeOf(st store, typ sextant.FieldType, nd *node, n uint32) (probe, bool) {
	b := prober{store: st, typ: typ, n: n}
	switch nd.op {
	case opValue:
		b.value(nd.test)
	case opWords:
		b.words(nd.words)
	case opEmpty:
		b.p.base = []rowSet{{all: true, count: n}}
		b.p.minus = b.all(indexed, other, hollow)
	case opNull:
		b.p.base = b.all(null)
	case opCount:
		b.counts(nd)
	default:
		return probe{}, false
	}
	b.estimate(nd.op == opValue || nd.op == opWords)
	return b.p, true
}

func (b *prober) all(kinds ...stateKind) []rowSet {
	var sets []rowSet
	for _, k := range kinds {
		if s := b.state(k, b.n); s.count > 0 {
			sets = append(sets, s)
		}
	}
	return sets
}

func (b *prober) maybe(kinds ...stateKind) { b.p.maybe = append(b.p.maybe, b.all(kinds...)...) }

func (b *prober) value(t *test) {
	stringy := b.typ == sextant.KeywordField || b.typ == sextant.TextField // then all strings are indexed
	switch t.kind {
	case in:
		b.in(&t.set)
	case notIn:
		b.notIn(&t.set)
	case isBool:
		if b.typ == sextant.BoolField {
			key := int64(0)
			if t.truth {
				key = 1
			}
			b.p.base = b.numbers(key, key, b.n, nil)
		} else {
			b.maybe(other)
		}
	case hasPrefix, contains:
		switch {
		case b.typ == sextant.KeywordField && t.kind == hasPrefix:
			b.p.base = b.prefixed(t.prefix, b.n, nil)
		case b.typ == sextant.KeywordField && b.termCount() <= manyTerms:
			b.terms(b.n, func(term string, rows rowSet) bool {
				if t.containsText(term) {
					b.p.base = append(b.p.base, rows)
				}
				return true
			})
		case stringy:
			b.maybe(indexed)
		case b.typ == sextant.UUIDField || b.typ == sextant.DatetimeField:
			b.maybe(indexed, other)
		default:
			b.maybe(other)
		}
	case inRange:
		b.inRange(t)
	case inDates:
		switch {
		case b.typ == sextant.DatetimeField:
			if lo, hi, ok := dateKeys(&t.dates); ok {
				b.p.base = b.numbers(lo, hi, b.n, nil)
			}
		case stringy:
			b.maybe(indexed)
		default:
			b.maybe(other)
		}
	case inArea:
		if b.typ == sextant.GeoField {
			b.p.base = make([]rowSet, 1)
			b.p.base[0], b.likely = b.places(&t.area, b.n)
		} else {
			b.maybe(other)
		}
	}
}

// manyTerms is how many terms are looked through at most to save reading payloads.
const manyTerms = 1 << 16

// listed returns the rows of the values of a set that the index can look up exactly.
func (b *prober) listed(s *set) []rowSet {
	var rows []rowSet
	add := func(r rowSet) {
		if r.count > 0 {
			rows = append(rows, r)
		}
	}
	switch b.typ {
	case sextant.KeywordField:
		for _, t := range s.strings {
			add(b.term(t, b.n))
		}
	case sextant.UUIDField:
		for _, id := range s.uuids {
			raw, _ := id.Bytes()
			add(b.term(string(raw[:]), b.n))
		}
	case sextant.IntegerField:
		for _, i := range s.ints {
			rows = b.numbers(i, i, b.n, rows)
		}
	}
	return rows
}

// otherMayBeIn reports whether a value that this index skips can be in s.
func (b *prober) otherMayBeIn(s *set) bool {
	switch b.typ {
	case sextant.KeywordField, sextant.TextField:
		return len(s.ints) > 0
	case sextant.IntegerField, sextant.FloatField:
		return len(s.strings) > 0
	case sextant.UUIDField:
		return len(s.strings)+len(s.ints) > 0
	}
	return s.len() > 0
}

// indexedMayBeIn reports whether a value of the index's type can be in s.
func (b *prober) indexedMayBeIn(s *set) bool {
	switch b.typ {
	case sextant.IntegerField, sextant.FloatField:
		return len(s.ints) > 0
	case sextant.UUIDField:
		return len(s.uuids) > 0
	case sextant.BoolField, sextant.GeoField:
		return false
	}
	return len(s.strings) > 0
}

// lists reports whether listed finds all rows with an indexed value in a set.
func (b *prober) lists() bool {
	return b.typ == sextant.KeywordField || b.typ == sextant.UUIDField || b.typ == sextant.IntegerField
}

func (b *prober) in(s *set) {
	switch {
	case !b.indexedMayBeIn(s):
	case b.lists():
		b.p.base = b.listed(s)
	case b.typ == sextant.FloatField:
		for _, i := range s.ints { // different integers can be the same float64
			key := floatKey(float64(i))
			b.p.maybe = b.numbers(key, key, b.n, b.p.maybe)
		}
	default:
		b.maybe(indexed)
	}
	if b.otherMayBeIn(s) {
		b.maybe(other)
	}
}

func (b *prober) notIn(s *set) {
	switch {
	case !b.indexedMayBeIn(s):
		b.p.plus = b.all(indexed)
	case b.lists():
		b.p.base = b.all(indexed)
		b.p.minus = b.listed(s)
		// A row with a listed value may have another one.
		if s.len() == 1 {
			b.p.plus = b.all(multi)
		} else {
			b.maybe(multi)
		}
	default:
		b.maybe(indexed)
	}
	if b.otherMayBeIn(s) {
		b.maybe(other)
	} else {
		b.p.plus = append(b.p.plus, b.all(other)...)
	}
}

func (b *prober) inRange(t *test) {
	var lo, hi int64
	ok := false
	switch b.typ {
	case sextant.IntegerField:
		lo, hi, ok = intKeys(t)
		b.maybe(other) // fractions, and integers beyond int64
	case sextant.FloatField:
		lo, hi, ok = floatKeys(&t.rng)
	default:
		b.maybe(other)
	}
	if !ok {
		return
	}
	b.p.base = b.numbers(lo, hi, b.n, nil)
	all := b.state(indexed, b.n)
	if sum(b.p.base)*2 < float64(all.count) || b.entries() != all.count {
		return
	}
	// Each row has one value, most of them in the range: it is quicker to take away the others.
	var outside []rowSet
	if lo > math.MinInt64 {
		outside = b.numbers(math.MinInt64, lo-1, b.n, outside)
	}
	if hi < math.MaxInt64 {
		outside = b.numbers(hi+1, math.MaxInt64, b.n, outside)
	}
	b.p.base, b.p.minus = []rowSet{all}, outside
}

func (b *prober) words(w *wordsTest) {
	var rows []rowSet
	for _, t := range w.tokens {
		r := b.term(t, b.n)
		if r.count == 0 && w.mode != sextant.TextAny {
			return
		}
		if r.count > 0 {
			rows = append(rows, r)
		}
	}
	if w.mode == sextant.TextAny {
		b.p.base = rows
		return
	}
	sort.Slice(rows, func(i, j int) bool { return rows[i].count < rows[j].count })
	b.p.every, b.p.everyMaybe = rows, w.mode == sextant.TextPhrase && len(rows) > 1
}

// counts uses that a row has a count of 1 or more exactly if it is not empty.
func (b *prober) counts(nd *node) {
	zero := inCounts(&nd.counts, 0)
	one, open := inCounts(&nd.counts, 1), nd.counts.Lt == nil && nd.counts.Lte == nil
	filled := b.all(indexed, other, hollow)
	if zero {
		b.p.base = []rowSet{{all: true, count: b.n}}
		b.p.minus = filled
		if one || !nd.single {
			b.p.maybe = filled
		}
		return
	}
	if one && open {
		b.p.base = filled
	} else {
		b.p.maybe = filled
	}
}

func sum(sets []rowSet) (n float64) {
	for i := range sets {
		n += float64(sets[i].count)
	}
	return n
}

// union bounds the size of a union of sets. repeats is how many of their rows may be counted more than once.
func union(sets []rowSet, repeats float64) (b bounds) {
	for i := range sets {
		least := float64(sets[i].count)
		if sets[i].loose {
			least -= repeats
		}
		b.min = max(b.min, least)
	}
	b.max = sum(sets)
	b.min = max(b.min, b.max-repeats)
	b.exp = (b.min + b.max) / 2
	return b
}

// estimate bounds the size of what was found: sets of rows with a value (byValue), or sets of states.
func (b *prober) estimate(byValue bool) {
	p, n := &b.p, float64(b.n)
	repeats := n
	if byValue {
		repeats = max(0, float64(b.entries())-float64(b.state(indexed, b.n).count))
	}
	base := union(p.base, repeats)
	if len(p.base) == 1 && p.base[0].fill != nil {
		base.min, base.exp = 0, b.likely
	}
	if len(p.every) > 0 {
		base.exp, base.max = n, n
		for i := range p.every {
			base.exp *= share(float64(p.every[i].count), n)
			base.max = min(base.max, float64(p.every[i].count))
		}
		if len(p.every) == 1 {
			base.min, base.exp = base.max, base.max
		}
	}
	minus, plus, maybe := union(p.minus, n), union(p.plus, n), union(p.maybe, n)
	if repeats == 0 { // the sets of different values are disjoint
		minus = union(p.minus, 0)
	}
	b.p.est = bounds{
		min: max(base.min-minus.max, plus.min),
		exp: base.exp - minus.exp + plus.exp + maybe.exp/2,
		max: base.max - minus.min + plus.max + maybe.max,
	}
	if p.everyMaybe {
		p.est.min, p.est.exp = 0, p.est.exp/2
		p.reads = base.max
	}
	if b.grown(b.n) { // columns count rows that are too new
		p.est.min, p.est.max = 0, p.est.max+minus.min
	}
	p.reads += maybe.max
	p.est = p.est.clip(n)
}
