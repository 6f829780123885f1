package payload

import (
	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/text"
)

// FieldIndex is the index of one path over the rows of one segment: a HeadField, or what OpenField returns. That of a head
// may know rows that a view does not see yet: what it yields must be cut off at the view's Len.
type FieldIndex interface {
	Spec() sextant.FieldSpec
	// Points returns how many rows have at least one indexed value.
	Points() uint32
	// PointsIn returns how many rows of the set have at least one indexed value.
	PointsIn(rows []uint64) uint32
	// Bytes returns the size of the index: of the file, or of the memory that a head uses.
	Bytes() int64
	// Verify reads a sealed index whole and compares its checksum.
	Verify() error
	// Ordered calls yield in the order of values, rows ascending within one, until it returns false. A row comes once for
	// each of its different values. Other types than integer, float and datetime have no order.
	Ordered(desc bool, start *sextant.OrderStart, yield func(v sextant.OrderValue, row uint32) bool)
	// Values calls yield with each different value (a string, int64 or bool) in ascending order and with its rows, in no
	// order. Types without exact match (float, datetime, geo, text) have none.
	Values(yield func(value any, rows func(yield func(row uint32) bool)) bool)
	// Facet calls yield with each value that rows of the set have, and how many have it.
	Facet(rows []uint64, yield func(value any, count uint32) bool)

	analyzerOf() *text.Analyzer
	probe(nd *node, n uint32) (probe, bool)
}

// Check refuses a specification of which no index can be made. What has passed it once is safe for all else here.
func Check(spec sextant.FieldSpec) error {
	_, err := newReader(sextant.Path{}, spec)
	return err
}

// analyzerFor returns the analyzer of a text index, nil for other types.
func analyzerFor(spec sextant.FieldSpec) (*text.Analyzer, error) {
	if spec.Type != sextant.TextField {
		return nil, nil
	}
	if spec.Text == nil {
		return text.New(sextant.TextSpec{})
	}
	return text.New(*spec.Text)
}

// form is the shape in which values of a field type are kept.
type form uint8

const (
	numbersForm form = iota // int64 keys: integer, float (see floatKey), datetime (microseconds), bool (0, 1)
	termsForm               // byte strings: keyword, text (tokens), uuid (16 bytes)
	placesForm              // geo
)

func formOf(t sextant.FieldType) (form, bool) {
	switch t {
	case sextant.IntegerField, sextant.FloatField, sextant.DatetimeField, sextant.BoolField:
		return numbersForm, true
	case sextant.KeywordField, sextant.TextField, sextant.UUIDField:
		return termsForm, true
	case sextant.GeoField:
		return placesForm, true
	}
	return 0, false
}

// valueOfKey is the value that users see for a key of a type with exact match, nil for other types.
func valueOfKey(t sextant.FieldType, key int64) any {
	switch t {
	case sextant.IntegerField:
		return key
	case sextant.BoolField:
		return key != 0
	}
	return nil
}

func valueOfTerm(t sextant.FieldType, term string) any {
	switch {
	case t == sextant.KeywordField:
		return term
	case t == sextant.UUIDField && len(term) == 16:
		return sextant.UUIDFromBytes([16]byte([]byte(term))).String()
	}
	return nil
}

func hasOrder(t sextant.FieldType) bool {
	return t == sextant.IntegerField || t == sextant.FloatField || t == sextant.DatetimeField
}

func orderValue(t sextant.FieldType, key int64) sextant.OrderValue {
	if t == sextant.FloatField {
		return sextant.OrderValue{IsFloat: true, Float: keyFloat(key)}
	}
	return sextant.OrderValue{Int: key}
}
