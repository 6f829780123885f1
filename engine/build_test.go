package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/vfs"
)

// eventually polls until what is asked for is so.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func info(t testing.TB, s *Shard) Info {
	t.Helper()
	i, err := s.Info()
	ok(t, err)
	return i
}

// indexSoon is a configuration with which a hundred points of four dimensions are worth a graph.
func indexSoon() sextant.CollectionConfig {
	c := sextant.DefaultConfig()
	c.Params.Vectors = sextant.VectorsConfig{Single: true, Map: map[string]sextant.VectorParams{"": {Size: 4, Distance: sextant.Dot}}}
	one := uint64(1)
	c.Optimizer.IndexingThreshold = &one
	c.Optimizer.VacuumMinVectorNumber = 100
	c.WAL.CapacityMB = 1
	return c
}

func randomPoints(r *rand.Rand, from, n int) []sextant.Point {
	points := make([]sextant.Point, n)
	for i := range points {
		points[i] = point(uint64(from+i), r.Float32(), r.Float32(), r.Float32(), r.Float32())
	}
	return points
}

// exactSame compares a search through graphs with one that looks at everything.
func exactSame(t *testing.T, s *Shard, r *rand.Rand) {
	t.Helper()
	q := sextant.Query{Nearest: &sextant.VectorInput{Vector: &sextant.Vector{Values: []float32{r.Float32(), r.Float32(), r.Float32(), r.Float32()}}}, Limit: 10}
	q.Params.EF = 200
	got, err := s.Query(t.Context(), q)
	ok(t, err)
	q.Params.Exact = true
	want, err := s.Query(t.Context(), q)
	ok(t, err)
	same := 0
	for _, h := range got {
		if slices.ContainsFunc(want, func(w sextant.ScoredPoint) bool { return w.ID == h.ID && w.Score == h.Score }) {
			same++
		}
	}
	if len(got) != len(want) || same < 8 {
		t.Fatalf("%d of %d found", same, len(want))
	}
}

// Loading, deleting, restarting: the shard comes to rest with the segments and indexes that the settings ask for, and the
// second planning of the same finds nothing to do.
func TestBuildsComeToRest(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	disk := &vfs.Mem{}
	opts := Options{Config: indexSoon()}
	s := create(t, disk, opts)
	for from := 0; from < 4000; from += 500 {
		update(t, s, sextant.Upsert{Points: randomPoints(r, from, 500)})
		_, err := s.Checkpoint(t.Context())
		ok(t, err)
	}
	if s := info(t, s).Status; s != Yellow {
		t.Errorf("status %s while there is something to do", s)
	}
	rest := func(points, segments int) {
		t.Helper()
		eventually(t, "green", func() bool { return info(t, s).Status == Green })
		i := info(t, s)
		if int(i.Points) != points || len(i.Segments) > segments+1 || i.OptimizerError != "" {
			t.Fatalf("%d points in %d segments, %s", i.Points, len(i.Segments), i.OptimizerError)
		}
		if i.IndexedVectors == 0 {
			t.Fatal("nothing is indexed")
		}
		if o := s.Optimizations(); len(o.Running)+len(o.Queued) > 0 || len(o.Completed) == 0 {
			t.Fatalf("optimizations %+v", o)
		}
		exactSame(t, s, r)
		infos, err := disk.List("/shard/g1")
		ok(t, err)
		if want := len(s.keeper.manifest().files()) + 2; len(infos) != want {
			t.Fatalf("%d files, the manifest names %d", len(infos), want)
		}
	}
	rest(4000, 2)
	// A third of each segment goes: they are copied without.
	var gone []sextant.PointID
	for id := range uint64(4000) {
		if id%3 == 0 {
			gone = append(gone, sextant.NumID(id))
		}
	}
	update(t, s, sextant.DeletePoints{Selector: sextant.Selector{IDs: gone}})
	eventually(t, "vacuum", func() bool {
		i := info(t, s)
		return i.Status == Green && !slices.ContainsFunc(i.Segments, func(g SegmentInfo) bool { return g.Deleted*5 > g.Points+g.Deleted })
	})
	rest(4000-len(gone), 2)
	ok(t, s.Close())
	disk = disk.Kill()
	s = reopen(t, disk, opts)
	exactSame(t, s, r)
	if i := info(t, s); int(i.Points) != 4000-len(gone) || i.Status != Green {
		t.Fatalf("after the restart: %+v", i)
	}
	// Other settings of the graph: made anew, without copying rows.
	c := indexSoon()
	c.HNSW.M = 8
	before := s.keeper.manifest().Segments[0].UUID
	ok(t, s.Configure(c))
	eventually(t, "config mismatch", func() bool {
		o := s.Optimizations()
		return len(o.Completed) > 0 && o.Completed[0].Optimizer == mismatchBuild && info(t, s).Status == Green
	})
	if s.keeper.manifest().Segments[0].UUID != before {
		t.Error("the segment was copied")
	}
	for _, f := range s.keeper.manifest().files() {
		if strings.HasPrefix(f.Config, "m=") && !strings.HasPrefix(f.Config, "m=8 ") {
			t.Errorf("graph with %s", f.Config)
		}
	}
	exactSame(t, s, r)
	// All points go: so do the segments.
	update(t, s, sextant.DeletePoints{Selector: sextant.Selector{Filter: &sextant.Filter{}}})
	eventually(t, "no segments", func() bool { return len(s.keeper.manifest().Segments) == 0 })
	ok(t, s.Close())
}

// An index created over sealed segments is there when the update that waits for it returns.
func TestAFieldIsBuiltWhenItsCreationReturns(t *testing.T) {
	s := create(t, &vfs.Mem{}, Options{})
	defer s.Close()
	r := rand.New(rand.NewPCG(1, 3))
	for from := 0; from < 3000; from += 1000 {
		update(t, s, sextant.Upsert{Points: randomPoints(r, from, 1000)})
		_, err := s.Checkpoint(t.Context())
		ok(t, err)
	}
	update(t, s, sextant.Upsert{Points: randomPoints(r, 3000, 100)})
	key := sextant.MustPath("n")
	update(t, s, sextant.CreateField{Key: key, Spec: sextant.FieldSpec{Type: sextant.IntegerField, Lookup: true, Range: true}})
	if n := info(t, s).Fields["n"]; n != 3100 {
		t.Fatalf("%d points are indexed", n)
	}
	low := 3050.0
	n, err := s.Count(t.Context(), &sextant.Filter{Must: []sextant.Condition{sextant.Field{Key: key, Test: sextant.Range{Gte: &low}}}}, true)
	ok(t, err)
	if n != 50 {
		t.Fatalf("%d points match", n)
	}
}

// Readers beside everything else: a fixed set of points is found by every read, each once.
func TestReadersNeverMissAPoint(t *testing.T) {
	s := create(t, &vfs.Mem{}, Options{Config: indexSoon()})
	defer s.Close()
	const fixed = 50
	var ids []sextant.PointID
	for i := range fixed {
		ids = append(ids, sextant.NumID(uint64(i)))
	}
	r := rand.New(rand.NewPCG(5, 5))
	update(t, s, sextant.Upsert{Points: randomPoints(r, 0, 500)})
	stop := make(chan struct{})
	done := make(chan error, 2)
	for range 2 {
		go func() {
			for reads := 0; ; reads++ {
				select {
				case <-stop:
					done <- nil
					return
				default:
				}
				found, err := s.Retrieve(t.Context(), ids, sextant.PayloadSelector{All: true}, sextant.VectorSelector{All: true})
				if err != nil || len(found) != fixed {
					done <- fmt.Errorf("retrieve %d: %d found, %v", reads, len(found), err)
					return
				}
				page, _, err := s.Scroll(t.Context(), sextant.Scroll{Limit: fixed})
				if err != nil || len(page) != fixed || page[fixed-1].ID != ids[fixed-1] {
					done <- fmt.Errorf("scroll %d: %d found, %v", reads, len(page), err)
					return
				}
			}
		}()
	}
	for round := range 120 {
		update(t, s, sextant.Upsert{Points: randomPoints(r, 0, fixed)})
		update(t, s, sextant.Upsert{Points: randomPoints(r, 100+round*20, 100)})
		if round%7 == 0 {
			_, err := s.Checkpoint(t.Context())
			ok(t, err)
		}
	}
	close(stop)
	for range 2 {
		ok(t, <-done)
	}
}

// An index that is waited for does not wait for a graph, and is not lost by a merge; dropped, its files go.
func TestAFieldDoesNotWaitForAGraph(t *testing.T) {
	disk := &vfs.Mem{}
	s := create(t, disk, Options{Config: indexSoon(), Budget: NewBudget(1, 0)})
	defer s.Close()
	r := rand.New(rand.NewPCG(1, 3))
	for from := 0; from < 30_000; from += 10_000 {
		update(t, s, sextant.Upsert{Points: randomPoints(r, from, 10_000)})
		_, err := s.Checkpoint(t.Context())
		ok(t, err)
	}
	eventually(t, "a build", func() bool { return len(s.Optimizations().Running) > 0 })
	key := sextant.MustPath("n")
	update(t, s, sextant.CreateField{Key: key, Spec: sextant.FieldSpec{Type: sextant.IntegerField, Lookup: true, Range: true}})
	if n := info(t, s).Fields["n"]; n != 30_000 {
		t.Errorf("%d points are indexed", n)
	}
	if len(s.Optimizations().Running) == 0 {
		t.Error("the field waited for the graph")
	}
	eventually(t, "green", func() bool { return info(t, s).Status == Green })
	if n := info(t, s).Fields["n"]; n != 30_000 {
		t.Errorf("%d points are indexed after the builds", n)
	}
	update(t, s, sextant.DropField{Key: key})
	_, err := s.Checkpoint(t.Context())
	ok(t, err)
	infos, err := disk.List("/shard/g1")
	ok(t, err)
	for _, i := range infos {
		if strings.Contains(i.Name, "field") {
			t.Errorf("%s is left", i.Name)
		}
	}
}

// Of several moments at which the keeper wants to look again the earliest counts.
func TestTheKeeperWakesAtTheEarliestMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := create(t, &vfs.Mem{}, Options{})
		defer s.Close()
		update(t, s, sextant.Upsert{Points: []sextant.Point{{ID: sextant.NumID(1)}}})
		time.Sleep(2 * quietAfterOpen)
		k := &s.keeper
		k.mu.Lock()
		k.sealNow = true
		k.wakeIn(time.Hour)
		k.wakeIn(time.Second)
		k.wakeIn(time.Minute)
		k.mu.Unlock()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if at := k.manifest().At; at != s.writer.place() {
			t.Fatalf("two seconds later the files contain entries up to %s of %s", at, s.writer.place())
		}
		time.Sleep(2 * quietAfterOpen)
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.timer != nil || k.awake {
			t.Error("an idle shard will be woken")
		}
	})
}
