package segment

import (
	"slices"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/vec"
)

// Prepare returns v as it is stored and compared under a name: of the name's kind, checked, and normalised where the
// distance wants it. A dense vector becomes a multivector of one row where the name holds those. v itself is not changed.
// Updates pass through here before they are logged, queries before they are searched.
func Prepare(name string, spec sextant.VectorSpec, v sextant.Vector) (sextant.Vector, error) {
	if v.Kind == sextant.Dense && spec.Kind == sextant.Multi {
		v.Kind, v.Rows = sextant.Multi, 1
	}
	if err := checkVector(name, spec, v); err != nil {
		return v, err
	}
	if spec.Kind == sextant.Sparse {
		return prepareSparse(name, v)
	}
	if spec.Distance != sextant.Cosine || spec.Datatype == sextant.Uint8 {
		return v, nil
	}
	v.Values = append([]float32(nil), v.Values...)
	for from := 0; from < len(v.Values); from += spec.Dim {
		vec.Normalize(v.Values[from : from+spec.Dim])
	}
	return v, nil
}

// prepareSparse sorts a sparse vector by index, if it is not.
func prepareSparse(name string, v sextant.Vector) (sextant.Vector, error) {
	if !slices.IsSorted(v.Indices) {
		v.Indices, v.Values = slices.Clone(v.Indices), slices.Clone(v.Values)
	}
	if !sextant.SortSparse(v.Indices, v.Values) {
		return v, sextant.Errorf(sextant.WrongInput, "indices of sparse vector %q must be unique", name)
	}
	return v, nil
}

// checkVector refuses what cannot be stored under a name.
func checkVector(name string, spec sextant.VectorSpec, v sextant.Vector) error {
	switch {
	case v.Kind == spec.Kind:
	case v.Kind == sextant.Sparse || spec.Kind == sextant.Sparse:
		return sextant.Errorf(sextant.WrongInput, "Conversion between sparse and regular vectors failed")
	default:
		return sextant.Errorf(sextant.WrongInput, "Conversion between multi and regular vectors failed")
	}
	switch spec.Kind {
	case sextant.Sparse:
		if len(v.Indices) != len(v.Values) {
			return sextant.Errorf(sextant.WrongInput,
				"Sparse vector %q must have indices and values of the same length", name)
		}
	case sextant.Multi:
		if v.Rows < 1 {
			return sextant.Errorf(sextant.WrongInput, "multi vector must not be empty")
		}
		if got := len(v.Values) / v.Rows; got != spec.Dim || got*v.Rows != len(v.Values) {
			return wrongDim(spec, got)
		}
		if len(v.Values) >= sextant.MaxMultiElements {
			return sextant.Errorf(sextant.WrongInput, "Total size of all vectors (%d) must be less than %d",
				len(v.Values), sextant.MaxMultiElements)
		}
	default:
		if len(v.Values) != spec.Dim {
			return wrongDim(spec, len(v.Values))
		}
	}
	return nil
}

func wrongDim(spec sextant.VectorSpec, got int) error {
	return sextant.Errorf(sextant.WrongInput, "Vector dimension error: expected dim: %d, got %d", spec.Dim, got)
}

// checkPoint refuses a point that the schema cannot hold.
func (s *Schema) checkPoint(p *sextant.Point) error {
	for i := range p.Vectors {
		v := &p.Vectors[i]
		slot, ok := s.Vectors[v.Name]
		if !ok {
			return unknownVector(v.Name)
		}
		if err := checkVector(v.Name, slot.Spec, v.Vector); err != nil {
			return err
		}
	}
	return nil
}
