package engine

import (
	"math"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/segment"
)

// check refuses what can be refused without looking at stored data and is not part of bringing an update into its stored
// form, which View.Resolve does.
func check(schema segment.Schema, u sextant.Update) error {
	switch u := u.(type) {
	case sextant.Upsert:
		return checkPoints(u.Points)
	case sextant.UpdateVectors:
		return checkPoints(u.Points)
	case sextant.DeletePoints:
		return checkSelector(u.Selector)
	case sextant.SetPayload:
		return checkSelector(u.Selector)
	case sextant.OverwritePayload:
		return checkSelector(u.Selector)
	case sextant.DeletePayload:
		return checkSelector(u.Selector)
	case sextant.ClearPayload:
		return checkSelector(u.Selector)
	case sextant.DeleteVectors:
		return checkSelector(u.Selector)
	case sextant.CreateVector:
		if old, ok := schema.Vectors[u.Name]; ok && old.Spec != u.Spec {
			return sextant.Errorf(sextant.WrongInput, "Vector `%s` already exists with a different configuration", u.Name)
		}
		return checkSchema(sextant.Schema{Vectors: map[string]sextant.VectorSpec{u.Name: u.Spec}})
	}
	return nil
}

func checkSelector(s sextant.Selector) error {
	if s.IDs == nil && s.Filter == nil {
		return sextant.Errorf(sextant.BadRequest, "No filter or points provided")
	}
	return nil
}

func checkPoints(points []sextant.Point) error {
	if len(points) == 0 {
		return sextant.Errorf(sextant.BadRequest, "Empty update request")
	}
	for i := range points {
		for j := range points[i].Vectors {
			v := &points[i].Vectors[j]
			for _, x := range v.Values {
				if d := float64(x); math.IsNaN(d) || math.IsInf(d, 0) {
					return named(sextant.Errorf(sextant.WrongInput, "Vector contains a component that is not a finite number"), v.Name)
				}
			}
		}
	}
	return nil
}

// named adds the vector's name to an error, as clients know it.
func named(err error, name string) error {
	if name == "" {
		return err
	}
	return sextant.Errorf(sextant.KindOf(err), "%w for vector '%s'", err, name)
}

// checkSchema refuses vector names that no collection can have.
func checkSchema(schema sextant.Schema) error {
	for name, v := range schema.Vectors {
		if v.Kind != sextant.Sparse && (v.Dim < 1 || v.Dim > 1<<16) {
			return sextant.Errorf(sextant.Invalid, "vector %q has %d dimensions, allowed are 1 to 65536", name, v.Dim)
		}
	}
	return nil
}
