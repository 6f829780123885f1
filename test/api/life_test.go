package api

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sextantdb/sextant/test/process"
)

// A server that is stopped in the middle of writes, searches and builds ends within 5 s, and what it acknowledged is there
// when it starts again; so is everything that describes collections.
func TestStopAndStartUnderLoad(t *testing.T) {
	server := process.Start(t, process.Options{})
	c := of(t, server)
	book(c)
	c.expect("200 true", "PATCH", "/collections/book", `{"optimizers_config":{"indexing_threshold":10},"metadata":{"more":[1.0,null]}}`)
	c.expect("200 true", "POST", "/collections/aliases", `{"actions":[{"create_alias":{"collection_name":"book","alias_name":"novel"}}]}`)
	var acked atomic.Int64
	var work sync.WaitGroup
	for w := range 3 {
		work.Go(func() {
			for i := 0; ; i++ {
				id := 1000*(w+1) + i
				status, err := put(server.URL+"/collections/novel/points?wait=true", fmt.Sprintf(`{"points":[{"id":%d,"vector":{"a":[%d,1],"b":[1]},"payload":{"k":"k3"}}]}`, id, i))
				if err != nil || status != 200 {
					return
				}
				acked.Add(1)
			}
		})
	}
	poll(t, "some writes", func() bool { return acked.Load() > 300 })
	took := server.Stop(t, process5s)
	work.Wait()
	t.Logf("stopped in %s after %d writes", took, acked.Load())

	server = process.Start(t, process.Options{Dir: server.Dir, Port: server.Port})
	c = of(t, server)
	c.expect("200 …", "GET", "/collections/novel", "")
	var count struct{ Count int64 }
	c.result(&count, "POST", "/collections/novel/points/count", `{"filter":{"must":{"key":"k","match":{"value":"k3"}},"must_not":{"has_id":[]}}}`)
	if low := acked.Load(); count.Count < low || count.Count > low+3+14 {
		t.Errorf("%d writes were acknowledged, %d points are there", low, count.Count)
	}
	c.expect(`200 …"params":{"vectors":{"a":{"size":2,"distance":"Cosine"},"b":{"size":1,"distance":"Dot"}},"shard_number":2,…"sparse_vectors":{"s":{"modifier":"idf"}}…"m":7,…"indexing_threshold":10,…"metadata":{"who":"me","more":[1.0,null]}},"payload_schema":{"k":{"data_type":"keyword","params":{"type":"keyword","is_tenant":true},"points":…`,
		"GET", "/collections/book", "")
	poll(t, "green after the start", func() bool {
		return strings.Contains(c.expect("200 …", "GET", "/collections/book", ""), `"status":"green"`)
	})
}

// Clients that hang in the middle of their requests do not hold up a stop.
func TestStopWithHangingClients(t *testing.T) {
	server := process.Start(t, process.Options{})
	of(t, server).expect("200 true", "PUT", "/collections/c", `{"vectors":{"size":2,"distance":"Dot"}}`)
	for _, begun := range []string{
		"",
		"GET / HTTP/1.1\r\nHost:",
		"PUT /collections/c/points HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{\"points\":",
		"POST /collections/c/snapshots/upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=q\r\nContent-Length: 1000\r\n\r\n" +
			"--q\r\nContent-Disposition: form-data; name=\"snapshot\"; filename=\"x\"\r\n\r\nabc",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, begun); err != nil {
			t.Fatal(err)
		}
	}
	of(t, server).expect("200 …", "GET", "/collections/c", "") // by now they are seen
	server.Stop(t, process5s)
}

// The number of an operation goes on rising over a restart, and a killed server starts as a stopped one does.
func TestOperationsAreNumberedOn(t *testing.T) {
	server := process.Start(t, process.Options{})
	var last int
	for round := range 3 {
		c := of(t, server)
		if round == 0 {
			c.expect("200 true", "PUT", "/collections/c", `{"vectors":{"size":1,"distance":"Dot"}}`)
		}
		for range 3 {
			var r struct {
				ID int `json:"operation_id"`
			}
			c.result(&r, "PUT", "/collections/c/points?wait=true", `{"points":[{"id":1,"vector":[1]}]}`)
			if r.ID <= last {
				t.Errorf("operation %d after %d", r.ID, last)
			}
			last = r.ID
		}
		if round == 0 {
			server.Kill()
		} else {
			server.Stop(t, process5s)
		}
		server = process.Start(t, process.Options{Dir: server.Dir, Port: server.Port})
	}
}

// Deleting a collection does not wait for what is done with it, and its name is free at once.
func TestCollectionsComeAndGo(t *testing.T) {
	c := of(t, process.Start(t, process.Options{}))
	for round := range 10 {
		c.expect("200 true", "PUT", "/collections/c", `{"vectors":{"size":2,"distance":"Dot"}}`)
		c.expect(`200 {"count":0}`, "POST", "/collections/c/points/count", "{}")
		c.expect("200 …", "PUT", "/collections/c/points?wait=true", fmt.Sprintf(`{"points":[{"id":%d,"vector":[1,2]}]}`, round))
		done := make(chan struct{})
		go func() {
			c.send("POST", "/collections/c/snapshots", nil)
			close(done)
		}()
		start := time.Now()
		c.expect("200 true", "DELETE", "/collections/c", "")
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("the delete took %s", took)
		}
		<-done
	}
}

// indexed_vectors_count and the optimizations tell of builds (storage 2.6, 2.7); an index comes and goes with its threshold.
func TestBuildsAreSeen(t *testing.T) {
	c := of(t, process.Start(t, process.Options{}))
	c.expect("200 true", "PUT", "/collections/c", `{"vectors":{"size":16,"distance":"Dot"},"optimizers_config":{"indexing_threshold":0}}`)
	const points = 3000
	var b strings.Builder
	for i := range points {
		fmt.Fprintf(&b, `%s{"id":%d,"vector":[%d%s],"payload":{"n":%d}}`, ","[:min(i, 1)], i, i%97, strings.Repeat(",1", 15), i)
	}
	c.expect("200 …", "PUT", "/collections/c/points?wait=true", `{"points":[`+b.String()+`]}`)
	c.expect(`200 {"status":"green",…"indexed_vectors_count":0,"points_count":3000,…`, "GET", "/collections/c", "")
	c.expect("200 true", "PATCH", "/collections/c", `{"optimizers_config":{"indexing_threshold":10}}`)
	poll(t, "indexed", func() bool {
		return matches(`200 {"status":"green",…"indexed_vectors_count":3000,"points_count":3000,…`, c.expect("200 …", "GET", "/collections/c", ""))
	})
	c.expect(`200 {"summary":{"queued_optimizations":0,"queued_segments":0,"queued_points":0,"idle_segments":…},"running":[],"queued":[],"completed":[{"uuid":"…","optimizer":"…","status":"done","segments":[{"uuid":"…","points_count":…}…],"progress":{"name":"…","started_at":"…","finished_at":"…","duration_sec":…}}…],"idle_segments":[{"uuid":"…","points_count":…}…]}`,
		"GET", "/collections/c/optimizations?with=queued,completed,idle_segments", "")
	c.expect(`200 {"summary":{…},"running":[],"completed":[]}`, "GET", "/collections/c/optimizations?with=completed&completed_limit=0", "")
	c.expect(`200 {…"optimizations":{"log":[{…"status":"done"…"optimizations":{"count":…"segment_type":"indexed"…`, "GET", "/telemetry?details_level=10", "")
	c.expect(`200 {"points":[{"id":96,…`, "POST", "/collections/c/points/query", `{"query":[1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0],"limit":3,"params":{"indexed_only":true}}`)
	c.expect("200 …", "POST", "/collections/c/points/delete?wait=true", `{"filter":{"must":{"key":"n","range":{"gte":100}}}}`)
	poll(t, "green after a great delete", func() bool {
		return matches(`200 {"status":"green",…"points_count":100,…`, c.expect("200 …", "GET", "/collections/c", ""))
	})
	c.expect(`200 {"count":100}`, "POST", "/collections/c/points/count", "{}")
}
