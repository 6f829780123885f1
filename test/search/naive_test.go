package search

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"math/big"
	"math/bits"
	"strings"
)

// The naive evaluator says what a filter means, one payload after the other, straight from its JSON. It knows no index,
// no segment, and shares no code with the server.

// object is a JSON object.
type object = map[string]any

// model is what a point should be.
type model struct {
	id      any // json.Number or a UUID
	payload object
	vectors map[string]any // [][]float32 or sparse
}

// instants tells what moment a text stands for; any other text is no moment.
var instants = map[string]int64{}

// matches evaluates a filter on a point.
func (p *model) matches(f object) bool { return evaluate(f, p.payload, p) }

// evaluate takes paths from doc. Without a point, as inside of nested, nothing is known of its id and vectors.
func evaluate(f object, doc any, p *model) bool {
	for clause, value := range f {
		var list []any
		least := 0
		switch v := value.(type) {
		case []any:
			list = v
		case object:
			if clause == "min_should" {
				list, least = v["conditions"].([]any), int(integer(v["min_count"]))
			} else {
				list = []any{v}
			}
		}
		passed := 0
		for _, c := range list {
			if condition(c.(object), doc, p) {
				passed++
			}
		}
		switch clause {
		case "must":
			if passed < len(list) {
				return false
			}
		case "must_not":
			if passed > 0 {
				return false
			}
		case "should":
			if len(list) > 0 && passed == 0 {
				return false
			}
		case "min_should":
			if passed < least {
				return false
			}
		}
	}
	return true
}

func condition(c object, doc any, p *model) bool {
	if ids, ok := c["has_id"]; ok {
		for _, id := range ids.([]any) {
			if p != nil && id == p.id {
				return true
			}
		}
		return false
	}
	if name, ok := c["has_vector"]; ok {
		return p != nil && p.vectors[name.(string)] != nil
	}
	if s, ok := c["slice"]; ok {
		s := s.(object)
		return p != nil && slot(p.id)%uint64(integer(s["total"])) == uint64(integer(s["index"]))
	}
	if n, ok := c["nested"]; ok {
		n := n.(object)
		for _, v := range walk(doc, strings.TrimSuffix(n["key"].(string), "[]")+"[]") {
			if o, ok := v.(object); ok && evaluate(n["filter"].(object), o, nil) {
				return true
			}
		}
		return false
	}
	if e, ok := c["is_empty"].(object); ok {
		return isEmpty(walk(doc, e["key"].(string)))
	}
	if e, ok := c["is_null"].(object); ok {
		return hasNull(walk(doc, e["key"].(string)))
	}
	key, ok := c["key"].(string)
	if !ok {
		return evaluate(c, doc, p)
	}
	values := walk(doc, key)
	if want, ok := c["is_empty"]; ok {
		return isEmpty(values) == want.(bool)
	}
	if want, ok := c["is_null"]; ok {
		return hasNull(values) == want.(bool)
	}
	if r, ok := c["values_count"]; ok {
		if len(values) == 0 {
			return within(0, r.(object))
		}
		for _, v := range values {
			n := 1.0
			if l, ok := v.([]any); ok {
				n = float64(len(l))
			} else if v == nil {
				n = 0
			}
			if within(n, r.(object)) {
				return true
			}
		}
		return false
	}
	for _, v := range values {
		looked := []any{v}
		if l, ok := v.([]any); ok {
			looked = l
		}
		for _, v := range looked {
			if test(c, v) {
				return true
			}
		}
	}
	return false
}

func isEmpty(values []any) bool {
	for _, v := range values {
		if l, ok := v.([]any); v != nil && (!ok || len(l) > 0) {
			return false
		}
	}
	return true
}

func hasNull(values []any) bool {
	for _, v := range values {
		if v == nil {
			return true
		}
		if l, ok := v.([]any); ok {
			for _, e := range l {
				if e == nil {
					return true
				}
			}
		}
	}
	return false
}

// walk reads a path without quotes.
func walk(doc any, path string) []any {
	values := []any{doc}
	for _, key := range strings.Split(strings.ReplaceAll(path, "[", ".["), ".") {
		var next []any
		for _, v := range values {
			switch {
			case key == "[]":
				if l, ok := v.([]any); ok {
					next = append(next, l...)
				}
			case key[0] == '[':
				n := int(integer(json.Number(key[1 : len(key)-1])))
				if l, ok := v.([]any); ok && n < len(l) {
					next = append(next, l[n])
				}
			default:
				if o, ok := v.(object); ok {
					if e, ok := o[key]; ok {
						next = append(next, e)
					}
				}
			}
		}
		values = next
	}
	return values
}

func test(c object, v any) bool {
	if m, ok := c["match"].(object); ok {
		s, isText := v.(string)
		for how, arg := range m {
			switch how {
			case "value":
				return equal(v, arg)
			case "any", "except":
				in := false
				for _, a := range arg.([]any) {
					in = in || equal(v, a)
				}
				return in == (how == "any") && v != nil
			case "text", "phrase":
				return isText && strings.Contains(s, arg.(string))
			case "text_any":
				for _, word := range strings.Fields(arg.(string)) {
					if isText && strings.Contains(s, word) {
						return true
					}
				}
				return false
			case "prefix":
				return isText && strings.HasPrefix(s, arg.(string))
			}
		}
	}
	if r, ok := c["range"].(object); ok {
		for _, bound := range r {
			if _, ok := bound.(string); ok {
				s, _ := v.(string)
				micros, ok := instants[s]
				return ok && between(r, func(bound any) int { return compare(micros, instants[bound.(string)]) })
			}
		}
		n, ok := v.(json.Number)
		return ok && within(float(n), r)
	}
	o, ok := v.(object)
	if !ok {
		return false
	}
	lon, isLon := o["lon"].(json.Number)
	lat, isLat := o["lat"].(json.Number)
	if !isLon || !isLat || math.Abs(float(lon)) > 180 || math.Abs(float(lat)) > 90 {
		return false
	}
	return inPlace(c, float(lon), float(lat))
}

func inPlace(c object, lon, lat float64) bool {
	if g, ok := c["geo_radius"].(object); ok {
		x, y := place(g["center"])
		return distance(lon, lat, x, y) < float(g["radius"])
	}
	if g, ok := c["geo_bounding_box"].(object); ok {
		west, north := place(g["top_left"])
		east, south := place(g["bottom_right"])
		if !(south < lat && lat < north) {
			return false
		}
		if west > east {
			return lon > west || lon < east
		}
		return west < lon && lon < east
	}
	g := c["geo_polygon"].(object)
	in := inRing(g["exterior"], lon, lat) > 0
	for _, hole := range g["interiors"].([]any) {
		in = in && inRing(hole, lon, lat) < 0
	}
	return in
}

func place(v any) (lon, lat float64) { return float(v.(object)["lon"]), float(v.(object)["lat"]) }

func distance(lon1, lat1, lon2, lat2 float64) float64 {
	rad := math.Pi / 180
	a, b := math.Sin((lat2-lat1)*rad/2), math.Sin((lon2-lon1)*rad/2)
	return 2 * 6371008.8 * math.Asin(math.Sqrt(math.Min(1, a*a+math.Cos(lat1*rad)*math.Cos(lat2*rad)*b*b)))
}

// inRing is 1 inside, 0 on the edge, -1 outside. Coordinates of the tests are small fractions of two, so this is exact.
func inRing(ring any, x, y float64) int {
	points := ring.(object)["points"].([]any)
	in := -1
	for i := 1; i < len(points); i++ {
		x1, y1 := place(points[i-1])
		x2, y2 := place(points[i])
		cross := (x2-x1)*(y-y1) - (y2-y1)*(x-x1)
		if cross == 0 && math.Min(x1, x2) <= x && x <= math.Max(x1, x2) && math.Min(y1, y2) <= y && y <= math.Max(y1, y2) {
			return 0
		}
		if (y1 > y) != (y2 > y) && (cross > 0) == (y2 > y1) {
			in = -in
		}
	}
	return in
}

// equal compares a payload value with one of a match. Numbers are equal if they are the same integer.
func equal(v, arg any) bool {
	n, ok := v.(json.Number)
	want, wantNumber := arg.(json.Number)
	if !ok || !wantNumber {
		return !ok && !wantNumber && comparable(v) && v == arg
	}
	stored, ok := new(big.Int).SetString(string(n), 10)
	if !ok || stored.BitLen() > 64 {
		f, err := n.Float64()
		if err != nil || f != math.Trunc(f) {
			return false
		}
		stored, _ = big.NewFloat(f).Int(nil)
	}
	return stored.String() == string(want)
}

func comparable(v any) bool {
	switch v.(type) {
	case string, bool:
		return true
	}
	return false
}

func within(n float64, r object) bool {
	return between(r, func(bound any) int { return compare(n, float(bound)) })
}

func between(r object, cmp func(bound any) int) bool {
	for op, bound := range r {
		if bound == nil {
			continue
		}
		d := cmp(bound)
		if op == "gt" && d <= 0 || op == "gte" && d < 0 || op == "lt" && d >= 0 || op == "lte" && d > 0 {
			return false
		}
	}
	return true
}

func compare[T int64 | float64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func float(v any) float64 {
	f, err := v.(json.Number).Float64()
	if err != nil {
		panic(err)
	}
	return f
}

func integer(v any) int64 {
	n, err := v.(json.Number).Int64()
	if err != nil {
		panic(err)
	}
	return n
}

// slot is the hash of an id that slices are made by: SipHash-2-4 with key 0.
func slot(id any) uint64 {
	var b []byte
	if n, ok := id.(json.Number); ok {
		v, _ := new(big.Int).SetString(string(n), 10)
		b = binary.LittleEndian.AppendUint64(nil, v.Uint64())
	} else {
		v, _ := new(big.Int).SetString(strings.ReplaceAll(id.(string), "-", ""), 16)
		b = v.FillBytes(make([]byte, 16))
	}
	v := [4]uint64{0x736f6d6570736575, 0x646f72616e646f6d, 0x6c7967656e657261, 0x7465646279746573}
	round := func(n int) {
		for range n {
			v[0] += v[1]
			v[1] = bits.RotateLeft64(v[1], 13) ^ v[0]
			v[0] = bits.RotateLeft64(v[0], 32)
			v[2] += v[3]
			v[3] = bits.RotateLeft64(v[3], 16) ^ v[2]
			v[0] += v[3]
			v[3] = bits.RotateLeft64(v[3], 21) ^ v[0]
			v[2] += v[1]
			v[1] = bits.RotateLeft64(v[1], 17) ^ v[2]
			v[2] = bits.RotateLeft64(v[2], 32)
		}
	}
	length := uint64(len(b)) << 56
	for ; len(b) >= 8; b = b[8:] {
		m := binary.LittleEndian.Uint64(b)
		v[3] ^= m
		round(2)
		v[0] ^= m
	}
	v[3] ^= length
	round(2)
	v[0] ^= length
	v[2] ^= 0xff
	round(4)
	return v[0] ^ v[1] ^ v[2] ^ v[3]
}

// parse reads JSON, numbers by their text.
func parse(s string) (v any) {
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		panic(err)
	}
	return v
}

// text writes JSON.
func text(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return strings.TrimSpace(b.String())
}
