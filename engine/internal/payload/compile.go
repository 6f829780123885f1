package payload

import (
	"slices"
	"strings"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/document"
)

// compiler turns the conditions of a filter into nodes, each with what the indexes of src know about it.
type compiler struct {
	src    Source
	n      uint32
	nested []sextant.PathStep // the path of the elements that conditions speak of; nil: of whole payloads
	err    error
}

func (c *compiler) filter(f *sextant.Filter) node {
	if f.IsEmpty() {
		return c.constant(true)
	}
	kids := c.conditions(f.Must)
	if len(f.Should) > 0 {
		kids = append(kids, c.or(c.conditions(f.Should)))
	}
	for _, nd := range c.conditions(f.MustNot) {
		kids = append(kids, c.not(nd))
	}
	if f.MinShould != nil {
		kids = append(kids, c.atLeast(c.conditions(f.MinShould.Conditions), f.MinShould.MinCount))
	}
	return c.and(kids)
}

func (c *compiler) conditions(list []sextant.Condition) []node {
	nodes := make([]node, 0, len(list))
	for _, cond := range list {
		nodes = append(nodes, c.condition(cond))
	}
	return nodes
}

func (c *compiler) condition(cond sextant.Condition) node {
	switch cond := cond.(type) {
	case *sextant.Filter:
		return c.filter(cond)
	case sextant.Field:
		return c.field(cond)
	case sextant.IsEmpty:
		return c.leaf(node{op: opEmpty, path: cond.Key})
	case sextant.IsNull:
		return c.leaf(node{op: opNull, path: cond.Key})
	case sextant.Nested:
		return c.nestedIn(cond)
	}
	if c.nested != nil { // an element has no id and no vectors
		return c.constant(false)
	}
	switch cond := cond.(type) {
	case sextant.HasID:
		ids := slices.Clone(cond.IDs)
		slices.SortFunc(ids, sextant.PointID.Compare)
		ids = slices.Compact(ids)
		if len(ids) == 0 {
			return c.constant(false)
		}
		return c.byID(node{op: opID, ids: ids})
	case sextant.HasVector:
		return c.unknown(node{op: opVector, name: cond.Name})
	case sextant.Slice:
		if cond.Total == 0 {
			return c.fail("a slice of none")
		}
		nd := c.unknown(node{op: opSlice, slice: cond})
		nd.est.exp = float64(c.n) / float64(cond.Total)
		return nd
	}
	return c.fail("unknown condition")
}

func (c *compiler) fail(why string) node {
	if c.err == nil {
		c.err = sextant.Errorf(sextant.BadRequest, "The filter has %s", why)
	}
	return node{op: opFalse}
}

func (c *compiler) field(f sextant.Field) node {
	nd := node{op: opValue, path: f.Key}
	index := c.index(f.Key)
	byUUID := index != nil && index.Spec().Type == sextant.UUIDField
	switch t := f.Test.(type) {
	case sextant.Match:
		nd.test = &test{kind: in}
		switch v := t.Value.(type) {
		case string:
			nd.test.set = newSet([]string{v}, nil, byUUID)
		case int64:
			nd.test.set = newSet(nil, []int64{v}, byUUID)
		case bool:
			nd.test.kind, nd.test.truth = isBool, v
		default:
			return c.fail("a match value that is no string, integer or bool")
		}
	case sextant.MatchAny:
		if len(t.Strings)+len(t.Ints) == 0 {
			return c.constant(false)
		}
		nd.test = &test{kind: in, set: newSet(t.Strings, t.Ints, byUUID)}
	case sextant.MatchExcept:
		nd.test = &test{kind: notIn, set: newSet(t.Strings, t.Ints, byUUID)}
	case sextant.MatchText:
		return c.text(nd, t, index)
	case sextant.MatchPrefix:
		quoted := document.AppendString(nil, t.Prefix)
		nd.test = &test{kind: hasPrefix, prefix: t.Prefix, quoted: quoted[:len(quoted)-1]}
	case sextant.Range:
		nd.test = &test{kind: inRange, rng: t}
	case sextant.DatetimeRange:
		nd.test = &test{kind: inDates, dates: t}
	case sextant.GeoRadius:
		nd.test = &test{kind: inArea, area: circleArea(t)}
	case sextant.GeoBox:
		nd.test = &test{kind: inArea, area: boxArea(t)}
	case sextant.GeoPolygon:
		nd.test = &test{kind: inArea, area: polygonArea(t)}
	case sextant.ValuesCount:
		nd.op, nd.counts = opCount, t
	case sextant.FieldIsEmpty:
		return c.wanted(t.Want, c.leaf(node{op: opEmpty, path: f.Key}))
	case sextant.FieldIsNull:
		return c.wanted(t.Want, c.leaf(node{op: opNull, path: f.Key}))
	default:
		return c.fail("a field condition without test")
	}
	return c.leaf(nd)
}

func (c *compiler) wanted(want bool, nd node) node {
	if want {
		return nd
	}
	return c.not(nd)
}

// text compiles a full-text test: on tokens if the field has a text index, else on substrings.
func (c *compiler) text(nd node, t sextant.MatchText, index FieldIndex) node {
	if index != nil && index.Spec().Type == sextant.TextField {
		nd.op, nd.words = opWords, newWordsTest(t, index.analyzerOf())
		spec := index.Spec().Text
		if len(nd.words.tokens) == 0 || t.Mode == sextant.TextPhrase && (spec == nil || !spec.Phrase) {
			return c.constant(false)
		}
		return c.leaf(nd)
	}
	nd.test = &test{kind: contains, pieces: [][]byte{[]byte(t.Text)}}
	if t.Mode == sextant.TextAny {
		nd.test.pieces = nil
		for _, piece := range strings.Fields(t.Text) {
			nd.test.pieces = append(nd.test.pieces, []byte(piece))
		}
		if len(nd.test.pieces) == 0 {
			return c.constant(false)
		}
	}
	return c.leaf(nd)
}

// nestedIn compiles a condition on the elements of an array. What indexes know about fields of elements tells at most
// that a row may match: another element may have had the value.
func (c *compiler) nestedIn(cond sextant.Nested) node {
	steps := slices.Clone(cond.Key.Steps)
	if len(steps) == 0 {
		return c.fail("a nested condition without key")
	}
	if steps[len(steps)-1].Kind != sextant.AllStep {
		steps = append(steps, sextant.PathStep{Kind: sextant.AllStep})
	}
	outer := c.nested
	c.nested = append(slices.Clone(outer), steps...)
	inner := c.filter(cond.Filter)
	c.nested = outer
	nd := c.unknown(node{op: opNested, path: sextant.Path{Steps: steps}, kids: []node{inner}})
	if p := widest(&nd.kids[0]); p != nil && outer == nil {
		nd.adopt(p.asMaybe(), c.n)
	}
	return nd
}

// widest returns the probe of a condition that an element must meet, the one with the fewest rows; nil if there is none.
func widest(nd *node) *probe {
	switch nd.op {
	case opValue, opWords:
		return nd.probe
	case opNested:
		return widest(&nd.kids[0])
	case opAnd:
		var best *probe
		for i := range nd.kids {
			if p := widest(&nd.kids[i]); p != nil && (best == nil || p.est.max < best.est.max) {
				best = p
			}
		}
		return best
	}
	return nil
}

// index returns the index on a path, which within a nested condition is relative to the element.
func (c *compiler) index(key sextant.Path) FieldIndex {
	if c.nested != nil {
		key = sextant.Path{Steps: append(slices.Clone(c.nested), key.Steps...)}
	}
	return c.src.Field(key.String())
}

// leaf completes a node that looks at one path.
func (c *compiler) leaf(nd node) node {
	if len(nd.path.Steps) == 0 {
		return c.fail("a condition without key")
	}
	nd.single = !slices.ContainsFunc(nd.path.Steps, func(s sextant.PathStep) bool { return s.Kind == sextant.AllStep })
	nd = c.unknown(nd)
	if index := c.index(nd.path); index != nil {
		if p, ok := index.probe(&nd, c.n); ok {
			nd.adopt(p, c.n)
		}
	}
	return nd
}
