package search

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"
)

// generator draws points, updates and filters.
type generator struct{ *rand.Rand }

func (g generator) chance(percent int) bool { return g.IntN(100) < percent }

// of draws one.
func of[T any](g generator, list ...T) T { return list[g.IntN(len(list))] }

// list draws up to n.
func (g generator) list(n int, one func() any) []any {
	l := make([]any, g.IntN(n+1))
	for i := range l {
		l[i] = one()
	}
	return l
}

var (
	words    = []string{"a", "b", "c", "ab", "abc", "", "é", "B", "a b"}
	integers = []string{"0", "1", "2", "3", "5", "-1", "9007199254740991", "9007199254740992", "9007199254740993", "9223372036854775807",
		"-9223372036854775808", "-9223372036854775807"}
	numerals = append([]string{"5.0", "4.5", "-0.5", "1e3", "-0.0", "9007199254740993.0", "9223372036854775808", "18446744073709551615",
		"18446744073709551616", "1e300", "9223372036854775808.0", "2.5e-3"}, integers...)
	uuids = []string{"550e8400-e29b-41d4-a716-446655440000", "00000000-0000-0000-0000-000000000001", "ffffffff-ffff-ffff-ffff-ffffffffffff",
		"550e8400-e29b-41d4-a716-446655440001"}
	moments    = spellMoments()
	places     = []float64{0, 0.5, 1, -1, 2, -2, 45, -45, 90, -90}
	longitudes = append([]float64{180, -180, 179.5, -179.5, 135}, places...)
)

// spellMoments writes some moments in all the ways that are allowed, and notes what they mean.
func spellMoments() (all []string) {
	add := func(s string, at time.Time) {
		instants[s] = at.UnixMicro()
		all = append(all, s)
	}
	for _, at := range []time.Time{
		time.Date(2024, 5, 1, 12, 30, 0, 0, time.UTC), time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC), time.Date(1969, 12, 31, 23, 59, 59, 999999000, time.UTC),
		time.Date(2024, 2, 29, 23, 59, 59, 1000, time.UTC), time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC),
	} {
		east := at.In(time.FixedZone("", 2*3600))
		add(at.Format("2006-01-02T15:04:05.999999Z07:00"), at)
		add(at.Format("2006-01-02 15:04:05.999999 UTC"), at)
		add(at.Format("2006-01-02 15:04:05.000000"), at)
		if at.Year() < 9999 {
			add(east.Format("2006-01-02T15:04:05.999999-0700"), at)
			add(east.Format("2006-01-02 15:04:05.999999-07"), at)
		}
		if at.Second() == 0 {
			add(at.Format("2006-01-02T15:04"), at)
		}
		if at.Hour() == 0 {
			add(at.Format("2006-01-02"), at)
		}
	}
	return all
}

func (g generator) number() any  { return json.Number(of(g, numerals...)) }
func (g generator) integer() any { return json.Number(of(g, integers...)) }
func (g generator) word() any    { return of(g, words...) }
func (g generator) uuid() any    { return of(g, uuids...) }
func (g generator) moment() any  { return of(g, moments...) }

func (g generator) place() any {
	return object{"lon": json.Number(fmt.Sprint(of(g, longitudes...))), "lat": json.Number(fmt.Sprint(of(g, places...)))}
}

// odd draws a value that a field does not expect.
func (g generator) odd() any {
	switch g.IntN(9) {
	case 0:
		return nil
	case 1:
		return g.chance(50)
	case 2:
		return g.word()
	case 3:
		return g.number()
	case 4:
		return []any{}
	case 5:
		return object{}
	case 6:
		return []any{nil}
	case 7:
		return []any{[]any{g.word(), g.integer()}}
	}
	return object{"lon": g.word(), "lat": json.Number("91")}
}

// value draws what a field holds: mostly one of its own, or a list.
func (g generator) value(one func() any) any {
	switch n := g.IntN(10); {
	case n < 6:
		return one()
	case n < 8:
		return g.list(4, func() any {
			if g.chance(15) {
				return g.odd()
			}
			return one()
		})
	}
	return g.odd()
}

// fields are the keys of payloads with what they mostly hold.
var fields = map[string]func(generator) any{
	"k": generator.word, "n": generator.number, "i": generator.integer, "d": generator.moment, "g": generator.place, "u": generator.uuid,
	"b": func(g generator) any { return g.chance(50) },
}

func (g generator) payload() object {
	o := object{}
	for key, one := range fields {
		if g.chance(60) {
			o[key] = g.value(func() any { return one(g) })
		}
	}
	if g.chance(60) {
		o["o"] = g.value(func() any { return g.inner() })
	}
	if g.chance(60) {
		o["l"] = g.list(4, func() any {
			if g.chance(10) {
				return g.odd()
			}
			return g.inner()
		})
	}
	return o
}

func (g generator) inner() any {
	o := object{}
	if g.chance(80) {
		o["x"] = g.value(g.integer)
	}
	if g.chance(60) {
		o["y"] = g.value(g.word)
	}
	if g.chance(30) {
		o["l"] = g.list(3, func() any { return object{"x": g.integer()} })
	}
	return o
}

func (g generator) filter(depth int) object {
	f := object{}
	conditions := func() []any {
		l := g.list(3, func() any { return g.condition(depth) })
		if len(l) == 0 && g.chance(80) {
			l = append(l, g.condition(depth))
		}
		return l
	}
	for _, clause := range []string{"must", "should", "must_not"} {
		if g.chance(45) {
			f[clause] = conditions()
		}
	}
	if g.chance(15) {
		f["min_should"] = object{"conditions": conditions(), "min_count": json.Number(fmt.Sprint(1 + g.IntN(3)))}
	}
	return f
}

// inside draws paths below an element of l.
const inside = 100

func (g generator) condition(depth int) any {
	if depth < inside {
		switch g.IntN(14) {
		case 0:
			return object{"has_id": g.list(30, g.id)}
		case 1:
			return object{"has_vector": of(g, "a", "m", "s", "nope")}
		case 2:
			total := 1 + g.IntN(4)
			return object{"slice": object{"total": json.Number(fmt.Sprint(total)), "index": json.Number(fmt.Sprint(g.IntN(total)))}}
		case 3:
			return object{"nested": object{"key": of(g, "l", "l[]", "o.l", "o"), "filter": g.filter(inside + depth)}}
		}
	}
	if depth%inside < 2 && g.chance(15) {
		return g.filter(depth + 1)
	}
	var key string
	var one func() any
	if depth >= inside {
		key, one = of(g, "x", "y"), g.word
		if key == "x" {
			one = g.integer
		}
	} else {
		switch g.IntN(4) {
		case 0:
			key, one = of(g, "l[].x", "o.x", "l[0].x", "o.l[].x", "l[].l[].x", "l.x", "l[].x[]"), g.integer
		case 1:
			key, one = of(g, "l[].y", "o.y", "y"), g.word
		default:
			key = of(g, "k", "n", "i", "d", "g", "u", "b")
			one = func() any { return fields[key](g) }
		}
	}
	switch g.IntN(12) {
	case 0:
		return object{"is_empty": object{"key": key}}
	case 1:
		return object{"is_null": object{"key": key}}
	case 2:
		return object{"key": key, of(g, "is_empty", "is_null"): g.chance(50)}
	case 3:
		return object{"key": key, "values_count": g.bounds(func() any { return json.Number(fmt.Sprint(g.IntN(4))) })}
	}
	c := g.test(key, one)
	c["key"] = key
	return c
}

func (g generator) bounds(one func() any) object {
	o := object{}
	for _, op := range []string{"gt", "gte", "lt", "lte"} {
		if g.chance(40) {
			o[op] = one()
		}
	}
	return o
}

func (g generator) test(key string, one func() any) object {
	match := func(how string, v any) object { return object{"match": object{how: v}} }
	switch key {
	case "n":
		if g.chance(60) {
			return object{"range": g.bounds(g.number)}
		}
		one = g.integer
	case "d":
		if g.chance(75) {
			return object{"range": g.bounds(g.moment)}
		}
	case "b":
		return match("value", g.chance(50))
	case "g":
		switch g.IntN(3) {
		case 0:
			return object{"geo_radius": object{"center": g.place(), "radius": json.Number(of(g, "0", "1000", "200000.5", "5003000", "1e9"))}}
		case 1:
			return object{"geo_bounding_box": object{"top_left": g.place(), "bottom_right": g.place()}}
		}
		return object{"geo_polygon": object{"exterior": g.ring(), "interiors": g.list(2, g.ring)}}
	}
	if v, ok := one().(json.Number); ok {
		switch g.IntN(4) {
		case 0:
			return match("value", v)
		case 1:
			return object{"range": g.bounds(g.number)}
		case 2:
			return match("any", g.list(4, g.integer))
		}
		return match("except", g.list(4, g.integer))
	}
	switch g.IntN(8) {
	case 0, 1:
		return match("value", one())
	case 2, 3:
		return match("any", g.list(4, one))
	case 4:
		return match("except", g.list(4, one))
	}
	return match(of(g, "text", "text_any", "phrase", "prefix"), one())
}

func (g generator) ring() any {
	var points []any
	for range 3 + g.IntN(3) {
		points = append(points, g.place())
	}
	return object{"points": append(points, points[0])}
}

func (g generator) id() any {
	if g.chance(15) {
		return fmt.Sprintf("00000000-0000-0000-%04x-%012x", g.IntN(2), g.IntN(40))
	}
	if g.chance(3) {
		return json.Number("18446744073709551615")
	}
	return json.Number(fmt.Sprint(g.IntN(*maxID)))
}

func (g generator) dense(dim int) []any {
	v := make([]any, dim)
	for i := range v {
		v[i] = json.Number(fmt.Sprintf("%.3f", g.NormFloat64()))
	}
	return v
}

func (g generator) vectors() object {
	o := object{}
	if g.chance(90) {
		o["a"] = g.dense(denseDim)
	}
	if g.chance(40) {
		rows := []any{g.dense(2)}
		for range g.IntN(3) {
			rows = append(rows, g.dense(2))
		}
		o["m"] = rows
	}
	if g.chance(50) {
		o["s"] = g.sparse()
	}
	return o
}

func (g generator) sparse() any {
	indices, values := []any{}, []any{}
	for i := range 8 {
		if g.chance(30) {
			indices = append(indices, json.Number(fmt.Sprint(i*i*1000)))
			values = append(values, g.dense(1)[0])
		}
	}
	return object{"indices": indices, "values": values}
}

const denseDim = 8
