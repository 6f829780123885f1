package rest

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/sextantdb/sextant"
)

// maxDepth is how deep arrays and objects of a request may nest.
const maxDepth = 128

// scanner pulls JSON values out of one request body. The first error sticks: after it, values are zero and loops end, so
// decoders need not look at it. Strings and numbers that leave the scanner are copies; the body may be reused afterwards.
type scanner struct {
	b     []byte
	pos   int
	depth int
	err   error

	scratch  []byte // the last string with escapes
	floats   arena[float32]
	indices  arena[uint32]
	vectors  arena[sextant.NamedVector]
	payloads []byte
	names    []string // vector names seen so far

	floatCount int // floats in chunks of the arena that are full

	path    []pathStep // where the decoder is, for validation errors
	invalid []string   // violated rules: "path: message"
	later   error      // why a well-formed request cannot be done at all
}

// kind tells JSON values apart by their first byte.
type kind uint8

const (
	none kind = iota // no value begins here
	null
	boolean
	numeric
	text
	array
	object
)

// peek returns the kind of the next value.
func (s *scanner) peek() kind {
	if s.err != nil || !s.space() {
		return none
	}
	switch c := s.b[s.pos]; {
	case c == '"':
		return text
	case c == '[':
		return array
	case c == '{':
		return object
	case c == '-' || c-'0' <= 9:
		return numeric
	case c == 't' || c == 'f':
		return boolean
	case c == 'n':
		return null
	}
	return none
}

// space skips white space; false at the end of the body.
func (s *scanner) space() bool {
	for s.pos < len(s.b) {
		switch s.b[s.pos] {
		case ' ', '\n', '\r', '\t':
			s.pos++
		default:
			return true
		}
	}
	return false
}

// fail records the first error, with the position of the scanner.
func (s *scanner) fail(format string, args ...any) { s.failAt(s.pos, format, args...) }

func (s *scanner) failAt(pos int, format string, args ...any) {
	if s.err != nil {
		return
	}
	pos = min(pos, len(s.b))
	line := 1 + bytes.Count(s.b[:pos], []byte{'\n'})
	column := pos - bytes.LastIndexByte(s.b[:pos], '\n')
	s.err = sextant.Errorf(sextant.Malformed, "Format error in JSON body: %s at line %d column %d",
		fmt.Sprintf(format, args...), line, column)
}

// expected fails because no value, or one of another type, is next.
func (s *scanner) expected(what string) {
	if s.err != nil {
		return
	}
	at := s.pos
	got := s.describe()
	if s.err == nil {
		s.failAt(at, "invalid type: %s, expected %s", got, what)
	}
}

// describe names the next value as error texts do, and passes it.
func (s *scanner) describe() string {
	switch s.peek() {
	case null:
		s.skip()
		return "null"
	case boolean:
		return "boolean `" + string(s.raw()) + "`"
	case numeric:
		start := s.pos
		n, ok := scanNumber(s.b, s.pos)
		if !ok {
			s.skip()
			return ""
		}
		s.pos = n.end
		if n.integer {
			return "integer `" + abbreviate(s.b[start:n.end]) + "`"
		}
		return "floating point `" + abbreviate(s.b[start:n.end]) + "`"
	case text:
		return "string " + strconv.Quote(abbreviate(s.str()))
	case array:
		return "sequence"
	case object:
		return "map"
	}
	s.skip() // fails with the reason
	return ""
}

// abbreviate keeps error texts short.
func abbreviate[T string | []byte](v T) string {
	const most = 80
	if len(v) <= most {
		return string(v)
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(v[cut]) {
		cut--
	}
	return string(v[:cut]) + "…"
}

// syntax fails because what is next cannot be JSON here.
func (s *scanner) syntax(wanted string) {
	if s.pos >= len(s.b) {
		s.fail("EOF while parsing %s", wanted)
		return
	}
	s.fail("expected %s", wanted)
}

// end fails unless only white space is left.
func (s *scanner) end() {
	if s.err == nil && s.space() {
		s.fail("trailing characters")
	}
}

func (s *scanner) enter() bool {
	if s.depth++; s.depth > maxDepth {
		s.fail("recursion limit exceeded: nesting deeper than %d levels", maxDepth)
	}
	return s.err == nil
}

// next goes from one element of an array or object to the following, or behind the end.
func (s *scanner) next(closing byte, first bool) bool {
	if s.err != nil {
		return false
	}
	if !s.space() {
		s.fail("EOF while parsing %s", container(closing))
		return false
	}
	switch c := s.b[s.pos]; {
	case c == closing:
		s.pos++
		s.depth--
		return false
	case first:
		return true
	case c != ',':
		s.fail("expected `,` or `%c`", closing)
		return false
	}
	s.pos++
	if s.space() && s.b[s.pos] == closing {
		s.fail("trailing comma")
	}
	return s.err == nil
}

func container(closing byte) string {
	if closing == ']' {
		return "a list"
	}
	return "an object"
}

// elements walks the next value, an array, and yields the index of each element. The body reads the element.
func (s *scanner) elements(yield func(int) bool) {
	if s.peek() != array {
		s.expected("a sequence")
		return
	}
	s.pos++
	if !s.enter() {
		return
	}
	for i := 0; s.next(']', i == 0); i++ {
		if !yield(i) {
			return
		}
	}
}

// members walks the next value, an object, and yields each key. A key is valid until the next string is read.
func (s *scanner) members(yield func([]byte) bool) {
	if s.peek() != object {
		s.expected("a map")
		return
	}
	s.pos++
	if !s.enter() {
		return
	}
	for first := true; s.next('}', first); first = false {
		if s.peek() != text {
			s.syntax("a key that is a string")
			return
		}
		key := s.view()
		if s.err != nil {
			return
		}
		if !s.space() || s.b[s.pos] != ':' {
			s.syntax("`:`")
			return
		}
		s.pos++
		if !yield(key) || s.err != nil {
			return
		}
	}
}

// str reads a string.
func (s *scanner) str() string { return string(s.view()) }

// view reads a string and lends its bytes until the next string is read.
func (s *scanner) view() []byte {
	if s.peek() != text {
		s.expected("a string")
		return nil
	}
	start := s.pos + 1
	for i := start; i < len(s.b); i++ {
		switch c := s.b[i]; {
		case c == '"':
			s.pos = i + 1
			return s.b[start:i]
		case c == '\\' || c < 0x20 || c >= utf8.RuneSelf:
			return s.unescape(start, i)
		}
	}
	s.pos = len(s.b)
	s.fail("EOF while parsing a string")
	return nil
}

// unescape goes on where view met the first byte that is not plain ASCII.
func (s *scanner) unescape(start, i int) []byte {
	out := s.scratch[:0]
	escaped := false
	plain := start // begin of what is not yet in out
	for i < len(s.b) {
		c := s.b[i]
		switch {
		case c == '"':
			s.pos = i + 1
			if !escaped {
				return s.b[start:i]
			}
			s.scratch = append(out, s.b[plain:i]...)
			return s.scratch
		case c < 0x20:
			s.failAt(i, "control character (\\u0000-\\u001F) found while parsing a string")
			return nil
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRune(s.b[i:])
			if r == utf8.RuneError && size == 1 {
				s.failAt(i, "invalid unicode code point")
				return nil
			}
			i += size
		case c != '\\':
			i++
		default:
			escaped = true
			out = append(out, s.b[plain:i]...)
			r, size := escape(s.b[i:])
			if size == 0 {
				s.failAt(i, "invalid escape")
				return nil
			}
			out = utf8.AppendRune(out, r)
			i += size
			plain = i
		}
	}
	s.pos = len(s.b)
	s.fail("EOF while parsing a string")
	return nil
}

// escape reads the escape sequence at the begin of b; size 0: there is none.
func escape(b []byte) (r rune, size int) {
	if len(b) < 2 {
		return 0, 0
	}
	switch c := b[1]; c {
	case '"', '\\', '/':
		return rune(c), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		r = hex4(b[2:])
		if r >= 0 && !utf16.IsSurrogate(r) {
			return r, 6
		}
		if r < 0 || len(b) < 12 || b[6] != '\\' || b[7] != 'u' {
			return 0, 0
		}
		if r = utf16.DecodeRune(r, hex4(b[8:])); r != utf8.RuneError {
			return r, 12
		}
	}
	return 0, 0
}

func hex4(b []byte) rune {
	if len(b) < 4 {
		return -1
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c-'0' <= 9:
			c -= '0'
		case c|0x20-'a' <= 5:
			c = c | 0x20 - 'a' + 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// skip passes the next value, whatever it is, and checks it.
func (s *scanner) skip() {
	switch s.peek() {
	case text:
		s.view()
	case numeric:
		n, ok := scanNumber(s.b, s.pos)
		s.pos = n.end
		if !ok {
			s.fail("invalid number")
		}
	case array:
		for range s.elements {
			s.skip()
		}
	case object:
		for range s.members {
			s.skip()
		}
	case null:
		s.word("null")
	case boolean:
		if s.b[s.pos] == 't' {
			s.word("true")
		} else {
			s.word("false")
		}
	default:
		s.syntax("a value")
	}
}

func (s *scanner) word(w string) {
	if !bytes.HasPrefix(s.b[s.pos:], []byte(w)) {
		s.fail("expected ident")
		return
	}
	s.pos += len(w)
}

// raw passes the next value and lends its bytes.
func (s *scanner) raw() []byte {
	s.space()
	start := s.pos
	s.skip()
	if s.err != nil {
		return nil
	}
	return s.b[start:s.pos]
}
