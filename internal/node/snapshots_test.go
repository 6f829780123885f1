package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/config"
	"github.com/sextantdb/sextant/internal/vfs"
)

func download(t testing.TB, n *Node, name string, shard *uint32, file string) []byte {
	t.Helper()
	f, err := n.OpenSnapshot(all, name, shard, file)
	must(t, err)
	defer f.Close()
	data, err := io.ReadAll(f.ReadSeeker)
	must(t, err)
	if sum := sha256.Sum256(data); f.Size != int64(len(data)) || f.Checksum != hex.EncodeToString(sum[:]) {
		t.Errorf("%+v does not describe the file", f.SnapshotInfo)
	}
	return data
}

func upload(t testing.TB, n *Node, name string, shard *uint32, data []byte, o RecoverOptions) error {
	t.Helper()
	return n.UploadSnapshot(context.Background(), all, name, shard, bytes.NewReader(data), o, true)
}

// indexed makes a collection with points and an index.
func indexed(t testing.TB, n *Node, name string, shards uint32) {
	t.Helper()
	create(t, n, name, shards)
	_, err := n.CreateIndex(t.Context(), all, name, sextant.MustPath("n"), sextant.FieldSpec{Type: sextant.IntegerField, Range: true, Lookup: true}, WriteOptions{Wait: true})
	must(t, err)
	upsert(t, n, name, 0, 100)
}

// A collection comes back as it was: over itself, under another name, and on another node.
func TestCollectionSnapshotRoundTrip(t *testing.T) {
	disk := &vfs.Mem{}
	n := open(t, disk)
	ctx := t.Context()
	indexed(t, n, "c", 3)
	want := everything(t, n, "c")
	info, err := n.CreateSnapshot(ctx, all, "c", nil)
	must(t, err)
	if list, err := n.ListSnapshots(all, "c", nil); err != nil || len(list) != 1 || list[0] != info || info.Created.IsZero() {
		t.Errorf("%+v %+v %v", list, info, err)
	}
	data := download(t, n, "c", nil, info.Name)

	upsert(t, n, "c", 50, 200)
	_, err = n.DropIndex(ctx, all, "c", sextant.MustPath("n"), WriteOptions{Wait: true})
	must(t, err)
	must(t, n.RecoverSnapshot(ctx, all, "c", nil, "file:///snapshots/c/"+info.Name, RecoverOptions{Checksum: info.Checksum}))
	check := func(n *Node, name string) {
		t.Helper()
		if got := everything(t, n, name); got != want {
			t.Errorf("%s: %d bytes, want %d", name, len(got), len(want))
		}
		got, err := n.CollectionInfo(ctx, all, name)
		must(t, err)
		was, err := n.CollectionInfo(ctx, all, "c")
		if err == nil && (printed(got.Config.Params) != printed(was.Config.Params) || got.Fields["n"].Spec.Type != sextant.IntegerField) {
			t.Errorf("%+v", got)
		}
		order := &sextant.OrderBy{Key: sextant.MustPath("n"), Desc: true}
		records, _, err := n.Scroll(ctx, all, name, sextant.Scroll{Limit: 1, OrderBy: order}, ReadOptions{})
		if err != nil || len(records) != 1 || records[0].ID.Lo != 99 {
			t.Error(records, err)
		}
	}
	check(n, "c")
	must(t, upload(t, n, "copy", nil, data, RecoverOptions{}))
	check(n, "copy")
	other := open(t, &vfs.Mem{})
	must(t, upload(t, other, "c", nil, data, RecoverOptions{Priority: "no_sync"}))
	check(other, "c")
	upsert(t, n, "c", 100, 101) // it lives
	if got := count(t, n, "c"); got != 101 {
		t.Error(got)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Api-Key") == "k" {
			w.Write(data)
		} else {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer server.Close()
	must(t, n.RecoverSnapshot(ctx, all, "c", nil, server.URL+"/x.snapshot", RecoverOptions{APIKey: "k"}))
	check(n, "c")
	must(t, n.Close(ctx))
	n = open(t, disk)
	check(n, "c")
	must(t, n.DeleteSnapshot(ctx, all, "c", nil, info.Name))
	if left, _ := disk.List("/snapshots/c"); len(left) > 0 {
		t.Error("left", left)
	}
	for _, dir := range []string{"/data/tmp", "/snapshots/tmp"} {
		if left, _ := disk.List(dir); len(left) > 0 {
			t.Errorf("left in %s: %v", dir, left)
		}
	}
}

func TestShardSnapshotRoundTrip(t *testing.T) {
	n := open(t, &vfs.Mem{})
	ctx := t.Context()
	indexed(t, n, "c", 2)
	want := everything(t, n, "c")
	shard := ptr(uint32(1))
	info, err := n.CreateSnapshot(ctx, all, "c", shard)
	must(t, err)
	if !strings.HasPrefix(info.Name, "c-shard-1-") {
		t.Error(info.Name)
	}
	data := download(t, n, "c", shard, info.Name)
	var streamed bytes.Buffer
	var name string
	must(t, n.StreamShardSnapshot(ctx, all, "c", 1, func(s string) { name = s }, &streamed))
	if !strings.HasPrefix(name, "c-shard-1-") || streamed.Len() == 0 {
		t.Error(name, streamed.Len())
	}
	for what, back := range map[string]func() error{
		"by name":  func() error { return n.RecoverSnapshot(ctx, all, "c", shard, info.Name, RecoverOptions{}) },
		"uploaded": func() error { return upload(t, n, "c", shard, data, RecoverOptions{Checksum: info.Checksum}) },
		"streamed": func() error { return upload(t, n, "c", shard, streamed.Bytes(), RecoverOptions{}) },
	} {
		filter := &sextant.Filter{Must: []sextant.Condition{sextant.Field{Key: sextant.MustPath("n"), Test: sextant.Range{Gte: ptr(30.0)}}}}
		_, err := n.Update(ctx, all, "c", sextant.SetPayload{Selector: sextant.Selector{Filter: filter}, Payload: sextant.Payload(`{"x":1}`)}, WriteOptions{Wait: true})
		must(t, err)
		must(t, back())
		// Shard 0 keeps what was done meanwhile.
		v, h := n.find("c")
		_ = v
		for id := range uint64(100) {
			records, err := n.Retrieve(ctx, all, "c", []sextant.PointID{sextant.NumID(id)}, sextant.PayloadSelector{All: true}, sextant.VectorSelector{}, ReadOptions{})
			must(t, err)
			mine, err := h.slots()[1].current().Retrieve(ctx, []sextant.PointID{sextant.NumID(id)}, sextant.PayloadSelector{}, sextant.VectorSelector{})
			must(t, err)
			if changed := strings.Contains(string(records[0].Payload), `"x"`); changed != (id >= 30 && len(mine) == 0) {
				t.Errorf("%s: point %d: %s", what, id, records[0].Payload)
			}
		}
	}
	if want == "" {
		t.Error("nothing was stored")
	}
}

func TestSnapshotErrors(t *testing.T) {
	disk := &vfs.Mem{}
	n := open(t, disk)
	ctx := t.Context()
	indexed(t, n, "c", 1)
	must(t, n.CreateCollection(ctx, all, "other", CreateCollection{Vectors: unnamed(3)}, 0))
	info, err := n.CreateSnapshot(ctx, all, "c", nil)
	must(t, err)
	data := download(t, n, "c", nil, info.Name)
	want := everything(t, n, "c")
	sum := sha256.Sum256(data)
	zeros := strings.Repeat("0", 64)
	location := func(collection string, shard *uint32, at string, o RecoverOptions, kind sextant.Kind, text string) {
		t.Helper()
		fails(t, n.RecoverSnapshot(ctx, all, collection, shard, at, o), kind, text)
	}
	shard := ptr(uint32(0))
	location("c", nil, "file:///etc/passwd", RecoverOptions{}, sextant.Forbidden, `Snapshot file path must be inside the snapshots directory "/snapshots"`)
	location("c", nil, "file:///snapshots/../data/topology", RecoverOptions{}, sextant.Forbidden, `Snapshot file path must be inside …`)
	location("c", nil, "file:///snapshots/x.snapshot", RecoverOptions{}, sextant.BadRequest, `Snapshot file "/snapshots/x.snapshot" does not exist`)
	location("c", nil, "file://x.snapshot", RecoverOptions{}, sextant.BadRequest, "Invalid snapshot URI, file path must be absolute or on localhost")
	location("c", nil, "ftp://h/x", RecoverOptions{}, sextant.BadRequest, "URL ftp://h/x with scheme ftp is not supported")
	location("c", shard, "none.snapshot", RecoverOptions{}, sextant.NotFound, "Snapshot none.snapshot not found")
	location("c", shard, "file:///snapshots/x", RecoverOptions{}, sextant.WrongInput, "Invalid snapshot URL file:///snapshots/x: URLs with file scheme are not supported")
	location("c", ptr(uint32(7)), "x.snapshot", RecoverOptions{}, sextant.NotFound, "shard 7 not found")
	location("none", shard, "x.snapshot", RecoverOptions{}, sextant.NotFound, "Collection `none` doesn't exist!")
	good := "file:///snapshots/c/" + info.Name
	location("c", nil, good, RecoverOptions{Checksum: zeros}, sextant.WrongInput, "Snapshot checksum mismatch: expected "+zeros+", got "+hex.EncodeToString(sum[:]))
	location("c", nil, good, RecoverOptions{Checksum: "abc"}, sextant.Invalid, "Validation error in query parameters: [checksum: Validation error: invalid_sha256_hash [{}]]")
	location("other", nil, good, RecoverOptions{}, sextant.WrongInput, "Snapshot is not compatible with existing collection: Collection vectors: …")
	location("a?b", nil, good, RecoverOptions{}, sextant.Invalid, "Validation error in path parameters: [collection_name: …")
	fails(t, upload(t, n, "c", nil, data, RecoverOptions{Checksum: zeros}), sextant.Checksum, "Checksum mismatch: expected "+hex.EncodeToString(sum[:])+", actual "+zeros)
	fails(t, upload(t, n, "new", nil, data[:len(data)/2], RecoverOptions{}), sextant.BadRequest, "Snapshot file is not valid: …")
	fails(t, upload(t, n, "c", nil, []byte("no archive"), RecoverOptions{}), sextant.BadRequest, "Snapshot file is not valid: …")
	for at := 700; at < len(data); at += len(data)/13 + 1 {
		bad := bytes.Clone(data)
		bad[at] ^= 1
		if err := upload(t, n, "c", nil, bad, RecoverOptions{}); err != nil && sextant.KindOf(err) != sextant.BadRequest {
			t.Errorf("byte %d: %v", at, err)
		}
	}
	if err := upload(t, n, "c", shard, []byte("no archive"), RecoverOptions{}); sextant.KindOf(err) != sextant.BadRequest && sextant.KindOf(err) != sextant.WrongInput {
		t.Error(sextant.KindOf(err), err)
	}
	if got := everything(t, n, "c"); got != want {
		t.Error("a refused snapshot changed the collection")
	}
	if got := n.ListCollections(all); len(got) != 2 {
		t.Error("a refused snapshot made", got)
	}
	_, err = n.CreateSnapshot(ctx, all, "c", ptr(uint32(9)))
	fails(t, err, sextant.NotFound, "shard 9 not found")
	_, err = n.OpenSnapshot(all, "c", nil, "../"+info.Name)
	fails(t, err, sextant.NotFound, "Snapshot ../"+info.Name+" not found")
	closed := open(t, &vfs.Mem{}, func(c *config.Config) { c.Service.EnableSnapshotURLRecovery = false })
	fails(t, closed.RecoverSnapshot(ctx, all, "c", nil, "http://h/x", RecoverOptions{}), sextant.Forbidden,
		"Snapshot recovery from remote URLs is disabled in the configuration")
}

// A full snapshot holds all collections and aliases, for the start of another node.
func TestStorageSnapshot(t *testing.T) {
	n := open(t, &vfs.Mem{})
	ctx := t.Context()
	indexed(t, n, "a", 2)
	create(t, n, "b", 1)
	upsert(t, n, "b", 0, 7)
	must(t, n.UpdateAliases(ctx, all, []AliasAction{{Kind: CreateAlias, Alias: "x", Collection: "b"}}, 0))
	info, err := n.CreateSnapshot(ctx, all, "", nil)
	must(t, err)
	if !strings.HasPrefix(info.Name, "full-snapshot-") {
		t.Error(info.Name)
	}
	data := download(t, n, "", nil, info.Name)
	disk := &vfs.Mem{}
	other := open(t, disk)
	must(t, vfs.WriteAtomic(disk, "/full.snapshot", data))
	must(t, other.LoadStorage(ctx, "/full.snapshot", false))
	if everything(t, other, "a") != everything(t, n, "a") || everything(t, other, "x") != everything(t, n, "b") {
		t.Error("the collections differ")
	}
	fails(t, other.LoadStorage(ctx, "/full.snapshot", false), sextant.Exists, "Collection `a` already exists!")
	upsert(t, other, "b", 7, 9)
	must(t, other.LoadStorage(ctx, "/full.snapshot", true))
	if got := count(t, other, "b"); got != 7 {
		t.Error(got)
	}
}

// Snapshots under load, one after the other, while points come and go: every one of them is whole, and no write fails.
func TestSnapshotsUnderLoad(t *testing.T) {
	rounds := 10
	if testing.Short() {
		rounds = 3
	}
	n := open(t, &vfs.Mem{})
	create(t, n, "c", 2)
	stop := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		for i := uint64(0); ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			var points []sextant.Point
			for id := range uint64(20) {
				points = append(points, point(id, float32(i), `{}`))
			}
			_, err := n.Update(context.Background(), all, "c", sextant.Upsert{Points: points}, WriteOptions{Wait: i%2 == 0})
			if err == nil {
				_, err = n.Update(context.Background(), all, "c", sextant.DeletePoints{Selector: sextant.Selector{Filter: &sextant.Filter{}}}, WriteOptions{})
			}
			if err != nil {
				done <- err
				return
			}
		}
	}()
	for range rounds {
		info, err := n.CreateSnapshot(t.Context(), all, "c", nil)
		must(t, err)
		must(t, upload(t, n, "copy", nil, download(t, n, "c", nil, info.Name), RecoverOptions{}))
		if got := count(t, n, "copy"); got > 20 {
			t.Errorf("%d points", got)
		}
	}
	close(stop)
	must(t, <-done)
}
