package payload

import (
	"bytes"
	"context"
	"fmt"
	"math/bits"
	"slices"
	"testing"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/document"
)

// memory is a segment of which row i has the number i+1 as id, unless ids says otherwise.
type memory struct {
	docs    []sextant.Payload
	ids     []sextant.PointID
	vectors map[string][]uint32
	fields  map[string]FieldIndex
	reads   int
}

func (m *memory) Len() uint32 { return uint32(len(m.docs)) }

func (m *memory) Payload(row uint32) sextant.Payload { m.reads++; return m.docs[row] }

func (m *memory) ID(row uint32) sextant.PointID {
	if m.ids != nil {
		return m.ids[row]
	}
	return sextant.NumID(uint64(row) + 1)
}

func (m *memory) Rows(id sextant.PointID, yield func(uint32)) {
	for row := range m.Len() {
		if m.ID(row) == id {
			yield(row)
		}
	}
}

func (m *memory) HasVector(row uint32, name string) bool {
	return slices.Contains(m.vectors[name], row)
}

func (m *memory) Field(key string) FieldIndex { return m.fields[key] }

func segment(docs ...string) *memory {
	m := &memory{fields: map[string]FieldIndex{}}
	for _, d := range docs {
		var p sextant.Payload
		if d != "" {
			var err error
			if p, err = document.Compact(nil, []byte(d)); err != nil {
				panic(err)
			}
		}
		m.docs = append(m.docs, p)
	}
	return m
}

// withHead returns the segment with a head index; behind it come rows that the segment does not see.
func (m *memory) withHead(key string, spec sextant.FieldSpec) *memory {
	h := NewHeadField(sextant.MustPath(key), spec)
	for row, p := range m.docs {
		h.Add(uint32(row), p)
	}
	for i := range min(3, len(m.docs)) {
		h.Add(uint32(len(m.docs)+i), m.docs[i])
	}
	return m.with(key, h)
}

func (m *memory) withSealed(key string, spec sextant.FieldSpec) *memory {
	return m.with(key, seal(key, spec, m.docs))
}

func (m *memory) with(key string, index FieldIndex) *memory {
	c := *m
	c.fields = map[string]FieldIndex{}
	for k, f := range m.fields {
		c.fields[k] = f
	}
	c.fields[sextant.MustPath(key).String()] = index
	return &c
}

func seal(key string, spec sextant.FieldSpec, docs []sextant.Payload) FieldIndex {
	var file bytes.Buffer
	err := BuildField(sextant.MustPath(key), spec, uint32(len(docs)), func(row uint32) sextant.Payload { return docs[row] }, &file)
	if err != nil {
		panic(err)
	}
	f, err := OpenField(spec, file.Bytes())
	if err != nil {
		panic(err)
	}
	if err := f.Verify(); err != nil {
		panic(err)
	}
	return f
}

// found returns the rows that a filter selects, after checking that Match and Estimate agree with it.
func found(t *testing.T, src *memory, f *sextant.Filter) []uint32 {
	t.Helper()
	m, err := Compile(f, src)
	if err != nil {
		t.Fatal(err)
	}
	var matched []uint32
	for row := range src.Len() {
		if m.Match(row) {
			matched = append(matched, row)
		}
	}
	src.reads = 0
	sel, err := m.Select(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	reads := src.reads
	selected := rowsOf(sel.Bits)
	if len(sel.Bits) != words(src.Len()) || int(sel.Count) != len(selected) {
		t.Fatalf("%d words with %d rows, counted %d", len(sel.Bits), len(selected), sel.Count)
	}
	if !slices.Equal(matched, selected) {
		t.Fatalf("Match finds %v, Select %v for %s", matched, selected, show(f))
	}
	e := m.Estimate()
	if e.Min > sel.Count || e.Max < sel.Count || e.Min > e.Expected || e.Expected > e.Max {
		t.Fatalf("estimate %+v for %d rows of %s", e, sel.Count, show(f))
	}
	if m.root.class == pure && reads > 0 {
		t.Fatalf("%d payloads read for %s", reads, show(f))
	}
	if src.Len() > 1 {
		some := make([]uint64, words(src.Len()))
		for row := uint32(0); row < src.Len(); row += 2 {
			some[row/64] |= 1 << (row % 64)
		}
		sel, _ := m.Select(context.Background(), some)
		half := slices.DeleteFunc(slices.Clone(matched), func(r uint32) bool { return r%2 == 1 })
		if !slices.Equal(rowsOf(sel.Bits), half) {
			t.Fatalf("of the even rows %v are found, want %v", rowsOf(sel.Bits), half)
		}
	}
	return selected
}

func rowsOf(set []uint64) []uint32 {
	var rows []uint32
	for i, w := range set {
		for ; w != 0; w &= w - 1 {
			rows = append(rows, uint32(i*64+bits.TrailingZeros64(w)))
		}
	}
	return rows
}

func show(f *sextant.Filter) string {
	if f == nil {
		return "nil"
	}
	s := fmt.Sprintf("{must %v should %v must_not %v", conds(f.Must), conds(f.Should), conds(f.MustNot))
	if f.MinShould != nil {
		s += fmt.Sprintf(" min_should %d of %v", f.MinShould.MinCount, conds(f.MinShould.Conditions))
	}
	return s + "}"
}

func conds(list []sextant.Condition) []string {
	var out []string
	for _, c := range list {
		switch c := c.(type) {
		case *sextant.Filter:
			out = append(out, show(c))
		case sextant.Nested:
			out = append(out, "nested "+c.Key.String()+" "+show(c.Filter))
		case sextant.Field:
			out = append(out, fmt.Sprintf("%s %T%s", c.Key, c.Test, deref(c.Test)))
		default:
			out = append(out, fmt.Sprintf("%T%+v", c, c))
		}
	}
	return out
}

func deref(t sextant.FieldTest) string {
	f := func(p *float64) any {
		if p == nil {
			return "-"
		}
		return *p
	}
	if r, ok := t.(sextant.Range); ok {
		return fmt.Sprint("{", f(r.Gt), " ", f(r.Gte), " ", f(r.Lt), " ", f(r.Lte), "}")
	}
	return fmt.Sprintf("%+v", t)
}

func must(c ...sextant.Condition) *sextant.Filter    { return &sextant.Filter{Must: c} }
func mustNot(c ...sextant.Condition) *sextant.Filter { return &sextant.Filter{MustNot: c} }
func should(c ...sextant.Condition) *sextant.Filter  { return &sextant.Filter{Should: c} }

func on(key string, t sextant.FieldTest) sextant.Condition {
	return sextant.Field{Key: sextant.MustPath(key), Test: t}
}

func ids(nums ...uint64) sextant.Condition {
	var h sextant.HasID
	for _, n := range nums {
		h.IDs = append(h.IDs, sextant.NumID(n))
	}
	return h
}

func ptr[T any](v T) *T { return &v }
