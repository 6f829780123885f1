package rest

import (
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/sextantdb/sextant"
)

// fieldSet is the known keys of one kind of object. Others are passed over, unless strict.
type fieldSet struct {
	names    []string
	required []string
	aliases  map[string]string // accepted on input, never printed
	strict   bool
}

// allOf is the keys of an object that must have them all.
func allOf(names ...string) fieldSet { return fieldSet{names: names, required: names} }

// of walks the next value, an object, and yields the name of each known key whose value is not null (null is absence).
func (f *fieldSet) of(s *scanner) iter.Seq[string] {
	return func(yield func(string) bool) { f.walk(s, yield) }
}

func (f *fieldSet) walk(s *scanner, yield func(string) bool) {
	var seen uint64
	for key := range s.members {
		i := f.index(key)
		switch {
		case i < 0 && f.strict:
			s.fail("unknown field `%s`, expected %s", abbreviate(key), oneOf(f.names))
		case i < 0:
			s.skip()
		case s.peek() == null:
			s.skip()
		case seen&(1<<i) != 0:
			s.fail("duplicate field `%s`", f.names[i])
		default:
			seen |= 1 << i
			if !yield(f.names[i]) {
				return
			}
		}
	}
	for _, name := range f.required {
		if s.err == nil && seen&(1<<slices.Index(f.names, name)) == 0 {
			s.fail("missing field `%s`", name)
		}
	}
}

func (f *fieldSet) index(key []byte) int {
	for i, name := range f.names {
		if name == string(key) {
			return i
		}
	}
	if name, ok := f.aliases[string(key)]; ok {
		return slices.Index(f.names, name)
	}
	return -1
}

// oneOf lists words as error texts do.
func oneOf(words []string) string {
	quoted := "`" + strings.Join(words, "`, `") + "`"
	switch len(words) {
	case 1:
		return quoted
	case 2:
		return "`" + words[0] + "` or `" + words[1] + "`"
	}
	return "one of " + quoted
}

// uint reads an unsigned integer of at most so many bits.
func (s *scanner) uint(bits int) uint64 {
	what := "u" + strconv.Itoa(bits)
	start, n, ok := s.number(what)
	if !ok {
		return 0
	}
	if !n.integer || n.long || n.mantissa > math.MaxUint64>>(64-bits) || n.negative && n.mantissa != 0 {
		s.misfit(start, n, what)
		return 0
	}
	return n.mantissa
}

func (s *scanner) uint64() uint64 { return s.uint(64) }
func (s *scanner) uint32() uint32 { return uint32(s.uint(32)) }

// int64 reads a signed integer.
func (s *scanner) int64() int64 {
	start, n, ok := s.number("i64")
	if !ok {
		return 0
	}
	if !n.fitsInt64() {
		s.misfit(start, n, "i64")
		return 0
	}
	if n.negative {
		return -int64(n.mantissa)
	}
	return int64(n.mantissa)
}

func (n number) fitsInt64() bool {
	return n.integer && !n.long && (n.mantissa <= math.MaxInt64 || n.negative && n.mantissa == 1<<63)
}

// misfit fails because the number at start is of the wrong kind or too large.
func (s *scanner) misfit(start int, n number, what string) {
	value := abbreviate(s.b[start:n.end])
	if n.integer {
		s.fail("invalid value: integer `%s`, expected %s", value, what)
	} else {
		s.fail("invalid type: floating point `%s`, expected %s", value, what)
	}
}

// number reads any number.
func (s *scanner) number(what string) (start int, n number, ok bool) {
	if s.peek() != numeric {
		s.expected(what)
		return 0, n, false
	}
	start = s.pos
	n, ok = scanNumber(s.b, s.pos)
	s.pos = n.end
	if !ok {
		s.fail("invalid number")
	}
	return start, n, ok
}

// float64 reads a finite number.
func (s *scanner) float64() float64 {
	start, n, ok := s.number("f64")
	if !ok {
		return 0
	}
	f, ok := n.float64(s.b, start)
	if !ok {
		s.fail("number out of range")
	}
	return f
}

// float32 reads a number that is finite as float32.
func (s *scanner) float32() float32 {
	start, n, ok := s.number("f32")
	if !ok {
		return 0
	}
	f, ok := n.float32(s.b, start)
	if !ok {
		s.fail("number out of range of a 32-bit float")
	}
	return f
}

// bool reads true or false.
func (s *scanner) bool() bool {
	if s.peek() != boolean {
		s.expected("a boolean")
		return false
	}
	return string(s.raw()) == "true"
}

// enum reads one of the words.
func (s *scanner) enum(words ...string) string {
	got := s.view()
	if s.err != nil {
		return ""
	}
	for _, w := range words {
		if w == string(got) {
			return w
		}
	}
	s.fail("unknown variant `%s`, expected %s", abbreviate(got), oneOf(words))
	return ""
}

// pointID reads a number or a UUID.
func (s *scanner) pointID() sextant.PointID {
	s.space()
	start := s.pos
	switch s.peek() {
	case numeric:
		n, ok := scanNumber(s.b, start)
		if ok && n.integer && !n.long && !n.negative {
			s.pos = n.end
			return sextant.NumID(n.mantissa)
		}
	case text:
		if id, ok := sextant.ParseUUID(viewString(s.view())); ok {
			return id
		}
		s.pos = start
	}
	if raw := s.raw(); s.err == nil {
		s.failAt(start, "value %s is not a valid point ID, valid values are either an unsigned integer or a UUID",
			abbreviate(raw))
	}
	return sextant.PointID{}
}

// pointIDs reads a list of ids. It is never nil.
func (s *scanner) pointIDs() []sextant.PointID {
	ids := []sextant.PointID{}
	for range s.elements {
		ids = append(ids, s.pointID())
	}
	return ids
}

// strings reads a list of strings. It is never nil.
func (s *scanner) strings() []string {
	list := []string{}
	for range s.elements {
		list = append(list, s.str())
	}
	return list
}

// jsonPath reads a string that is a path into payloads.
func (s *scanner) jsonPath() sextant.Path {
	key := s.str()
	if s.err != nil {
		return sextant.Path{}
	}
	return s.parsePath(key)
}

func (s *scanner) parsePath(key string) sextant.Path {
	p, err := sextant.ParsePath(key)
	if err != nil {
		s.fail("%s", err)
	}
	return p
}

func (s *scanner) jsonPaths() []sextant.Path {
	paths := []sextant.Path{}
	for range s.elements {
		paths = append(paths, s.jsonPath())
	}
	return paths
}

// oneOrMore calls f for the next value, or for each element if it is a list.
func (s *scanner) oneOrMore(f func(i int)) {
	if s.peek() != array {
		f(0)
		return
	}
	for i := range s.elements {
		f(i)
	}
}

// pathStep is a key of the request body, with the position in its list, or -1.
type pathStep struct {
	name  string
	index int
}

// in enters a key for the paths of validation errors, item a position of its list; out leaves the key.
func (s *scanner) in(name string) { s.path = append(s.path, pathStep{name, -1}) }
func (s *scanner) item(i int)     { s.path[len(s.path)-1].index = i }
func (s *scanner) out()           { s.path = s.path[:len(s.path)-1] }

// violated notes that a rule does not hold for the key at, below where the decoder is. "" is the place itself.
func (s *scanner) violated(at, format string, args ...any) {
	const most = 50
	if len(s.invalid) == most {
		return
	}
	var b strings.Builder
	for i, step := range s.path {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(step.name)
		if step.index >= 0 {
			fmt.Fprintf(&b, "[%d]", step.index)
		}
	}
	if at != "" {
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(at)
	}
	s.invalid = append(s.invalid, b.String()+": "+fmt.Sprintf(format, args...))
}

// atLeast notes when an integer is too small.
func (s *scanner) atLeast(at string, v, least uint64) uint64 {
	if s.err == nil && v < least {
		s.violated(at, "value %d invalid, must be %d or larger", v, least)
	}
	return v
}

// between notes when a float is outside of a range.
func (s *scanner) between(at string, v, least, most float64) float64 {
	switch {
	case s.err != nil || least <= v && v <= most:
	case math.IsInf(most, 1):
		s.violated(at, "value %s invalid, must be %s or larger", pointed(v), pointed(least))
	default:
		s.violated(at, "value %s invalid, must be from %s to %s", pointed(v), pointed(least), pointed(most))
	}
	return v
}

// pointed prints a float with a decimal point, or a very large or small one with an exponent.
func pointed(v float64) string {
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) {
		return strconv.FormatFloat(v, 'e', -1, 64)
	}
	t := strconv.FormatFloat(v, 'f', -1, 64)
	if !strings.Contains(t, ".") {
		t += ".0"
	}
	return t
}

// refuse notes why the request, well-formed as it may be, cannot be done. The first reason counts.
func (s *scanner) refuse(err error) {
	if s.later == nil {
		s.later = err
	}
}

// lacks refuses a documented feature that this version does not have.
func (s *scanner) lacks(format string, args ...any) {
	s.refuse(sextant.Errorf(sextant.NotImplemented, "%s is not supported by this version", fmt.Sprintf(format, args...)))
}

// finish returns what is wrong with the body: its form, then its values, then what it asks for.
func (s *scanner) finish() error {
	s.end()
	switch {
	case s.err != nil:
		return s.err
	case len(s.invalid) > 0:
		return sextant.Errorf(sextant.Invalid, "Validation error in JSON body: [%s]", strings.Join(s.invalid, "; "))
	}
	return s.later
}
