package engine_test

import (
	"flag"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sextantdb/sextant/internal/vfs"
)

var callFlag = flag.Int("engine.call", 0, "the one call of the disk at which fault tests of the engine strike; 0: all, in steps")

// doom ends a life at the k-th call that changes the disk.
type doom struct {
	disk  *vfs.Mem
	r     *rand.Rand // of this life
	power bool       // the power fails, not the process alone
	k     int

	mu    sync.Mutex // guards all below
	calls int
	next  *vfs.Mem // the disk that the next life finds
	gone  atomic.Bool
}

func (d *doom) on(op vfs.Op, _ string) fate {
	if op&vfs.OpChanges == 0 {
		return fate{}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	if d.calls != d.k {
		return fate{}
	}
	return fate{err: syscall.EIO, part: d.r.Float64(), then: d.strike}
}

// strike ends the life now.
func (d *doom) strike() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.power {
		d.next = d.disk.Crash(d.r)
	} else {
		d.next = d.disk.Kill()
	}
	d.gone.Store(true)
}

// life opens the shard on a disk that dies at the k-th call, or at the end of the life, and lets it be used until then. It
// says whether that call came.
func (g *saga) life(k, writers, steps int, power bool) (struck bool) {
	d := &doom{disk: g.disk, r: newWorkload(g.Uint64(), 1).Rand, power: power, k: k}
	s, err := g.start(&trap{g.disk, d.on})
	if err == nil {
		g.takeStock(s)
		g.use(s, writers, steps, d.gone.Load)
	} else if !d.gone.Load() {
		g.Fatalf("open: %v", err)
	}
	if struck = d.gone.Load(); !struck {
		g.agrees(s)
		if struck = d.gone.Load(); !struck {
			d.strike()
		}
	}
	if s != nil {
		_ = s.Close() // without a disk; its goroutines end
	}
	g.disk = d.next
	return struck
}

// crashes is a saga whose first life ends at call k, the second one soon, the third one at some time.
func crashes(t *testing.T, seed uint64, k int) (struck bool) {
	g := newSaga(t, seed)
	writers, power := 1+int(seed%3), seed%4 < 2
	struck = g.life(k, writers, 40, power)
	g.Rand = newWorkload(seed<<32+uint64(k), 1).Rand            // up to here all ks see one story
	g.life(1+g.IntN(15), writers, 10, !power || g.IntN(2) == 0) // what was seen then must not hang on the power
	g.must(g.settle().Close())
	g.life(1+g.IntN(200), writers, 20, g.IntN(2) == 0)
	s := g.settle()
	if err := answers(s, g.base, g.workload); err != nil {
		t.Error(err)
	}
	g.must(s.Close())
	g.must(g.settle().Close())
	return struck
}

// faults runs a saga for every call, or every step-th one, at which something may go wrong, until none is left.
func faults(t *testing.T, seeds uint64, step int, run func(t *testing.T, seed uint64, k int) (more bool)) {
	first, last := uint64(1), seeds
	if *seedFlag != 0 {
		first, last = *seedFlag, *seedFlag
	}
	step = max(1, step / *runsFlag)
	for seed := first; seed <= last; seed++ {
		k := 1 + int(seed)%step
		if *callFlag != 0 {
			k = *callFlag
		}
		for more := true; more && !t.Failed(); k += step {
			synctest.Test(t, func(t *testing.T) {
				defer func() {
					if t.Failed() {
						t.Logf("again: go test -run '^%s$' -engine.seed %d -engine.call %d", t.Name(), seed, k)
					}
				}()
				more = run(t, seed, k) && *callFlag == 0
			})
		}
	}
}

// Whenever a life ends, at whatever call to the disk, and whatever of the unsynced the disk keeps: everything that was
// answered is there when the shard is opened again, everything else is there whole or not at all.
func TestCrashAtEveryCall(t *testing.T) {
	faults(t, 6, 15, crashes)
}

// Close may come while the shard is used and built: what was answered is there afterwards, what came too late was refused.
func TestCloseWhileInUse(t *testing.T) {
	eachSeed(t, 10, func(t *testing.T, seed uint64) {
		g := newSaga(t, seed)
		for range 3 {
			s := g.settle()
			used := make(chan struct{})
			go func() {
				defer close(used)
				g.use(s, 3, 40, func() bool { return false })
			}()
			time.Sleep(time.Duration(seed) * 300 * time.Millisecond)
			g.must(s.Close())
			<-used
		}
		g.must(g.settle().Close())
	})
}
