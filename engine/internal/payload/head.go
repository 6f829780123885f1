package payload

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/text"
)

// HeadField is the index of a field over a head. One writer adds rows in ascending order; any number of readers use it at
// the same time, each with the rows below its own view's length.
type HeadField struct {
	spec   sextant.FieldSpec
	form   form
	reader *reader // the writer's
	ids    []uint32

	// Guarded by mu: the writer changes what follows under the write lock. Slices only grow, so that a reader may go on
	// with those it has taken.
	mu     sync.RWMutex
	last   uint32 // the row added last, plus one
	sets   [states][]uint32
	total  uint32
	column column // numbersForm
	names  *interner
	chains chains // termsForm
	lons   []float64
	lats   []float64
	at     []uint32 // rows of lons and lats
}

// chains keeps the rows of each term as a list that begins with its newest row.
type chains struct {
	heads, counts []uint32 // by term: place of the newest row plus one, number of rows
	rows, prev    []uint32
}

// NewHeadField makes the index of an empty head. It panics if Check refuses the specification.
func NewHeadField(key sextant.Path, spec sextant.FieldSpec) *HeadField {
	r, err := newReader(key, spec)
	if err != nil {
		panic(err)
	}
	h := &HeadField{spec: spec, reader: r}
	if h.form, _ = formOf(spec.Type); h.form == termsForm {
		h.names = newInterner()
	}
	return h
}

// Add indexes the payload of a row. Rows come in ascending order.
func (h *HeadField) Add(row uint32, p sextant.Payload) {
	r := h.reader
	r.read(p)
	h.mu.Lock()
	defer h.mu.Unlock()
	values := 0
	switch h.form {
	case numbersForm:
		for _, key := range r.keys {
			h.column.add(key, row)
		}
		values = len(r.keys)
	case termsForm:
		h.ids = r.intern(h.names, h.ids)
		for _, id := range h.ids {
			h.chains.add(id, row)
		}
		values = len(h.ids)
	case placesForm:
		for _, p := range r.places {
			h.lons, h.lats, h.at = append(h.lons, p.Lon), append(h.lats, p.Lat), append(h.at, row)
		}
		values = len(r.places)
	}
	h.total += uint32(values)
	r.states(values, func(k stateKind) { h.sets[k] = append(h.sets[k], row) })
	h.last = row + 1
}

func (c *chains) add(id, row uint32) {
	if int(id) == len(c.heads) {
		c.heads, c.counts = append(c.heads, 0), append(c.counts, 0)
	}
	c.rows, c.prev = append(c.rows, row), append(c.prev, c.heads[id])
	c.heads[id] = uint32(len(c.rows))
	c.counts[id]++
}

// set returns the rows of a term that are below n.
func (c *chains) set(id, n uint32) rowSet {
	s := rowSet{list: c.rows, prev: c.prev, last: c.heads[id], count: c.counts[id]}
	for s.last > 0 && c.rows[s.last-1] >= n {
		s.last = c.prev[s.last-1]
		s.count--
	}
	return s
}

// Spec returns the specification of the index.
func (h *HeadField) Spec() sextant.FieldSpec { return h.spec }

// Points returns how many rows have at least one indexed value.
func (h *HeadField) Points() uint32 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return uint32(len(h.sets[indexed]))
}

// PointsIn returns how many rows of the set have at least one indexed value.
func (h *HeadField) PointsIn(rows []uint64) uint32 {
	s := (*headStore)(h).state(indexed, uint32(min(64*len(rows), 1<<32-1)))
	return s.countIn(rows)
}

// Bytes returns the memory that the index uses.
func (h *HeadField) Bytes() int64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	n := h.column.bytes() + int64(20*cap(h.at)) +
		int64(4*(cap(h.chains.heads)+cap(h.chains.counts)+cap(h.chains.rows)+cap(h.chains.prev)))
	for _, s := range h.sets {
		n += int64(4 * cap(s))
	}
	if h.names != nil {
		n += h.names.bytes()
	}
	return n
}

// Verify has nothing to verify.
func (h *HeadField) Verify() error { return nil }

func (h *HeadField) analyzerOf() *text.Analyzer { return h.reader.analyzer }

func (h *HeadField) probe(nd *node, n uint32) (probe, bool) {
	return probeOf((*headStore)(h), h.spec.Type, nd, n)
}

// headStore is the side of a HeadField that probes use.
type headStore HeadField

func (h *headStore) state(k stateKind, n uint32) rowSet {
	h.mu.RLock()
	list := h.sets[k]
	h.mu.RUnlock()
	end, _ := slices.BinarySearch(list, n)
	return rowSet{list: list[:end], count: uint32(end)}
}

func (h *headStore) entries() uint32 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.total
}

func (h *headStore) grown(n uint32) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.form == numbersForm && h.last > n
}

func (h *headStore) numbers(lo, hi int64, _ uint32, to []rowSet) []rowSet {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.column.find(lo, hi, to)
}

func (h *headStore) term(t string, n uint32) rowSet {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if id, ok := h.names.lookup([]byte(t)); ok {
		return h.chains.set(id, n)
	}
	return rowSet{}
}

func (h *headStore) termCount() int {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.names.len()
}

// termsOf returns the names and chains of all terms as they are now.
func (h *headStore) termsOf() (interner, chains) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	c := h.chains
	// Unlike the rest, these change in place.
	c.heads, c.counts = slices.Clone(c.heads), slices.Clone(c.counts)
	return *h.names, c
}

func (h *headStore) prefixed(prefix string, n uint32, to []rowSet) []rowSet {
	h.terms(n, func(term string, rows rowSet) bool {
		if strings.HasPrefix(term, prefix) {
			to = append(to, rows)
		}
		return true
	})
	return to
}

func (h *headStore) terms(n uint32, yield func(term string, rows rowSet) bool) {
	names, c := h.termsOf()
	for id := range uint32(len(c.heads)) {
		if s := c.set(id, n); s.count > 0 && !yield(view(names.name(id)), s) {
			return
		}
	}
}

// Ordered implements FieldIndex.
func (h *HeadField) Ordered(desc bool, start *sextant.OrderStart, yield func(v sextant.OrderValue, row uint32) bool) {
	lo, hi, ok := startKeys(h.spec.Type, desc, start)
	if !ok || !hasOrder(h.spec.Type) {
		return
	}
	h.mu.RLock()
	runs := h.column.sorted(lo, hi)
	h.mu.RUnlock()
	merge(runs, desc, func(key int64, row uint32) bool { return yield(orderValue(h.spec.Type, key), row) })
}

// Values implements FieldIndex.
func (h *HeadField) Values(yield func(value any, rows func(yield func(row uint32) bool)) bool) {
	h.values(func(value any, rows *rowSet) bool {
		return yield(value, func(yield func(uint32) bool) { rows.each(yield) })
	})
}

// Facet implements FieldIndex.
func (h *HeadField) Facet(rows []uint64, yield func(value any, count uint32) bool) {
	h.values(func(value any, set *rowSet) bool {
		n := set.countIn(rows)
		return n == 0 || yield(value, n)
	})
}

func (h *HeadField) values(yield func(value any, rows *rowSet) bool) {
	switch h.spec.Type {
	case sextant.KeywordField, sextant.UUIDField:
		names, c := (*headStore)(h).termsOf()
		order := make([]uint32, len(c.heads))
		for i := range order {
			order[i] = uint32(i)
		}
		slices.SortFunc(order, func(a, b uint32) int { return cmp.Compare(view(names.name(a)), view(names.name(b))) })
		for _, id := range order {
			set := rowSet{list: c.rows, prev: c.prev, last: c.heads[id], count: c.counts[id]}
			if !yield(valueOfTerm(h.spec.Type, string(names.name(id))), &set) {
				return
			}
		}
	case sextant.IntegerField, sextant.BoolField:
		lo, hi, _ := startKeys(h.spec.Type, false, nil)
		h.mu.RLock()
		runs := h.column.sorted(lo, hi)
		h.mu.RUnlock()
		var at int64
		var rows []uint32
		flush := func() bool {
			set := rowSet{list: rows, count: uint32(len(rows))}
			return len(rows) == 0 || yield(valueOfKey(h.spec.Type, at), &set)
		}
		done := false
		merge(runs, false, func(key int64, row uint32) bool {
			if key != at {
				if done = !flush(); done {
					return false
				}
				at, rows = key, rows[:0]
			}
			rows = append(rows, row)
			return true
		})
		if !done {
			flush()
		}
	}
}
