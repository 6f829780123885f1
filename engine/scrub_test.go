package engine_test

import (
	"bytes"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine"
	"github.com/sextantdb/sextant/internal/task"
	"github.com/sextantdb/sextant/internal/vfs"
)

// A scrub finds one flipped bit in any file of the checkpoint while the shard is open: damage of stored bytes ends updates, a derived
// file is made anew. On a sound shard it finds nothing.
func TestAScrubFindsAFlippedBit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVictim(t)
		w := newWorkload(max(1, *seedFlag), 1)
		told, healed := 0, 0
		config := sextant.DefaultConfig() // with this no segment is replaced
		config.WAL.CapacityMB = 1
		config.Optimizer.IndexingThreshold = new(uint64)
		*config.Optimizer.IndexingThreshold = 1
		config.Optimizer.DefaultSegmentNumber, config.Optimizer.DeletedThreshold = 99, 0.99
		for _, name := range append(slices.Sorted(maps.Keys(v.files)), "") {
			if strings.Contains(name, "/wal/") {
				continue
			}
			disk := v.files.disk(t)
			s, err := engine.Open(shardDir, engine.Options{FS: disk, Config: config})
			must(t, err)
			_, gone := disk.Stat(name)
			if name != "" && gone == nil {
				b, err := vfs.ReadFile(disk, name)
				must(t, err)
				b[w.IntN(len(b))] ^= 1 << w.IntN(8)
				must(t, vfs.WriteAtomic(disk, name, b))
			}
			err = s.Scrub(t.Context(), 0.02, task.NewProgress("scrub"))
			if sound := name == "" || gone != nil || v.derived[path.Base(name)]; sound && (err != nil || s.Damage() != nil) {
				t.Errorf("%q: %v, %v", name, err, s.Damage())
			} else if !sound && (sextant.KindOf(err) != sextant.Corrupt || !strings.Contains(err.Error(), path.Base(name)) || s.Damage() == nil) {
				t.Errorf("a bit of %s was flipped: %v, %v", name, err, s.Damage())
			} else if !sound {
				told++
			}
			time.Sleep(2 * time.Minute)
			if v.derived[path.Base(name)] && gone == nil {
				after, err := vfs.ReadFile(disk, name)
				if err != nil || !bytes.Equal(after, v.files[name]) {
					t.Errorf("%s was not made anew: %v", name, err)
				}
				healed++
				must(t, s.Scrub(t.Context(), 0.02, task.NewProgress("scrub")))
			}
			must(t, s.Close())
			if err := s.Scrub(t.Context(), 1, task.NewProgress("scrub")); sextant.KindOf(err) != sextant.Unavailable {
				t.Errorf("closed: %v", err)
			}
		}
		if told < 4 || healed < 4 {
			t.Errorf("only %d times damage was told, and %d times healed", told, healed)
		}
	})
}

// A scrub may run while the shard is used and built.
func TestAScrubBesideEverythingElse(t *testing.T) {
	eachSeed(t, 6, func(t *testing.T, seed uint64) {
		g := newSaga(t, seed)
		s := g.settle()
		used := make(chan struct{})
		go func() {
			defer close(used)
			g.use(s, 3, 60, func() bool { return false })
		}()
		rounds := 0
		for open := true; open; rounds++ {
			select {
			case <-used:
				open = false
			default:
			}
			g.must(s.Scrub(t.Context(), 1, task.NewProgress("scrub")))
			time.Sleep(10 * time.Millisecond)
		}
		if rounds < 10 {
			t.Errorf("%d rounds", rounds)
		}
		g.agrees(s)
		g.must(s.Close())
	})
}
