package sparse

import (
	"context"
	"math/bits"
	"slices"
)

// Search returns the K best rows, best first.
func (x *Index) Search(ctx context.Context, q Query) ([]Hit, error) {
	lists := make([]list, len(q.Indices))
	postings := uint64(0)
	for i, index := range q.Indices {
		if at, ok := slices.BinarySearch(x.indices, index); ok {
			lists[i] = x.list(at)
			postings += uint64(x.counts[at])
		}
	}
	return run(ctx, &q, x.rows, postings, lists)
}

// DF returns how many rows have the index, of all or of the alive ones.
func (x *Index) DF(index uint32, alive []uint64) uint64 {
	at, ok := slices.BinarySearch(x.indices, index)
	if !ok {
		return 0
	}
	if alive == nil {
		return uint64(x.counts[at])
	}
	n := uint64(0)
	for l := x.list(at); l.block < len(l.blocks); l.block++ {
		switch b := l.blocks[l.block]; b.width() {
		case 1:
			n += countAlive(part[uint8](l, b), b.first, alive)
		case 2:
			n += countAlive(part[uint16](l, b), b.first, alive)
		default:
			n += countAlive(part[uint32](l, b), b.first, alive)
		}
	}
	return n
}

// Vectors returns how many rows have a vector, be it empty, of all or of the alive ones.
func (x *Index) Vectors(alive []uint64) uint64 {
	if alive == nil {
		return uint64(x.vectors)
	}
	return countBoth(x.present, alive)
}

// Postings returns the number of non-zero entries of all vectors.
func (x *Index) Postings() uint64 { return x.postings }

func countBoth(a, b []uint64) (n uint64) {
	for i := range min(len(a), len(b)) {
		n += uint64(bits.OnesCount64(a[i] & b[i]))
	}
	return n
}

// countAlive counts the alive ones of the rows first+row.
func countAlive[T uint8 | uint16 | uint32](rows []T, first uint32, alive []uint64) (n uint64) {
	for _, row := range rows {
		r := first + uint32(row)
		if w := int(r / 64); w < len(alive) {
			n += alive[w] >> (r % 64) & 1
		}
	}
	return n
}
