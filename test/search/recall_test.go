package search

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var recallPoints = flag.Int("points", 20_000, "points of the recall test")

// TestRecallUnderUpdates: three tenths of an indexed collection move, go or change while graphs are built; nearest points
// stay right, with filters of every selectivity, and none is missing or risen from the dead at any moment.
func TestRecallUnderUpdates(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	t.Parallel()
	const dim, k, queries = 32, 10, 40
	n := *recallPoints
	t.Logf("-seed %d", *seed)
	rng := rand.New(rand.NewPCG(*seed, 1))
	centres := make([][]float32, 60)
	for i := range centres {
		centres[i] = make([]float32, dim)
		for d := range centres[i] {
			centres[i][d] = float32(rng.NormFloat64())
		}
	}
	draw := func(rng *rand.Rand) []float32 {
		v := slices.Clone(centres[rng.IntN(len(centres))])
		for d := range v {
			v[d] += float32(rng.NormFloat64()) * 0.4
		}
		return v
	}
	// The payload of a point says how rare the filters are that match it; "near" goes with the vector.
	c, server := start(t)
	c.do("PUT", "/collections/r", fmt.Sprintf(`{"vectors":{"size":%d,"distance":"Euclid"},"wal_config":{"wal_capacity_mb":2},
		"optimizers_config":{"indexing_threshold":200},"hnsw_config":{"full_scan_threshold":10}}`, dim), nil)
	c.index("r", "s", `"integer"`)
	put := func(list []int, alive map[int]bool) {
		var b bytes.Buffer
		b.WriteString(`{"points":[`)
		for i, id := range list {
			if i > 0 {
				b.WriteByte(',')
			}
			v := draw(rng)
			fmt.Fprintf(&b, `{"id":%d,"vector":`, id)
			b.WriteString(floats(v))
			fmt.Fprintf(&b, `,"payload":{"s":%d,"u":%d,"near":%t}}`, id%1000, id%1000, v[0] > 1.2)
			alive[id] = true
		}
		b.WriteString(`]}`)
		c.do("PUT", "/collections/r/points?wait=true", b.String(), nil)
	}
	alive := map[int]bool{}
	var batch []int
	for id := range n {
		if batch = append(batch, id); len(batch) == 1000 {
			put(batch, alive)
			batch = nil
		}
	}
	c.green("r", n)

	filters := map[string]string{"all": `null`, "0 %": `{"must":[{"key":"s","match":{"value":-1}}]}`, "near": `{"must":[{"key":"near","match":{"value":true}}]}`}
	for percent, below := range map[string]int{"50 %": 500, "10 %": 100, "1 %": 10, "0.1 %": 1} {
		filters[percent] = fmt.Sprintf(`{"must":[{"key":"s","range":{"lt":%d}}]}`, below)
		filters[percent+" unindexed"] = fmt.Sprintf(`{"must":[{"key":"u","range":{"lt":%d}}]}`, below)
		filters[percent+" ids"] = fmt.Sprintf(`{"should":[{"key":"s","range":{"lt":%d}},{"has_id":[1,2,3,%d]}],"must_not":[{"has_id":[4]}]}`, below, n)
	}
	measure := func(when string) {
		t.Helper()
		for name, filter := range filters {
			var rough, exact []string
			for range queries {
				body := fmt.Sprintf(`{"query":%s,"filter":%s,"limit":%d`, floats(draw(rng)), filter, k)
				rough, exact = append(rough, body+"}"), append(exact, body+`,"params":{"exact":true}}`)
			}
			want, hits, total := c.queries("r", exact), 0, 0
			for i, got := range c.queries("r", rough) {
				if len(got) != len(want[i]) {
					t.Errorf("%s, %s: %d results, exact search has %d", when, name, len(got), len(want[i]))
				}
				for _, r := range want[i] {
					total++
					if slices.ContainsFunc(got, func(g record) bool { return g.ID == r.ID }) {
						hits++
					}
				}
				for _, r := range got {
					if id, _ := strconv.Atoi(string(r.ID)); !alive[id] {
						t.Errorf("%s, %s: point %d is dead", when, name, id)
					}
				}
			}
			recall := float64(hits) / max(1, float64(total))
			t.Logf("%s, %-16s recall@%d %.3f of %d", when, name, k, recall, total)
			if total > 0 && recall < 0.95 {
				t.Errorf("%s, %s: recall %.3f", when, name, recall)
			}
		}
		if got := c.count("r", `{}`); got != len(alive) {
			t.Errorf("%s: %d points, want %d", when, got, len(alive))
		}
	}
	measure("built")

	// Some points never change; readers look for them all the time.
	quit := make(chan struct{})
	var readers sync.WaitGroup
	rest := sync.OnceFunc(func() {
		close(quit)
		readers.Wait()
	})
	defer rest()
	reads := 0
	readers.Go(func() {
		rng := rand.New(rand.NewPCG(*seed, 2))
		for {
			select {
			case <-quit:
				return
			case <-time.After(2 * time.Millisecond):
			}
			var list []string
			for range 20 {
				list = append(list, strconv.Itoa(rng.IntN(n)/10*10+9))
			}
			slices.Sort(list)
			list = slices.Compact(list)
			set := "[" + strings.Join(list, ",") + "]"
			filter := `{"must":[{"has_id":` + set + `}]}`
			if got := c.count("r", filter); got != len(list) {
				t.Errorf("%d of %d points are there: %s", got, len(list), set)
			}
			if got := c.retrieve("r", `{"ids":`+set+`}`); len(got) != len(list) {
				t.Errorf("%d of %d points are found: %s", len(got), len(list), set)
			}
			if got := c.query("r", `{"limit":1000,"query":`+floats(draw(rng))+`,"filter":`+filter+`}`); len(got) != len(list) {
				t.Errorf("%d of %d points are near: %s", len(got), len(list), set)
			}
			if got := c.scroll("r", `{"limit":1000,"filter":`+filter+`}`); len(got.Points) != len(list) {
				t.Errorf("%d of %d points are listed: %s", len(got.Points), len(list), set)
			}
			reads++
		}
	})
	for id := 0; id < n-10; {
		var moved, gone []int
		for ; len(moved)+len(gone) < 300 && id < n; id++ {
			switch id % 10 {
			case 0, 1:
				moved = append(moved, id)
			case 2:
				gone = append(gone, id)
			}
		}
		if len(moved) > 0 {
			put(moved, alive)
		}
		body, _ := json.Marshal(map[string]any{"points": gone})
		c.do("POST", "/collections/r/points/delete?wait=true", string(body), nil)
		for _, id := range gone {
			delete(alive, id)
		}
	}
	measure("moved")
	c.green("r", len(alive)*9/10)
	rest()
	t.Logf("%d rounds of reads meanwhile", reads)
	measure("at rest")
	restart(&c, server)
	measure("after a crash")
}

func floats(v []float32) string {
	b := []byte{'['}
	for i, x := range v {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendFloat(b, float64(x), 'g', -1, 32)
	}
	return string(append(b, ']'))
}
