package segment

import (
	"context"

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
	slot, ok := v.schema.Vectors[q.Using]
	if !ok {
		return nil, unknownVector(q.Using)
	}
	if q.Vector, err = Prepare(q.Using, slot.Spec, q.Vector); err != nil {
		return nil, err
	}
	top := &topK{view: v, k: q.Limit}
	for i := range v.pieces {
		if err := v.searchPiece(ctx, &q, slot, i, top); err != nil {
			return nil, err
		}
	}
	for _, h := range top.sorted() {
		score := shown(slot.Spec, h.score)
		if !passes(slot.Spec, score, q.Threshold) {
			break
		}
		found = append(found, sextant.ScoredPoint{Record: r.record(v.pieces[h.piece], h.row), Score: score})
	}
	return found, nil
}

func (v *View) searchPiece(ctx context.Context, q *SearchRequest, slot VectorSlot, i int, top *topK) error {
	p := v.pieces[i]
	vs := p.rows.vectors(slotKey{q.Using, slot.Seq})
	if vs == nil || p.live() == 0 {
		return nil
	}
	f, err := v.filter(p, q.Filter)
	if err != nil {
		return err
	}
	s := &scanner{ctx: ctx, p: p, index: int32(i), match: f.test(ctx), top: top}
	switch slot.Spec.Kind {
	case sextant.Sparse:
		return s.sparse(vs, q.Vector, nil)
	case sextant.Multi:
		return s.multi(slot.Spec, vs.(multiVectors), q.Vector, nil)
	default:
		return s.dense(slot.Spec, vs.(denseVectors), q.Vector.Values)
	}
}
