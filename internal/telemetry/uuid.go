package telemetry

import (
	"crypto/sha256"

	"github.com/sextantdb/sextant"
)

// UUID returns the name of a segment as clients demand it: as it is, or for names of another form a UUID that is always the
// same for the same name (RFC 9562, version 8).
func UUID(name string) string {
	if id, ok := sextant.ParseUUID(name); ok {
		return id.String()
	}
	sum := sha256.Sum256([]byte(name))
	b := [16]byte(sum[:16])
	b[6] = b[6]&0x0F | 0x80
	b[8] = b[8]&0x3F | 0x80
	return sextant.UUIDFromBytes(b).String()
}
