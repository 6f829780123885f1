package engine_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine"
)

// An update that follows an acknowledged change of the schema is held against the changed schema, applied yet or not.
func TestUpdatesSeeAcknowledgedChangesOfTheSchema(t *testing.T) {
	s, err := engine.Create(filepath.Join(t.TempDir(), "s"), sextant.Schema{Vectors: map[string]sextant.VectorSpec{}}, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range 200 {
		name := fmt.Sprint("v", i)
		create := sextant.CreateVector{Name: name, Spec: sextant.VectorSpec{Dim: 2, Distance: sextant.Dot, Datatype: sextant.Float32}}
		if _, err := s.Update(t.Context(), create, sextant.Committed); err != nil {
			t.Fatal(err)
		}
		vector := sextant.NamedVector{Name: name, Vector: sextant.Vector{Values: []float32{1, 2}}}
		upsert := sextant.Upsert{Points: []sextant.Point{{ID: sextant.NumID(uint64(i)), Vectors: []sextant.NamedVector{vector}}}}
		if _, err := s.Update(t.Context(), upsert, sextant.Committed); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
	}
}
