package node

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/vfs"
)

// A shard whose log refuses everything after an error of the disk is opened anew, if nobody else has it; nothing is lost.
func TestShardIsOpenedAnewAfterDiskError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, disk := &wire{ends: map[string]*wireEnd{}}, vfs.NewFaulty(&vfs.Mem{})
		m := &member{}
		n, err := Open(t.Context(), clusterOptions(w, disk, 0))
		must(t, err)
		m.n = n
		replicated(t, n, "c", 1, 1)
		upsert(t, n, "c", 0, 10)
		disk.FailAt(1, errors.New("a bad sector"), vfs.OpSync)
		write := func(id uint64) error {
			limit := 5 * time.Second
			_, err := n.Update(t.Context(), all, "c", sextant.Upsert{Points: []sextant.Point{point(id, 1, "{}")}}, WriteOptions{Wait: true, Timeout: &limit})
			return err
		}
		_ = write(10) // it fails, or is done when the shard is open again
		disk.Heal()
		eventually(t, "writes are taken again", func() bool { return write(11) == nil })
		if got := count(t, n, "c"); got < 11 || got > 12 {
			t.Errorf("%d points", got)
		}
		m.stop(t)
	})
}
