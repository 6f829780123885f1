package codec

import (
	"encoding/binary"
	"encoding/json"
	"math"

	"github.com/sextantdb/sextant"
)

// Read is a read of one shard; one member is set.
type Read struct {
	Query    *sextant.Query
	Scroll   *sextant.Scroll
	Retrieve *Retrieve
	Count    *Count
}

// Retrieve reads points by id.
type Retrieve struct {
	IDs     []sextant.PointID
	Payload sextant.PayloadSelector
	Vectors sextant.VectorSelector
}

// Count counts what matches.
type Count struct {
	Filter *sextant.Filter
	Exact  bool
}

// AppendRead appends the binary form of a read: its plain parts as JSON, then its filters, ids and vector.
func AppendRead(dst []byte, r Read) []byte {
	var filters [2]*sextant.Filter
	var ids []sextant.PointID
	var vector *sextant.Vector
	var threshold *float32
	switch {
	case r.Query != nil:
		q := *r.Query
		threshold, q.ScoreThreshold = q.ScoreThreshold, nil
		if q.Nearest != nil {
			if q.Nearest.ID != nil {
				ids = []sextant.PointID{*q.Nearest.ID}
			}
			vector, q.Nearest = q.Nearest.Vector, &sextant.VectorInput{}
		}
		filters = [2]*sextant.Filter{q.Filter, q.Params.IDFCorpus}
		q.Filter, q.Params.IDFCorpus = nil, nil
		r.Query = &q
	case r.Scroll != nil:
		s := *r.Scroll
		filters[0], s.Filter = s.Filter, nil
		if s.Offset != nil {
			ids, s.Offset = []sextant.PointID{*s.Offset}, nil
		}
		r.Scroll = &s
	case r.Count != nil:
		c := *r.Count
		filters[0], c.Filter = c.Filter, nil
		r.Count = &c
	case r.Retrieve != nil:
		c := *r.Retrieve
		ids, c.IDs = c.IDs, nil
		r.Retrieve = &c
	}
	dst = appendJSON(append(dst, version), r)
	for _, f := range filters {
		dst = appendOptionalFilter(dst, f)
	}
	return appendTarget(appendIDs(dst, ids), vector, threshold)
}

const (
	hasVector byte = 1 << iota
	hasThreshold
)

// appendTarget appends what a query measures by, bit by bit: a float32 may be infinite, which JSON cannot say.
func appendTarget(dst []byte, v *sextant.Vector, threshold *float32) []byte {
	at := len(dst)
	dst = append(dst, 0)
	if v != nil {
		dst[at] |= hasVector
		dst = appendVector(appendUvarint(appendUvarint(dst, len(v.Values)), len(v.Indices)), v)
	}
	if threshold != nil {
		dst[at] |= hasThreshold
		dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(*threshold))
	}
	return dst
}

func (r *reader) target() (v *sextant.Vector, threshold *float32) {
	has := r.byte()
	if has > hasVector|hasThreshold {
		r.fail("bad mark")
	}
	if has&hasVector != 0 {
		r.floats = make([]float32, r.count(4))
		r.indices = make([]uint32, r.count(4))
		v = &sextant.Vector{}
		r.vector(v)
	}
	if has&hasThreshold != 0 {
		if b := r.take(4); b != nil {
			f := math.Float32frombits(binary.LittleEndian.Uint32(b))
			threshold = &f
		}
	}
	return v, threshold
}

// ReadRead decodes what AppendRead wrote.
func ReadRead(in []byte) (Read, error) {
	r := &reader{in: in}
	if v := r.byte(); v != version && r.err == nil {
		return Read{}, sextant.Errorf(sextant.Corrupt, "read of unknown format version %d", v)
	}
	var out Read
	if err := json.Unmarshal(r.bytes(), &out); err != nil {
		r.fail("bad read")
	}
	first, second := r.optionalFilter(), r.optionalFilter()
	ids := r.ids()
	vector, threshold := r.target()
	if r.err == nil && r.pos != len(in) {
		r.fail("trailing bytes")
	}
	if r.err != nil {
		return Read{}, r.err
	}
	switch {
	case out.Query != nil:
		out.Query.Filter, out.Query.Params.IDFCorpus = first, second
		out.Query.ScoreThreshold = threshold
		if out.Query.Nearest != nil {
			if out.Query.Nearest.Vector = vector; len(ids) > 0 {
				out.Query.Nearest.ID = &ids[0]
			}
		}
	case out.Scroll != nil:
		if out.Scroll.Filter = first; len(ids) > 0 {
			out.Scroll.Offset = &ids[0]
		}
	case out.Count != nil:
		out.Count.Filter = first
	case out.Retrieve != nil:
		out.Retrieve.IDs = ids
	default:
		return Read{}, sextant.Errorf(sextant.Corrupt, "a read of nothing")
	}
	return out, nil
}

// Answer is what a shard answers to a read.
type Answer struct {
	Points  []sextant.ScoredPoint // of a query
	Records []sextant.Record      // of a scroll or retrieve
	Next    *sextant.PointID      // of a scroll
	Count   uint64
}

const (
	hasPayload byte = 1 << iota
	hasVectors
	hasOrder
	orderFloat
)

// AppendAnswer appends the binary form of an answer.
func AppendAnswer(dst []byte, a Answer) []byte {
	floats, indices := 0, 0
	measure := func(r *sextant.Record) {
		for i := range r.Vectors {
			floats += len(r.Vectors[i].Values)
			indices += len(r.Vectors[i].Indices)
		}
	}
	for i := range a.Points {
		measure(&a.Points[i].Record)
	}
	for i := range a.Records {
		measure(&a.Records[i])
	}
	dst = append(dst, version)
	dst = appendUvarint(appendUvarint(dst, floats), indices)
	dst = binary.AppendUvarint(dst, a.Count)
	if a.Next == nil {
		dst = append(dst, 0)
	} else {
		dst = appendID(append(dst, 1), *a.Next)
	}
	dst = appendUvarint(dst, len(a.Points))
	for i := range a.Points {
		dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(a.Points[i].Score))
		dst = appendRecord(dst, &a.Points[i].Record)
	}
	dst = appendUvarint(dst, len(a.Records))
	for i := range a.Records {
		dst = appendRecord(dst, &a.Records[i])
	}
	return dst
}

func appendRecord(dst []byte, r *sextant.Record) []byte {
	var has byte
	if r.Payload != nil {
		has |= hasPayload
	}
	if r.Vectors != nil {
		has |= hasVectors
	}
	if o := r.OrderValue; o != nil {
		if has |= hasOrder; o.IsFloat {
			has |= orderFloat
		}
	}
	dst = appendID(append(dst, has), r.ID)
	dst = binary.AppendUvarint(dst, r.Version)
	if r.Payload != nil {
		dst = appendBytes(dst, r.Payload)
	}
	if r.Vectors != nil {
		dst = appendUvarint(dst, len(r.Vectors))
		for i := range r.Vectors {
			dst = appendVector(appendBytes(dst, r.Vectors[i].Name), &r.Vectors[i].Vector)
		}
	}
	if o := r.OrderValue; o != nil {
		dst = binary.AppendVarint(dst, o.Int)
		dst = appendFloat64(dst, o.Float)
	}
	return dst
}

// ReadAnswer decodes an answer. Payloads alias in; vectors share one array.
func ReadAnswer(in []byte) (Answer, error) {
	r := &reader{in: in}
	if v := r.byte(); v != version && r.err == nil {
		return Answer{}, sextant.Errorf(sextant.Corrupt, "answer of unknown format version %d", v)
	}
	r.floats = make([]float32, r.count(4))
	r.indices = make([]uint32, r.count(4))
	a := Answer{Count: r.uvarint()}
	switch r.byte() {
	case 0:
	case 1:
		id := r.id()
		a.Next = &id
	default:
		r.fail("bad mark")
	}
	if n := r.count(15); n > 0 {
		a.Points = make([]sextant.ScoredPoint, n)
	}
	for i := range a.Points {
		if b := r.take(4); b != nil {
			a.Points[i].Score = math.Float32frombits(binary.LittleEndian.Uint32(b))
		}
		r.record(&a.Points[i].Record)
	}
	if n := r.count(11); n > 0 {
		a.Records = make([]sextant.Record, n)
	}
	for i := range a.Records {
		r.record(&a.Records[i])
	}
	if r.err == nil && r.pos != len(in) {
		r.fail("trailing bytes")
	}
	return a, r.err
}

func (r *reader) record(out *sextant.Record) {
	has := r.byte()
	out.ID, out.Version = r.id(), r.uvarint()
	if has&hasPayload != 0 {
		if out.Payload = r.bytes(); out.Payload == nil {
			out.Payload = sextant.Payload{}
		}
	}
	if has&hasVectors != 0 {
		out.Vectors = make([]sextant.NamedVector, r.count(3))
		for i := range out.Vectors {
			out.Vectors[i].Name = r.string()
			r.vector(&out.Vectors[i].Vector)
		}
	}
	if has&hasOrder != 0 {
		out.OrderValue = &sextant.OrderValue{IsFloat: has&orderFloat != 0, Int: r.varint(), Float: r.float64()}
	}
}
