package segment

import (
	"math/bits"
	"math/rand/v2"

	"github.com/sextantdb/sextant/engine/internal/hnsw"
	"github.com/sextantdb/sextant/engine/internal/quant"
	"github.com/sextantdb/sextant/engine/internal/vec"
)

// dense finds the nearest rows of a piece among dense vectors.
func (s *search) dense(sc *scanner, f filter, vs denseVectors) error {
	spec, query := s.slot.Spec, s.q.Vector.Values
	var graph *hnsw.Graph
	if sc.p.sealed != nil && !s.q.Params.Exact {
		graph = lookup[*hnsw.Graph](sc.p.sealed, GraphFile, s.key)
	}
	plan := planned{
		live: sc.p.live(), rows: sc.p.len(), stride: rowsOf(spec, nil).Stride, bytes: vectorBytes(spec),
		graph: graph != nil, filtered: f.m != nil, estimate: f.estimate(),
		k: s.q.Limit, ef: beam(s.q, s.tuning),
		fullScan: fullScan(s.tuning), hideAbove: hiddenAbove(s.q, s.v.tuning, s.tuning),
	}
	w := &walker{scanner: sc, graph: graph, k: s.q.Limit, ef: plan.ef}
	switch plan.choose() {
	case skip:
		return nil
	case scanAll:
		sc.match = f.test(sc.ctx)
		return sc.dense(spec, vs, query)
	case walkTest:
		test := f.test(sc.ctx)
		wide := plan.widened(sc.sample(test))
		if wide > 0 {
			w.bind(s, vs.(*sealedVectors))
			w.k, w.ef = wide, wide
			enough, err := w.run(sc.p.bits(), sc.p.live(), test, s.q.Limit)
			if enough || err != nil {
				return err
			}
		}
		sc.match = test
		return sc.dense(spec, vs, query)
	}
	set, count, err := f.sel(sc.ctx)
	if err != nil || count == 0 {
		return err
	}
	if plan.choose() == scanSome && plan.afterSelect(count) == scanSome {
		return sc.denseSet(spec, vs, query, set)
	}
	w.bind(s, vs.(*sealedVectors))
	enough, err := w.run(set, count, nil, s.q.Limit)
	if enough || err != nil {
		return err
	}
	if set == nil {
		return sc.dense(spec, vs, query)
	}
	return sc.denseSet(spec, vs, query, set)
}

// sampleRows is how many rows are tested to learn which share matches.
const sampleRows = 200

// sample returns about the share of live rows that pass the test. Equal rows are asked for equal segments, so that a
// search gives the same answer again.
func (s *scanner) sample(test func(row uint32) bool) float64 {
	r := rand.New(rand.NewPCG(uint64(s.p.len()), 1))
	passed, alive := 0, 0
	for range sampleRows {
		row := uint32(r.Uint64N(uint64(s.p.len())))
		if s.p.tombs.has(row) {
			continue
		}
		alive++
		if test(row) {
			passed++
		}
	}
	if alive == 0 {
		return 0
	}
	return float64(passed) / float64(alive)
}

// walker searches the graph of one piece.
type walker struct {
	*scanner
	graph *hnsw.Graph
	walk  hnsw.Scorer
	exact hnsw.Scorer // nil: the scores of the walk are final
	v     *sealedVectors
	k, ef int
}

// bind chooses what the walk scores with: codes where there are some, finished with the stored vectors.
func (w *walker) bind(s *search, v *sealedVectors) {
	w.v = v
	stored := &storedScorer{vec.NewScorer(metricOf(v.spec), v.rows, s.q.Vector.Values), v}
	w.walk = stored
	codes := lookup[*quant.Codes](w.p.sealed, CodesFile, s.key)
	if codes == nil || s.q.Params.IgnoreQuant {
		return
	}
	w.walk, w.exact = codes.NewScorer(s.q.Vector.Values), stored
	configured := s.tuning.Quantization != nil && s.tuning.Quantization.Scalar != nil
	if configured && s.q.Params.Rescore != nil && !*s.q.Params.Rescore {
		w.exact = nil // the user wants the scores of the codes
	}
}

// run offers what the walk finds among the rows of a set (nil: all) that pass the test (nil: all). It reports whether
// that is all there is or at least want.
func (w *walker) run(set []uint64, count uint32, test func(row uint32) bool, want int) (enough bool, err error) {
	set, count = w.v.having(set, count)
	if count == 0 {
		return true, nil
	}
	var filter *hnsw.Filter
	if set != nil {
		filter = &hnsw.Filter{Bits: set, Count: int(count)}
	}
	var stats hnsw.Stats
	hits, err := w.graph.SearchRescored(w.ctx, w.walk, w.exact, w.k, w.ef, filter, &stats)
	if err != nil || stats.Short {
		return false, w.distrust(err)
	}
	passed := hits[:0]
	for _, h := range hits {
		if test == nil || test(h.Row) {
			passed = append(passed, h)
		}
	}
	if test != nil && len(passed) < want && uint32(len(hits)) < count {
		return false, nil
	}
	for _, h := range passed {
		w.top.offer(hit{h.Score, h.Row, w.index})
	}
	return true, nil
}

// distrust turns damage of the graph into a dropped graph: the caller scans.
func (w *walker) distrust(err error) error {
	if err == nil || w.ctx.Err() != nil {
		return err
	}
	for _, d := range *w.p.sealed.derived.Load() {
		if d.index == any(w.graph) {
			d.bad.Store(true)
		}
	}
	return nil
}

// having leaves those rows of a set (nil: all) that have the vector.
func (v *sealedVectors) having(set []uint64, count uint32) ([]uint64, uint32) {
	if v.count == v.n {
		return set, count
	}
	out := make([]uint64, (v.n+63)/64)
	count = 0
	for i := range out {
		out[i] = v.present.at(uint32(i))
		if set != nil {
			out[i] &= set[i]
		}
		count += uint32(bits.OnesCount64(out[i]))
	}
	return out, count
}

// storedScorer scores stored rows after checking that they are what was written.
type storedScorer struct {
	vec.Scorer
	v *sealedVectors
}

func (s *storedScorer) ScoreBatch(ids []uint32, out []float32) {
	if s.v.data.file.left.Load() != 0 {
		stride := int64(s.v.rows.Stride)
		for _, id := range ids {
			s.v.data.check(int64(id)*stride, stride)
		}
	}
	s.Scorer.ScoreBatch(ids, out)
}
