package document

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// Kind is the type of a JSON value.
type Kind uint8

const (
	None Kind = iota // no value: what the zero Value is
	Null
	Bool
	Number
	String
	Array
	Object
)

// Value is one JSON value inside a document: a window on its bytes.
type Value struct{ raw []byte }

// Parse returns the document itself as a value; an empty document is an empty object.
func Parse(doc []byte) Value {
	if len(doc) == 0 {
		return Value{empty}
	}
	return Value{doc[:skip(doc, 0)]}
}

var empty = []byte("{}")

// Raw returns the JSON of the value. It aliases the document.
func (v Value) Raw() []byte { return v.raw }

// Kind returns the type of the value.
func (v Value) Kind() Kind {
	if len(v.raw) == 0 {
		return None
	}
	switch v.raw[0] {
	case 'n':
		return Null
	case 't', 'f':
		return Bool
	case '"':
		return String
	case '[':
		return Array
	case '{':
		return Object
	}
	return Number
}

// IsTrue reports whether the value is the bool true.
func (v Value) IsTrue() bool { return len(v.raw) > 0 && v.raw[0] == 't' }

// IsEmptyArray reports whether the value is [].
func (v Value) IsEmptyArray() bool { return len(v.raw) == 2 && v.raw[0] == '[' }

// Text returns the characters of a String, nil for other kinds. It aliases the document, or scratch (which may be nil and
// is grown) when the string has escapes.
func (v Value) Text(scratch []byte) []byte {
	if len(v.raw) < 2 || v.raw[0] != '"' {
		return nil
	}
	body := v.raw[1 : len(v.raw)-1]
	i := bytes.IndexByte(body, '\\')
	if i < 0 {
		return body
	}
	out := scratch[:0]
	for i >= 0 {
		out = append(out, body[:i]...)
		r, size := unescape(body[i:])
		if size == 0 {
			return out
		}
		out = utf8.AppendRune(out, r)
		body = body[i+size:]
		i = bytes.IndexByte(body, '\\')
	}
	return append(out, body...)
}

// String returns a copy of the characters of a String, "" for other kinds.
func (v Value) String() string { return string(v.Text(nil)) }

// Is reports whether the value is a String equal to s.
func (v Value) Is(s string) bool {
	if len(v.raw) < 2+len(s) || v.raw[0] != '"' {
		return false
	}
	return sameKey(v.raw[1:len(v.raw)-1], s)
}

// Each calls yield with the elements of an Array until it returns false, and returns false then.
func (v Value) Each(yield func(Value) bool) bool {
	b := v.raw
	if len(b) < 2 || b[0] != '[' {
		return true
	}
	for i := 1; i < len(b) && b[i] != ']'; {
		end := skip(b, i)
		if end == i {
			return true
		}
		if !yield(Value{b[i:end]}) {
			return false
		}
		if i = end; i >= len(b) || b[i] != ',' {
			return true
		}
		i++
	}
	return true
}

// Len returns the number of elements of an Array, 0 for other kinds.
func (v Value) Len() int {
	n := 0
	v.Each(func(Value) bool { n++; return true })
	return n
}

// Members calls yield with the members of an Object until it returns false, and returns false then. The key is a Value of
// kind String.
func (v Value) Members(yield func(key, value Value) bool) bool {
	b := v.raw
	for i := 1; ; {
		key, colon := nextKey(b, i)
		if colon == 0 {
			return true
		}
		end := skip(b, colon+1)
		if end == colon+1 {
			return true
		}
		if !yield(Value{key}, Value{b[colon+1 : end]}) {
			return false
		}
		if end >= len(b) || b[end] != ',' {
			return true
		}
		i = end + 1
	}
}

// Get returns the value of a key of an Object, the zero Value if it is missing or v is of another kind.
func (v Value) Get(key string) Value {
	at := find(v.raw, key)
	if at < 0 {
		return Value{}
	}
	return Value{v.raw[at:skip(v.raw, at)]}
}

// find returns where the value of key begins in the object that b begins with, -1 if it has none.
func find(b []byte, key string) int {
	if len(b) == 0 || b[0] != '{' {
		return -1
	}
	for i := 1; ; {
		k, colon := nextKey(b, i)
		if colon == 0 {
			return -1
		}
		if len(k) >= len(key)+2 && sameKey(k[1:len(k)-1], key) {
			return colon + 1
		}
		end := skip(b, colon+1)
		if end == colon+1 || end >= len(b) || b[end] != ',' {
			return -1
		}
		i = end + 1
	}
}

// nextKey returns the quoted key of the member that begins at b[i] and where its colon is, 0 if there is no member.
func nextKey(b []byte, i int) (key []byte, colon int) {
	if i >= len(b) || b[i] != '"' {
		return nil, 0
	}
	end := skipString(b, i)
	if end+1 >= len(b) || b[end] != ':' {
		return nil, 0
	}
	return b[i:end], end
}

// sameKey reports whether the inside of a JSON string spells s.
func sameKey(body []byte, s string) bool {
	if len(body) == len(s) && string(body) == s {
		return bytes.IndexByte(body, '\\') < 0
	}
	if len(body) <= len(s) || s != "" && body[0] != s[0] && body[0] != '\\' {
		return false // an escape is longer than what it stands for
	}
	i := bytes.IndexByte(body, '\\')
	if i < 0 {
		return false
	}
	for i >= 0 {
		if len(s) < i || string(body[:i]) != s[:i] {
			return false
		}
		r, size := unescape(body[i:])
		want, width := utf8.DecodeRuneInString(s[i:])
		if size == 0 || width == 0 || r != want {
			return false
		}
		body, s = body[i+size:], s[i+width:]
		i = bytes.IndexByte(body, '\\')
	}
	return string(body) == s
}

// skip returns the end of the value that begins at b[i]; i itself if there is none.
func skip(b []byte, i int) int {
	if i >= len(b) {
		return i
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		return skipContainer(b, i)
	}
	for ; i < len(b); i++ {
		if c := b[i]; c == ',' || c == '}' || c == ']' {
			break
		}
	}
	return i
}

func skipContainer(b []byte, i int) int {
	depth := 0
	for ; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			i = skipString(b, i) - 1
		case c < '[': // most of the others
		case c|0x20 == '{':
			depth++
		case c|0x20 == '}':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(b)
}

func skipString(b []byte, i int) int {
	const short = 16
	for end := min(len(b), i+short); i+1 < end; {
		i++
		if b[i] == '"' {
			return i + 1
		}
		if b[i] == '\\' {
			i++
		}
	}
	return skipLongString(b, i+1)
}

// skipLongString looks at eight bytes at once: zeros(x) marks the zero bytes of x by their top bits. Marks above the lowest
// one may be wrong.
func skipLongString(b []byte, i int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	zeros := func(x uint64) uint64 { return (x - ones) &^ x & tops }
	for ; i < len(b); i++ {
		if i+8 <= len(b) {
			x := binary.LittleEndian.Uint64(b[i:])
			marks := zeros(x^'"'*ones) | zeros(x^'\\'*ones)
			if marks == 0 {
				i += 7
				continue
			}
			i += bits.TrailingZeros64(marks) / 8
		}
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return len(b)
}
