package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine"
)

// ours is a shard that holds the vectors of a workload.
type ours struct {
	*workload
	shard     *engine.Shard
	dir       string
	upserts   time.Duration // until the last upsert was answered
	indexed   time.Duration // from the first upsert until everything was indexed
	indexPart time.Duration // thereof after the last upsert
	diskBytes int64
}

func load(ctx context.Context, o options, w *workload) (*ours, error) {
	dir, err := os.MkdirTemp("", "sextant-bench-")
	if err != nil {
		return nil, err
	}
	cfg := sextant.DefaultConfig()
	cfg.HNSW.M, cfg.HNSW.EfConstruct = uint64(o.m), uint64(o.construct)
	cfg.Optimizer.DefaultSegmentNumber = 1 // one graph, as hnswlib has
	spec := sextant.VectorSpec{Dim: w.dim, Distance: w.distance, Datatype: sextant.Float32}
	shard, err := engine.Create(filepath.Join(dir, "shard"), sextant.Schema{Vectors: map[string]sextant.VectorSpec{"": spec}}, engine.Options{Config: cfg})
	if err != nil {
		return nil, err
	}
	s := &ours{workload: w, shard: shard, dir: dir}
	for _, field := range []string{"random", "near"} {
		create := sextant.CreateField{Key: sextant.MustPath(field), Spec: sextant.FieldSpec{Type: sextant.IntegerField, Lookup: true, Range: true}}
		if _, err := shard.Update(ctx, create, sextant.Applied); err != nil {
			return nil, err
		}
	}
	start := time.Now()
	const batch = 1000
	for first := 0; first < w.len(); first += batch {
		points := make([]sextant.Point, 0, batch)
		for i := first; i < min(first+batch, w.len()); i++ {
			points = append(points, w.point(i))
		}
		if _, err := shard.Update(ctx, sextant.Upsert{Points: points}, sextant.Committed); err != nil {
			return nil, err
		}
	}
	s.upserts = time.Since(start)
	if err := s.settle(ctx); err != nil {
		return nil, err
	}
	s.indexed = time.Since(start)
	s.indexPart = s.indexed - s.upserts
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if info, e := d.Info(); err == nil && e == nil && !d.IsDir() {
			s.diskBytes += info.Size()
		}
		return nil
	})
	return s, nil
}

// settle brings the newest rows into a segment and waits until nothing is left to build.
func (s *ours) settle(ctx context.Context) error {
	if _, err := s.shard.Checkpoint(ctx); err != nil {
		return err
	}
	deadline := time.Now().Add(30 * time.Minute)
	for {
		info, err := s.shard.Info()
		if err != nil {
			return err
		}
		if info.Status == engine.Green && info.IndexedVectors >= uint64(s.len()) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not indexed after 30 minutes: %+v", info)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (s *ours) close() {
	_ = s.shard.Close()
	os.RemoveAll(s.dir)
}

func (s *ours) query(q int, ef int, exact, float bool, filter *sextant.Filter) sextant.Query {
	return sextant.Query{
		Nearest: &sextant.VectorInput{Vector: &sextant.Vector{Values: s.queries[q]}}, Limit: wanted, Filter: filter,
		Params: sextant.SearchParams{EF: ef, Exact: exact, IgnoreQuant: float},
	}
}

// findTruth searches exactly and checks the first answers against a naive scan.
func (s *ours) findTruth(ctx context.Context) error {
	s.truth = make([][]uint64, len(s.queries))
	if err := s.exact(ctx, nil, s.truth); err != nil {
		return err
	}
	for q := range 5 {
		worst := s.naive(q, s.truth[q][wanted-1])
		nearer := 0
		for i := range s.len() {
			if s.naive(q, uint64(i)) > worst {
				nearer++
			}
		}
		if nearer >= wanted+2 { // rounding may swap neighbours of equal distance
			return fmt.Errorf("exact search is wrong for query %d: %d vectors are nearer than the last hit", q, nearer)
		}
	}
	return nil
}

func (s *ours) naive(q int, id uint64) (similarity float64) {
	for d, x := range s.row(int(id)) {
		y := s.queries[q][d]
		if s.distance == sextant.Euclid {
			similarity -= float64(x-y) * float64(x-y)
		} else {
			similarity += float64(x) * float64(y)
		}
	}
	return similarity
}

func (s *ours) exact(ctx context.Context, filter *sextant.Filter, into [][]uint64) error {
	_, err := s.each(ctx, 2, len(into), func(q int) error {
		hits, err := s.shard.Query(ctx, s.query(q, 0, true, true, filter))
		for _, h := range hits {
			into[q] = append(into[q], h.ID.Lo)
		}
		return err
	})
	return err
}

// each runs n queries on some threads and returns how long all took.
func (s *ours) each(ctx context.Context, threads, n int, one func(q int) error) (time.Duration, error) {
	var next atomic.Int64
	var group sync.WaitGroup
	failed := make([]error, threads)
	start := time.Now()
	for t := range threads {
		group.Go(func() {
			for ctx.Err() == nil {
				q := int(next.Add(1)) - 1
				if q >= n {
					return
				}
				if err := one(q); err != nil {
					failed[t] = err
					return
				}
			}
		})
	}
	group.Wait()
	for _, err := range failed {
		if err != nil {
			return 0, err
		}
	}
	return time.Since(start), ctx.Err()
}

// run searches all queries with one beam.
func (s *ours) run(ctx context.Context, threads, ef int, float bool, filter *sextant.Filter, truth [][]uint64) (m measured, latencies []time.Duration, err error) {
	n := len(truth)
	recalls := make([]float64, n)
	latencies = make([]time.Duration, n)
	took, err := s.each(ctx, threads, n, func(q int) error {
		start := time.Now()
		hits, err := s.shard.Query(ctx, s.query(q, ef, false, float, filter))
		latencies[q] = time.Since(start)
		recalls[q] = recall(hits, truth[q])
		return err
	})
	for _, r := range recalls {
		m.recall += r / float64(n)
	}
	m.perSecond = float64(n) / took.Seconds()
	return m, latencies, err
}
