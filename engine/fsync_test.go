package engine_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine"
	"github.com/sextantdb/sextant/internal/vfs"
)

// An answer of either kind means that the log was synced behind it; TestManyClientsShareFsyncs sees to it that this is cheap.
func TestNothingIsAnsweredBeforeASync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorkload(1, 20)
		var dirty atomic.Bool // something was written to the log since its last sync
		disk := &trap{&vfs.Mem{}, func(op vfs.Op, name string) fate {
			if strings.HasSuffix(name, ".log") && (op == vfs.OpWrite || op == vfs.OpSync) {
				dirty.Store(op == vfs.OpWrite)
			}
			return fate{}
		}}
		s, err := engine.Create(shardDir, startSchema(), engine.Options{FS: disk})
		must(t, err)
		for i := range 200 {
			r, err := s.Update(context.Background(), w.update(startSchema()), sextant.Wait(i%2))
			if r.Seq > 0 && dirty.Load() {
				t.Fatalf("entry %d was answered (%s, %v) and is not synced", r.Seq, r.Status, err)
			}
		}
		must(t, s.Close())
	})
}

// When nothing is left to do, nothing is done: builds converge, and a shard that nobody uses writes nothing.
func TestAQuietShardWritesNothing(t *testing.T) {
	eachSeed(t, 8, func(t *testing.T, seed uint64) {
		g := newSaga(t, seed)
		var changes atomic.Int64
		s, err := g.start(&trap{g.disk, func(op vfs.Op, _ string) fate {
			if op&vfs.OpChanges != 0 {
				changes.Add(1)
			}
			return fate{}
		}})
		must(t, err)
		g.use(s, 2, 80, func() bool { return false })
		time.Sleep(5 * time.Minute)
		info, err := s.Info()
		must(t, err)
		if o := s.Optimizations(); info.Status != engine.Green || len(o.Running)+len(o.Queued) > 0 {
			t.Errorf("after five quiet minutes: %s, %+v", info.Status, o)
		}
		before := changes.Load()
		time.Sleep(24 * time.Hour)
		if n := changes.Load() - before; n > 0 {
			t.Errorf("%d changes of the disk in a quiet day", n)
		}
		g.agrees(s)
		must(t, s.Close())
	})
}
