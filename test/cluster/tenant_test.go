package cluster

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sextantdb/sextant/test/process"
)

// A tenant is promoted to a shard key of its own while its clients write: no acknowledged write is lost, and nothing that they deleted
// comes back.
func TestTenantIsPromoted(t *testing.T) {
	t.Logf("seed %d", *seed)
	c := (&process.Cluster{Env: []string{"QDRANT_STAGING_SHARD_TRANSFER_DELAY_SEC=0.05"}}).Form(t, 3)
	c.Must(t, 0, "PUT", "/collections/c", map[string]any{"vectors": map[string]any{"size": 2, "distance": "Dot"}, "sharding_method": "custom", "replication_factor": 2}, nil)
	c.Must(t, 0, "PUT", "/collections/c/shards", map[string]any{"shard_key": "shared", "shards_number": 1}, nil)
	selector := map[string]any{"target": "tenant", "fallback": "shared"}
	point := func(id uint64, n int) map[string]any {
		return map[string]any{"id": id, "vector": []int{n, 1}, "payload": map[string]any{"of": fmt.Sprint(id % 3), "n": n}}
	}
	for from := uint64(0); from < 3000; from += 500 {
		var list []any
		for id := from; id < from+500; id++ {
			list = append(list, point(id, 0))
		}
		c.Must(t, 0, "PUT", "/collections/c/points?wait=true", map[string]any{"points": list, "shard_key": selector}, nil)
	}
	want := map[uint64]int{} // of tenant 0
	for id := uint64(0); id < 3000; id += 3 {
		want[id] = 0
	}
	c.Must(t, 1, "POST", "/collections/c/cluster", map[string]any{"create_sharding_key": map[string]any{"shard_key": "tenant", "shards_number": 1, "initial_state": "Partial"}}, nil)
	var mu sync.Mutex
	var run sync.WaitGroup
	end := make(chan struct{})
	for k := range uint64(3) {
		run.Go(func() {
			rng := rand.New(rand.NewPCG(*seed, k))
			for n := 1; ; n++ {
				select {
				case <-end:
					return
				default:
				}
				id := 3 * (k + 3*uint64(rng.IntN(100)))
				deletes := rng.IntN(3) == 0
				var err error
				if deletes {
					_, err = c.Call(int(k), "POST", "/collections/c/points/delete?wait=true", map[string]any{"points": []any{id}, "shard_key": selector}, nil)
				} else {
					_, err = c.Call(int(k), "PUT", "/collections/c/points?wait=true", map[string]any{"points": []any{point(id, n)}, "shard_key": selector}, nil)
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if delete(want, id); !deletes {
					want[id] = n
				}
				mu.Unlock()
			}
		})
	}
	began := time.Now()
	c.Must(t, 2, "POST", "/collections/c/cluster", map[string]any{"replicate_points": map[string]any{"from_shard_key": "shared", "to_shard_key": "tenant",
		"filter": map[string]any{"must": []any{map[string]any{"key": "of", "match": map[string]any{"value": "0"}}}}}}, nil)
	var listed struct {
		Transfers []struct {
			ToShard *uint32 `json:"to_shard_id"`
			Method  string
		} `json:"shard_transfers"`
	}
	c.Must(t, 2, "GET", "/collections/c/cluster", nil, &listed)
	if len(listed.Transfers) != 1 || listed.Transfers[0].ToShard == nil || listed.Transfers[0].Method != "stream_records" {
		t.Errorf("listed: %+v", listed)
	}
	for i := range 3 {
		process.Until(t, "the tenant's key is active", func() bool {
			setup, err := c.Setup(i, "c")
			n, all := c.Count(i, "c", "Active")
			return err == nil && n == all && len(setup.Moving) == 0
		})
	}
	t.Logf("it took %v", time.Since(began).Round(time.Millisecond))
	<-time.After(200 * time.Millisecond)
	close(end)
	run.Wait()
	for i := range 3 {
		var content struct {
			Points []struct {
				ID      uint64
				Payload struct{ N int }
			}
		}
		var raw json.RawMessage
		c.Must(t, i, "POST", "/collections/c/points/scroll", map[string]any{"limit": 99999, "shard_key": "tenant"}, &raw)
		if err := json.Unmarshal(raw, &content); err != nil {
			t.Fatal(err)
		}
		var wrong []uint64
		for _, p := range content.Points {
			if n, ok := want[p.ID]; !ok || n != p.Payload.N {
				wrong = append(wrong, p.ID)
			}
		}
		slices.Sort(wrong)
		if len(content.Points) != len(want) || len(wrong) > 0 {
			t.Errorf("peer %d: %d points, want %d; wrong are %v", i, len(content.Points), len(want), wrong)
		}
	}
	c.Must(t, 0, "POST", "/collections/c/points/delete?wait=true", map[string]any{"shard_key": "shared",
		"filter": map[string]any{"must": []any{map[string]any{"key": "of", "match": map[string]any{"value": "0"}}}}}, nil)
	var count struct{ Count int }
	c.Must(t, 1, "POST", "/collections/c/points/count", map[string]any{"exact": true}, &count)
	if count.Count != 2000+len(want) {
		t.Errorf("%d points in all, want %d", count.Count, 2000+len(want))
	}
	c.Alive(t)
}
