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
		k: s.q.Limit, ef: beam(s.q, s.tuning, sc.p.live()),
		fullScan: fullScan(s.tuning), hideAbove: hiddenAbove(s.q, s.v.tuning, s.tuning),
	}
	w := &walker{scanner: sc, graph: graph, k: s.q.Limit, ef: plan.ef}
	if graph != nil {
		w.bind(s, vs.(*sealedVectors))
	}
	plan.coded = w.codes != nil
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
	if plan.filtered && plan.afterSelect(count) == scanSome {
		if set != nil && plan.scanCoded(count) {
			return w.scanCodes(set)
		}
		return sc.denseSet(spec, vs, query, set)
	}
	enough, err := w.run(set, count, nil, s.q.Limit)
	if enough || err != nil {
		return err
	}
	switch {
	case set == nil:
		return sc.dense(spec, vs, query)
	case plan.filtered && plan.scanCoded(count):
		return w.scanCodes(set)
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
	exact hnsw.Scorer  // nil: the scores of the walk are final
	codes *quant.Codes // that the walk scores with; nil: stored vectors
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
	w.walk, w.exact, w.codes = codes.NewScorer(s.q.Vector.Values), stored, codes
	configured := s.tuning.Quantization != nil && s.tuning.Quantization.Scalar != nil
	if configured && s.q.Params.Rescore != nil && !*s.q.Params.Rescore {
		w.exact = nil // the user wants the scores of the codes
	}
}

// run offers what the walk finds among the rows of a set (nil: all) that pass the test (nil: all). It reports whether
// that is all there is or at least want. A walk that stayed nearer to the query than the matches are is not trusted.
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
	if err != nil || stats.Short || stats.Sure < min(want, len(hits)) {
		return false, w.distrust(err)
	}
	hits = hits[:min(len(hits), stats.Sure)]
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

// scanCodes scores the rows of a set by their codes, and the best of them, far more than are wanted, exactly.
func (w *walker) scanCodes(set []uint64) error {
	set, _ = w.v.having(set, 0)
	rough := &topK{view: w.top.view, k: max(4*w.k, 64)}
	rows := make([]uint32, 0, scanRows)
	var scores [scanRows]float32
	flush := func() error {
		w.walk.ScoreBatch(rows, scores[:len(rows)])
		floor := rough.floor()
		for i, row := range rows {
			if scores[i] > floor {
				rough.offer(hit{scores[i], row, w.index})
				floor = rough.floor()
			}
		}
		rows = rows[:0]
		return w.ctx.Err()
	}
	for at, word := range set {
		for ; word != 0; word &= word - 1 {
			if rows = append(rows, uint32(at*64+bits.TrailingZeros64(word))); len(rows) == scanRows {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	for _, h := range rough.hits {
		rows = append(rows, h.row)
	}
	if w.exact == nil {
		for _, h := range rough.hits {
			w.top.offer(h)
		}
		return nil
	}
	for len(rows) > 0 {
		part := rows[:min(len(rows), scanRows)]
		w.exact.ScoreBatch(part, scores[:len(part)])
		for i, row := range part {
			w.top.offer(hit{scores[i], row, w.index})
		}
		rows = rows[len(part):]
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
