package engine_test

import (
	"bytes"
	"context"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine"
	"github.com/sextantdb/sextant/internal/vfs"
)

// restores is a saga in which the machine or the process dies at call k while an older state is restored, and once more
// while the shard is opened then.
func restores(t *testing.T, seed uint64, k int) (more bool) {
	g := newSaga(t, seed)
	never := func() bool { return false }
	s := g.settle()
	g.use(s, 1, 15, never)
	g.must(s.Close())
	s = g.settle()
	var archive bytes.Buffer
	_, err := s.Snapshot(context.Background(), &archive)
	g.must(err)
	after := g.base.clone()
	g.use(s, 1, 25, never)
	g.must(s.Close())
	g.must(g.settle().Close())
	before := g.base.clone()
	after.seq = max(after.seq, before.seq)

	d := &doom{disk: g.disk, r: newWorkload(seed<<32+uint64(k), 1).Rand, power: (seed+uint64(k))%2 == 0, k: k}
	err = engine.Restore(context.Background(), shardDir, &archive, engine.Options{FS: &trap{g.disk, d.on}})
	more = d.gone.Load()
	if !more {
		if sextant.KindOf(err) == sextant.WrongInput { // other vector names
			after = before
		} else {
			g.must(err)
			before = after
		}
		d.strike()
	} else if err == nil {
		before = after
	}
	g.disk = d.next
	g.Rand = newWorkload(seed<<32+uint64(k), 1).Rand
	g.found(g.opening(1+g.IntN(12)), before, after)
	g.use(g.shard, 1, 10, never)
	g.must(g.shard.Close())
	g.must(g.settle().Close())
	return more
}

// opening opens the shard, on a disk that dies at the k-th call and once it is opened, and then again.
func (g *saga) opening(k int) *engine.Shard {
	g.Helper()
	d := &doom{disk: g.disk, r: g.Rand, power: true, k: k}
	s, err := g.start(&trap{g.disk, d.on})
	if err == nil {
		if !d.gone.Load() {
			d.strike()
		}
		_ = s.Close()
	} else if !d.gone.Load() {
		g.Fatalf("open: %v", err)
	}
	g.disk = d.next
	s, err = g.start(g.disk)
	if err != nil {
		g.Fatalf("open behind call %d of an open: %v", k, err)
	}
	return s
}

// found takes one of two states for what the shard has.
func (g *saga) found(s *engine.Shard, before, after *model) {
	g.Helper()
	g.shard = s
	why := contents(s, before)
	g.base = before
	if why != nil {
		g.base = after
		if err := contents(s, after); err != nil {
			g.Fatalf("neither what was there before: %v\nnor what was restored: %v", why, err)
		}
	}
	if at := uint64(s.Stands().Last.Seq); at != g.base.seq {
		g.Fatalf("it stands at %d, want %d", at, g.base.seq)
	}
}

// A restore that ends early leaves what was there, or the new state whole.
func TestCrashWhileRestoring(t *testing.T) {
	faults(t, 8, 4, restores)
}

// The process dies while the switch to a restored state is not durable yet, and then the power fails while the shard is
// opened: the directory of the shard may have forgotten the switch, whatever was removed because of it.
func TestPowerFailsBehindAHalfDoneSwitch(t *testing.T) {
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			g := newSaga(t, seed)
			s := g.settle()
			g.use(s, 1, 5, func() bool { return false })
			var archive bytes.Buffer
			_, err := s.Snapshot(context.Background(), &archive)
			g.must(err)
			g.must(s.Close())
			g.must(g.settle().Close())
			for _, power := range []bool{false, true} {
				d := &doom{disk: g.disk, r: g.Rand, power: power}
				syncs := func(op vfs.Op, name string) fate {
					if op != vfs.OpSyncDir || name != shardDir {
						return fate{}
					}
					return fate{err: syscall.EIO, then: d.strike}
				}
				opts := engine.Options{FS: &trap{g.disk, syncs}}
				if power {
					_, err = engine.Open(shardDir, opts)
				} else {
					err = engine.Restore(context.Background(), shardDir, &archive, opts)
				}
				if err == nil || !d.gone.Load() {
					t.Fatal("nothing was made durable")
				}
				g.disk = d.next
			}
			g.must(g.settle().Close())
		})
	}
}
