package hnsw

import (
	"fmt"
	"testing"

	"github.com/sextantdb/sextant/engine/internal/vec"
)

// The numbers of record come from hnswbench, on real vectors; these show what a change does to the code paths.
func BenchmarkSearch(b *testing.B) {
	f := newField(20_000, 96, vec.Dot, 1)
	g := f.build(b, f.all(), Params{M: 16, EfConstruct: 100, Threads: 2})
	for _, every := range []uint32{0, 2, 10} {
		for _, ef := range []int{32, 128} {
			b.Run(fmt.Sprintf("every=%d/ef=%d", every, ef), func(b *testing.B) {
				var filter *Filter
				if every > 0 {
					_, filter = pass(f, f.all(), func(row uint32) bool { return row%every == 0 })
				}
				queries := make([]*vec.Scorer, 64)
				for i := range queries {
					queries[i] = f.query(f.draw())
				}
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					if _, err := g.Search(b.Context(), queries[i%64], 10, ef, filter, nil); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	f := newField(5_000, 96, vec.Dot, 1)
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("n=5000/threads=%d", threads), func(b *testing.B) {
			for b.Loop() {
				f.build(b, f.all(), Params{M: 16, EfConstruct: 100, Threads: threads})
			}
		})
	}
}
