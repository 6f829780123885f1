package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/segment"
)

// diskGuard refuses updates while the disk has not enough room for the log, for sealing what is in it, and for the indexes
// that points without one may get. Builds that are not needed are not begun where they do not fit.
type diskGuard struct {
	free atomic.Uint64 // as of the last reading
	full atomic.Bool   // the last update was refused; logged once

	mu   sync.Mutex // guards read
	read time.Time
}

const (
	// noSpace is what clients and tests look for.
	noSpace = "No space left on device: WAL buffer size exceeds available disk space"

	diskReadingAge = 5 * time.Second
	diskScarce     = 512 << 20 // below this every update measures anew
)

// check refuses an update if less than twice the capacity of the log is free, beside what is owed.
func (g *diskGuard) check(s *Shard) error {
	need := 2 * s.config.Load().WAL.CapacityMB << 20
	free, err := g.reading(s)
	if err != nil || free >= need+diskScarce { // a disk that cannot be asked is not full
		g.full.Store(false)
		return nil
	}
	if free >= need {
		need += s.owedIndexes()
	}
	if free >= need {
		g.full.Store(false)
		return nil
	}
	if !g.full.Swap(true) {
		s.slog.Error(noSpace, "free", free, "needed", need, "path", s.dir)
	}
	return sextant.Errorf(sextant.Internal, noSpace)
}

func (g *diskGuard) reading(s *Shard) (uint64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if free := g.free.Load(); free >= diskScarce && time.Since(g.read) < diskReadingAge {
		return free, nil
	}
	space, err := s.fs.Free(s.dir)
	if err != nil {
		s.slog.Warn("the free space of the disk cannot be read", "path", s.dir, "err", err)
		return 0, err
	}
	g.free.Store(space.Free)
	g.read = time.Now()
	return space.Free, nil
}

// owedIndexes estimates what graphs and codes would take for the vectors that have none, whether or not the settings ask for
// them now: they may be turned on when the disk is full of points.
func (s *Shard) owedIndexes() (bytes uint64) {
	v := s.views.Get()
	if v == nil {
		return 0
	}
	defer v.Release()
	tuning := s.tuning.Load()
	schema := v.Schema()
	for _, p := range v.Parts() {
		has := map[string]bool{}
		if p.Sealed != nil {
			for _, f := range p.Sealed.Meta().Files {
				has[f.Of] = has[f.Of] || f.Kind == segment.GraphFile
			}
		}
		for name, slot := range schema.Vectors {
			if slot.Spec.Kind == sextant.Dense && !has[name] {
				bytes += indexBytes(slot.Spec, tuning.Vector(name), uint64(p.Live()))
			}
		}
	}
	return bytes
}

// indexBytes is about what a graph and codes of so many vectors take.
func indexBytes(spec sextant.VectorSpec, t segment.VectorTuning, rows uint64) uint64 {
	if t.HNSW.M == 0 {
		return 0
	}
	return rows * (9*t.HNSW.M + uint64(spec.Dim+63)&^63 + 16)
}

// buildNeeds is about what a job writes.
func (s *Shard) buildNeeds(j job, d *durable) (bytes uint64) {
	tuning := s.tuning.Load()
	for i, p := range d.parts {
		e := &d.man.Segments[i]
		for _, id := range j.sources {
			if p.ID != id {
				continue
			}
			live := uint64(e.Rows - p.Tombs.Dead())
			if j.needs == nil { // rows are copied
				bytes += uint64(float64(e.Meta.Bytes())*float64(live)/float64(max(1, e.Rows))) * 11 / 10
				continue
			}
			for _, n := range j.needs {
				if n.Kind == segment.GraphFile || n.Kind == segment.CodesFile {
					for _, vm := range e.Vectors {
						if vm.Name == n.Of {
							bytes += indexBytes(vm.Spec, tuning.Vector(n.Of), uint64(vm.Count)) / 2 // one of the two
						}
					}
				} else {
					bytes += uint64(e.Payload) / 2
				}
			}
		}
	}
	return bytes
}
