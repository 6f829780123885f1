package document

import (
	"bytes"

	"github.com/sextantdb/sextant"
)

// Project returns a copy of what the selector wants of a payload: nil if it wants none, {} if nothing is left.
//
// Arrays must be crossed explicitly: the path of an element is its array's followed by []; [n] agrees with no element. An
// included path keeps all below it and, on the way to it, containers and scalars; the other elements and members go. An
// excluded path drops what is at and below it.
func Project(p sextant.Payload, sel sextant.PayloadSelector) sextant.Payload {
	doc := Parse(p)
	switch {
	case sel.All:
		return bytes.Clone(doc.raw)
	case sel.Include != nil:
		return project(make([]byte, 0, len(p)), doc, stepsOf(sel.Include), true)
	case sel.Exclude != nil:
		return project(make([]byte, 0, len(p)), doc, stepsOf(sel.Exclude), false)
	}
	return nil
}

func stepsOf(paths []sextant.Path) [][]sextant.PathStep {
	all := make([][]sextant.PathStep, 0, len(paths))
	for _, p := range paths {
		if len(p.Steps) > 0 {
			all = append(all, p.Steps)
		}
	}
	return all
}

// project appends v narrowed by patterns, what is left of them below v.
func project(dst []byte, v Value, patterns [][]sextant.PathStep, include bool) []byte {
	switch v.Kind() {
	case Object:
		dst = append(dst, '{')
		empty := true
		v.Members(func(k, value Value) bool {
			agrees := func(s sextant.PathStep) bool {
				return s.Kind == sextant.KeyStep && sameKey(k.raw[1:len(k.raw)-1], s.Key)
			}
			below, whole := descend(patterns, agrees)
			if whole != include && (whole || len(below) == 0) {
				return true
			}
			if !empty {
				dst = append(dst, ',')
			}
			empty = false
			dst = append(append(dst, k.raw...), ':')
			dst = narrow(dst, value, below, whole, include)
			return true
		})
		return append(dst, '}')
	case Array:
		below, whole := descend(patterns, func(s sextant.PathStep) bool { return s.Kind == sextant.AllStep })
		if whole != include && (whole || len(below) == 0) {
			return append(dst, '[', ']')
		}
		return appendElements(dst, v, func(dst []byte, _ int, e Value) []byte {
			return narrow(dst, e, below, whole, include)
		})
	}
	return append(dst, v.raw...)
}

// narrow appends a node that stays at least in part.
func narrow(dst []byte, v Value, below [][]sextant.PathStep, whole, include bool) []byte {
	if whole || !include && len(below) == 0 {
		return append(dst, v.raw...)
	}
	return project(dst, v, below, include)
}

// descend takes one step: below are the rests of the patterns whose first step agrees, whole says that one ends here.
func descend(patterns [][]sextant.PathStep, agrees func(sextant.PathStep) bool) (below [][]sextant.PathStep, whole bool) {
	for _, p := range patterns {
		if agrees(p[0]) {
			if len(p) == 1 {
				return nil, true
			}
			below = append(below, p[1:])
		}
	}
	return below, false
}
