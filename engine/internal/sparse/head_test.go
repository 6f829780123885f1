package sparse

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// A reader that was told of n rows finds exactly those, whatever the writer does meanwhile.
func TestReadersOfAHeadSeeWhatTheirViewHolds(t *testing.T) {
	w := world{rows: 1500, dims: 60, length: 12}
	r := rand.New(rand.NewPCG(9, 10))
	v := w.vectors(r)
	h := NewHead()
	var visible atomic.Uint32
	var readers sync.WaitGroup
	for seed := range uint64(3) {
		queries := rand.New(rand.NewPCG(seed, 11))
		readers.Add(1)
		go func() {
			defer readers.Done()
			for n := uint32(0); n < uint32(w.rows); {
				n = visible.Load()
				q := Query{K: 1 + queries.IntN(20), N: n}
				q.Indices, q.Values = w.vector(queries, 6)
				got, err := h.Search(context.Background(), q)
				if want := v.brute(q); err != nil || !slices.Equal(got, want) {
					t.Errorf("%d rows: %v, %s", n, err, difference(got, want))
					return
				}
				h.DF(q.Indices[0], []uint64{1})
				h.Vectors([]uint64{1})
			}
		}()
	}
	for row, indices := range v.indices {
		if indices != nil {
			h.Add(uint32(row), indices, v.values[row])
		}
		visible.Store(uint32(row) + 1)
	}
	readers.Wait()
	if h.Bytes() < int64(w.rows)*12*8/2 {
		t.Errorf("Bytes is %d", h.Bytes())
	}
}
