package segment

import (
	"cmp"
	"context"
	"slices"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/payload"
)

// ordered is a row under a value of the field that orders it.
type ordered struct {
	value sextant.OrderValue
	id    sextant.PointID
	p     *piece
	row   uint32
}

func (a ordered) compareValue(b ordered) int {
	if a.value.IsFloat {
		return cmp.Compare(a.value.Float, b.value.Float)
	}
	return cmp.Compare(a.value.Int, b.value.Int)
}

// scrollOrdered returns up to s.Limit points in the order of a field, ties by id in the same direction; a point comes
// once for each of its values.
func (v *View) scrollOrdered(ctx context.Context, s sextant.Scroll, r *reader) (found []sextant.Record, err error) {
	key := s.OrderBy.Key.String()
	slot, ok := v.schema.Fields[key]
	if !ok || !hasOrder(slot.Spec) {
		return nil, sextant.Errorf(sextant.WrongInput,
			"No range index for `order_by` key: `%s`. Please create one to use `order_by`. "+
				"Check https://qdrant.tech/documentation/concepts/indexing/#payload-index to see which payload schemas "+
				"support Range conditions", key)
	}
	var all []ordered
	compare := func(a, b ordered) int {
		c := a.compareValue(b)
		if c == 0 {
			c = a.id.Compare(b.id)
		}
		if s.OrderBy.Desc {
			return -c
		}
		return c
	}
	for _, p := range v.pieces {
		if p.live() == 0 {
			continue
		}
		f, err := v.filter(p, s.Filter)
		if err != nil {
			return nil, err
		}
		match, err := f.forWalk(ctx, uint32(min(s.Limit, 1<<31)))
		if err != nil {
			return nil, err
		}
		best := p.firstOrdered(ctx, slotKey{key, slot.Seq}, slot.Spec, s.OrderBy, s.Limit, match)
		slices.SortFunc(best, compare)
		all = append(all, best[:min(len(best), s.Limit)]...)
	}
	slices.SortFunc(all, compare)
	for i, o := range all[:min(len(all), s.Limit)] {
		if i%256 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		rec := r.record(o.p, o.row)
		rec.OrderValue = &o.value
		found = append(found, rec)
	}
	return found, nil
}

func hasOrder(spec sextant.FieldSpec) bool {
	switch spec.Type {
	case sextant.IntegerField:
		return spec.Range
	case sextant.FloatField, sextant.DatetimeField:
		return true
	}
	return false
}

// firstOrdered returns the first limit live rows that match, and those that tie with the last of them, in no order.
func (p *piece) firstOrdered(ctx context.Context, slot slotKey, spec sextant.FieldSpec, by *sextant.OrderBy, limit int,
	match func(row uint32) bool,
) (list []ordered) {
	index := p.field(slot)
	if index == nil { // a build is still to make it
		field := payload.NewHeadField(by.Key, spec)
		for row := range p.len() {
			if row%scanRows == 0 {
				stopped(ctx)
			}
			field.Add(row, p.payload(row))
		}
		index = field
	}
	steps := 0
	index.Ordered(by.Desc, by.StartFrom, func(value sextant.OrderValue, row uint32) bool {
		if steps++; steps%scanRows == 0 {
			stopped(ctx)
		}
		if row >= p.len() || p.tombs.has(row) || match != nil && !match(row) {
			return true
		}
		next := ordered{value, p.rows.id(row), p, row}
		if len(list) >= limit && list[len(list)-1].compareValue(next) != 0 {
			return false
		}
		list = append(list, next)
		return true
	})
	return list
}
