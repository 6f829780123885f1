package sextant

import "slices"

// VectorKind tells the shapes of vectors apart.
type VectorKind uint8

const (
	Dense VectorKind = iota
	Multi
	Sparse
)

func (k VectorKind) String() string { return [...]string{"dense", "multi", "sparse"}[k] }

// MaxMultiElements bounds rows×dim of one multivector: it must be below this number.
const MaxMultiElements = 1 << 20

// Vector is one vector value. The slices are owned by whoever made the value and are never changed afterwards.
type Vector struct {
	Kind VectorKind
	// Values holds dim components (Dense), rows×dim components row by row (Multi), or the weights (Sparse).
	Values []float32
	// Rows is the number of rows of a Multi vector, else 0.
	Rows int
	// Indices of a Sparse vector, ascending and unique, as many as Values.
	Indices []uint32
}

// NamedVector is a vector under its name; "" is the unnamed vector.
type NamedVector struct {
	Name string
	Vector
}

// SortSparse sorts indices and values together and reports whether the indices are unique.
func SortSparse(indices []uint32, values []float32) bool {
	ascending := true
	for i := 1; i < len(indices); i++ {
		if indices[i] <= indices[i-1] {
			ascending = false
			break
		}
	}
	if ascending {
		return true
	}
	type pair struct {
		index uint32
		value float32
	}
	pairs := make([]pair, len(indices))
	for i := range indices {
		pairs[i] = pair{indices[i], values[i]}
	}
	slices.SortFunc(pairs, func(a, b pair) int {
		switch {
		case a.index < b.index:
			return -1
		case a.index > b.index:
			return 1
		}
		return 0
	})
	unique := true
	for i, p := range pairs {
		indices[i], values[i] = p.index, p.value
		unique = unique && (i == 0 || p.index != pairs[i-1].index)
	}
	return unique
}
