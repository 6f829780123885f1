package collection

import (
	"slices"

	"github.com/sextantdb/sextant"
)

// warnings tells of settings that are stored and echoed but cannot have the effect that they ask for: results are right all
// the same, only not by the means that was asked for.
func warnings(c sextant.CollectionConfig) []string {
	var out []string
	for name, p := range c.Params.Vectors.Map {
		which := "the default vector"
		if name != "" {
			which = "vector '" + name + "'"
		}
		quantization := c.Quantization
		if p.Quantization != nil {
			quantization = p.Quantization
		}
		hnsw := c.HNSW.Apply(p.HNSW)
		if hnsw.InlineStorage != nil && *hnsw.InlineStorage {
			switch {
			case quantization == nil || quantization.Disabled:
				out = append(out, "The `hnsw_config.inline_storage` option for "+which+" requires quantization to be enabled to have an effect.")
			case p.Multivector != nil:
				out = append(out, "The `hnsw_config.inline_storage` option for "+which+" is not compatible with multivectors and has no effect.")
			default:
				out = append(out, "The `hnsw_config.inline_storage` option for "+which+" has no effect in this version.")
			}
		}
		if hnsw.PayloadM != nil && *hnsw.PayloadM > 0 {
			out = append(out, "The `hnsw_config.payload_m` option for "+which+" has no effect in this version: filtered searches choose between graph and scan by the number of matches.")
		}
		if kind := withoutEffect(quantization); kind != "" {
			out = append(out, "The "+kind+" quantization of "+which+" has no effect in this version: searches walk on 8-bit codes and score with the original vectors.")
		}
	}
	if p := c.Optimizer.PreventUnoptimized; p != nil && *p {
		out = append(out, "The `optimizers_config.prevent_unoptimized` option has no effect in this version: every point is visible at once.")
	}
	slices.Sort(out)
	return out
}

// withoutEffect names a quantization that this version only stores.
func withoutEffect(q *sextant.QuantizationConfig) string {
	switch {
	case q == nil || q.Disabled:
	case q.Product != nil:
		return "product"
	case q.Binary != nil:
		return "binary"
	case q.Turbo != nil:
		return "turbo"
	}
	return ""
}
