package segment

import (
	"context"
	"runtime"
	"sync"

	"github.com/sextantdb/sextant"
)

// SearchRequest asks a view for the points nearest to a vector.
type SearchRequest struct {
	Vector      sextant.Vector // Search prepares it
	Using       string
	Filter      *sextant.Filter
	Params      sextant.SearchParams
	Threshold   *float32 // strict, on the scores that users see
	Limit       int      // of the whole request, its offset included; ≥ 1, never allocated by
	WithPayload sextant.PayloadSelector
	WithVector  sextant.VectorSelector
}

// Search returns the nearest points, best first, ties by ascending id, with the scores that users see. There are as many
// as asked for if that many match and pass the threshold.
func (v *View) Search(ctx context.Context, q SearchRequest) (found []sextant.ScoredPoint, err error) {
	defer border(&err)()
	r, err := v.newReader(q.WithPayload, q.WithVector)
	if err != nil {
		return nil, err
	}
	s, err := v.newSearch(ctx, &q)
	if err != nil {
		return nil, err
	}
	top, err := s.run(ctx)
	if err != nil {
		return nil, err
	}
	for i, h := range top.sorted() {
		if i%256 == 255 {
			stopped(ctx)
		}
		score := shown(s.slot.Spec, h.score)
		if !passes(s.slot.Spec, score, q.Threshold) {
			break
		}
		found = append(found, sextant.ScoredPoint{Record: r.record(v.pieces[h.piece], h.row), Score: score})
	}
	return found, nil
}

// search is one request over one view.
type search struct {
	v      *View
	q      *SearchRequest
	slot   VectorSlot
	key    slotKey
	tuning VectorTuning
}

func (v *View) newSearch(ctx context.Context, q *SearchRequest) (*search, error) {
	slot, ok := v.schema.Vectors[q.Using]
	if !ok {
		return nil, unknownVector(q.Using)
	}
	s := &search{v: v, q: q, slot: slot, key: slotKey{q.Using, slot.Seq}, tuning: v.tuning.Vector(q.Using)}
	var err error
	if q.Vector, err = Prepare(q.Using, slot.Spec, q.Vector); err != nil {
		return nil, err
	}
	idf := slot.Spec.Kind == sextant.Sparse && s.tuning.IDF
	if q.Params.IDFCorpusFlag && !idf {
		return nil, sextant.Errorf(sextant.WrongInput, "Validation failed: search param `idf` requires a sparse vector "+
			"with the `idf` modifier, which vector %q is not", q.Using)
	}
	if idf {
		q.Vector, err = v.weighIDF(ctx, s.key, q.Vector, q.Params.IDFCorpus)
	}
	return s, err
}

// parallelRows is how many rows a segment must have for a search to give it a goroutine of its own.
const parallelRows = 100_000

// run searches all pieces: large ones beside each other, the others one after the other, so that the worst score found
// in one already narrows the next.
func (s *search) run(ctx context.Context) (*topK, error) {
	var large, small []int
	for i, p := range s.v.pieces {
		if p.live() >= parallelRows {
			large = append(large, i)
		} else if p.live() > 0 {
			small = append(small, i)
		}
	}
	top := &topK{view: s.v, k: s.q.Limit}
	lanes := min(len(large), runtime.GOMAXPROCS(0))
	if lanes < 2 {
		for _, i := range append(large, small...) {
			if err := s.piece(ctx, i, top); err != nil {
				return nil, err
			}
		}
		return top, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tops, errs := make([]*topK, lanes), make([]error, lanes)
	todo := append(large, small...)
	next := make(chan int, len(todo))
	for _, i := range todo {
		next <- i
	}
	close(next)
	var wg sync.WaitGroup
	for lane := range lanes {
		tops[lane] = &topK{view: s.v, k: s.q.Limit}
		wg.Go(func() {
			defer border(&errs[lane])()
			for i := range next {
				if errs[lane] = s.piece(ctx, i, tops[lane]); errs[lane] != nil {
					cancel()
					return
				}
			}
		})
	}
	wg.Wait()
	return top, s.join(top, tops, errs)
}

// join puts the finds of all lanes together. Of several errors the first one counts that is not the cancellation of the
// others.
func (s *search) join(top *topK, tops []*topK, errs []error) (err error) {
	for lane := range tops {
		if e := errs[lane]; e != nil && (err == nil || err == context.Canceled) {
			err = e
		}
		for _, h := range tops[lane].hits {
			top.offer(h)
		}
	}
	return err
}

// piece searches one piece of the view.
func (s *search) piece(ctx context.Context, i int, top *topK) error {
	p := s.v.pieces[i]
	vs := p.rows.vectors(s.key)
	if vs == nil || p.live() == 0 {
		return nil
	}
	f, err := s.v.filter(p, s.q.Filter)
	if err != nil {
		return err
	}
	sc := &scanner{ctx: ctx, p: p, index: int32(i), top: top}
	if s.slot.Spec.Kind == sextant.Dense {
		return s.dense(sc, f, vs.(denseVectors))
	}
	// These are scored one by one at some cost, or need the matching rows beforehand.
	if s.slot.Spec.Kind == sextant.Multi && !f.worthSelecting(p.len()) {
		sc.match = f.test(ctx)
		return sc.multi(s.slot.Spec, vs.(multiVectors), s.q.Vector, nil)
	}
	bits, count, err := f.sel(ctx)
	if err != nil || count == 0 {
		return err
	}
	if s.slot.Spec.Kind == sextant.Multi {
		return sc.multi(s.slot.Spec, vs.(multiVectors), s.q.Vector, bits)
	}
	return sc.searchSparse(s.key, vs, s.q.Vector, bits)
}
