package rest

import (
	"slices"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/document"
)

// conditionShape is said of a value that is no condition at all.
const conditionShape = "Expected some form of condition, which can be a field condition (like {\"key\": ..., \"match\": ... }), " +
	"or some other mentioned in the documentation: https://qdrant.tech/documentation/concepts/filtering/#filtering-conditions"

// A filter knows its keys: an unknown one is an error, since a typing error must not make a filter match everything.
var (
	filterFields    = fieldSet{names: []string{"should", "min_should", "must", "must_not"}, strict: true}
	minShouldFields = allOf("conditions", "min_count")
)

// filter reads a filter. It is never nil.
func (s *scanner) filter() *sextant.Filter {
	f := &sextant.Filter{}
	for name := range filterFields.of(s) {
		s.in(name)
		switch name {
		case "must":
			f.Must = s.conditions()
		case "should":
			f.Should = s.conditions()
		case "must_not":
			f.MustNot = s.conditions()
		case "min_should":
			f.MinShould = s.minShould()
		}
		s.out()
	}
	return f
}

func (s *scanner) minShould() *sextant.MinShould {
	m := &sextant.MinShould{}
	for name := range minShouldFields.of(s) {
		switch name {
		case "conditions":
			s.in(name)
			m.Conditions = s.conditions()
			s.out()
		case "min_count":
			n := s.uint64()
			if n == 0 && s.err == nil {
				s.violated(name, "min_count must be greater than 0")
			}
			m.MinCount = int(min(n, 1<<31))
		}
	}
	return m
}

// conditions reads one condition or a list of them.
func (s *scanner) conditions() (list []sextant.Condition) {
	s.oneOrMore(func(i int) {
		s.item(i)
		if c := s.condition(); c != nil {
			list = append(list, c)
		}
	})
	return list
}

// condition reads one condition. The first known key tells which kind it is.
func (s *scanner) condition() sextant.Condition {
	if s.peek() != object {
		at := s.pos
		s.skip()
		s.failAt(at, conditionShape)
		return nil
	}
	switch s.conditionKey() {
	case "":
		if s.err == nil {
			s.fail(conditionShape)
		}
		return nil
	case "key":
		return s.fieldCondition()
	case "must":
		return s.filter()
	}
	return s.pointCondition()
}

// conditionKey looks ahead for the first key that tells what the next value, an object, is: "key" for every field
// condition, "must" for every filter. It is "" when no key does.
func (s *scanner) conditionKey() string {
	at, depth := s.pos, s.depth
	found, empty := "", true
	for key := range s.members {
		value := s.peek()
		switch k := string(key); {
		case value == null:
		case slices.Contains(filterFields.names, k):
			found = "must"
		case (k == "is_empty" || k == "is_null") && value == object:
			found = k
		case slices.Contains(fieldFields.names, k):
			found = "key"
		case slices.Contains(conditionFields.names, k):
			found = k
		default:
			empty = false
		}
		if found != "" {
			break
		}
		s.skip()
	}
	if s.err == nil {
		s.pos, s.depth = at, depth
	}
	if found == "" && empty {
		return "must" // {} is the empty filter
	}
	return found
}

var (
	keyFields       = allOf("key")
	sliceFields     = allOf("total", "index")
	nestedFields    = allOf("key", "filter")
	conditionFields = fieldSet{names: []string{"is_empty", "is_null", "has_id", "has_vector", "slice", "nested"}}
)

// pointCondition reads a condition that is no field condition. Of several kinds in one object the first counts.
func (s *scanner) pointCondition() (c sextant.Condition) {
	for name := range conditionFields.of(s) {
		if c != nil {
			s.skip()
			continue
		}
		s.in(name)
		switch name {
		case "is_empty":
			c = sextant.IsEmpty{Key: s.keyOnly()}
		case "is_null":
			c = sextant.IsNull{Key: s.keyOnly()}
		case "has_id":
			c = sextant.HasID{IDs: s.pointIDs()}
		case "has_vector":
			c = sextant.HasVector{Name: s.str()}
		case "slice":
			c = s.slice()
		case "nested":
			c = s.nested()
		}
		s.out()
	}
	return c
}

func (s *scanner) keyOnly() (p sextant.Path) {
	for range keyFields.of(s) {
		p = s.jsonPath()
	}
	return p
}

func (s *scanner) slice() (c sextant.Slice) {
	for name := range sliceFields.of(s) {
		switch name {
		case "total":
			if c.Total = uint64(s.uint32()); c.Total == 0 {
				s.fail("invalid value: integer `0`, expected a nonzero u32")
			}
		case "index":
			c.Index = uint64(s.uint32())
		}
	}
	if s.err == nil && c.Index >= c.Total {
		s.violated("", "Slice index must be less than the total number of slices")
	}
	return c
}

func (s *scanner) nested() (c sextant.Nested) {
	for name := range nestedFields.of(s) {
		switch name {
		case "key":
			c.Key = s.jsonPath()
		case "filter":
			s.in(name)
			c.Filter = s.filter()
			s.out()
		}
	}
	if n := len(c.Key.Steps); n > 0 && c.Key.Steps[n-1].Kind != sextant.AllStep {
		c.Key.Steps = append(c.Key.Steps[:n:n], sextant.PathStep{Kind: sextant.AllStep})
	}
	return c
}

var fieldFields = fieldSet{names: []string{"key", "match", "range", "geo_bounding_box", "geo_radius", "geo_polygon",
	"values_count", "is_empty", "is_null"}}

// fieldCondition reads a test of the values at a key. Several tests in one condition are alternatives.
func (s *scanner) fieldCondition() sextant.Condition {
	var key sextant.Path
	var tests []sextant.FieldTest
	for name := range fieldFields.of(s) {
		s.in(name)
		switch name {
		case "key":
			if s.peek() != text {
				s.skip()
				s.fail("Filter condition 'key' must be a string")
			} else {
				key = s.jsonPath()
			}
		case "match":
			tests = append(tests, s.match())
		case "range":
			tests = append(tests, s.rangeTest())
		case "geo_bounding_box":
			tests = append(tests, s.geoBox())
		case "geo_radius":
			tests = append(tests, s.geoRadius())
		case "geo_polygon":
			tests = append(tests, s.geoPolygon())
		case "values_count":
			tests = append(tests, s.valuesCount())
		case "is_empty":
			tests = append(tests, sextant.FieldIsEmpty{Want: s.bool()})
		case "is_null":
			tests = append(tests, sextant.FieldIsNull{Want: s.bool()})
		}
		s.out()
	}
	switch {
	case s.err != nil:
		return nil
	case key.IsZero():
		s.fail("Filter condition 'key' must be a string")
		return nil
	case len(tests) == 0:
		s.violated("", "At least one field condition must be specified")
		return nil
	case len(tests) == 1:
		return sextant.Field{Key: key, Test: tests[0]}
	}
	either := &sextant.Filter{}
	for _, t := range tests {
		either.Should = append(either.Should, sextant.Field{Key: key, Test: t})
	}
	return either
}

var rangeFields = fieldSet{names: []string{"lt", "gt", "gte", "lte"}}

// rangeTest reads bounds that are all numbers or all datetimes.
func (s *scanner) rangeTest() sextant.FieldTest {
	var r sextant.Range
	var d sextant.DatetimeRange
	numbers, dates := false, false
	s.space()
	start := s.pos
	for name := range rangeFields.of(s) {
		if s.peek() == text {
			dates = true
			*bound(name, &d.Lt, &d.Gt, &d.Gte, &d.Lte) = new(s.datetime())
		} else {
			numbers = true
			*bound(name, &r.Lt, &r.Gt, &r.Gte, &r.Lte) = new(s.float64())
		}
	}
	if numbers && dates {
		s.failAt(start, "data did not match any variant of untagged enum RangeInterface")
	}
	if dates {
		return d
	}
	return r
}

// bound picks the bound that a key names.
func bound[T any](name string, lt, gt, gte, lte **T) **T {
	switch name {
	case "lt":
		return lt
	case "gt":
		return gt
	case "gte":
		return gte
	}
	return lte
}

func (s *scanner) datetime() int64 {
	at := s.pos
	t := s.str()
	micros, ok := document.ParseDatetime(t)
	if !ok && s.err == nil {
		s.failAt(at, "'%s' does not match accepted datetime format (RFC3339). Example: 2014-01-01T00:00:00Z", abbreviate(t))
	}
	return micros
}

func (s *scanner) valuesCount() (c sextant.ValuesCount) {
	for name := range rangeFields.of(s) {
		*bound(name, &c.Lt, &c.Gt, &c.Gte, &c.Lte) = new(s.uint64())
	}
	return c
}
