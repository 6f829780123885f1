package segment

import (
	"math"

	"github.com/sextantdb/sextant"
)

// shown turns a raw score into the one that users see.
func shown(spec sextant.VectorSpec, raw float32) float32 {
	if spec.Kind == sextant.Sparse {
		return raw
	}
	switch spec.Distance {
	case sextant.Euclid:
		return float32(math.Sqrt(math.Abs(float64(raw))))
	case sextant.Manhattan:
		return float32(math.Abs(float64(raw)))
	}
	return raw
}

// passes applies a score threshold, strictly, to a score that users see.
func passes(spec sextant.VectorSpec, score float32, threshold *float32) bool {
	switch {
	case threshold == nil:
		return true
	case spec.Kind != sextant.Sparse && spec.Distance.Ascending():
		return score < *threshold
	default:
		return score > *threshold
	}
}
