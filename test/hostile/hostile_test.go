// Package hostile sends a real server what nobody should send, and gives it disks that nobody should have: a clear error or
// a right answer, bounded memory, no crash, and nothing changed by what was refused.
package hostile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sextantdb/sextant/test/process"
)

type client struct {
	t   *testing.T
	url string
}

func (c client) send(method, path string, body io.Reader) (int, string) {
	c.t.Helper()
	req, err := http.NewRequest(method, c.url+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

func (c client) ok(method, path, body string) string {
	c.t.Helper()
	status, answer := c.send(method, path, strings.NewReader(body))
	if status != http.StatusOK {
		c.t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	return answer
}

// refused expects a status and a part of the error text.
func (c client) refused(status int, text, method, path, body string) {
	c.t.Helper()
	got, answer := c.send(method, path, strings.NewReader(body))
	var envelope struct {
		Status struct {
			Error string `json:"error"`
		} `json:"status"`
	}
	if err := json.Unmarshal([]byte(answer), &envelope); err != nil {
		c.t.Errorf("%s %s: not an envelope: %d %.300s", method, path, got, answer)
		return
	}
	if got != status || !strings.Contains(envelope.Status.Error, text) {
		c.t.Errorf("%s %s %.80s…\n got %d %.300s\nwant %d …%s…", method, path, body, got, envelope.Status.Error, status, text)
	}
}

func (c client) count(collection string) int {
	c.t.Helper()
	var answer struct {
		Result struct {
			Count int `json:"count"`
		} `json:"result"`
	}
	if err := json.Unmarshal([]byte(c.ok("POST", "/collections/"+collection+"/points/count", `{}`)), &answer); err != nil {
		c.t.Fatal(err)
	}
	return answer.Result.Count
}

func residentMB(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Skip("no /proc on this system")
	}
	pages, _ := strconv.Atoi(strings.Fields(string(b))[1])
	return pages * os.Getpagesize() >> 20
}

func TestBadInputChangesNothing(t *testing.T) {
	server := process.Start(t, process.Options{})
	c := client{t, server.URL}
	c.ok("PUT", "/collections/c", `{"vectors":{"a":{"size":4,"distance":"Dot"},"m":{"size":2,"distance":"Cosine","multivector_config":{"comparator":"max_sim"}}},"sparse_vectors":{"s":{}}}`)
	c.ok("PUT", "/collections/c/points?wait=true", `{"points":[{"id":1,"vector":{"a":[1,2,3,4]},"payload":{"k":"v"}}]}`)
	before := c.ok("POST", "/collections/c/points/scroll", `{"with_vector":true}`)

	points := "/collections/c/points"
	for _, wait := range []string{"?wait=true", "?wait=false"} {
		upsert := func(status int, text, body string) { t.Helper(); c.refused(status, text, "PUT", points+wait, body) }
		upsert(400, "Vector dimension error: expected dim: 4, got 3", `{"points":[{"id":2,"vector":{"a":[1,2,3]}}]}`)
		upsert(400, "Not existing vector name error: nope", `{"points":[{"id":2,"vector":{"nope":[1,2,3,4]}}]}`)
		upsert(400, "Not existing vector name error", `{"points":[{"id":2,"vector":[1,2,3,4]}]}`)
		upsert(400, "", `{"points":[{"id":2,"vector":{"a":[1,2,NaN,4]}}]}`)
		upsert(400, "", `{"points":[{"id":2,"vector":{"a":[1,2,1e39,4]}}]}`)
		upsert(400, "not a valid point ID", `{"points":[{"id":-1,"vector":{"a":[1,2,3,4]}}]}`)
		upsert(400, "not a valid point ID", `{"points":[{"id":"1","vector":{"a":[1,2,3,4]}}]}`)
		upsert(400, "Empty update request", `{"points":[]}`)
		upsert(400, "Conversion between sparse and regular vectors failed", `{"points":[{"id":2,"vector":{"s":[1,2,3,4]}}]}`)
		upsert(422, "must be unique", `{"points":[{"id":2,"vector":{"s":{"indices":[1,1],"values":[1,2]}}}]}`)
		upsert(422, "must be the same length as indices", `{"points":[{"id":2,"vector":{"s":{"indices":[1,3],"values":[1]}}}]}`)
		upsert(422, "all vectors must have the same dimension", `{"points":[{"id":2,"vector":{"m":[[1,2],[1]]}}]}`)
		// A good point before a bad one is refused with it.
		upsert(400, "expected dim: 4, got 1", `{"points":[{"id":3,"vector":{"a":[1,2,3,4]}},{"id":4,"vector":{"a":[1]}}]}`)
	}
	c.refused(404, "doesn't exist", "PUT", "/collections/nowhere/points", `{"points":[{"id":1,"vector":[1]}]}`)
	c.refused(400, "", "POST", points+"/delete?wait=true", `{"filter":{"mustt":[]}}`)
	c.refused(400, "Invalid json path", "POST", points+"/payload?wait=true", `{"payload":{"a":1},"points":[1],"key":"a..b"}`)
	c.refused(404, "No point with id 99 found", "POST", points+"/payload?wait=true", `{"payload":{"a":1},"points":[99]}`)
	c.refused(422, "", "POST", points+"/scroll", `{"limit":0}`)
	c.refused(400, "", "POST", points+"/query", `{"query":[1,2,3],"using":"a"}`)
	c.refused(404, "No point with id 77 found", "POST", points+"/query", `{"query":77,"using":"a"}`)
	c.refused(501, "recommend", "POST", points+"/query", `{"query":{"recommend":{"positive":[1]}},"using":"a"}`)
	c.refused(409, "already exists", "PUT", "/collections/c", `{}`)
	c.refused(405, "standalone mode", "POST", "/collections/c/cluster", `{"drop_replica":{"shard_id":0,"peer_id":1}}`)
	if after := c.ok("POST", "/collections/c/points/scroll", `{"with_vector":true}`); withoutTime(after) != withoutTime(before) {
		t.Errorf("something changed:\n%s\n%s", before, after)
	}
}

func withoutTime(envelope string) string {
	head, _, _ := strings.Cut(envelope, `"status":"ok"`)
	return head
}

// Deep nesting, huge bodies and huge limits must cost an error, not the process.
func TestHugeInputIsBounded(t *testing.T) {
	server := process.Start(t, process.Options{})
	c := client{t, server.URL}
	c.ok("PUT", "/collections/c", `{"vectors":{"size":2,"distance":"Dot"}}`)
	deep := strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000)
	c.refused(400, "", "PUT", "/collections/c/points?wait=true", `{"points":[{"id":1,"vector":[1,2],"payload":`+deep+`}]}`)
	deepArray := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	c.refused(400, "", "PUT", "/collections/c/points?wait=true", `{"points":[{"id":1,"vector":`+deepArray+`}]}`)
	deepFilter := strings.Repeat(`{"must":[`, 10_000) + strings.Repeat("]}", 10_000)
	c.refused(400, "", "POST", "/collections/c/points/scroll", `{"filter":`+deepFilter+`}`)
	deepPrefetch := strings.Repeat(`{"prefetch":`, 10_000) + "{}" + strings.Repeat("}", 10_000)
	status, _ := c.send("POST", "/collections/c/points/query", strings.NewReader(deepPrefetch))
	if status < 400 || status >= 600 {
		t.Errorf("deep prefetch: status %d", status)
	}

	// 1 GB without a length: read up to the limit, then refused. The connection may be cut while we still send.
	status, answer := c.send("PUT", "/collections/c/points", io.LimitReader(zeros{}, 1<<30))
	if status != 400 && status != 0 || status == 400 && !strings.Contains(answer, "33554432 bytes") {
		t.Errorf("1 GB body: %d %.200s", status, answer)
	}
	// 1 GB announced.
	req, _ := http.NewRequest("PUT", c.url+"/collections/c/points", io.LimitReader(zeros{}, 1<<30))
	req.ContentLength = 1 << 30
	if resp, err := http.DefaultClient.Do(req); err == nil {
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 400 || !strings.Contains(string(b), "larger than allowed") {
			t.Errorf("1 GB announced: %d %.200s", resp.StatusCode, b)
		}
	}

	var body bytes.Buffer
	body.WriteString(`{"points":[`)
	for i := range 20_000 {
		if i > 0 {
			body.WriteByte(',')
		}
		// Every id three times: the last one counts.
		fmt.Fprintf(&body, `{"id":%d,"vector":[9,9]},{"id":%d,"vector":[8,8]},{"id":%d,"vector":[%d,1]}`, i, i, i, i)
	}
	body.WriteString(`]}`)
	c.ok("PUT", "/collections/c/points?wait=true", body.String())
	if n := c.count("c"); n != 20_000 {
		t.Errorf("%d points of 20000 distinct ids", n)
	}
	var page struct {
		Result struct {
			Points []struct {
				ID     int       `json:"id"`
				Vector []float32 `json:"vector"`
			} `json:"points"`
			Next any `json:"next_page_offset"`
		} `json:"result"`
	}
	if err := json.Unmarshal([]byte(c.ok("POST", "/collections/c/points/scroll", `{"limit":999999999,"with_vector":true}`)), &page); err != nil {
		t.Fatal(err)
	}
	if len(page.Result.Points) != 20_000 || page.Result.Next != nil {
		t.Fatalf("%d points, next %v", len(page.Result.Points), page.Result.Next)
	}
	for i, p := range page.Result.Points {
		if p.ID != i || p.Vector[0] != float32(i) {
			t.Fatalf("point %d: %+v", i, p)
		}
	}
	var found struct {
		Result struct {
			Points []json.RawMessage `json:"points"`
		} `json:"result"`
	}
	if err := json.Unmarshal([]byte(c.ok("POST", "/collections/c/points/query", `{"query":[1,1],"limit":999999999}`)), &found); err != nil {
		t.Fatal(err)
	}
	if len(found.Result.Points) != 20_000 {
		t.Errorf("a search without limit found %d of 20000", len(found.Result.Points))
	}
	if mb := residentMB(t, server.PID()); mb > 700 {
		t.Errorf("%d MB resident after small data", mb)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// A flipped byte in any stored file is an error that names the file, or is repaired; it is never a wrong answer, and the
// other collection is not affected.
func TestAFlippedByteIsNeverAWrongAnswer(t *testing.T) {
	dir := t.TempDir()
	o := process.Options{Dir: dir, Env: []string{"QDRANT__STORAGE__WAL__WAL_CAPACITY_MB=1", "QDRANT__STORAGE__OPTIMIZERS__INDEXING_THRESHOLD_KB=100"}}
	server := process.Start(t, o)
	c := client{t, server.URL}
	for _, name := range []string{"good", "bad"} {
		c.ok("PUT", "/collections/"+name, `{"vectors":{"size":16,"distance":"Dot"}}`)
		c.ok("PUT", "/collections/"+name+"/index?wait=true", `{"field_name":"n","field_schema":"integer"}`)
		fill(c, name, 8000)
	}
	waitGreen(t, c, "bad")
	truth := readAll(t, c, "bad")
	server.Stop(t, 20*time.Second)

	shard := shardDirOf(t, dir, "bad")
	var files []string
	_ = filepath.WalkDir(shard, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if len(files) < 3 {
		t.Fatalf("only %v in %s", files, shard)
	}
	for _, file := range files {
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, share := range []float64{0.02, 0.5, 0.97} {
			if len(whole) == 0 {
				continue
			}
			damaged := bytes.Clone(whole)
			at := int(share * float64(len(damaged)-1))
			damaged[at] ^= 0x10
			// On a copy of the whole directory: what the server repairs or removes must not touch the next round.
			copied := t.TempDir()
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			rel, _ := filepath.Rel(dir, file)
			if err := os.WriteFile(filepath.Join(copied, rel), damaged, 0o644); err != nil {
				t.Fatal(err)
			}
			server := process.Start(t, process.Options{Dir: copied, Env: o.Env})
			c := client{t, server.URL}
			if n := c.count("good"); n != 8000 {
				t.Errorf("%s at %d: the other collection has %d points", rel, at, n)
			}
			judge(t, c, rel, at, truth)
			server.Kill()
			os.RemoveAll(copied)
		}
	}
}

func fill(c client, name string, n int) {
	for first := 0; first < n; first += 1000 {
		var b bytes.Buffer
		b.WriteString(`{"points":[`)
		for i := first; i < first+1000; i++ {
			if i > first {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"id":%d,"payload":{"n":%d,"text":"point number %d"},"vector":[`, i, i%100, i)
			for d := range 16 {
				if d > 0 {
					b.WriteByte(',')
				}
				fmt.Fprintf(&b, "%d", (i*31+d*17)%101)
			}
			b.WriteString("]}")
		}
		b.WriteString(`]}`)
		c.ok("PUT", "/collections/"+name+"/points?wait=true", b.String())
	}
	// Updates and deletes, so that there are tombstones.
	c.ok("POST", "/collections/"+name+"/points/payload?wait=true", `{"payload":{"new":true},"points":[5,6,7]}`)
}

func waitGreen(t *testing.T, c client, name string) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !strings.Contains(c.ok("GET", "/collections/"+name, ""), `"status":"green"`) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not become green: %s", name, c.ok("GET", "/collections/"+name, ""))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func readAll(t *testing.T, c client, name string) string {
	t.Helper()
	return withoutTime(c.ok("POST", "/collections/"+name+"/points/scroll", `{"limit":999999999,"with_vector":true}`))
}

// shardDirOf finds the directory of a collection's shard: the one whose manifest was written last, since "bad" was
// filled last.
func shardDirOf(t *testing.T, dir, name string) string {
	t.Helper()
	matches, err := filepath.Glob(filepath.Join(dir, "storage", "*", "*", "*", "CURRENT"))
	more, _ := filepath.Glob(filepath.Join(dir, "storage", "*", "*", "CURRENT"))
	matches = append(matches, more...)
	if err != nil || len(matches) != 2 {
		t.Fatalf("expected two shards, found %v", matches)
	}
	newest, at := "", time.Time{}
	for _, m := range matches {
		info, err := os.Stat(m)
		if err != nil {
			t.Fatal(err)
		}
		if info.ModTime().After(at) {
			newest, at = filepath.Dir(m), info.ModTime()
		}
	}
	return newest
}

func judge(t *testing.T, c client, file string, at int, truth string) {
	t.Helper()
	status, answer := c.send("POST", "/collections/bad/points/scroll", strings.NewReader(`{"limit":999999999,"with_vector":true}`))
	switch {
	case status == http.StatusOK && withoutTime(answer) == truth:
	case status >= 500 && strings.Contains(answer, filepath.Base(file)):
		return
	default:
		t.Errorf("%s at %d: scroll answered %d %.300s", file, at, status, answer)
		return
	}
	// What reads right must also search and filter right.
	body := `{"query":[1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7],"limit":5,"params":{"exact":true},"filter":{"must":[{"key":"n","match":{"value":7}}]}}`
	status, answer = c.send("POST", "/collections/bad/points/query", strings.NewReader(body))
	if status == http.StatusOK {
		if n := strings.Count(answer, `"id":`); n != 5 {
			t.Errorf("%s at %d: a filtered search found %d of 5: %s", file, at, n, answer)
		}
	} else if status < 500 || !strings.Contains(answer, filepath.Base(file)) {
		t.Errorf("%s at %d: query answered %d %.300s", file, at, status, answer)
	}
	status, answer = c.send("POST", "/collections/bad/points/count", strings.NewReader(`{"filter":{"must":[{"key":"n","match":{"value":7}}]}}`))
	if status == http.StatusOK && !strings.Contains(answer, `"count":80}`) {
		t.Errorf("%s at %d: counted %s", file, at, answer)
	}
}
