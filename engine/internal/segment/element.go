package segment

import (
	"encoding/binary"
	"math"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/vec"
)

// elementType returns how components of a datatype are stored.
func elementType(d sextant.Datatype) vec.Type {
	switch d {
	case sextant.Float16:
		return vec.F16
	case sextant.Uint8:
		return vec.U8
	default:
		return vec.F32
	}
}

// metricOf returns the raw similarity of a dense or multi vector name.
func metricOf(spec sextant.VectorSpec) vec.Metric {
	switch spec.Distance {
	case sextant.Euclid:
		return vec.Euclid
	case sextant.Manhattan:
		return vec.Manhattan
	case sextant.Cosine:
		if spec.Datatype == sextant.Uint8 {
			return vec.CosineU8
		}
	}
	return vec.Dot
}

// rowsOf lays the description of a spec over an arena.
func rowsOf(spec sextant.VectorSpec, data []byte) vec.Rows {
	t := elementType(spec.Datatype)
	return vec.Rows{Data: data, Stride: vec.Stride(t, spec.Dim), Dim: spec.Dim, Type: t}
}

// A sparse vector is stored as its indices, then its weights, 4 little-endian bytes each.

func encodeSparse(dst []byte, v sextant.Vector) {
	for i, x := range v.Indices {
		binary.LittleEndian.PutUint32(dst[4*i:], x)
	}
	dst = dst[4*len(v.Indices):]
	for i, x := range v.Values {
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(x))
	}
}

func decodeSparse(b []byte) (indices []uint32, values []float32) {
	n := len(b) / 8
	indices, values = make([]uint32, n), make([]float32, n)
	for i := range n {
		indices[i] = binary.LittleEndian.Uint32(b[4*i:])
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*(n+i):]))
	}
	return indices, values
}

// rawSize returns the stored size of a vector, without the padding behind it.
func rawSize(spec sextant.VectorSpec, v sextant.Vector) int {
	switch spec.Kind {
	case sextant.Sparse:
		return 8 * len(v.Indices)
	case sextant.Multi:
		return v.Rows * vec.Stride(elementType(spec.Datatype), spec.Dim)
	default:
		return spec.Dim * elementType(spec.Datatype).Size()
	}
}

// encodeRaw writes the stored form of a vector, which checkVector has passed.
func encodeRaw(spec sextant.VectorSpec, v sextant.Vector, dst []byte) {
	switch spec.Kind {
	case sextant.Sparse:
		encodeSparse(dst, v)
	case sextant.Multi:
		t := elementType(spec.Datatype)
		stride := vec.Stride(t, spec.Dim)
		for i := range v.Rows {
			vec.Encode(t, v.Values[i*spec.Dim:(i+1)*spec.Dim], dst[i*stride:])
		}
	default:
		vec.Encode(elementType(spec.Datatype), v.Values, dst)
	}
}

// decodeRaw is the inverse of encodeRaw.
func decodeRaw(spec sextant.VectorSpec, raw []byte) sextant.Vector {
	v := sextant.Vector{Kind: spec.Kind}
	switch spec.Kind {
	case sextant.Sparse:
		v.Indices, v.Values = decodeSparse(raw)
	case sextant.Multi:
		rows := rowsOf(spec, raw)
		v.Rows = len(raw) / rows.Stride
		v.Values = make([]float32, v.Rows*spec.Dim)
		for i := range v.Rows {
			vec.Decode(rows.Type, rows.Row(uint32(i)), v.Values[i*spec.Dim:(i+1)*spec.Dim])
		}
	default:
		v.Values = make([]float32, spec.Dim)
		vec.Decode(elementType(spec.Datatype), raw, v.Values)
	}
	return v
}
