package document

import (
	"bytes"
	"cmp"
	"math"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"

	"github.com/sextantdb/sextant"
)

// MaxDepth is how deep arrays and objects may nest.
const MaxDepth = 128

// Compact checks that raw is one JSON value and appends it to dst without white space and with every string in one
// spelling. Numbers keep their text; one that float64 cannot hold is an error. Of doubled keys of an object the last value
// stays, at the place of the first. On error dst comes back as it was.
func Compact(dst, raw []byte) ([]byte, error) {
	c := compactor{in: raw, out: dst, members: make([]member, 0, 16)}
	ok := c.value()
	if ok {
		if c.space(); c.pos < len(c.in) {
			ok = c.fail("unexpected characters after the value")
		}
	}
	if !ok {
		return dst, c.error()
	}
	return c.out, nil
}

type compactor struct {
	in, out []byte
	pos     int
	depth   int
	members []member // of all open objects, the innermost last
	reason  string   // of the failure at pos
}

// member is where one member of an object lies in out: its quoted key and its end.
type member struct{ start, keyEnd, end int }

func (c *compactor) fail(reason string) bool {
	c.reason = reason
	return false
}

func (c *compactor) error() error {
	pos := min(c.pos, len(c.in))
	line := 1 + bytes.Count(c.in[:pos], []byte{'\n'})
	column := pos - bytes.LastIndexByte(c.in[:pos], '\n')
	return sextant.Errorf(sextant.Malformed, "%s at line %d column %d", c.reason, line, column)
}

// space skips white space and returns the next byte, 0 at the end.
func (c *compactor) space() byte {
	for ; c.pos < len(c.in); c.pos++ {
		switch b := c.in[c.pos]; b {
		case ' ', '\t', '\n', '\r':
		default:
			return b
		}
	}
	return 0
}

func (c *compactor) value() bool {
	switch b := c.space(); {
	case b == '"':
		return c.string()
	case b == '{' || b == '[':
		if c.depth == MaxDepth {
			return c.fail("nesting deeper than the limit of " + strconv.Itoa(MaxDepth) + " levels")
		}
		c.depth++
		ok := false
		if b == '{' {
			ok = c.object()
		} else {
			ok = c.array()
		}
		c.depth--
		return ok
	case b == '-' || '0' <= b && b <= '9':
		return c.number()
	case b == 't':
		return c.word("true")
	case b == 'f':
		return c.word("false")
	case b == 'n':
		return c.word("null")
	case c.pos >= len(c.in):
		return c.fail("unexpected end of JSON, expected a value")
	}
	return c.fail("expected a value")
}

func (c *compactor) word(w string) bool {
	if len(c.in)-c.pos < len(w) || string(c.in[c.pos:c.pos+len(w)]) != w {
		return c.fail("expected a value")
	}
	c.out = append(c.out, w...)
	c.pos += len(w)
	return true
}

func (c *compactor) array() bool {
	c.pos++
	c.out = append(c.out, '[')
	if c.space() != ']' {
		for {
			if !c.value() {
				return false
			}
			b := c.space()
			if b == ']' {
				break
			}
			if b != ',' {
				return c.fail("expected `,` or `]`")
			}
			c.pos++
			c.out = append(c.out, ',')
		}
	}
	c.pos++
	c.out = append(c.out, ']')
	return true
}

func (c *compactor) object() bool {
	c.pos++
	c.out = append(c.out, '{')
	begin, first := len(c.out), len(c.members)
	if c.space() != '}' {
		for {
			if c.space() != '"' {
				return c.fail("expected a key in double quotes")
			}
			m := member{start: len(c.out)}
			if !c.string() {
				return false
			}
			m.keyEnd = len(c.out)
			if c.space() != ':' {
				return c.fail("expected `:`")
			}
			c.pos++
			c.out = append(c.out, ':')
			if !c.value() {
				return false
			}
			m.end = len(c.out)
			c.members = append(c.members, m)
			b := c.space()
			if b == '}' {
				break
			}
			if b != ',' {
				return c.fail("expected `,` or `}`")
			}
			c.pos++
			c.out = append(c.out, ',')
		}
	}
	c.pos++
	c.dedup(begin, c.members[first:])
	c.members = c.members[:first]
	c.out = append(c.out, '}')
	return true
}

// dedup drops overruled members from the object whose members begin at out[begin].
func (c *compactor) dedup(begin int, members []member) {
	last := c.lastOf(members)
	if last == nil {
		return
	}
	body := bytes.Clone(c.out[begin:])
	c.out = c.out[:begin]
	for i := range members {
		if last[i] < 0 {
			continue
		}
		if len(c.out) > begin {
			c.out = append(c.out, ',')
		}
		m := members[last[i]]
		c.out = append(c.out, body[m.start-begin:m.end-begin]...)
	}
}

// lastOf returns nil if no key is doubled. Else, for each member, the member whose value it gets, or -1 if an earlier
// member has the same key.
func (c *compactor) lastOf(members []member) []int {
	key := func(i int) []byte { return c.out[members[i].start:members[i].keyEnd] }
	const few = 12 // below, comparing all with all is quicker than sorting
	doubled := false
	if len(members) <= few {
		for i := 1; i < len(members) && !doubled; i++ {
			for j := range i {
				if bytes.Equal(key(i), key(j)) {
					doubled = true
					break
				}
			}
		}
		if !doubled {
			return nil
		}
	}
	sorted := make([]int, len(members))
	for i := range sorted {
		sorted[i] = i
	}
	slices.SortFunc(sorted, func(a, b int) int {
		if by := bytes.Compare(key(a), key(b)); by != 0 {
			return by
		}
		return cmp.Compare(a, b)
	})
	last := make([]int, len(members))
	for from := 0; from < len(sorted); {
		to := from + 1
		for to < len(sorted) && bytes.Equal(key(sorted[from]), key(sorted[to])) {
			last[sorted[to]] = -1
			doubled = true
			to++
		}
		last[sorted[from]] = sorted[to-1]
		from = to
	}
	if !doubled {
		return nil
	}
	return last
}

func (c *compactor) number() bool {
	start, in := c.pos, c.in
	digits := func() bool {
		from := c.pos
		for c.pos < len(in) && '0' <= in[c.pos] && in[c.pos] <= '9' {
			c.pos++
		}
		return c.pos > from
	}
	if in[c.pos] == '-' {
		c.pos++
	}
	whole := c.pos
	if !digits() || in[whole] == '0' && c.pos > whole+1 {
		return c.fail("invalid number")
	}
	exponent := false
	if c.pos < len(in) && in[c.pos] == '.' {
		if c.pos++; !digits() {
			return c.fail("invalid number")
		}
	}
	if c.pos < len(in) && in[c.pos]|0x20 == 'e' {
		exponent = true
		if c.pos++; c.pos < len(in) && (in[c.pos] == '+' || in[c.pos] == '-') {
			c.pos++
		}
		if !digits() {
			return c.fail("invalid number")
		}
	}
	text := in[start:c.pos]
	if exponent || len(text) > 300 { // without exponent, shorter ones are finite
		if f, err := strconv.ParseFloat(alias(text), 64); err != nil || math.IsInf(f, 0) {
			return c.fail("number out of range")
		}
	}
	c.out = append(c.out, text...)
	return true
}

func (c *compactor) string() bool {
	in, i := c.in, c.pos+1
	c.out = append(c.out, '"')
	for {
		from, ascii := i, true
		for i < len(in) && in[i] != '"' && in[i] != '\\' && in[i] >= 0x20 {
			ascii = ascii && in[i] < utf8.RuneSelf
			i++
		}
		c.pos = i
		if !ascii && !utf8.Valid(in[from:i]) {
			return c.fail("invalid UTF-8 in a string")
		}
		c.out = append(c.out, in[from:i]...)
		if i >= len(in) {
			return c.fail("unexpected end of JSON in a string")
		}
		if in[i] == '"' {
			c.pos = i + 1
			c.out = append(c.out, '"')
			return true
		}
		if in[i] < 0x20 {
			return c.fail("control character in a string")
		}
		r, size := unescape(in[i:])
		if size == 0 {
			return c.fail("invalid escape in a string")
		}
		c.out = appendRune(c.out, r)
		i += size
	}
}

// unescape reads the escape that b begins with and returns how long it is, 0 if it is none. A half of a surrogate pair is
// no character.
func unescape(b []byte) (r rune, size int) {
	if len(b) < 2 {
		return 0, 0
	}
	switch b[1] {
	case '"', '\\', '/':
		return rune(b[1]), 2
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
		r, ok := hex4(b[2:])
		if !ok {
			return 0, 0
		}
		if !utf16.IsSurrogate(r) {
			return r, 6
		}
		if len(b) < 12 || b[6] != '\\' || b[7] != 'u' {
			return 0, 0
		}
		low, ok := hex4(b[8:])
		if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
			return 0, 0
		}
		return r, 12
	}
	return 0, 0
}

func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, d := range b[:4] {
		switch {
		case '0' <= d && d <= '9':
			d -= '0'
		case 'a' <= d|0x20 && d|0x20 <= 'f':
			d = d | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(d)
	}
	return r, true
}

// AppendString appends s as a JSON string in the spelling that Compact makes: only what must be escaped is. Invalid UTF-8
// is kept as it is.
func AppendString[S string | []byte](dst []byte, s S) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		if b := s[i]; b < 0x20 || b == '"' || b == '\\' {
			dst = append(dst, s[from:i]...)
			dst = appendRune(dst, rune(b))
			from = i + 1
		}
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

func appendRune(dst []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	if r < 0x20 {
		const hex = "0123456789abcdef"
		return append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
	}
	return utf8.AppendRune(dst, r)
}

// alias returns b as a string without copying, for calls that do not keep it.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
