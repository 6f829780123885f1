package sextant

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"strconv"
)

// PointID names a point: an unsigned 64-bit number or a UUID. It is comparable and holds no pointer. The zero value is
// the number 0. The total order is: all numbers ascending, then all UUIDs ascending by their 16 bytes.
type PointID struct {
	Hi, Lo uint64 // a number is in Lo with Hi = 0; a UUID is big-endian Hi, Lo
	IsUUID bool
}

// NumID returns the id of number n.
func NumID(n uint64) PointID { return PointID{Lo: n} }

// UUIDFromBytes returns the id of the 16 bytes of a UUID.
func UUIDFromBytes(b [16]byte) PointID {
	return PointID{Hi: binary.BigEndian.Uint64(b[:8]), Lo: binary.BigEndian.Uint64(b[8:]), IsUUID: true}
}

// ParseUUID reads a UUID in any of its spellings: hyphenated, 32 hex digits, urn:uuid:…, {…}; any letter case.
func ParseUUID(s string) (PointID, bool) {
	switch {
	case len(s) == 36+9 && (s[:9] == "urn:uuid:" || s[:9] == "URN:UUID:" || s[:9] == "urn:UUID:"):
		s = s[9:]
	case len(s) == 38 && s[0] == '{' && s[37] == '}':
		s = s[1:37]
	}
	var digits [32]byte
	switch len(s) {
	case 32:
		copy(digits[:], s)
	case 36:
		if s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
			return PointID{}, false
		}
		n := copy(digits[:], s[:8])
		n += copy(digits[n:], s[9:13])
		n += copy(digits[n:], s[14:18])
		n += copy(digits[n:], s[19:23])
		copy(digits[n:], s[24:])
	default:
		return PointID{}, false
	}
	var b [16]byte
	if _, err := hex.Decode(b[:], digits[:]); err != nil {
		return PointID{}, false
	}
	return UUIDFromBytes(b), true
}

// ParsePointID reads an id as it stands in a URL path: decimal digits are a number, else a UUID.
func ParsePointID(s string) (PointID, bool) {
	if n, err := strconv.ParseUint(s, 10, 64); err == nil {
		return NumID(n), true
	}
	return ParseUUID(s)
}

// Compare orders ids: numbers before UUIDs, each ascending.
func (id PointID) Compare(other PointID) int {
	if id.IsUUID != other.IsUUID {
		if other.IsUUID {
			return -1
		}
		return 1
	}
	if c := cmp.Compare(id.Hi, other.Hi); c != 0 {
		return c
	}
	return cmp.Compare(id.Lo, other.Lo)
}

// Bytes returns the 16 bytes of a UUID, or the number as 8 little-endian bytes followed by zeros, and how many count.
func (id PointID) Bytes() (b [16]byte, n int) {
	if !id.IsUUID {
		binary.LittleEndian.PutUint64(b[:], id.Lo)
		return b, 8
	}
	binary.BigEndian.PutUint64(b[:8], id.Hi)
	binary.BigEndian.PutUint64(b[8:], id.Lo)
	return b, 16
}

// AppendText appends the id as users write it: decimal digits, or a lower-case hyphenated UUID without quotes.
func (id PointID) AppendText(dst []byte) ([]byte, error) {
	if !id.IsUUID {
		return strconv.AppendUint(dst, id.Lo, 10), nil
	}
	b, _ := id.Bytes()
	dst = hex.AppendEncode(dst, b[:4])
	for _, part := range [][]byte{b[4:6], b[6:8], b[8:10], b[10:16]} {
		dst = append(dst, '-')
		dst = hex.AppendEncode(dst, part)
	}
	return dst, nil
}

// AppendJSON appends the id as JSON: a number, or a quoted UUID.
func (id PointID) AppendJSON(dst []byte) []byte {
	if !id.IsUUID {
		return strconv.AppendUint(dst, id.Lo, 10)
	}
	dst = append(dst, '"')
	dst, _ = id.AppendText(dst)
	return append(dst, '"')
}

// MarshalJSON implements json.Marshaler.
func (id PointID) MarshalJSON() ([]byte, error) { return id.AppendJSON(nil), nil }

func (id PointID) String() string {
	b, _ := id.AppendText(nil)
	return string(b)
}
