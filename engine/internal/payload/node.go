package payload

import (
	"cmp"
	"slices"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/document"
	"github.com/sextantdb/sextant/internal/text"
)

// node is one clause or condition of a compiled filter.
type node struct {
	op     op
	kids   []node // opAnd, opOr, opNot (one), opAtLeast, opNested (one)
	least  int    // opAtLeast
	path   sextant.Path
	single bool // the path has no [], so at most one value
	test   *test
	counts sextant.ValuesCount
	words  *wordsTest
	ids    []sextant.PointID // opID: ascending
	name   string            // opVector
	slice  sextant.Slice

	probe *probe // what an index says about the node; nil: nothing
	class class
	est   bounds
	reads float64 // rows whose payload Select is expected to read
}

type op uint8

const (
	opTrue op = iota
	opFalse
	opID
	opVector
	opSlice
	opAnd // from here on payloads may be needed
	opOr
	opNot
	opAtLeast
	opValue
	opEmpty
	opNull
	opCount
	opWords
	opNested
)

// class says how much of a node indexes can answer.
type class uint8

const (
	pure  class = iota // all: no row is looked at
	mixed              // part
	scan               // nothing: each candidate is tested
)

// cursor is what a node is tested on: a row, or within opNested an element of its payload.
type cursor struct {
	src    Source
	row    uint32
	doc    []byte
	loaded bool
}

func (c *cursor) document() []byte {
	if !c.loaded {
		c.doc, c.loaded = c.src.Payload(c.row), true
	}
	return c.doc
}

// match tests the node exactly, without indexes.
func (nd *node) match(c *cursor) bool {
	switch nd.op {
	case opTrue:
		return true
	case opID:
		_, found := slices.BinarySearchFunc(nd.ids, c.src.ID(c.row), sextant.PointID.Compare)
		return found
	case opVector:
		return c.src.HasVector(c.row, nd.name)
	case opSlice:
		return sliceOf(c.src.ID(c.row), nd.slice.Total) == nd.slice.Index
	case opAnd:
		for i := range nd.kids {
			if !nd.kids[i].match(c) {
				return false
			}
		}
		return true
	case opOr:
		for i := range nd.kids {
			if nd.kids[i].match(c) {
				return true
			}
		}
		return false
	case opNot:
		return !nd.kids[0].match(c)
	case opAtLeast:
		hits := 0
		for i := range nd.kids {
			if left := len(nd.kids) - i; hits >= nd.least || hits+left < nd.least {
				break
			}
			if nd.kids[i].match(c) {
				hits++
			}
		}
		return hits >= nd.least
	case opValue:
		return nd.matchValue(c.document())
	case opEmpty:
		return nd.isEmpty(c.document())
	case opNull:
		return nd.isNull(c.document())
	case opCount:
		return nd.matchCount(c.document())
	case opWords:
		return nd.words.match(c.document(), nd.path)
	case opNested:
		return nd.matchNested(c.document())
	}
	return false
}

func (nd *node) matchValue(doc []byte) bool {
	if nd.single {
		return nd.test.look(document.Find(doc, nd.path))
	}
	hit := false
	document.Walk(doc, nd.path, func(v document.Value) bool {
		hit = nd.test.look(v)
		return !hit
	})
	return hit
}

func (nd *node) isEmpty(doc []byte) bool {
	empty := true
	document.Walk(doc, nd.path, func(v document.Value) bool {
		empty = v.Kind() == document.Null || v.IsEmptyArray()
		return empty
	})
	return empty
}

func (nd *node) isNull(doc []byte) bool {
	null := false
	document.Walk(doc, nd.path, func(v document.Value) bool {
		null = v.Kind() == document.Null || !v.Each(func(e document.Value) bool { return e.Kind() != document.Null })
		return !null
	})
	return null
}

func (nd *node) matchCount(doc []byte) bool {
	hit, any := false, false
	document.Walk(doc, nd.path, func(v document.Value) bool {
		n := 1
		switch v.Kind() {
		case document.Null:
			n = 0
		case document.Array:
			n = v.Len()
		}
		any = true
		hit = inCounts(&nd.counts, uint64(n))
		return !hit
	})
	if !any {
		return inCounts(&nd.counts, 0)
	}
	return hit
}

func inCounts(r *sextant.ValuesCount, n uint64) bool {
	return (r.Gt == nil || n > *r.Gt) && (r.Gte == nil || n >= *r.Gte) &&
		(r.Lt == nil || n < *r.Lt) && (r.Lte == nil || n <= *r.Lte)
}

func (nd *node) matchNested(doc []byte) bool {
	hit := false
	document.Walk(doc, nd.path, func(v document.Value) bool {
		if v.Kind() == document.Object {
			hit = nd.kids[0].match(&cursor{doc: v.Raw(), loaded: true})
		}
		return !hit
	})
	return hit
}

// wordsTest is a full-text test on tokens.
type wordsTest struct {
	mode     sextant.TextMode
	analyzer *text.Analyzer
	tokens   []string // TextPhrase: in order; else ascending and unique
}

func newWordsTest(t sextant.MatchText, a *text.Analyzer) *wordsTest {
	w := &wordsTest{mode: t.Mode, analyzer: a, tokens: a.Query(t.Text)}
	if t.Mode != sextant.TextPhrase {
		slices.Sort(w.tokens)
		w.tokens = slices.Compact(w.tokens)
	}
	return w
}

func (w *wordsTest) match(doc []byte, path sextant.Path) bool {
	if w.mode == sextant.TextPhrase {
		hit := false
		eachText(doc, path, func(s string) bool {
			hit = w.phraseIn(s)
			return !hit
		})
		return hit
	}
	wanted := 1
	if w.mode == sextant.TextAll {
		wanted = len(w.tokens)
	}
	seen, found := make([]bool, len(w.tokens)), 0
	eachText(doc, path, func(s string) bool {
		w.analyzer.Document(s, func(token string, _ int) {
			if i, ok := slices.BinarySearch(w.tokens, token); ok && !seen[i] {
				seen[i] = true
				found++
			}
		})
		return found < wanted
	})
	return found >= wanted
}

// phraseIn reports whether the tokens stand in s at consecutive positions.
func (w *wordsTest) phraseIn(s string) bool {
	type hit struct{ start, i int } // token i stands where a phrase that begins at start has it
	var hits []hit
	w.analyzer.Document(s, func(token string, position int) {
		for i, t := range w.tokens {
			if t == token {
				hits = append(hits, hit{position - i, i})
			}
		}
	})
	slices.SortFunc(hits, func(a, b hit) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.i, b.i))
	})
	hits = slices.Compact(hits)
	for from, to := 0, 0; from < len(hits); from = to {
		for to = from; to < len(hits) && hits[to].start == hits[from].start; to++ {
		}
		if to-from == len(w.tokens) {
			return true
		}
	}
	return false
}

// eachText calls yield with the strings of a path, those within arrays too. They are valid during the call only.
func eachText(doc []byte, path sextant.Path, yield func(s string) bool) {
	one := func(v document.Value) bool {
		return v.Kind() != document.String || yield(view(v.Text(nil)))
	}
	document.Walk(doc, path, func(v document.Value) bool {
		if v.Kind() == document.Array {
			return v.Each(one)
		}
		return one(v)
	})
}
