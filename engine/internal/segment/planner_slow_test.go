//go:build slow

package segment

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sextantdb/sextant"
)

// TestPlannerAtScale prints recall and speed of default searches under random and correlated filters, and what scan and
// walk would have taken.
func TestPlannerAtScale(t *testing.T) {
	const n, dim, k = 100_000, 100, 10
	r := rand.New(rand.NewPCG(1, 1))
	schema := sextant.Schema{
		Vectors: map[string]sextant.VectorSpec{"": {Dim: dim, Distance: sextant.Cosine}},
		Fields: map[string]sextant.FieldSpec{
			"n": {Type: sextant.IntegerField, Lookup: true, Range: true},
			"c": {Type: sextant.IntegerField, Lookup: true, Range: true},
		},
	}
	s := newTestShard(t, schema, sextant.DefaultConfig())
	data := clustered(r, n+100, dim)
	for from := 0; from < n; from += 500 {
		u := sextant.Upsert{}
		for i := from; i < from+500; i++ {
			v, err := Prepare("", schema.Vectors[""], sextant.Vector{Values: data[i]})
			s.must(err)
			// c orders points by one direction of space: a range of it is one region.
			u.Points = append(u.Points, sextant.Point{
				ID:      sextant.NumID(uint64(i)),
				Payload: fmt.Appendf(nil, `{"n":%d,"m":%d,"c":%d}`, r.IntN(1000), r.IntN(1000), int(1000*v.Values[0])),
				Vectors: []sextant.NamedVector{{Vector: v}},
			})
		}
		s.must(s.state.Apply(uint64(from+1), u))
	}
	began := time.Now()
	s.seal()
	t.Logf("sealed in %v", time.Since(began))
	v := s.state.Publish()
	var regions []int
	for row := range v.pieces[0].len() {
		regions = append(regions, int(1000*v.pieces[0].rows.vectors(slotKey{}).value(row).Values[0]))
	}
	slices.Sort(regions)
	ctx := context.Background()
	for _, key := range []string{"n", "c", "m"} {
		for _, share := range []float64{1, 0.5, 0.2, 0.1, 0.05, 0.01, 0.001} {
			top := share * 1000
			if key == "c" {
				top = float64(regions[int(share*(n-1))])
			}
			f := &sextant.Filter{Must: []sextant.Condition{
				sextant.Field{Key: sextant.MustPath(key), Test: sextant.Range{Lt: &top}},
			}}
			if share == 1 {
				f = nil
			}
			found, all := 0, 0
			var took, exact time.Duration
			for _, values := range data[n:] {
				q := SearchRequest{Vector: sextant.Vector{Values: values}, Limit: k, Filter: f}
				began := time.Now()
				got, err := v.Search(ctx, q)
				took += time.Since(began)
				s.must(err)
				q.Params.Exact = true
				began = time.Now()
				want, err := v.Search(ctx, q)
				exact += time.Since(began)
				s.must(err)
				all += len(want)
				for _, w := range want {
					if slices.ContainsFunc(got, func(g sextant.ScoredPoint) bool { return g.ID == w.ID }) {
						found++
					}
				}
			}
			t.Logf("%s < %4.0f (share %5.3f): recall %.3f, %6.0f µs; exact %6.0f µs", key, top, share,
				float64(found)/float64(all), float64(took.Microseconds())/100, float64(exact.Microseconds())/100)
		}
	}
}
