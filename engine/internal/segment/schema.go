package segment

import (
	"maps"

	"github.com/sextantdb/sextant"
)

// VectorSlot is one vector name of a shard with the seq of the entry that made it, 0 for the shard's creation.
type VectorSlot struct {
	Spec sextant.VectorSpec `json:"spec"`
	Seq  uint64             `json:"seq,omitempty"`
}

// FieldSlot is one payload index with the seq of the entry that made it.
type FieldSlot struct {
	Spec sextant.FieldSpec `json:"spec"`
	Seq  uint64            `json:"seq,omitempty"`
}

// Schema is what a shard stores at one seq. It is a value: changes make a new one. Fields are keyed by Path.String().
type Schema struct {
	Vectors map[string]VectorSlot `json:"vectors"`
	Fields  map[string]FieldSlot  `json:"fields,omitempty"`
}

// NewSchema returns the schema of a shard at its creation.
func NewSchema(s sextant.Schema) Schema {
	out := Schema{Vectors: map[string]VectorSlot{}, Fields: map[string]FieldSlot{}}
	for name, spec := range s.Vectors {
		out.Vectors[name] = VectorSlot{Spec: spec}
	}
	for key, spec := range s.Fields {
		out.Fields[key] = FieldSlot{Spec: spec}
	}
	return out
}

// Plain returns the schema without seqs.
func (s Schema) Plain() sextant.Schema {
	out := sextant.Schema{Vectors: map[string]sextant.VectorSpec{}, Fields: map[string]sextant.FieldSpec{}}
	for name, slot := range s.Vectors {
		out.Vectors[name] = slot.Spec
	}
	for key, slot := range s.Fields {
		out.Fields[key] = slot.Spec
	}
	return out
}

func (s Schema) setVector(name string, slot *VectorSlot) Schema {
	s.Vectors = changed(s.Vectors, name, slot)
	return s
}

func (s Schema) setField(key string, slot *FieldSlot) Schema {
	s.Fields = changed(s.Fields, key, slot)
	return s
}

// changed returns a copy of m with key set to *v, or without it if v is nil.
func changed[V any](m map[string]V, key string, v *V) map[string]V {
	out := make(map[string]V, len(m)+1)
	maps.Copy(out, m)
	if v == nil {
		delete(out, key)
	} else {
		out[key] = *v
	}
	return out
}

func unknownVector(name string) error {
	return sextant.Errorf(sextant.WrongInput, "Not existing vector name error: %s", name)
}
