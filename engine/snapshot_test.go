package engine

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/vfs"
)

// Snapshots taken in a loop while everything is deleted and inserted: each is the state at its entry.
func TestSnapshotsUnderChange(t *testing.T) {
	disk := &vfs.Mem{}
	s := create(t, disk, Options{Config: indexSoon()})
	r := rand.New(rand.NewPCG(8, 8))
	stop, done := make(chan struct{}), make(chan error, 1)
	counts := map[uint64]int{} // points after each entry
	go func() {
		points := 0
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			u := sextant.Update(sextant.DeletePoints{Selector: sextant.Selector{Filter: &sextant.Filter{}}})
			if points == 0 {
				points = 50 + r.IntN(100)
				u = sextant.Upsert{Points: randomPoints(r, 0, points)}
			} else {
				points = 0
			}
			receipt, err := s.Update(t.Context(), u, sextant.Applied)
			if err != nil {
				done <- err
				return
			}
			counts[receipt.Seq] = points
		}
	}()
	archives := map[uint64][]byte{}
	for range 25 {
		var b bytes.Buffer
		at, err := s.Snapshot(t.Context(), &b)
		ok(t, err)
		archives[uint64(at.Seq)] = b.Bytes()
	}
	close(stop)
	ok(t, <-done)
	ok(t, s.Close())
	for seq, archive := range archives {
		dir := fmt.Sprint("/restored-", seq)
		opts := Options{FS: disk, Config: indexSoon()}
		ok(t, Restore(t.Context(), dir, bytes.NewReader(archive), opts))
		s, err := Open(dir, opts)
		ok(t, err)
		if got := count(t, s); got != counts[seq] && seq > 0 {
			t.Errorf("snapshot of %d has %d points, want %d", seq, got, counts[seq])
		}
		if at := s.Stands(); uint64(at.Applied.Seq) != seq || uint64(at.Base.Seq) != seq {
			t.Errorf("restored at %+v, want %d", at, seq)
		}
		ok(t, s.Close())
	}
}
