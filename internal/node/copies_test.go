package node

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/topology"
)

var (
	shared = ShardKey{Word: "shared"}
	tenant = ShardKey{Word: "tenant"}
)

// tenancy makes a collection with a shared key of some replicas and an empty key for one tenant.
func tenancy(t testing.TB, n *Node, factor uint32) {
	t.Helper()
	custom, one, partial := "custom", uint32(1), "Partial"
	must(t, n.CreateCollection(t.Context(), all, "c", CreateCollection{Vectors: unnamed(2), ShardingMethod: &custom, ReplicationFactor: &factor}, 0))
	must(t, n.CreateShardKey(t.Context(), all, "c", CreateShardKey{Key: shared, Shards: &one, Factor: &factor}, 0))
	must(t, n.CreateShardKey(t.Context(), all, "c", CreateShardKey{Key: tenant, Shards: &one, InitialState: &partial}, 0))
}

// owned is a filter for the points of a tenant.
func owned(by string) *sextant.Filter {
	return &sextant.Filter{Must: []sextant.Condition{sextant.Field{Key: sextant.MustPath("of"), Test: sextant.Match{Value: by}}}}
}

func under(keys ...ShardKey) WriteOptions {
	o := WriteOptions{Wait: true, ShardKey: keys[:1]}
	if len(keys) > 1 {
		o.Fallback = &keys[1]
	}
	return o
}

func of(by string, version int) string { return fmt.Sprintf(`{"of":%q,"n":%d}`, by, version) }

// contents reads a key as text, one line for each point.
func contents(t testing.TB, n *Node, key ShardKey) []string {
	t.Helper()
	records, _, err := n.Scroll(t.Context(), all, "c", sextant.Scroll{Limit: 1 << 30, WithPayload: sextant.PayloadSelector{All: true}}, ReadOptions{ShardKeys: []ShardKey{key}})
	must(t, err)
	var out []string
	for _, r := range records {
		out = append(out, r.ID.String()+" "+string(r.Payload))
	}
	slices.Sort(out)
	return out
}

// promoted waits until the tenant's key is active on all nodes and nothing is copied.
func promoted(t testing.TB, m []*member) {
	t.Helper()
	eventually(t, "the tenant's key is active", func() bool {
		for _, x := range m {
			if x.n == nil {
				continue
			}
			info := x.n.machine.State().Collections["c"]
			for _, s := range info.Shards {
				if len(s.Copies) > 0 {
					return false
				}
			}
			for _, r := range info.Shards[info.OfKey(tenant)[0]].Replicas {
				if r.State != topology.Active {
					return false
				}
			}
		}
		return true
	})
}

// Whatever a tenant's clients do while their points move: what was acknowledged last is what the new key has, and nothing else.
func TestTenantMovesUnderWrites(t *testing.T) {
	t.Setenv("QDRANT_STAGING_SHARD_TRANSFER_DELAY_SEC", "0.005")
	for seed := range uint64(6) {
		inCluster(t, 3, func(t *testing.T, w *wire, m []*member) {
			w.mu.Lock()
			w.lag = func(method string) time.Duration {
				if method == callUpdate {
					return time.Duration(rand.IntN(5000)) * time.Microsecond
				}
				return 0
			}
			w.mu.Unlock()
			tenancy(t, m[0].n, 1+2*uint32(seed%2))
			var points []sextant.Point
			for id := range uint64(1500) {
				by := "a"
				if id%3 == 0 {
					by = "b"
				}
				points = append(points, point(id, float32(id), of(by, 0)))
			}
			_, err := m[0].n.Update(t.Context(), all, "c", sextant.Upsert{Points: points}, under(tenant, shared))
			must(t, err)
			if got := len(contents(t, m[1].n, shared)); got != 1500 {
				t.Fatalf("%d points", got)
			}
			model := map[uint64]string{} // what tenant b must have at the end, by the one client that each point has
			var mu sync.Mutex
			for id := uint64(0); id < 1500; id += 3 {
				model[id] = of("b", 0)
			}
			end := make(chan struct{})
			var run sync.WaitGroup
			for k := range 6 {
				run.Go(func() {
					chance := rand.New(rand.NewPCG(seed, uint64(k)))
					for version := 1; ; version++ {
						select {
						case <-end:
							return
						case <-time.After(time.Duration(chance.IntN(3000)) * time.Microsecond):
						}
						id := uint64(3*k) + 18*uint64(chance.IntN(30)) // of b at first, and of this client only
						var u sextant.Update
						want := ""
						switch chance.IntN(4) {
						case 0:
							u = sextant.DeletePoints{Selector: sextant.Selector{IDs: []sextant.PointID{sextant.NumID(id)}}}
						case 1:
							u = sextant.DeletePoints{Selector: sextant.Selector{Filter: &sextant.Filter{Must: []sextant.Condition{sextant.HasID{IDs: []sextant.PointID{sextant.NumID(id)}}}}}}
						default:
							want = of("b", version)
							u = sextant.Upsert{Points: []sextant.Point{point(id, 1, want)}}
						}
						if _, err := m[k%3].n.Update(context.Background(), all, "c", u, under(tenant, shared)); err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						if delete(model, id); want != "" {
							model[id] = want
						}
						mu.Unlock()
					}
				})
			}
			time.Sleep(50 * time.Millisecond)
			must(t, m[1].n.ReplicatePoints(t.Context(), all, "c", shared, tenant, owned("b"), 0))
			promoted(t, m)
			time.Sleep(50 * time.Millisecond)
			close(end)
			run.Wait()
			var want []string
			for id, payload := range model {
				want = append(want, fmt.Sprint(id)+" "+payload)
			}
			slices.Sort(want)
			for i := range m {
				if got := contents(t, m[i].n, tenant); !slices.Equal(got, want) {
					t.Errorf("seed %d, peer %d: %d points, want %d", seed, i, len(got), len(want))
					for _, line := range got {
						if !slices.Contains(want, line) {
							t.Logf("too much: %s", line)
						}
					}
					for _, line := range want {
						if !slices.Contains(got, line) {
							t.Logf("missing: %s", line)
						}
					}
				}
			}
		})
	}
}

// A copy that ends early leaves the tenant's key as it was, and the next one leaves nothing of it behind; what cannot be is refused.
func TestCopyEndsEarly(t *testing.T) {
	t.Setenv("QDRANT_STAGING_SHARD_TRANSFER_DELAY_SEC", "1")
	inCluster(t, 3, func(t *testing.T, w *wire, m []*member) {
		tenancy(t, m[0].n, 3)
		var points []sextant.Point
		for id := range uint64(500) {
			points = append(points, point(id, float32(id), of("b", 0)))
		}
		_, err := m[0].n.Update(t.Context(), all, "c", sextant.Upsert{Points: points}, under(shared))
		must(t, err)
		start := func() error { return m[0].n.ReplicatePoints(t.Context(), all, "c", shared, tenant, nil, 0) }
		must(t, start())
		if err := start(); err == nil || !strings.Contains(err.Error(), "is already involved in transfer") {
			t.Errorf("twice: %v", err)
		}
		other := ShardKey{Word: "other"}
		for err, text := range map[error]string{
			m[0].n.ReplicatePoints(t.Context(), all, "c", other, tenant, nil, 0):  `Shard key "other" not found`,
			m[0].n.ReplicatePoints(t.Context(), all, "c", tenant, shared, nil, 0): `Only replicating to shard keys with exactly one replica is supported. Shard key "shared" has 3 replicas`,
		} {
			if err == nil || err.Error() != text {
				t.Errorf("%v, want %s", err, text)
			}
		}
		time.Sleep(2500 * time.Millisecond) // some have come
		info := m[0].n.machine.State().Collections["c"]
		list := m[0].n.transfersOf(info)
		if len(list) != 1 || list[0].ToShard == nil || *list[0].ToShard != uint32(info.OfKey(tenant)[0]) || list[0].Method != topology.StreamRecords || !list[0].Sync {
			t.Fatalf("%+v", list)
		}
		x := list[0]
		must(t, m[2].n.AbortTransfer(t.Context(), all, "c", Transfer{Shard: x.Shard, ToShard: x.ToShard, From: x.From, To: x.To}, 0))
		info = m[2].n.machine.State().Collections["c"]
		for _, r := range info.Shards[info.OfKey(tenant)[0]].Replicas {
			if r.State != topology.Partial {
				t.Errorf("the tenant's replica is %s", r.State)
			}
		}
		_, err = m[0].n.Update(t.Context(), all, "c", sextant.DeletePoints{Selector: sextant.Selector{IDs: []sextant.PointID{sextant.NumID(0), sextant.NumID(499)}}}, under(tenant, shared))
		must(t, err)

		// The sender dies in the middle of the next one, and somebody begins another.
		must(t, start())
		time.Sleep(1500 * time.Millisecond)
		sender := slices.IndexFunc(m, func(x *member) bool {
			return x.n.peer == m[0].n.machine.State().Collections["c"].Shards[info.OfKey(shared)[0]].Copies[0].From
		})
		receiver := info.Shards[info.OfKey(tenant)[0]].Peers()[0]
		if m[sender].n.peer != receiver {
			m[sender].stop(t)
			m[sender].start(t, w, sender)
		} else {
			must(t, m[2].n.AbortTransfer(t.Context(), all, "c", Transfer{Shard: x.Shard, ToShard: x.ToShard, From: uint64(receiver), To: x.To}, 0))
		}
		eventually(t, "it was ended", func() bool {
			return len(m[0].n.machine.State().Collections["c"].Shards[info.OfKey(shared)[0]].Copies) == 0
		})
		must(t, start())
		promoted(t, m)
		if got := contents(t, m[1].n, tenant); len(got) != 498 {
			t.Errorf("%d points", len(got))
		}
	})
}
