package engine_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

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
