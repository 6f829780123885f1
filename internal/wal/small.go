package wal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"path"

	"github.com/sextantdb/sextant/internal/vfs"
)

// Beside its files of records a log has two small ones, each a number that is replaced as a whole:
//
//	 0  "SXWALSML"
//	 8  u64 number, little-endian
//	16  u32 CRC32C of bytes [0,16)
//
// TERM holds the last term used as primary. It is no record, since a cut may take any record.
//
// CUT holds the seq behind which a cut takes everything, from before the cut begins until it is durable. Without it a
// power loss in the middle could not be told from damage: the begin of what is cut may be gone while good records behind
// it say that they were durable.
const (
	termFile   = "TERM"
	cutFile    = "CUT"
	smallMagic = "SXWALSML"
)

func writeSmall(fsys vfs.FS, dir, name string, n uint64) error {
	b := binary.LittleEndian.AppendUint64([]byte(smallMagic), n)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return vfs.WriteAtomic(fsys, path.Join(dir, name), b)
}

func readSmall(fsys vfs.FS, dir, name string) (n uint64, found bool, err error) {
	name = path.Join(dir, name)
	b, err := vfs.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	} else if err != nil {
		return 0, false, err
	}
	if len(b) != 20 || string(b[:8]) != smallMagic || binary.LittleEndian.Uint32(b[16:]) != crc32.Checksum(b[:16], castagnoli) {
		return 0, false, &CorruptError{File: name, Why: "its checksum is wrong"}
	}
	return binary.LittleEndian.Uint64(b[8:]), true, nil
}
