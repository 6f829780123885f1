package payload

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"unsafe"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/document"
)

// test is a sextant.FieldTest made ready. All forms are in one struct so that testing a value needs neither an interface
// call nor an allocation.
type test struct {
	kind   testKind
	set    set    // in, notIn
	truth  bool   // isBool
	prefix string // hasPrefix
	quoted []byte // hasPrefix: the beginning of the JSON of the string
	pieces [][]byte
	rng    sextant.Range
	dates  sextant.DatetimeRange
	area   area
}

type testKind uint8

const (
	in        testKind = iota // equal to an element of set
	notIn                     // not null and not equal to any
	isBool                    // equal to truth
	hasPrefix                 // a string that begins with prefix
	contains                  // a string that contains one of pieces
	inRange                   // a number within rng
	inDates                   // a datetime within dates
	inArea                    // a place within area
)

// look tests a value, and the elements of one that is an array.
func (t *test) look(v document.Value) bool {
	if v.Kind() != document.Array {
		return t.value(v)
	}
	hit := false
	v.Each(func(e document.Value) bool {
		hit = t.value(e)
		return !hit
	})
	return hit
}

// value tests one value as it is.
func (t *test) value(v document.Value) bool {
	switch t.kind {
	case in:
		return t.set.has(v)
	case notIn:
		return v.Kind() > document.Null && !t.set.has(v)
	case isBool:
		return v.Kind() == document.Bool && v.IsTrue() == t.truth
	case hasPrefix:
		return bytes.HasPrefix(v.Raw(), t.quoted)
	case contains:
		if v.Kind() != document.String {
			return false
		}
		text := v.Text(nil)
		for _, p := range t.pieces {
			if bytes.Contains(text, p) {
				return true
			}
		}
		return false
	case inRange:
		n, ok := v.Num()
		return ok && t.inRange(n.Float)
	case inDates:
		if v.Kind() != document.String {
			return false
		}
		micros, ok := document.ParseDatetime(view(v.Text(nil)))
		return ok && t.inDates(micros)
	case inArea:
		p, ok := placeOf(v)
		return ok && t.area.contains(p)
	}
	return false
}

func (t *test) inRange(f float64) bool {
	r := &t.rng
	return (r.Gt == nil || f > *r.Gt) && (r.Gte == nil || f >= *r.Gte) &&
		(r.Lt == nil || f < *r.Lt) && (r.Lte == nil || f <= *r.Lte)
}

func (t *test) inDates(micros int64) bool {
	r := &t.dates
	return (r.Gt == nil || micros > *r.Gt) && (r.Gte == nil || micros >= *r.Gte) &&
		(r.Lt == nil || micros < *r.Lt) && (r.Lte == nil || micros <= *r.Lte)
}

// containsText reports whether a dictionary term passes a contains test.
func (t *test) containsText(term string) bool {
	for _, p := range t.pieces {
		if strings.Contains(term, view(p)) {
			return true
		}
	}
	return false
}

// set is the list of a match: strings, integers, or both.
type set struct {
	strings []string
	quoted  [][]byte            // their JSON, to be compared with the bytes of a document
	index   map[string]struct{} // quoted, when there are many
	ints    []int64             // ascending
	// byUUID compares strings that are UUIDs as such. Then strings and quoted are those that are none.
	byUUID bool
	uuids  []sextant.PointID // ascending
}

const manyStrings = 8

func newSet(texts []string, ints []int64, byUUID bool) set {
	s := set{byUUID: byUUID, ints: slices.Clone(ints)}
	slices.Sort(s.ints)
	s.ints = slices.Compact(s.ints)
	for _, text := range texts {
		if id, ok := parseUUID(text); ok && byUUID {
			s.uuids = append(s.uuids, id)
		} else {
			s.strings = append(s.strings, text)
		}
	}
	slices.SortFunc(s.uuids, sextant.PointID.Compare)
	s.uuids = slices.Compact(s.uuids)
	slices.Sort(s.strings)
	s.strings = slices.Compact(s.strings)
	for _, text := range s.strings {
		s.quoted = append(s.quoted, document.AppendString(nil, text))
	}
	if len(s.quoted) > manyStrings {
		s.index = make(map[string]struct{}, len(s.quoted))
		for _, q := range s.quoted {
			s.index[string(q)] = struct{}{}
		}
	}
	return s
}

func (s *set) len() int { return len(s.strings) + len(s.uuids) + len(s.ints) }

func (s *set) has(v document.Value) bool {
	switch v.Kind() {
	case document.String:
		if s.byUUID {
			if id, ok := parseUUID(view(v.Text(nil))); ok {
				_, found := slices.BinarySearchFunc(s.uuids, id, sextant.PointID.Compare)
				return found
			}
		}
		if s.index != nil {
			_, found := s.index[string(v.Raw())]
			return found
		}
		for _, q := range s.quoted {
			if bytes.Equal(q, v.Raw()) {
				return true
			}
		}
	case document.Number:
		if len(s.ints) > 0 {
			n, _ := v.Num()
			return n.IsInt && s.hasInt(n.Int)
		}
	}
	return false
}

func (s *set) hasInt(i int64) bool {
	_, found := slices.BinarySearchFunc(s.ints, i, cmp.Compare[int64])
	return found
}

func parseUUID(s string) (sextant.PointID, bool) {
	if len(s) < 32 || len(s) > 45 {
		return sextant.PointID{}, false
	}
	return sextant.ParseUUID(s)
}

// view returns b as a string without copying, for calls that do not keep it.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
