package engine

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/vfs"
	"github.com/sextantdb/sextant/internal/wal"
)

// pour writes about so many megabytes of log and puts them into files.
func pour(t *testing.T, s *Shard, megabytes int) {
	t.Helper()
	text := sextant.Payload(`{"text":"` + strings.Repeat("x", 128<<10) + `"}`)
	for i := range 8 * megabytes {
		update(t, s, sextant.OverwritePayload{Selector: sextant.Selector{IDs: []sextant.PointID{sextant.NumID(uint64(i % 3))}}, Payload: text})
	}
	_, err := s.Checkpoint(t.Context())
	ok(t, err)
	synctest.Wait()
}

func logged(s *Shard) float64 { return float64(s.log.Stats().Bytes) / (1 << 20) }

func pourable(t *testing.T, fsys vfs.FS, dir string, opts Options) *Shard {
	t.Helper()
	opts.FS, opts.Config = fsys, sextant.DefaultConfig()
	opts.Config.WAL = sextant.WALConfig{CapacityMB: 1, RetainClosed: 1}
	s, err := Create(dir, small, opts)
	ok(t, err)
	update(t, s, sextant.Upsert{Points: []sextant.Point{{ID: sextant.NumID(0)}, {ID: sextant.NumID(1)}, {ID: sextant.NumID(2)}}})
	return s
}

// The log is kept up to one limit for whoever lags, and up to another from where a replica stood that is away; beyond that it is
// cut, and once nobody is away it is cut without another update. Without limits the closed files of the settings stay.
func TestTheLogIsKeptForWhoIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pourable(t, &vfs.Mem{}, "shard", Options{Retention: wal.Retention{Bytes: 4 << 20, AbsentBytes: 9 << 20}})
		within := func(least, most float64) {
			t.Helper()
			if n := logged(s); n < least || n > most {
				t.Errorf("%.1f MB are kept, not %.0f to %.0f", n, least, most)
			}
		}
		pour(t, s, 7)
		within(3, 4)
		left := s.Stands().Applied.Seq + 1
		s.KeepFrom(left)
		reads := func() error {
			r, err := s.OpenLog(left)
			if err == nil {
				err = r.Close()
			}
			return err
		}
		pour(t, s, 6)
		within(6, 9)
		ok(t, reads())
		pour(t, s, 8)
		within(8, 9)
		if err := reads(); sextant.KindOf(err) != sextant.Precondition {
			t.Errorf("the log reaches back to %d, from %d on: %v", left, s.log.First(), err)
		}
		s.KeepFrom(s.Stands().Applied.Seq) // it comes nearer
		pour(t, s, 1)
		within(3, 4)
		s.KeepFrom(1) // that is gone; somebody who left later may be away as well
		pour(t, s, 3)
		within(5, 9)
		s.KeepFrom(0)
		synctest.Wait()
		within(3, 4)
		ok(t, s.Close())

		s = pourable(t, &vfs.Mem{}, "shard", Options{})
		s.KeepFrom(1)
		pour(t, s, 5)
		within(1, 2.5)
		ok(t, s.Close())
	})
}

// Logs together take no more than a tenth of the disk, a fifth while a replica is away, whatever their limits; one that grew when it
// was alone gives way.
func TestLogsTakeAShareOfTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &vfs.Mem{}
		disk.SetSize(100 << 20)
		opts := Options{Retention: wal.Retention{Bytes: 1 << 30, AbsentBytes: 1 << 30}, Budget: NewBudget(0, 0)}
		var all []*Shard
		sum := func(least, most float64) {
			t.Helper()
			n := 0.0
			for _, s := range all {
				n += logged(s)
			}
			if n < least || n > most {
				t.Errorf("%d logs take %.1f MB, not %.0f to %.0f", len(all), n, least, most)
			}
		}
		for i := range 3 {
			s := pourable(t, disk, fmt.Sprint("shard", i), opts)
			all = append(all, s)
			pour(t, s, 12)
			pour(t, s, 1)
			sum(7, 10+2*float64(i))
		}
		for i, s := range all[:2] {
			if n := logged(s); n < 1 {
				t.Errorf("shard %d keeps %.1f MB", i, n)
			}
		}
		for _, s := range all {
			s.KeepFrom(1)
			s.KeepFrom(s.log.First())
		}
		for range 4 {
			for _, s := range all {
				pour(t, s, 4)
			}
		}
		sum(14, 22)
		for _, s := range all {
			ok(t, s.Close())
		}
		if n, _ := opts.Budget.otherLogs(nil); n != 0 {
			t.Errorf("closed, they hold %d bytes", n)
		}
	})
}
