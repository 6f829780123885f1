//go:build slow

package engine

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/task"
)

// Many small shards cost little memory, few descriptors, and open fast.
func TestManySmallShards(t *testing.T) {
	const shards = 500
	dir := t.TempDir()
	opts := Options{Budget: NewBudget(0, 0), Board: &task.Board{}}
	r := rand.New(rand.NewPCG(1, 1))
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for i := range shards {
		s, err := Create(fmt.Sprint(dir, "/", i), small, opts)
		ok(t, err)
		for f := range 7 {
			update(t, s, sextant.CreateField{Key: sextant.MustPath(fmt.Sprint("f", f)), Spec: sextant.FieldSpec{Type: sextant.KeywordField}})
		}
		update(t, s, sextant.Upsert{Points: randomPoints(r, 0, 10)})
		ok(t, s.Close())
	}
	before, goroutines, begin := heap(), runtime.NumGoroutine(), time.Now()
	var open []*Shard
	for i := range shards {
		s, err := Open(fmt.Sprint(dir, "/", i), opts)
		ok(t, err)
		open = append(open, s)
	}
	took := time.Since(begin)
	memory := (heap() - before) / shards
	fds, err := os.ReadDir("/proc/self/fd")
	ok(t, err)
	t.Logf("a shard: opened in %v, %d KB of heap; %d descriptors, %d goroutines more in all",
		took/shards, memory>>10, len(fds), runtime.NumGoroutine()-goroutines)
	if memory > 200<<10 || len(fds) > 8*shards {
		t.Error("too much")
	}
	for _, s := range open {
		ok(t, s.Close())
	}
}

// A thousand shards that nobody uses cost next to nothing, and looking after all of them once a minute costs little.
func TestIdleShardsCostLittle(t *testing.T) {
	const shards = 1000
	dir := t.TempDir()
	opts := Options{Budget: NewBudget(0, 0), Board: &task.Board{}}
	r := rand.New(rand.NewPCG(1, 1))
	var all []*Shard
	for i := range shards {
		s, err := Create(fmt.Sprint(dir, "/", i), small, opts)
		ok(t, err)
		update(t, s, sextant.Upsert{Points: randomPoints(r, 0, 10)})
		_, err = s.Checkpoint(t.Context())
		ok(t, err)
		all = append(all, s)
	}
	cpu := func() time.Duration {
		var u syscall.Rusage
		ok(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	time.Sleep(3 * quiet)
	for phase := range 2 {
		runtime.GC()
		used, begun := cpu(), time.Now()
		if phase == 0 {
			time.Sleep(10 * time.Second)
		} else {
			for _, s := range all {
				ok(t, s.Scrub(t.Context(), 0.02, task.NewProgress("scrub")))
			}
		}
		used, took := cpu()-used, time.Since(begun)
		t.Logf("%s: %v of %v", []string{"idle", "scrub"}[phase], used, took)
		if limit := []time.Duration{took / 50, time.Minute / 50}[phase]; used > limit {
			t.Errorf("more than %v", limit)
		}
	}
	if n := runtime.NumGoroutine(); n > 50 {
		t.Errorf("%d goroutines", n)
	}
	for _, s := range all {
		ok(t, s.Close())
	}
}
