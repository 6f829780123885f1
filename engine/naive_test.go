package engine_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"

	"github.com/sextantdb/sextant"
)

// matches is the filter of the model: one condition after the other, as the words of the API have it.
func matches(id sextant.PointID, p *modelPoint, f *sextant.Filter) bool {
	if f.IsEmpty() {
		return true
	}
	hits := func(list []sextant.Condition) (n int) {
		for _, c := range list {
			if holds(id, p, c) {
				n++
			}
		}
		return n
	}
	return hits(f.Must) == len(f.Must) &&
		(len(f.Should) == 0 || hits(f.Should) > 0) &&
		hits(f.MustNot) == 0 &&
		(f.MinShould == nil || hits(f.MinShould.Conditions) >= f.MinShould.MinCount)
}

func holds(id sextant.PointID, p *modelPoint, c sextant.Condition) bool {
	switch c := c.(type) {
	case *sextant.Filter:
		return matches(id, p, c)
	case sextant.HasID:
		return slices.Contains(c.IDs, id)
	case sextant.HasVector:
		_, ok := p.vectors[c.Name]
		return ok
	case sextant.IsEmpty:
		for _, v := range valuesAt(p.payload, c.Key) {
			if list, isList := v.([]any); v != nil && (!isList || len(list) > 0) {
				return false
			}
		}
		return true
	case sextant.IsNull:
		for _, v := range valuesAt(p.payload, c.Key) {
			if list, isList := v.([]any); v == nil || isList && slices.Contains(list, nil) {
				return true
			}
		}
		return false
	case sextant.Field:
		return fieldHolds(valuesAt(p.payload, c.Key), c.Test)
	}
	panic("the model does not know this condition")
}

// valuesAt returns what a path of keys leads to: one value or none.
func valuesAt(payload map[string]any, key sextant.Path) []any {
	var v any = payload
	for _, step := range key.Steps {
		object, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		if v, ok = object[step.Key]; !ok {
			return nil
		}
	}
	return []any{v}
}

func fieldHolds(values []any, test sextant.FieldTest) bool {
	if test, ok := test.(sextant.ValuesCount); ok {
		return countHolds(values, test)
	}
	var flat []any
	for _, v := range values {
		if list, ok := v.([]any); ok {
			flat = append(flat, list...)
		} else {
			flat = append(flat, v)
		}
	}
	return slices.ContainsFunc(flat, func(v any) bool { return valueHolds(v, test) })
}

func valueHolds(v any, test sextant.FieldTest) bool {
	switch t := test.(type) {
	case sextant.Match:
		return equals(v, t.Value)
	case sextant.MatchAny:
		return inLists(v, t.Strings, t.Ints)
	case sextant.MatchExcept:
		return v != nil && !inLists(v, t.Strings, t.Ints)
	case sextant.MatchPrefix:
		s, ok := v.(string)
		return ok && strings.HasPrefix(s, t.Prefix)
	case sextant.Range:
		n, ok := v.(json.Number)
		if !ok {
			return false
		}
		x, _ := n.Float64()
		return (t.Gt == nil || x > *t.Gt) && (t.Gte == nil || x >= *t.Gte) && (t.Lt == nil || x < *t.Lt) && (t.Lte == nil || x <= *t.Lte)
	}
	panic("the model does not know this test")
}

func equals(v, want any) bool {
	switch want := want.(type) {
	case int64:
		n, ok := v.(json.Number)
		x, err := n.Float64()
		return ok && err == nil && x == float64(want)
	default:
		return v == want
	}
}

func inLists(v any, strings []string, ints []int64) bool {
	return slices.ContainsFunc(strings, func(s string) bool { return equals(v, s) }) ||
		slices.ContainsFunc(ints, func(n int64) bool { return equals(v, n) })
}

func countHolds(values []any, t sextant.ValuesCount) bool {
	n := uint64(0)
	if len(values) > 0 && values[0] != nil {
		n = 1
		if list, ok := values[0].([]any); ok {
			n = uint64(len(list))
		}
	}
	return (t.Gt == nil || n > *t.Gt) && (t.Gte == nil || n >= *t.Gte) && (t.Lt == nil || n < *t.Lt) && (t.Lte == nil || n <= *t.Lte)
}

// score is the user's score of a vector for a query, and whether the pair has one.
func score(spec sextant.VectorSpec, q, v sextant.Vector) (sum float64, ok bool) {
	if spec.Kind == sextant.Sparse {
		for i, a := range q.Indices {
			if j := slices.Index(v.Indices, a); j >= 0 {
				sum += float64(q.Values[i]) * float64(v.Values[j])
				ok = true
			}
		}
		return sum, ok
	}
	q = stored(spec, q) // normalised alike
	for a := range slices.Chunk(q.Values, spec.Dim) {
		best := math.Inf(-1)
		for b := range slices.Chunk(v.Values, spec.Dim) {
			best = max(best, nearness(spec.Distance, a, b))
		}
		sum += best
	}
	switch spec.Distance {
	case sextant.Euclid:
		return math.Sqrt(-sum), true
	case sextant.Manhattan:
		return -sum, true
	}
	return sum, true
}

func nearness(d sextant.Distance, a, b []float32) (s float64) {
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		switch d {
		case sextant.Euclid:
			s -= (x - y) * (x - y)
		case sextant.Manhattan:
			s -= math.Abs(x - y)
		default:
			s += x * y
		}
	}
	return s
}
