package payload

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sextantdb/sextant"
)

// dice makes random payloads and filters out of few values, so that they meet.
type dice struct{ *rand.Rand }

func pick[T any](d dice, list ...T) T { return list[d.IntN(len(list))] }

var scalars = []string{`null`, `[]`, `"a"`, `"b"`, `"ab"`, `"a b c"`, `"b a"`, `"ä\n\"x"`, `""`, `5`, `5.0`, `-3`, `0`, `-0.0`, `4.5`, `1e2`, `100`,
	`9007199254740993`, `9007199254740992`, `9223372036854775807`, `9223372036854775808`, `18446744073709551615`, `-9223372036854775808`,
	`1e300`, `true`, `false`, `{}`, `{"x":1}`, `"2024-05-01"`, `"2024-05-01T00:00:00Z"`, `"2024-05-01T00:00:00.000001Z"`, `"1969-07-20 20:17"`,
	`"550e8400-e29b-41d4-a716-446655440000"`, `"{550E8400-E29B-41D4-A716-446655440000}"`, `"550e8400e29b41d4a716446655440001"`,
	`{"lon":13.4,"lat":52.5}`, `{"lon":2.35,"lat":48.85}`, `{"lon":179.95,"lat":1}`, `{"lon":-180,"lat":-1}`, `{"lon":0,"lat":90}`, `{"lon":181,"lat":0}`, `{"lon":1,"lat":1,"x":2}`}

func (d dice) value() string {
	switch d.IntN(10) {
	case 8:
		return pick(d, `["a","b"]`, `["a","zz"]`, `["b","ab","a"]`, `["a","a"]`, `[1,2]`, `[5,5.0,6]`, `["a",5]`, `[1.5,2]`)
	case 9:
		return pick(d, `"a"`, `"b"`, `"zz"`, `1`, `2`, `5`)
	case 0, 1:
		var list []string
		for range d.IntN(4) {
			list = append(list, d.value())
		}
		return "[" + strings.Join(list, ",") + "]"
	case 2:
		return strconv.Itoa(d.IntN(20) - 5)
	case 3:
		return fmt.Sprintf(`{"lon":%v,"lat":%v}`, d.IntN(360)-180, d.IntN(180)-90)
	}
	return pick(d, scalars...)
}

// doc has the same kinds of values below k, o.k, a[].k and a[].b[].k.
func (d dice) doc() string {
	var parts []string
	add := func(key, value string) { parts = append(parts, `"`+key+`":`+value) }
	if d.IntN(10) > 0 {
		add("k", d.value())
	}
	if d.IntN(2) > 0 {
		add("o", pick(d, d.value(), `{"k":`+d.value()+`}`))
	}
	if d.IntN(2) > 0 {
		var list []string
		for range d.IntN(4) {
			var in []string
			for range d.IntN(3) {
				in = append(in, `{"k":`+d.value()+`}`)
			}
			list = append(list, pick(d, d.value(), `{"k":`+d.value()+`}`, `{"k":`+d.value()+`,"b":[`+strings.Join(in, ",")+`]}`))
		}
		add("a", "["+strings.Join(list, ",")+"]")
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func (d dice) float() *float64 {
	if d.IntN(3) == 0 {
		return nil
	}
	return ptr(pick(d, -3, 0, 4.5, 5, 100, 1<<53, 1<<63, -(1 << 63), 1e300, float64(d.IntN(20)-5)))
}

func (d dice) micros() *int64 {
	if d.IntN(3) == 0 {
		return nil
	}
	return ptr(pick(d, int64(0), 1714521600000000, 1714521600000001, -14182980000000))
}

func (d dice) place() sextant.GeoPoint {
	return pick(d, sextant.GeoPoint{Lon: 13.4, Lat: 52.5}, sextant.GeoPoint{Lon: 180}, sextant.GeoPoint{Lat: 89},
		sextant.GeoPoint{Lon: float64(d.IntN(361) - 180), Lat: float64(d.IntN(181) - 90)})
}

func (d dice) texts() []string {
	var out []string
	for range d.IntN(4) {
		out = append(out, pick(d, "a", "b", "ab", "", "ä\n\"x", "550E8400E29B41D4A716446655440000", "550e8400-e29b-41d4-a716-446655440001", "zz"))
	}
	return out
}

func (d dice) ints() []int64 {
	var out []int64
	for range d.IntN(4) {
		out = append(out, pick(d, 5, 100, -3, 0, 9007199254740993, 9007199254740992, 9223372036854775807, -9223372036854775808, int64(d.IntN(20)-5)))
	}
	return out
}

func (d dice) count() *uint64 {
	if d.IntN(3) > 0 {
		return nil
	}
	return ptr(uint64(d.IntN(4)))
}

func (d dice) test() sextant.FieldTest {
	any := pick(d, sextant.MatchAny{Strings: d.texts()}, sextant.MatchAny{Ints: d.ints()},
		sextant.MatchAny{Strings: []string{"a", "b"}}, sextant.MatchAny{Strings: []string{"a"}}, sextant.MatchAny{Ints: []int64{1, 5}})
	square := func(r float64) []sextant.GeoPoint {
		p := d.place()
		at := func(x, y float64) sextant.GeoPoint { return sextant.GeoPoint{Lon: p.Lon + x, Lat: p.Lat + y} }
		return []sextant.GeoPoint{at(-r, -r), at(r, -r), at(r, r), at(-r, r), at(-r, -r)}
	}
	switch d.IntN(15) {
	case 0:
		return sextant.Match{Value: append(d.texts(), "a")[0]}
	case 1:
		return sextant.Match{Value: append(d.ints(), 5)[0]}
	case 2:
		return sextant.Match{Value: d.IntN(2) == 0}
	case 3:
		return any
	case 4:
		return sextant.MatchExcept(any)
	case 5:
		return sextant.MatchText{Text: pick(d, "a", "", "a b", "b a", "zz", "a zz", "A", "b c"), Mode: pick(d, sextant.TextAll, sextant.TextAny, sextant.TextPhrase)}
	case 6:
		return sextant.MatchPrefix{Prefix: pick(d, "", "a", "ä\n", "550", "zz")}
	case 7, 8:
		return sextant.Range{Gt: d.float(), Gte: d.float(), Lt: d.float(), Lte: d.float()}
	case 9:
		return sextant.DatetimeRange{Gt: d.micros(), Gte: d.micros(), Lt: d.micros(), Lte: d.micros()}
	case 10:
		return sextant.ValuesCount{Gt: d.count(), Gte: d.count(), Lt: d.count(), Lte: d.count()}
	case 11:
		return sextant.GeoRadius{Center: d.place(), Radius: pick(d, 0, 1000, 1e6, 1e7, 3e7)}
	case 12:
		a, b := d.place(), d.place()
		return sextant.GeoBox{TopLeft: sextant.GeoPoint{Lon: a.Lon, Lat: max(a.Lat, b.Lat)}, BottomRight: sextant.GeoPoint{Lon: b.Lon, Lat: min(a.Lat, b.Lat)}}
	case 13:
		p := sextant.GeoPolygon{Exterior: square(40)}
		if d.IntN(2) == 0 {
			p.Interiors = append(p.Interiors, square(20))
		}
		return p
	}
	return pick[sextant.FieldTest](d, sextant.FieldIsEmpty{Want: true}, sextant.FieldIsEmpty{}, sextant.FieldIsNull{Want: true}, sextant.FieldIsNull{})
}

var keys = []string{"k", "k", "o.k", "a[].k", "a[].b[].k", "a[1].k", "k[]", "none"}

func (d dice) cond(depth int, rows int) sextant.Condition {
	if depth > 0 {
		switch d.IntN(6) {
		case 0:
			return d.filter(depth-1, rows)
		case 1:
			return sextant.Nested{Key: sextant.MustPath(pick(d, "a", "b", "k")), Filter: d.filter(depth-1, rows)}
		}
	}
	switch d.IntN(10) {
	case 0:
		var h sextant.HasID
		for range d.IntN(4) {
			h.IDs = append(h.IDs, sextant.NumID(uint64(d.IntN(rows+2))))
		}
		return h
	case 1:
		return sextant.HasVector{Name: pick(d, "", "v", "x")}
	case 2:
		total := uint64(1 + d.IntN(4))
		return sextant.Slice{Total: total, Index: d.Uint64N(total)}
	case 3:
		key := sextant.MustPath(pick(d, keys...))
		return pick[sextant.Condition](d, sextant.IsEmpty{Key: key}, sextant.IsNull{Key: key})
	}
	return on(pick(d, keys...), d.test())
}

func (d dice) filter(depth, rows int) *sextant.Filter {
	list := func(n int) (out []sextant.Condition) {
		for range n {
			out = append(out, d.cond(depth, rows))
		}
		return out
	}
	f := &sextant.Filter{}
	switch d.IntN(8) {
	case 6, 7:
		f.Must = []sextant.Condition{on(pick(d, "k", "k", "a[].k", "k[]"), d.test())}
	case 0, 1:
		f.Must = list(1 + d.IntN(3))
	case 2:
		f.Should = list(1 + d.IntN(3))
	case 3:
		f.MustNot = list(1 + d.IntN(2))
	case 4:
		f.MinShould = &sextant.MinShould{Conditions: list(d.IntN(6)), MinCount: 1 + d.IntN(4)}
	case 5:
		f.Must, f.Should, f.MustNot = list(d.IntN(2)), list(d.IntN(3)), list(d.IntN(2))
	}
	return f
}

// Whatever indexes there are, every filter finds what the oracle says.
func TestFiltersAgreeWithTheOracle(t *testing.T) {
	seed := rand.Uint64()
	if s := os.Getenv("SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("SEED=%d", seed)
	rounds := 150
	if testing.Short() {
		rounds = 30
	}
	for round := range rounds {
		d := dice{rand.New(rand.NewPCG(seed, uint64(round)))}
		docs := make([]string, 1+d.IntN(150))
		for i := range docs {
			docs[i] = d.doc()
		}
		src := segment(docs...)
		src.vectors = map[string][]uint32{"": {0, 2, 3}, "v": {1, 2}}
		for _, key := range keys[1:] {
			spec := typed(pick(d, sextant.FieldTypes()...))
			spec.Text = &sextant.TextSpec{Phrase: d.IntN(2) == 0, Tokenizer: pick(d, "word", "whitespace", "prefix")}
			switch d.IntN(3) {
			case 0:
				src = src.withHead(key, spec)
			case 1:
				src = src.withSealed(key, spec)
			}
		}
		for range 40 {
			f := d.filter(2, len(docs))
			got := found(t, src, f)
			var want []uint32
			for row := range src.Len() {
				if (oracle{src: src, row: row}).filter(f, decode(src.docs[row])) {
					want = append(want, row)
				}
			}
			if !slices.Equal(got, want) {
				indexes := ""
				for key, index := range src.fields {
					indexes += fmt.Sprintf(" %s: %T %s", key, index, index.Spec().Type)
				}
				t.Fatalf("round %d: %s finds %v, want %v;%s", round, show(f), got, want, indexes)
			}
		}
	}
}
