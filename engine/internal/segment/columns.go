package segment

import (
	"strconv"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/vec"
)

// The columns of a sealed segment. Rows are in id order: numbers first, then UUIDs, as two u64 each.

type idColumn struct {
	nums  numberColumn[uint64]
	uuids numberColumn[uint64]
}

func openIDs(n uint32, nums, uuids *section) idColumn {
	return idColumn{numbers[uint64](nums), numbers[uint64](uuids)}
}

func (c *idColumn) len() uint32 { return uint32(len(c.nums.list) + len(c.uuids.list)/2) }

func (c *idColumn) at(row uint32) sextant.PointID {
	n := uint32(len(c.nums.list))
	if row < n {
		return sextant.PointID{Lo: c.nums.at(row)}
	}
	return sextant.PointID{Hi: c.uuids.at(2 * (row - n)), Lo: c.uuids.at(2*(row-n) + 1), IsUUID: true}
}

// seek returns the first row with an id not below id.
func (c *idColumn) seek(id sextant.PointID) uint32 {
	n := uint32(len(c.nums.list))
	if !id.IsUUID {
		return seek(0, n, id.Lo, c.nums.at)
	}
	high := func(i uint32) uint64 { return c.uuids.at(2 * i) }
	low := func(i uint32) uint64 { return c.uuids.at(2*i + 1) }
	end := uint32(len(c.uuids.list) / 2)
	from := seek(0, end, id.Hi, high)
	if from < end && high(from) == id.Hi && low(from) < id.Lo {
		if id.Hi != ^uint64(0) {
			end = seek(from, end, id.Hi+1, high)
		}
		from = seek(from, end, id.Lo, low)
	}
	return n + from
}

// seek returns the first place in [lo, hi) of an ascending column that is not below x, or hi. It guesses by
// interpolation, since most ids are given out in sequence or evenly, and halves what is left between guesses, so that no
// distribution makes it slow.
func seek(lo, hi uint32, x uint64, at func(i uint32) uint64) uint32 {
	for lo < hi {
		first, last := at(lo), at(hi-1)
		if x <= first {
			return lo
		}
		if x > last {
			return hi
		}
		guess := lo + uint32(float64(x-first)/float64(last-first)*float64(hi-1-lo))
		if guess = min(max(guess, lo), hi-1); at(guess) < x {
			lo = guess + 1
		} else if guess == lo || at(guess-1) < x {
			return guess
		} else {
			hi = guess
		}
		if mid := lo + (hi-lo)/2; lo < hi {
			if at(mid) < x {
				lo = mid + 1
			} else {
				hi = mid
			}
		}
	}
	return lo
}

func (c *idColumn) find(id sextant.PointID) (uint32, bool) {
	row := c.seek(id)
	return row, row < c.len() && c.at(row) == id
}

// versionColumn keeps the difference to the smallest version in 32 bits, or versions as they are.
type versionColumn struct {
	base  uint64
	delta numberColumn[uint32]
	wide  numberColumn[uint64]
}

func (c *versionColumn) at(row uint32) uint64 {
	if c.wide.list != nil {
		return c.wide.at(row)
	}
	return c.base + uint64(c.delta.at(row))
}

// payloadColumn has one more offset than rows.
type payloadColumn struct {
	offsets numberColumn[uint64]
	bytes   *section
}

func (c *payloadColumn) at(row uint32) sextant.Payload {
	from, end := c.offsets.at(row), c.offsets.at(row+1)
	if from == end {
		return nil
	}
	return c.bytes.bytes(int64(from), int64(end-from))
}

func vectorSection(i int, part string) string { return "vec." + strconv.Itoa(i) + "." + part }

// sealedVectors is one vector name of a sealed segment: rows of one stride (Dense), or runs of rows or bytes between
// offsets (Multi: in rows, Sparse: in bytes).
type sealedVectors struct {
	spec    sextant.VectorSpec
	n       uint32
	count   uint32               // rows that have it
	present numberColumn[uint64] // a bit per row; none if all have it
	starts  numberColumn[uint64]
	rows    vec.Rows
	data    *section
}

func (v *sealedVectors) has(row uint32) bool {
	return v.count == v.n || v.present.at(row/64)>>(row%64)&1 != 0
}

func (v *sealedVectors) raw(row uint32) []byte {
	from, size := int64(row)*int64(v.rows.Stride), int64(rawSize(v.spec, sextant.Vector{}))
	if v.spec.Kind != sextant.Dense {
		from, size = int64(v.starts.at(row)), int64(v.starts.at(row+1)-v.starts.at(row))
		if v.spec.Kind == sextant.Multi {
			from, size = from*int64(v.rows.Stride), size*int64(v.rows.Stride)
		}
	}
	return v.data.bytes(from, size)
}

func (v *sealedVectors) value(row uint32) sextant.Vector { return decodeRaw(v.spec, v.raw(row)) }

func (v *sealedVectors) blocks() []block {
	return []block{{end: v.n, rows: v.rows, stored: v.data}}
}

func (v *sealedVectors) arenas() []vec.Rows { return []vec.Rows{v.rows} }

func (v *sealedVectors) span(row uint32) (arena int, first, n uint32) {
	from, end := v.starts.at(row), v.starts.at(row+1)
	v.data.bytes(int64(from)*int64(v.rows.Stride), int64(end-from)*int64(v.rows.Stride))
	return 0, uint32(from), uint32(end - from)
}
