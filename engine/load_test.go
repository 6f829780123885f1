package engine

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/vfs"
)

// slowDisk takes a millisecond for each fsync of a file, in the virtual time of a bubble.
type slowDisk struct{ vfs.FS }

type slowFile struct{ vfs.File }

func (d slowDisk) OpenAppend(name string) (vfs.File, error) {
	f, err := d.FS.OpenAppend(name)
	return slowFile{f}, err
}

func (f slowFile) Sync() error {
	time.Sleep(time.Millisecond)
	return f.File.Sync()
}

// With 64 clients that wait for each of their updates, an fsync serves many, and nobody waits for more than three.
func TestManyClientsShareFsyncs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := create(t, slowDisk{&vfs.Mem{}}, Options{})
		begin := s.log.Stats().Syncs
		var wg sync.WaitGroup
		var longest atomic.Int64
		for c := range 64 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(c), 1))
				for i := range 20 {
					from := time.Now()
					_, err := s.Update(t.Context(), sextant.Upsert{Points: randomPoints(r, c*100+i, 1)}, sextant.Applied)
					if err != nil {
						t.Error(err)
					}
					for took := int64(time.Since(from)); ; {
						if old := longest.Load(); took <= old || longest.CompareAndSwap(old, took) {
							break
						}
					}
				}
			})
		}
		wg.Wait()
		l := s.log.Stats()
		if syncs := l.Syncs - begin; syncs*4 > 64*20 {
			t.Errorf("%d fsyncs for %d updates", syncs, 64*20)
		}
		if took := time.Duration(longest.Load()); took > 3*time.Millisecond {
			t.Errorf("an update took %v", took)
		}
		if n := count(t, s); n != 64*20 {
			t.Errorf("%d points", n)
		}
		ok(t, s.Close())
	})
}

// Nothing runs in a shard that nobody uses, and nothing after its end: the bubble would not end otherwise.
func TestNothingRunsInAnIdleShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := create(t, &vfs.Mem{}, Options{Config: indexSoon()})
		update(t, s, sextant.Upsert{Points: randomPoints(rand.New(rand.NewPCG(1, 1)), 0, 1000)})
		time.Sleep(time.Hour)
		if i := info(t, s); i.Status != Green || i.IndexedVectors != 1000 {
			t.Errorf("after an hour: %+v", i)
		}
		ok(t, s.Close())
	})
}

func BenchmarkUpsert(b *testing.B) {
	schema := sextant.Schema{Vectors: map[string]sextant.VectorSpec{"": {Kind: sextant.Dense, Dim: 128, Distance: sextant.Cosine}}}
	for _, c := range []struct{ batch, clients int }{{1, 1}, {1, 16}, {100, 1}, {100, 4}, {1000, 1}} {
		b.Run(fmt.Sprintf("batch=%d/clients=%d", c.batch, c.clients), func(b *testing.B) {
			s, err := Create(b.TempDir()+"/s", schema, Options{})
			ok(b, err)
			defer s.Close()
			var next atomic.Uint64
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for range c.clients {
				wg.Go(func() {
					r := rand.New(rand.NewPCG(1, next.Load()))
					points := make([]sextant.Point, c.batch)
					for i := range points {
						v := make([]float32, 128)
						for j := range v {
							v[j] = r.Float32()
						}
						points[i] = sextant.Point{Vectors: []sextant.NamedVector{{Vector: sextant.Vector{Values: v}}}, Payload: sextant.Payload(`{"city":"Berlin","n":5}`)}
					}
					for n := next.Add(1); n <= uint64(b.N); n = next.Add(1) {
						batch := append([]sextant.Point(nil), points...)
						for i := range batch {
							batch[i].ID = sextant.NumID(n*uint64(c.batch) + uint64(i))
						}
						if _, err := s.Update(b.Context(), sextant.Upsert{Points: batch}, sextant.Applied); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N*c.batch)/b.Elapsed().Seconds(), "points/s")
			b.ReportMetric(float64(s.log.Stats().Syncs)/float64(b.N), "fsyncs/op")
		})
	}
}
