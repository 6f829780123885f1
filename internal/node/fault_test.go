package node

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/vfs"
)

// story is one change of the database, and what may be seen after it failed somewhere.
type story struct {
	name   string
	before func(t testing.TB, n *Node)
	do     func(n *Node) error
	// done reports whether a node shows the state after (true) or before (false); it fails the test for anything else.
	done func(t testing.TB, n *Node) bool
}

func stories(t testing.TB, archive []byte) []story {
	ctx := context.Background()
	has := func(n *Node, name string) bool {
		ok, err := n.CollectionExists(all, name)
		return err == nil && ok
	}
	shards := uint32(2)
	return []story{
		{"create", func(t testing.TB, n *Node) {},
			func(n *Node) error {
				return n.CreateCollection(ctx, all, "c", CreateCollection{Vectors: unnamed(2), ShardNumber: &shards}, 0)
			},
			func(t testing.TB, n *Node) bool {
				if !has(n, "c") {
					return false
				}
				if got := count(t, n, "c"); got != 0 {
					t.Errorf("%d points", got)
				}
				return true
			}},
		{"delete", func(t testing.TB, n *Node) { indexed(t, n, "c", 1) },
			func(n *Node) error { _, err := n.DeleteCollection(ctx, all, "c", 0); return err },
			func(t testing.TB, n *Node) bool {
				if has(n, "c") && count(t, n, "c") != 100 {
					t.Error("half deleted")
				}
				return !has(n, "c")
			}},
		{"index", func(t testing.TB, n *Node) { create(t, n, "c", 2); upsert(t, n, "c", 0, 10) },
			func(n *Node) error {
				_, err := n.CreateIndex(ctx, all, "c", sextant.MustPath("n"), sextant.FieldSpec{Type: sextant.IntegerField, Range: true}, WriteOptions{Wait: true})
				return err
			},
			func(t testing.TB, n *Node) bool {
				info, err := n.CollectionInfo(ctx, all, "c")
				must(t, err)
				_, ok := info.Fields["n"]
				ordered := sextant.Scroll{Limit: 99, OrderBy: &sextant.OrderBy{Key: sextant.MustPath("n")}}
				records, _, err := n.Scroll(ctx, all, "c", ordered, ReadOptions{})
				for end := time.Now().Add(5 * time.Second); ok && err != nil && time.Now().Before(end); time.Sleep(time.Millisecond) {
					records, _, err = n.Scroll(ctx, all, "c", ordered, ReadOptions{}) // a start logs what a shard lacks, and does not wait for it
				}
				if ok && (err != nil || len(records) != 10) || !ok && err == nil {
					t.Errorf("index %v: %d points, %v", ok, len(records), err)
				}
				return ok
			}},
		{"patch", func(t testing.TB, n *Node) { create(t, n, "c", 1) },
			func(n *Node) error {
				return n.PatchCollection(ctx, all, "c", PatchCollection{HNSW: &sextant.HNSWDiff{M: ptr(uint64(5))}}, 0)
			},
			func(t testing.TB, n *Node) bool {
				info, err := n.CollectionInfo(ctx, all, "c")
				must(t, err)
				return info.Config.HNSW.M == 5
			}},
		{"recover", func(t testing.TB, n *Node) { create(t, n, "c", 2); upsert(t, n, "c", 0, 30) },
			func(n *Node) error { return upload(t, n, "c", nil, archive, RecoverOptions{}) },
			func(t testing.TB, n *Node) bool {
				got := map[uint64]bool{} // how many points shards may have: each the old or the new ones
				for _, old := range []bool{true, false} {
					for _, alsoOld := range []bool{true, false} {
						sum := uint64(0)
						for shard, isOld := range map[uint32]bool{0: old, 1: alsoOld} {
							sum += sizes[shard][isOld]
						}
						got[sum] = true
					}
				}
				if !got[count(t, n, "c")] {
					t.Errorf("%d points are neither the old nor the new ones of any shard", count(t, n, "c"))
				}
				return count(t, n, "c") == 100
			}},
		{"recover anew", func(t testing.TB, n *Node) {},
			func(n *Node) error { return upload(t, n, "c", nil, archive, RecoverOptions{}) },
			func(t testing.TB, n *Node) bool {
				if !has(n, "c") {
					return false
				}
				return count(t, n, "c") == 100
			}},
	}
}

// sizes are the points per shard before (true) and after (false) the story "recover".
var sizes = map[uint32]map[bool]uint64{0: {}, 1: {}}

// Whatever call of the disk fails during a change: the node goes on, what it shows is the state before or after, it is
// the state after if the change succeeded, and a restart (clean, or by power loss) shows the same.
func TestEveryFailingCall(t *testing.T) {
	source := open(t, &vfs.Mem{})
	indexed(t, source, "c", 2)
	info, err := source.CreateSnapshot(t.Context(), all, "c", nil)
	must(t, err)
	archive := download(t, source, "c", nil, info.Name)
	old := open(t, &vfs.Mem{})
	create(t, old, "c", 2)
	upsert(t, old, "c", 0, 30)
	for shard := range uint32(2) {
		for isOld, n := range map[bool]*Node{true: old, false: source} {
			c, err := n.Count(t.Context(), all, "c", nil, true, ReadOptions{Shard: &shard})
			must(t, err)
			sizes[shard][isOld] = c
		}
	}
	boom := errors.New("boom")
	for _, s := range stories(t, archive) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			// A recovery takes its time: each run looks at some of its calls, the slow tests at all.
			step, k := 1, 1
			if !slow && strings.HasPrefix(s.name, "recover") || testing.Short() {
				step = 7
				k += rand.IntN(step)
			}
			for ; ; k += step {
				disk := &vfs.Mem{}
				faulty := vfs.NewFaulty(disk)
				n := open(t, faulty)
				s.before(t, n)
				before := faulty.Calls(vfs.OpChanges)
				faulty.FailAt(k, boom, vfs.OpChanges)
				failed := s.do(n)
				faulty.Heal()
				over := faulty.Calls(vfs.OpChanges)-before < k
				if failed == nil && !s.done(t, n) {
					t.Errorf("call %d: done without an error, but not to be seen", k)
				}
				if failed != nil && sextant.KindOf(failed) == sextant.NotFound {
					t.Errorf("call %d: %v", k, failed)
				}
				var next *vfs.Mem
				if k%2 == 0 {
					next = disk.Crash(rand.New(rand.NewPCG(uint64(k), 0)))
				}
				_ = n.Close(t.Context()) // its shards may have met the fault
				if next == nil {
					next = disk.Kill()
				}
				again := open(t, next)
				if after := s.done(t, again); failed == nil && !after {
					t.Errorf("call %d: lost after a restart", k)
				}
				must(t, again.Close(t.Context()))
				if over {
					t.Logf("%d calls", k-1)
					break
				}
			}
		})
	}
}
