package payload

import (
	"bytes"
	"encoding/json"
	"math"
	"math/big"
	"slices"
	"strings"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/document"
	"github.com/sextantdb/sextant/internal/text"
)

// oracle is the specification of filters written down naively, on decoded payloads.
type oracle struct {
	src   *memory
	row   uint32
	under []sextant.PathStep // of a nested element: its path
	uuids bool
}

func decode(p sextant.Payload) any {
	if len(p) == 0 {
		p = sextant.Payload("{}")
	}
	d := json.NewDecoder(bytes.NewReader(p))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		panic(err)
	}
	return v
}

func (o oracle) filter(f *sextant.Filter, doc any) bool {
	if f == nil {
		return true
	}
	for _, c := range f.Must {
		if !o.cond(c, doc) {
			return false
		}
	}
	for _, c := range f.MustNot {
		if o.cond(c, doc) {
			return false
		}
	}
	count := func(list []sextant.Condition) (n int) {
		for _, c := range list {
			if o.cond(c, doc) {
				n++
			}
		}
		return n
	}
	return (len(f.Should) == 0 || count(f.Should) > 0) &&
		(f.MinShould == nil || count(f.MinShould.Conditions) >= f.MinShould.MinCount)
}

func (o oracle) cond(c sextant.Condition, doc any) bool {
	switch c := c.(type) {
	case *sextant.Filter:
		return o.filter(c, doc)
	case sextant.Field:
		return o.field(c, doc)
	case sextant.IsEmpty:
		return isEmptyField(at(doc, c.Key.Steps))
	case sextant.IsNull:
		return isNullField(at(doc, c.Key.Steps))
	case sextant.HasID:
		return o.under == nil && slices.Contains(c.IDs, o.src.ID(o.row))
	case sextant.HasVector:
		return o.under == nil && o.src.HasVector(o.row, c.Name)
	case sextant.Slice:
		return o.under == nil && sliceOf(o.src.ID(o.row), c.Total) == c.Index
	case sextant.Nested:
		steps := append(slices.Clone(c.Key.Steps), sextant.PathStep{Kind: sextant.AllStep})
		inner := o
		inner.under = append(slices.Clone(o.under), steps...)
		for _, e := range at(doc, steps) {
			if _, ok := e.(map[string]any); ok && inner.filter(c.Filter, e) {
				return true
			}
		}
		return false
	}
	panic("unknown condition")
}

func at(v any, steps []sextant.PathStep) []any {
	if len(steps) == 0 {
		return []any{v}
	}
	var out []any
	switch step := steps[0]; step.Kind {
	case sextant.KeyStep:
		if m, ok := v.(map[string]any); ok {
			if e, ok := m[step.Key]; ok {
				return at(e, steps[1:])
			}
		}
	case sextant.IndexStep:
		if a, ok := v.([]any); ok && step.Index < len(a) {
			return at(a[step.Index], steps[1:])
		}
	case sextant.AllStep:
		a, _ := v.([]any)
		for _, e := range a {
			out = append(out, at(e, steps[1:])...)
		}
	}
	return out
}

func isEmptyField(values []any) bool {
	for _, v := range values {
		if a, ok := v.([]any); v != nil && (!ok || len(a) > 0) {
			return false
		}
	}
	return true
}

func isNullField(values []any) bool {
	for _, v := range values {
		if a, ok := v.([]any); v == nil || ok && slices.Contains(nilness(a), true) {
			return true
		}
	}
	return false
}

func nilness(a []any) (out []bool) {
	for _, e := range a {
		out = append(out, e == nil)
	}
	return out
}

func (o oracle) field(c sextant.Field, doc any) bool {
	values := at(doc, c.Key.Steps)
	switch t := c.Test.(type) {
	case sextant.FieldIsEmpty:
		return isEmptyField(values) == t.Want
	case sextant.FieldIsNull:
		return isNullField(values) == t.Want
	case sextant.ValuesCount:
		counts := []uint64{}
		for _, v := range values {
			switch v := v.(type) {
			case nil:
				counts = append(counts, 0)
			case []any:
				counts = append(counts, uint64(len(v)))
			default:
				counts = append(counts, 1)
			}
		}
		if len(counts) == 0 {
			counts = []uint64{0}
		}
		for _, n := range counts {
			if (t.Gt == nil || n > *t.Gt) && (t.Gte == nil || n >= *t.Gte) && (t.Lt == nil || n < *t.Lt) && (t.Lte == nil || n <= *t.Lte) {
				return true
			}
		}
		return false
	}
	var looked []any
	for _, v := range values {
		if a, ok := v.([]any); ok {
			looked = append(looked, a...)
		} else {
			looked = append(looked, v)
		}
	}
	full := sextant.Path{Steps: append(slices.Clone(o.under), c.Key.Steps...)}
	index := o.src.Field(full.String())
	if t, ok := c.Test.(sextant.MatchText); ok && index != nil && index.Spec().Type == sextant.TextField {
		return textMatch(t, *index.Spec().Text, looked)
	}
	o.uuids = index != nil && index.Spec().Type == sextant.UUIDField
	for _, v := range looked {
		if o.value(c.Test, v) {
			return true
		}
	}
	return false
}

func (o oracle) value(test sextant.FieldTest, v any) bool {
	s, isString := v.(string)
	switch t := test.(type) {
	case sextant.Match:
		if i, ok := t.Value.(int64); ok {
			return sameInt(v, i)
		}
		if b, ok := t.Value.(bool); ok {
			return v == b
		}
		return isString && o.sameString(s, t.Value.(string))
	case sextant.MatchAny:
		for _, x := range t.Strings {
			if isString && o.sameString(s, x) {
				return true
			}
		}
		for _, x := range t.Ints {
			if sameInt(v, x) {
				return true
			}
		}
		return false
	case sextant.MatchExcept:
		return v != nil && !o.value(sextant.MatchAny(t), v)
	case sextant.MatchPrefix:
		return isString && strings.HasPrefix(s, t.Prefix)
	case sextant.MatchText:
		if t.Mode == sextant.TextAny {
			for _, piece := range strings.Fields(t.Text) {
				if isString && strings.Contains(s, piece) {
					return true
				}
			}
			return false
		}
		return isString && strings.Contains(s, t.Text)
	case sextant.Range:
		n, ok := v.(json.Number)
		if !ok {
			return false
		}
		f, _ := n.Float64()
		return (t.Gt == nil || f > *t.Gt) && (t.Gte == nil || f >= *t.Gte) && (t.Lt == nil || f < *t.Lt) && (t.Lte == nil || f <= *t.Lte)
	case sextant.DatetimeRange:
		d, ok := document.ParseDatetime(s)
		return isString && ok && (t.Gt == nil || d > *t.Gt) && (t.Gte == nil || d >= *t.Gte) && (t.Lt == nil || d < *t.Lt) && (t.Lte == nil || d <= *t.Lte)
	case sextant.GeoRadius:
		p, ok := geo(v)
		return ok && haversine(t.Center, p) < t.Radius
	case sextant.GeoBox:
		p, ok := geo(v)
		if !ok || p.Lat <= t.BottomRight.Lat || p.Lat >= t.TopLeft.Lat {
			return false
		}
		east, west := p.Lon > t.TopLeft.Lon, p.Lon < t.BottomRight.Lon
		return east && west || t.TopLeft.Lon > t.BottomRight.Lon && (east || west)
	case sextant.GeoPolygon:
		p, ok := geo(v)
		if !ok {
			return false
		}
		in, edge := inRing(t.Exterior, p)
		for _, ring := range t.Interiors {
			hole, rim := inRing(ring, p)
			in = in && !hole && !rim
		}
		return in && !edge
	}
	panic("unknown test")
}

func (o oracle) sameString(v, x string) bool {
	if o.uuids {
		a, ok1 := sextant.ParseUUID(v)
		b, ok2 := sextant.ParseUUID(x)
		if ok1 && ok2 {
			return a == b
		}
	}
	return v == x
}

func sameInt(v any, i int64) bool {
	n, ok := v.(json.Number)
	if !ok {
		return false
	}
	if !strings.ContainsAny(string(n), ".eE") {
		b, _ := new(big.Int).SetString(string(n), 10)
		return b.IsInt64() && b.Int64() == i
	}
	f, _ := n.Float64()
	return f == math.Trunc(f) && new(big.Float).SetFloat64(f).Cmp(new(big.Float).SetInt64(i)) == 0
}

func geo(v any) (p sextant.GeoPoint, ok bool) {
	m, _ := v.(map[string]any)
	lon, ok1 := m["lon"].(json.Number)
	lat, ok2 := m["lat"].(json.Number)
	p.Lon, _ = lon.Float64()
	p.Lat, _ = lat.Float64()
	return p, ok1 && ok2 && math.Abs(p.Lon) <= 180 && math.Abs(p.Lat) <= 90
}

func textMatch(t sextant.MatchText, spec sextant.TextSpec, looked []any) bool {
	a, err := text.New(spec)
	if err != nil {
		panic(err)
	}
	query := a.Query(t.Text)
	if len(query) == 0 {
		return false
	}
	seen := map[string]bool{}
	phrase := false
	for _, v := range looked {
		s, ok := v.(string)
		if !ok {
			continue
		}
		places := map[string]map[int]bool{}
		a.Document(s, func(token string, position int) {
			seen[token] = true
			if places[token] == nil {
				places[token] = map[int]bool{}
			}
			places[token][position] = true
		})
		for start := range places[query[0]] {
			all := true
			for i, q := range query {
				all = all && places[q][start+i]
			}
			phrase = phrase || all
		}
	}
	hits := 0
	for _, q := range query {
		if seen[q] {
			hits++
		}
	}
	switch t.Mode {
	case sextant.TextAll:
		return hits == len(query)
	case sextant.TextAny:
		return hits > 0
	}
	return spec.Phrase && phrase
}
