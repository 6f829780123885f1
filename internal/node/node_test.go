package node

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/auth"
	"github.com/sextantdb/sextant/internal/config"
	"github.com/sextantdb/sextant/internal/vfs"
)

var all = auth.All()

func settings() config.Config {
	c := config.Default()
	c.Storage.StoragePath, c.Storage.SnapshotsPath = "/data", "/snapshots"
	c.Storage.WAL.CapacityMB = 1
	return c
}

// open starts a node on a disk; it is closed with the test.
func open(t testing.TB, disk vfs.FS, change ...func(c *config.Config)) *Node {
	t.Helper()
	c := settings()
	for _, f := range change {
		f(&c)
	}
	n, err := Open(context.Background(), Options{Settings: c, FS: disk, Version: "1.19.0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close(context.Background()) })
	return n
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fails checks kind and text of an error; "…" at the end of the text stands for anything.
func fails(t testing.TB, err error, kind sextant.Kind, text string) {
	t.Helper()
	start, open := strings.CutSuffix(text, "…")
	if err == nil || sextant.KindOf(err) != kind || err.Error() != text && !(open && strings.HasPrefix(err.Error(), start)) {
		t.Errorf("got %v (%v), want %v %q", err, sextant.KindOf(err), kind, text)
	}
}

func ptr[T any](v T) *T { return &v }

func unnamed(size uint64) *sextant.VectorsConfig {
	return &sextant.VectorsConfig{Single: true, Map: map[string]sextant.VectorParams{"": {Size: size, Distance: sextant.Dot}}}
}

func create(t testing.TB, n *Node, name string, shards uint32) {
	t.Helper()
	must(t, n.CreateCollection(t.Context(), all, name, CreateCollection{Vectors: unnamed(2), ShardNumber: &shards}, 0))
}

func point(id uint64, x float32, payload string) sextant.Point {
	return sextant.Point{ID: sextant.NumID(id), Payload: sextant.Payload(payload),
		Vectors: []sextant.NamedVector{{Vector: sextant.Vector{Values: []float32{x, 1}}}}}
}

func upsert(t testing.TB, n *Node, name string, from, to uint64) {
	t.Helper()
	var points []sextant.Point
	for id := from; id < to; id++ {
		points = append(points, point(id, float32(id), `{"city":"Berlin","n":`+sextant.NumID(id).String()+`}`))
	}
	r, err := n.Update(t.Context(), all, name, sextant.Upsert{Points: points}, WriteOptions{Wait: true})
	if err != nil || r.Status != sextant.Completed {
		t.Fatal(r, err)
	}
}

func count(t testing.TB, n *Node, name string) uint64 {
	t.Helper()
	c, err := n.Count(t.Context(), all, name, nil, true, ReadOptions{})
	must(t, err)
	return c
}

// everything reads a whole collection: points with payloads and vectors, as text.
func everything(t testing.TB, n *Node, name string) string {
	t.Helper()
	records, next, err := n.Scroll(t.Context(), all, name, sextant.Scroll{Limit: 1 << 30, WithPayload: sextant.PayloadSelector{All: true},
		WithVector: sextant.VectorSelector{All: true}}, ReadOptions{})
	must(t, err)
	if next != nil {
		t.Error("there is more")
	}
	var b strings.Builder
	for _, r := range records {
		b.WriteString(r.ID.String() + " " + string(r.Payload))
		for _, v := range r.Vectors {
			raw, err := json.Marshal(v.Values)
			must(t, err)
			b.WriteString(" " + v.Name + string(raw))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// What was acknowledged is there after the process ends, cleanly or not, and after the power fails.
func TestNodeSurvivesEveryEnd(t *testing.T) {
	disk := &vfs.Mem{}
	r := rand.New(rand.NewPCG(1, 1))
	ends := []func(n *Node){
		func(n *Node) { must(t, n.Close(t.Context())) },
		func(n *Node) { disk = disk.Kill(); n.Close(t.Context()) },
		func(n *Node) { disk = disk.Crash(r); n.Close(t.Context()) },
	}
	want, peer := "", uint64(0)
	for life := range 6 {
		n := open(t, disk)
		if life == 0 {
			create(t, n, "c", 3)
			must(t, n.UpdateAliases(t.Context(), all, []AliasAction{{Kind: CreateAlias, Alias: "a", Collection: "c"}}, 0))
			_, err := n.CreateIndex(t.Context(), all, "c", sextant.MustPath("city"), sextant.FieldSpec{Type: sextant.KeywordField}, WriteOptions{Wait: true})
			must(t, err)
			peer = n.PeerID()
		}
		if n.PeerID() != peer {
			t.Error("the peer has another id")
		}
		if life > 0 {
			if got := everything(t, n, "a"); got != want {
				t.Fatalf("life %d: %d bytes became %d", life, len(want), len(got))
			}
		}
		upsert(t, n, "a", uint64(life*50), uint64(life*50+60))
		want = everything(t, n, "c")
		if info, err := n.CollectionInfo(t.Context(), all, "c"); err != nil || info.Fields["city"].Spec.Type != sextant.KeywordField {
			t.Errorf("%+v %v", info.Fields, err)
		}
		ends[life%len(ends)](n)
	}
}

func TestCollections(t *testing.T) {
	disk := &vfs.Mem{}
	n := open(t, disk, func(c *config.Config) { c.Storage.MaxCollections = ptr(uint64(2)) })
	ctx := t.Context()
	create(t, n, "b", 1)
	fails(t, n.CreateCollection(ctx, all, "b", CreateCollection{}, 0), sextant.Exists, "Collection `b` already exists!")
	must(t, n.UpdateAliases(ctx, all, []AliasAction{{Kind: CreateAlias, Alias: "x", Collection: "b"}}, 0))
	fails(t, n.CreateCollection(ctx, all, "x", CreateCollection{}, 0), sextant.WrongInput, "Can't create collection with name x. Alias with the same name already exists")
	must(t, n.CreateCollection(ctx, all, "a", CreateCollection{}, 0))
	fails(t, n.CreateCollection(ctx, all, "c", CreateCollection{}, 0), sextant.BadRequest, "Can't create collection with name c. Max collections limit reached: 2")
	if got := n.ListCollections(all); !slices.Equal(got, []string{"a", "b"}) {
		t.Error(got)
	}
	for name, want := range map[string]bool{"a": true, "x": true, "c": false} {
		if got, err := n.CollectionExists(all, name); err != nil || got != want {
			t.Errorf("%s exists: %v %v", name, got, err)
		}
	}
	_, err := n.CollectionInfo(ctx, all, "c")
	fails(t, err, sextant.NotFound, "Collection `c` doesn't exist!")
	if ok, err := n.DeleteCollection(ctx, all, "x", 0); ok || err != nil {
		t.Error("an alias was deleted like a collection", ok, err)
	}
	// Deleted and made again at once, it is empty; its alias is gone.
	upsert(t, n, "x", 0, 10)
	if ok, err := n.DeleteCollection(ctx, all, "b", 0); !ok || err != nil {
		t.Error(ok, err)
	}
	create(t, n, "b", 2)
	if got := count(t, n, "b"); got != 0 {
		t.Errorf("%d old points", got)
	}
	if aliases, err := n.Aliases(all, ""); err != nil || len(aliases) != 0 {
		t.Error(aliases, err)
	}
	// The files of the old one go away.
	deadline := time.Now().Add(10 * time.Second)
	for {
		left, err := disk.List("/data/collections")
		must(t, err)
		gone, err := disk.List("/data/.deleted")
		must(t, err)
		if len(left) == 2 && len(gone) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(left, gone)
		}
		time.Sleep(time.Millisecond)
	}
}

// Names that a file system would misunderstand are names like others.
func TestOddNames(t *testing.T) {
	disk := &vfs.Mem{}
	n := open(t, disk)
	long := strings.Repeat("ü", 255)
	for _, name := range []string{"..", ".", "tmp", "a b", "ü", "%2E", long, "Z'`$(x)"} {
		create(t, n, name, 1)
		upsert(t, n, name, 0, 3)
		if f := folder(name); strings.HasPrefix(f, ".") || f == tempDir || len(f) > 160 {
			t.Errorf("%q has the folder %q", name, f)
		}
	}
	seen := map[string]bool{}
	for _, name := range n.ListCollections(all) {
		if seen[folder(name)] {
			t.Error("two names share a folder")
		}
		seen[folder(name)] = true
	}
	for _, name := range []string{"", strings.Repeat("x", 256), "a/b", "a?b", "a\x00", `a\b`, "a:b"} {
		err := n.CreateCollection(t.Context(), all, name, CreateCollection{}, 0)
		fails(t, err, sextant.Invalid, "Validation error in path parameters: [collection_name: …")
	}
	must(t, n.Close(t.Context()))
	n = open(t, disk)
	if got := count(t, n, long); got != 3 {
		t.Error(got)
	}
}

func TestCreateValidation(t *testing.T) {
	n := open(t, &vfs.Mem{})
	f := func(c CreateCollection, kind sextant.Kind, text string) {
		t.Helper()
		fails(t, n.CreateCollection(t.Context(), all, "c", c, 0), kind, text)
	}
	const in = "Validation error in JSON body: "
	f(CreateCollection{Vectors: unnamed(65537)}, sextant.Invalid, in+"[vectors.size: value 65537 invalid, must be from 1 to 65536]")
	named := &sextant.VectorsConfig{Map: map[string]sextant.VectorParams{"x": {Size: 0, HNSW: &sextant.HNSWDiff{EfConstruct: ptr(uint64(3))}}}}
	f(CreateCollection{Vectors: named}, sextant.Invalid, in+"[vectors.?.size: value 0 invalid, must be from 1 to 65536; "+
		"vectors.?.hnsw_config.ef_construct: value 3 invalid, must be 4 or larger]")
	f(CreateCollection{ShardNumber: ptr(uint32(0))}, sextant.Invalid, in+"[shard_number: value 0 invalid, must be 1 or larger]")
	f(CreateCollection{Optimizers: &OptimizersDiff{DeletedThreshold: ptr(1.5)}}, sextant.Invalid,
		in+"[optimizers_config.deleted_threshold: value 1.5 invalid, must be from 0.0 to 1.0]")
	f(CreateCollection{Vectors: &sextant.VectorsConfig{Single: true, Map: map[string]sextant.VectorParams{"": {Size: 1, Memory: ptr(sextant.Pinned)}}}}, sextant.Invalid,
		in+"[vectors.memory: `pinned` memory placement is not supported for dense vector storage]")
	f(CreateCollection{StrictMode: &sextant.StrictModeConfig{MaxQueryLimit: ptr(uint64(0))}}, sextant.Invalid,
		in+"[strict_mode_config.max_query_limit: value 0 invalid, must be 1 or larger]")
	f(CreateCollection{Vectors: &sextant.VectorsConfig{Map: map[string]sextant.VectorParams{"a/b": {Size: 1}}}}, sextant.WrongInput, "Invalid dense vector name `a/b`: …")
	f(CreateCollection{SparseVectors: map[string]sextant.SparseParams{"": {}}}, sextant.WrongInput, "Sparse vector name cannot be empty")
	f(CreateCollection{Vectors: &sextant.VectorsConfig{Map: map[string]sextant.VectorParams{"x": {Size: 1}}}, SparseVectors: map[string]sextant.SparseParams{"x": {}}},
		sextant.WrongInput, "Dense and sparse vector names must be unique - duplicate found with 'x'")
	if got := n.ListCollections(all); len(got) != 0 {
		t.Error("a refused request made", got)
	}
}

// Defaults come from the settings, the request wins, and what nobody set is not there.
func TestSettingsOfCollections(t *testing.T) {
	disk := &vfs.Mem{}
	n := open(t, disk, func(c *config.Config) {
		c.Storage.HNSW.M = 24
		c.Storage.Optimizers.DefaultSegmentNumber = 2
		c.Storage.Collection.ShardNumberPerNode = ptr(uint32(2))
		c.Storage.Collection.StrictMode = &sextant.StrictModeConfig{Enabled: ptr(true), MaxQueryLimit: ptr(uint64(9))}
	})
	ctx := t.Context()
	must(t, n.CreateCollection(ctx, all, "c", CreateCollection{Vectors: unnamed(2), HNSW: &sextant.HNSWDiff{EfConstruct: ptr(uint64(50))},
		StrictMode: &sextant.StrictModeConfig{MaxTimeout: ptr(uint64(3))}, Metadata: json.RawMessage(`{"a":1,"b":null}`)}, 0))
	check := func(want string) {
		t.Helper()
		info, err := n.CollectionInfo(ctx, all, "c")
		must(t, err)
		got, err := json.Marshal(info.Config)
		must(t, err)
		if string(got) != want {
			t.Errorf("\n%s, want\n%s", got, want)
		}
	}
	check(`{"params":{"vectors":{"size":2,"distance":"Dot"},"shard_number":2,"replication_factor":1,"write_consistency_factor":1,"on_disk_payload":true},` +
		`"hnsw_config":{"m":24,"ef_construct":50,"full_scan_threshold":10000,"max_indexing_threads":0,"on_disk":false},` +
		`"optimizer_config":{"deleted_threshold":0.2,"vacuum_min_vector_number":1000,"default_segment_number":2,"max_segment_size":null,"memmap_threshold":null,` +
		`"indexing_threshold":10000,"flush_interval_sec":5,"max_optimization_threads":null,"prevent_unoptimized":null},` +
		`"wal_config":{"wal_capacity_mb":1,"wal_segments_ahead":0,"wal_retain_closed":1},"quantization_config":null,` +
		`"strict_mode_config":{"enabled":true,"max_query_limit":9,"max_timeout":3},"metadata":{"a":1,"b":null}}`)

	patch := func(body string, kind sextant.Kind, text string) {
		t.Helper()
		var p PatchCollection
		must(t, json.Unmarshal([]byte(body), &p))
		err := n.PatchCollection(ctx, all, "c", p, 0)
		if text == "" {
			must(t, err)
		} else {
			fails(t, err, kind, text)
		}
	}
	patch(`{"vectors":{"x":{}},"hnsw_config":{"m":5}}`, sextant.WrongInput, "Not existing vector name error: x")
	patch(`{"optimizers_config":{"max_optimization_threads":3,"indexing_threshold":0},"vectors":{"":{"hnsw_config":{"m":8},"on_disk":true}},"quantization_config":{"scalar":{"type":"int8"}}}`, 0, "")
	patch(`{"optimizers_config":{"max_optimization_threads":"auto"},"vectors":{"":{"hnsw_config":{"ef_construct":9}}},"strict_mode_config":{"max_timeout":4},"metadata":{"a":null,"c":{"d":2}}}`, 0, "")
	patch(`{"quantization_config":"Disabled","params":{"replication_factor":2,"read_fan_out_factor":1}}`, 0, "")
	patch(`{"optimizers_config":{}}`, 0, "")
	check(`{"params":{"vectors":{"size":2,"distance":"Dot","hnsw_config":{"m":8,"ef_construct":9},"on_disk":true},"shard_number":2,"replication_factor":2,` +
		`"write_consistency_factor":1,"read_fan_out_factor":1,"on_disk_payload":true},` +
		`"hnsw_config":{"m":24,"ef_construct":50,"full_scan_threshold":10000,"max_indexing_threads":0,"on_disk":false},` +
		`"optimizer_config":{"deleted_threshold":0.2,"vacuum_min_vector_number":1000,"default_segment_number":2,"max_segment_size":null,"memmap_threshold":null,` +
		`"indexing_threshold":0,"flush_interval_sec":5,"max_optimization_threads":null,"prevent_unoptimized":null},` +
		`"wal_config":{"wal_capacity_mb":1,"wal_segments_ahead":0,"wal_retain_closed":1},"quantization_config":null,` +
		`"strict_mode_config":{"enabled":true,"max_query_limit":9,"max_timeout":4},"metadata":{"b":null,"c":{"d":2}}}`)
	must(t, n.Close(ctx))
	n = open(t, disk) // with other defaults
	check(`{"params":{"vectors":{"size":2,"distance":"Dot","hnsw_config":{"m":8,"ef_construct":9},"on_disk":true},"shard_number":2,"replication_factor":2,` +
		`"write_consistency_factor":1,"read_fan_out_factor":1,"on_disk_payload":true},` +
		`"hnsw_config":{"m":24,"ef_construct":50,"full_scan_threshold":10000,"max_indexing_threads":0,"on_disk":false},` +
		`"optimizer_config":{"deleted_threshold":0.2,"vacuum_min_vector_number":1000,"default_segment_number":2,"max_segment_size":null,"memmap_threshold":null,` +
		`"indexing_threshold":0,"flush_interval_sec":5,"max_optimization_threads":null,"prevent_unoptimized":null},` +
		`"wal_config":{"wal_capacity_mb":1,"wal_segments_ahead":0,"wal_retain_closed":1},"quantization_config":null,` +
		`"strict_mode_config":{"enabled":true,"max_query_limit":9,"max_timeout":4},"metadata":{"b":null,"c":{"d":2}}}`)
}

// Indexes and vector names: made, made again, changed, dropped, in the collection and in every shard.
func TestSchemaChanges(t *testing.T) {
	n := open(t, &vfs.Mem{})
	ctx := t.Context()
	create(t, n, "c", 2)
	upsert(t, n, "c", 0, 20)
	wait := WriteOptions{Wait: true}
	index := func(key string, spec sextant.FieldSpec) {
		t.Helper()
		r, err := n.CreateIndex(ctx, all, "c", sextant.MustPath(key), spec, wait)
		if err != nil || r.Status != sextant.Completed {
			t.Error(r, err)
		}
	}
	byNumber := sextant.FieldSpec{Type: sextant.IntegerField, Range: true, Lookup: true}
	order := sextant.Scroll{Limit: 3, OrderBy: &sextant.OrderBy{Key: sextant.MustPath("n"), Desc: true}}
	_, _, err := n.Scroll(ctx, all, "c", order, ReadOptions{})
	fails(t, err, sextant.WrongInput, "No range index for `order_by` key: `n`. Please create one to use `order_by`. …")
	index("n", sextant.FieldSpec{Type: sextant.KeywordField})
	index("n", byNumber)
	index("n", byNumber)
	records, next, err := n.Scroll(ctx, all, "c", order, ReadOptions{})
	if err != nil || next != nil || len(records) != 3 || records[0].ID.Lo != 19 || records[2].OrderValue.Int != 17 {
		t.Errorf("%+v %v %v", records, next, err)
	}
	if _, err := n.DropIndex(ctx, all, "c", sextant.MustPath("n"), wait); err != nil {
		t.Error(err)
	}
	if _, err := n.DropIndex(ctx, all, "c", sextant.MustPath("n"), wait); err != nil {
		t.Error("dropped twice:", err)
	}
	if _, _, err := n.Scroll(ctx, all, "c", order, ReadOptions{}); err == nil {
		t.Error("the index is still there")
	}

	vector := VectorSchema{Dense: &sextant.VectorParams{Size: 3, Distance: sextant.Euclid}}
	for range 2 {
		_, err := n.CreateVector(ctx, all, "c", "extra", vector, wait)
		must(t, err)
	}
	_, err = n.CreateVector(ctx, all, "c", "extra", VectorSchema{Dense: &sextant.VectorParams{Size: 4, Distance: sextant.Euclid}}, wait)
	fails(t, err, sextant.WrongInput, "Vector `extra` already exists with a different configuration")
	_, err = n.CreateVector(ctx, all, "c", "extra", VectorSchema{Sparse: &sextant.SparseParams{}}, wait)
	if sextant.KindOf(err) != sextant.WrongInput {
		t.Error(err)
	}
	_, err = n.Update(ctx, all, "c", sextant.UpdateVectors{Points: []sextant.Point{{ID: sextant.NumID(5),
		Vectors: []sextant.NamedVector{{Name: "extra", Vector: sextant.Vector{Values: []float32{1, 2, 3}}}}}}}, wait)
	must(t, err)
	info, err := n.CollectionInfo(ctx, all, "c")
	if err != nil || info.Config.Params.Vectors.Single || len(info.Config.Params.Vectors.Map) != 2 {
		t.Errorf("%+v %v", info.Config.Params.Vectors, err)
	}
	_, err = n.DropVector(ctx, all, "c", "extra", wait)
	must(t, err)
	_, err = n.Query(ctx, all, "c", []sextant.Query{{Using: "extra", Nearest: &sextant.VectorInput{Vector: &sextant.Vector{Values: []float32{1, 2, 3}}}, Limit: 1}}, ReadOptions{})
	fails(t, err, sextant.WrongInput, "Not existing vector name error: extra")
	vector.Dense.Size = 5
	_, err = n.CreateVector(ctx, all, "c", "extra", vector, wait)
	must(t, err)
	if got := everything(t, n, "c"); strings.Contains(got, "extra") {
		t.Error("a vector of the dropped name is back")
	}
}

// A broken shard is set aside: the node starts, the others serve, and the error names the file.
func TestBrokenShardIsSetAside(t *testing.T) {
	disk := &vfs.Mem{}
	n := open(t, disk)
	create(t, n, "good", 1)
	create(t, n, "bad", 1)
	upsert(t, n, "good", 0, 5)
	upsert(t, n, "bad", 0, 5)
	_, h := n.find("bad")
	dir := h.slots()[0].dir
	must(t, n.Close(t.Context()))
	must(t, vfs.WriteAtomic(disk, dir+"/CURRENT", []byte("sextant-shard 1 g1 00000000\n")))
	n = open(t, disk)
	if got := count(t, n, "good"); got != 5 {
		t.Error(got)
	}
	_, err := n.Count(t.Context(), all, "bad", nil, true, ReadOptions{})
	if err == nil || !strings.Contains(err.Error(), dir+"/CURRENT") || sextant.KindOf(err) != sextant.Internal {
		t.Error(err)
	}
	info, err := n.CollectionInfo(t.Context(), all, "bad")
	if err != nil || info.Health.String() != "red" || info.OptimizerError == "" {
		t.Errorf("%+v %v", info, err)
	}
	if ok, err := n.DeleteCollection(t.Context(), all, "bad", 0); !ok || err != nil {
		t.Error(ok, err)
	}
}

// A lost pointer file is a broken shard, never a new empty one.
func TestLostShardIsNotMadeAnew(t *testing.T) {
	disk := &vfs.Mem{}
	n := open(t, disk)
	create(t, n, "c", 1)
	upsert(t, n, "c", 0, 5)
	_, h := n.find("c")
	must(t, n.Close(t.Context()))
	must(t, disk.Remove(h.slots()[0].dir+"/CURRENT"))
	n = open(t, disk)
	if _, err := n.Count(t.Context(), all, "c", nil, true, ReadOptions{}); err == nil {
		t.Error("the shard was made anew")
	}
}

func TestRecoveryMode(t *testing.T) {
	disk := &vfs.Mem{}
	n := open(t, disk)
	create(t, n, "c", 1)
	create(t, n, "d", 1)
	upsert(t, n, "c", 0, 5)
	must(t, n.Close(t.Context()))
	n = open(t, disk, func(c *config.Config) { c.Storage.RecoveryMode = ptr("out of memory") })
	_, err := n.Query(t.Context(), all, "c", []sextant.Query{{Nearest: &sextant.VectorInput{Vector: &sextant.Vector{Values: []float32{1, 2}}}, Limit: 1}}, ReadOptions{})
	fails(t, err, sextant.Internal, "Failed to search,  out of memory")
	_, err = n.Update(t.Context(), all, "c", sextant.Upsert{Points: []sextant.Point{point(1, 1, "{}")}}, WriteOptions{})
	fails(t, err, sextant.Internal, "Failed to update,  out of memory")
	if ok, err := n.DeleteCollection(t.Context(), all, "d", 0); !ok || err != nil {
		t.Error(ok, err)
	}
	if info, err := n.CollectionInfo(t.Context(), all, "c"); err != nil || info.Points != 0 {
		t.Error(info, err)
	}
	must(t, n.Close(t.Context()))
	n = open(t, disk)
	if got := count(t, n, "c"); got != 5 || len(n.ListCollections(all)) != 1 {
		t.Error(got)
	}
}

func TestOneProcessPerDirectory(t *testing.T) {
	disk := &vfs.Mem{}
	open(t, disk)
	_, err := Open(t.Context(), Options{Settings: settings(), FS: disk})
	fails(t, err, sextant.Unavailable, "the storage directory /data is in use by another process")
}

// Rights are checked on the name in the request, and every kind of operation asks for its own.
func TestRights(t *testing.T) {
	n := open(t, &vfs.Mem{}, func(c *config.Config) {
		c.Service.APIKey, c.Service.ReadOnlyAPIKey = ptr("secret"), ptr("reader")
	})
	create(t, n, "c", 1)
	upsert(t, n, "c", 0, 2)
	reader, err := n.Authenticate(t.Context(), "reader", "")
	must(t, err)
	if _, err := n.Count(t.Context(), reader, "c", nil, true, ReadOptions{}); err != nil {
		t.Error(err)
	}
	ctx := t.Context()
	denied := map[string]func() error{
		"update": func() error {
			_, err := n.Update(ctx, reader, "c", sextant.ClearPayload{}, WriteOptions{})
			return err
		},
		"index": func() error {
			_, err := n.CreateIndex(ctx, reader, "c", sextant.MustPath("k"), sextant.FieldSpec{}, WriteOptions{})
			return err
		},
		"create":   func() error { return n.CreateCollection(ctx, reader, "d", CreateCollection{}, 0) },
		"patch":    func() error { return n.PatchCollection(ctx, reader, "c", PatchCollection{}, 0) },
		"delete":   func() error { _, err := n.DeleteCollection(ctx, reader, "c", 0); return err },
		"aliases":  func() error { return n.UpdateAliases(ctx, reader, []AliasAction{{}}, 0) },
		"snapshot": func() error { _, err := n.CreateSnapshot(ctx, reader, "c", nil); return err },
		"recover":  func() error { return n.RecoverSnapshot(ctx, reader, "c", nil, "http://x", RecoverOptions{}) },
		"upload": func() error {
			return n.UploadSnapshot(ctx, reader, "c", nil, bytes.NewReader(nil), RecoverOptions{}, true)
		},
		"cluster": func() error { return n.ChangeCluster(reader, "c") },
	}
	for what, f := range denied {
		if err := f(); sextant.KindOf(err) != sextant.Forbidden {
			t.Errorf("%s: %v", what, err)
		}
	}
	fails(t, n.ChangeCluster(all, "c"), sextant.Standalone, "Qdrant is running in standalone mode")
	_, err = n.Authenticate(ctx, "wrong", "")
	fails(t, err, sextant.Unauthenticated, "Invalid API key or JWT")
}

// On a full disk a collection can still be deleted, and then there is room again.
func TestDeleteOnFullDisk(t *testing.T) {
	disk := &vfs.Mem{}
	n := open(t, disk)
	create(t, n, "c", 1)
	upsert(t, n, "c", 0, 50)
	room, err := disk.Free("/data")
	must(t, err)
	disk.SetSize(int64(room.Total - room.Free))
	if err := n.CreateCollection(t.Context(), all, "d", CreateCollection{}, 0); err == nil {
		t.Error("created on a full disk")
	}
	if got := n.ListCollections(all); !slices.Equal(got, []string{"c"}) {
		t.Error(got)
	}
	if ok, err := n.DeleteCollection(t.Context(), all, "c", 0); !ok || err != nil {
		t.Error(ok, err)
	}
	disk.SetSize(1 << 40)
	create(t, n, "d", 1)
}
