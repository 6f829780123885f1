package rest

import (
	"github.com/sextantdb/sextant"
)

// arena hands out slices of one growing buffer, so that a request costs a few allocations and not one per vector.
type arena[T any] struct {
	buf   []T
	begin int // of the slice being filled
}

func (a *arena[T]) open() { a.begin = len(a.buf) }

// reserve makes room for at least one more; hint says how many more the request may bring.
func (a *arena[T]) reserve(hint int) {
	if len(a.buf) < cap(a.buf) {
		return
	}
	open := a.buf[a.begin:]
	a.buf = append(make([]T, 0, len(open)+max(hint, 1)), open...)
	a.begin = 0
}

func (a *arena[T]) push(v T, hint int) {
	a.reserve(hint)
	a.buf = append(a.buf, v)
}

// take returns what was pushed since open.
func (a *arena[T]) take() []T { return a.buf[a.begin:len(a.buf):len(a.buf)] }

// moreFloats guesses how many numbers follow pos, from how many there were up to it.
func (s *scanner) moreFloats(pos int) int {
	left := len(s.b) - pos
	if s.floatCount < 64 {
		return min(left/2+1, 1024)
	}
	return min(left/2, int(float64(left)*1.05*float64(s.floatCount)/float64(pos+1))) + 64
}

// row reads the next value, a list of numbers, to the end of the open slice of the arena.
func (s *scanner) row() {
	b, i := s.b, s.pos+1
	out := s.floats.buf
	for first := true; ; first = false {
		for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
			i++
		}
		if i >= len(b) {
			s.pos = i
			s.fail("EOF while parsing a list")
			return
		}
		if b[i] == ']' {
			break
		}
		if !first {
			if b[i] != ',' {
				s.pos = i
				s.fail("expected `,` or `]`")
				return
			}
			for i++; i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t'); i++ {
			}
		}
		f, end, v := readFloat32(b, i)
		if v != good {
			s.noFloat(i, end, v)
			return
		}
		if len(out) == cap(out) {
			s.floatCount += len(out)
			s.floats.buf = out
			s.floats.reserve(s.moreFloats(i))
			s.floatCount -= len(s.floats.buf)
			out = s.floats.buf
		}
		out = append(out, f)
		i = end
	}
	s.pos = i + 1
	s.floats.buf = out
}

// noFloat fails because of what stands where a component of a vector should be.
func (s *scanner) noFloat(start, end int, v verdict) {
	if v == tooLarge {
		s.failAt(end, "number out of range of a 32-bit float")
		return
	}
	s.pos = start
	s.expected("f32")
}

// isMatrix reports whether the next value, an array, begins with an array.
func (s *scanner) isMatrix() bool {
	at := s.pos
	s.pos++
	matrix := s.peek() == array
	s.pos = at
	return matrix
}

// vector reads a vector value: dense, a matrix, sparse, or something to be made a vector of by inference.
func (s *scanner) vector(variants string) sextant.Vector {
	switch s.peek() {
	case array:
		if s.isMatrix() {
			return s.matrix()
		}
		s.floats.open()
		s.row()
		v := sextant.Vector{Kind: sextant.Dense, Values: s.floats.take()}
		if len(v.Values) == 0 && s.err == nil {
			s.violated("", "dense vector must not be empty")
		}
		return v
	case object:
		return s.sparseOrInference(variants)
	}
	s.noVariant(variants)
	return sextant.Vector{}
}

// noVariant fails because the next value fits no form of a union.
func (s *scanner) noVariant(name string) {
	at := s.pos
	s.skip() // a syntax error is the better reason
	s.failAt(at, "data did not match any variant of untagged enum %s", name)
}

func (s *scanner) matrix() sextant.Vector {
	v := sextant.Vector{Kind: sextant.Multi}
	s.floats.open()
	dim, uneven, empty := 0, -1, false
	for range s.elements {
		if s.peek() != array {
			s.expected("a sequence")
			return v
		}
		before := len(s.floats.buf) - s.floats.begin
		s.row()
		n := len(s.floats.buf) - s.floats.begin - before
		switch {
		case n == 0:
			empty = true
		case v.Rows == 0:
			dim = n
		case n != dim && uneven < 0:
			uneven = n
		}
		v.Rows++
	}
	v.Values = s.floats.take()
	switch {
	case s.err != nil:
	case empty:
		s.violated("data", "all vectors must be non-empty")
	case uneven >= 0:
		s.violated("data", "all vectors must have the same dimension, found vector with dimension %d", uneven)
	case len(v.Values) >= sextant.MaxMultiElements:
		s.violated("data", "Total size of all vectors (%d) must be less than %d", len(v.Values), sextant.MaxMultiElements)
	}
	return v
}

var vectorFields = fieldSet{names: []string{"indices", "values", "text", "image", "object", "model", "options"}}

func (s *scanner) sparseOrInference(variants string) sextant.Vector {
	start := s.pos
	v := sextant.Vector{Kind: sextant.Sparse}
	var indices, values bool
	var source, model string
	for name := range vectorFields.of(s) {
		switch name {
		case "indices":
			indices = true
			v.Indices = s.sparseIndices()
		case "values":
			values = true
			if s.peek() != array {
				s.expected("a sequence")
				break
			}
			s.floats.open()
			s.row()
			v.Values = s.floats.take()
		case "model":
			model = s.str()
		case "text":
			source = name
			s.str()
		case "image", "object":
			source = name
			s.skip()
		default:
			s.skip()
		}
	}
	switch {
	case s.err != nil:
	case indices && values:
		s.checkSparse(v)
	case source != "" && model != "":
		s.inference(source, model)
	default:
		s.failAt(start, "data did not match any variant of untagged enum %s", variants)
	}
	return v
}

func (s *scanner) sparseIndices() []uint32 {
	s.indices.open()
	for range s.elements {
		s.indices.push(s.uint32(), min((len(s.b)-s.pos)/2, 1024+len(s.indices.buf)))
	}
	return s.indices.take()
}

// checkSparse sorts the vector and notes what is wrong with it.
func (s *scanner) checkSparse(v sextant.Vector) {
	if len(v.Indices) != len(v.Values) {
		s.violated("values", "Validation error: must be the same length as indices [{}]")
		return
	}
	if !sextant.SortSparse(v.Indices, v.Values) {
		s.violated("indices", "Validation error: must be unique [{}]")
	}
}

// inference refuses what a model must turn into a vector.
func (s *scanner) inference(source, model string) {
	if source == "text" && (model == "qdrant/bm25" || model == "bm25") {
		s.lacks("inference of model %q", model)
		return
	}
	s.refuse(sextant.Errorf(sextant.Internal, "InferenceService is not initialized. "+
		"Please check if it was properly configured and initialized during startup."))
}

// vectorStruct reads the vectors of one point: the unnamed one alone, or an object by name.
func (s *scanner) vectorStruct() []sextant.NamedVector {
	s.vectors.open()
	if s.peek() != object || s.isInference() {
		s.pushVector("", s.vector("VectorStruct"))
		return s.vectors.take()
	}
	s.in("?")
	for key := range s.members {
		name := s.intern(key)
		if s.peek() == null {
			s.noVariant("Vector")
			break
		}
		s.pushVector(name, s.vector("Vector"))
	}
	s.out()
	return s.vectors.take()
}

// pushVector adds a vector; of a doubled name the last counts.
func (s *scanner) pushVector(name string, v sextant.Vector) {
	for i := s.vectors.begin; i < len(s.vectors.buf); i++ {
		if s.vectors.buf[i].Name == name {
			s.vectors.buf[i].Vector = v
			return
		}
	}
	s.vectors.push(sextant.NamedVector{Name: name, Vector: v}, min(len(s.vectors.buf)*2+16, 4096))
}

// isInference reports whether the next value, an object, is meant for a model: its keys are those of a document, and
// "model" is a string. A vector name may be any of these words too, but its value is never a string.
func (s *scanner) isInference() bool {
	at := s.pos
	found := false
	for key := range s.members {
		switch string(key) {
		case "model":
			found = s.peek() == text
		case "text", "image", "object", "options":
		default:
			s.pos, s.depth = at, s.depth-1
			return false
		}
		if found {
			s.pos, s.depth = at, s.depth-1
			return true
		}
		s.skip()
	}
	if s.err == nil {
		s.pos = at
	}
	return false
}

// intern returns the vector name, allocating only when it is met first.
func (s *scanner) intern(name []byte) string {
	for _, n := range s.names {
		if n == string(name) {
			return n
		}
	}
	n := string(name)
	if len(s.names) < 32 {
		s.names = append(s.names, n)
	}
	return n
}
