package segment

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/hnsw"
)

// clustered returns points around a few centres, as embeddings are.
func clustered(r *rand.Rand, n, dim int) [][]float32 {
	centres := make([][]float32, 50)
	for i := range centres {
		centres[i] = make([]float32, dim)
		for j := range centres[i] {
			centres[i][j] = float32(r.NormFloat64())
		}
	}
	list := make([][]float32, n)
	for i := range list {
		c := centres[r.IntN(len(centres))]
		list[i] = make([]float32, dim)
		for j := range list[i] {
			list[i][j] = c[j] + 0.6*float32(r.NormFloat64())
		}
	}
	return list
}

// recallShard is one sealed segment with a graph, a tenth of it dead, and a head behind it.
func recallShard(t testing.TB, n, dim int, indexed bool) (*testShard, *rand.Rand, [][]float32) {
	r := rand.New(rand.NewPCG(1, 1))
	schema := sextant.Schema{
		Vectors: map[string]sextant.VectorSpec{"": {Dim: dim, Distance: sextant.Cosine}},
		Fields:  map[string]sextant.FieldSpec{},
	}
	if indexed {
		schema.Fields["n"] = sextant.FieldSpec{Type: sextant.IntegerField, Lookup: true, Range: true}
	}
	cfg := sextant.DefaultConfig()
	cfg.Optimizer.IndexingThreshold = new(uint64(100))
	cfg.HNSW.FullScanThreshold = 10
	s := newTestShard(t, schema, cfg)
	data := clustered(r, n+20, dim)
	seq := uint64(0)
	insert := func(from, end int) {
		for ; from < end; from += 100 {
			u := sextant.Upsert{}
			for i := from; i < min(from+100, end); i++ {
				u.Points = append(u.Points, sextant.Point{
					ID: sextant.NumID(uint64(i)), Payload: fmt.Appendf(nil, `{"n":%d}`, r.IntN(1000)),
					Vectors: []sextant.NamedVector{{Vector: sextant.Vector{Values: data[i]}}},
				})
			}
			v := s.state.Publish()
			effects, err := v.Resolve(context.Background(), u)
			s.must(err)
			v.Release()
			seq++
			s.must(s.state.Apply(seq, effects))
		}
	}
	insert(0, n)
	s.seal()
	dead := sextant.DeletePoints{}
	for i := 0; i < n; i += 10 {
		dead.IDs = append(dead.IDs, sextant.NumID(uint64(i)))
	}
	s.must(s.state.Apply(seq+1, dead))
	seq++
	insert(n-200, n) // moves some from the segment to the head
	return s, r, data[n:]
}

func below(n float64) *sextant.Filter {
	return &sextant.Filter{Must: []sextant.Condition{
		sextant.Field{Key: sextant.MustPath("n"), Test: sextant.Range{Lt: &n}},
	}}
}

func TestRecallUnderFilters(t *testing.T) {
	const n, dim, k = 12000, 32, 10
	for _, indexed := range []bool{true, false} {
		s, _, queries := recallShard(t, n, dim, indexed)
		v := s.state.Publish()
		if info, err := v.Info(); err != nil || info.Indexed == 0 {
			t.Fatalf("there is no graph: %+v %v", info, err)
		}
		for _, share := range []float64{1, 0.5, 0.1, 0.01, 0.001} {
			f := below(share * 1000)
			if share == 1 {
				f = nil
			}
			matching, err := v.Count(context.Background(), f, true)
			s.must(err)
			found, all := 0, 0
			for _, q := range queries {
				req := SearchRequest{Vector: sextant.Vector{Values: q}, Limit: k, Filter: f}
				req.Params.EF = 64
				got, err := v.Search(context.Background(), req)
				s.must(err)
				if len(got) != int(min(k, matching)) {
					t.Fatalf("share %v: %d of %d found", share, len(got), matching)
				}
				req.Params.Exact = true
				want, err := v.Search(context.Background(), req)
				s.must(err)
				for _, w := range want {
					all++
					for _, g := range got {
						if g.ID == w.ID {
							found++
							if d := g.Score - w.Score; d > 1e-5 || d < -1e-5 {
								t.Fatalf("score %v, want %v", g.Score, w.Score)
							}
						}
					}
				}
			}
			recall := float64(found) / float64(all)
			t.Logf("indexed %v, share %v: %d match, recall %.3f", indexed, share, matching, recall)
			if recall < 0.95 {
				t.Errorf("indexed %v, share %v: recall %.3f", indexed, share, recall)
			}
		}
		v.Release()
		s.state.Close()
	}
}

// TestWalksUnderFilters forces walks where the planner would scan such a small segment.
func TestWalksUnderFilters(t *testing.T) {
	const n, dim, k = 12000, 32, 10
	s, _, queries := recallShard(t, n, dim, true)
	defer s.state.Close()
	v := s.state.Publish()
	defer v.Release()
	ctx := context.Background()
	for _, share := range []float64{1, 0.5, 0.1, 0.05} {
		for _, tested := range []bool{false, true} {
			found, all := 0, 0
			for _, values := range queries {
				q := SearchRequest{Vector: sextant.Vector{Values: values}, Limit: k, Filter: below(share * 1000)}
				q.Params.EF = 100
				sr, err := v.newSearch(ctx, &q)
				s.must(err)
				p := v.pieces[0]
				f, err := v.filter(p, q.Filter)
				s.must(err)
				set, count, err := f.sel(ctx)
				s.must(err)
				vs := p.rows.vectors(sr.key).(*sealedVectors)
				exact := &scanner{ctx: ctx, p: p, top: &topK{view: v, k: k}}
				s.must(exact.denseSet(sr.slot.Spec, vs, q.Vector.Values, set))
				w := &walker{
					scanner: &scanner{ctx: ctx, p: p, top: &topK{view: v, k: k}},
					graph:   lookup[*hnsw.Graph](p.sealed, GraphFile, sr.key), k: k, ef: 100,
				}
				w.bind(sr, vs)
				if w.exact == nil {
					t.Fatal("no codes")
				}
				var test func(uint32) bool
				if tested {
					wide := int(130 / share)
					w.k, w.ef, test, set, count = wide, wide, f.test(ctx), p.bits(), p.live()
				}
				enough, err := w.run(set, count, test, k)
				s.must(err)
				if !enough || len(w.top.hits) != k {
					continue // the planner scans then
				}
				all += k
				for _, want := range exact.top.hits {
					for _, got := range w.top.hits {
						if got == want {
							found++
						}
					}
				}
			}
			t.Logf("share %v, tested %v: %d of %d", share, tested, found, all)
			if all < len(queries)*k/2 || float64(found) < 0.95*float64(all) {
				t.Errorf("share %v, tested %v: %d of %d", share, tested, found, all)
			}
		}
	}
}
