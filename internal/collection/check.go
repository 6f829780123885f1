package collection

import (
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/sextantdb/sextant"
)

// checkUpdate refuses what the schema alone can refuse, so that a bad part never leaves a good one applied.
func (v *View) checkUpdate(u sextant.Update) error {
	switch u := u.(type) {
	case sextant.Upsert:
		return v.checkPoints(u.Points)
	case sextant.UpdateVectors:
		return v.checkPoints(u.Points)
	case sextant.DeleteVectors:
		for _, name := range u.Names {
			if _, ok := v.schema.Vectors[name]; !ok {
				return unknownVector(name)
			}
		}
	}
	return nil
}

func (v *View) checkPoints(points []sextant.Point) error {
	if len(points) == 0 {
		return sextant.Errorf(sextant.BadRequest, "Empty update request")
	}
	for i := range points {
		for _, vector := range points[i].Vectors {
			spec, ok := v.schema.Vectors[vector.Name]
			if !ok {
				return unknownVector(vector.Name)
			}
			suffix := ""
			if vector.Name != "" {
				suffix = " for vector '" + vector.Name + "'"
			}
			if err := checkVector(spec, &vector.Vector, suffix); err != nil {
				return err
			}
		}
	}
	return nil
}

func unknownVector(name string) error {
	return sextant.Errorf(sextant.WrongInput, "Not existing vector name error: %s", name)
}

// checkVector compares a value with what its name takes. A dense value is taken for a multivector of one row.
func checkVector(spec sextant.VectorSpec, v *sextant.Vector, suffix string) error {
	got := v.Kind
	switch {
	case (got == sextant.Sparse) != (spec.Kind == sextant.Sparse):
		return sextant.Errorf(sextant.WrongInput, "Conversion between sparse and regular vectors failed")
	case got == sextant.Multi && spec.Kind == sextant.Dense:
		return sextant.Errorf(sextant.WrongInput, "Conversion between multi and regular vectors failed")
	}
	dim := len(v.Values)
	if got == sextant.Multi && v.Rows > 0 {
		dim /= v.Rows
	}
	if got != sextant.Sparse && dim != spec.Dim {
		return sextant.Errorf(sextant.WrongInput, "Vector dimension error: expected dim: %d, got %d%s", spec.Dim, dim, suffix)
	}
	if got == sextant.Multi && len(v.Values) >= sextant.MaxMultiElements {
		return sextant.Errorf(sextant.WrongInput, "Total size of all vectors (%d) must be less than %d", len(v.Values), sextant.MaxMultiElements)
	}
	for _, x := range v.Values {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return sextant.Errorf(sextant.WrongInput, "Vector contains a component that is not a finite number%s", suffix)
		}
	}
	return nil
}

func (v *View) checkSelector(s sextant.VectorSelector) error {
	for _, name := range s.Names {
		if _, ok := v.schema.Vectors[name]; !ok {
			return unknownVector(name)
		}
	}
	return nil
}

// checkQuery refuses a query that the collection cannot answer. Its vector is looked up before.
func (v *View) checkQuery(q sextant.Query) error {
	if err := v.checkSelector(q.WithVector); err != nil {
		return err
	}
	if q.Nearest == nil {
		if q.ScoreThreshold != nil {
			return sextant.Errorf(sextant.BadRequest,
				"A query is needed to use the score_threshold. Can't have score_threshold without defining a query.")
		}
		return nil
	}
	spec, ok := v.schema.Vectors[q.Using]
	switch {
	case !ok && q.Using == "":
		names := slices.Sorted(maps.Keys(v.schema.Vectors))
		return sextant.Errorf(sextant.WrongInput, "Collection requires specified vector name in the request, available names: %s",
			strings.Join(names, ", "))
	case !ok:
		return unknownVector(q.Using)
	}
	if q.Params.IDFCorpusFlag {
		if params, ok := v.Config.Params.SparseVectors[q.Using]; !ok || params.Modifier == nil || *params.Modifier != "idf" {
			return sextant.Errorf(sextant.WrongInput,
				"Validation failed: search param `idf` requires a sparse vector with the `idf` modifier, which vector %q is not", q.Using)
		}
	}
	if q.Nearest.Vector == nil {
		return nil
	}
	return checkVector(spec, q.Nearest.Vector, "")
}

func (v *View) checkScroll(s sextant.Scroll) error {
	if err := v.checkSelector(s.WithVector); err != nil {
		return err
	}
	if s.OrderBy == nil {
		return nil
	}
	if s.Offset != nil {
		return sextant.Errorf(sextant.WrongInput, "Cannot use an `offset` when using `order_by`. The alternative for paging is to use "+
			"`order_by.start_from` and a filter to exclude the IDs that you've already seen for the `order_by.start_from` value")
	}
	spec, ok := v.Fields[s.OrderBy.Key.String()]
	switch {
	case ok && spec.Type == sextant.IntegerField && spec.Range, ok && spec.Type == sextant.FloatField, ok && spec.Type == sextant.DatetimeField:
		return nil
	}
	return sextant.Errorf(sextant.WrongInput, "No range index for `order_by` key: `%s`. Please create one to use `order_by`. "+
		"Check https://qdrant.tech/documentation/concepts/indexing/#payload-index to see which payload schemas support Range conditions", s.OrderBy.Key)
}
