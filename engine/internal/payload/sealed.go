package payload

import (
	"encoding/binary"
	"hash/crc32"
	"sort"
	"strings"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/text"
)

// sealed is an index used in place in the bytes of its file. Every access is bounded by the sections' lengths, whatever
// the numbers in them say.
type sealed struct {
	spec     sextant.FieldSpec
	analyzer *text.Analyzer
	data     []byte
	n        uint32
	total    uint32
	count    int // terms or numbers
	unique   bool

	keys   []int64
	ends   []uint32
	blob   []byte
	starts []uint32
	rows   []uint32
	dense  []uint32 // pairs
	bits   []uint64
	sets   [states]rowSet

	lons, lats, latitudes []float64
}

// OpenField opens what BuildField wrote for the same specification. It looks at the header only and uses data in place as
// long as the index lives.
func OpenField(spec sextant.FieldSpec, data []byte) (FieldIndex, error) {
	corrupt := func(at int, why string) (FieldIndex, error) {
		return nil, sextant.Errorf(sextant.Corrupt, "field index: %s at byte %d", why, at)
	}
	le := binary.LittleEndian
	if len(data) < headerBytes {
		return corrupt(len(data), "the header is cut off")
	}
	if [8]byte(data[:8]) != magic {
		return corrupt(0, "not a field index")
	}
	if crc32.Checksum(data[:headerBytes-4], castagnoli) != le.Uint32(data[headerBytes-4:]) {
		return corrupt(headerBytes-4, "the header's checksum is wrong")
	}
	if v := le.Uint32(data[8:]); v != formatVersion {
		return corrupt(8, "unknown format version")
	}
	if data[12] != typeCode(spec.Type) {
		return corrupt(12, "the index is of another type than "+string(spec.Type))
	}
	if length := le.Uint64(data[56:]); length != uint64(len(data)) {
		return corrupt(len(data), "the file has another length than it says")
	}
	var part [sections][]byte
	for s := range part {
		at := le.Uint64(data[sectionsAt+16*s:])
		length := le.Uint64(data[sectionsAt+16*s+8:])
		if at > uint64(len(data)) || length > uint64(len(data))-at || at%8 != 0 {
			return corrupt(sectionsAt+16*s, "a section lies outside the file")
		}
		part[s] = data[at : at+length : at+length]
	}
	analyzer, err := analyzerFor(spec)
	if err != nil {
		return nil, err
	}
	f := &sealed{spec: spec, analyzer: analyzer, data: data, n: le.Uint32(data[16:]), total: le.Uint32(data[20:]),
		unique: data[13]&uniqueFlag != 0}
	f.starts, f.rows = numbersOf[uint32](part[startSection]), numbersOf[uint32](part[rowSection])
	f.bits = numbersOf[uint64](part[bitSection])
	switch fo, _ := formOf(spec.Type); fo {
	case numbersForm:
		f.keys, f.dense = numbersOf[int64](part[keySection]), numbersOf[uint32](part[denseSection])
		f.count = len(f.keys)
	case termsForm:
		f.ends, f.blob = numbersOf[uint32](part[endSection]), part[blobSection]
		f.dense = numbersOf[uint32](part[denseSection])
		f.count = len(f.ends)
	case placesForm:
		f.lons, f.lats = numbersOf[float64](part[keySection]), numbersOf[float64](part[blobSection])
		f.latitudes = numbersOf[float64](part[denseSection])
		if len(f.lats) != len(f.lons) || len(f.rows) != len(f.lons) {
			return corrupt(sectionsAt, "the columns of places differ in length")
		}
	}
	for k := range f.sets {
		b, count := part[stateSection+section(k)], le.Uint32(data[36+4*k:])
		if count&bitsetMark != 0 {
			f.sets[k] = rowSet{bits: numbersOf[uint64](b), count: count &^ bitsetMark}
		} else {
			f.sets[k] = rowSet{list: numbersOf[uint32](b), count: count}
		}
	}
	return f, nil
}

// Spec returns the specification of the index.
func (f *sealed) Spec() sextant.FieldSpec { return f.spec }

// Points returns how many rows have at least one indexed value.
func (f *sealed) Points() uint32 { return f.sets[indexed].count }

// PointsIn returns how many rows of the set have at least one indexed value.
func (f *sealed) PointsIn(rows []uint64) uint32 { return f.sets[indexed].countIn(rows) }

// Bytes returns the size of the file.
func (f *sealed) Bytes() int64 { return int64(len(f.data)) }

// Verify compares the checksum of the whole file.
func (f *sealed) Verify() error {
	if crc32.Checksum(f.data[headerBytes:], castagnoli) != binary.LittleEndian.Uint32(f.data[checksumsAt:]) {
		return sextant.Errorf(sextant.Corrupt, "field index: the checksum is wrong at byte %d", checksumsAt)
	}
	return nil
}

func (f *sealed) analyzerOf() *text.Analyzer { return f.analyzer }

func (f *sealed) probe(nd *node, n uint32) (probe, bool) { return probeOf(f, f.spec.Type, nd, n) }

func (f *sealed) state(k stateKind, _ uint32) rowSet { return f.sets[k] }
func (f *sealed) entries() uint32                    { return f.total }
func (f *sealed) grown(uint32) bool                  { return false }
func (f *sealed) termCount() int                     { return f.count }

// start returns the number of entries before term t.
func (f *sealed) start(t int) uint32 {
	switch {
	case f.unique:
		return uint32(min(t, f.count))
	case t < len(f.starts):
		return f.starts[t]
	}
	return f.total
}

// before returns how many dense terms lie before term t, and their entries.
func (f *sealed) before(t int) (terms int, entries uint32) {
	terms = sort.Search(len(f.dense)/2, func(i int) bool { return int(f.dense[2*i]) >= t })
	if terms > 0 {
		entries = f.dense[2*terms-1]
	}
	return terms, entries
}

// list returns the rows of the terms [from,to), none of which is dense.
func (f *sealed) list(from, to int) []uint32 {
	_, skipped := f.before(from)
	a, b := f.start(from)-skipped, f.start(to)-skipped
	if a > b || int64(b) > int64(len(f.rows)) {
		return nil
	}
	return f.rows[a:b:b]
}

// bitset returns the rows of the i-th dense term.
func (f *sealed) bitset(i int) []uint64 {
	w := words(f.n)
	if (i+1)*w > len(f.bits) {
		return nil
	}
	return f.bits[i*w : (i+1)*w : (i+1)*w]
}

// stretch adds the rows of the terms [from,to).
func (f *sealed) stretch(from, to int, sets []rowSet) []rowSet {
	lists := func(to int) {
		if rows := f.list(from, to); len(rows) > 0 {
			sets = append(sets, rowSet{list: rows, count: uint32(len(rows)), loose: to-from > 1})
		}
	}
	for i, _ := f.before(from); from < to; i++ {
		next := to
		if 2*i < len(f.dense) {
			next = min(to, int(f.dense[2*i]))
		}
		if from < next {
			lists(next)
		}
		if next >= to {
			break
		}
		if b := f.bitset(i); b != nil {
			sets = append(sets, rowSet{bits: b, count: f.start(next+1) - f.start(next)})
		}
		from = max(from, next) + 1
	}
	return sets
}

// rowsOf returns the rows of one term.
func (f *sealed) rowsOf(t int) rowSet {
	var buf [1]rowSet
	if s := f.stretch(t, t+1, buf[:0]); len(s) > 0 {
		return s[0]
	}
	return rowSet{}
}

// span returns the terms with keys in [lo,hi].
func (f *sealed) span(lo, hi int64) (from, to int) {
	from = sort.Search(len(f.keys), func(i int) bool { return f.keys[i] >= lo })
	to = sort.Search(len(f.keys), func(i int) bool { return f.keys[i] > hi })
	return from, max(from, to)
}

func (f *sealed) numbers(lo, hi int64, _ uint32, to []rowSet) []rowSet {
	a, b := f.span(lo, hi)
	return f.stretch(a, b, to)
}

// name returns term t, aliasing the file.
func (f *sealed) name(t int) string {
	from := uint32(0)
	if t > 0 {
		from = f.ends[t-1]
	}
	if end := f.ends[t]; from <= end && int64(end) <= int64(len(f.blob)) {
		return view(f.blob[from:end])
	}
	return ""
}

func (f *sealed) find(s string) int {
	return sort.Search(f.count, func(i int) bool { return f.name(i) >= s })
}

func (f *sealed) term(s string, _ uint32) rowSet {
	if t := f.find(s); t < f.count && f.name(t) == s {
		return f.rowsOf(t)
	}
	return rowSet{}
}

func (f *sealed) prefixed(prefix string, _ uint32, to []rowSet) []rowSet {
	from := f.find(prefix)
	n := sort.Search(f.count-from, func(i int) bool { return !strings.HasPrefix(f.name(from+i), prefix) })
	return f.stretch(from, from+n, to)
}

func (f *sealed) terms(_ uint32, yield func(term string, rows rowSet) bool) {
	for t := range f.count {
		if !yield(f.name(t), f.rowsOf(t)) {
			return
		}
	}
}

// Ordered implements FieldIndex.
func (f *sealed) Ordered(desc bool, start *sextant.OrderStart, yield func(v sextant.OrderValue, row uint32) bool) {
	lo, hi, ok := startKeys(f.spec.Type, desc, start)
	if !ok || !hasOrder(f.spec.Type) {
		return
	}
	from, to := f.span(lo, hi)
	for i := range to - from {
		t := from + i
		if desc {
			t = to - 1 - i
		}
		v, rows := orderValue(f.spec.Type, f.keys[t]), f.rowsOf(t)
		if !rows.each(func(row uint32) bool { return yield(v, row) }) {
			return
		}
	}
}

// Values implements FieldIndex.
func (f *sealed) Values(yield func(value any, rows func(yield func(row uint32) bool)) bool) {
	for t := range f.count {
		value := f.value(t)
		if value == nil || !yield(value, func(yield func(uint32) bool) { s := f.rowsOf(t); s.each(yield) }) {
			return
		}
	}
}

// Facet implements FieldIndex.
func (f *sealed) Facet(rows []uint64, yield func(value any, count uint32) bool) {
	for t := range f.count {
		s := f.rowsOf(t)
		if n := s.countIn(rows); n > 0 {
			if value := f.value(t); value == nil || !yield(value, n) {
				return
			}
		}
	}
}

func (f *sealed) value(t int) any {
	if f.keys != nil {
		return valueOfKey(f.spec.Type, f.keys[t])
	}
	return valueOfTerm(f.spec.Type, strings.Clone(f.name(t)))
}
