package node

import (
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/vfs"
)

// A shard whose log refuses everything after an error of the disk is opened anew, if nobody else has it, and again if that fails too;
// nothing is lost.
func TestShardIsOpenedAnewAfterDiskError(t *testing.T) {
	bad := errors.New("a bad sector")
	for name, fail := range map[string]func(disk *vfs.Faulty){
		"once": func(disk *vfs.Faulty) { disk.FailAt(1, bad, vfs.OpSync) },
		"for a while": func(disk *vfs.Faulty) {
			disk.FailFrom(1, bad, vfs.OpSync|vfs.OpOpen)
			time.AfterFunc(20*time.Second, disk.Heal)
		},
		"since it is full": func(disk *vfs.Faulty) {
			disk.FailFrom(1, syscall.ENOSPC, vfs.OpWrite|vfs.OpCreate)
			time.AfterFunc(20*time.Second, disk.Heal)
		},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { failedDisk(t, fail) }) })
	}
}

func failedDisk(t *testing.T, fail func(disk *vfs.Faulty)) {
	w, disk := &wire{ends: map[string]*wireEnd{}}, vfs.NewFaulty(&vfs.Mem{})
	m := &member{}
	n, err := Open(t.Context(), clusterOptions(w, disk, 0))
	must(t, err)
	m.n = n
	replicated(t, n, "c", 1, 1)
	upsert(t, n, "c", 0, 10)
	fail(disk)
	acked := 10
	write := func() error {
		limit := 5 * time.Second
		_, err := n.Update(t.Context(), all, "c", sextant.Upsert{Points: []sextant.Point{point(uint64(acked), 1, "{}")}}, WriteOptions{Wait: true, Timeout: &limit})
		if err == nil {
			acked++
		}
		return err
	}
	_ = write() // it fails, or is done when the shard is open again
	time.Sleep(30 * time.Second)
	disk.Heal()
	eventually(t, "writes are taken again", func() bool { return write() == nil })
	if got := count(t, n, "c"); got != uint64(acked) {
		t.Errorf("%d points, want %d", got, acked)
	}
	m.stop(t)
}
