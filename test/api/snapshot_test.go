package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sextantdb/sextant/test/process"
)

type snapshotInfo struct {
	Name     string `json:"name"`
	Created  string `json:"creation_time"`
	Size     int    `json:"size"`
	Checksum string `json:"checksum"`
}

// book fills a collection with what a snapshot must keep.
func book(c client) {
	c.expect("200 true", "PUT", "/collections/book", `{"vectors":{"a":{"size":2,"distance":"Cosine"},"b":{"size":1,"distance":"Dot"}},
		"sparse_vectors":{"s":{"modifier":"idf"}},"shard_number":2,"metadata":{"who":"me"},"hnsw_config":{"m":7}}`)
	c.expect("200 …", "PUT", "/collections/book/index?wait=true", `{"field_name":"k","field_schema":{"type":"keyword","is_tenant":true}}`)
	var points []string
	for i := range 100 {
		points = append(points, fmt.Sprintf(`{"id":%d,"vector":{"a":[%d,1],"s":{"indices":[%d],"values":[1]}},"payload":{"k":"k%d","n":%d.0}}`,
			i, i+1, i, i%7, i))
	}
	c.expect("200 …", "PUT", "/collections/book/points?wait=true", `{"points":[`+strings.Join(points, ",")+`]}`)
	c.expect("200 …", "POST", "/collections/book/points/delete?wait=true", `{"points":[5,6]}`)
}

// content is all that a client can see of a collection; what differs between a collection and its copy is left out.
func content(c client, name string) string {
	info := c.expect("200 …", "GET", "/collections/"+name, "")
	config := regexp.MustCompile(`"points_count":\d+|"config":.*`).FindAllString(info, -1)
	return strings.Join(config, " ") + c.expect("200 …", "POST", "/collections/"+name+"/points/scroll", `{"limit":999999999,"with_vector":true}`) +
		c.expect("200 …", "POST", "/collections/"+name+"/points/query",
			`{"query":[1,2],"using":"a","limit":5,"filter":{"must":{"key":"k","match":{"value":"k3"}}}}`)
}

// process5s is how long a server may take to stop.
const process5s = 5 * time.Second

var versions = regexp.MustCompile(`"version":\d+`)

func same(t *testing.T, got, want string) {
	t.Helper()
	if got, want = versions.ReplaceAllString(got, ""), versions.ReplaceAllString(want, ""); got != want {
		t.Errorf("the copy differs:\n%.3000s\n%.3000s", got, want)
	}
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// A snapshot of one server is listed, downloaded, and becomes the same collection on another one by every way there is.
func TestCollectionSnapshotsTravel(t *testing.T) {
	server := process.Start(t, process.Options{})
	other := process.Start(t, process.Options{Env: []string{"QDRANT__STORAGE__SNAPSHOTS_PATH=./deep/snaps"}})
	a, b := of(t, server), of(t, other)
	book(a)
	a.expect("200 []", "GET", "/collections/book/snapshots", "")
	var made snapshotInfo
	a.result(&made, "POST", "/collections/book/snapshots", "")
	if !regexp.MustCompile(`^book-\d+-\d{4}(-\d\d){5}\.snapshot$`).MatchString(made.Name) ||
		!regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$`).MatchString(made.Created) {
		t.Errorf("%+v", made)
	}
	want := content(a, "book")
	var list []snapshotInfo
	a.result(&list, "GET", "/collections/book/snapshots", "")
	if len(list) != 1 || list[0] != made {
		t.Errorf("listed %v, made %v", list, made)
	}

	resp, file := a.send("GET", "/collections/book/snapshots/"+made.Name, nil)
	if hash(file) != made.Checksum || len(file) != made.Size || resp.Header.Get("Content-Type") != "application/octet-stream" ||
		resp.Header.Get("Content-Disposition") != `attachment; filename=`+made.Name && resp.Header.Get("Content-Disposition") != `attachment; filename="`+made.Name+`"` {
		t.Errorf("download: %d bytes of %d, %v", len(file), made.Size, resp.Header)
	}
	if resp, part := a.send("GET", "/collections/book/snapshots/"+made.Name, nil, "Range", "bytes=10-19"); resp.StatusCode != 206 || !bytes.Equal(part, file[10:20]) {
		t.Errorf("range: %s, %d bytes", resp.Status, len(part))
	}

	// Upload, into nothing and over what is there.
	upload := func(path, want string, file []byte) {
		t.Helper()
		body, kind := form("snapshot", file)
		resp, answer := b.send("POST", path, body, "Content-Type", kind)
		if got := fmt.Sprintf("%d %s", resp.StatusCode, digest(resp, answer)); !matches(want, got) {
			t.Errorf("POST %s\n got %s\nwant %s", path, got, want)
		}
	}
	upload("/collections/up/snapshots/upload?priority=snapshot&checksum="+made.Checksum, "200 true", file)
	same(t, content(b, "up"), want)
	b.expect("200 …", "POST", "/collections/up/points/delete?wait=true", `{"filter":{}}`)
	upload("/collections/up/snapshots/upload?checksum="+strings.ToUpper(made.Checksum), "200 true", file)
	same(t, content(b, "up"), want)
	upload("/collections/up/snapshots/upload?priority=foo", "400 Deserialize error in query parameters: …", file)
	upload("/collections/up/snapshots/upload?checksum="+hash(nil), "400 Checksum mismatch: expected "+made.Checksum+", actual "+hash(nil), file)
	upload("/collections/up/snapshots/upload", "400 …", []byte("no archive"))
	upload("/collections/up/snapshots/upload", "400 …", file[:len(file)/2])
	upload("/collections/new/snapshots/upload", "400 …", file[:len(file)/2])
	upload("/collections/a%3Fb/snapshots/upload", `422 Validation error in path parameters: [collection_name: collection name cannot contain "?" char]`, file)
	same(t, content(b, "up"), want)
	b.expect("404 …", "GET", "/collections/new", "")
	upload("/collections/late/snapshots/upload?wait=false", `202 "accepted"`, file)
	poll(t, "an upload that nobody waits for", func() bool {
		resp, _ := b.send("GET", "/collections/late", nil)
		return resp.StatusCode == 200 && matches(`200 {"count":98}`, fmt.Sprint("200 ", countOf(b, "late")))
	})

	// From another server, from a file.
	recover := func(want, collection, body string) {
		t.Helper()
		b.expect(want, "PUT", "/collections/"+collection+"/snapshots/recover", body)
	}
	url := server.URL + "/collections/book/snapshots/" + made.Name
	recover("200 true", "web", `{"location":"`+url+`","priority":"replica","checksum":"`+made.Checksum+`"}`)
	same(t, content(b, "web"), want)
	for _, priority := range []string{"no_sync", "snapshot", "replica"} {
		recover("200 true", "web", `{"location":"`+url+`","priority":"`+priority+`","checksum":null,"api_key":null,"wait":false}`)
	}
	same(t, content(b, "web"), want)
	recover("400 Wrong input: Snapshot checksum mismatch: expected "+hash(nil)+", got "+made.Checksum, "web", `{"location":"`+url+`","checksum":"`+hash(nil)+`"}`)
	recover("4…", "web", `{"location":"`+server.URL+`/collections/book/snapshots/none.snapshot"}`)
	recover("400 Bad request: URL …ftp… with scheme …ftp… is not supported", "web", `{"location":"ftp://x/y"}`)
	recover("400 Bad request: Invalid snapshot URI, file path must be absolute or on localhost", "web", `{"location":"file://elsewhere/x.snapshot"}`)
	recover("403 Forbidden: Snapshot file path must be inside the snapshots directory …", "web", `{"location":"file:///etc/passwd"}`)
	recover("400 Format error in JSON body: unknown variant `foo`, expected one of `no_sync`, `snapshot`, `replica`…", "web", `{"location":"`+url+`","priority":"foo"}`)
	var up snapshotInfo
	b.result(&up, "POST", "/collections/up/snapshots", "")
	folder, err := filepath.Abs(filepath.Join(other.Dir, "deep/snaps/up"))
	if err != nil {
		t.Fatal(err)
	}
	recover(`400 Bad request: Snapshot file "`+folder+`/no.snapshot" does not exist`, "web", `{"location":"file://`+folder+`/no.snapshot"}`)
	recover("403 …", "web", `{"location":"file://`+folder+`/../../../x.snapshot"}`)
	recover("200 true", "fromfile", `{"location":"file://`+folder+"/"+up.Name+`","checksum":"`+up.Checksum+`"}`)
	same(t, content(b, "fromfile"), want)
	same(t, content(b, "web"), want)

	// Several at once: one makes the collection, the others wait for their turn.
	var race sync.WaitGroup
	for range 4 {
		race.Go(func() { recover("200 true", "race", `{"location":"`+url+`"}`) })
	}
	race.Wait()
	same(t, content(b, "race"), want)

	// Another collection than the snapshot's.
	b.expect("200 true", "PUT", "/collections/unlike", `{"vectors":{"size":3,"distance":"Dot"}}`)
	recover("400 Wrong input: Snapshot is not compatible with existing collection: …", "unlike", `{"location":"`+url+`"}`)

	// The key for the other server travels in a header.
	var key string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key = r.Header.Get("Api-Key")
		_, _ = w.Write(file)
	}))
	defer proxy.Close()
	recover("200 true", "keyed", `{"location":"`+proxy.URL+`/some/file","api_key":"open sesame"}`)
	if key != "open sesame" {
		t.Errorf("key %q", key)
	}

	// The copies outlive a restart, the stored snapshots too.
	other.Stop(t, process5s)
	other = process.Start(t, process.Options{Dir: other.Dir, Port: other.Port, Env: []string{"QDRANT__STORAGE__SNAPSHOTS_PATH=./deep/snaps",
		"QDRANT__SERVICE__ENABLE_SNAPSHOT_URL_RECOVERY=false"}})
	b = of(t, other)
	for _, name := range []string{"up", "late", "web", "fromfile", "keyed"} {
		same(t, content(b, name), want)
	}
	recover("403 Forbidden: Snapshot recovery from remote URLs is disabled in the configuration", "web", `{"location":"`+url+`"}`)
	b.result(&list, "GET", "/collections/up/snapshots", "")
	if len(list) != 1 || list[0] != up {
		t.Errorf("listed %v, made %v", list, up)
	}
	b.expect("200 true", "DELETE", "/collections/up/snapshots/"+up.Name, "")
	b.expect("404 Not found: Snapshot "+up.Name+" not found", "DELETE", "/collections/up/snapshots/"+up.Name, "")
	b.expect("200 []", "GET", "/collections/up/snapshots", "")
	for _, odd := range []string{"..%2Fup%2F" + up.Name, "..", "%2Fetc%2Fpasswd", up.Name + ".checksum"} {
		b.expect("404 …", "GET", "/collections/up/snapshots/"+odd, "")
		b.expect("404…", "DELETE", "/collections/up/snapshots/"+odd, "")
	}
	b.expect(`202 "accepted"`, "POST", "/collections/up/snapshots?wait=false", "")
	poll(t, "a snapshot that nobody waits for", func() bool {
		b.result(&list, "GET", "/collections/up/snapshots", "")
		return len(list) == 1 && list[0].Checksum != ""
	})
}

func countOf(c client, name string) string {
	resp, b := c.send("POST", "/collections/"+name+"/points/count", strings.NewReader("{}"))
	return digest(resp, b)
}

// Snapshots of a shard, stored and streamed.
func TestShardSnapshots(t *testing.T) {
	server := process.Start(t, process.Options{})
	c := of(t, server)
	book(c)
	want := content(c, "book")
	shard := "/collections/book/shards/1/snapshots"
	c.expect("200 []", "GET", shard, "")
	var made snapshotInfo
	c.result(&made, "POST", shard, "")
	if !regexp.MustCompile(`^book-shard-1-\d{4}(-\d\d){5}\.snapshot$`).MatchString(made.Name) {
		t.Errorf("%+v", made)
	}
	c.expect("200 …", "GET", shard, "")
	_, file := c.send("GET", shard+"/"+made.Name, nil)
	if hash(file) != made.Checksum {
		t.Error("the checksum is not that of the file")
	}
	_, streamed := c.send("GET", "/collections/book/shards/1/snapshot", nil)
	wipe := func() {
		t.Helper()
		c.expect("200 …", "POST", "/collections/book/points/payload/clear?wait=true", `{"filter":{}}`)
	}
	other := func() string {
		return c.expect("200 …", "POST", "/collections/book/shards/0/points/scroll", `{"limit":1000}`)
	}
	for i, f := range [][]byte{file, streamed} {
		wipe()
		before := other()
		body, kind := form("snapshot", f)
		if resp, b := c.send("POST", shard+"/upload", body, "Content-Type", kind); resp.StatusCode != 200 || !strings.Contains(string(b), `"result":null`) {
			t.Fatalf("upload %d: %s", i, b)
		}
		if other() != before {
			t.Error("another shard changed")
		}
	}
	wipe()
	c.expect("200 true", "PUT", shard+"/recover", `{"location":"`+made.Name+`","checksum":"`+made.Checksum+`"}`)
	c.expect("404 Not found: Snapshot no.snapshot not found", "PUT", shard+"/recover", `{"location":"no.snapshot"}`)
	c.expect("400 Wrong input: Invalid snapshot URL file:///x: URLs with file scheme are not supported", "PUT", shard+"/recover", `{"location":"file:///x"}`)
	c.expect("200 true", "PUT", shard+"/recover?wait=true", `{"location":"`+server.URL+shard+"/"+made.Name+`"}`)
	c.expect("404 Not found: shard 9 not found", "GET", "/collections/book/shards/9/snapshots", "")
	c.expect(`404 "Not found: shard 9 not found"`, "GET", "/collections/book/shards/9/snapshot", "")
	c.expect("404 Not found: shard 9 not found", "POST", "/collections/book/shards/9/snapshots", "")
	c.expect("404 Not found: shard 9 not found", "PUT", "/collections/book/shards/9/snapshots/recover", `{"location":"x.snapshot"}`)
	c.expect("200 true", "DELETE", shard+"/"+made.Name, "")
	c.expect("200 []", "GET", shard, "")

	// The other shard comes back from a snapshot as well, and then all is as it was.
	book2 := of(t, process.Start(t, process.Options{}))
	book(book2)
	_, zero := book2.send("GET", "/collections/book/shards/0/snapshot", nil)
	body, kind := form("snapshot", zero)
	if resp, b := c.send("POST", "/collections/book/shards/0/snapshots/upload", body, "Content-Type", kind); resp.StatusCode != 200 {
		t.Fatalf("%s", b)
	}
	same(t, content(c, "book"), want)
	c.expect(`200 {"operation_id":…,"status":"completed"}`, "PUT", "/collections/book/points?wait=true", `{"points":[{"id":1,"vector":{}}]}`)
}

// Snapshots under a load of writes hold all that was acknowledged before them, and nothing fails.
func TestSnapshotsUnderWrites(t *testing.T) {
	server := process.Start(t, process.Options{})
	c := of(t, server)
	c.expect("200 true", "PUT", "/collections/w", `{"vectors":{"size":4,"distance":"Dot"}}`)
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 2 {
		writers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				c.expect("200 …", "PUT", "/collections/w/points?wait=true", fmt.Sprintf(`{"points":[{"id":%d,"vector":[1,2,3,4],"payload":{"i":%d}}]}`, w*1000+i%100, i))
				if i%50 == 49 {
					c.expect("200 …", "POST", "/collections/w/points/delete?wait=true", `{"filter":{"must":{"key":"i","range":{"lt":0}}}}`)
				}
			}
		})
	}
	for i := range 8 {
		c.expect("200 …", "PUT", "/collections/w/points", fmt.Sprintf(`{"points":[{"id":%d,"vector":[1,2,3,4]}]}`, 100000+i))
		var made snapshotInfo
		c.result(&made, "POST", "/collections/w/snapshots", "")
		c.expect("200 true", "PUT", fmt.Sprintf("/collections/copy%d/snapshots/recover", i), `{"location":"`+server.URL+"/collections/w/snapshots/"+made.Name+`"}`)
		c.expect(fmt.Sprintf(`200 {"count":%d}`, i+1), "POST", fmt.Sprintf("/collections/copy%d/points/count", i), `{"filter":{"must":{"slice":{"total":1,"index":0}},"must_not":{"key":"i","range":{"gte":0}}}}`)
	}
	close(stop)
	writers.Wait()
}

// A snapshot of everything is stored, and restored when a server starts; so are single collections.
func TestFullSnapshots(t *testing.T) {
	server := process.Start(t, process.Options{})
	c := of(t, server)
	book(c)
	c.expect("200 true", "POST", "/collections/aliases", `{"actions":[{"create_alias":{"collection_name":"book","alias_name":"novel"}}]}`)
	want := content(c, "book")
	c.expect("200 []", "GET", "/snapshots", "")
	var full, one snapshotInfo
	c.result(&full, "POST", "/snapshots", "")
	if !regexp.MustCompile(`^full-snapshot-\d{4}(-\d\d){5}\.snapshot$`).MatchString(full.Name) {
		t.Errorf("%+v", full)
	}
	c.result(&one, "POST", "/collections/book/snapshots", "")
	if _, file := c.send("GET", "/snapshots/"+full.Name, nil); hash(file) != full.Checksum {
		t.Error("the checksum is not that of the file")
	}
	c.expect(`404 "Not found: Snapshot x.snapshot not found"`, "GET", "/snapshots/x.snapshot", "")
	fullFile, oneFile := filepath.Join(server.Dir, "snapshots", full.Name), filepath.Join(server.Dir, "snapshots/book", one.Name)

	whole := of(t, process.Start(t, process.Options{Args: []string{"--storage-snapshot", fullFile}}))
	same(t, content(whole, "novel"), want)
	dir := t.TempDir()
	single := process.Start(t, process.Options{Dir: dir, Args: []string{"--snapshot", oneFile + ":copy"}})
	same(t, content(of(t, single), "copy"), want)
	single.Stop(t, process5s)

	// What is there is not overwritten unless that is asked for.
	again := process.Spawn(t, process.Options{Dir: dir, Args: []string{"--snapshot", oneFile + ":copy"}})
	poll(t, "the start that would overwrite a collection fails", func() bool { return strings.Contains(again.Log(), "already exists") })
	forced := process.Start(t, process.Options{Dir: dir, Args: []string{"-f", "--snapshot", oneFile + ":copy"}})
	same(t, content(of(t, forced), "copy"), want)
	c.expect("200 true", "DELETE", "/snapshots/"+full.Name, "")
	c.expect("200 []", "GET", "/snapshots", "")
}
