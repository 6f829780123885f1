package collection

import (
	"strings"
	"testing"

	"github.com/sextantdb/sextant"
)

func TestSettingsWithoutEffectAreTold(t *testing.T) {
	yes, m := true, uint64(8)
	f := func(change func(c *sextant.CollectionConfig), want ...string) {
		t.Helper()
		c := sextant.DefaultConfig()
		c.Params.Vectors.Map = map[string]sextant.VectorParams{"a": {Size: 4, Distance: sextant.Dot}}
		change(&c)
		got := warnings(c)
		if len(got) != len(want) {
			t.Errorf("got %q, want %q", got, want)
			return
		}
		for i := range want {
			if !strings.Contains(got[i], want[i]) {
				t.Errorf("got %q, want …%s…", got[i], want[i])
			}
		}
	}
	scalar := &sextant.QuantizationConfig{Scalar: &sextant.ScalarQuantization{Type: "int8"}}
	f(func(*sextant.CollectionConfig) {})
	f(func(c *sextant.CollectionConfig) { c.Quantization = scalar })
	f(func(c *sextant.CollectionConfig) { c.HNSW.PayloadM = &m }, "payload_m")
	f(func(c *sextant.CollectionConfig) { c.HNSW.InlineStorage = &yes }, "requires quantization")
	f(func(c *sextant.CollectionConfig) { c.HNSW.InlineStorage, c.Quantization = &yes, scalar }, "inline_storage")
	f(func(c *sextant.CollectionConfig) {
		c.Quantization = &sextant.QuantizationConfig{Binary: &sextant.BinaryQuantization{}}
	}, "binary quantization of vector 'a'")
	f(func(c *sextant.CollectionConfig) { c.Optimizer.PreventUnoptimized = &yes }, "prevent_unoptimized")
}
