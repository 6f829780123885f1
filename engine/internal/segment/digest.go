package segment

import (
	"context"
	"encoding/binary"
	"math/bits"

	"github.com/sextantdb/sextant"
)

// Digest is the content of a shard in 1024 numbers: for each range of id hashes the sum (mod 2^64) of hash(id, version)
// over its points. Shards that applied the same entries have equal digests.
type Digest [1024]uint64

// add counts a point in, remove out.
func (d *Digest) add(id sextant.PointID, version uint64) {
	h := hashID(id)
	d[h>>54] += mix(h, id, version)
}

func (d *Digest) remove(id sextant.PointID, version uint64) {
	h := hashID(id)
	d[h>>54] -= mix(h, id, version)
}

func mix(h uint64, id sextant.PointID, version uint64) uint64 {
	h ^= bits.RotateLeft64(version*0x9E3779B185EBCA87, 23)
	h = (h ^ h>>31) * 0x94D049BB133111EB
	h ^= bits.RotateLeft64(id.Lo+0x27D4EB2F165667C5, 17) * 0xBF58476D1CE4E5B9
	h = (h ^ h>>30 ^ id.Hi) * 0xD6E8FEB86659FD93
	return h ^ h>>32
}

// Ranges returns the digest as bytes: number of range and sum, 10 bytes little-endian, empty ranges left out. It is never nil:
// that of nothing is a digest, too.
func (d *Digest) Ranges() []byte {
	out := []byte{}
	for i, sum := range d {
		if sum != 0 {
			out = binary.LittleEndian.AppendUint16(out, uint16(i))
			out = binary.LittleEndian.AppendUint64(out, sum)
		}
	}
	return out
}

// ReadDigest is the inverse of Ranges.
func ReadDigest(b []byte) (d Digest, err error) {
	if len(b)%10 != 0 {
		return d, sextant.Errorf(sextant.Corrupt, "digest of %d bytes", len(b))
	}
	for ; len(b) > 0; b = b[10:] {
		i := binary.LittleEndian.Uint16(b)
		if int(i) >= len(d) {
			return d, sextant.Errorf(sextant.Corrupt, "digest range %d", i)
		}
		d[i] = binary.LittleEndian.Uint64(b[2:])
	}
	return d, nil
}

// Recount computes the digest of a view from its rows. pause, if not nil, is called again and again with the rows since the last
// time, and may sleep, or end it with an error.
func Recount(ctx context.Context, v *View, pause func(rows int) error) (d Digest, err error) {
	defer border(&err)()
	for _, p := range v.pieces {
		for row := range p.len() {
			if row%scanRows == 0 && ctx.Err() != nil {
				return d, ctx.Err()
			}
			if row%scanRows == 0 && pause != nil {
				if err := pause(int(min(scanRows, p.len()-row))); err != nil {
					return d, err
				}
			}
			if !p.tombs.has(row) {
				d.add(p.rows.id(row), p.version(row))
			}
		}
	}
	return d, nil
}

// Recount makes the digest what the rows say.
func (s *State) Recount(ctx context.Context) error {
	v := s.Publish()
	defer v.Release()
	d, err := Recount(ctx, v, nil)
	if err == nil {
		s.digest = d
	}
	return err
}
