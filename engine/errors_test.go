package engine_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine"
	"github.com/sextantdb/sextant/internal/vfs"
)

// glitch lets some calls of a disk fail, from the k-th on.
type glitch struct {
	k, n int // which, how many
	ops  vfs.Op
	err  error
	r    *rand.Rand

	mu     sync.Mutex // guards all below
	calls  int
	struck bool
	log    bool // what failed leaves the log in doubt: it refuses everything until it is opened again
}

func (f *glitch) on(op vfs.Op, name string) fate {
	f.mu.Lock()
	defer f.mu.Unlock()
	if op&f.ops == 0 {
		return fate{}
	}
	f.calls++
	if f.calls < f.k || f.calls >= f.k+f.n {
		return fate{}
	}
	f.struck = true
	f.log = f.log || strings.Contains(name, "/wal/") && op&(vfs.OpSync|vfs.OpTruncate) != 0
	return fate{err: f.err, part: f.r.Float64()}
}

func (f *glitch) hasStruck() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.struck
}

// heal lets no further call fail.
func (f *glitch) heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n = 0
}

// glitches is a saga in whose first life the disk fails at the k-th call, or from there on for a while.
func glitches(t *testing.T, seed uint64, k int) (more bool) {
	g := newSaga(t, seed)
	f := &glitch{k: k, n: []int{1, 1, 4, 30}[seed%4], ops: vfs.OpChanges, err: syscall.EIO, r: newWorkload(seed<<32+uint64(k), 1).Rand}
	if seed%2 == 0 {
		f.err = syscall.ENOSPC
	}
	if seed%5 == 0 {
		f.ops |= vfs.OpRead | vfs.OpOpen
	}
	s, err := g.start(&trap{g.disk, f.on})
	if err == nil {
		short := seed%3 != 0 // the life ends before anything is put right
		g.use(s, 1+int(seed%2), 40, func() bool { return short && f.hasStruck() })
		if !short {
			f.heal()
			g.recovered(s, f)
		}
		g.Rand = newWorkload(seed<<32+uint64(k), 1).Rand
		g.end(s)
	} else if !f.struck {
		t.Fatalf("open: %v", err)
	}
	s = g.settle()
	g.use(s, 1, 5, func() bool { return false })
	g.agrees(s)
	g.must(s.Close())
	g.must(g.settle().Close())
	return f.hasStruck()
}

// end closes the shard in one way or another; its log may have failed.
func (g *saga) end(s *engine.Shard) {
	switch g.IntN(3) {
	case 0:
		_ = s.Close()
	case 1:
		g.disk = g.disk.Kill()
		_ = s.Close()
	case 2:
		g.disk = g.disk.Crash(g.Rand)
		_ = s.Close()
	}
}

// recovered is true of a shard some time after its disk has become sound: it holds what it answered, and works again, if
// need be once it is opened again.
func (g *saga) recovered(s *engine.Shard, f *glitch) {
	g.Helper()
	time.Sleep(2 * time.Minute)
	synctest.Wait()
	if at := s.Stands(); true {
		found, why := g.explain(s, g.base.clone(), uint64(at.Applied.Seq), g.open)
		if found == nil {
			g.Fatalf("%d open, stands at %+v: %v", len(g.open), at, why)
		}
		if err := answers(s, found, g.workload); err != nil {
			g.Fatal(err)
		}
	}
	u := sextant.Upsert{Points: []sextant.Point{{ID: g.id()}}}
	r, err := s.Update(context.Background(), u, sextant.Applied)
	info, infoErr := s.Info()
	g.must(infoErr)
	if f.log && err != nil {
		g.open = append(g.open, u)
		if info.Status != engine.Red {
			g.Fatalf("status %s of a shard that takes no updates: %v", info.Status, err)
		}
		return
	}
	if err != nil {
		g.Fatalf("the disk is sound again; update: %v", err)
	}
	g.told[r.Seq] = u
	time.Sleep(time.Minute)
	if info, err := s.Info(); err != nil || info.Status != engine.Green || info.OptimizerError != "" {
		g.Fatalf("the disk is sound again; status %s, %s, %v", info.Status, info.OptimizerError, err)
	}
	var b bytes.Buffer
	if _, err := s.Snapshot(context.Background(), &b); err != nil {
		g.Fatalf("the disk is sound again; snapshot: %v", err)
	}
}

// Whatever call to the disk fails, and for however long: reads go on, nothing that was answered is lost, and with the disk
// the shard becomes sound.
func TestErrorAtEveryCall(t *testing.T) {
	faults(t, 12, 40, glitches)
}

// Whoever waits for an index hears when it cannot be made; it is tried again, and made once that is possible.
func TestAnIndexThatCannotBeMadeIsToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sound atomic.Bool
		on := func(op vfs.Op, name string) fate {
			if op == vfs.OpCreate && strings.Contains(name, "-field-") && !sound.Load() {
				return fate{err: syscall.ENOSPC}
			}
			return fate{}
		}
		s, err := engine.Create(shardDir, startSchema(), engine.Options{FS: &trap{&vfs.Mem{}, on}})
		must(t, err)
		_, err = s.Update(t.Context(), sextant.Upsert{Points: newWorkload(1, 9).points(startSchema())}, sextant.Applied)
		must(t, err)
		_, err = s.Checkpoint(t.Context())
		must(t, err)
		create := sextant.CreateField{Key: sextant.MustPath("k"), Spec: sextant.FieldSpec{Type: sextant.KeywordField}}
		begun := time.Now()
		if _, err := s.Update(t.Context(), create, sextant.Applied); !errors.Is(err, syscall.ENOSPC) || time.Since(begun) > time.Minute {
			t.Fatalf("after %v: %v", time.Since(begun), err)
		}
		if schema, _ := s.Schema(); len(schema.Fields) != 1 {
			t.Fatal("the field is not there")
		}
		if err := s.AwaitField(t.Context(), "k"); !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		sound.Store(true)
		for err = s.AwaitField(t.Context(), "k"); err != nil && time.Since(begun) < time.Minute; err = s.AwaitField(t.Context(), "k") {
			time.Sleep(time.Second)
		}
		must(t, err)
		must(t, s.Close())
	})
}
