package segment

import (
	"context"
	"encoding/binary"
	"math"
	"slices"

	"github.com/sextantdb/sextant"
)

// Two views of one shard are compared by (id, version) in three steps, each of which says more about less: the sums of the
// digest's 1024 ranges; sums of buckets, the same ranges cut finer, where those differ; the list of points where those differ.
//
// A bucket of `bits` is numbered by the first 10+bits bits of the ids' hashes, so bucket>>bits is its range.

// MaxBucketBits is the finest that ranges are cut: their sums take 128 MB then.
const MaxBucketBits = 14

func bucketOf(id sextant.PointID, bits uint8) uint32 { return uint32(hashID(id) >> (54 - bits)) }

// Sums returns the sum of each bucket, which is a digest with finer ranges.
func (v *View) Sums(ctx context.Context, bits uint8) (sums []uint64, err error) {
	defer border(&err)()
	sums = make([]uint64, 1024<<bits)
	for _, p := range v.pieces {
		for row := range p.len() {
			if row%scanRows == 0 && ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if !p.tombs.has(row) {
				id := p.rows.id(row)
				h := hashID(id)
				sums[h>>(54-bits)] += mix(h, id, p.version(row))
			}
		}
	}
	return sums, nil
}

// Buckets is a set of buckets.
type Buckets struct {
	Bits uint8
	set  []uint64
}

// NewBuckets returns an empty set.
func NewBuckets(bits uint8) *Buckets {
	return &Buckets{Bits: bits, set: make([]uint64, (1024<<bits)/64)}
}

// Add puts a bucket in.
func (b *Buckets) Add(bucket uint32) error {
	if int(bucket/64) >= len(b.set) {
		return sextant.Errorf(sextant.WrongInput, "there is no bucket %d of %d bits", bucket, b.Bits)
	}
	b.set[bucket/64] |= 1 << (bucket % 64)
	return nil
}

func (b *Buckets) has(id sextant.PointID) bool {
	n := bucketOf(id, b.Bits)
	return b.set[n/64]>>(n%64)&1 != 0
}

// in walks the points of some buckets.
func (v *View) in(only *Buckets) (m merged) {
	for _, p := range v.pieces {
		if p.live() > 0 {
			m.add(newCursor(p, nil, func(row uint32) bool { return only.has(p.rows.id(row)) }))
		}
	}
	return m
}

// Lister lists the points of some buckets, in id order. It is used by one goroutine, and the view is held as long.
type Lister struct{ m merged }

// List returns a lister.
func (v *View) List(only *Buckets) (l *Lister, err error) {
	defer border(&err)()
	return &Lister{v.in(only)}, nil
}

// Next returns the next entries as a batch of at most maxBytes or one entry; n is 0 at the end.
func (l *Lister) Next(ctx context.Context, maxBytes int) (list []byte, n int, err error) {
	defer border(&err)()
	list = beginBatch(listBatch)
	for steps := 0; len(list)+4+27 <= maxBytes || n == 0; steps++ { // an entry has at most 27 bytes
		c := l.m.top()
		if c == nil {
			break
		}
		if steps%scanRows == 0 && ctx.Err() != nil {
			return nil, 0, ctx.Err()
		}
		list = binary.AppendUvarint(appendID(list, c.id), c.p.version(c.row))
		n++
		l.m.pop()
	}
	return endBatch(list, n), n, nil
}

// Differ compares the points of a view with the lists of another one.
type Differ struct {
	v     *View
	m     merged
	only  *Buckets
	place uint64   // of the next point of m
	send  []uint64 // places of points that the other lacks or has of another version, as bits
	count uint64   // of them
	last  *sextant.PointID
}

// Differ returns a Differ for lists of some buckets.
func (v *View) Differ(only *Buckets) (d *Differ, err error) {
	defer border(&err)()
	return &Differ{v: v, m: v.in(only), only: only}, nil
}

// Feed returns a reader of the points that the other view lacks or has of another version, and how many they are. It is called behind the
// last list.
func (d *Differ) Feed() (f *Feed, n uint64, err error) {
	defer border(&err)()
	return &Feed{slots: d.v.schema.slots(), m: d.v.in(d.only), pick: d.send}, d.count, nil
}

// Next takes the next list, nil at the end, and returns the ids that the view does not have as a batch for State.Delete, nil if
// it has all of them.
func (d *Differ) Next(ctx context.Context, list []byte) (gone []byte, err error) {
	defer border(&err)()
	if list == nil {
		return nil, d.pass(ctx, nil)
	}
	r, n, err := openBatch(listBatch, list, 3)
	if err != nil {
		return nil, err
	}
	gone = beginBatch(idBatch)
	dead := 0
	for i := range n {
		id, version := r.id(), r.number()
		if err := r.entry(i, n, id, d.last); err != nil {
			return nil, err
		}
		if !d.only.has(id) {
			return nil, badBatch("point %s was not asked for", id)
		}
		d.last = &id
		if err := d.pass(ctx, &id); err != nil {
			return nil, err
		}
		if c := d.m.top(); c == nil || c.id != id {
			gone = appendID(gone, id)
			dead++
		} else {
			d.step(c.p.version(c.row) != version)
		}
	}
	return endBatch(gone, dead), r.end()
}

// step goes on to the next point, and has the present one sent or not.
func (d *Differ) step(send bool) {
	if d.place%64 == 0 {
		d.send = append(d.send, 0)
	}
	if send {
		d.send[d.place/64] |= 1 << (d.place % 64)
		d.count++
	}
	d.place++
	d.m.pop()
}

// pass goes over the points before id, nil: all that are left. The other view does not have them.
func (d *Differ) pass(ctx context.Context, id *sextant.PointID) error {
	for c := d.m.top(); c != nil && (id == nil || c.id.Compare(*id) < 0); c = d.m.top() {
		if d.place%scanRows == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		d.step(true)
	}
	return nil
}

// Delete removes the points of a batch of ids. Those that are not there are passed over.
func (s *State) Delete(batch []byte) (n int, err error) {
	defer border(&err)()
	r, n, err := openBatch(idBatch, batch, 2)
	if err != nil {
		return 0, err
	}
	ids := make([]sextant.PointID, n)
	for i := range ids {
		ids[i] = r.id()
		var after *sextant.PointID
		if i > 0 {
			after = &ids[i-1]
		}
		if err := r.entry(i, n, ids[i], after); err != nil {
			return 0, err
		}
	}
	if err := r.end(); err != nil {
		return 0, err
	}
	for _, id := range ids {
		if p, row, ok := s.find(id); ok {
			s.kill(p, row)
		}
	}
	return n, nil
}

// Differing returns the ranges in which two digests differ.
func (d *Digest) Differing(other *Digest) (ranges []uint16) {
	for i := range d {
		if d[i] != other[i] {
			ranges = append(ranges, uint16(i))
		}
	}
	return ranges
}

// BucketBits says how fine to cut the ranges, of which some differ, so that the fewest bytes go over the wire: fine buckets cost
// sums, coarse ones make long lists. How many ids differ follows from how many of the 1024 ranges they fall into; where they fall
// into all, it is taken for the number that just about does.
func BucketBits(points uint64, ranges int) (bits uint8) {
	const sum, number, entry = 8, 4, 16 // bytes of the sum of a bucket, of a bucket to be listed, of a point in a list
	ids := -1024 * math.Log(1-min(float64(ranges), 1023.5)/1024)
	least := math.Inf(1)
	for b := range uint8(MaxBucketBits + 1) {
		all := float64(int64(1024) << b)
		cost := sum*float64(ranges<<b) + all*(1-math.Exp(-ids/all))*(number+entry*float64(points)/all)
		if cost < least {
			bits, least = b, cost
		}
	}
	return bits
}

// PickSums returns the sums of the buckets of some ranges, in their order, as 8 bytes each.
func PickSums(sums []uint64, ranges []uint16, bits uint8) ([]byte, error) {
	if err := checkRanges(ranges); err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(ranges)<<bits*8)
	for _, r := range ranges {
		for _, sum := range sums[int(r)<<bits : (int(r)+1)<<bits] {
			out = binary.LittleEndian.AppendUint64(out, sum)
		}
	}
	return out, nil
}

// DifferingBuckets compares them with those of another view.
func DifferingBuckets(sums []uint64, ranges []uint16, bits uint8, other []byte) (buckets []uint32, err error) {
	mine, err := PickSums(sums, ranges, bits)
	if err != nil {
		return nil, err
	}
	if len(mine) != len(other) {
		return nil, sextant.Errorf(sextant.WrongInput, "%d bytes of sums, want %d", len(other), len(mine))
	}
	for i := 0; i < len(mine); i += 8 {
		if !slices.Equal(mine[i:i+8], other[i:i+8]) {
			n := i / 8
			buckets = append(buckets, uint32(ranges[n>>bits])<<bits|uint32(n&(1<<bits-1)))
		}
	}
	return buckets, nil
}

func checkRanges(ranges []uint16) error {
	for _, r := range ranges {
		if r >= 1024 {
			return sextant.Errorf(sextant.WrongInput, "there is no range %d", r)
		}
	}
	return nil
}
