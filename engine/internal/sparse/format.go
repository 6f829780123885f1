package sparse

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
	"unsafe"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/vec"
)

// The file, all numbers little-endian, sections at multiples of 8:
//
//	magic      8 bytes
//	postings   blocks of one list after the other, lists by ascending index; a block at a multiple of 4:
//	           rows − first of its rows: 1, 2 or 4 bytes each, as last − first needs, padded to 4
//	           weights: float32, float16, or uint8 (least float32, step float32, then codes), padded to 4
//	present    a bit per row that has a vector, words of 8 bytes
//	indices    4 bytes per list
//	counts     4 bytes per list: its postings
//	firsts     4 bytes per list and 4 more: the number of its first block
//	tops       4 bytes per list: its largest weight
//	blocks     16 bytes each: see block
//	trailer    trailerBytes: see trailer.put
const (
	magic        = "SXSPRS01"
	trailerBytes = 80
	blockRows    = 128
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// block describes up to blockRows postings of one list.
type block struct {
	first, last uint32
	top         float32 // the largest weight
	at          uint32  // place in the postings, in units of 4 bytes
}

// width returns the bytes per row of a block.
func (b block) width() uint32 {
	switch span := b.last - b.first; {
	case span < 1<<8:
		return 1
	case span < 1<<16:
		return 2
	}
	return 4
}

// bytes returns how long the block's rows and weights are, both padded.
func (b block) bytes(count uint32, number vec.Type) (rows, weights uint64) {
	weights = uint64(count) * uint64(number.Size())
	if number == vec.U8 {
		weights += 8
	}
	return roundUp(uint64(count)*uint64(b.width()), 4), roundUp(weights, 4)
}

func roundUp(n, to uint64) uint64 { return (n + to - 1) / to * to }

type trailer struct {
	rows, vectors, lists, blocks uint32
	number                       vec.Type
	postings                     uint64 // how many
	postingBytes                 uint64 // length of the section
	postingsCRC, directoryCRC    uint32
}

// directory returns the places of the sections behind the postings, and the place of the trailer.
func (t *trailer) directory() (present, indices, counts, firsts, tops, blocks, end uint64) {
	at := 8 + t.postingBytes
	take := func(bytes uint64) (start uint64) {
		start = at
		at = roundUp(at+bytes, 8)
		return start
	}
	present = take((uint64(t.rows) + 63) / 64 * 8)
	indices = take(4 * uint64(t.lists))
	counts = take(4 * uint64(t.lists))
	firsts = take(4 * (uint64(t.lists) + 1))
	tops = take(4 * uint64(t.lists))
	blocks = take(16 * uint64(t.blocks))
	return present, indices, counts, firsts, tops, blocks, at
}

func (t *trailer) put() []byte {
	_, _, _, _, _, _, end := t.directory()
	le := binary.LittleEndian
	b := append(make([]byte, 0, trailerBytes), magic...)
	for _, v := range []uint32{t.rows, t.vectors, t.lists, t.blocks, uint32(t.number), 0} {
		b = le.AppendUint32(b, v)
	}
	for _, v := range []uint64{t.postings, t.postingBytes, end + trailerBytes} {
		b = le.AppendUint64(b, v)
	}
	b = le.AppendUint32(b, t.postingsCRC)
	b = le.AppendUint32(b, t.directoryCRC)
	b = append(b, make([]byte, trailerBytes-4-len(b))...)
	return le.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func readTrailer(data []byte) (t trailer, err error) {
	if len(data) < 8+trailerBytes || string(data[:8]) != magic {
		return t, corrupt("no sparse index header")
	}
	b := data[len(data)-trailerBytes:]
	le := binary.LittleEndian
	if string(b[:8]) != magic || crc32.Checksum(b[:trailerBytes-4], castagnoli) != le.Uint32(b[trailerBytes-4:]) {
		return t, corrupt("damaged sparse index trailer")
	}
	t = trailer{rows: le.Uint32(b[8:]), vectors: le.Uint32(b[12:]), lists: le.Uint32(b[16:]), blocks: le.Uint32(b[20:]),
		number: vec.Type(b[24]), postings: le.Uint64(b[32:]), postingBytes: le.Uint64(b[40:]),
		postingsCRC: le.Uint32(b[56:]), directoryCRC: le.Uint32(b[60:])}
	if size := le.Uint64(b[48:]); size != uint64(len(data)) || t.postingBytes > size || t.postingBytes%8 != 0 {
		return t, corrupt("the sparse index is cut or padded")
	}
	if _, _, _, _, _, _, end := t.directory(); end+trailerBytes != uint64(len(data)) {
		return t, corrupt("sizes of the sparse index contradict each other")
	}
	if t.number != vec.F32 && t.number != vec.F16 && t.number != vec.U8 {
		return t, corrupt("unknown weights in the sparse index")
	}
	return t, nil
}

func corrupt(why string) error { return sextant.Errorf(sextant.Corrupt, "%s", why) }

// Index is a sealed inverted index.
type Index struct {
	trailer
	image   []byte // the postings
	present []uint64
	indices []uint32
	counts  []uint32
	firsts  []uint32
	tops    []float32
	dir     []block
}

// Open reads an index in place: data must stay mapped and unchanged as long as the index is used. It reads and checks the
// directory, a small part of the file, and not the postings: damage there makes searches wrong, never unsafe. Verify
// finds it.
func Open(data []byte) (*Index, error) {
	t, err := readTrailer(data)
	if err != nil {
		return nil, err
	}
	if uintptr(unsafe.Pointer(&data[0]))%8 != 0 {
		words := make([]uint64, (len(data)+7)/8)
		aligned := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), len(data))
		copy(aligned, data)
		data = aligned
	}
	present, indices, counts, firsts, tops, blocks, end := t.directory()
	if crc32.Checksum(data[present:end], castagnoli) != t.directoryCRC {
		return nil, corrupt("checksum of the sparse index directory differs")
	}
	x := &Index{trailer: t, image: data[8:present],
		present: view[uint64](data, present, (uint64(t.rows)+63)/64),
		indices: view[uint32](data, indices, uint64(t.lists)),
		counts:  view[uint32](data, counts, uint64(t.lists)),
		firsts:  view[uint32](data, firsts, uint64(t.lists)+1),
		tops:    view[float32](data, tops, uint64(t.lists)),
		dir:     view[block](data, blocks, uint64(t.blocks)),
	}
	return x, x.check()
}

// view lays numbers over bytes; the machines we run on are little-endian.
func view[T any](data []byte, at, n uint64) []T {
	if n == 0 {
		return nil
	}
	var t T
	size := uint64(unsafe.Sizeof(t))
	return unsafe.Slice((*T)(unsafe.Pointer(&data[at : at+n*size][0])), n)
}

// check makes sure that no block points outside of the postings or of the rows: a file may come from elsewhere.
func (x *Index) check() error {
	bad := corrupt("the sparse index directory contradicts itself")
	count, postings := 0, uint64(0)
	for _, w := range x.present {
		count += bits.OnesCount64(w)
	}
	if uint32(count) != x.vectors || x.rows%64 != 0 && x.present[len(x.present)-1]>>(x.rows%64) != 0 {
		return bad
	}
	if x.firsts[0] != 0 || x.firsts[x.lists] != x.blocks {
		return bad
	}
	for i, n := range x.counts {
		first, end := uint64(x.firsts[i]), uint64(x.firsts[i+1])
		if n == 0 || first+(uint64(n)+blockRows-1)/blockRows != end || end > uint64(x.blocks) || i > 0 && x.indices[i] <= x.indices[i-1] {
			return bad
		}
		postings += uint64(n)
		for j, b := range x.dir[first:end] {
			count := min(n-uint32(j)*blockRows, blockRows)
			rows, weights := b.bytes(count, x.number)
			if b.first > b.last || b.top > x.tops[i] || b.last >= x.rows || j > 0 && b.first <= x.dir[first+uint64(j)-1].last ||
				4*uint64(b.at)+rows+weights > uint64(len(x.image)) {
				return bad
			}
		}
	}
	if postings != x.postings {
		return bad
	}
	return nil
}

// Verify reads all postings and compares them with their checksum and the directory.
func (x *Index) Verify() error {
	if crc32.Checksum(x.image, castagnoli) != x.postingsCRC {
		return corrupt("checksum of the sparse postings differs")
	}
	for i := range x.indices {
		l := x.list(i)
		for l.block < len(l.blocks) {
			b, rows := l.blocks[l.block], l.rows()
			for j, row := range rows {
				if row < b.first || row > b.last || j > 0 && row <= rows[j-1] {
					return corrupt("rows of the sparse postings do not ascend")
				}
			}
			l.block++
		}
	}
	return nil
}
