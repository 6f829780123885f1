package rest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"strconv"
	"strings"
	"testing"

	"github.com/sextantdb/sextant/internal/config"
	"github.com/sextantdb/sextant/internal/node"
)

// story is a life with a real node: request, then what the answer must begin with behind `{"result":`, or its status and a
// part of its error.
const story = `
GET /collections
{"collections":[]}
PUT /collections/c {"vectors":{"size":4,"distance":"Cosine"},"sparse_vectors":{"s":{"modifier":"idf"}},"metadata":{"a":1}}
true
PUT /collections/c {}
409 Collection ?c? already exists!
PUT /collections/named {"vectors":{"a":{"size":2,"distance":"Dot"},"m":{"size":2,"distance":"Dot","multivector_config":{"comparator":"max_sim"}}}}
true
GET /collections
{"collections":[{"name":"c"},{"name":"named"}]}
GET /collections/c/exists
{"exists":true}
POST /collections/aliases {"actions":[{"create_alias":{"collection_name":"c","alias_name":"now"}}]}
true
GET /aliases
{"aliases":[{"alias_name":"now","collection_name":"c"}]}
PUT /collections/c/points?wait=true {"points":[{"id":1,"vector":[3,0,4,0],"payload":{"k":"a","n":4}},{"id":2,"vector":{"":[0,1,0,0],"s":{"indices":[7,1],"values":[1,2]}},"payload":{"k":["a","b"],"n":[1,9]}},{"id":"936DA01F-9ABD-4D9D-80C7-02AF85C822A8","vector":{},"payload":{"k":null,"big":18446744073709551615}}]}
{"operation_id":
PUT /collections/c/points?wait=true {"points":[{"id":1,"vector":[1,2,3]}]}
400 Wrong input: Vector dimension error: expected dim: 4, got 3
PUT /collections/c/points?wait=true {"points":[{"id":1,"vector":{"x":[1]}}]}
400 Not existing vector name error: x
PUT /collections/nope/points {"points":[{"id":1,"vector":[1]}]}
404 Not found: Collection ?nope? doesn't exist!
POST /collections/now/points {"ids":[2,1,2,77],"with_vector":true,"with_payload":["k"]}
[{"id":2,"payload":{"k":["a","b"]},"vector":{"":[0,1,0,0],"s":{"indices":[1,7],"values":[2,1]}}},{"id":1,"payload":{"k":"a"},"vector":[0.6,0,0.8,0]}]
GET /collections/c/points/936da01f-9abd-4d9d-80c7-02af85c822a8
{"id":"936da01f-9abd-4d9d-80c7-02af85c822a8","payload":{"k":null,"big":18446744073709551615},"vector":{}}
GET /collections/c/points/7
404 Not found: Point with id 7 does not exists!
POST /collections/c/points/scroll {"limit":2,"with_payload":false}
{"points":[{"id":1},{"id":2}],"next_page_offset":"936da01f-9abd-4d9d-80c7-02af85c822a8"}
POST /collections/c/points/scroll {"limit":999999999,"with_payload":false,"filter":{"must_not":[{"key":"k","match":{"value":"a"}}]}}
{"points":[{"id":"936da01f-9abd-4d9d-80c7-02af85c822a8"}],"next_page_offset":null}
POST /collections/c/points/scroll {"order_by":"n"}
400 Wrong input: No range index for ?order_by? key: ?n?. Please create one to use ?order_by?.
PUT /collections/c/index?wait=true {"field_name":"n","field_schema":"integer"}
{"operation_id":
PUT /collections/c/index?wait=true {"field_name":"k","field_schema":{"type":"keyword","is_tenant":true}}
{"operation_id":
POST /collections/c/points/scroll {"order_by":{"key":"n","direction":"desc"},"with_payload":false}
{"points":[{"id":2,"order_value":9},{"id":1,"order_value":4},{"id":2,"order_value":1}],"next_page_offset":null}
POST /collections/c/points/count {}
{"count":3}
POST /collections/c/points/count {"filter":{"must":[{"key":"n","range":{"gt":3,"lt":5}}]}}
{"count":1}
POST /collections/c/points/query {"query":[3,0,4,0],"limit":1}
{"points":[{"id":1,"version":
POST /collections/c/points/query {"query":1,"with_payload":{"exclude":["n"]}}
{"points":[{"id":2,"version":
POST /collections/c/points/query {"query":{"nearest":{"indices":[1],"values":[1]}},"using":"s"}
{"points":[{"id":2,"version":
POST /collections/c/points/query {"query":[1,0,0,0],"using":"nope"}
400 Not existing vector name error: nope
POST /collections/c/points/query {"query":77}
404 Not found: No point with id 77 found
POST /collections/c/points/query {"limit":1}
{"points":[{"id":1,"version":0,"score":1}]}
POST /collections/c/points/query/batch {"searches":[{"query":[3,0,4,0],"limit":1,"score_threshold":2},{}]}
[{"points":[]},{"points":[{"id":1,
POST /collections/c/points/search {"vector":[3,0,4,0],"limit":1,"with_vector":true}
[{"id":1,"version":
POST /collections/c/points/search/batch {"searches":[]}
[]
POST /collections/c/points/payload?wait=true {"payload":{"k":null,"new":{"x":1.0}},"points":[1]}
{"operation_id":
POST /collections/c/points/payload?wait=true {"payload":{"y":2},"points":[1],"key":"new"}
{"operation_id":
GET /collections/c/points/1
{"id":1,"payload":{"n":4,"new":{"x":1.0,"y":2}},"vector":[0.6,0,0.8,0]}
POST /collections/c/points/payload?wait=true {"payload":{"y":2},"points":[99]}
404 Not found: No point with id 99 found
PUT /collections/c/points/payload?wait=true {"payload":{"z":1},"filter":{"must":[{"has_id":[1]}]}}
{"operation_id":
POST /collections/c/points/payload/delete?wait=true {"keys":["k","n[]"],"points":[2]}
{"operation_id":
POST /collections/c/points/vectors/delete?wait=true {"vector":["s"],"points":[2]}
{"operation_id":
PUT /collections/c/points/vectors?wait=true {"points":[{"id":1,"vector":{"s":{"indices":[3],"values":[1]}}}]}
{"operation_id":
POST /collections/c/points {"ids":[1,2],"with_payload":true,"with_vector":["s"]}
[{"id":1,"payload":{"z":1},"vector":{"s":{"indices":[3],"values":[1]}}},{"id":2,"payload":{"n":[]},"vector":{}}]
POST /collections/c/points/payload/clear?wait=true {"points":[1]}
{"operation_id":
POST /collections/c/points/batch?wait=true {"operations":[{"upsert":{"points":[{"id":5,"vector":[1,0,0,0]}]}},{"delete":{"points":[2]}},{"set_payload":{"payload":{"a":1},"points":[5]}}]}
[{"operation_id":
POST /collections/c/points/count {"filter":{"should":[{"has_id":[2,5]},{"is_empty":{"key":"a"}}]}}
{"count":3}
PUT /collections/c/vectors/extra?wait=true {"dense":{"size":2,"distance":"Euclid"}}
{"operation_id":
PUT /collections/c/points/vectors?wait=true {"points":[{"id":5,"vector":{"extra":[1,2]}}]}
{"operation_id":
DELETE /collections/c/vectors/extra?wait=true
{"operation_id":
DELETE /collections/c/index/n?wait=true
{"operation_id":
GET /collections/c
{"status":"green","optimizer_status":"ok",
PATCH /collections/now {"optimizers_config":{"indexing_threshold":20000},"params":{"replication_factor":2},"metadata":{"a":null,"b":2}}
true
PATCH /collections/c {"vectors":{"nope":{"on_disk":true}}}
400 Not existing vector name error: nope
GET /collections/c/cluster
{"peer_id":
GET /collections/c/optimizations?with=queued,completed,idle_segments
{"summary":{
GET /telemetry?details_level=10
{"app":{
POST /collections/c/cluster {"drop_replica":{"shard_id":0,"peer_id":1}}
405 Qdrant is running in standalone mode
PUT /collections/named/points?wait=true {"batch":{"ids":[1,2],"vectors":{"a":[[1,2],[3,4]],"m":[[[1,2],[3,4]],[[5,6]]]},"payloads":[{"x":1},null]}}
{"operation_id":
POST /collections/named/points {"ids":[2],"with_vector":true,"with_payload":true}
[{"id":2,"payload":{},"vector":{"a":[3,4],"m":[[5,6]]}}]
POST /collections/named/points/query {"query":[[1,0]],"using":"m","limit":1}
{"points":[{"id":2,"version":1,"score":5}]}
POST /collections/named/points/delete?wait=true {"filter":{}}
{"operation_id":
POST /collections/named/points/count {}
{"count":0}
DELETE /collections/named
true
DELETE /collections/named
false
`

// realNode opens a node of its own for a test.
func realNode(t *testing.T) *node.Node {
	t.Helper()
	settings := config.Default()
	settings.Storage.StoragePath, settings.Storage.SnapshotsPath = t.TempDir(), t.TempDir()
	n, err := node.Open(context.Background(), node.Options{Settings: settings, Version: "1.19.0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return n
}

// TestStory runs against a real node what the edge does with the fake one; every body keeps to the published schema.
func TestStory(t *testing.T) {
	n := realNode(t)
	h, spec := NewHandler(n, Options{}), loadSpec(t)
	lines := strings.Split(strings.TrimSpace(story), "\n")
	for i := 0; i < len(lines); i += 2 {
		method, rest, _ := strings.Cut(lines[i], " ")
		p, body, _ := strings.Cut(rest, " ")
		want := strings.ReplaceAll(lines[i+1], "?", "`")
		status, answer, _ := do(t, h, method, p, body)
		if want[0] >= '4' && want[0] <= '5' {
			if text := errorText(t, answer); want[:3] != strconv.Itoa(status) || !strings.Contains(text, want[4:]) {
				t.Errorf("%s\n got %d %s\nwant %s", lines[i], status, text, want)
			}
		} else if !strings.HasPrefix(answer, `{"result":`+want) || status != 200 {
			t.Errorf("%s\n got %d %.600s\nwant %s", lines[i], status, answer, want)
		}
		route, _ := h.routes.find(method, strings.Split(p, "?")[0])
		if strings.Contains(route.pattern, "/points/search") {
			continue // older than the published schema
		}
		if body != "" && status == 200 {
			if err := spec.Request(method, route.pattern, []byte(body)); err != nil {
				t.Errorf("%s: %v", lines[i], err)
			}
		}
		if err := spec.Response(method, route.pattern, status, []byte(answer)); err != nil {
			t.Errorf("%s: %v", lines[i], err)
		}
	}
}

// A snapshot goes out by download and comes back by upload, into a collection that is not there any more.
func TestSnapshotTravels(t *testing.T) {
	h, spec := NewHandler(realNode(t), Options{}), loadSpec(t)
	ok := func(method, p, body string, head ...string) string {
		t.Helper()
		status, answer, _ := do(t, h, method, p, body, head...)
		if status != 200 {
			t.Fatalf("%s %s: %d %s", method, p, status, answer)
		}
		return answer
	}
	const c, points = "/collections/c", `{"points":[{"id":1,"vector":[1,2],"payload":{"a":1}},{"id":2,"vector":[3,4]}]}`
	ok("PUT", c, `{"vectors":{"size":2,"distance":"Dot"},"metadata":{"kept":true}}`)
	ok("PUT", c+"/index?wait=true", `{"field_name":"a","field_schema":"integer"}`)
	ok("PUT", c+"/points?wait=true", points)
	for _, scope := range []string{c, c + "/shards/0"} {
		var made struct{ Result snapshotInfo }
		answer := ok("POST", scope+"/snapshots", "")
		if err := json.Unmarshal([]byte(answer), &made); err != nil {
			t.Fatal(err)
		}
		if err := spec.Response("POST", "/collections/{collection_name}/snapshots", 200, []byte(answer)); err != nil {
			t.Error(err)
		}
		file := ok("GET", scope+"/snapshots/"+made.Result.Name, "")
		sum := fmt.Sprintf("%x", sha256.Sum256([]byte(file)))
		if int64(len(file)) != made.Result.Size || sum != made.Result.Checksum {
			t.Errorf("%d bytes, sum %s; announced %+v", len(file), sum, made.Result)
		}
		if scope == c {
			ok("DELETE", c, "")
		} else {
			ok("POST", c+"/points/delete?wait=true", `{"filter":{}}`)
		}
		var form bytes.Buffer
		w := multipart.NewWriter(&form)
		part, err := w.CreateFormFile("snapshot", "x")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = part.Write([]byte(file))
		_ = w.Close()
		ok("POST", scope+"/snapshots/upload?priority=snapshot&checksum="+sum, form.String(), "Content-Type", w.FormDataContentType())
		if answer := ok("POST", c+"/points/scroll", `{"with_vector":true}`); !strings.Contains(answer,
			`[{"id":1,"payload":{"a":1},"vector":[1,2]},{"id":2,"payload":{},"vector":[3,4]}]`) {
			t.Errorf("%s: %s", scope, answer)
		}
		if answer := ok("GET", c, ""); !strings.Contains(answer, `"metadata":{"kept":true}`) || !strings.Contains(answer, `"a":{"data_type":"integer","points":1}`) {
			t.Errorf("%s: %s", scope, answer)
		}
		if status, answer, _ := do(t, h, "POST", scope+"/snapshots/upload?checksum="+strings.Repeat("0", 64), form.String(),
			"Content-Type", w.FormDataContentType()); status != 400 || !strings.Contains(errorText(t, answer), "Checksum mismatch: expected ") {
			t.Errorf("%d %s", status, answer)
		}
		ok("DELETE", scope+"/snapshots/"+made.Result.Name, "")
	}
	if file := ok("GET", c+"/shards/0/snapshot", ""); len(file) == 0 {
		t.Error("an empty stream")
	}
	ok("POST", "/snapshots", "")
}
