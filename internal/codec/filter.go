package codec

import (
	"encoding/binary"

	"github.com/sextantdb/sextant"
)

// AppendFilter appends the binary form of f, which must not be nil.
func AppendFilter(dst []byte, f *sextant.Filter) []byte { return appendFilter(append(dst, version), f) }

// Filter decodes what AppendFilter wrote.
func Filter(in []byte) (*sextant.Filter, error) {
	r := &reader{in: in}
	if v := r.byte(); v != version && r.err == nil {
		return nil, sextant.Errorf(sextant.Corrupt, "filter of unknown format version %d", v)
	}
	f := r.filter(0)
	if r.err == nil && r.pos != len(in) {
		r.fail("trailing bytes")
	}
	if r.err != nil {
		return nil, r.err
	}
	return f, nil
}

type condition byte

const (
	condFilter condition = 1 + iota
	condIsEmpty
	condIsNull
	condHasID
	condHasVector
	condSlice
	condNested
	condMatchString
	condMatchInt
	condMatchBool
	condMatchAny
	condMatchExcept
	condMatchText
	condMatchPrefix
	condRange
	condDatetimeRange
	condValuesCount
	condGeoRadius
	condGeoBox
	condGeoPolygon
	condFieldIsEmpty
	condFieldIsNull
)

func appendOptionalFilter(dst []byte, f *sextant.Filter) []byte {
	if f == nil {
		return append(dst, 0)
	}
	return appendFilter(append(dst, 1), f)
}

func appendFilter(dst []byte, f *sextant.Filter) []byte {
	dst = appendConditions(dst, f.Must)
	dst = appendConditions(dst, f.Should)
	dst = appendConditions(dst, f.MustNot)
	if f.MinShould == nil {
		return append(dst, 0)
	}
	return appendUvarint(appendConditions(append(dst, 1), f.MinShould.Conditions), f.MinShould.MinCount)
}

func appendConditions(dst []byte, list []sextant.Condition) []byte {
	dst = appendUvarint(dst, len(list))
	for _, c := range list {
		dst = appendCondition(dst, c)
	}
	return dst
}

func appendCondition(dst []byte, c sextant.Condition) []byte {
	switch c := c.(type) {
	case *sextant.Filter:
		return appendFilter(append(dst, byte(condFilter)), c)
	case sextant.IsEmpty:
		return appendPath(append(dst, byte(condIsEmpty)), c.Key)
	case sextant.IsNull:
		return appendPath(append(dst, byte(condIsNull)), c.Key)
	case sextant.HasID:
		return appendIDs(append(dst, byte(condHasID)), c.IDs)
	case sextant.HasVector:
		return appendBytes(append(dst, byte(condHasVector)), c.Name)
	case sextant.Slice:
		return binary.AppendUvarint(binary.AppendUvarint(append(dst, byte(condSlice)), c.Total), c.Index)
	case sextant.Nested:
		return appendFilter(appendPath(append(dst, byte(condNested)), c.Key), c.Filter)
	case sextant.Field:
		return appendTest(dst, c.Key, c.Test)
	}
	panic("codec: unknown condition")
}

func appendTest(dst []byte, key sextant.Path, test sextant.FieldTest) []byte {
	head := func(k condition) []byte { return appendPath(append(dst, byte(k)), key) }
	switch t := test.(type) {
	case sextant.Match:
		switch v := t.Value.(type) {
		case string:
			return appendBytes(head(condMatchString), v)
		case int64:
			return binary.AppendVarint(head(condMatchInt), v)
		case bool:
			return appendBool(head(condMatchBool), v)
		}
	case sextant.MatchAny:
		return appendList(head(condMatchAny), t)
	case sextant.MatchExcept:
		return appendList(head(condMatchExcept), sextant.MatchAny(t))
	case sextant.MatchText:
		return appendBytes(append(head(condMatchText), byte(t.Mode)), t.Text)
	case sextant.MatchPrefix:
		return appendBytes(head(condMatchPrefix), t.Prefix)
	case sextant.Range:
		return appendBounds(head(condRange), [4]*float64{t.Gt, t.Gte, t.Lt, t.Lte}, appendFloat64)
	case sextant.DatetimeRange:
		return appendBounds(head(condDatetimeRange), [4]*int64{t.Gt, t.Gte, t.Lt, t.Lte}, binary.AppendVarint)
	case sextant.ValuesCount:
		return appendBounds(head(condValuesCount), [4]*uint64{t.Gt, t.Gte, t.Lt, t.Lte}, binary.AppendUvarint)
	case sextant.GeoRadius:
		return appendFloat64(appendGeo(head(condGeoRadius), t.Center), t.Radius)
	case sextant.GeoBox:
		return appendGeo(appendGeo(head(condGeoBox), t.TopLeft), t.BottomRight)
	case sextant.GeoPolygon:
		dst = appendRing(head(condGeoPolygon), t.Exterior)
		dst = appendUvarint(dst, len(t.Interiors))
		for _, ring := range t.Interiors {
			dst = appendRing(dst, ring)
		}
		return dst
	case sextant.FieldIsEmpty:
		return appendBool(head(condFieldIsEmpty), t.Want)
	case sextant.FieldIsNull:
		return appendBool(head(condFieldIsNull), t.Want)
	}
	panic("codec: unknown field test")
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func appendList(dst []byte, l sextant.MatchAny) []byte {
	dst = appendUvarint(appendStrings(dst, l.Strings), len(l.Ints))
	for _, n := range l.Ints {
		dst = binary.AppendVarint(dst, n)
	}
	return dst
}

// appendBounds writes a mask of the bounds that are set, then those.
func appendBounds[T any](dst []byte, bounds [4]*T, one func([]byte, T) []byte) []byte {
	at := len(dst)
	dst = append(dst, 0)
	for i, b := range bounds {
		if b != nil {
			dst[at] |= 1 << i
			dst = one(dst, *b)
		}
	}
	return dst
}

func appendGeo(dst []byte, p sextant.GeoPoint) []byte {
	return appendFloat64(appendFloat64(dst, p.Lon), p.Lat)
}

func appendRing(dst []byte, ring []sextant.GeoPoint) []byte {
	dst = appendUvarint(dst, len(ring))
	for _, p := range ring {
		dst = appendGeo(dst, p)
	}
	return dst
}

func (r *reader) optionalFilter() *sextant.Filter {
	switch r.byte() {
	case 0:
		return nil
	case 1:
		return r.filter(0)
	}
	r.fail("bad filter mark")
	return nil
}

func (r *reader) filter(depth int) *sextant.Filter {
	if depth > maxDepth {
		r.fail("filter nested too deeply")
		return nil
	}
	f := &sextant.Filter{Must: r.conditions(depth), Should: r.conditions(depth), MustNot: r.conditions(depth)}
	if r.byte() == 1 {
		f.MinShould = &sextant.MinShould{Conditions: r.conditions(depth), MinCount: int(r.uvarint() & (1<<31 - 1))}
	}
	return f
}

func (r *reader) conditions(depth int) []sextant.Condition {
	n := r.count(2)
	if n == 0 {
		return nil
	}
	list := make([]sextant.Condition, 0, n)
	for range n {
		c := r.condition(depth)
		if r.err != nil {
			return nil
		}
		list = append(list, c)
	}
	return list
}

func (r *reader) condition(depth int) sextant.Condition {
	k := condition(r.byte())
	switch k {
	case condFilter:
		return r.filter(depth + 1)
	case condIsEmpty:
		return sextant.IsEmpty{Key: r.path()}
	case condIsNull:
		return sextant.IsNull{Key: r.path()}
	case condHasID:
		return sextant.HasID{IDs: r.ids()}
	case condHasVector:
		return sextant.HasVector{Name: r.string()}
	case condSlice:
		return sextant.Slice{Total: r.uvarint(), Index: r.uvarint()}
	case condNested:
		return sextant.Nested{Key: r.path(), Filter: r.filter(depth + 1)}
	}
	key := r.path()
	return sextant.Field{Key: key, Test: r.test(k)}
}

func (r *reader) test(k condition) sextant.FieldTest {
	switch k {
	case condMatchString:
		return sextant.Match{Value: r.string()}
	case condMatchInt:
		return sextant.Match{Value: r.varint()}
	case condMatchBool:
		return sextant.Match{Value: r.byte() == 1}
	case condMatchAny:
		return r.list()
	case condMatchExcept:
		return sextant.MatchExcept(r.list())
	case condMatchText:
		mode := sextant.TextMode(r.byte())
		return sextant.MatchText{Mode: mode, Text: r.string()}
	case condMatchPrefix:
		return sextant.MatchPrefix{Prefix: r.string()}
	case condRange:
		b := readBounds(r, r.float64)
		return sextant.Range{Gt: b[0], Gte: b[1], Lt: b[2], Lte: b[3]}
	case condDatetimeRange:
		b := readBounds(r, r.varint)
		return sextant.DatetimeRange{Gt: b[0], Gte: b[1], Lt: b[2], Lte: b[3]}
	case condValuesCount:
		b := readBounds(r, r.uvarint)
		return sextant.ValuesCount{Gt: b[0], Gte: b[1], Lt: b[2], Lte: b[3]}
	case condGeoRadius:
		return sextant.GeoRadius{Center: r.geo(), Radius: r.float64()}
	case condGeoBox:
		return sextant.GeoBox{TopLeft: r.geo(), BottomRight: r.geo()}
	case condGeoPolygon:
		g := sextant.GeoPolygon{Exterior: r.ring()}
		if n := r.count(1); n > 0 {
			g.Interiors = make([][]sextant.GeoPoint, n)
		}
		for i := range g.Interiors {
			g.Interiors[i] = r.ring()
		}
		return g
	case condFieldIsEmpty:
		return sextant.FieldIsEmpty{Want: r.byte() == 1}
	case condFieldIsNull:
		return sextant.FieldIsNull{Want: r.byte() == 1}
	}
	r.fail("unknown condition")
	return nil
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.in[r.pos:])
	if n <= 0 {
		r.fail("bad number")
		return 0
	}
	r.pos += n
	return v
}

func (r *reader) list() sextant.MatchAny {
	l := sextant.MatchAny{Strings: r.strings()}
	if n := r.count(1); n > 0 {
		l.Ints = make([]int64, n)
	}
	for i := range l.Ints {
		l.Ints[i] = r.varint()
	}
	return l
}

func readBounds[T any](r *reader, one func() T) (bounds [4]*T) {
	mask := r.byte()
	for i := range bounds {
		if mask&(1<<i) != 0 {
			v := one()
			bounds[i] = &v
		}
	}
	return bounds
}

func (r *reader) geo() sextant.GeoPoint { return sextant.GeoPoint{Lon: r.float64(), Lat: r.float64()} }

func (r *reader) ring() []sextant.GeoPoint {
	ring := make([]sextant.GeoPoint, r.count(16))
	for i := range ring {
		ring[i] = r.geo()
	}
	return ring
}
