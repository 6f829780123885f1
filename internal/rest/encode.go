package rest

import (
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sextantdb/sextant"
)

// appendFloat appends the shortest text that reads back as the same float32. JSON has no word for what is not finite: an
// infinite score becomes the largest float, what is not a number becomes 0.
func appendFloat(b []byte, f float32) []byte {
	x := float64(f)
	switch {
	case math.IsNaN(x):
		x = 0
	case math.IsInf(x, 0):
		x = math.Copysign(math.MaxFloat32, x)
	}
	format := byte('f')
	if a := math.Abs(x); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(b, x, format, -1, 32)
}

func appendFloats(b []byte, values []float32) []byte {
	b = append(b, '[')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendFloat(b, v)
	}
	return append(b, ']')
}

// appendVector appends one vector: a list, a matrix even of one row, or indices with values.
func appendVector(b []byte, v *sextant.Vector) []byte {
	switch v.Kind {
	case sextant.Dense:
		return appendFloats(b, v.Values)
	case sextant.Multi:
		b = append(b, '[')
		for i := range v.Rows {
			if i > 0 {
				b = append(b, ',')
			}
			dim := len(v.Values) / v.Rows
			b = appendFloats(b, v.Values[i*dim:(i+1)*dim])
		}
		return append(b, ']')
	case sextant.Sparse:
	}
	b = append(b, `{"indices":[`...)
	for i, x := range v.Indices {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(x), 10)
	}
	b = append(b, `],"values":`...)
	return append(appendFloats(b, v.Values), '}')
}

// appendVectors appends the vectors of a point: the unnamed one alone stands for itself.
func appendVectors(b []byte, vectors []sextant.NamedVector) []byte {
	if len(vectors) == 1 && vectors[0].Name == "" {
		return appendVector(b, &vectors[0].Vector)
	}
	b = append(b, '{')
	for i := range vectors {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, vectors[i].Name), ':')
		b = appendVector(b, &vectors[i].Vector)
	}
	return append(b, '}')
}

func appendString(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, s) // broken UTF-8 is replaced
	return b
}

// appendRest appends what records and scored points share, and the closing brace. What was not asked for has no key.
func appendRest(b []byte, r *sextant.Record) []byte {
	if r.Payload != nil {
		b = append(b, `,"payload":`...)
		b = append(b, r.Payload...)
	}
	if r.Vectors != nil {
		b = append(b, `,"vector":`...)
		b = appendVectors(b, r.Vectors)
	}
	if v := r.OrderValue; v != nil {
		b = append(b, `,"order_value":`...)
		if v.IsFloat {
			b = append(b, pointed(v.Float)...)
		} else {
			b = strconv.AppendInt(b, v.Int, 10)
		}
	}
	return append(b, '}')
}

func appendRecord(b []byte, r *sextant.Record) []byte {
	b = r.ID.AppendJSON(append(b, `{"id":`...))
	return appendRest(b, r)
}

func appendScored(b []byte, p *sextant.ScoredPoint) []byte {
	b = p.ID.AppendJSON(append(b, `{"id":`...))
	b = strconv.AppendUint(append(b, `,"version":`...), p.Version, 10)
	b = appendFloat(append(b, `,"score":`...), p.Score)
	return appendRest(b, &p.Record)
}

func (o *output) records(list []sextant.Record) {
	o.b = append(o.b, '[')
	for i := range list {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = appendRecord(o.b, &list[i])
		o.spill()
	}
	o.b = append(o.b, ']')
}

func (o *output) scored(list []sextant.ScoredPoint) {
	o.b = append(o.b, '[')
	for i := range list {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = appendScored(o.b, &list[i])
		o.spill()
	}
	o.b = append(o.b, ']')
}

// receipt appends what an update answers.
func appendReceipt(b []byte, r sextant.Receipt) []byte {
	b = strconv.AppendUint(append(b, `{"operation_id":`...), r.Seq, 10)
	b = append(b, `,"status":"`...)
	b = append(b, r.Status.String()...)
	return append(b, `"}`...)
}
