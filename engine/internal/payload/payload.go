// Package payload finds the rows of one segment that a filter matches, by field indexes where there are some and by reading
// payloads where there are none. The answer is the same either way.
//
// Shapes: a segment has rows [0,Len()); a set of rows is a dense bitset of (Len()+63)/64 words, row r being bit r%64 of word
// r/64. A payload is compact JSON; it is never parsed as a whole. A field index is a HeadField, which grows with a head, or
// an immutable file made by BuildField and used in place by OpenField.
// Truth: a test looks at each value of its path, at the elements of a value that is an array, and at nothing deeper. Of the
// free choices: 5.0 equals 5; a value of another type than an except list is not in it; [null] has a null. Two index types
// change what a test means: a text index makes text tests work on tokens, a uuid index makes strings that are UUIDs equal
// in all their spellings.
// Errors: Compile refuses values that the vocabulary does not allow; OpenField and Verify return sextant.Corrupt. Damaged
// bytes behind a sound header give wrong rows, never a panic.
// Concurrency: a Matcher and a sealed index are immutable. A HeadField has one writer and any number of readers.
package payload

import (
	"context"
	"math"

	"github.com/sextantdb/sextant"
)

// Source is one segment as one view sees it.
type Source interface {
	Len() uint32
	Payload(row uint32) sextant.Payload // nil or {} when empty; valid while the view is held
	ID(row uint32) sextant.PointID
	Rows(id sextant.PointID, yield func(row uint32)) // all rows of the id that are < Len()
	HasVector(row uint32, name string) bool
	Field(key string) FieldIndex // the index on a path, by Path.String(); nil if this segment has none
}

// Matcher is a filter made ready for one Source.
type Matcher struct {
	src  Source
	n    uint32
	root node
}

// Compile makes a filter ready for a segment. A nil or empty filter matches every row. The matcher keeps parts of f.
func Compile(f *sextant.Filter, src Source) (*Matcher, error) {
	m := &Matcher{src: src, n: src.Len()}
	c := compiler{src: src, n: m.n}
	m.root = c.filter(f)
	if c.err != nil {
		return nil, c.err
	}
	return m, nil
}

// Match tests one row by its payload.
func (m *Matcher) Match(row uint32) bool {
	c := cursor{src: m.src, row: row}
	return m.root.match(&c)
}

// MatchesAll reports whether the filter is known to be true for every row.
func (m *Matcher) MatchesAll() bool { return m.root.op == opTrue }

// Selection is a set of rows.
type Selection struct {
	Bits  []uint64
	Count uint32
}

// Select finds all rows of alive that match; alive nil means every row. Indexes are used first; payloads are read only of
// rows that these leave open.
func (m *Matcher) Select(ctx context.Context, alive []uint64) (Selection, error) {
	return selectRows(ctx, m, alive)
}

// Estimate says how many rows of the segment match, deleted ones included.
type Estimate struct {
	Min, Expected, Max uint32
	Reads              uint32 // how many payloads Select is expected to read
	// Exact says that Select is cheap: it reads no more payloads than Expected, or than a few hundred.
	Exact bool
}

// Estimate tells from the dictionaries of the indexes how many rows match. It reads no payload.
func (m *Matcher) Estimate() Estimate {
	e, n := m.root.est, float64(m.n)
	whole := func(f float64) uint32 { return uint32(math.Round(min(max(f, 0), n))) }
	const few = 300
	return Estimate{Min: whole(e.min), Expected: whole(e.exp), Max: whole(e.max), Reads: whole(math.Ceil(m.root.reads)),
		Exact: m.root.reads <= max(few, e.exp)}
}
