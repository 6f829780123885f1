package document

import "github.com/sextantdb/sextant"

// Walk calls yield with each value that the path has in the document, in document order, until yield returns false. A
// present null is a value; arrays are crossed only where the path says so.
func Walk(doc []byte, p sextant.Path, yield func(v Value) bool) {
	if len(doc) > 0 && len(p.Steps) > 0 {
		walk(doc, p.Steps, yield)
	}
}

// walk follows steps from the value that b begins with. What follows that value in b is not looked at.
func walk(b []byte, steps []sextant.PathStep, yield func(v Value) bool) bool {
	for i, step := range steps {
		switch step.Kind {
		case sextant.KeyStep:
			at := find(b, step.Key)
			if at < 0 {
				return true
			}
			b = b[at:]
		case sextant.IndexStep:
			at := element(b, step.Index)
			if at < 0 {
				return true
			}
			b = b[at:]
		case sextant.AllStep:
			rest := steps[i+1:]
			return Value{b}.Each(func(v Value) bool { return walk(v.raw, rest, yield) })
		}
	}
	end := skip(b, 0)
	return end == 0 || yield(Value{b[:end]})
}

// Find returns the value of a path that crosses no array with [], which has at most one; the zero Value if it has none.
func Find(doc []byte, p sextant.Path) Value {
	b := doc
	for _, step := range p.Steps {
		at := -1
		switch step.Kind {
		case sextant.KeyStep:
			at = find(b, step.Key)
		case sextant.IndexStep:
			at = element(b, step.Index)
		}
		if at < 0 {
			return Value{}
		}
		b = b[at:]
	}
	return Value{b[:skip(b, 0)]}
}

// element returns where element n of the array that b begins with begins, -1 if it has none.
func element(b []byte, n int) int {
	if len(b) == 0 || b[0] != '[' {
		return -1
	}
	for i := 1; i < len(b) && b[i] != ']'; {
		if n == 0 {
			return i
		}
		n--
		end := skip(b, i)
		if end == i || end >= len(b) || b[end] != ',' {
			return -1
		}
		i = end + 1
	}
	return -1
}
