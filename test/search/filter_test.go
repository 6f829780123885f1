package search

import (
	"fmt"
	"strings"
	"testing"
)

// fixture is a set of payloads and what filters find in them, in every state that points can be in.
type fixture struct {
	name    string
	docs    []string            // payloads of the points 1, 2, …; empty: none at all
	ids     []string            // instead of 1, 2, …
	indexes []map[string]string // sets of field indexes to try; without any is tried too
	bare    bool                // the answers hold only with these indexes
	found   []found
}

// found is a filter and the points that it finds, as their ids in ascending order.
type found struct{ filter, want string }

// must and the like write the filters that are meant.
func must(conditions ...string) string { return `{"must":[` + strings.Join(conditions, ",") + `]}` }
func mustNot(conditions ...string) string {
	return `{"must_not":[` + strings.Join(conditions, ",") + `]}`
}

// on is a field condition.
func on(key, test string) string { return fmt.Sprintf(`{"key":%q,%s}`, key, test) }

func match(value string) string { return `"match":{"value":` + value + `}` }

// everyIndex is a set for each type of index over one field.
func everyIndex(field string) (sets []map[string]string) {
	for _, schema := range []string{`"keyword"`, `"integer"`, `"float"`, `"bool"`, `"geo"`, `"datetime"`, `"uuid"`, `"text"`,
		`{"type":"keyword","is_tenant":true,"prefix":true}`, `{"type":"integer","lookup":true,"range":false}`,
		`{"type":"integer","lookup":false,"range":true,"is_principal":true}`} {
		sets = append(sets, map[string]string{field: schema})
	}
	return sets
}

func truthTable() fixture {
	columns := []string{``, `null`, `[]`, `[null]`, `"a"`, `["a","b"]`, `5`, `5.0`, `[5,"a"]`, `true`, `{}`, `{"x":1}`, `[["a"]]`}
	f := fixture{name: "truth", indexes: everyIndex("k")}
	for _, c := range columns {
		if c == "" {
			f.docs = append(f.docs, `{"other":1}`)
		} else {
			f.docs = append(f.docs, `{"k":`+c+`}`)
		}
	}
	for _, row := range [][2]string{
		{`"match":{"value":"a"}`, "F F F F T T F F T F F F F"},
		{`"match":{"value":5}`, "F F F F F F T T T F F F F"},
		{`"match":{"value":true}`, "F F F F F F F F F T F F F"},
		{`"match":{"value":false}`, "F F F F F F F F F F F F F"},
		{`"match":{"any":["a","z"]}`, "F F F F T T F F T F F F F"},
		{`"match":{"any":[5,7]}`, "F F F F F F T T T F F F F"},
		{`"match":{"any":[]}`, "F F F F F F F F F F F F F"},
		{`"match":{"except":["a"]}`, "F F F F F T T T T T T T T"},
		{`"match":{"except":[5]}`, "F F F F T T F F T T T T T"},
		{`"match":{"except":[]}`, "F F F F T T T T T T T T T"},
		{`"match":{"prefix":""}`, "F F F F T T F F T F F F F"},
		{`"match":{"prefix":"b"}`, "F F F F F T F F F F F F F"},
		{`"range":{"gte":5}`, "F F F F F F T T T F F F F"},
		{`"range":{}`, "F F F F F F T T T F F F F"},
		{`"range":{"gt":null,"lt":6}`, "F F F F F F T T T F F F F"},
		{`"range":{"gt":5}`, "F F F F F F F F F F F F F"},
		{`"range":{"gt":"2020-01-01"}`, "F F F F F F F F F F F F F"},
		{`"is_empty":true`, "T T T F F F F F F F F F F"},
		{`"is_empty":false`, "F F F T T T T T T T T T T"},
		{`"is_null":true`, "F T F T F F F F F F F F F"},
		{`"is_null":false`, "T F T F T T T T T T T T T"},
		{`"values_count":{"gte":1}`, "F F F T T T T T T T T T T"},
		{`"values_count":{"lt":1}`, "T T T F F F F F F F F F F"},
		{`"values_count":{"gt":1}`, "F F F F F T F F T F F F F"},
		{`"values_count":{"gte":1,"lt":2}`, "F F F T T F T T F T T T T"},
		{`"geo_radius":{"center":{"lon":0,"lat":0},"radius":1e9}`, "F F F F F F F F F F F F F"},
	} {
		var yes, no []string
		for i, c := range strings.Fields(row[1]) {
			if c == "T" {
				yes = append(yes, fmt.Sprint(i+1))
			} else {
				no = append(no, fmt.Sprint(i+1))
			}
		}
		f.found = append(f.found, found{must(on("k", row[0])), strings.Join(yes, " ")},
			found{mustNot(on("k", row[0])), strings.Join(no, " ")},
			found{`{"should":` + on("k", row[0]) + `}`, strings.Join(yes, " ")},
			found{`{"min_should":{"conditions":[` + on("k", row[0]) + `],"min_count":1}}`, strings.Join(yes, " ")})
	}
	f.found = append(f.found, found{must(`{"is_empty":{"key":"k"}}`), "1 2 3"}, found{mustNot(`{"is_null":{"key":"k"}}`), "1 3 5 6 7 8 9 10 11 12 13"})
	return f
}

func structure() fixture {
	const isA = `{"key":"k","match":{"value":"a"}}`
	return fixture{
		name: "structure",
		docs: []string{`{"k":"a","n":4}`, `{"k":["a","b"],"n":[1,9]}`, `{"k":null,"n":4.6}`, `{"k":[]}`, ``, `{"k":5,"n":"4"}`},
		indexes: []map[string]string{
			{"k": `"keyword"`, "n": `"integer"`}, {"k": `"keyword"`, "n": `"float"`}, {"k": `"integer"`, "n": `"keyword"`}, {"n": `"integer"`},
			{"k": `"keyword"`}, {"k": `"text"`, "n": `"datetime"`},
		},
		found: []found{
			{`null`, "1 2 3 4 5 6"},
			{`{}`, "1 2 3 4 5 6"},
			{`{"must":[],"should":[],"must_not":[]}`, "1 2 3 4 5 6"},
			{`{"must":null,"should":null,"must_not":null,"min_should":null}`, "1 2 3 4 5 6"},
			// E3.1
			{`{"must":` + isA + `}`, "1 2"},
			{`{"must":[` + isA + `]}`, "1 2"},
			{`{"must_not":` + isA + `}`, "3 4 5 6"},
			{`{"must":{"key":"k","match":{"except":["a"]}}}`, "2 6"},
			{`{"must":{"key":"k","match":{"any":[]}}}`, ""},
			// E3.2
			{`{"must":{"key":"n","range":{"gt":3,"lt":5}}}`, "1 3"},
			{`{"must":{"key":"n","range":{"gte":9}}}`, "2"},
			{`{"must":{"key":"n","range":{"gt":4.5}}}`, "2 3"},
			// E3.3
			{`{"must":{"is_empty":{"key":"k"}}}`, "3 4 5"},
			{`{"must":{"is_null":{"key":"k"}}}`, "3"},
			{`{"must":{"key":"k","values_count":{"gte":2}}}`, "2"},
			{`{"must":{"key":"k","values_count":{"lte":0}}}`, "3 4 5"},
			// E3.4
			{`{"must":[` + isA + `],"should":[{"has_id":[2,3]}],"must_not":[{"has_id":[1]}]}`, "2"},
			{`{"min_should":{"conditions":[{"has_id":[1,2,3]},{"key":"n","range":{"lt":5}},{"is_null":{"key":"k"}}],"min_count":2}}`, "1 2 3"},
			{`{"min_should":{"conditions":[{"has_id":[1]}],"min_count":2}}`, ""},
			{`{"min_should":{"conditions":[],"min_count":1}}`, ""},
			{`{"must":[{"should":[{"has_id":[1,5]},{"must_not":` + isA + `}]},{"must_not":[{"must":[{"has_id":[6]}]}]}]}`, "1 3 4 5"},
			{`{"should":[{"must_not":[` + isA + `]},{"must":[]}]}`, "1 2 3 4 5 6"},
			{`{"must_not":[{}]}`, ""},
			// §3.8
			{`{"must":{"has_id":[]}}`, ""},
			{`{"must_not":{"has_id":[]}}`, "1 2 3 4 5 6"},
			{`{"must":{"has_id":[6,1,1,77,"550e8400-e29b-41d4-a716-446655440000"]}}`, "1 6"},
			{`{"must":{"has_vector":""}}`, "1 2 3 4 5 6"},
			{`{"must":{"has_vector":"nope"}}`, ""},
			{`{"must_not":{"has_vector":"nope"}}`, "1 2 3 4 5 6"},
		},
	}
}

func paths() fixture {
	docs := []string{`{"a":{"b":1}}`, `{"a":[{"b":1},{"b":[2,3]}]}`, `{"a.b":1}`, `{"a":null}`, `{"a":[]}`, `{"a":[[{"b":1}]]}`, `{"Größe":{"x-y_1":7}}`, `{"":1}`}
	var sets []map[string]string
	for _, p := range []string{"a.b", "a[].b", "a[].b[]", "a[1].b", `"a.b"`, "a", "Größe.x-y_1", `"a"."b"`} {
		sets = append(sets, map[string]string{p: `"integer"`})
	}
	sets = append(sets, map[string]string{"a.b": `"float"`, "a[].b": `"integer"`, `"a.b"`: `"float"`})
	f := fixture{name: "paths", docs: docs, indexes: sets}
	add := func(path, test, want string) { f.found = append(f.found, found{must(on(path, test)), want}) }
	add("a.b", match("1"), "1")
	add(`"a"."b"`, match("1"), "1")
	add("a[].b", match("1"), "2")
	add("a[].b", match("2"), "2")
	add("a[].b", match("3"), "2")
	add("a[].b[]", match("3"), "2")
	add("a[].b[]", match("1"), "")
	add("a[1].b", match("3"), "2")
	add("a[1].b", match("1"), "")
	add("a[0].b", match("1"), "2")
	add("a[7].b", match("1"), "")
	add("a[][].b", match("1"), "6")
	add("a[0][0].b", match("1"), "6")
	add("a[]", `"is_empty":false`, "2 6")
	add(`"a.b"`, match("1"), "3")
	add("Größe.x-y_1", match("7"), "7")
	add("a", `"is_null":true`, "4")
	add("a[]", `"is_null":true`, "")
	add("a.b", `"is_null":true`, "")
	add("a", `"is_empty":true`, "3 4 5 7 8")
	add("a.b", `"is_empty":true`, "2 3 4 5 6 7 8")
	add("a[].b", `"values_count":{"gte":2}`, "2")
	add("a[].b", `"values_count":{"lt":2,"gt":0}`, "2")
	add("a[].b[]", `"values_count":{"gte":2}`, "")
	add("a", `"values_count":{"gte":1}`, "1 2 6")
	return f
}

func nested() fixture {
	x1, y4 := on("x", match("1")), on("y", match("4"))
	in := func(key, filter string) string { return fmt.Sprintf(`{"nested":{"key":%q,"filter":%s}}`, key, filter) }
	return fixture{
		name: "nested",
		docs: []string{`{"d":[{"x":1,"y":2},{"x":3,"y":4}]}`, `{"d":[{"x":1,"y":4}]}`, `{"d":[]}`, `{"d":{"x":1,"y":4}}`, `{"d":null}`, `{}`,
			`{"d":[5,"x",null]}`, `{"d":[{"e":[{"x":1},{"x":2,"y":4}]}]}`, `{"o":{"d":[{"x":[1,2],"y":[4,5]}]}}`},
		indexes: []map[string]string{{"d[].x": `"integer"`}, {"d[].y": `"integer"`}, {"d[].x": `"integer"`, "d[].y": `"float"`}, {"d[].e[].x": `"integer"`}},
		found: []found{ // E3.5 and §3.8
			{must(on("d[].x", match("1")), on("d[].y", match("4"))), "1 2"},
			{must(in("d", must(x1, y4))), "2"},
			{must(in("d[]", must(x1, y4))), "2"},
			{must(in("d", mustNot(x1))), "1 8"},
			{mustNot(in("d", must(x1))), "3 4 5 6 7 8 9"},
			{must(in("d", `{}`)), "1 2 8"},
			{must(in("d", must(`{"has_id":[1]}`))), ""},
			{must(in("d", mustNot(`{"has_id":[1]}`))), "1 2 8"},
			{must(in("d", must(`{"has_vector":""}`))), ""},
			{must(in("d", must(`{"slice":{"total":1,"index":0}}`))), ""},
			{must(in("d", must(in("e", must(x1))))), "8"},
			{must(in("d", must(in("e", must(x1, y4))))), ""},
			{must(in("d[].e", must(on("x", match("2")), y4))), "8"},
			{must(in("o.d", must(on("x", match("2")), on("y", match("5"))))), "9"},
			{must(in("d", `{"should":[`+on("x", match("3"))+`,`+on("x", match("9"))+`]}`)), "1"},
			{must(in("d", `{"min_should":{"conditions":[`+x1+`,`+y4+`],"min_count":1}}`)), "1 2"},
			{must(in("d", `{"min_should":{"conditions":[`+x1+`,`+y4+`],"min_count":2}}`)), "2"},
			{must(in("d", must(`{"is_empty":{"key":"x"}}`))), "8"},
		},
	}
}

func sliced() fixture {
	f := fixture{name: "slices", ids: []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", `"550e8400-e29b-41d4-a716-446655440000"`}}
	f.docs = make([]string, len(f.ids))
	f.indexes = []map[string]string{{"k": `"keyword"`}}
	at := func(total, index int, want string) {
		f.found = append(f.found, found{must(fmt.Sprintf(`{"slice":{"total":%d,"index":%d}}`, total, index)), want})
	}
	const uuid = `"550e8400-e29b-41d4-a716-446655440000"`
	at(3, 0, "5 8 9 "+uuid) // E3.6
	at(3, 1, "3 6 7 10")
	at(3, 2, "0 1 2 4")
	at(2, 1, "0 2 6 8")
	at(2, 0, "1 3 4 5 7 9 10 "+uuid)
	at(1, 0, strings.Join(f.ids, " "))
	f.found = append(f.found,
		found{must(`{"slice":{"total":4,"index":0}}`, `{"has_id":[`+uuid+`]}`), uuid},
		found{must(`{"has_id":["550E8400E29B41D4A716446655440000"]}`), uuid},
		found{must(`{"has_id":["urn:uuid:550e8400-e29b-41d4-a716-446655440000",3]}`), "3 " + uuid},
		found{must(`{"has_id":["{550e8400-e29b-41d4-a716-446655440000}"]}`), uuid})
	return f
}

func geo() fixture {
	at := func(lon, lat string) string { return fmt.Sprintf(`{"g":{"lon":%s,"lat":%s,"other":1}}`, lon, lat) }
	radius := func(lon, lat, r string) string {
		return must(on("g", fmt.Sprintf(`"geo_radius":{"center":{"lon":%s,"lat":%s},"radius":%s}`, lon, lat, r)))
	}
	box := func(west, north, east, south string) string {
		return must(on("g", fmt.Sprintf(`"geo_bounding_box":{"top_left":{"lon":%s,"lat":%s},"bottom_right":{"lon":%s,"lat":%s}}`, west, north, east, south)))
	}
	ring := func(points ...[2]float64) string {
		var s []string
		for _, p := range points {
			s = append(s, fmt.Sprintf(`{"lon":%g,"lat":%g}`, p[0], p[1]))
		}
		return `{"points":[` + strings.Join(s, ",") + `]}`
	}
	polygon := func(rings ...string) string {
		return must(on("g", `"geo_polygon":{"exterior":`+rings[0]+`,"interiors":[`+strings.Join(rings[1:], ",")+`]}`))
	}
	square := func(a, b float64) string {
		return ring([2]float64{a, a}, [2]float64{b, a}, [2]float64{b, b}, [2]float64{a, b}, [2]float64{a, a})
	}
	return fixture{
		name: "geo",
		docs: []string{
			at("2.3522", "48.8566"), // 1 Paris
			at("1", "0"),            // 2
			at("-179.9", "0"),       // 3
			at("179", "0"),          // 4
			at("0", "0"),            // 5
			at("170", "0"),          // 6
			at("181", "0"),          // 7 nowhere
			`{"g":[{"lon":2.3522,"lat":48.8566},{"lon":0,"lat":0}]}`,     // 8
			`{"g":{"lon":"1","lat":0}}`, `{"g":{"lon":1}}`, `{"g":null}`, // 9-11
			at("0", "90"), at("0", "-90"), // 12, 13
			at("-180", "0"), at("180", "0"), // 14, 15
		},
		indexes: []map[string]string{{"g": `"geo"`}, {"g": `{"type":"geo","on_disk":true}`}, {"g": `"keyword"`}},
		found: []found{ // E3.7
			{radius("13.4050", "52.5200", "877464"), ""},
			{radius("13.4050", "52.5200", "877465"), "1 8"},
			{radius("0", "0", "111195.0"), "5 8"},
			{radius("0", "0", "111195.2"), "2 5 8"},
			{radius("0", "0", "0"), ""},
			{radius("0", "0", "0.001"), "5 8"},
			{radius("179.9", "0", "22239.0"), "14 15"},
			{radius("179.9", "0", "22239.1"), "3 14 15"},
			{radius("-180", "0", "0.001"), "14 15"},
			{radius("77", "90", "0.001"), "12"},
			{radius("77", "-90", "1000"), "13"},
			{radius("0", "0", "20015114"), "1 2 3 4 5 6 8 12 13"},
			{radius("0", "0", "1e9"), "1 2 3 4 5 6 8 12 13 14 15"},
			{box("170", "10", "-170", "-10"), "3 4 14 15"},
			{box("170", "10", "180", "-10"), "4"},
			{box("0", "10", "2", "0"), ""},
			{box("0", "10", "2", "-10"), "2"},
			{box("-1", "1", "1", "-1"), "5 8"},
			{box("-180", "90", "180", "-90"), "1 2 3 4 5 6 8"},
			{box("-1", "-1", "1", "1"), ""},
			{polygon(square(-1, 1)), "5 8"},
			{polygon(square(0, 1)), ""},
			{polygon(square(-2, 2)), "2 5 8"},
			{polygon(square(-2, 2), square(-0.5, 0.5)), "2"},
			{polygon(square(-2, 2), square(-0.5, 0.5), ring([2]float64{0.9, -1}, [2]float64{1.1, -1}, [2]float64{1, 1}, [2]float64{0.9, -1})), ""},
			{polygon(square(-2, 2), square(0, 0.5)), "2"}, // the edge of a hole is outside
		},
	}
}

func datetimes() fixture {
	f := fixture{name: "datetimes", indexes: []map[string]string{{"t": `"datetime"`}, {"t": `{"type":"datetime","is_principal":true}`}, {"t": `"keyword"`}}}
	spellings := []string{"2024-05-01T14:30:00+02:00", "2024-05-01T12:30:00Z", "2024-05-01 12:30:00Z", "2024-05-01T12:30:00UTC", "2024-05-01 12:30:00 UTC",
		"2024-05-01T14:30:00+0200", "2024-05-01T14:30:00+02", "2024-05-01 14:30:00+02:00", "2024-05-01T12:30:00", "2024-05-01 12:30:00", "2024-05-01T12:30:00.000",
		"2024-05-01T12:30", "2024-05-01 12:30", "2024-05-01T12:30:00.000000Z", "2024-05-01T07:30:00-05:00"}
	var all []string
	for i, s := range spellings {
		f.docs = append(f.docs, fmt.Sprintf(`{"t":%q}`, s))
		all = append(all, fmt.Sprint(i+1))
	}
	n := len(f.docs)
	f.docs = append(f.docs, `{"t":"2024-05-01"}`, `{"t":"2024-05-32"}`, `{"t":"soon"}`, `{"t":1714566600}`, `{"t":["2030-01-01","soon"]}`, `{"t":"1969-12-31T23:59:59.999999Z"}`)
	same := strings.Join(all, " ")
	in := func(bounds, want string) {
		f.found = append(f.found, found{must(on("t", `"range":{`+bounds+`}`)), want})
	}
	for _, s := range spellings {
		in(fmt.Sprintf(`"gte":%q,"lte":%q`, s, s), same)
	}
	in(`"gte":"2024-05-01 12:30","lt":"2024-05-01T12:30:00.000001Z"`, same) // E3.8
	in(`"gt":"2024-05-01T12:30:00Z","lt":"2025-01-01"`, "")
	in(`"gte":"2024-05-01","lt":"2024-05-01T00:00:01"`, fmt.Sprint(n+1))
	in(`"gte":"2030-01-01"`, fmt.Sprint(n+5))
	in(`"lt":"1970-01-01"`, fmt.Sprint(n+6))
	in(`"lt":"1969-12-31T23:59:59.999999Z"`, "")
	in(`"gte":1714566600`, fmt.Sprint(n+4))
	return f
}

func numbers() fixture {
	values := []string{"9007199254740991", "9007199254740992", "9007199254740993", "9223372036854775807", "9223372036854775808", "18446744073709551615",
		"-9223372036854775808", "-9223372036854775807", "9007199254740993.0", "1e300", "-0.0", "0", "18446744073709551616", "5e0", "4.5", "-4.5", "1e19", "9223372036854775808.0"}
	f := fixture{name: "numbers", indexes: []map[string]string{{"n": `"integer"`}, {"n": `"float"`}, {"n": `{"type":"integer","lookup":true,"range":false}`},
		{"n": `{"type":"integer","lookup":false,"range":true}`}}}
	for _, v := range values {
		f.docs = append(f.docs, `{"n":`+v+`}`)
	}
	is := func(v, want string) { f.found = append(f.found, found{must(on("n", match(v))), want}) }
	is("9007199254740991", "1")
	is("9007199254740992", "2 9")
	is("9007199254740993", "3")
	is("9223372036854775807", "4")
	is("-9223372036854775808", "7")
	is("-9223372036854775807", "8")
	is("0", "11 12")
	is("5", "14")
	in := func(bounds, want string) {
		f.found = append(f.found, found{must(on("n", `"range":{`+bounds+`}`)), want})
	}
	in(`"gt":9007199254740991,"lt":9007199254740994`, "2 3 9") // compared as floats
	in(`"gte":9223372036854775808`, "4 5 6 10 13 17 18")       // as floats, 2^63-1 is 2^63
	in(`"gt":9223372036854775808`, "6 10 13 17")
	in(`"gte":18446744073709551615`, "6 10 13")
	in(`"lte":-9223372036854775808`, "7 8")
	in(`"lt":-9223372036854775808`, "")
	in(`"gt":4.5`, "1 2 3 4 5 6 9 10 13 14 17 18")
	in(`"gte":4.5,"lt":5`, "15")
	in(`"gte":0,"lte":0`, "11 12")
	in(`"gte":-4.5,"lt":-4.4`, "16")
	in(`"gt":1e308`, "")
	in(`"lt":-1e308`, "")
	f.found = append(f.found, found{must(on("n", `"match":{"any":[9007199254740993,5,0]}`)), "3 11 12 14"},
		found{must(on("n", `"match":{"except":[9007199254740993,5,0]}`)), "1 2 4 5 6 7 8 9 10 13 15 16 17 18"})
	return f
}

func plainText() fixture {
	is := func(how, q string) string { return must(on("t", fmt.Sprintf(`"match":{%q:%q}`, how, q))) }
	return fixture{
		name:    "plaintext",
		docs:    []string{`{"t":"Running the Foxes"}`, `{"t":"the fox ran"}`, `{"t":["fast","run fox"]}`, `{"t":""}`, `{"t":5}`},
		indexes: []map[string]string{{"t": `"keyword"`}, {"t": `"uuid"`}, {"t": `{"type":"keyword","prefix":true}`}},
		found: []found{
			{is("text", "Fox"), "1"}, // E4.6
			{is("text", "fox"), "2 3"},
			{is("text", "fox ran"), "2"},
			{is("text", ""), "1 2 3 4"},
			{is("text_any", "cats ran Run"), "1 2"},
			{is("text_any", ""), ""},
			{is("text_any", "  "), ""},
			{is("phrase", "the F"), "1"},
			{is("phrase", "fast run"), ""},
			{is("prefix", "r"), "3"},
			{is("prefix", "R"), "1"},
			{is("prefix", ""), "1 2 3 4"},
			{is("value", "run fox"), "3"},
			{is("value", ""), "4"},
		},
	}
}

func fullText() []fixture {
	is := func(how, q string) string { return must(on("t", fmt.Sprintf(`"match":{%q:%q}`, how, q))) }
	stemmed := `{"type":"text","tokenizer":"word","lowercase":true,"stopwords":"english","stemmer":{"type":"snowball","language":"english"}`
	foxes := []string{`{"t":"Running the Foxes"}`, `{"t":"the fox ran"}`, `{"t":["fast","run fox"]}`, `{"t":7}`, ``}
	return []fixture{
		{name: "fulltext", bare: true, docs: foxes, indexes: []map[string]string{{"t": stemmed + `,"phrase_matching":true}`}},
			found: []found{ // E4.5
				{is("text", "fox run"), "1 3"}, {is("text", "the"), ""}, {is("text", ""), ""}, {is("text_any", "ran cats"), "2"},
				{is("text", "fox unseen"), ""}, {is("phrase", "run fox"), "1 3"}, {is("phrase", "fox ran"), "2"}, {is("phrase", "fast run"), ""},
				{is("text_any", "the"), ""}, {is("phrase", "the"), ""}, {is("text", "FOXES"), "1 2 3"}, {is("phrase", "running the, the, foxes!"), "1 3"},
				{mustNot(on("t", `"match":{"text":"fox"}`)), "4 5"},
			}},
		{name: "nophrase", bare: true, docs: foxes, indexes: []map[string]string{{"t": stemmed + `}`}},
			found: []found{{is("phrase", "run fox"), ""}, {is("phrase", "fox"), ""}, {is("text", "run fox"), "1 3"}}},
		{name: "prefixtext", bare: true, docs: []string{`{"t":"Hello"}`, `{"t":"h"}`, `{"t":"well he"}`},
			indexes: []map[string]string{{"t": `{"type":"text","tokenizer":"prefix","min_token_len":2,"max_token_len":4}`}},
			found: []found{ // E4.7
				{is("text", "HELLOX"), "1"}, {is("text", "h"), ""}, {is("text", "help"), ""}, {is("text", "he"), "1 3"}, {is("text", "hel we"), ""},
				{is("text_any", "hel we"), "1 3"}, {is("text", "wel"), "3"},
			}},
		{name: "words", bare: true, docs: []string{`{"t":"snake_case and kebab-case"}`, `{"t":"Crème brûlée"}`, `{"t":"ГРОМ и молния"}`, `{"t":"a1 b2"}`},
			indexes: []map[string]string{{"t": `"text"`}},
			found: []found{{is("text", "snake case"), "1"}, {is("text", "kebab"), "1"}, {is("text", "snake_case"), "1"}, {is("text", "crème"), "2"},
				{is("text", "creme"), ""}, {is("text", "гром"), "3"}, {is("text", "A1"), "4"}, {is("text", "a"), ""}}},
		{name: "folded", bare: true, docs: []string{`{"t":"Crème brûlée"}`, `{"t":"Straße ÆON"}`, `{"t":"MixedCase, kept"}`},
			indexes: []map[string]string{{"t": `{"type":"text","tokenizer":"whitespace","ascii_folding":true,"lowercase":false,"min_token_len":2}`}},
			found: []found{{is("text", "Creme"), "1"}, {is("text", "creme"), ""}, {is("text", "Crème brulee"), "1"}, {is("text", "Strasse"), "2"}, {is("text", "AEON"), "2"},
				{is("text", "MixedCase,"), "3"}, {is("text", "MixedCase"), ""}, {is("text", "x"), ""}}},
		{name: "uuids", bare: true, docs: []string{`{"t":"550E8400-E29B-41D4-A716-446655440000"}`, `{"t":["550e8400e29b41d4a716446655440000","x"]}`, `{"t":"{550e8400-e29b-41d4-a716-446655440001}"}`},
			indexes: []map[string]string{{"t": `"uuid"`}},
			found: []found{{is("value", "550e8400-e29b-41d4-a716-446655440000"), "1 2"}, {is("value", "urn:uuid:550e8400-e29b-41d4-a716-446655440001"), "3"},
				{must(on("t", `"match":{"any":["550e8400e29b41d4a716446655440000","550e8400e29b41d4a716446655440001"]}`)), "1 2 3"}}},
	}
}

// laid is a fixture in a collection.
type laid struct {
	*fixture
	collection string
	index      map[string]string
	late       bool // the index is made of sealed points
}

func (l *laid) id(i int) string {
	if l.ids != nil {
		return l.ids[i]
	}
	return fmt.Sprint(i + 1)
}

func (l *laid) point(i int) string {
	doc := l.docs[i]
	if doc == "" {
		doc = "null"
	}
	return fmt.Sprintf(`{"id":%s,"vector":%s,"payload":%s}`, l.id(i), vector(i, fixtureDim), doc)
}

// fixtureDim makes a few points enough for a graph at the lowest threshold.
const fixtureDim = 64

func (l *laid) create(c client) {
	c.do("PUT", "/collections/"+l.collection, fmt.Sprintf(`{"vectors":{"size":%d,"distance":"Dot"},
		"optimizers_config":{"indexing_threshold":1,"default_segment_number":1},"hnsw_config":{"full_scan_threshold":10}}`, fixtureDim), nil)
	if !l.late {
		l.build(c)
	}
	points := make([]string, len(l.docs))
	for i := range l.docs {
		points[i] = l.point(i)
	}
	c.upsert(l.collection, points...)
}

func (l *laid) build(c client) {
	for field, schema := range l.index {
		c.index(l.collection, field, schema)
	}
}

// check asks for every filter in all ways.
func (l *laid) check(c client, when string) {
	c.t.Helper()
	where := fmt.Sprintf("%s, %s, index %v late %t", l.name, when, l.index, l.late)
	bodies := make([]string, 0, 3*len(l.found))
	for _, f := range l.found {
		bodies = append(bodies, fmt.Sprintf(`{"filter":%s,"limit":1000}`, f.filter),
			fmt.Sprintf(`{"query":%s,"filter":%s,"limit":1000}`, vector(5, fixtureDim), f.filter),
			fmt.Sprintf(`{"query":%s,"filter":%s,"limit":1000,"params":{"exact":true}}`, vector(5, fixtureDim), f.filter))
	}
	lists := c.queries(l.collection, bodies)
	for i, f := range l.found {
		if got := ids(lists[3*i]); got != f.want {
			c.t.Errorf("%s: listing %s\n got %s\nwant %s", where, f.filter, got, f.want)
		}
		if got, want := sorted(lists[3*i+1]), sorted(lists[3*i]); got != want {
			c.t.Errorf("%s: nearest %s\n got %s\nwant %s", where, f.filter, got, want)
		}
		if got, want := ids(lists[3*i+2]), ids(lists[3*i+1]); got != want {
			c.t.Errorf("%s: exact %s\n got %s\nwant %s", where, f.filter, got, want)
		}
		if i%3 != len(when)%3 { // one request each: all in turn
			continue
		}
		if got := c.scroll(l.collection, fmt.Sprintf(`{"filter":%s,"limit":1000}`, f.filter)); ids(got.Points) != f.want || got.Next != "null" {
			c.t.Errorf("%s: scroll %s\n got %s next %s\nwant %s", where, f.filter, ids(got.Points), got.Next, f.want)
		}
		if got, want := c.count(l.collection, f.filter), len(strings.Fields(f.want)); got != want {
			c.t.Errorf("%s: count %s\n got %d want %d", where, f.filter, got, want)
		}
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	c, server := start(t)
	fixtures := append([]fixture{truthTable(), structure(), paths(), nested(), sliced(), geo(), datetimes(), numbers(), plainText()}, fullText()...)
	var all []*laid
	for i := range fixtures {
		f := &fixtures[i]
		if !f.bare {
			all = append(all, &laid{fixture: f, collection: f.name})
		}
		for j, set := range f.indexes {
			all = append(all, &laid{f, fmt.Sprintf("%s-%d", f.name, j), set, false}, &laid{f, fmt.Sprintf("%s-%d-late", f.name, j), set, true})
		}
	}
	each := func(f func(l *laid)) {
		parallel(len(all), func(i int) { f(all[i]) })
		if t.Failed() {
			t.FailNow()
		}
	}
	each(func(l *laid) { l.create(c) })
	each(func(l *laid) {
		if !l.late || !l.bare {
			l.check(c, "just written")
		}
	})
	each(func(l *laid) { c.seal(l.collection) })
	each(func(l *laid) {
		if l.late {
			l.build(c)
		}
		indexed := 0
		if len(l.docs) > 3 {
			indexed = len(l.docs)
		}
		c.green(l.collection, indexed)
		l.check(c, "sealed")
	})
	each(func(l *laid) { // some points lie in the head again, above the segment
		for i := 0; i < len(l.docs); i += 2 {
			c.upsert(l.collection, l.point(i))
		}
		l.check(c, "rewritten")
	})
	server = restart(&c, server)
	each(func(l *laid) { l.check(c, "after a crash") })
	restart(&c, server)
	each(func(l *laid) { l.check(c, "after two crashes") })
}
