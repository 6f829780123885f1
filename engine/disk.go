package engine

import (
	"sync"
	"time"

	"github.com/sextantdb/sextant"
)

// diskGuard refuses updates while the disk has not enough room for the log, and for sealing what is in it.
type diskGuard struct {
	mu   sync.Mutex // guards all below
	free uint64
	read time.Time
}

const (
	// noSpace is what clients and tests look for.
	noSpace = "No space left on device: WAL buffer size exceeds available disk space"

	diskReadingAge = 5 * time.Second
	diskScarce     = 512 << 20 // below this every update measures anew
)

// check refuses an update if less than twice the capacity of the log is free.
func (g *diskGuard) check(s *Shard) error {
	need := 2 * s.config.Load().WAL.CapacityMB << 20
	free, err := g.reading(s, need)
	if err != nil || free >= need { // a disk that cannot be asked is not full
		return nil
	}
	s.slog.Error(noSpace, "free", free, "needed", need, "path", s.dir)
	return sextant.Errorf(sextant.Internal, noSpace)
}

func (g *diskGuard) reading(s *Shard, need uint64) (uint64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.free >= max(diskScarce, need) && time.Since(g.read) < diskReadingAge {
		return g.free, nil
	}
	space, err := s.fs.Free(s.dir)
	if err != nil {
		s.slog.Warn("the free space of the disk cannot be read", "path", s.dir, "err", err)
		return 0, err
	}
	g.free, g.read = space.Free, time.Now()
	return g.free, nil
}
