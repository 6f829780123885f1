package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"mime/multipart"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/node"
	"github.com/sextantdb/sextant/test/openapi"
)

func loadSpec(t *testing.T) *openapi.Spec {
	t.Helper()
	spec, err := openapi.Load()
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// Every operation of the published schema has a route, and what this version lacks says so by name.
func TestEveryDocumentedOperationIsThere(t *testing.T) {
	_, h := newFake()
	for _, op := range loadSpec(t).Operations() {
		method, template, _ := strings.Cut(op, " ")
		p := strings.NewReplacer("{collection_name}", "c", "{shard_id}", "0", "{id}", "1", "{snapshot_name}", "none", "{field_name}", "f",
			"{vector_name}", "v", "{peer_id}", "1", "{alias_name}", "a").Replace(template)
		status, body, _ := do(t, h, method, p, "{}")
		if status == 404 && body == "" {
			t.Errorf("%s: no route", op)
		}
		if status == 501 && !strings.Contains(body, "Not implemented: "+op+" is not supported by this version") {
			t.Errorf("%s: %s", op, body)
		}
	}
	for _, op := range []string{"GET /nothing", "POST /", "DELETE /collections", "GET /collections/c/points/1/2"} {
		method, p, _ := strings.Cut(op, " ")
		r := httptest.NewRequest(method, "/", nil)
		r.URL.Path, r.URL.RawPath = p, p
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 404 || w.Body.Len() > 0 {
			t.Errorf("%s: %d %s", op, w.Code, w.Body)
		}
	}
}

// richFake answers with points of every shape.
func richFake() (*fake, *Handler) {
	f, h := newFake()
	uuid, _ := sextant.ParseUUID("936da01f-9abd-4d9d-80c7-02af85c822a8")
	f.records = []sextant.Record{
		{ID: sextant.NumID(math.MaxUint64), Payload: sextant.Payload(`{"b":1.0,"a":[18446744073709551615]}`), Vectors: []sextant.NamedVector{named("", dense(0.1, -2, 3e30))}},
		{ID: uuid, Payload: sextant.Payload(`{}`), Vectors: []sextant.NamedVector{}},
		{ID: sextant.NumID(3), Vectors: []sextant.NamedVector{
			named("", dense(1)), named("m", sextant.Vector{Kind: sextant.Multi, Rows: 1, Values: []float32{1, 2}}),
			named("s\n", sextant.Vector{Kind: sextant.Sparse, Indices: []uint32{1, 7}, Values: []float32{0.5, 1}}),
		}},
		{ID: sextant.NumID(4), OrderValue: &sextant.OrderValue{Int: -5}},
		{ID: sextant.NumID(5), OrderValue: &sextant.OrderValue{IsFloat: true, Float: 5}},
	}
	for i, r := range f.records {
		f.points = append(f.points, sextant.ScoredPoint{Record: r, Score: float32(i) + 0.5})
		f.points[i].Version = 7
	}
	f.points[4].Score = float32(math.Inf(1))
	f.next = &uuid
	f.info = node.CollectionInfo{Points: 3, Segments: 1, Config: sextant.DefaultConfig(), Warnings: []string{"w"}, Fields: map[string]node.FieldInfo{
		"a.b": {Spec: sextant.FieldSpec{Type: "keyword"}, Points: 2},
		"c":   {Spec: sextant.FieldSpec{Type: "integer", Params: json.RawMessage(`{"type":"integer","lookup":true}`)}, Points: 2},
	}}
	f.info.Config.Params.Vectors = sextant.VectorsConfig{Single: true, Map: map[string]sextant.VectorParams{"": {Size: 4, Distance: "Dot"}}}
	f.cluster = node.CollectionCluster{PeerID: 7, ShardCount: 1, Local: []node.LocalShard{{Points: 3, State: "Active"}}}
	f.builds = node.Optimizations{
		Running:   []node.Build{{UUID: f.ID(), Optimizer: "indexing", State: "optimizing"}},
		Completed: []node.Build{{UUID: f.ID(), Optimizer: "merge", State: "error", Text: "x"}},
		Queued:    []node.Build{{Optimizer: "vacuum"}},
	}
	f.report = []node.CollectionReport{{Name: "c", Config: f.info.Config, Shards: []node.ShardReport{{State: "Active", Builds: f.builds,
		Info: node.ShardInfo{Points: 3, Vectors: map[string]uint64{"": 3}, Fields: f.info.Fields}}}}}
	return f, h
}

// Requests and answers keep to the published schema: names, types, required keys, and no key too many.
func TestAnswersKeepToTheSchema(t *testing.T) {
	spec := loadSpec(t)
	_, h := richFake()
	const c, p = "/collections/{collection_name}", "/collections/{collection_name}/points"
	for _, q := range []struct{ op, path, body string }{
		{"GET /", "/", ""},
		{"GET /collections", "/collections", ""},
		{"GET " + c, "/collections/c", ""},
		{"PUT " + c, "/collections/c", `{"vectors":{"size":4,"distance":"Dot"}}`},
		{"PUT " + c, "/collections/c", `{"vectors":{"a":{"size":4,"distance":"Dot"}},"sparse_vectors":{"s":{}}}`},
		{"PATCH " + c, "/collections/c", `{"optimizers_config":{"indexing_threshold":0},"quantization_config":"Disabled"}`},
		{"DELETE " + c, "/collections/c", ""},
		{"GET " + c + "/exists", "/collections/c/exists", ""},
		{"GET " + c + "/aliases", "/collections/c/aliases", ""},
		{"GET /aliases", "/aliases", ""},
		{"POST /collections/aliases", "/collections/aliases", `{"actions":[{"delete_alias":{"alias_name":"a"}}]}`},
		{"GET " + c + "/cluster", "/collections/c/cluster", ""},
		{"GET " + c + "/shards", "/collections/c/shards", ""},
		{"GET " + c + "/optimizations", "/collections/c/optimizations?with=queued,%20completed,idle_segments&completed_limit=1", ""},
		{"PUT " + c + "/index", "/collections/c/index?wait=true", `{"field_name":"a","field_schema":"keyword"}`},
		{"DELETE " + c + "/index/{field_name}", "/collections/c/index/a.b%5B%5D", ""},
		{"PUT " + c + "/vectors/{vector_name}", "/collections/c/vectors/v", `{"dense":{"size":4,"distance":"Dot"}}`},
		{"DELETE " + c + "/vectors/{vector_name}", "/collections/c/vectors/v", ""},
		{"PUT " + p, "/collections/c/points?wait=true&ordering=strong&timeout=0", `{"points":[{"id":1,"vector":[1],"payload":{"a":1}}]}`},
		{"PUT " + p, "/collections/c/points", `{"batch":{"ids":[1],"vectors":{"a":[[1]]},"payloads":[null]}}`},
		{"POST " + p, "/collections/c/points?consistency=majority", `{"ids":[18446744073709551615,3,"936da01f-9abd-4d9d-80c7-02af85c822a8"]}`},
		{"GET " + p + "/{id}", "/collections/c/points/3", ""},
		{"POST " + p + "/delete", "/collections/c/points/delete", `{"points":[1]}`},
		{"PUT " + p + "/vectors", "/collections/c/points/vectors", `{"points":[{"id":1,"vector":[1]}]}`},
		{"POST " + p + "/vectors/delete", "/collections/c/points/vectors/delete", `{"points":[1],"vector":[""]}`},
		{"POST " + p + "/payload", "/collections/c/points/payload", `{"payload":{"a":1},"points":[1]}`},
		{"PUT " + p + "/payload", "/collections/c/points/payload", `{"payload":{"a":1},"filter":{}}`},
		{"POST " + p + "/payload/delete", "/collections/c/points/payload/delete", `{"keys":["a"],"points":[1]}`},
		{"POST " + p + "/payload/clear", "/collections/c/points/payload/clear", `{"points":[1]}`},
		{"POST " + p + "/batch", "/collections/c/points/batch", `{"operations":[{"upsert":{"points":[{"id":1,"vector":[1]}]}},{"delete":{"filter":{}}}]}`},
		{"POST " + p + "/scroll", "/collections/c/points/scroll?timeout=5", `{"limit":999999999,"filter":{"must":[{"key":"a","match":{"value":1}}]}}`},
		{"POST " + p + "/count", "/collections/c/points/count", `{}`},
		{"POST " + p + "/query", "/collections/c/points/query", `{"query":[1],"limit":3}`},
		{"POST " + p + "/query/batch", "/collections/c/points/query/batch", `{"searches":[{"query":[1]},{"query":1}]}`},
		{"GET " + c + "/snapshots", "/collections/c/snapshots", ""},
		{"POST " + c + "/snapshots", "/collections/c/snapshots", ""},
		{"DELETE " + c + "/snapshots/{snapshot_name}", "/collections/c/snapshots/s.snapshot", ""},
		{"PUT " + c + "/snapshots/recover", "/collections/c/snapshots/recover", `{"location":"http://x/y","priority":"replica"}`},
		{"GET " + c + "/shards/{shard_id}/snapshots", "/collections/c/shards/0/snapshots", ""},
		{"POST " + c + "/shards/{shard_id}/snapshots", "/collections/c/shards/0/snapshots", ""},
		{"PUT " + c + "/shards/{shard_id}/snapshots/recover", "/collections/c/shards/0/snapshots/recover?wait=true", `{"location":"s.snapshot"}`},
		{"GET /snapshots", "/snapshots", ""},
		{"POST /snapshots", "/snapshots", ""},
		{"DELETE /snapshots/{snapshot_name}", "/snapshots/s.snapshot", ""},
		{"GET /cluster", "/cluster", ""},
		{"GET /issues", "/issues", ""},
		{"DELETE /issues", "/issues", ""},
		{"GET /telemetry", "/telemetry", ""},
		{"GET /telemetry", "/telemetry?details_level=1&per_collection=true", ""},
		{"GET /telemetry", "/telemetry?details_level=2&anonymize=true", ""},
		{"GET /telemetry", "/telemetry?details_level=10", ""},
	} {
		method, template, _ := strings.Cut(q.op, " ")
		if q.body != "" {
			if err := spec.Request(method, template, []byte(q.body)); err != nil {
				t.Errorf("%s: the test's request is wrong: %v", q.op, err)
			}
		}
		status, body, head := do(t, h, method, q.path, q.body)
		if status != 200 || head.Get("Content-Type") != jsonText {
			t.Errorf("%s: %d %s", q.op, status, body)
			continue
		}
		if err := spec.Response(method, template, status, []byte(body)); err != nil {
			t.Errorf("%s: %v", q.op, err)
		}
	}
	status, body, _ := do(t, h, "POST", "/collections//c/points/search/", `{"vector":[1],"limit":3}`)
	var list struct{ Result json.RawMessage }
	if err := json.Unmarshal([]byte(body), &list); err != nil || status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	if err := spec.Schema("QueryResponse", fmt.Appendf(nil, `{"points":%s}`, list.Result)); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"/collections/c/points/7", "/collections/c/points/abc"} {
		status, body, _ = do(t, h, "GET", bad, "")
		if err := spec.Response("GET", p+"/{id}", status, []byte(body)); err != nil {
			t.Error(err)
		}
	}
}

func TestShapesOfPoints(t *testing.T) {
	_, h := richFake()
	_, body, _ := do(t, h, "POST", "/collections/c/points/scroll", `{}`)
	want := `{"result":{"points":[{"id":18446744073709551615,"payload":{"b":1.0,"a":[18446744073709551615]},"vector":[0.1,-2,3e+30]},` +
		`{"id":"936da01f-9abd-4d9d-80c7-02af85c822a8","payload":{},"vector":{}},` +
		`{"id":3,"vector":{"":[1],"m":[[1,2]],"s\n":{"indices":[1,7],"values":[0.5,1]}}},{"id":4,"order_value":-5},{"id":5,"order_value":5.0}],` +
		`"next_page_offset":"936da01f-9abd-4d9d-80c7-02af85c822a8"},"status":"ok","time":`
	if !strings.HasPrefix(body, want) {
		t.Errorf("%s\nwant %s", body, want)
	}
	_, body, _ = do(t, h, "POST", "/collections/c/points/query", `{}`)
	if !strings.Contains(body, `{"id":4,"version":7,"score":3.5,"order_value":-5},{"id":5,"version":7,"score":3.4028235e+38,"order_value":5.0}]}`) {
		t.Error(body)
	}
}

// A float leaves as the shortest text that comes back as the same float.
func TestFloatsSurviveTheRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	values := make([]float32, 50_000)
	for i := range values {
		for values[i] = math.Float32frombits(r.Uint32()); values[i]-values[i] != 0; { // not finite
			values[i] = math.Float32frombits(r.Uint32())
		}
	}
	b := appendFloats(nil, values)
	got, err := decoded(`{"query":`+string(b)+`}`, (*scanner).queryRequest)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range got.query.Nearest.Vector.Values {
		if math.Float32bits(v) != math.Float32bits(values[i]) {
			t.Fatalf("%v became %v", values[i], v)
		}
	}
	if s := string(appendFloats(nil, []float32{float32(math.NaN()), float32(math.Inf(-1)), 1e-7})); s != "[0,-3.4028235e+38,1e-07]" {
		t.Error(s)
	}
}

func TestOptionsReachTheNode(t *testing.T) {
	f, h := newFake()
	do(t, h, "PUT", "/collections/c/points?wait=true&ordering=medium&timeout=3", `{"points":[{"id":1,"vector":[1]}],"shard_key":["a",1]}`)
	if !f.write.Wait || f.write.Ordering != "medium" || f.write.Timeout.Seconds() != 3 || fmt.Sprint(f.write.ShardKey) != `["a" 1]` {
		t.Errorf("%+v", f.write)
	}
	do(t, h, "POST", "/collections/c/shards/4/points/scroll?consistency=2&timeout=7", `{}`, "X-Qdrant-Route-Affinity", "me")
	if f.read.Consistency != "2" || f.read.Timeout.Seconds() != 7 || *f.read.Shard != 4 || f.read.Affinity != "me" {
		t.Errorf("%+v", f.read)
	}
	_, body, _ := do(t, h, "POST", "/collections/c/points/vectors/delete", `{"points":[1],"filter":{},"vector":["a"]}`)
	if len(f.updates) != 3 || !strings.Contains(body, `"operation_id":3`) {
		t.Errorf("%v %s", f.updates, body)
	}
	f.updates = nil
	_, body, _ = do(t, h, "POST", "/collections/c/points/batch", `{"operations":[{"delete_vectors":{"points":[1],"filter":{},"vector":["a"]}},{"delete":{"points":[1],"shard_key":"k"}}]}`)
	if len(f.updates) != 3 || !strings.Contains(body, `[{"operation_id":1,"status":"completed"},{"operation_id":0,"status":"completed"}]`) {
		t.Errorf("%v %s", f.updates, body)
	}
	if _, body, _ = do(t, h, "POST", "/collections/c/points/batch", `{"operations":[]}`); !strings.Contains(body, `{"result":[],`) {
		t.Error(body)
	}
	if _, body, _ = do(t, h, "POST", "/collections/c/points/query/batch", `{"searches":[]}`); !strings.Contains(body, `{"result":[],`) {
		t.Error(body)
	}
	do(t, h, "PUT", "/collections/c/points", `{"points":[{"id":1,"vector":[1]}],"shard_key":{"target":"a","fallback":2}}`)
	if fmt.Sprint(f.write.ShardKey, f.write.Fallback) != `["a"] 2` {
		t.Errorf("%+v", f.write)
	}
	// Requests of a batch go down together only if they are about the same shards.
	do(t, h, "POST", "/collections/c/points/query/batch", `{"searches":[{"shard_key":"a"},{"shard_key":{"target":"a","fallback":"b"}}]}`)
	if fmt.Sprint(f.read.ShardKeys, f.read.Fallback) != `["a"] "b"` {
		t.Errorf("%+v", f.read)
	}
}

func TestSnapshots(t *testing.T) {
	f, h := newFake()
	const file = "/collections/c/snapshots/s.snapshot"
	status, body, head := do(t, h, "GET", file, "")
	if status != 200 || body != f.snapshot || head.Get("Content-Type") != "application/octet-stream" || head.Get("Content-Length") != "10" ||
		head.Get("Content-Disposition") != "attachment; filename=s.snapshot" || head.Get("ETag") == "" || head.Get("Last-Modified") == "" {
		t.Errorf("%d %s %v", status, body, head)
	}
	status, body, head = do(t, h, "GET", file, "", "Range", "bytes=2-4", "Accept-Encoding", "gzip")
	if status != 206 || body != "234" || head.Get("Content-Range") != "bytes 2-4/10" || head.Get("Content-Encoding") != "" {
		t.Errorf("%d %s %v", status, body, head)
	}
	status, body, head = do(t, h, "GET", "/collections/c/snapshots/..%2Fx", "")
	if status != 404 || body != "Not found: Snapshot ../x not found" || !strings.HasPrefix(head.Get("Content-Type"), "text/plain") {
		t.Errorf("%d %s", status, body)
	}
	if status, body, _ = do(t, h, "GET", "/collections/c/shards/0/snapshot", ""); status != 200 || body != f.snapshot {
		t.Errorf("%d %s", status, body)
	}
	_, body, _ = do(t, h, "GET", "/collections/c/snapshots", "")
	if !strings.HasPrefix(body, `{"result":[{"name":"s.snapshot","creation_time":"2022-08-04T10:49:10","size":10,"checksum":"`+strings.Repeat("0", 64)+`"}],`) {
		t.Error(body)
	}
	for _, later := range []string{"POST /collections/c/snapshots", "DELETE " + file, "PUT /collections/c/snapshots/recover"} {
		method, p, _ := strings.Cut(later, " ")
		status, body, _ = do(t, h, method, p+"?wait=false", `{"location":"http://x"}`)
		if status != 202 || !strings.HasPrefix(body, `{"status":"accepted","time":`) || len(f.ran) == 0 {
			t.Errorf("%s: %d %s %v", later, status, body, f.ran)
		}
		f.ran = nil
	}
	f.err = sextant.Errorf(sextant.NotFound, "shard 9 not found")
	if status, body, _ = do(t, h, "GET", "/collections/c/shards/9/snapshot", ""); status != 404 || body != "Not found: shard 9 not found" {
		t.Errorf("%d %s", status, body)
	}
}

func TestUpload(t *testing.T) {
	f, h := newFake()
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	if err := w.WriteField("other", "x"); err != nil {
		t.Fatal(err)
	}
	part, err := w.CreateFormFile("snapshot", "s.snapshot")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(part, "the file")
	_ = w.Close()
	sum := strings.Repeat("aB", 32)
	for path, want := range map[string]string{"/collections/c/snapshots/upload": `{"result":true,`, "/collections/c/shards/0/snapshots/upload": `{"result":null,`} {
		status, body, _ := do(t, h, "POST", path+"?priority=snapshot&checksum="+sum, form.String(), "Content-Type", w.FormDataContentType())
		if status != 200 || !strings.HasPrefix(body, want) || f.uploaded != "the file" || f.recover.Priority != "snapshot" || f.recover.Checksum != sum {
			t.Errorf("%d %s %q %+v", status, body, f.uploaded, f.recover)
		}
	}
	f.key = "secret"
	status, body, head := do(t, h, "POST", "/collections/c/snapshots/upload", form.String(), "Content-Type", w.FormDataContentType(), "api-key", "reader")
	if status != 403 || body != "Forbidden: Global manage access is required" || !strings.HasPrefix(head.Get("Content-Type"), "text/plain") {
		t.Errorf("%d %s", status, body)
	}
}

// A panic is one request's trouble.
func TestPanicIsAnAnswer(t *testing.T) {
	f, _ := newFake()
	var lines bytes.Buffer
	h := newHandler(f, Options{Log: slog.New(slog.NewTextHandler(&lines, nil))})
	h.node = struct{ backend }{f} // a Handler whose node has no method: nil calls panic
	h.routes = newRouter([]*route{{method: "GET", pattern: "/boom", do: func(*call) error { panic("boom") }}})
	status, body, _ := do(t, h, "GET", "/boom", "")
	if status != 500 || errorText(t, body) != "Service internal error: panic: boom" || !strings.Contains(lines.String(), "panic in a request") {
		t.Errorf("%d %s %s", status, body, lines.String())
	}
}

func TestAccessLogAndMetrics(t *testing.T) {
	f, _ := newFake()
	var lines bytes.Buffer
	h := newHandler(f, Options{Log: slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	for range 3 {
		do(t, h, "POST", "/collections/c/points/count", `{}`)
	}
	do(t, h, "POST", "/collections/c/points/count", `{`)
	do(t, h, "GET", "/healthz", "")
	if n := strings.Count(lines.String(), "level=DEBUG msg=request"); n != 4 {
		t.Errorf("%d lines: %s", n, lines.String())
	}
	_, text, head := do(t, h, "GET", "/metrics", "")
	for _, want := range []string{
		"# HELP app_info information about qdrant server\n# TYPE app_info gauge\napp_info{name=\"qdrant\",version=\"1.19.0\"} 1\n",
		`rest_responses_total{method="POST",endpoint="/collections/{collection_name}/points/count",status="200"} 3`,
		`rest_responses_total{method="POST",endpoint="/collections/{collection_name}/points/count",status="400"} 1`,
		`rest_responses_duration_seconds_bucket{method="POST",endpoint="/collections/{collection_name}/points/count",status="200",le="+Inf"} 3`,
		"collections_total 0\n", "memory_resident_bytes ", "sextant_goroutines ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
	if !strings.HasPrefix(head.Get("Content-Type"), "text/plain") || strings.Contains(text, "healthz") {
		t.Error(head)
	}
	_, text, _ = do(t, h, "GET", "/metrics?per_collection=true", "")
	if !strings.Contains(text, `status="200",collection="c"} 3`) {
		t.Error(text)
	}
}

func BenchmarkScroll(b *testing.B) {
	r := rand.New(rand.NewPCG(11, 12))
	records := make([]sextant.Record, 100)
	for i := range records {
		v := make([]float32, 128)
		for j := range v {
			v[j] = float32(r.NormFloat64())
		}
		records[i] = sextant.Record{ID: sextant.NumID(uint64(i)), Payload: sextant.Payload(`{"title":"some title","tags":["a","b","c"],"n":12345}`),
			Vectors: []sextant.NamedVector{named("", dense(v...))}}
	}
	for _, vectors := range []bool{false, true} {
		if !vectors {
			for i := range records {
				records[i].Payload = sextant.Payload(`{"text":"` + strings.Repeat("lorem ipsum ", 40) + `"}`)
			}
		}
		b.Run(fmt.Sprintf("vectors=%v", vectors), func(b *testing.B) {
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				buf = buf[:0]
				for i := range records {
					rec := records[i]
					if !vectors {
						rec.Vectors = nil
					}
					buf = appendRecord(buf, &rec)
				}
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}

func BenchmarkSearchRequest(b *testing.B) {
	f, h := richFake()
	f.points = f.points[:4]
	r := rand.New(rand.NewPCG(15, 16))
	var body bytes.Buffer
	body.WriteString(`{"vector":[`)
	for i := range 768 {
		if i > 0 {
			body.WriteByte(',')
		}
		fmt.Fprint(&body, float32(r.NormFloat64()))
	}
	body.WriteString(`],"limit":10,"filter":{"must":[{"key":"k","match":{"value":"a"}}]}}`)
	b.SetBytes(int64(body.Len()))
	b.ReportAllocs()
	for b.Loop() {
		q := httptest.NewRequest("POST", "/collections/c/points/search", bytes.NewReader(body.Bytes()))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, q)
		if w.Code != 200 {
			b.Fatal(w.Body)
		}
	}
}
