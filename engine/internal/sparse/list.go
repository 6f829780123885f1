package sparse

import (
	"math"
	"unsafe"

	"github.com/sextantdb/sextant/engine/internal/vec"
)

// list is a place in the postings of one index. It only moves on: the rows given to its methods never descend, save that
// bound does not move it.
type list interface {
	// max is at least every weight of the list.
	max() float32
	// next returns a row that is not after the list's first row ≥ row; none if there is no such row.
	next(row uint32) uint32
	// bound returns at least every weight of rows in [lo,hi), and at least how many there are. next(lo) came before.
	bound(lo, hi uint32) (max float32, count int)
	// add adds q·weight for the rows in [lo,hi) to the window that begins at lo.
	add(w *window, lo, hi uint32, q float64)
	// weight returns the weight of a row, if the list has it.
	weight(row uint32) (weight float32, ok bool)
}

// sealedList is a list of an Index.
type sealedList struct {
	image  []byte
	blocks []block
	count  uint32 // postings of the whole list
	block  int    // the current block
	number vec.Type
	top    float32

	buffer []float32 // decoded weights of a block
	held   int       // which one, -1 for none
}

// list returns list number i at its begin.
func (x *Index) list(i int) *sealedList {
	return &sealedList{image: x.image, blocks: x.dir[x.firsts[i]:x.firsts[i+1]], count: x.counts[i], number: x.number, top: x.tops[i], held: -1}
}

func (l *sealedList) max() float32 { return l.top }

func (l *sealedList) next(row uint32) uint32 {
	// Most calls move by few blocks: steps double from there, then the gap is halved.
	at, step := l.block, 1
	for at+step <= len(l.blocks) && l.blocks[at+step-1].last < row {
		at += step
		step *= 2
	}
	for end := min(at+step, len(l.blocks)); at < end; {
		if middle := (at + end) / 2; l.blocks[middle].last < row {
			at = middle + 1
		} else {
			end = middle
		}
	}
	l.block = at
	if at == len(l.blocks) {
		return none
	}
	return max(row, l.blocks[at].first)
}

func (l *sealedList) bound(_, hi uint32) (max float32, count int) {
	max = float32(math.Inf(-1))
	for i := l.block; i < len(l.blocks) && l.blocks[i].first < hi; i++ {
		if l.blocks[i].top > max {
			max = l.blocks[i].top
		}
		count += blockRows
	}
	return max, count
}

func (l *sealedList) add(w *window, lo, hi uint32, q float64) {
	if l.next(lo) >= hi {
		return
	}
	for {
		b := l.blocks[l.block]
		switch weights := l.weights(); b.width() {
		case 1:
			addBlock(w, part[uint8](l, b), weights, b, lo, hi, q)
		case 2:
			addBlock(w, part[uint16](l, b), weights, b, lo, hi, q)
		default:
			addBlock(w, part[uint32](l, b), weights, b, lo, hi, q)
		}
		if b.last >= hi || l.block+1 == len(l.blocks) || l.blocks[l.block+1].first >= hi {
			return
		}
		l.block++
	}
}

// addBlock adds what of a block lies in [lo,hi).
func addBlock[T uint8 | uint16 | uint32](w *window, rows []T, weights []float32, b block, lo, hi uint32, q float64) {
	if b.last >= hi {
		rows = rows[:lowerBound(rows, hi-b.first)]
	}
	if b.first < lo {
		i := lowerBound(rows, lo-b.first)
		rows, weights = rows[i:], weights[i:]
	}
	addPostings(w, rows, weights, b.first-lo, q)
}

func (l *sealedList) weight(row uint32) (weight float32, ok bool) {
	if l.next(row) != row {
		return 0, false
	}
	b := l.blocks[l.block]
	i := 0
	switch b.width() {
	case 1:
		rows := part[uint8](l, b)
		i = lowerBound(rows, row-b.first)
		ok = i < len(rows) && uint32(rows[i]) == row-b.first
	case 2:
		rows := part[uint16](l, b)
		i = lowerBound(rows, row-b.first)
		ok = i < len(rows) && uint32(rows[i]) == row-b.first
	default:
		rows := part[uint32](l, b)
		i = lowerBound(rows, row-b.first)
		ok = i < len(rows) && rows[i] == row-b.first
	}
	if !ok {
		return 0, false
	}
	return l.weights()[i], true
}

// size returns the postings of the current block.
func (l *sealedList) size() uint32 {
	return min(l.count-uint32(l.block)*blockRows, blockRows)
}

// part views the rows of the current block b.
func part[T uint8 | uint16 | uint32](l *sealedList, b block) []T {
	return view[T](l.image, 4*uint64(b.at), uint64(l.size()))
}

// weights returns the weights of the current block; they hold until the next call.
func (l *sealedList) weights() []float32 {
	b, n := l.blocks[l.block], l.size()
	rows, length := b.bytes(n, l.number)
	at := 4*uint64(b.at) + rows
	if l.number == vec.F32 {
		return view[float32](l.image, at, uint64(n))
	}
	if l.buffer == nil {
		l.buffer = make([]float32, blockRows)
	}
	weights := l.buffer[:n]
	if l.held != l.block {
		decodeWeights(l.number, l.image[at:at+length], weights)
		l.held = l.block
	}
	return weights
}

// rows returns the rows of the current block.
func (l *sealedList) rows() []uint32 {
	b, n := l.blocks[l.block], l.size()
	rows := make([]uint32, 0, n)
	switch b.width() {
	case 1:
		rows = appendRows(rows, part[uint8](l, b), b.first)
	case 2:
		rows = appendRows(rows, part[uint16](l, b), b.first)
	default:
		rows = appendRows(rows, part[uint32](l, b), b.first)
	}
	return rows
}

func appendRows[T uint8 | uint16 | uint32](to []uint32, rows []T, first uint32) []uint32 {
	for _, row := range rows {
		to = append(to, first+uint32(row))
	}
	return to
}

// decodeWeights widens the weights of one block.
func decodeWeights(number vec.Type, from []byte, to []float32) {
	if number != vec.U8 {
		vec.Decode(number, from, to)
		return
	}
	scale := view[float32](from, 0, 2)
	for i := range to {
		to[i] = scale[0] + scale[1]*float32(from[8+i])
	}
}

// encodeWeights narrows weights behind to.
func encodeWeights(number vec.Type, weights []float32, to []byte) []byte {
	start := len(to)
	if number != vec.U8 {
		to = append(to, make([]byte, len(weights)*number.Size())...)
		vec.Encode(number, weights, to[start:])
		return to
	}
	low, high := weights[0], weights[0]
	for _, w := range weights {
		low, high = min(low, w), max(high, w)
	}
	step := (high - low) / 255
	scale := [2]float32{low, step}
	to = append(to, unsafe.Slice((*byte)(unsafe.Pointer(&scale)), 8)...)
	for _, w := range weights {
		code := byte(0)
		if step > 0 {
			code = byte(min(255, math.Round(float64((w-low)/step))))
		}
		to = append(to, code)
	}
	return to
}
