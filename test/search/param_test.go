package search

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// load writes n random points of so many dimensions; v makes the vectors.
func (c client) load(collection string, n, dim int, payload func(i int) string) {
	c.t.Helper()
	rng := rand.New(rand.NewPCG(*seed, 3))
	v := make([]float32, dim)
	var points []string
	for i := range n {
		for d := range v {
			v[d] = float32(rng.Float64()*2 - 1)
		}
		points = append(points, fmt.Sprintf(`{"id":%d,"vector":%s,"payload":%s}`, i+1, floats(v), payload(i+1)))
		if len(points) == 2000 || i == n-1 {
			c.upsert(collection, points...)
			points = nil
		}
	}
}

// TestSmallIsExact (E5.3): what is below all thresholds is scanned, whatever a query says.
func TestSmallIsExact(t *testing.T) {
	t.Parallel()
	c, _ := start(t)
	c.do("PUT", "/collections/c", `{"vectors":{"size":4,"distance":"Cosine"}}`, nil)
	c.load("c", 500, 4, func(int) string { return `{}` })
	for _, state := range []string{"head", "sealed"} {
		want := c.query("c", `{"query":[1,2,3,4],"limit":500,"params":{"exact":true}}`)
		if len(want) != 500 {
			t.Fatalf("%d points", len(want))
		}
		for _, params := range []string{`{}`, `{"indexed_only":true}`, `{"hnsw_ef":1}`, `{"hnsw_ef":100000}`, `{"quantization":{"ignore":true}}`,
			`{"quantization":{"rescore":false,"oversampling":3.0}}`, `{"acorn":{"enable":true,"max_selectivity":0.4}}`, `{"exact":true,"indexed_only":true}`} {
			for _, limit := range []int{1, 10, 499, 500, 999999999} {
				got := c.query("c", fmt.Sprintf(`{"query":[1,2,3,4],"limit":%d,"params":%s}`, limit, params))
				if scores(got) != scores(want[:min(limit, 500)]) {
					t.Errorf("%s: %s, limit %d: not the exact result", state, params, limit)
				}
			}
		}
		for offset := 0; offset < 520; offset += 57 { // pages put together are the whole
			got := c.query("c", fmt.Sprintf(`{"query":[1,2,3,4],"limit":57,"offset":%d}`, offset))
			if scores(got) != scores(want[min(offset, 500):min(offset+57, 500)]) {
				t.Errorf("%s: page from %d", state, offset)
			}
		}
		c.seal("c")
	}
}

// TestIndexedOnly (§5.2): what is large and has no graph is left out, on demand.
func TestIndexedOnly(t *testing.T) {
	t.Parallel()
	c, _ := start(t)
	create := func(name string, threshold int) {
		c.do("PUT", "/collections/"+name, fmt.Sprintf(`{"vectors":{"size":16,"distance":"Dot"},"optimizers_config":{"indexing_threshold":%d},"hnsw_config":{"full_scan_threshold":10}}`, threshold), nil)
		c.load(name, 1000, 16, func(i int) string { return fmt.Sprintf(`{"s":%d}`, i) })
	}
	create("plain", 40)  // KB: below the 62.5 that there are, so it gets a graph soon
	create("huge", 1000) // never
	found := func(name, filter string) int {
		return len(c.query(name, `{"query":`+vector(1, 16)+`,"limit":20,"filter":`+filter+`,"params":{"indexed_only":true}}`))
	}
	c.green("plain", 1000)
	for _, name := range []string{"plain", "huge"} {
		if n := found(name, `null`); n != 20 {
			t.Errorf("%s: %d found", name, n)
		}
		if n := c.count(name, `null`); n != 1000 {
			t.Errorf("%s: %d counted", name, n)
		}
	}
	// The same points with a graph that is not built: builds are off.
	c.do("PUT", "/collections/never", `{"vectors":{"size":16,"distance":"Dot"},"optimizers_config":{"indexing_threshold":40,"max_optimization_threads":0},"hnsw_config":{"full_scan_threshold":10}}`, nil)
	c.load("never", 1000, 16, func(i int) string { return fmt.Sprintf(`{"s":%d}`, i) })
	if n := found("never", `null`); n != 0 {
		t.Errorf("%d found of what is not indexed", n)
	}
	if n := found("never", `{"must":[{"key":"s","range":{"lte":30}}]}`); n != 20 {
		t.Errorf("%d found of the few that match", n)
	}
	if n := len(c.scroll("never", `{"limit":2000}`).Points); n != 1000 {
		t.Errorf("%d listed", n)
	}
}

// TestFewMatches (E5.4): three points among ten thousand are found, in order, whatever is indexed.
func TestFewMatches(t *testing.T) {
	t.Parallel()
	c, _ := start(t)
	c.do("PUT", "/collections/c", `{"vectors":{"size":128,"distance":"Cosine"},"optimizers_config":{"indexing_threshold":1000},"hnsw_config":{"full_scan_threshold":10}}`, nil)
	c.load("c", 10_000, 128, func(i int) string {
		if i%4000 == 77 {
			return `{"tag":"rare"}`
		}
		return `{"tag":"common"}`
	})
	check := func(when string) {
		t.Helper()
		for _, params := range []string{`{}`, `{"hnsw_ef":1}`, `{"exact":true}`, `{"acorn":{"enable":true}}`} {
			for seed := range 5 {
				body := `{"query":` + vector(seed, 128) + `,"filter":{"must":[{"key":"tag","match":{"value":"rare"}}]},"params":`
				if got, want := scores(c.query("c", body+params+`}`)), scores(c.query("c", body+`{"exact":true}}`)); got != want || len(strings.Fields(got)) != 3 {
					t.Errorf("%s, %s: %s, want %s", when, params, got, want)
				}
			}
		}
		// As many as are asked for, though a walk might end early.
		if got := len(c.query("c", `{"query":`+vector(3, 128)+`,"limit":9997,"filter":{"must":[{"key":"tag","match":{"value":"common"}}]}}`)); got != 9997 {
			t.Errorf("%s: %d of 9997", when, got)
		}
		if got := len(c.query("c", `{"query":`+vector(3, 128)+`,"limit":999999999}`)); got != 10_000 {
			t.Errorf("%s: %d of 10000", when, got)
		}
	}
	check("just written")
	c.green("c", 10_000)
	check("indexed")
	c.index("c", "tag", `"keyword"`)
	c.green("c", 10_000)
	check("with a field index")
}

// TestQuantized (§5.4): codes lead the way, the stored vectors decide, unless the user does not want that.
func TestQuantized(t *testing.T) {
	t.Parallel()
	c, _ := start(t)
	for _, distance := range []string{"Dot", "Cosine", "Euclid", "Manhattan"} {
		c.do("PUT", "/collections/"+distance, fmt.Sprintf(`{"vectors":{"size":32,"distance":%q},"optimizers_config":{"indexing_threshold":100,"default_segment_number":1},
			"hnsw_config":{"full_scan_threshold":10},"quantization_config":{"scalar":{"type":"int8","quantile":0.99}}}`, distance), nil)
		c.load(distance, 3000, 32, func(i int) string { return fmt.Sprintf(`{"s":%d}`, i%10) })
		c.green(distance, 3000)
		ask := func(params, rest string) []record {
			t.Helper()
			return c.query(distance, `{"query":`+vector(2, 32)+`,"limit":20,"params":`+params+rest+`}`)
		}
		exact := ask(`{"exact":true}`, "")
		near := func(what, params string, tolerance, recall float64) {
			t.Helper()
			got, hits := ask(params, ""), 0
			if len(got) != len(exact) {
				t.Fatalf("%s, %s: %d results", distance, what, len(got))
			}
			for i, r := range exact {
				for _, g := range got {
					if g.ID == r.ID {
						hits++
						if math.Abs(g.Score-r.Score) > tolerance*math.Max(1, math.Abs(r.Score)) {
							t.Errorf("%s, %s: place %d scores %g, exactly %g", distance, what, i, g.Score, r.Score)
						}
					}
				}
			}
			if share := float64(hits) / float64(len(exact)); share < recall {
				t.Errorf("%s, %s: recall %.2f", distance, what, share)
			}
			for i := 1; i < len(got); i++ {
				if distance == "Dot" || distance == "Cosine" {
					i, j := got[i-1], got[i]
					if i.Score < j.Score {
						t.Errorf("%s, %s: out of order", distance, what)
					}
				} else if got[i-1].Score > got[i].Score {
					t.Errorf("%s, %s: out of order", distance, what)
				}
			}
		}
		near("default", `{}`, 0.05, 0.85)
		near("rescored", `{"quantization":{"rescore":true}}`, 1e-5, 0.95)
		near("oversampled", `{"quantization":{"rescore":true,"oversampling":3.0}}`, 1e-5, 0.95)
		near("codes only", `{"quantization":{"rescore":false}}`, 0.05, 0.7)
		near("ignored", `{"quantization":{"ignore":true}}`, 1e-5, 0.95)
		near("exact and codes", `{"exact":true,"quantization":{"rescore":false}}`, 1e-5, 1)
		if got, want := scores(ask(`{"exact":true}`, `,"filter":{"must":[{"key":"s","match":{"value":3}}]}`)),
			scores(ask(`{"quantization":{"rescore":true,"oversampling":2}}`, `,"filter":{"must":[{"key":"s","match":{"value":3}}]}`)); got != want {
			t.Errorf("%s, filtered:\n got %s\nwant %s", distance, got, want)
		}
	}
}

// TestThreshold: the border itself is out, whatever the distance, and a threshold never changes what is better than it.
func TestThreshold(t *testing.T) {
	t.Parallel()
	c, _ := start(t)
	for _, distance := range []string{"Dot", "Cosine", "Euclid", "Manhattan"} {
		c.do("PUT", "/collections/"+distance, fmt.Sprintf(`{"vectors":{"size":8,"distance":%q},"optimizers_config":{"indexing_threshold":20},"hnsw_config":{"full_scan_threshold":10}}`, distance), nil)
		c.load(distance, 1000, 8, func(int) string { return `{}` })
		for _, state := range []string{"head", "graph"} {
			all := c.query(distance, `{"query":`+vector(1, 8)+`,"limit":100}`)
			for i := 0; i < 100; i += 9 {
				got := c.query(distance, fmt.Sprintf(`{"query":%s,"limit":100,"score_threshold":%s}`, vector(1, 8), strconv.FormatFloat(all[i].Score, 'g', -1, 32)))
				if scores(got) != scores(all[:i]) {
					t.Errorf("%s, %s: threshold %g of place %d leaves %d", distance, state, all[i].Score, i, len(got))
				}
			}
			var legacy []record
			c.do("POST", "/collections/"+distance+"/points/search", fmt.Sprintf(`{"vector":%s,"limit":100,"score_threshold":%g,"offset":2}`, vector(1, 8), float32(all[50].Score)), &legacy)
			if scores(legacy) != scores(all[2:50]) {
				t.Errorf("%s, %s: the older search gives %d", distance, state, len(legacy))
			}
			c.green(distance, 1000)
		}
	}
}

// TestTies: equal scores come by ascending id, over segments and shards, and pages of them fit together.
func TestTies(t *testing.T) {
	t.Parallel()
	c, _ := start(t)
	c.do("PUT", "/collections/c", `{"vectors":{"size":2,"distance":"Euclid"},"shard_number":3,"optimizers_config":{"default_segment_number":4}}`, nil)
	rng := rand.New(rand.NewPCG(*seed, 4))
	for part := range 4 {
		var points []string
		for _, i := range rng.Perm(100) {
			points = append(points, fmt.Sprintf(`{"id":%d,"vector":[%d,0]}`, i*4+part, i%2))
		}
		c.upsert("c", points...)
		c.seal("c")
	}
	var want []string
	for side := range 2 {
		for id := range 400 {
			if id/4%2 == side {
				want = append(want, strconv.Itoa(id))
			}
		}
	}
	var got []string
	for offset := 0; offset < 400; offset += 33 {
		got = append(got, strings.Fields(ids(c.query("c", fmt.Sprintf(`{"query":[0,0],"limit":33,"offset":%d}`, offset))))...)
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("pages of ties:\n got %s\nwant %s", got, want)
	}
}

// TestPatience: a read that takes too long ends with its time, or with its client, and leaves nothing running.
func TestPatience(t *testing.T) {
	t.Parallel()
	c, server := start(t)
	c.do("PUT", "/collections/c", `{"vectors":{"size":64,"distance":"Manhattan"}}`, nil)
	c.load("c", 6000, 64, func(i int) string {
		return fmt.Sprintf(`{"a":{"b":[%d,%d]},"t":"%d some words to look at"}`, i, i+1, i)
	})
	one := `{"query":` + vector(1, 64) + `,"limit":6000,"with_vector":true,"params":{"exact":true},"filter":{"must_not":[{"key":"t","match":{"text":"nothing"}}]}}`
	many := `{"searches":[` + strings.Repeat(one+",", 400) + one + `]}`
	begun := time.Now()
	c.refused(408, "timed out after 1s", "POST", "/collections/c/points/query/batch?timeout=1", many)
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("a timeout of one second took %s", took)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "POST", c.url+"/collections/c/points/query/batch", strings.NewReader(many))
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := pool.Do(req); err == nil {
		resp.Body.Close()
		t.Fatal("answered too soon")
	}
	for begun = time.Now(); ; {
		before := ticks(t, server.PID())
		time.Sleep(200 * time.Millisecond)
		if used := ticks(t, server.PID()) - before; used < 4 { // of 100 a second
			break
		}
		if time.Since(begun) > 5*time.Second {
			t.Fatal("the server still works for a client that has gone")
		}
	}
	if got := len(c.query("c", one)); got != 6000 {
		t.Errorf("%d points afterwards", got)
	}
}

// ticks is the time of the processor that a process has used, in hundredths of a second.
func ticks(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Skip("no /proc on this system")
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return user + system
}
