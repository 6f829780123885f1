package segment

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/vec"
)

// Points travel between replicas as batches, in the form in which they are stored, so that nothing is coded anew and both
// sides have the same bits. A batch is of one of three kinds:
//
//	 0  u8 kind: 1 points, 2 list of points, 3 ids
//	 1  u32 entries, little-endian
//	 5  entries in id order, numbers as uvarints:
//	      u8 1 for a UUID, then 16 bytes, or u8 0, then the number
//	    in points and lists: seq of the entry that changed it last
//	    in points: bytes of payload, then the payload
//	      per vector name of the schema, by name: 0 for none, or 1 + bytes, then the stored vector
//	end u32 CRC32C of everything before
type batchKind byte

const (
	pointBatch batchKind = 1 + iota
	listBatch
	idBatch

	batchHead = 5
)

// beginBatch returns the begin of a batch of a kind.
func beginBatch(kind batchKind) []byte { return []byte{byte(kind), 0, 0, 0, 0} }

// endBatch completes a batch of n entries; one without any is nil.
func endBatch(b []byte, n int) []byte {
	if n == 0 {
		return nil
	}
	binary.LittleEndian.PutUint32(b[1:], uint32(n))
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// openBatch returns the entries of a batch and how many there are, each of which has at least size bytes.
func openBatch(kind batchKind, batch []byte, size int) (r *feedReader, n int, err error) {
	if len(batch) < batchHead+4 {
		return nil, 0, badBatch("it has %d bytes", len(batch))
	}
	body := batch[:len(batch)-4]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(batch[len(body):]) {
		return nil, 0, badBatch("its checksum is wrong")
	}
	if batchKind(body[0]) != kind {
		return nil, 0, badBatch("it is of kind %d, not %d", body[0], kind)
	}
	entries := binary.LittleEndian.Uint32(body[1:])
	if uint64(entries)*uint64(size) > uint64(len(body)) {
		return nil, 0, badBatch("it is too short for %d entries", entries)
	}
	return &feedReader{b: body[batchHead:]}, int(entries), nil
}

func badBatch(format string, args ...any) error {
	return sextant.Errorf(sextant.WrongInput, "a batch of points cannot be read: %s", fmt.Sprintf(format, args...))
}

// Feed reads the points of a view, each once, in id order. It is used by one goroutine, and the view is held as long.
type Feed struct {
	slots []slotKey
	m     merged
	pick  []uint64 // the places among those that m walks of the points to give, as bits; nil: all
	place uint64   // of the next point
	err   error    // what ended it
}

// Feed returns a reader of all points.
func (v *View) Feed() (f *Feed, err error) {
	defer border(&err)()
	f = &Feed{slots: v.schema.slots()}
	for _, p := range v.pieces {
		if p.live() > 0 {
			f.m.add(newCursor(p, nil, nil))
		}
	}
	return f, nil
}

// Since returns a reader of the points that changed behind an entry, and how many they are. Segments that are not newer are not
// looked at, and of the others nothing but the versions.
func (v *View) Since(ctx context.Context, seq uint64) (f *Feed, n uint64, err error) {
	defer border(&err)()
	f = &Feed{slots: v.schema.slots()}
	for _, p := range v.pieces {
		if p.live() == 0 || p.sealed != nil && p.sealed.meta.MaxSeq <= seq {
			continue
		}
		newer := func(row uint32) bool { return p.version(row) > seq }
		before := n
		for row := range p.len() {
			if row%scanRows == 0 && ctx.Err() != nil {
				return nil, 0, ctx.Err()
			}
			if newer(row) && !p.tombs.has(row) {
				n++
			}
		}
		if n > before {
			f.m.add(newCursor(p, nil, newer))
		}
	}
	return f, n, nil
}

func (f *Feed) picked() bool {
	return f.pick == nil || f.pick[f.place/64]>>(f.place%64)&1 != 0
}

// slots returns the vector names in the order in which batches have them.
func (s *Schema) slots() []slotKey {
	list := make([]slotKey, 0, len(s.Vectors))
	for _, name := range sortedKeys(s.Vectors) {
		list = append(list, slotKey{name, s.Vectors[name].Seq})
	}
	return list
}

// Next returns the next points as one batch, at most maxPoints and, from the second one on, at most maxBytes; n is 0 at the end.
// After an error nothing follows.
func (f *Feed) Next(ctx context.Context, maxPoints, maxBytes int) (batch []byte, n int, err error) {
	if f.err != nil {
		return nil, 0, f.err
	}
	defer func() { f.err = err }()
	defer border(&err)()
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	batch = beginBatch(pointBatch)
	for n < maxPoints {
		c := f.m.top()
		if c == nil {
			break
		}
		if f.picked() {
			before := len(batch)
			batch = f.appendPoint(batch, c)
			if n > 0 && len(batch)+4 > maxBytes {
				batch = batch[:before]
				break
			}
			n++
		}
		if f.place++; f.place%scanRows == 0 && ctx.Err() != nil {
			return nil, 0, ctx.Err()
		}
		f.m.pop()
	}
	return endBatch(batch, n), n, nil
}

func (f *Feed) appendPoint(b []byte, c *cursor) []byte {
	b = appendID(b, c.id)
	b = binary.AppendUvarint(b, c.p.version(c.row))
	doc := c.p.payload(c.row)
	b = binary.AppendUvarint(b, uint64(len(doc)))
	b = append(b, doc...)
	for _, key := range f.slots {
		v := c.p.vectors(key)
		if v == nil || !v.has(c.row) {
			b = append(b, 0)
			continue
		}
		raw := v.raw(c.row)
		b = binary.AppendUvarint(b, uint64(len(raw))+1)
		b = append(b, raw...)
	}
	return b
}

func appendID(b []byte, id sextant.PointID) []byte {
	if id.IsUUID {
		return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(append(b, 1), id.Hi), id.Lo)
	}
	return binary.AppendUvarint(append(b, 0), id.Lo)
}

// fedPoint is a point of a batch. It aliases the batch.
type fedPoint struct {
	id      sextant.PointID
	version uint64
	payload sextant.Payload
	vectors [][]byte // as Schema.slots; nil: none
}

// feedReader takes a batch apart.
type feedReader struct {
	b   []byte
	bad string // "": all well
}

func (r *feedReader) fail(why string) {
	if r.bad == "" {
		r.bad = why
	}
	r.b = nil
}

func (r *feedReader) number() uint64 {
	x, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail("it ends early")
		return 0
	}
	r.b = r.b[n:]
	return x
}

func (r *feedReader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail("it ends early")
		return nil
	}
	out := r.b[:n:n]
	r.b = r.b[n:]
	return out
}

func (r *feedReader) id() sextant.PointID {
	switch kind := r.bytes(1); {
	case r.bad != "":
	case kind[0] == 0:
		return sextant.PointID{Lo: r.number()}
	case kind[0] == 1:
		if b := r.bytes(16); r.bad == "" {
			return sextant.PointID{Hi: binary.BigEndian.Uint64(b), Lo: binary.BigEndian.Uint64(b[8:]), IsUUID: true}
		}
	default:
		r.fail("an id is of an unknown kind")
	}
	return sextant.PointID{}
}

// entry says whether entry i of n, with an id that must be above after, was read.
func (r *feedReader) entry(i, n int, id sextant.PointID, after *sextant.PointID) error {
	if r.bad != "" {
		return badBatch("entry %d of %d: %s", i+1, n, r.bad)
	}
	if after != nil && after.Compare(id) >= 0 {
		return badBatch("point %s comes behind %s", id, after)
	}
	return nil
}

func (r *feedReader) end() error {
	if len(r.b) > 0 {
		return badBatch("%d bytes follow the last entry", len(r.b))
	}
	return nil
}

// readBatch takes a batch of points apart and makes sure that it can be stored: ids rise, from above after on, and vectors are such as the
// schema has.
func readBatch(schema *Schema, batch []byte, after *sextant.PointID, newest uint64) ([]fedPoint, error) {
	slots := schema.slots()
	r, n, err := openBatch(pointBatch, batch, 4+len(slots))
	if err != nil {
		return nil, err
	}
	points := make([]fedPoint, n)
	all := make([][]byte, n*len(slots))
	for i := range points {
		p := &points[i]
		p.id, p.version = r.id(), r.number()
		p.payload = r.bytes(r.number())
		p.vectors = all[i*len(slots) : (i+1)*len(slots)]
		for j, key := range slots {
			if size := r.number(); size > 0 {
				p.vectors[j] = r.bytes(size - 1)
				if why := fits(schema.Vectors[key.name].Spec, p.vectors[j]); why != "" && r.bad == "" {
					return nil, badBatch("vector %q of point %s: %s", key.name, p.id, why)
				}
			}
		}
		if err := r.entry(i, n, p.id, after); err != nil {
			return nil, err
		}
		if p.version > newest {
			return nil, badBatch("point %s is of entry %d, behind %d", p.id, p.version, newest)
		}
		after = &p.id
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return points, nil
}

// fits says why bytes are no stored vector of a spec, "" if they are.
func fits(spec sextant.VectorSpec, raw []byte) string {
	switch spec.Kind {
	case sextant.Sparse:
		if len(raw)%8 != 0 {
			return fmt.Sprintf("%d bytes are no sparse vector", len(raw))
		}
		for i := 4; i < len(raw)/2; i += 4 {
			if binary.LittleEndian.Uint32(raw[i-4:]) >= binary.LittleEndian.Uint32(raw[i:]) {
				return "its indices do not rise"
			}
		}
	case sextant.Multi:
		stride := vec.Stride(elementType(spec.Datatype), spec.Dim)
		if len(raw) == 0 || len(raw)%stride != 0 || len(raw)/stride*spec.Dim >= sextant.MaxMultiElements {
			return fmt.Sprintf("%d bytes are no rows of %d", len(raw), stride)
		}
	default:
		if want := rawSize(spec, sextant.Vector{}); len(raw) != want {
			return fmt.Sprintf("it has %d bytes, not %d", len(raw), want)
		}
	}
	return ""
}

// Take adds the points of a batch, or puts them in the place of what is there; see View.Feed. Ids must be above after, if that is
// not nil; the last one is returned. fresh says that none of the points is there yet. A batch that cannot be stored changes nothing.
func (s *State) Take(batch []byte, after *sextant.PointID, fresh bool) (n int, last *sextant.PointID, err error) {
	defer border(&err)()
	points, err := readBatch(&s.schema, batch, after, s.seq)
	if err != nil {
		return 0, after, err
	}
	slots := s.schema.slots()
	for i := range points {
		p := &points[i]
		if !fresh {
			if old, row, ok := s.find(p.id); ok {
				s.kill(old, row)
			}
		}
		h := s.head().head
		for j, key := range slots {
			if raw := p.vectors[j]; raw != nil {
				h.slots[key].appendRaw(h.len(), raw)
			} else {
				h.slots[key].appendNone()
			}
		}
		h.finish(p.id, p.version, p.payload)
		s.digest.add(p.id, p.version)
		id := p.id
		after = &id
	}
	return len(points), after, nil
}
