package sextant

import (
	"encoding/json"
	"slices"
)

// Distance is how vectors are compared, by its name in the API.
type Distance string

const (
	Cosine    Distance = "Cosine"
	Euclid    Distance = "Euclid"
	Dot       Distance = "Dot"
	Manhattan Distance = "Manhattan"
)

// Ascending reports whether nearer means a smaller score for users.
func (d Distance) Ascending() bool { return d == Euclid || d == Manhattan }

// Datatype is the element type of stored vectors, by its name in the API; "" is float32.
type Datatype string

const (
	Float32 Datatype = "float32"
	Float16 Datatype = "float16"
	Uint8   Datatype = "uint8"
	Turbo4  Datatype = "turbo4" // known, not supported yet
)

// VectorSpec is the shape of one vector name: what never changes after its creation.
type VectorSpec struct {
	Kind     VectorKind `json:"kind"`
	Dim      int        `json:"dim,omitempty"`      // Dense, Multi: 1…65536
	Distance Distance   `json:"distance,omitempty"` // Dense, Multi
	Datatype Datatype   `json:"datatype,omitempty"` // Dense, Multi: rows; Sparse: index weights
}

// FieldType is the kind of a payload index, by its name in the API.
type FieldType string

const (
	KeywordField  FieldType = "keyword"
	IntegerField  FieldType = "integer"
	FloatField    FieldType = "float"
	GeoField      FieldType = "geo"
	TextField     FieldType = "text"
	BoolField     FieldType = "bool"
	DatetimeField FieldType = "datetime"
	UUIDField     FieldType = "uuid"
)

// FieldTypes lists all field types.
func FieldTypes() []FieldType {
	return []FieldType{KeywordField, IntegerField, FloatField, GeoField, TextField, BoolField, DatetimeField, UUIDField}
}

// FieldSpec is a payload index as created. Params is the object that the user gave (it is echoed as it is), nil when only
// the type was given; the other members are read from it.
type FieldSpec struct {
	Type   FieldType       `json:"type"`
	Params json.RawMessage `json:"params,omitempty"`

	Lookup   bool      `json:"lookup,omitempty"` // integer: may match
	Range    bool      `json:"range,omitempty"`  // integer: may range and order
	IsTenant bool      `json:"is_tenant,omitempty"`
	NoHNSW   bool      `json:"no_hnsw,omitempty"` // enable_hnsw: false
	Text     *TextSpec `json:"text,omitempty"`
}

// Equal reports whether creating other over s changes nothing.
func (s FieldSpec) Equal(other FieldSpec) bool {
	return s.Type == other.Type && slices.Equal(s.Params, other.Params)
}

// TextSpec is how a text index cuts text into tokens.
type TextSpec struct {
	Tokenizer     string   `json:"tokenizer"` // word (default), whitespace, prefix, multilingual
	MinTokenLen   int      `json:"min_token_len,omitempty"`
	MaxTokenLen   int      `json:"max_token_len,omitempty"` // 0: none
	KeepCase      bool     `json:"keep_case,omitempty"`     // lowercase: false
	ASCIIFolding  bool     `json:"ascii_folding,omitempty"`
	Phrase        bool     `json:"phrase,omitempty"`
	StopLanguages []string `json:"stop_languages,omitempty"` // full lower-case names
	StopCustom    []string `json:"stop_custom,omitempty"`
	Stemmer       string   `json:"stemmer,omitempty"` // snowball language, full lower-case name; "": none
}

// Schema is what a shard stores: vector names and payload indexes. It changes only by entries of the log.
type Schema struct {
	Vectors map[string]VectorSpec `json:"vectors"`
	Fields  map[string]FieldSpec  `json:"fields,omitempty"` // by Path.String()
}
