package segment

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/sextantdb/sextant"
)

func benchBatch(r *rand.Rand, from, n, dim int) sextant.Upsert {
	u := sextant.Upsert{}
	for i := from; i < from+n; i++ {
		values := make([]float32, dim)
		for j := range values {
			values[j] = r.Float32()
		}
		u.Points = append(u.Points, sextant.Point{
			ID: sextant.NumID(uint64(i)), Payload: fmt.Appendf(nil, `{"n":%d,"city":"Berlin","text":"some words here"}`, i%1000),
			Vectors: []sextant.NamedVector{{Vector: sextant.Vector{Values: values}}},
		})
	}
	return u
}

func benchState(b *testing.B, dim int) *State {
	schema := sextant.Schema{Vectors: map[string]sextant.VectorSpec{"": {Dim: dim, Distance: sextant.Dot}}}
	return NewState(NewSchema(schema), NewTuning(sextant.DefaultConfig()), nil, nil, 0)
}

func BenchmarkApplyUpsert(b *testing.B) {
	for _, batch := range []int{1, 100} {
		b.Run(fmt.Sprintf("dim=128/batch=%d", batch), func(b *testing.B) {
			b.ReportAllocs()
			r := rand.New(rand.NewPCG(1, 1))
			s := benchState(b, 128)
			u := benchBatch(r, 0, batch, 128)
			var current Current
			for seq := uint64(1); b.Loop(); seq++ {
				for i := range u.Points {
					u.Points[i].ID.Lo = seq*uint64(batch) + uint64(i)
				}
				if err := s.Apply(seq, u); err != nil {
					b.Fatal(err)
				}
				current.Set(s.Publish())
				if rows, _ := s.HeadSize(); rows > 100_000 {
					s = benchState(b, 128)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/point")
		})
	}
}

func BenchmarkHead(b *testing.B) {
	const n = 20_000
	r := rand.New(rand.NewPCG(1, 1))
	s := benchState(b, 128)
	for i := 0; i < n; i += 100 {
		if err := s.Apply(uint64(i+1), benchBatch(r, i, 100, 128)); err != nil {
			b.Fatal(err)
		}
	}
	v := s.Publish()
	ctx := context.Background()
	q := benchBatch(r, 0, 1, 128).Points[0].Vectors[0].Vector
	limit := float64(100)
	filter := &sextant.Filter{Must: []sextant.Condition{
		sextant.Field{Key: sextant.MustPath("n"), Test: sextant.Range{Lt: &limit}},
	}}
	b.Run("search", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Search(ctx, SearchRequest{Vector: q, Limit: 10}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("search/unindexed filter", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Search(ctx, SearchRequest{Vector: q, Limit: 10, Filter: filter}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("scroll 100", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			from := sextant.NumID(uint64(r.IntN(n - 200)))
			if _, _, err := v.Scroll(ctx, sextant.Scroll{Limit: 100, Offset: &from}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("retrieve", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ids := []sextant.PointID{sextant.NumID(uint64(r.IntN(n)))}
			if got, err := v.Retrieve(ids, sextant.PayloadSelector{All: true}, sextant.VectorSelector{}); err != nil || len(got) != 1 {
				b.Fatal(err)
			}
		}
	})
}
