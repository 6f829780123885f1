package search

import (
	"fmt"
	"strings"
	"testing"
)

// TestScroll: pages, orders and selections of scroll (§2.7, §6.1).
func TestScroll(t *testing.T) {
	t.Parallel()
	c, server := start(t)
	c.do("PUT", "/collections/ids", `{}`, nil)
	const one = `"00000000-0000-0000-0000-000000000001"`
	for _, id := range []string{"3", "10", one, "1"} {
		c.upsert("ids", `{"id":`+id+`,"vector":{}}`)
	}
	c.do("PUT", "/collections/order", `{"vectors":{"size":1,"distance":"Dot"},"shard_number":2}`, nil)
	for i, doc := range []string{`{"n":5,"d":"2024-01-01"}`, `{"n":[1,9],"d":["1970-01-01T00:00:00.000001Z","x"]}`, `{}`, `{"n":5.0,"d":"2023-12-31T23:00:00-01:00"}`, `{"n":"5"}`, `{"n":4.5}`} {
		c.upsert("order", fmt.Sprintf(`{"id":%d,"vector":[1],"payload":%s}`, i+1, doc))
	}
	c.refused(400, "No range index for `order_by` key: `n`. Please create one to use `order_by`. Check https://qdrant.tech/documentation/concepts/indexing/#payload-index to see which payload schemas support Range conditions",
		"POST", "/collections/order/points/scroll", `{"order_by":"n"}`)
	c.index("order", "n", `"integer"`)
	c.index("order", "d", `"datetime"`)
	c.do("PUT", "/collections/floats", `{"vectors":{"size":1,"distance":"Dot"}}`, nil)
	for i, doc := range []string{`{"n":5}`, `{"n":[1.5,-9]}`, `{"n":1e300}`, `{"n":5.0}`} {
		c.upsert("floats", fmt.Sprintf(`{"id":%d,"vector":[1],"payload":%s}`, i+1, doc))
	}
	c.index("floats", "n", `"float"`)
	c.do("PUT", "/collections/lookup", `{}`, nil)
	c.index("lookup", "n", `{"type":"integer","lookup":true,"range":false}`)
	c.index("lookup", "k", `"keyword"`)

	check := func(when string) {
		t.Helper()
		page := func(collection, body, want, next string) {
			t.Helper()
			got := c.scroll(collection, body)
			list := make([]string, len(got.Points))
			for i, r := range got.Points {
				if list[i] = string(r.ID); r.OrderValue != "" {
					list[i] += "@" + string(r.OrderValue)
				}
			}
			if s := strings.Join(list, " "); s != want || string(got.Next) != next {
				t.Errorf("%s: %s %s\n got %s next %s\nwant %s next %s", when, collection, body, s, got.Next, want, next)
			}
		}
		page("ids", `{"limit":2}`, "1 3", "10") // E6.1
		page("ids", `{"limit":2,"offset":10}`, "10 "+one, "null")
		page("ids", `{"limit":2,"offset":4}`, "10 "+one, "null")
		page("ids", `{"limit":1,"offset":10}`, "10", one)
		page("ids", `{"limit":1,"offset":`+one+`}`, one, "null")
		page("ids", `{"offset":"ffffffff-ffff-ffff-ffff-ffffffffffff"}`, "", "null")
		page("ids", `{"offset":18446744073709551615}`, one, "null")
		page("ids", `{"filter":{"must":[{"has_id":[3]}]}}`, "3", "null")
		page("ids", `{"limit":4}`, "1 3 10 "+one, "null")
		page("ids", `{"limit":999999999}`, "1 3 10 "+one, "null")
		page("ids", `{}`, "1 3 10 "+one, "null")

		page("order", `{"order_by":"n"}`, "2@1 1@5 4@5 2@9", "null") // E2.12
		page("order", `{"order_by":{"key":"n","direction":"desc","start_from":5}}`, "4@5 1@5 2@1", "null")
		page("order", `{"order_by":{"key":"n","direction":"asc","start_from":5}}`, "1@5 4@5 2@9", "null")
		page("order", `{"order_by":{"key":"n","start_from":4.5}}`, "1@5 4@5 2@9", "null")
		page("order", `{"order_by":{"key":"n","start_from":5.5}}`, "2@9", "null")
		page("order", `{"order_by":{"key":"n"},"limit":2}`, "2@1 1@5", "null")
		page("order", `{"order_by":"n","filter":{"must_not":[{"has_id":[1,2]}]}}`, "4@5", "null")
		page("order", `{"order_by":"d"}`, "2@1 1@1704067200000000 4@1704067200000000", "null")
		page("order", `{"order_by":{"key":"d","direction":"desc","start_from":"2023-12-31"}}`, "2@1", "null")
		page("order", `{"order_by":{"key":"d","start_from":"2024-01-01T00:00:00.000001Z"}}`, "", "null")
		page("order", `{"order_by":{"key":"d","start_from":2}}`, "1@1704067200000000 4@1704067200000000", "null")
		page("floats", `{"order_by":"n"}`, "2@-9.0 2@1.5 1@5.0 4@5.0 3@1e+300", "null")
		page("floats", `{"order_by":{"key":"n","direction":"desc"},"limit":3}`, "3@1e+300 4@5.0 1@5.0", "null")
		for _, key := range []string{"n", "k", "missing"} {
			c.refused(400, "No range index for `order_by` key: `"+key+"`", "POST", "/collections/lookup/points/scroll", `{"order_by":"`+key+`"}`)
		}
		c.refused(400, "Cannot use an `offset` when using `order_by`", "POST", "/collections/order/points/scroll", `{"order_by":"n","offset":1}`)
		c.refused(422, "must be 1 or larger", "POST", "/collections/order/points/scroll", `{"limit":0}`)
	}
	check("just written")
	c.seal("ids")
	c.seal("order")
	c.seal("floats")
	check("sealed")
	c.upsert("order", `{"id":1,"vector":[1],"payload":{"n":5,"d":"2024-01-01"}}`)
	check("rewritten")
	restart(&c, server)
	check("after a crash")
}

// TestSelections: what of a point is returned (§2.13, §6.3).
func TestSelections(t *testing.T) {
	t.Parallel()
	c, server := start(t)
	c.do("PUT", "/collections/c", `{"vectors":{"a":{"size":1,"distance":"Dot"},"m":{"size":1,"distance":"Dot","multivector_config":{"comparator":"max_sim"}}},"sparse_vectors":{"s":{}}}`, nil)
	c.upsert("c", `{"id":1,"vector":{"a":[1],"m":[[1],[2]],"s":{"indices":[1],"values":[1]}},"payload":{"a":[{"b":1,"c":2},{"b":3},5],"b":{"c":{"d":1},"e":null},"x":1,"y z":2}}`,
		`{"id":2,"vector":{"a":[2]}}`, `{"id":3,"vector":{}}`)
	// Unnamed beside named ones, and alone.
	c.do("PUT", "/collections/u", `{"vectors":{"":{"size":1,"distance":"Dot"}},"sparse_vectors":{"s":{}}}`, nil)
	c.upsert("u", `{"id":1,"vector":{"":[1],"s":{"indices":[1],"values":[1]}}}`, `{"id":2,"vector":[2]}`)
	payloads := []struct{ selector, want string }{
		{`true`, `{"a":[{"b":1,"c":2},{"b":3},5],"b":{"c":{"d":1},"e":null},"x":1,"y z":2}`},
		{`false`, ``},
		{`null`, ``},
		{`[]`, `{}`},
		{`["x"]`, `{"x":1}`},
		{`["x","nope","b.c"]`, `{"b":{"c":{"d":1}},"x":1}`},
		{`["\"y z\""]`, `{"y z":2}`},
		{`{"include":["b.c.d"]}`, `{"b":{"c":{"d":1}}}`},
		{`["a.b"]`, `{"a":[]}`},
		{`["a[].b"]`, `{"a":[{"b":1},{"b":3},5]}`},
		{`["a[].c"]`, `{"a":[{"c":2},{},5]}`},
		{`["a[0].b"]`, `{"a":[]}`},
		{`["x.y"]`, `{"x":1}`},
		{`{"exclude":["a"]}`, `{"b":{"c":{"d":1},"e":null},"x":1,"y z":2}`},
		{`{"exclude":["a[].b","b.c","x"]}`, `{"a":[{"c":2},{},5],"b":{"e":null},"y z":2}`},
		{`{"exclude":["nope"]}`, `{"a":[{"b":1,"c":2},{"b":3},5],"b":{"c":{"d":1},"e":null},"x":1,"y z":2}`},
	}
	vectors := []struct{ selector, one, two, three string }{
		{`true`, `{"a":[1],"m":[[1],[2]],"s":{"indices":[1],"values":[1]}}`, `{"a":[2]}`, `{}`},
		{`false`, ``, ``, ``},
		{`["a"]`, `{"a":[1]}`, `{"a":[2]}`, `{}`},
		{`["s","m"]`, `{"m":[[1],[2]],"s":{"indices":[1],"values":[1]}}`, `{}`, `{}`},
		{`[]`, `{}`, `{}`, `{}`},
	}
	same := func(got []byte, want string) bool {
		if want == "" || len(got) == 0 {
			return want == string(got)
		}
		return near(parse(string(got)), parse(want))
	}
	check := func(when string) {
		t.Helper()
		for _, p := range payloads {
			for how, r := range map[string][]record{
				"scroll":   c.scroll("c", `{"limit":1,"with_payload":`+p.selector+`}`).Points,
				"query":    c.query("c", `{"query":[1],"using":"a","filter":{"must":{"has_id":[1]}},"with_payload":`+p.selector+`}`),
				"list":     c.query("c", `{"limit":1,"with_payload":`+p.selector+`}`),
				"retrieve": c.retrieve("c", `{"ids":[1],"with_payload":`+p.selector+`}`),
			} {
				want := p.want
				if how == "scroll" && p.selector == "null" {
					want = payloads[0].want
				}
				if len(r) != 1 || !same(r[0].Payload, want) {
					t.Errorf("%s: %s with_payload %s\n got %s\nwant %s", when, how, p.selector, r[0].Payload, want)
				}
			}
		}
		for _, v := range vectors {
			for how, list := range map[string][]record{
				"scroll":   c.scroll("c", `{"with_vector":`+v.selector+`}`).Points,
				"scroll2":  c.scroll("c", `{"with_vectors":`+v.selector+`}`).Points,
				"retrieve": c.retrieve("c", `{"ids":[1,2,3],"with_vector":`+v.selector+`}`),
				"query":    c.query("c", `{"with_vector":`+v.selector+`}`),
			} {
				for i, want := range []string{v.one, v.two, v.three} {
					if !same(list[i].Vector, want) {
						t.Errorf("%s: %s with_vector %s of %d\n got %s\nwant %s", when, how, v.selector, i+1, list[i].Vector, want)
					}
				}
			}
		}
		c.refused(400, "Not existing vector name error: nope", "POST", "/collections/c/points/scroll", `{"with_vector":["nope"]}`)
		c.refused(400, "Not existing vector name error: nope", "POST", "/collections/c/points", `{"ids":[1],"with_vector":["a","nope"]}`)
		c.refused(400, "Not existing vector name error: nope", "POST", "/collections/c/points/query", `{"with_vector":["nope"]}`)
		u := c.scroll("u", `{"with_vector":true}`).Points
		if !same(u[0].Vector, `{"":[1],"s":{"indices":[1],"values":[1]}}`) || !same(u[1].Vector, `[2]`) {
			t.Errorf("%s: unnamed vectors %s, %s", when, u[0].Vector, u[1].Vector)
		}
		// Defaults (§6.3): a scroll has payloads, a query and a retrieve have none; nobody has vectors.
		if r := c.scroll("c", `{}`).Points[1]; string(r.Payload) != "{}" || r.Vector != nil || r.Version != nil {
			t.Errorf("%s: scroll gives %+v", when, r)
		}
		for how, r := range map[string]record{"query": c.query("c", `{}`)[0], "retrieve": c.retrieve("c", `{"ids":[1]}`)[0]} {
			if r.Payload != nil || r.Vector != nil {
				t.Errorf("%s: %s gives %+v", when, how, r)
			}
		}
		if got := ids(c.retrieve("c", `{"ids":[3,1,77,3,2,1]}`)); got != "3 1 2" {
			t.Errorf("%s: retrieved %s", when, got)
		}
		if got := ids(c.retrieve("c", `{"ids":[]}`)); got != "" {
			t.Errorf("%s: retrieved %s", when, got)
		}
		c.refused(404, "Not found: Point with id 77 does not exists!", "GET", "/collections/c/points/77", "")
		c.refused(400, `Can not recognize "x" as point id`, "GET", "/collections/c/points/x", "")
	}
	check("just written")
	c.seal("c")
	c.seal("u")
	check("sealed")
	restart(&c, server)
	check("after a crash")
}

func (c client) retrieve(collection, body string) (list []record) {
	c.t.Helper()
	c.do("POST", "/collections/"+collection+"/points", body, &list)
	return list
}

// TestRefusals: what a read may not ask for.
func TestRefusals(t *testing.T) {
	t.Parallel()
	c, _ := start(t)
	c.do("PUT", "/collections/c", `{"vectors":{"size":4,"distance":"Dot"}}`, nil)
	c.do("PUT", "/collections/n", `{"vectors":{"a":{"size":4,"distance":"Dot"},"m":{"size":2,"distance":"Dot","multivector_config":{"comparator":"max_sim"}}},"sparse_vectors":{"s":{},"i":{"modifier":"idf"}}}`, nil)
	c.upsert("c", `{"id":1,"vector":[1,2,3,4]}`)
	c.upsert("n", `{"id":1,"vector":{"a":[1,2,3,4]}}`)
	for _, r := range []struct {
		status                 int
		text, collection, body string
	}{
		{422, "Validation error in JSON body: [internal.limit: value 0 invalid, must be 1 or larger]", "c", `{"query":[1,2,3,4],"limit":0}`},
		{422, "internal.params.hnsw_ef: value 0 invalid, must be 1 or larger", "c", `{"query":[1,2,3,4],"params":{"hnsw_ef":0}}`},
		{422, "oversampling: value 0.5 invalid, must be 1.0 or larger", "c", `{"query":[1,2,3,4],"params":{"quantization":{"oversampling":0.5}}}`},
		{422, "max_selectivity", "c", `{"query":[1,2,3,4],"params":{"acorn":{"enable":true,"max_selectivity":1.5}}}`},
		{400, "Wrong input: Vector dimension error: expected dim: 4, got 3", "c", `{"query":[1,2,3]}`},
		{400, "Wrong input: Not existing vector name error: x", "c", `{"query":[1,2,3,4],"using":"x"}`},
		{400, "vector name", "n", `{"query":[1,2,3,4]}`},
		{400, "Wrong input: Conversion between multi and regular vectors failed", "n", `{"query":[[1,2,3,4]],"using":"a"}`},
		{400, "Wrong input: Conversion between sparse and regular vectors failed", "n", `{"query":{"indices":[1],"values":[1]},"using":"a"}`},
		{400, "Wrong input: Conversion between sparse and regular vectors failed", "n", `{"query":[1,2],"using":"s"}`},
		{422, "all vectors must have the same dimension, found vector with dimension 3", "n", `{"query":[[1,2],[1,2,3]],"using":"m"}`},
		{400, "Wrong input: Vector dimension error: expected dim: 2, got 3", "n", `{"query":[[1,2,3],[1,2,3]],"using":"m"}`},
		{400, "Wrong input: Vector dimension error: expected dim: 2, got 3", "n", `{"query":[1,2,3],"using":"m"}`},
		{400, "Wrong input: Validation failed: search param `idf` requires a sparse vector with the `idf` modifier, which vector \"s\" is not", "n",
			`{"query":{"indices":[1],"values":[1]},"using":"s","params":{"idf":"global"}}`},
		{404, "Not found: No point with id 7 found", "c", `{"query":7}`},
		{404, "Not found: Vector with name \"s\" for point not found", "n", `{"query":1,"using":"s"}`},
		{404, "Not found: Collection nowhere not found", "c", `{"query":[1,2,3,4],"lookup_from":{"collection":"nowhere"}}`},
		{400, "Bad request: A query is needed to merge the prefetches. Can't have prefetches without defining a query.", "c", `{"prefetch":{"query":[1,2,3,4]}}`},
		{400, "Bad request: A query is needed to use the score_threshold. Can't have score_threshold without defining a query.", "c", `{"score_threshold":1}`},
		{400, "Format error in JSON body", "c", `{"query":[1,2,"x",4]}`},
		{400, "Format error in JSON body", "c", `{"query":[1,2,1e39,4]}`},
		{400, "Format error in JSON body", "c", `{"limit":-1}`},
		// Filters (§3.1).
		{400, "unknown field `musst`", "c", `{"filter":{"musst":[]}}`},
		{422, "At least one field condition must be specified", "c", `{"filter":{"must":[{"key":"k"}]}}`},
		{400, "Filter condition 'key' must be a string", "c", `{"filter":{"must":[{"key":5,"match":{"value":1}}]}}`},
		{422, "min_count must be greater than 0", "c", `{"filter":{"min_should":{"conditions":[],"min_count":0}}}`},
		{400, "min_count", "c", `{"filter":{"min_should":{"conditions":[]}}}`},
		{400, "Invalid json path: 'a..b'", "c", `{"filter":{"must":[{"key":"a..b","match":{"value":1}}]}}`},
		{400, "Format error in JSON body", "c", `{"filter":{"must":[{"key":"a","match":{"value":1.5}}]}}`},
		{400, "Format error in JSON body", "c", `{"filter":{"must":[{"key":"a","match":{"any":[1.5]}}]}}`},
		{400, "Format error in JSON body", "c", `{"filter":{"must":[{"key":"a","match":{"any":[1,"a"]}}]}}`},
		{400, "Format error in JSON body", "c", `{"filter":{"must":[{"key":"a","match":{"value":null}}]}}`},
		{400, "Format error in JSON body", "c", `{"filter":{"must":[{"key":"a","match":{"value":9223372036854775808}}]}}`},
		{400, "'soon' does not match accepted datetime format (RFC3339). Example: 2014-01-01T00:00:00Z", "c", `{"filter":{"must":[{"key":"a","range":{"gt":"soon"}}]}}`},
		{400, "Wrong format of GeoPoint payload: expected `lat` = 91 within [-90;90] and `lon` = 0 within [-180;180]", "c",
			`{"filter":{"must":[{"key":"a","geo_radius":{"center":{"lon":0,"lat":91},"radius":1}}]}}`},
		{400, "polygon invalid, the size must be at least 4, got 3", "c",
			`{"filter":{"must":[{"key":"a","geo_polygon":{"exterior":{"points":[{"lon":0,"lat":0},{"lon":1,"lat":0},{"lon":0,"lat":0}]}}}]}}`},
		{400, "polygon invalid, the first and the last points should be the same to form a closed line", "c",
			`{"filter":{"must":[{"key":"a","geo_polygon":{"exterior":{"points":[{"lon":0,"lat":0},{"lon":1,"lat":0},{"lon":1,"lat":1},{"lon":0,"lat":1}]}}}]}}`},
		{422, "Slice index must be less than the total number of slices", "c", `{"filter":{"must":[{"slice":{"total":2,"index":2}}]}}`},
		{400, "", "c", `{"filter":{"must":[{"slice":{"total":0,"index":0}}]}}`},
		{400, "not a valid point ID", "c", `{"filter":{"must":[{"has_id":["x"]}]}}`},
	} {
		c.refused(r.status, r.text, "POST", "/collections/"+r.collection+"/points/query", r.body)
	}
	c.refused(404, "Collection `nowhere` doesn't exist!", "POST", "/collections/nowhere/points/query", `{"query":[1]}`)
	c.refused(422, "the 'lookup' and 'range' capabilities can't be both disabled", "PUT", "/collections/c/index",
		`{"field_name":"n","field_schema":{"type":"integer","lookup":false,"range":false}}`)
	c.refused(400, "timeout", "POST", "/collections/c/points/query?timeout=0", `{}`)
	c.refused(400, "consistency", "POST", "/collections/c/points/query?consistency=some", `{}`)
}
