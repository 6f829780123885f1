package codec

import (
	"encoding/binary"
	"encoding/json"
	"math"

	"github.com/sextantdb/sextant"
)

// AppendUpdate appends the binary form of u to dst.
func AppendUpdate(dst []byte, u sextant.Update) []byte {
	points := pointsOf(u)
	floats, indices := 0, 0
	for i := range points {
		for j := range points[i].Vectors {
			floats += len(points[i].Vectors[j].Values)
			indices += len(points[i].Vectors[j].Indices)
		}
	}
	head := func(k kind) []byte {
		dst = append(dst, version, byte(k))
		dst = appendUvarint(dst, floats)
		return appendUvarint(dst, indices)
	}
	switch u := u.(type) {
	case sextant.Upsert:
		dst = append(head(kindUpsert), byte(u.Mode))
		return appendOptionalFilter(appendPoints(dst, u.Points), u.Filter)
	case sextant.UpdateVectors:
		return appendOptionalFilter(appendPoints(head(kindUpdateVectors), u.Points), u.Filter)
	case sextant.DeletePoints:
		return appendSelector(head(kindDeletePoints), u.Selector)
	case sextant.SetPayload:
		dst = appendSelector(head(kindSetPayload), u.Selector)
		return appendPath(appendBytes(dst, u.Payload), u.Key)
	case sextant.OverwritePayload:
		return appendBytes(appendSelector(head(kindOverwritePayload), u.Selector), u.Payload)
	case sextant.DeletePayload:
		dst = appendUvarint(appendSelector(head(kindDeletePayload), u.Selector), len(u.Keys))
		for _, key := range u.Keys {
			dst = appendPath(dst, key)
		}
		return dst
	case sextant.ClearPayload:
		return appendSelector(head(kindClearPayload), u.Selector)
	case sextant.DeleteVectors:
		return appendStrings(appendSelector(head(kindDeleteVectors), u.Selector), u.Names)
	case sextant.CreateField:
		return appendJSON(appendPath(head(kindCreateField), u.Key), u.Spec)
	case sextant.DropField:
		return appendPath(head(kindDropField), u.Key)
	case sextant.CreateVector:
		return appendJSON(appendBytes(head(kindCreateVector), u.Name), u.Spec)
	case sextant.DropVector:
		return appendBytes(head(kindDropVector), u.Name)
	}
	panic("codec: unknown update")
}

func pointsOf(u sextant.Update) []sextant.Point {
	switch u := u.(type) {
	case sextant.Upsert:
		return u.Points
	case sextant.UpdateVectors:
		return u.Points
	}
	return nil
}

// appendJSON is for the rare updates that change the schema.
func appendJSON(dst []byte, v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("codec: " + err.Error()) // plain data: cannot fail
	}
	return appendBytes(dst, b)
}

func appendPoints(dst []byte, points []sextant.Point) []byte {
	dst = appendUvarint(dst, len(points))
	for i := range points {
		p := &points[i]
		dst = appendID(dst, p.ID)
		dst = appendBytes(dst, p.Payload)
		dst = appendUvarint(dst, len(p.Vectors))
		for j := range p.Vectors {
			dst = appendVector(appendBytes(dst, p.Vectors[j].Name), &p.Vectors[j].Vector)
		}
	}
	return dst
}

func appendVector(dst []byte, v *sextant.Vector) []byte {
	dst = append(dst, byte(v.Kind))
	if v.Kind == sextant.Multi {
		dst = appendUvarint(dst, v.Rows)
	}
	dst = appendUvarint(dst, len(v.Values))
	for _, f := range v.Values {
		dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(f))
	}
	if v.Kind == sextant.Sparse {
		for _, i := range v.Indices {
			dst = binary.LittleEndian.AppendUint32(dst, i)
		}
	}
	return dst
}

func appendSelector(dst []byte, s sextant.Selector) []byte {
	if s.IDs != nil || s.Filter == nil {
		return appendIDs(append(dst, 0), s.IDs)
	}
	return appendFilter(append(dst, 1), s.Filter)
}

// Update decodes an update. Payloads alias in, which must not change afterwards; vectors share one array.
func Update(in []byte) (sextant.Update, error) {
	r := &reader{in: in}
	if v := r.byte(); v != version && r.err == nil {
		return nil, sextant.Errorf(sextant.Corrupt, "update of unknown format version %d", v)
	}
	k := kind(r.byte())
	r.floats = make([]float32, r.count(4))
	r.indices = make([]uint32, r.count(4))
	u := r.update(k)
	if r.err == nil && r.pos != len(in) {
		r.fail("trailing bytes")
	}
	if r.err != nil {
		return nil, r.err
	}
	return u, nil
}

func (r *reader) update(k kind) sextant.Update {
	switch k {
	case kindUpsert:
		mode := sextant.UpdateMode(r.byte())
		return sextant.Upsert{Mode: mode, Points: r.points(), Filter: r.optionalFilter()}
	case kindUpdateVectors:
		return sextant.UpdateVectors{Points: r.points(), Filter: r.optionalFilter()}
	case kindDeletePoints:
		return sextant.DeletePoints{Selector: r.selector()}
	case kindSetPayload:
		return sextant.SetPayload{Selector: r.selector(), Payload: r.bytes(), Key: r.path()}
	case kindOverwritePayload:
		return sextant.OverwritePayload{Selector: r.selector(), Payload: r.bytes()}
	case kindDeletePayload:
		u := sextant.DeletePayload{Selector: r.selector()}
		u.Keys = make([]sextant.Path, r.count(1))
		for i := range u.Keys {
			u.Keys[i] = r.path()
		}
		return u
	case kindClearPayload:
		return sextant.ClearPayload{Selector: r.selector()}
	case kindDeleteVectors:
		return sextant.DeleteVectors{Selector: r.selector(), Names: r.strings()}
	case kindCreateField:
		u := sextant.CreateField{Key: r.path()}
		r.json(&u.Spec)
		return u
	case kindDropField:
		return sextant.DropField{Key: r.path()}
	case kindCreateVector:
		u := sextant.CreateVector{Name: r.string()}
		r.json(&u.Spec)
		return u
	case kindDropVector:
		return sextant.DropVector{Name: r.string()}
	}
	r.fail("unknown kind")
	return nil
}

func (r *reader) json(v any) {
	if err := json.Unmarshal(r.bytes(), v); err != nil {
		r.fail("bad specification")
	}
}

func (r *reader) points() []sextant.Point {
	points := make([]sextant.Point, r.count(11))
	for i := range points {
		p := &points[i]
		p.ID = r.id()
		if payload := r.bytes(); len(payload) > 0 {
			p.Payload = payload
		}
		if n := r.count(3); n > 0 {
			p.Vectors = make([]sextant.NamedVector, n)
		}
		for j := range p.Vectors {
			p.Vectors[j].Name = r.string()
			r.vector(&p.Vectors[j].Vector)
		}
		if r.err != nil {
			return nil
		}
	}
	return points
}

func (r *reader) vector(v *sextant.Vector) {
	v.Kind = sextant.VectorKind(r.byte())
	if v.Kind > sextant.Sparse {
		r.fail("unknown vector kind")
		return
	}
	if v.Kind == sextant.Multi {
		v.Rows = r.count(1)
	}
	n := r.count(4)
	raw := r.take(4 * n)
	if n > len(r.floats) || raw == nil {
		r.fail("more vector components than announced")
		return
	}
	v.Values, r.floats = r.floats[:n:n], r.floats[n:]
	for i := range v.Values {
		v.Values[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	if v.Kind == sextant.Multi && (v.Rows == 0 || n%v.Rows != 0) {
		r.fail("uneven multivector")
	}
	if v.Kind != sextant.Sparse {
		return
	}
	raw = r.take(4 * n)
	if n > len(r.indices) || raw == nil {
		r.fail("more sparse indices than announced")
		return
	}
	v.Indices, r.indices = r.indices[:n:n], r.indices[n:]
	for i := range v.Indices {
		v.Indices[i] = binary.LittleEndian.Uint32(raw[4*i:])
	}
}

func (r *reader) selector() sextant.Selector {
	switch r.byte() {
	case 0:
		return sextant.Selector{IDs: r.ids()}
	case 1:
		return sextant.Selector{Filter: r.filter(0)}
	}
	r.fail("bad selector")
	return sextant.Selector{}
}
