package sparse

import (
	"hash/crc32"
	"io"
	"maps"
	"math"
	"slices"
	"unsafe"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/vec"
	"github.com/sextantdb/sextant/internal/invariant"
)

// batchPostings bounds the memory of a build: lists are made from left to right, as many at a time as have this many
// postings together (8 bytes each), each time from all vectors.
var batchPostings uint64 = 1 << 24

// Build writes the index of the vectors of rows [0,n). vector returns ascending unique indices with as many values, or
// ok false for a row without vector; the slices need to hold only until the next call. An unknown datatype, "" included,
// keeps exact weights.
//
// A build is stopped by its writer: it is called, at times with no bytes, every few thousand rows.
func Build(n uint32, vector func(row uint32) (indices []uint32, values []float32, ok bool), dt sextant.Datatype, w io.Writer) error {
	b := &builder{n: n, vector: vector, w: w, number: vec.F32}
	switch dt {
	case sextant.Float16:
		b.number = vec.F16
	case sextant.Uint8:
		b.number = vec.U8
	}
	if err := b.count(); err != nil {
		return err
	}
	if err := b.write([]byte(magic)); err != nil {
		return err
	}
	b.crc = 0
	for from := 0; from < len(b.indices); {
		to, postings := from, uint64(0)
		for to < len(b.indices) && (to == from || postings+uint64(b.counts[to]) <= batchPostings) {
			postings += uint64(b.counts[to])
			to++
		}
		if err := b.lists(from, to, postings); err != nil {
			return err
		}
		from = to
	}
	return b.finish()
}

type builder struct {
	n      uint32
	vector func(row uint32) ([]uint32, []float32, bool)
	number vec.Type
	w      io.Writer
	crc    uint32 // of what was written since it was last zero
	at     uint64 // bytes of postings written

	present  []uint64
	vectors  uint32
	numbers  tally // index → number of its list
	indices  []uint32
	counts   []uint32
	firsts   []uint32
	tops     []float32
	dir      []block
	postings uint64
}

// tally maps indices to numbers: flat where indices are small and many, a map for the rest.
type tally struct {
	flat []uint32
	rest map[uint32]uint32
}

const flatIndices = 1 << 21

func (t *tally) add(index uint32) {
	if index >= flatIndices {
		t.rest[index]++
		return
	}
	if n := len(t.flat); index >= uint32(n) {
		t.flat = append(t.flat, make([]uint32, max(n, int(index)+1-n))...)
	}
	t.flat[index]++
}

func (t *tally) get(index uint32) uint32 {
	if index < flatIndices {
		return t.flat[index]
	}
	return t.rest[index]
}

// poll lets the writer stop the build.
func (b *builder) poll(row uint32) error {
	if row%4096 != 0 {
		return nil
	}
	_, err := b.w.Write(nil)
	return err
}

// count finds out which indices occur how often, and numbers them.
func (b *builder) count() error {
	b.present = make([]uint64, (uint64(b.n)+63)/64)
	b.numbers.rest = map[uint32]uint32{}
	for row := range b.n {
		if err := b.poll(row); err != nil {
			return err
		}
		indices, values, ok := b.vector(row)
		if !ok {
			continue
		}
		invariant.Check(len(indices) == len(values), "a sparse vector has as many indices as values")
		b.present[row/64] |= 1 << (row % 64)
		b.vectors++
		for i, index := range indices {
			invariant.Check(i == 0 || indices[i-1] < index, "indices of a sparse vector ascend")
			b.numbers.add(index)
		}
	}
	for index, count := range b.numbers.flat {
		if count > 0 {
			b.indices = append(b.indices, uint32(index))
		}
	}
	b.indices = append(b.indices, slices.Sorted(maps.Keys(b.numbers.rest))...)
	b.counts = make([]uint32, len(b.indices))
	for i, index := range b.indices {
		b.counts[i] = b.numbers.get(index)
		b.postings += uint64(b.counts[i])
		if index < flatIndices {
			b.numbers.flat[index] = uint32(i)
		} else {
			b.numbers.rest[index] = uint32(i)
		}
	}
	b.firsts = make([]uint32, 1, len(b.indices)+1)
	return nil
}

// lists makes the lists [from,to), which have that many postings together.
func (b *builder) lists(from, to int, postings uint64) error {
	rows, weights := make([]uint32, postings), make([]float32, postings)
	ends := make([]uint64, to-from) // of what is filled in so far
	for i, at := from, uint64(0); i < to; i++ {
		ends[i-from] = at
		at += uint64(b.counts[i])
	}
	low, high := b.indices[from], b.indices[to-1]
	for row := range b.n {
		if err := b.poll(row); err != nil {
			return err
		}
		indices, values, ok := b.vector(row)
		if !ok {
			continue
		}
		i, _ := slices.BinarySearch(indices, low)
		for ; i < len(indices) && indices[i] <= high; i++ {
			end := &ends[b.numbers.get(indices[i])-uint32(from)]
			rows[*end], weights[*end] = row, values[i]
			*end++
		}
	}
	start := uint64(0)
	for i := from; i < to; i++ {
		end := ends[i-from]
		invariant.Check(end-start == uint64(b.counts[i]), "vectors do not change during a build")
		if err := b.list(rows[start:end], weights[start:end]); err != nil {
			return err
		}
		start = end
	}
	return nil
}

// list writes one list.
func (b *builder) list(rows []uint32, weights []float32) error {
	var image []byte
	top := float32(math.Inf(-1))
	var decoded [blockRows]float32
	for len(rows) > 0 {
		n := min(len(rows), blockRows)
		one := block{first: rows[0], last: rows[n-1], at: uint32((b.at + uint64(len(image))) / 4)}
		if (b.at+uint64(len(image)))/4 > math.MaxUint32 {
			return sextant.Errorf(sextant.WrongInput, "the sparse vectors of one segment are too large for an index")
		}
		for _, row := range rows[:n] {
			switch row -= one.first; one.width() {
			case 1:
				image = append(image, byte(row))
			case 2:
				image = append(image, byte(row), byte(row>>8))
			default:
				image = append(image, byte(row), byte(row>>8), byte(row>>16), byte(row>>24))
			}
		}
		image = pad(image, 4)
		start := len(image)
		image = encodeWeights(b.number, weights[:n], image)
		decodeWeights(b.number, image[start:], decoded[:n])
		one.top = float32(math.Inf(-1))
		for _, weight := range decoded[:n] {
			if weight > one.top {
				one.top = weight
			}
		}
		top = max(top, one.top)
		image = pad(image, 4)
		b.dir = append(b.dir, one)
		rows, weights = rows[n:], weights[n:]
	}
	b.firsts = append(b.firsts, uint32(len(b.dir)))
	b.tops = append(b.tops, top)
	b.at += uint64(len(image))
	return b.write(image)
}

func pad(b []byte, to int) []byte {
	for len(b)%to != 0 {
		b = append(b, 0)
	}
	return b
}

// finish writes what follows the postings.
func (b *builder) finish() error {
	if b.at%8 != 0 {
		if err := b.write(make([]byte, 4)); err != nil {
			return err
		}
		b.at += 4
	}
	t := trailer{rows: b.n, vectors: b.vectors, lists: uint32(len(b.indices)), blocks: uint32(len(b.dir)), number: b.number,
		postings: b.postings, postingBytes: b.at, postingsCRC: b.crc}
	b.crc = 0
	for _, section := range [][]byte{bytesOf(b.present), bytesOf(b.indices), bytesOf(b.counts), bytesOf(b.firsts),
		bytesOf(b.tops), bytesOf(b.dir)} {
		if err := b.write(section); err != nil {
			return err
		}
		if len(section)%8 != 0 {
			if err := b.write(make([]byte, 8-len(section)%8)); err != nil {
				return err
			}
		}
	}
	t.directoryCRC = b.crc
	return b.write(t.put())
}

func (b *builder) write(p []byte) error {
	b.crc = crc32.Update(b.crc, castagnoli, p)
	_, err := b.w.Write(p)
	return err
}

// bytesOf views numbers as bytes; the machines we run on are little-endian.
func bytesOf[T any](s []T) []byte {
	if len(s) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), len(s)*int(unsafe.Sizeof(s[0])))
}
