// Package search holds a real server to what its documentation promises about reads: every filter, score, order and page,
// whether points lie in the head or in sealed segments, with and without indexes, after a merge and after a crash.
package search

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sextantdb/sextant/test/process"
)

// client speaks to one server. A test that fails to get an answer at all ends.
type client struct {
	t   testing.TB
	url string
}

var pool = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: time.Minute}

func start(t testing.TB) (client, *process.Server) {
	s := process.Start(t, process.Options{Env: []string{"SEXTANT__LOG_LEVEL=WARN"}})
	return client{t, s.URL}, s
}

// restart kills the server and starts it again over the same data.
func restart(c *client, s *process.Server) *process.Server {
	c.t.Helper()
	s.Kill()
	s = process.Start(c.t, process.Options{Dir: s.Dir, Env: []string{"SEXTANT__LOG_LEVEL=WARN"}})
	c.url = s.URL
	return s
}

func (c client) send(method, path, body string) (int, []byte) {
	c.t.Helper()
	req, err := http.NewRequest(method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	resp, err := pool.Do(req)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return resp.StatusCode, answer
}

// do expects success and reads the result, if the caller wants it.
func (c client) do(method, path, body string, result any) {
	c.t.Helper()
	status, answer := c.send(method, path, body)
	if status != http.StatusOK {
		c.t.Fatalf("%s %s %.600s: %d %.600s", method, path, body, status, answer)
	}
	if result == nil {
		return
	}
	envelope := struct{ Result any }{result}
	d := json.NewDecoder(bytes.NewReader(answer))
	d.UseNumber()
	if err := d.Decode(&envelope); err != nil {
		c.t.Fatalf("%s %s: %v in %.600s", method, path, err, answer)
	}
}

// refused expects an error.
func (c client) refused(status int, text, method, path, body string) {
	c.t.Helper()
	got, answer := c.send(method, path, body)
	var envelope struct{ Status struct{ Error string } }
	if err := json.Unmarshal(answer, &envelope); err != nil {
		c.t.Errorf("%s %s %.300s: %d, not an error: %.300s", method, path, body, got, answer)
		return
	}
	if got != status || !strings.Contains(envelope.Status.Error, text) {
		c.t.Errorf("%s %s %.300s\n got %d %.300s\nwant %d …%s…", method, path, body, got, envelope.Status.Error, status, text)
	}
}

// id is a point id as JSON shows it.
type id string

func (i *id) UnmarshalJSON(b []byte) error { *i = id(b); return nil }

// record is a point in any answer.
type record struct {
	ID         id
	Score      float64
	Version    *int
	Payload    json.RawMessage
	Vector     json.RawMessage
	OrderValue json.Number `json:"order_value"`
}

type page struct {
	Points []record
	Next   id `json:"next_page_offset"`
}

func (c client) query(collection, body string) (list []record) {
	c.t.Helper()
	var result page
	c.do("POST", "/collections/"+collection+"/points/query", body, &result)
	return result.Points
}

// queries answers a batch.
func (c client) queries(collection string, bodies []string) [][]record {
	c.t.Helper()
	var result []page
	c.do("POST", "/collections/"+collection+"/points/query/batch", `{"searches":[`+strings.Join(bodies, ",")+`]}`, &result)
	if len(result) != len(bodies) {
		c.t.Fatalf("%d answers to %d queries", len(result), len(bodies))
	}
	lists := make([][]record, len(result))
	for i := range result {
		lists[i] = result[i].Points
	}
	return lists
}

func (c client) scroll(collection, body string) (result page) {
	c.t.Helper()
	c.do("POST", "/collections/"+collection+"/points/scroll", body, &result)
	return result
}

func (c client) count(collection, filter string) int {
	c.t.Helper()
	var result struct{ Count int }
	c.do("POST", "/collections/"+collection+"/points/count", `{"exact":true,"filter":`+filter+`}`, &result)
	return result.Count
}

func (c client) upsert(collection string, points ...string) {
	c.t.Helper()
	c.do("PUT", "/collections/"+collection+"/points?wait=true", `{"points":[`+strings.Join(points, ",")+`]}`, nil)
}

func (c client) index(collection, field, schema string) {
	c.t.Helper()
	c.do("PUT", "/collections/"+collection+"/index?wait=true", fmt.Sprintf(`{"field_name":%q,"field_schema":%s}`, field, schema), nil)
}

// seal puts the head of a collection into a segment: a snapshot is made of sealed segments only.
func (c client) seal(collection string) {
	c.t.Helper()
	c.do("POST", "/collections/"+collection+"/snapshots", "", nil)
}

type info struct {
	Status  string
	Points  int `json:"points_count"`
	Indexed int `json:"indexed_vectors_count"`
}

func (c client) info(collection string) (i info) {
	c.t.Helper()
	c.do("GET", "/collections/"+collection, "", &i)
	return i
}

// green waits until a collection has nothing left to build and at least so many vectors in graphs.
func (c client) green(collection string, indexed int) {
	c.t.Helper()
	for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		i := c.info(collection)
		if i.Status == "green" && i.Indexed >= indexed {
			return
		}
		if time.Since(begun) > time.Minute {
			c.t.Fatalf("%s does not come to rest: %+v, want %d indexed", collection, i, indexed)
		}
	}
}

// ids lists the ids of points in their order.
func ids(list []record) string {
	s := make([]string, len(list))
	for i, r := range list {
		s[i] = string(r.ID)
	}
	return strings.Join(s, " ")
}

// sorted lists ids in the order of their text.
func sorted(list []record) string {
	s := strings.Fields(ids(list))
	sort.Strings(s)
	return strings.Join(s, " ")
}

// scores shows a result as id:score, points of equal score by ascending id as the server has them.
func scores(list []record) string {
	s := make([]string, len(list))
	for i, r := range list {
		s[i] = fmt.Sprintf("%s:%s", r.ID, short(r.Score))
	}
	return strings.Join(s, " ")
}

// short rounds what clients may compare.
func short(f float64) string { return fmt.Sprintf("%g", math.Round(f*1e5)/1e5+0) }

// parallel runs f for each of n on a few goroutines. One that ends its test leaves the rest undone.
func parallel(n int, f func(i int)) {
	var wg sync.WaitGroup
	var next atomic.Int64
	for range 4 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wg.Wait()
}

// vector makes numbers that tell one point from another.
func vector(seed, dim int) string {
	s := make([]string, dim)
	for i := range s {
		s[i] = fmt.Sprintf("%.3f", math.Sin(float64(seed*31+i*17+seed*i)))
	}
	return "[" + strings.Join(s, ",") + "]"
}
