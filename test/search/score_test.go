package search

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
)

// ranked is a query and the scores that it gives, as scores shows them.
type ranked struct{ query, want string }

// ranking is a small collection and what is nearest to what.
type ranking struct {
	name   string
	config string
	points []string // id: vector
	ranked []ranked
}

func rankings() []ranking {
	plane := []string{"1:[3,4]", "2:[1,0]", "3:[0,0]", "4:[-2,1]"}
	plain := func(distance string) string { return `{"vectors":{"size":2,"distance":"` + distance + `"}}` }
	q := func(vector, rest string) string {
		if rest != "" {
			rest = "," + rest
		}
		return `{"query":` + vector + rest + `}`
	}
	multi := func(distance string) string {
		return `{"vectors":{"size":2,"distance":"` + distance + `","multivector_config":{"comparator":"max_sim"}}}`
	}
	docs := []string{"1:[[1,0],[0,1]]", "2:[[2,2]]", "3:[[-1,0],[0,3],[1,1]]"}
	const rows = `[[1,1],[2,0]]`
	typed := func(distance, datatype string, size int) string {
		return fmt.Sprintf(`{"vectors":{"size":%d,"distance":%q,"datatype":%q}}`, size, distance, datatype)
	}
	return []ranking{
		{"dot", plain("Dot"), plane, []ranked{ // E1.1, E1.2
			{q("[1,2]", ""), "1:11 2:1 3:0 4:0"},
			{q("[1,2]", `"score_threshold":1`), "1:11"},
			{q("[1,2]", `"score_threshold":0.99`), "1:11 2:1"},
			{q("[1,2]", `"score_threshold":-1`), "1:11 2:1 3:0 4:0"},
			{q("[1,2]", `"score_threshold":0`), "1:11 2:1"},
			{q("[1,2]", `"score_threshold":11`), ""},
			{q("[1,2]", `"limit":2`), "1:11 2:1"},
			{q("[1,2]", `"limit":2,"offset":1`), "2:1 3:0"},
			{q("[1,2]", `"limit":2,"offset":3`), "4:0"},
			{q("[1,2]", `"limit":2,"offset":4`), ""},
			{q("[1,2]", `"limit":999999999,"offset":999999999`), ""},
			{q("[1,2]", `"limit":999999999`), "1:11 2:1 3:0 4:0"},
			{q("[1,2]", `"limit":18446744073709551615,"offset":3`), "4:0"},
			{q("[0,0]", ""), "1:0 2:0 3:0 4:0"},
			{q("[1,2]", `"score_threshold":0,"offset":1`), "2:1"},
			{`{"query":{"nearest":[1,2]}}`, "1:11 2:1 3:0 4:0"},
			{`{"query":{"nearest":1}}`, "2:3 3:0 4:-2"},
			{`{"query":1}`, "2:3 3:0 4:-2"},
			{`{"query":3}`, "1:0 2:0 4:0"},
			{`{"query":1,"filter":{"must":[{"has_id":[1,2]}]}}`, "2:3"},
			{`{"query":null,"limit":2}`, "1:1 2:1"}, // without a query: by id
			{`{"limit":2,"offset":1}`, "2:1 3:1"},
			{`{}`, "1:1 2:1 3:1 4:1"},
			{`{"filter":{"must_not":[{"has_id":[2]}]}}`, "1:1 3:1 4:1"},
		}},
		{"cosine", plain("Cosine"), plane, []ranked{
			{q("[1,2]", ""), "1:0.98387 2:0.44721 3:0 4:0"},
			{q("[10,20]", `"score_threshold":0.5`), "1:0.98387"},
			{q("[0,0]", ""), "1:0 2:0 3:0 4:0"},
			{`{"query":1}`, "2:0.6 3:0 4:-0.17889"},
		}},
		{"euclid", plain("Euclid"), plane, []ranked{
			{q("[1,2]", ""), "2:2 3:2.23607 1:2.82843 4:3.16228"},
			{q("[1,2]", `"score_threshold":2.0`), ""},
			{q("[1,2]", `"score_threshold":2.1`), "2:2"},
			{q("[1,2]", `"score_threshold":3`), "2:2 3:2.23607 1:2.82843"},
			{q("[1,2]", `"score_threshold":0`), ""},
			{q("[1,2]", `"score_threshold":-1`), ""},
			{`{"query":2}`, "3:1 4:3.16228 1:4.47214"},
		}},
		{"manhattan", plain("Manhattan"), plane, []ranked{
			{q("[1,2]", ""), "2:2 3:3 1:4 4:4"},
			{q("[1,2]", `"score_threshold":4`), "2:2 3:3"},
			{q("[1,2]", `"score_threshold":4.001`), "2:2 3:3 1:4 4:4"},
			{q("[1,2]", `"limit":1,"offset":2`), "1:4"},
		}},
		{"multidot", multi("Dot"), docs, []ranked{ // E1.5
			{q(rows, ""), "2:8 3:5 1:3"},
			{q("[1,1]", ""), "2:4 3:3 1:1"},
			{q(rows, `"score_threshold":5`), "2:8"},
			{`{"query":1}`, "2:4 3:4"},
		}},
		{"multieuclid", multi("Euclid"), docs, []ranked{
			{q(rows, ""), "1:1.41421 3:1.41421 2:2.44949"},
			{q(rows, `"score_threshold":2`), "1:1.41421 3:1.41421"},
		}},
		{"multimanhattan", multi("Manhattan"), docs, []ranked{{q(rows, ""), "1:2 3:2 2:4"}}},
		{"multicosine", multi("Cosine"), docs, []ranked{{q(rows, ""), "1:1.70711 2:1.70711 3:1.70711"}}},
		{"bytes", typed("Cosine", "uint8", 2), []string{"1:[3,4]", "2:[0,0]", "3:[300,-1]"}, []ranked{ // E1.4
			{q("[4,3]", ""), "1:0.96 3:0.8 2:0"},
			{q("[4.9,3.9]", ""), "1:0.96 3:0.8 2:0"},
			{q("[-1,3]", ""), "1:0.8 2:0 3:0"},
		}},
		{"bytesdot", typed("Dot", "uint8", 3), []string{"1:[1.9,-5,300]", "2:[255,255,255]"}, []ranked{{q("[1,2,3]", ""), "2:1530 1:766"}}},
		{"byteseuclid", typed("Euclid", "uint8", 3), []string{"1:[1.9,-5,300]", "2:[0,0,0]"}, []ranked{{q("[1,0,255]", ""), "1:0 2:255.00197"}}},
		{"bytesmanhattan", typed("Manhattan", "uint8", 3), []string{"1:[1.9,-5,300]", "2:[0,0,0]"}, []ranked{{q("[1,1,255]", ""), "1:1 2:257"}}},
		{"half", typed("Dot", "float16", 2), []string{"1:[0.1,1]", "2:[70000,0]"}[:1], []ranked{{q("[1,0.1]", ""), "1:0.19995"}}},
		{"sparse", `{"sparse_vectors":{"s":{}}}`, // E1.6
			[]string{`1:{"s":{"indices":[2,0],"values":[2,1]}}`, `2:{"s":{"indices":[1],"values":[5]}}`, `3:{"s":{"indices":[2,3],"values":[-1,1]}}`,
				`4:{"s":{"indices":[],"values":[]}}`, `5:{}`, `6:{"s":{"indices":[4294967295],"values":[0.5]}}`}, []ranked{
				{`{"query":{"indices":[2],"values":[3]},"using":"s"}`, "1:6 3:-3"},
				{`{"query":{"indices":[7],"values":[1]},"using":"s"}`, ""},
				{`{"query":{"indices":[],"values":[]},"using":"s"}`, ""},
				{`{"query":{"indices":[4294967295,2],"values":[2,1]},"using":"s"}`, "1:2 6:1 3:-1"},
				{`{"query":{"indices":[2],"values":[3]},"using":"s","score_threshold":-3}`, "1:6"},
				{`{"query":{"indices":[0,3],"values":[1,1]},"using":"s","params":{"exact":true}}`, "1:1 3:1"},
				{`{"query":{"indices":[2,0],"values":[1,-2]},"using":"s"}`, "1:0 3:-1"},
				{`{"query":{"indices":[2],"values":[3]},"using":"s","filter":{"must_not":[{"has_id":[1]}]}}`, "3:-3"},
				{`{"query":1,"using":"s"}`, "3:-2"},
			}},
		{"idf", `{"sparse_vectors":{"s":{"modifier":"idf"}}}`, // E1.7
			[]string{`1:{"s":{"indices":[10,11],"values":[1,1]}}`, `2:{"s":{"indices":[10],"values":[2]}}`, `3:{"s":{"indices":[12],"values":[1]}}`}, []ranked{
				{`{"query":{"indices":[10,12],"values":[1,1]},"using":"s"}`, "3:0.98083 2:0.94001 1:0.47"},
				{`{"query":{"indices":[10,12],"values":[1,1]},"using":"s","params":{"idf":"global"}}`, "3:0.98083 2:0.94001 1:0.47"},
				{`{"query":{"indices":[10,12],"values":[1,1]},"using":"s","params":{"idf":{"corpus":{"must":[{"has_id":[2,3]}]}}}}`, "2:1.38629 1:0.69315 3:0.69315"},
				{`{"query":{"indices":[10,12],"values":[1,1]},"using":"s","params":{"idf":{"corpus":{"must":[{"has_id":[77]}]}}}}`, "2:1.38629 1:0.69315 3:0.69315"},
				{`{"query":{"indices":[10,12],"values":[1,1]},"using":"s","filter":{"must":[{"has_id":[1,3]}]}}`, "3:0.98083 1:0.47"},
			}},
		{"noidf", `{"sparse_vectors":{"s":{"modifier":"none"}}}`,
			[]string{`1:{"s":{"indices":[10,11],"values":[1,1]}}`, `2:{"s":{"indices":[10],"values":[2]}}`, `3:{"s":{"indices":[12],"values":[1]}}`}, []ranked{
				{`{"query":{"indices":[10,12],"values":[1,1]},"using":"s"}`, "2:2 1:1 3:1"},
			}},
		{"byid", plain("Dot"), []string{"1:[2,0]", "2:[0,2]", "3:[1,1]", "4:[3,1]", "5:[-1,2]", "6:[0,1]", "7:[2,2]"}, []ranked{ // E2.1
			{`{"query":1}`, "4:6 7:4 3:2 2:0 6:0 5:-2"},
			{`{"query":[2,0],"limit":2}`, "4:6 1:4"},
			{`{"query":[2,0],"limit":2,"offset":1}`, "1:4 7:4"},
			{`{"query":[2,0],"limit":2,"offset":2}`, "7:4 3:2"},
		}},
		{"named", `{"vectors":{"a":{"size":2,"distance":"Dot"},"b":{"size":2,"distance":"Euclid"}},"sparse_vectors":{"s":{}}}`,
			[]string{`1:{"a":[1,0],"b":[1,0]}`, `2:{"b":[0,1]}`, `3:{"a":[2,2],"s":{"indices":[1],"values":[1]}}`, `4:{}`}, []ranked{
				{`{"query":[1,1],"using":"a"}`, "3:4 1:1"},
				{`{"query":[1,1],"using":"b"}`, "1:1 2:1"},
				{`{"query":2,"using":"b"}`, "1:1.41421"},
				{`{"query":1,"using":"a"}`, "3:2"},
				{`{"query":1,"using":"b","lookup_from":{"collection":"named","vector":"a"}}`, "2:1.41421"},
				{`{"query":1,"using":"b","lookup_from":{"collection":"byid","vector":""}}`, "1:1 2:2.23607"},
				{`{"query":[1,1],"using":"a","filter":{"must":[{"has_vector":"s"}]}}`, "3:4"},
				{`{"filter":{"must_not":[{"has_vector":"a"}]}}`, "2:1 4:1"},
			}},
	}
}

// load makes the collection of a ranking; the payload of a point is its id.
func (r *ranking) load(c client, extra string) {
	c.do("PUT", "/collections/"+r.name, strings.TrimSuffix(r.config, "}")+extra+"}", nil)
	var points []string
	for _, p := range r.points {
		name, v, _ := strings.Cut(p, ":")
		points = append(points, fmt.Sprintf(`{"id":%s,"vector":%s,"payload":{"id":%s}}`, name, v, name))
	}
	c.upsert(r.name, points...)
}

func TestScores(t *testing.T) {
	t.Parallel()
	c, server := start(t)
	all := rankings()
	for i := range all {
		all[i].load(c, "")
	}
	check := func(when string) {
		t.Helper()
		for _, r := range all {
			for _, q := range r.ranked {
				if got := scores(c.query(r.name, q.query)); got != q.want {
					t.Errorf("%s, %s: %s\n got %s\nwant %s", r.name, when, q.query, got, q.want)
				}
			}
		}
	}
	check("just written")
	parallel(len(all), func(i int) { c.seal(all[i].name) })
	check("sealed")
	restart(&c, server)
	check("after a crash")
}

// TestReadBack: what is stored of a vector (E1.3, E1.4) and of a payload.
func TestReadBack(t *testing.T) {
	t.Parallel()
	c, server := start(t)
	type stored struct{ config, vector, want string }
	config := func(size int, distance, rest string) string {
		return fmt.Sprintf(`{"vectors":{"size":%d,"distance":%q%s}}`, size, distance, rest)
	}
	list := []stored{
		{config(2, "Cosine", ""), "[3,4]", "[0.6,0.8]"},
		{config(2, "Cosine", ""), "[0,0]", "[0,0]"},
		{config(2, "Cosine", ""), "[-2,1]", "[-0.8944272,0.4472136]"},
		{config(2, "Cosine", ""), "[0.0001,0]", "[0.0001,0]"}, // shorter than what is normalised
		{config(2, "Cosine", ""), "[0.6000001,0.8]", "[0.6000001,0.8]"},
		{config(2, "Dot", ""), "[0.1,16777217]", "[0.1,16777216]"},
		{config(2, "Euclid", ""), "[-1e-38,3.4e38]", "[-1e-38,3.4e38]"},
		{config(3, "Dot", `,"datatype":"uint8"`), "[1.9,-5,300]", "[1,0,255]"},
		{config(2, "Cosine", `,"datatype":"uint8"`), "[3,4]", "[3,4]"},
		{config(2, "Cosine", `,"datatype":"float16"`), "[3,4]", "[0.60009765625,0.7998046875]"},
		{config(2, "Dot", `,"datatype":"float16"`), "[0.1,-2049]", "[0.0999755859375,-2048]"},
		{config(2, "Cosine", `,"multivector_config":{"comparator":"max_sim"}`), "[[3,4],[0,2]]", "[[0.6,0.8],[0,1]]"},
		{config(2, "Dot", `,"multivector_config":{"comparator":"max_sim"}`), "[3,4]", "[[3,4]]"},
		{config(2, "Dot", `,"datatype":"uint8","multivector_config":{"comparator":"max_sim"}`), "[[3.7,256],[-1,0]]", "[[3,255],[0,0]]"},
		{`{"sparse_vectors":{"s":{"modifier":"idf"}}}`, `{"s":{"indices":[7,1],"values":[0.1,2]}}`, `{"s":{"indices":[1,7],"values":[2,0.1]}}`},
		{`{"sparse_vectors":{"s":{}}}`, `{"s":{"indices":[],"values":[]}}`, `{"s":{"indices":[],"values":[]}}`},
		{`{"vectors":{"a":{"size":1,"distance":"Dot"}}}`, `{}`, `{}`},
		{`{"vectors":{"a":{"size":1,"distance":"Dot"}},"sparse_vectors":{"s":{}}}`, `{"s":{"indices":[1],"values":[1]},"a":[1]}`, `{"a":[1],"s":{"indices":[1],"values":[1]}}`},
		{config(1, "Dot", ""), `{"":[1]}`, "[1]"},
	}
	const doc = `{"b":[1,1.0,18446744073709551615,-9223372036854775808,1e5,"\u0000é😀"],"a":{"x":null,"":{}},"n":[],"f":-0.0}`
	for i, s := range list {
		name := fmt.Sprintf("c%d", i)
		c.do("PUT", "/collections/"+name, s.config, nil)
		c.upsert(name, fmt.Sprintf(`{"id":1,"vector":%s,"payload":%s}`, s.vector, doc))
	}
	check := func(when string) {
		t.Helper()
		for i, s := range list {
			name := fmt.Sprintf("c%d", i)
			var r record
			c.do("GET", "/collections/"+name+"/points/1", "", &r)
			if !sameNumbers(t, string(r.Vector), s.want) {
				t.Errorf("%s %s: %s is read as %s, want %s", when, s.config, s.vector, r.Vector, s.want)
			}
			var compact struct{ Payload any }
			var want any
			decode(t, fmt.Sprintf(`{"payload":%s}`, r.Payload), &compact)
			decode(t, doc, &want)
			if fmt.Sprint(compact.Payload) != fmt.Sprint(want) {
				t.Errorf("%s: payload %s, want %s", when, r.Payload, doc)
			}
			if !strings.HasPrefix(string(r.Payload), `{"b"`) || strings.Index(string(r.Payload), `"a"`) > strings.Index(string(r.Payload), `"n"`) {
				t.Errorf("%s: the order of keys is lost: %s", when, r.Payload)
			}
		}
	}
	check("just written")
	for i := range list {
		c.seal(fmt.Sprintf("c%d", i))
	}
	check("sealed")
	restart(&c, server)
	check("after a crash")
}

func decode(t testing.TB, s string, v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		t.Fatalf("%v in %.300s", err, s)
	}
}

// sameNumbers compares two JSON values, numbers as float32.
func sameNumbers(t testing.TB, a, b string) bool {
	t.Helper()
	var x, y any
	decode(t, a, &x)
	decode(t, b, &y)
	return near(x, y)
}

func near(x, y any) bool {
	switch x := x.(type) {
	case json.Number:
		a, _ := x.Float64()
		n, ok := y.(json.Number)
		b, _ := n.Float64()
		return ok && math.Abs(a-b) <= 1e-6*math.Max(math.Abs(a), math.Abs(b))
	case []any:
		l, ok := y.([]any)
		if !ok || len(l) != len(x) {
			return false
		}
		for i := range x {
			if !near(x[i], l[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		m, ok := y.(map[string]any)
		if !ok || len(m) != len(x) {
			return false
		}
		for k := range x {
			if v, ok := m[k]; !ok || !near(x[k], v) {
				return false
			}
		}
		return true
	}
	return x == y
}
