package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sextantdb/sextant"
)

// errorText takes the text out of an envelope.
func errorText(t *testing.T, body string) string {
	t.Helper()
	var e struct {
		Status struct {
			Error string `json:"error"`
		} `json:"status"`
		Result *json.RawMessage `json:"result"`
		Time   *float64         `json:"time"`
	}
	if err := json.Unmarshal([]byte(body), &e); err != nil || e.Result != nil || e.Time == nil {
		t.Fatalf("no error envelope: %v %s", err, body)
	}
	return e.Status.Error
}

// Every kind has one status and one prefix, and nothing else decides them.
func TestEveryKindHasItsStatusAndPrefix(t *testing.T) {
	want := map[sextant.Kind]string{
		sextant.Internal: "500 Service internal error: x", sextant.WrongInput: "400 Wrong input: x", sextant.BadRequest: "400 Bad request: x",
		sextant.Malformed: "400 x", sextant.Invalid: "422 x", sextant.NotFound: "404 Not found: x", sextant.Exists: "409 Wrong input: x",
		sextant.Checksum: "400 x", sextant.Unauthenticated: "401 x", sextant.Forbidden: "403 Forbidden: x", sextant.Locked: "403 Storage locked: x",
		sextant.Standalone: "405 x", sextant.Timeout: "408 Timeout: x", sextant.RateLimited: "429 Rate limiting exceeded: x",
		sextant.Quota: "507 Insufficient storage: x", sextant.Unavailable: "503 Shard temporarily unavailable: x",
		sextant.Precondition: "500 Pre-condition failure: Precondition failed: x", sextant.Unchanged: "304 x",
		sextant.Corrupt: "500 Service internal error: x", sextant.NotImplemented: "501 Not implemented: x",
	}
	for _, k := range sextant.Kinds() {
		if a := answerOf(k); fmt.Sprintf("%d %sx", a.status, a.prefix) != want[k] {
			t.Errorf("%v: %v, want %q", k, a, want[k])
		}
	}
	f, h := newFake()
	f.err = sextant.Errorf(sextant.NotFound, "Collection `c` doesn't exist!")
	status, body, head := do(t, h, "GET", "/collections/c", "")
	if status != 404 || errorText(t, body) != "Not found: Collection `c` doesn't exist!" || head.Get("Content-Type") != jsonText {
		t.Errorf("%d %s %v", status, body, head)
	}
	f.err = &sextant.Error{Kind: sextant.RateLimited, Text: "Read rate limit exceeded", RetryAfter: 1100e6}
	if status, _, head = do(t, h, "GET", "/collections/c", ""); status != 429 || head.Get("Retry-After") != "2" {
		t.Errorf("%d %v", status, head)
	}
	f.err = fmt.Errorf("disk on fire")
	if status, body, _ = do(t, h, "GET", "/collections/c", ""); status != 500 || errorText(t, body) != "Service internal error: disk on fire" {
		t.Errorf("%d %s", status, body)
	}
}

// badBodies is every refusal that the edge itself makes, by route: body, status, part of the text ("=" at the start: all).
var badBodies = []struct{ method, path, body, want string }{
	{"PUT", "/collections/c/points", ``, `400 Format error in JSON body: EOF while parsing a value`},
	{"PUT", "/collections/c/points", `{`, `400 Format error in JSON body: EOF while parsing an object`},
	{"PUT", "/collections/c/points", `{}`, `400 Format error in JSON body: Invalid PointInsertOperations format`},
	{"PUT", "/collections/c/points", `{"points":[]}`, `400=Bad request: Empty update request`},
	{"PUT", "/collections/c/points", `{"batch":{"ids":[],"vectors":[]}}`, `400=Bad request: Empty update request`},
	{"PUT", "/collections/c/points", `{"points":[{"id":-1,"vector":[1]}]}`, `400 Format error in JSON body: value -1 is not a valid point ID, valid values are either an unsigned integer or a UUID`},
	{"PUT", "/collections/c/points", `{"points":[{"id":"1","vector":[1]}]}`, `400 value "1" is not a valid point ID`},
	{"PUT", "/collections/c/points", `{"points":[{"id":1.5,"vector":[1]}]}`, `400 value 1.5 is not a valid point ID`},
	{"PUT", "/collections/c/points", `{"points":[{"id":18446744073709551616,"vector":[1]}]}`, `400 is not a valid point ID`},
	{"PUT", "/collections/c/points", `{"points":[{"id":1}]}`, "400 missing field `vector`"},
	{"PUT", "/collections/c/points", `{"points":[{"vector":[1]}]}`, "400 missing field `id`"},
	{"PUT", "/collections/c/points", `{"points":[{"id":1,"vector":[]}]}`, `422=Validation error in JSON body: [points[0].vector: dense vector must not be empty]`},
	{"PUT", "/collections/c/points", `{"points":[{"id":1,"vector":{"a":[]}}]}`, `422=Validation error in JSON body: [points[0].vector.?: dense vector must not be empty]`},
	{"PUT", "/collections/c/points", `{"points":[{"id":1,"vector":[1,"x"]}]}`, "400 invalid type: string \"x\", expected f32"},
	{"PUT", "/collections/c/points", `{"points":[{"id":1,"vector":[1e39]}]}`, "400 number out of range"},
	{"PUT", "/collections/c/points", `{"points":[{"id":1,"vector":[NaN]}]}`, "400 Format error in JSON body: expected a value"},
	{"PUT", "/collections/c/points", `{"points":[{"id":1,"vector":[null]}]}`, "400 invalid type: null, expected f32"},
	{"PUT", "/collections/c/points", `{"points":[{"id":1,"vector":"x"}]}`, "400 data did not match any variant of untagged enum VectorStruct"},
	{"PUT", "/collections/c/points", `{"points":[{"id":1,"vector":{"a":[[1,2],[]]}}]}`, `422=Validation error in JSON body: [points[0].vector.?.data: all vectors must be non-empty]`},
	{"PUT", "/collections/c/points", `{"points":[{"id":1,"vector":{"a":[[1,2],[1,2,3]]}}]}`, `422=Validation error in JSON body: [points[0].vector.?.data: all vectors must have the same dimension, found vector with dimension 3]`},
	{"PUT", "/collections/c/points", `{"points":[{"id":1,"vector":{"a":{"indices":[1],"values":[1,2]}}}]}`, `422=Validation error in JSON body: [points[0].vector.?.values: Validation error: must be the same length as indices [{}]]`},
	{"PUT", "/collections/c/points", `{"points":[{"id":1,"vector":{"a":{"indices":[1,1],"values":[1,2]}}}]}`, `422=Validation error in JSON body: [points[0].vector.?.indices: Validation error: must be unique [{}]]`},
	{"PUT", "/collections/c/points", `{"points":[{"id":1,"vector":{"a":{"indices":[-1],"values":[1]}}}]}`, "400 invalid value: integer `-1`, expected u32"},
	{"PUT", "/collections/c/points", `{"points":[{"id":1,"vector":{"text":"x","model":"m"}}]}`, `500=Service internal error: InferenceService is not initialized. Please check if it was properly configured and initialized during startup.`},
	{"PUT", "/collections/c/points", `{"points":[{"id":1,"vector":{"a":{"image":"x","model":"m"}}}]}`, `500 InferenceService is not initialized`},
	{"PUT", "/collections/c/points", `{"points":[{"id":1,"vector":{"a":{"text":"x","model":"qdrant/bm25"}}}]}`, `501 Not implemented: inference of model "qdrant/bm25"`},
	{"PUT", "/collections/c/points", `{"points":[{"id":1,"vector":[1],"payload":[]}]}`, "400 invalid type: sequence, expected a map"},
	{"PUT", "/collections/c/points", `{"points":[{"id":1,"vector":[1],"payload":{"a":1e999}}]}`, "400 Format error in JSON body"},
	{"PUT", "/collections/c/points", `{"points":[{"id":1,"vector":[1],"payload":{"a":}}]}`, "400 Format error in JSON body: expected a value at line 1 column 48"},
	{"PUT", "/collections/c/points", `{"points":[{"id":1,"vector":[1]}],"update_mode":"x"}`, "400 unknown variant `x`, expected one of `upsert`, `insert_only`, `update_only`"},
	{"PUT", "/collections/c/points", `{"points":[{"id":1,"vector":[1]}],"update_filter":{"musst":[]}}`, "400 unknown field `musst`, expected one of `should`, `min_should`, `must`, `must_not`"},
	{"PUT", "/collections/c/points", `{"points":[{"id":1,"vector":[1]}]} x`, "400 trailing characters"},
	{"PUT", "/collections/c/points", `{"points":[{"id":1,"vector":[1]}],"shard_key":true}`, "400 Format error in JSON body: Expected a string or an integer"},
	{"PUT", "/collections/c/points", `{"batch":{"ids":[1,2],"vectors":[[1],[2],[3]]}}`, "422 number of ids and vectors must be equal (2 != 3)"},
	{"PUT", "/collections/c/points", `{"batch":{"ids":[1,2],"vectors":[[1],[2]],"payloads":[{}]}}`, "422 number of ids and payloads must be equal (2 != 1)"},
	{"PUT", "/collections/c/points", `{"batch":{"ids":[1],"vectors":[{"indices":[1],"values":[1]}]}}`, "400 untagged enum BatchVectorStruct"},
	{"PUT", "/collections/c/points?wait=yes", `{}`, "400 Deserialize error in query parameters: "},
	{"PUT", "/collections/c/points?ordering=best", `{}`, "400 Deserialize error in query parameters: unknown variant `best`"},
	{"PUT", "/collections/c/points?timeout=-1", `{}`, "400 Deserialize error in query parameters: "},
	{"PUT", "/collections/c/points/vectors", `{"points":[]}`, "422=Validation error in JSON body: [points: must specify points to update]"},
	{"PUT", "/collections/c/points/vectors", `{"points":[{"id":1,"vector":{}}]}`, "422=Validation error in JSON body: [points[0].vector: must specify vectors to update for point]"},
	{"POST", "/collections/c/points/vectors/delete", `{"points":[1],"vector":[]}`, "422 must specify vector names to delete"},
	{"POST", "/collections/c/points/vectors/delete", `{"vector":["a"]}`, "400=Bad request: No filter or points provided"},
	{"POST", "/collections/c/points/payload", `{"payload":{"a":1}}`, "400=Format error in JSON body: Either list of point ids or filter must be provided"},
	{"POST", "/collections/c/points/payload", `{"payload":{"a":1},"points":[1],"key":"a..b"}`, "400 Format error in JSON body: Invalid json path: 'a..b'"},
	{"POST", "/collections/c/points/payload", `{"points":[1]}`, "400 missing field `payload`"},
	{"POST", "/collections/c/points/payload", `{"payload":{},"points":[]}`, "400=Bad request: Empty update request"},
	{"POST", "/collections/c/points/payload/delete", `{"keys":["a"]}`, "400=Format error in JSON body: Either list of point ids or filter must be provided"},
	{"POST", "/collections/c/points/delete", `{}`, "400 data did not match any variant of untagged enum PointsSelector"},
	{"POST", "/collections/c/points/delete", `{"filter":{"must_":[]}}`, "400 unknown field `must_`"},
	{"POST", "/collections/c/points/batch", `{"operations":[{}]}`, "400 untagged enum UpdateOperation"},
	{"POST", "/collections/c/points/batch", `{"operations":[{"upsert":{"points":[{"id":1,"vector":[]}]}}]}`, "422 [operations[0].upsert.points[0].vector: dense vector must not be empty]"},
	{"POST", "/collections/c/points/scroll", `{"limit":0}`, "422 limit: value 0 invalid, must be 1 or larger"},
	{"POST", "/collections/c/points/scroll", `{"limit":-1}`, "400 invalid value: integer `-1`, expected u64"},
	{"POST", "/collections/c/points/scroll", `{"offset":1,"order_by":"a"}`, "400 Wrong input: Cannot use an `offset` when using `order_by`. "},
	{"POST", "/collections/c/points/scroll", `{"order_by":1}`, "400 Format error in JSON body: Expected a string, or an object with a key, direction and/or start_from"},
	{"POST", "/collections/c/points/scroll", `{"with_payload":1}`, "400 Format error in JSON body: Expected a boolean, an array of strings, or an object with an include/exclude field"},
	{"POST", "/collections/c/points/scroll", `{"with_payload":{"includes":["a"]}}`, "400 unknown field `includes`, expected `include` or `exclude`"},
	{"POST", "/collections/c/points/scroll", `{"with_vector":{"a":1}}`, "400 Format error in JSON body: Expected a boolean, or an array of strings"},
	{"POST", "/collections/c/points/scroll?timeout=0", `{}`, "400 Deserialize error in query parameters: "},
	{"POST", "/collections/c/points/scroll?consistency=most", `{}`, "400 Deserialize error in query parameters: "},
	{"POST", "/collections/c/points/scroll?consistency=0", `{}`, "400 Deserialize error in query parameters: "},
	{"GET", "/collections/c/points/abc", ``, `400=Wrong input: Can not recognize "abc" as point id`},
	{"GET", "/collections/c/points/77", ``, `404=Not found: Point with id 77 does not exists!`},
	{"POST", "/collections/c/points", `{}`, "400 missing field `ids`"},
	{"POST", "/collections/c/points/query", `{"query":true}`, "400 Format error in JSON body: Expected some form of vector, id, or a type of query"},
	{"POST", "/collections/c/points/query", `{"query":"x"}`, "400 Format error in JSON body: Expected some form of vector, id, or a type of query"},
	{"POST", "/collections/c/points/query", `{"query":{"what":1}}`, "400 Format error in JSON body: Expected some form of vector, id, or a type of query"},
	{"POST", "/collections/c/points/query", `{"query":[1],"limit":0}`, "422=Validation error in JSON body: [internal.limit: value 0 invalid, must be 1 or larger]"},
	{"POST", "/collections/c/points/query", `{"query":[]}`, "422=Validation error in JSON body: [internal.query: dense vector must not be empty]"},
	{"POST", "/collections/c/points/query", `{"query":[1],"params":{"hnsw_ef":0}}`, "422 [internal.params.hnsw_ef: value 0 invalid, must be 1 or larger]"},
	{"POST", "/collections/c/points/query", `{"query":[1],"params":{"quantization":{"oversampling":0.5}}}`, "422 [internal.params.quantization.oversampling: value 0.5 invalid, must be 1.0 or larger]"},
	{"POST", "/collections/c/points/query", `{"query":[1],"params":{"acorn":{"max_selectivity":-1}}}`, "422 value -1.0 invalid, must be from 0.0 to 1.0"},
	{"POST", "/collections/c/points/query", `{"score_threshold":1}`, "400=Bad request: A query is needed to use the score_threshold. Can't have score_threshold without defining a query."},
	{"POST", "/collections/c/points/query", `{"prefetch":{"query":[1]}}`, "400=Bad request: A query is needed to merge the prefetches. Can't have prefetches without defining a query."},
	{"POST", "/collections/c/points/query", `{"prefetch":{"query":[1]},"query":[1]}`, "501=Not implemented: a query with prefetch is not supported by this version"},
	{"POST", "/collections/c/points/query", `{"query":{"recommend":{"positive":[1]}}}`, `501=Not implemented: query of kind "recommend" is not supported by this version`},
	{"POST", "/collections/c/points/query", `{"query":{"nearest":[1],"mmr":{"diversity":0.5}}}`, `501=Not implemented: query of kind "mmr" is not supported by this version`},
	{"POST", "/collections/c/points/query/batch", `{"searches":[{"query":[1],"limit":0}]}`, "422=Validation error in JSON body: [searches[0].internal.limit: value 0 invalid, must be 1 or larger]"},
	{"POST", "/collections/c/points/search", `{"vector":[1]}`, "400 missing field `limit`"},
	{"POST", "/collections/c/points/search", `{"vector":[1],"limit":0}`, "422=Validation error in JSON body: [search_request.limit: value 0 invalid, must be 1 or larger]"},
	{"POST", "/collections/c/points/search", `{"vector":"x","limit":1}`, "400 untagged enum NamedVectorStruct"},
	{"PUT", "/collections/c", `{"vectors":{"size":0,"distance":"Dot"}}`, "400 invalid value: integer `0`"},
	{"PUT", "/collections/c", `{"vectors":{"size":65537,"distance":"Dot"}}`, "422=Validation error in JSON body: [vectors.size: value 65537 invalid, must be from 1 to 65536]"},
	{"PUT", "/collections/c", `{"vectors":{"a":{"size":65537,"distance":"Dot"}}}`, "422=Validation error in JSON body: [vectors.?.size: value 65537 invalid, must be from 1 to 65536]"},
	{"PUT", "/collections/c", `{"vectors":{"size":4,"distance":"Foo"}}`, "400 Format error in JSON body: unknown variant `Foo`, expected one of `Cosine`, `Euclid`, `Dot`, `Manhattan`"},
	{"PUT", "/collections/c", `{"vectors":{"size":4}}`, "400 missing field `distance`"},
	{"PUT", "/collections/c", `{"vectors":{"size":"x","distance":"Dot"}}`, "400 invalid type: string \"x\", expected u64"},
	{"PUT", "/collections/c", `{"vectors":{"size":4,"distance":"Dot","memory":"pinned"}}`, "422 `pinned` memory placement is not supported for dense vector storage"},
	{"PUT", "/collections/c", `{"payload":{"memory":"pinned"}}`, "422 `pinned` memory placement is not supported for payload storage"},
	{"PUT", "/collections/c", `{"shard_number":0}`, "422=Validation error in JSON body: [shard_number: value 0 invalid, must be 1 or larger]"},
	{"PUT", "/collections/c", `{"replication_factor":0}`, "422 [replication_factor: value 0 invalid, must be 1 or larger]"},
	{"PUT", "/collections/c", `{"hnsw_config":{"ef_construct":3}}`, "422=Validation error in JSON body: [hnsw_config.ef_construct: value 3 invalid, must be 4 or larger]"},
	{"PUT", "/collections/c", `{"sparse_vectors":{"a":{"index":{"datatype":"turbo4"}}}}`, "422 sparse vectors do not support the `turbo4` datatype"},
	{"PUT", "/collections/c", `{"quantization_config":{"foo":{}}}`, "400 untagged enum QuantizationConfig"},
	{"PUT", "/collections/c", `{"quantization_config":{"scalar":{"type":"int8","quantile":0.2}}}`, "422 invalid, must be from 0.5 to 1.0"},
	{"PUT", "/collections/c", `{"strict_mode_config":{"max_query_limit":0}}`, "422 [strict_mode_config.max_query_limit: value 0 invalid, must be 1 or larger]"},
	{"PUT", "/collections/c?timeout=0", `{}`, "422=Validation error in query parameters: [timeout: value 0 invalid, must be 1 or larger]"},
	{"PUT", "/collections/a%3Fb", `{}`, `422=Validation error in path parameters: [collection_name: collection name cannot contain "?" char]`},
	{"PUT", "/collections/" + strings.Repeat("x", 256), `{}`, `422 must be from 1 to 255 characters`},
	{"GET", "/collections/a%2Fb", ``, `422 collection name cannot contain "/" char`},
	{"PATCH", "/collections/c", `{"params":{"replication_factor":0}}`, "400 invalid value: integer `0`, expected a nonzero u32"},
	{"PATCH", "/collections/c", `{"optimizers_config":{"max_optimization_threads":"all"}}`, "400 unknown variant `all`, expected `auto`"},
	{"PATCH", "/collections/c", `{"quantization_config":"disabled"}`, "400 unknown variant `disabled`, expected `Disabled`"},
	{"PUT", "/collections/c/vectors/v", `{"dense":{"size":0,"distance":"Dot"}}`, "422 [dense.size: value 0 invalid, must be from 1 to 65536]"},
	{"PUT", "/collections/c/vectors/v", `{}`, "400 untagged enum VectorNameConfig"},
	{"PUT", "/collections/c/index", `{"field_name":"a"}`, "400=Bad request: Can't auto-detect field type, please specify `field_schema` in the request"},
	{"PUT", "/collections/c/index", `{"field_name":"a","field_schema":"keywords"}`, "400 unknown variant `keywords`, expected one of `keyword`, `integer`"},
	{"PUT", "/collections/c/index", `{"field_name":"a","field_schema":{"type":"integer","lookup":false,"range":false}}`, "422 the 'lookup' and 'range' capabilities can't be both disabled"},
	{"PUT", "/collections/c/index", `{"field_name":"a b","field_schema":"keyword"}`, "400 Invalid json path: 'a b'"},
	{"POST", "/collections/aliases", `{"actions":[{}]}`, "400 untagged enum AliasOperations"},
	{"GET", "/collections/c/optimizations?with=x", ``, "400=Wrong input: Unknown field in 'with' parameter: x"},
	{"GET", "/collections/c/shards/x/snapshots", ``, "400 Deserialize error in path parameters: "},
	{"PUT", "/collections/c/snapshots/recover", `{}`, "400 missing field `location`"},
	{"PUT", "/collections/c/snapshots/recover", `{"location":"a","checksum":"x"}`, "422 invalid_sha256_hash"},
	{"POST", "/collections/c/snapshots/upload?checksum=x", ``, "422 invalid_sha256_hash"},
	{"POST", "/collections/c/snapshots/upload?priority=x", ``, "400 unknown variant `x`"},
	{"POST", "/collections/c/snapshots/upload", `x`, "400 Bad request: "},
	{"POST", "/collections/c/cluster", `{}`, "405=Qdrant is running in standalone mode"},
	{"PUT", "/collections/c/shards", `{}`, "405=Qdrant is running in standalone mode"},
	{"POST", "/cluster/recover", ``, "405=Qdrant is running in standalone mode"},
	{"DELETE", "/cluster/peer/1", ``, "405=Qdrant is running in standalone mode"},
	{"POST", "/collections/c/points/recommend", `{}`, "501=Not implemented: POST /collections/{collection_name}/points/recommend is not supported by this version"},
	{"POST", "/collections/c/facet", `{}`, "501=Not implemented: POST /collections/{collection_name}/facet is not supported by this version"},
	{"GET", "/quotas", ``, "501=Not implemented: GET /quotas is not supported by this version"},
}

// badConditions is what filters refuse: condition, status, part of the text.
var badConditions = []struct{ condition, want string }{
	{`1`, `400 Format error in JSON body: Expected some form of condition, which can be a field condition (like {"key": ..., "match": ... }), or some other mentioned in the documentation: https://qdrant.tech/documentation/concepts/filtering/#filtering-conditions`},
	{`{"what":1}`, `400 Expected some form of condition`},
	{`{"key":5,"match":{"value":1}}`, `400 Filter condition 'key' must be a string`},
	{`{"key":"a"}`, `422 At least one field condition must be specified`},
	{`{"key":"a..b","match":{"value":1}}`, `400 Invalid json path: 'a..b'`},
	{`{"key":"a","match":{"value":1.5}}`, `400 untagged enum ValueVariants`},
	{`{"key":"a","match":{"value":9223372036854775808}}`, `400 untagged enum ValueVariants`},
	{`{"key":"a","match":{"any":["x",1]}}`, `400 untagged enum AnyVariants`},
	{`{"key":"a","match":{"any":[1.5]}}`, `400 untagged enum AnyVariants`},
	{`{"key":"a","match":{"except":[true]}}`, `400 untagged enum AnyVariants`},
	{`{"key":"a","match":{"what":1}}`, `400 untagged enum Match`},
	{`{"key":"a","match":"x"}`, `400 untagged enum Match`},
	{`{"key":"a","range":{"gt":"2014-13"}}`, `400 '2014-13' does not match accepted datetime format (RFC3339). Example: 2014-01-01T00:00:00Z`},
	{`{"key":"a","range":{"gt":1,"lt":"2014-01-01"}}`, `400 untagged enum RangeInterface`},
	{`{"key":"a","geo_radius":{"center":{"lat":91,"lon":0},"radius":1}}`, "400 Wrong format of GeoPoint payload: expected `lat` = 91 within [-90;90] and `lon` = 0 within [-180;180]"},
	{`{"key":"a","geo_polygon":{"exterior":{"points":[{"lat":0,"lon":0},{"lat":0,"lon":1},{"lat":0,"lon":0}]}}}`, `400 polygon invalid, the size must be at least 4, got 3`},
	{`{"key":"a","geo_polygon":{"exterior":{"points":[{"lat":0,"lon":0},{"lat":0,"lon":1},{"lat":1,"lon":0},{"lat":1,"lon":1}]}}}`, `400 polygon invalid, the first and the last points should be the same to form a closed line`},
	{`{"has_id":[-1]}`, `400 value -1 is not a valid point ID`},
	{`{"slice":{"total":0,"index":0}}`, `400 invalid value: integer`},
	{`{"slice":{"total":2,"index":2}}`, `422 Slice index must be less than the total number of slices`},
	{`{"min_should":{"conditions":[]}}`, "400 missing field `min_count`"},
	{`{"min_should":{"conditions":[],"min_count":0}}`, `422 min_count must be greater than 0`},
	{`{"nested":{"key":"a"}}`, "400 missing field `filter`"},
	{`{"nested":{"key":"a","filter":{"mst":[]}}}`, "400 unknown field `mst`"},
	{`{"must":[],"mustnot":[]}`, "400 unknown field `mustnot`"},
	{`{"key":"a","values_count":{"gt":-1}}`, "400 expected u64"},
	{`{"is_empty":{"key":1}}`, "400 expected a string"},
}

func TestRefusalsHaveTheirTexts(t *testing.T) {
	f, h := newFake()
	cases := badBodies
	for _, c := range badConditions {
		for _, clause := range []string{`{"filter":{"must":[%s]}}`, `{"filter":{"should":%s}}`, `{"filter":{"must_not":[{"must":%s}]}}`} {
			cases = append(cases, struct{ method, path, body, want string }{"POST", "/collections/c/points/delete", fmt.Sprintf(clause, c.condition), c.want})
		}
	}
	for _, c := range cases {
		status, body, _ := do(t, h, c.method, c.path, c.body)
		text := errorText(t, body)
		want := c.want[4:]
		if http.StatusText(status) == "" || fmt.Sprint(status) != c.want[:3] || !strings.Contains(text, want) || c.want[3] == '=' && text != want {
			t.Errorf("%s %s %s: %d %s\nwant %s", c.method, c.path, c.body, status, text, c.want)
		}
	}
	if len(f.updates)+len(f.queries) > 0 || f.created.Vectors != nil {
		t.Errorf("a refused request reached the node: %v %v %v", f.updates, f.queries, f.created)
	}
}
