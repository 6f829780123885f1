package segment

import (
	"context"
	"slices"

	"github.com/sextantdb/sextant"
)

// Resolve turns an update into effects: points by explicit ids, sorted and unique, conditions decided by the view, vectors
// checked and in stored form. The view must contain every entry that is logged so far whenever the update has a filter or
// a mode; Depends tells. Data errors that the schema can know are found here, before anything is logged.
func (v *View) Resolve(ctx context.Context, u sextant.Update) (_ sextant.Update, err error) {
	defer border(&err)()
	switch u := u.(type) {
	case sextant.Upsert:
		return v.resolveUpsert(ctx, u)
	case sextant.UpdateVectors:
		return v.resolveVectors(ctx, u)
	case sextant.DeletePoints:
		u.Selector, err = v.resolveSelector(ctx, u.Selector)
		return u, err
	case sextant.SetPayload:
		u.Selector, err = v.resolveSelector(ctx, u.Selector)
		return u, err
	case sextant.OverwritePayload:
		u.Selector, err = v.resolveSelector(ctx, u.Selector)
		return u, err
	case sextant.DeletePayload:
		u.Selector, err = v.resolveSelector(ctx, u.Selector)
		return u, err
	case sextant.ClearPayload:
		u.Selector, err = v.resolveSelector(ctx, u.Selector)
		return u, err
	case sextant.DeleteVectors:
		for _, name := range u.Names {
			if _, ok := v.schema.Vectors[name]; !ok {
				return nil, unknownVector(name)
			}
		}
		u.Selector, err = v.resolveSelector(ctx, u.Selector)
		return u, err
	}
	return u, nil
}

// Depends reports whether the effects of an update depend on the points that are there.
func Depends(u sextant.Update) bool {
	filtered := func(s sextant.Selector) bool { return s.IDs == nil }
	switch u := u.(type) {
	case sextant.Upsert:
		return u.Mode != sextant.ModeUpsert || u.Filter != nil
	case sextant.UpdateVectors:
		return u.Filter != nil
	case sextant.DeletePoints:
		return filtered(u.Selector)
	case sextant.SetPayload:
		return filtered(u.Selector)
	case sextant.OverwritePayload:
		return filtered(u.Selector)
	case sextant.DeletePayload:
		return filtered(u.Selector)
	case sextant.ClearPayload:
		return filtered(u.Selector)
	case sextant.DeleteVectors:
		return filtered(u.Selector)
	}
	return false
}

func (v *View) resolveSelector(ctx context.Context, s sextant.Selector) (sextant.Selector, error) {
	if s.IDs == nil {
		ids, err := v.SelectIDs(ctx, s.Filter)
		if ids == nil {
			ids = []sextant.PointID{}
		}
		return sextant.Selector{IDs: ids}, err
	}
	ids := slices.SortedFunc(slices.Values(s.IDs), sextant.PointID.Compare)
	return sextant.Selector{IDs: slices.Compact(ids)}, nil
}

func (v *View) resolveUpsert(ctx context.Context, u sextant.Upsert) (sextant.Update, error) {
	points, err := v.prepare(u.Points)
	if err != nil {
		return nil, err
	}
	points = lastOfEach(points, func(earlier *sextant.Point, later sextant.Point) { *earlier = later })
	if u.Mode == sextant.ModeUpsert && u.Filter == nil {
		return sextant.Upsert{Points: points}, nil
	}
	matches := v.pointTest(ctx, u.Filter)
	kept := points[:0]
	for _, p := range points {
		exists, passes, err := matches(p.ID)
		if err != nil {
			return nil, err
		}
		switch {
		case !exists && u.Mode != sextant.ModeUpdateOnly, exists && passes && u.Mode != sextant.ModeInsertOnly:
			kept = append(kept, p)
		}
	}
	return sextant.Upsert{Points: kept}, nil
}

func (v *View) resolveVectors(ctx context.Context, u sextant.UpdateVectors) (sextant.Update, error) {
	points, err := v.prepare(u.Points)
	if err != nil {
		return nil, err
	}
	points = lastOfEach(points, func(earlier *sextant.Point, later sextant.Point) {
		earlier.Vectors = slices.Clip(earlier.Vectors)
		for _, nv := range later.Vectors {
			earlier.Vectors = slices.DeleteFunc(earlier.Vectors, func(o sextant.NamedVector) bool { return o.Name == nv.Name })
			earlier.Vectors = append(earlier.Vectors, nv)
		}
	})
	if u.Filter == nil {
		return sextant.UpdateVectors{Points: points}, nil
	}
	matches := v.pointTest(ctx, u.Filter)
	kept := points[:0]
	for _, p := range points {
		exists, passes, err := matches(p.ID)
		if err != nil {
			return nil, err
		}
		if !exists || passes { // a missing point is reported when the entry is applied
			kept = append(kept, p)
		}
	}
	return sextant.UpdateVectors{Points: kept}, nil
}

// prepare returns the points with their vectors in stored form.
func (v *View) prepare(points []sextant.Point) ([]sextant.Point, error) {
	out := slices.Clone(points)
	for i := range out {
		given := out[i].Vectors
		out[i].Vectors = make([]sextant.NamedVector, len(given))
		for j, nv := range given {
			slot, ok := v.schema.Vectors[nv.Name]
			if !ok {
				return nil, unknownVector(nv.Name)
			}
			stored, err := Prepare(nv.Name, slot.Spec, nv.Vector)
			if err != nil {
				return nil, err
			}
			out[i].Vectors[j] = sextant.NamedVector{Name: nv.Name, Vector: stored}
		}
	}
	return out, nil
}

// lastOfEach joins points of one id at the place of the first.
func lastOfEach(points []sextant.Point, join func(earlier *sextant.Point, later sextant.Point)) []sextant.Point {
	at := make(map[sextant.PointID]int, len(points))
	out := points[:0]
	for _, p := range points {
		if i, seen := at[p.ID]; seen {
			join(&out[i], p)
			continue
		}
		at[p.ID] = len(out)
		out = append(out, p)
	}
	return out
}

// pointTest returns a test of single points: whether one exists, and whether it matches the filter.
func (v *View) pointTest(ctx context.Context, f *sextant.Filter) func(sextant.PointID) (exists, passes bool, err error) {
	tests := map[*piece]func(row uint32) bool{}
	return func(id sextant.PointID) (exists, passes bool, err error) {
		p, row, ok := v.find(id)
		if !ok {
			return false, false, nil
		}
		test, known := tests[p]
		if !known {
			made, err := v.filter(p, f)
			if err != nil {
				return true, false, err
			}
			test = made.test(ctx)
			tests[p] = test
		}
		return true, test == nil || test(row), nil
	}
}
