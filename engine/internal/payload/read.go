package payload

import (
	"slices"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/document"
	"github.com/sextantdb/sextant/internal/text"
)

// reader takes the values of one field out of payloads, for an index of one type.
type reader struct {
	key      sextant.Path
	typ      sextant.FieldType
	analyzer *text.Analyzer

	// Of the payload read last.
	keys    []int64 // different ones, ascending
	places  []sextant.GeoPoint
	terms   []byte // one after the other, repeats possible
	ends    []int
	indexed bool
	other   bool
	null    bool
	filled  bool // the field is not empty

	scratch []byte
}

func newReader(key sextant.Path, spec sextant.FieldSpec) (*reader, error) {
	if _, ok := formOf(spec.Type); !ok {
		return nil, sextant.Errorf(sextant.WrongInput, "no index is made for fields of type %q", spec.Type)
	}
	analyzer, err := analyzerFor(spec)
	if err != nil {
		return nil, err
	}
	return &reader{key: key, typ: spec.Type, analyzer: analyzer}, nil
}

func (r *reader) read(doc []byte) {
	r.keys, r.places, r.terms, r.ends = r.keys[:0], r.places[:0], r.terms[:0], r.ends[:0]
	r.indexed, r.other, r.null, r.filled = false, false, false, false
	document.Walk(doc, r.key, func(v document.Value) bool {
		switch v.Kind() {
		case document.Null:
			r.null = true
		case document.Array:
			v.Each(func(e document.Value) bool {
				r.filled = true
				if e.Kind() == document.Null {
					r.null = true
				} else {
					r.value(e)
				}
				return true
			})
		default:
			r.filled = true
			r.value(v)
		}
		return true
	})
	if len(r.keys) > 1 {
		slices.Sort(r.keys)
		r.keys = slices.Compact(r.keys)
	}
}

// value takes one value that is not null.
func (r *reader) value(v document.Value) {
	ok := false
	switch r.typ {
	case sextant.IntegerField:
		var n document.Num
		if n, ok = v.Num(); ok && n.IsInt {
			r.keys = append(r.keys, n.Int)
		}
		ok = ok && n.IsInt
	case sextant.FloatField:
		var n document.Num
		if n, ok = v.Num(); ok {
			r.keys = append(r.keys, floatKey(n.Float))
		}
	case sextant.BoolField:
		if ok = v.Kind() == document.Bool; ok {
			key := int64(0)
			if v.IsTrue() {
				key = 1
			}
			r.keys = append(r.keys, key)
		}
	case sextant.GeoField:
		var p sextant.GeoPoint
		if p, ok = placeOf(v); ok {
			r.places = append(r.places, p)
		}
	default:
		ok = v.Kind() == document.String && r.text(v)
	}
	if ok {
		r.indexed = true
	} else {
		r.other = true
	}
}

func (r *reader) text(v document.Value) bool {
	s := v.Text(r.scratch)
	if len(s) > 0 && len(s) < len(v.Raw())-2 { // it had escapes and lies in scratch
		r.scratch = s
	}
	switch r.typ {
	case sextant.KeywordField:
		r.term(view(s))
	case sextant.TextField:
		r.analyzer.Document(view(s), func(token string, _ int) { r.term(token) })
	case sextant.UUIDField:
		id, ok := parseUUID(view(s))
		if !ok {
			return false
		}
		raw, _ := id.Bytes()
		r.term(view(raw[:]))
	case sextant.DatetimeField:
		micros, ok := document.ParseDatetime(view(s))
		if !ok {
			return false
		}
		r.keys = append(r.keys, micros)
	}
	return true
}

func (r *reader) term(s string) {
	r.terms = append(r.terms, s...)
	r.ends = append(r.ends, len(r.terms))
}

// intern turns the terms into different ids, ascending.
func (r *reader) intern(names *interner, ids []uint32) []uint32 {
	ids = ids[:0]
	from := 0
	for _, end := range r.ends {
		ids = append(ids, names.id(r.terms[from:end]))
		from = end
	}
	if len(ids) > 1 {
		slices.Sort(ids)
		ids = slices.Compact(ids)
	}
	return ids
}

// states calls yield with the sets that the payload belongs to. values is the number of its different indexed values.
func (r *reader) states(values int, yield func(k stateKind)) {
	if r.indexed {
		yield(indexed)
	}
	if r.other {
		yield(other)
	}
	if values > 1 {
		yield(multi)
	}
	if r.null {
		yield(null)
	}
	if r.filled && !r.indexed && !r.other {
		yield(hollow)
	}
}
