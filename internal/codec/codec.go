// Package codec is the binary form of updates and filters: what the log stores and peers send each other.
//
// Shapes: an encoded update is
//
//	version 1 | kind 1 | floats uvarint | indices uvarint | body
//
// where floats and indices are how many float32 and uint32 all vectors of the body hold together, so that decoding
// allocates each kind once. Numbers are uvarints unless said otherwise, strings and byte runs carry their length before
// them, vector components are little-endian float32. An id is one byte, 0 or 1 (UUID), then 8 little-endian or 16 bytes.
// Errors: malformed bytes are sextant.Corrupt; decoding never panics and never allocates more than the input's length
// justifies.
// Ownership: decoded payloads and strings are copies or alias the input as documented at Update.
// Versions: a decoder refuses versions that it does not know; fields are only added under a new version.
package codec

import (
	"encoding/binary"
	"math"

	"github.com/sextantdb/sextant"
)

const version = 1

// maxDepth bounds the nesting of filters; the edges refuse deeper ones long before.
const maxDepth = 256

type kind byte

const (
	kindUpsert kind = 1 + iota
	kindDeletePoints
	kindSetPayload
	kindOverwritePayload
	kindDeletePayload
	kindClearPayload
	kindUpdateVectors
	kindDeleteVectors
	kindCreateField
	kindDropField
	kindCreateVector
	kindDropVector
)

// reader walks encoded bytes; the first failure sticks and everything read afterwards is zero.
type reader struct {
	in      []byte
	pos     int
	err     error
	floats  []float32 // arena, handed out front to back
	indices []uint32
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = sextant.Errorf(sextant.Corrupt, "malformed update: %s at byte %d of %d", what, r.pos, len(r.in))
		r.pos = len(r.in)
	}
}

func (r *reader) byte() byte {
	if r.pos >= len(r.in) {
		r.fail("unexpected end")
		return 0
	}
	b := r.in[r.pos]
	r.pos++
	return b
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.in[r.pos:])
	if n <= 0 {
		r.fail("bad number")
		return 0
	}
	r.pos += n
	return v
}

// count reads a number of things that take at least size bytes each, so that it bounds what may be allocated.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n > uint64(len(r.in)-r.pos)/uint64(size) {
		r.fail("count beyond the end")
		return 0
	}
	return int(n)
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.in)-r.pos {
		r.fail("unexpected end")
		return nil
	}
	b := r.in[r.pos : r.pos+n : r.pos+n]
	r.pos += n
	return b
}

func (r *reader) bytes() []byte  { return r.take(r.count(1)) }
func (r *reader) string() string { return string(r.bytes()) }

func (r *reader) strings() []string {
	n := r.count(1)
	if n == 0 {
		return nil
	}
	out := make([]string, n)
	for i := range out {
		out[i] = r.string()
	}
	return out
}

func (r *reader) float64() float64 {
	b := r.take(8)
	if b == nil {
		return 0
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b))
}

func (r *reader) id() sextant.PointID {
	switch r.byte() {
	case 0:
		if b := r.take(8); b != nil {
			return sextant.NumID(binary.LittleEndian.Uint64(b))
		}
	case 1:
		if b := r.take(16); b != nil {
			return sextant.UUIDFromBytes([16]byte(b))
		}
	default:
		r.fail("bad id")
	}
	return sextant.PointID{}
}

func (r *reader) ids() []sextant.PointID {
	n := r.count(9)
	out := make([]sextant.PointID, n)
	for i := range out {
		out[i] = r.id()
	}
	return out
}

func (r *reader) path() sextant.Path {
	s := r.string()
	if s == "" || r.err != nil {
		return sextant.Path{}
	}
	p, err := sextant.ParsePath(s)
	if err != nil {
		r.fail("bad path")
	}
	return p
}

func appendUvarint(dst []byte, v int) []byte { return binary.AppendUvarint(dst, uint64(v)) }

func appendBytes[T string | []byte | sextant.Payload](dst []byte, b T) []byte {
	return append(appendUvarint(dst, len(b)), b...)
}

func appendStrings(dst []byte, list []string) []byte {
	dst = appendUvarint(dst, len(list))
	for _, s := range list {
		dst = appendBytes(dst, s)
	}
	return dst
}

func appendID(dst []byte, id sextant.PointID) []byte {
	b, n := id.Bytes()
	if id.IsUUID {
		dst = append(dst, 1)
	} else {
		dst = append(dst, 0)
	}
	return append(dst, b[:n]...)
}

func appendIDs(dst []byte, ids []sextant.PointID) []byte {
	dst = appendUvarint(dst, len(ids))
	for _, id := range ids {
		dst = appendID(dst, id)
	}
	return dst
}

func appendPath(dst []byte, p sextant.Path) []byte { return appendBytes(dst, p.String()) }

func appendFloat64(dst []byte, f float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(f))
}
