package segment

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
	"path"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/vfs"
)

// A tombstone file, numbers little-endian:
//
//	magic "SXTOMB01", u32 dead rows, u32 chunks
//	per chunk of 4096 rows with dead ones: u32 number of the chunk, u32 dead rows in it, then
//	  fewer than 256: the rows as u16 each, counted from the chunk's first
//	  else: 64 u64 words, a bit per row
//	u32 CRC32C of everything before
const tombMagic = "SXTOMB01"

const listedMost = 256

// WriteTombstones writes the dead rows of a segment as of a checkpoint to a file, durable but for its name.
func WriteTombstones(fs vfs.FS, dir, name string, t Tombstones) (FileRef, error) {
	b := append(make([]byte, 0, 64), tombMagic...)
	b = binary.LittleEndian.AppendUint32(b, t.set.dead)
	b = binary.LittleEndian.AppendUint32(b, 0)
	chunks := uint32(0)
	t.set.each(func(first uint32, words *[chunkWords]uint64) {
		dead := uint32(0)
		for _, w := range words {
			dead += uint32(bits.OnesCount64(w))
		}
		b = binary.LittleEndian.AppendUint32(b, first/chunkRows)
		b = binary.LittleEndian.AppendUint32(b, dead)
		chunks++
		for i, w := range words {
			if dead >= listedMost {
				b = binary.LittleEndian.AppendUint64(b, w)
				continue
			}
			for ; w != 0; w &= w - 1 {
				b = binary.LittleEndian.AppendUint16(b, uint16(i*64+bits.TrailingZeros64(w)))
			}
		}
	})
	binary.LittleEndian.PutUint32(b[12:], chunks)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	ref := FileRef{Kind: TombFile, Name: name, Bytes: int64(len(b)), CRC: crc32.Checksum(b, castagnoli)}
	return ref, vfs.WriteAtomic(fs, path.Join(dir, name), b)
}

// ReadTombstones reads what WriteTombstones wrote.
func ReadTombstones(fs vfs.FS, dir string, ref FileRef) (Tombstones, error) {
	m, err := mapFile(fs, dir, ref)
	if err != nil {
		return Tombstones{}, err
	}
	defer m.Close() // only read
	set, at, why := decodeTombs(m.Bytes())
	if why != "" {
		return Tombstones{}, sextant.Errorf(sextant.Corrupt, "%s is damaged at byte %d: %s", path.Join(dir, ref.Name), at, why)
	}
	return Tombstones{set}, nil
}

func decodeTombs(b []byte) (set tombstones, at int, why string) {
	le := binary.LittleEndian
	if len(b) < 20 || string(b[:8]) != tombMagic {
		return set, 0, "no header"
	}
	body := b[:len(b)-4]
	if crc32.Checksum(body, castagnoli) != le.Uint32(b[len(body):]) {
		return set, 0, "checksum differs"
	}
	dead, chunks := le.Uint32(body[8:]), le.Uint32(body[12:])
	at = 16
	for range chunks {
		if len(body)-at < 8 {
			return set, at, "ends early"
		}
		number, n := le.Uint32(body[at:]), le.Uint32(body[at+4:])
		at += 8
		size := 2 * int(n)
		if n >= listedMost {
			size = 8 * chunkWords
		}
		if len(body)-at < size || n > chunkRows || number > none/chunkRows {
			return set, at, "ends early"
		}
		for i := 0; i < size && n < listedMost; i += 2 {
			set.set(number*chunkRows+uint32(le.Uint16(body[at+i:])%chunkRows), 0)
		}
		for i := 0; i < chunkWords && n >= listedMost; i++ {
			for w := le.Uint64(body[at+8*i:]); w != 0; w &= w - 1 {
				set.set(number*chunkRows+uint32(i*64+bits.TrailingZeros64(w)), 0)
			}
		}
		at += size
	}
	if at != len(body) || set.dead != dead {
		return set, at, "counts contradict each other"
	}
	return set, at, ""
}
