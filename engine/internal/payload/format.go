package payload

import (
	"encoding/binary"
	"hash/crc32"
	"unsafe"

	"github.com/sextantdb/sextant"
)

// The file of a sealed field index. All numbers are little-endian; sections begin at multiples of 8 bytes.
//
//	  0  magic "SXFIELD\n"
//	  8  format version u32
//	 12  field type u8 (order of sextant.FieldTypes), flags u8 (1: starts are left out, each key has one row), 0 u16
//	 16  rows of the segment u32, entries u32, terms u32, dense terms u32, tiles u32
//	 36  per state: its rows u32, with the top bit set if the section is a bitset
//	 56  file length u64
//	 64  per section: offset u64, length in bytes u64
//	256  CRC32C of all sections u32, CRC32C of the 260 bytes before u32
//	264  sections
//
// Numbers and terms are ascending; term t has the entries starts[t] to starts[t+1]. The rows of a term are ascending
// numbers in the section of rows; those of a dense term, which has more than 1/32 of all rows, are a bitset instead, and
// the dense section tells (term, entries of dense terms up to and including it).
// Places are sorted into tiles of about equal size by latitude, and within a tile by longitude: keys are longitudes, blob
// is latitudes, starts are those of the tiles, dense is the least and greatest latitude of each.
const (
	formatVersion = 1
	headerBytes   = 264
	sectionsAt    = 64
	checksumsAt   = 256
	denseShare    = 32
)

var magic = [8]byte{'S', 'X', 'F', 'I', 'E', 'L', 'D', '\n'}

type section uint8

const (
	keySection section = iota
	endSection
	blobSection
	startSection
	rowSection
	denseSection
	bitSection
	stateSection // one for each state
	sections     = stateSection + section(states)
)

const (
	uniqueFlag = 1
	bitsetMark = 1 << 31
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func typeCode(t sextant.FieldType) uint8 {
	for i, known := range sextant.FieldTypes() {
		if known == t {
			return uint8(i)
		}
	}
	return 255
}

// hostIsLittle says that numbers in memory look as they do in files.
var hostIsLittle = func() bool {
	one := uint16(1)
	return *(*byte)(unsafe.Pointer(&one)) == 1
}()

type fixed interface {
	~uint32 | ~uint64 | ~int64 | ~float64
}

// numbersOf returns the numbers in b: in place if memory allows it, which it does on all machines that matter, else as a
// copy.
func numbersOf[T fixed](b []byte) []T {
	size := int(unsafe.Sizeof(T(0)))
	n := len(b) / size
	if n == 0 {
		return nil
	}
	at := unsafe.Pointer(unsafe.SliceData(b))
	if hostIsLittle && uintptr(at)%uintptr(size) == 0 {
		return unsafe.Slice((*T)(at), n)
	}
	out := make([]T, n)
	for i := range out {
		if size == 4 {
			v := binary.LittleEndian.Uint32(b[4*i:])
			out[i] = *(*T)(unsafe.Pointer(&v))
		} else {
			v := binary.LittleEndian.Uint64(b[8*i:])
			out[i] = *(*T)(unsafe.Pointer(&v))
		}
	}
	return out
}

// bytesOf returns numbers as a file has them.
func bytesOf[T fixed](v []T) []byte {
	size := int(unsafe.Sizeof(T(0)))
	if len(v) == 0 {
		return nil
	}
	if hostIsLittle {
		return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*size)
	}
	out := make([]byte, 0, len(v)*size)
	for i := range v {
		if size == 4 {
			out = binary.LittleEndian.AppendUint32(out, *(*uint32)(unsafe.Pointer(&v[i])))
		} else {
			out = binary.LittleEndian.AppendUint64(out, *(*uint64)(unsafe.Pointer(&v[i])))
		}
	}
	return out
}
