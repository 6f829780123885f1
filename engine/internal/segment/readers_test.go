package segment

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sextantdb/sextant"
)

// TestReadersNeverMiss keeps a fixed set of points under change, through freezes, seals and merges, while readers look: no
// read may miss a point or see it twice, and what it sees of one point belongs together.
func TestReadersNeverMiss(t *testing.T) {
	const points, writes = 300, 700
	schema := sextant.Schema{
		Vectors: map[string]sextant.VectorSpec{
			"v": {Dim: 4, Distance: sextant.Dot}, "m": {Kind: sextant.Multi, Dim: 2, Distance: sextant.Dot},
			"s": {Kind: sextant.Sparse},
		},
		Fields: map[string]sextant.FieldSpec{"n": {Type: sextant.IntegerField, Lookup: true, Range: true}},
	}
	cfg := sextant.DefaultConfig()
	cfg.Optimizer.IndexingThreshold = new(uint64(1))
	s := newTestShard(t, schema, cfg)
	w := workload{rand.New(rand.NewPCG(4, 4)), points}
	point := func(i int) sextant.Point {
		n := float32(w.IntN(1000))
		return sextant.Point{
			ID: sextant.NumID(uint64(i)), Payload: fmt.Appendf(nil, `{"n":%d}`, int(n)),
			Vectors: []sextant.NamedVector{
				{Name: "v", Vector: sextant.Vector{Values: []float32{n, n, n, n}}},
				{Name: "m", Vector: sextant.Vector{Kind: sextant.Multi, Rows: 1, Values: []float32{n, n}}},
				{Name: "s", Vector: sextant.Vector{Kind: sextant.Sparse, Indices: []uint32{7}, Values: []float32{n}}},
			},
		}
	}
	first := sextant.Upsert{}
	for i := range points {
		first.Points = append(first.Points, point(i))
	}
	s.must(s.state.Apply(1, first))
	var current Current
	current.Set(s.state.Publish())
	var done atomic.Bool
	var wg sync.WaitGroup
	for reader := range 3 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(reader), 5))
			for !done.Load() {
				v := current.Get()
				if err := sound(v, points, r); err != nil {
					t.Error(err)
					done.Store(true)
				}
				v.Release()
			}
		})
	}
	for seq := uint64(2); seq < writes && !done.Load(); seq++ {
		u := sextant.Upsert{}
		for range 1 + w.IntN(20) {
			u.Points = append(u.Points, point(w.IntN(points)))
		}
		s.must(s.state.Apply(seq, u))
		switch w.IntN(40) {
		case 0:
			s.seal()
		case 1, 2:
			s.finish()
			s.state.Freeze()
			s.begin(func(Part) bool { return w.IntN(2) == 0 })
		case 3, 4, 5:
			s.finish()
		}
		current.Set(s.state.Publish())
	}
	done.Store(true)
	wg.Wait()
	s.finish()
	current.Set(nil)
	s.state.Close()
}

// sound reads a view in one of several ways.
func sound(v *View, points int, r *rand.Rand) error {
	ctx := context.Background()
	all := sextant.PayloadSelector{All: true}
	seen := map[sextant.PointID]bool{}
	check := func(list []sextant.Record) error {
		for _, rec := range list {
			if seen[rec.ID] {
				return fmt.Errorf("seq %d: %v twice", v.Seq, rec.ID)
			}
			seen[rec.ID] = true
			n := rec.Vectors[len(rec.Vectors)-1].Values[0]
			if string(rec.Payload) != fmt.Sprintf(`{"n":%d}`, int(n)) {
				return fmt.Errorf("seq %d: %v is torn: %s and %v", v.Seq, rec.ID, rec.Payload, n)
			}
		}
		if len(seen) != points {
			return fmt.Errorf("seq %d: %d of %d points", v.Seq, len(seen), points)
		}
		return nil
	}
	using := []string{"v", "m", "s"}[r.IntN(3)]
	vectors := sextant.VectorSelector{Names: []string{using}}
	switch r.IntN(4) {
	case 0:
		ids := make([]sextant.PointID, points)
		for i, n := range r.Perm(points) {
			ids[i] = sextant.NumID(uint64(n))
		}
		list, err := v.Retrieve(ids, all, vectors)
		if err != nil {
			return err
		}
		return check(list)
	case 1:
		list, _, err := v.Scroll(ctx, sextant.Scroll{Limit: 2 * points, WithPayload: all, WithVector: vectors})
		if err != nil {
			return err
		}
		return check(list)
	case 2:
		low := float64(0)
		n, err := v.Count(ctx, &sextant.Filter{Must: []sextant.Condition{
			sextant.Field{Key: sextant.MustPath("n"), Test: sextant.Range{Gte: &low}},
		}}, true)
		if err == nil && n != uint64(points) {
			err = fmt.Errorf("seq %d: counted %d", v.Seq, n)
		}
		return err
	default:
		q := SearchRequest{Using: using, Limit: 2 * points, WithPayload: all, WithVector: vectors}
		q.Vector = sextant.Vector{Values: []float32{1, 1, 1, 1}}
		switch using {
		case "m":
			q.Vector.Values = q.Vector.Values[:2]
		case "s":
			q.Vector = sextant.Vector{Kind: sextant.Sparse, Indices: []uint32{7}, Values: []float32{1}}
		}
		found, err := v.Search(ctx, q)
		if err != nil {
			return err
		}
		list := make([]sextant.Record, len(found))
		for i := range found {
			list[i] = found[i].Record
		}
		return check(list)
	}
}
