package sparse

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/sextantdb/sextant"
)

// big is 100 000 vectors of about 100 entries over 30 000 indices, with weights that fall off like those of learned
// sparse models.
var big = sync.OnceValue(func() *vectors {
	w := world{rows: 100000, dims: 30000, length: 120}
	return w.vectors(rand.New(rand.NewPCG(1, 1)))
})

func BenchmarkSearch(b *testing.B) {
	v := big()
	x := v.build(b, sextant.Float32)
	indexes := map[string]searcher{"sealed": x, "head": v.head(), "float16": v.build(b, sextant.Float16), "uint8": v.build(b, sextant.Uint8)}
	for _, name := range []string{"sealed", "head", "float16", "uint8"} {
		for _, kind := range []string{"zipf", "even", "rare", "signed", "half alive", "few alive"} {
			for _, terms := range []int{5, 20, 50} {
				if (name != "sealed" || kind != "zipf") && terms != 20 {
					continue
				}
				queries := benchQueries(kind, terms)
				b.Run(fmt.Sprintf("%s/%s/terms=%d", name, kind, terms), func(b *testing.B) {
					postings := 0
					for i := 0; b.Loop(); i++ {
						q := queries[i%len(queries)]
						find(b, indexes[name], q)
						for _, index := range q.Indices {
							postings += int(x.DF(index, nil))
						}
					}
					b.ReportMetric(float64(postings)/float64(b.N), "postings/op")
				})
			}
		}
	}
}

func benchQueries(kind string, terms int) (queries []Query) {
	r := rand.New(rand.NewPCG(2, uint64(terms)))
	w := world{rows: 100000, dims: 30000}
	for range 64 {
		q := Query{K: 10, N: 100000}
		for n := terms; len(q.Indices) < terms; n++ {
			q.Indices, q.Values = w.vector(r, n)
		}
		q.Indices, q.Values = q.Indices[:terms], q.Values[:terms]
		switch kind {
		case "even", "rare":
			for i := range q.Indices {
				q.Indices[i] = uint32(i*(3000/terms) + r.IntN(3000/terms))
				if kind == "rare" {
					q.Indices[i] += 5000
				}
			}
		case "signed":
			q.Values[0] = -q.Values[0]
		case "half alive", "few alive":
			q.Alive = make([]uint64, 100000/64+1)
			for i := range q.Alive {
				if q.Alive[i] = r.Uint64(); kind == "few alive" {
					q.Alive[i] &= 1 << (r.IntN(64) * 37)
				}
			}
		}
		queries = append(queries, q)
	}
	return queries
}

func BenchmarkBuild(b *testing.B) {
	v := big()
	for b.Loop() {
		v.bytes(b, sextant.Float32)
	}
}

func BenchmarkHeadAdd(b *testing.B) {
	v := big()
	h := NewHead()
	row := uint32(0)
	for b.Loop() {
		i := row % 100000
		h.Add(row, v.indices[i], v.values[i])
		row++
	}
}

func BenchmarkDF(b *testing.B) {
	x := big().build(b, sextant.Float32)
	alive := make([]uint64, 100000/64+1)
	for i := range alive {
		alive[i] = 1<<64 - 2
	}
	for b.Loop() {
		for index := range uint32(20) {
			x.DF(index, alive)
		}
	}
	b.ReportMetric(float64(x.DF(0, nil)), "rows/list")
}
