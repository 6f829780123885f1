package segment

import (
	"maps"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/payload"
	"github.com/sextantdb/sextant/engine/internal/sparse"
	"github.com/sextantdb/sextant/engine/internal/vec"
)

// head is the segment that takes new rows. It is changed by the one writer; readers use the headView of a View.
type head struct {
	table    idTable // has the id column
	versions column[uint64]
	payloads column[ref]
	blobs    arena
	slots    map[slotKey]*headSlot          // replaced, never changed
	fields   map[slotKey]*payload.HeadField // likewise
	shape    int                            // counts changes of slots and fields
	runs     sortedRuns
	bytes    int64
}

// headSlot is one vector name in a head. Rows below base came before the name and have no such vector.
type headSlot struct {
	spec    sextant.VectorSpec
	base    uint32
	present column[uint8] // Dense: 1 if the row has the vector
	dense   rowColumn     // Dense
	refs    column[ref]   // Multi, Sparse: into blobs; noRef if the row lacks it
	blobs   arena
	index   *sparse.Head // Sparse
	count   uint32       // rows that have the vector, dead ones too
	inner   uint64       // as VectorMeta.Inner
	bytes   int64
}

func newHead(schema *Schema) *head {
	h := &head{slots: map[slotKey]*headSlot{}, fields: map[slotKey]*payload.HeadField{}}
	for name, slot := range schema.Vectors {
		h.slots[slotKey{name, slot.Seq}] = newHeadSlot(slot.Spec, 0)
	}
	for key, slot := range schema.Fields {
		h.addField(slotKey{key, slot.Seq}, slot.Spec)
	}
	return h
}

func newHeadSlot(spec sextant.VectorSpec, base uint32) *headSlot {
	s := &headSlot{spec: spec, base: base}
	s.dense.stride = rowsOf(spec, nil).Stride
	if spec.Kind == sextant.Sparse {
		s.index = sparse.NewHead()
	}
	return s
}

func (h *head) len() uint32 { return h.table.ids.n }

// addSlot makes room for a vector name that came to be after the head did.
func (h *head) addSlot(key slotKey, spec sextant.VectorSpec) {
	slots := maps.Clone(h.slots)
	slots[key] = newHeadSlot(spec, h.len())
	h.slots = slots
	h.shape++
}

// dropSlot forgets a vector name; views keep what they hold.
func (h *head) dropSlot(key slotKey) {
	slots := maps.Clone(h.slots)
	delete(slots, key)
	h.slots = slots
	h.shape++
}

// addField indexes a payload path, of the rows that are there already, too. A path that cannot be parsed, or settings that
// no index can be made of, give none: the schema has been checked where it was made.
func (h *head) addField(key slotKey, spec sextant.FieldSpec) {
	path, err := sextant.ParsePath(key.name)
	if err != nil {
		return
	}
	field := payload.NewHeadField(path, spec)
	for row := range h.len() {
		field.Add(row, h.payload(row))
	}
	fields := maps.Clone(h.fields)
	fields[key] = field
	h.fields = fields
	h.shape++
}

func (h *head) dropField(key slotKey) {
	fields := maps.Clone(h.fields)
	delete(fields, key)
	h.fields = fields
	h.shape++
}

// A row begins with one append to each slot and ends with finish.

func (s *headSlot) appendRaw(row uint32, raw []byte) {
	dst := s.next(len(raw))
	copy(dst, raw)
	s.note(row, dst)
}

func (s *headSlot) appendVector(row uint32, v sextant.Vector) {
	dst := s.next(rawSize(s.spec, v))
	encodeRaw(s.spec, v, dst)
	s.note(row, dst)
}

// next makes room for a vector of the next row.
func (s *headSlot) next(size int) []byte {
	s.count++
	if s.spec.Kind == sextant.Dense {
		s.present.append(1)
		s.bytes += int64(s.dense.stride) + 1
		return s.dense.grow()[:size]
	}
	dst, r := s.blobs.alloc(size)
	s.refs.append(r)
	s.bytes += int64(size) + 12
	return dst
}

// note counts and indexes a stored vector.
func (s *headSlot) note(row uint32, raw []byte) {
	switch s.spec.Kind {
	case sextant.Sparse:
		s.inner += uint64(len(raw) / 8)
		indices, values := decodeSparse(raw)
		s.index.Add(row, indices, values)
	case sextant.Multi:
		s.inner += uint64(len(raw) / s.dense.stride * s.spec.Dim)
	default:
		s.inner += uint64(s.spec.Dim)
	}
}

func (s *headSlot) appendNone() {
	if s.spec.Kind == sextant.Dense {
		s.dense.grow()
		s.present.append(0)
		s.bytes += int64(s.dense.stride) + 1
		return
	}
	s.refs.append(noRef)
	s.bytes += 12
}

// rowBytes is what a row costs beside its vectors and payload: id, older row, table, version, place of the payload.
const rowBytes = 24 + 4 + 6 + 8 + 12

// finish completes a row whose vectors were appended.
func (h *head) finish(id sextant.PointID, version uint64, doc sextant.Payload) {
	at := noRef
	if len(doc) > 0 && string(doc) != "{}" {
		dst, r := h.blobs.alloc(len(doc))
		copy(dst, doc)
		at = r
	}
	for _, field := range h.fields {
		field.Add(h.len(), doc)
	}
	h.payloads.append(at)
	h.versions.append(version)
	h.table.append(id)
	h.bytes += rowBytes + int64(len(doc))
}

// size returns the bytes that the head holds.
func (h *head) size() int64 {
	n := h.bytes
	for _, s := range h.slots {
		n += s.bytes
		if s.index != nil {
			n += s.index.Bytes()
		}
	}
	for _, field := range h.fields {
		n += field.Bytes()
	}
	return n
}

func (h *head) payload(row uint32) sextant.Payload {
	if r := h.payloads.at(row); r != noRef {
		return h.blobs.get(r)
	}
	return nil
}

func (h *head) rawVector(key slotKey, row uint32) ([]byte, bool) {
	s := h.slots[key]
	switch {
	case s == nil || row < s.base:
		return nil, false
	case s.spec.Kind != sextant.Dense:
		r := s.refs.at(row - s.base)
		if r == noRef {
			return nil, false
		}
		return s.blobs.get(r), true
	case s.present.at(row-s.base) == 0:
		return nil, false
	default:
		return s.dense.at(row - s.base)[:rawSize(s.spec, sextant.Vector{})], true
	}
}

// view captures what a reader may see: everything that is there now.
func (h *head) view() *headView {
	v := &headView{
		head: h, n: h.len(), ids: h.table.ids, versions: h.versions, payloads: h.payloads, blobs: h.blobs,
		slots: make(map[slotKey]*headVectors, len(h.slots)), fields: h.fields, shape: h.shape, bytes: h.bytes,
	}
	for key, s := range h.slots {
		v.slots[key] = &headVectors{
			spec: s.spec, base: s.base, end: v.n, present: s.present, dense: s.dense, refs: s.refs, blobs: s.blobs,
			index: s.index, count: s.count, inner: s.inner, bytes: s.bytes,
		}
	}
	return v
}

// headView is a head up to a row. The headers of the columns are copies; what they point at is shared with the writer, who
// only writes behind them.
type headView struct {
	head     *head // only for what synchronises by itself: table and runs
	n        uint32
	ids      column[sextant.PointID]
	versions column[uint64]
	payloads column[ref]
	blobs    arena
	slots    map[slotKey]*headVectors
	fields   map[slotKey]*payload.HeadField
	shape    int
	bytes    int64
}

func (v *headView) len() uint32                   { return v.n }
func (v *headView) id(row uint32) sextant.PointID { return v.ids.at(row) }
func (v *headView) version(row uint32) uint64     { return v.versions.at(row) }

func (v *headView) payload(row uint32) sextant.Payload {
	r := v.payloads.at(row)
	if r == noRef {
		return nil
	}
	return v.blobs.get(r)
}

func (v *headView) find(id sextant.PointID) (uint32, bool) { return v.head.table.find(id, v.n) }

func (v *headView) vectors(slot slotKey) vectors {
	if s := v.slots[slot]; s != nil {
		return s
	}
	return nil
}

// headVectors is one vector name of a headView.
type headVectors struct {
	spec      sextant.VectorSpec
	base, end uint32 // rows [base, end) may have the vector
	present   column[uint8]
	dense     rowColumn
	refs      column[ref]
	blobs     arena
	index     *sparse.Head
	count     uint32
	inner     uint64
	bytes     int64
}

func (v *headVectors) has(row uint32) bool {
	if row < v.base || row >= v.end {
		return false
	}
	if v.spec.Kind == sextant.Dense {
		return v.present.at(row-v.base) != 0
	}
	return v.refs.at(row-v.base) != noRef
}

func (v *headVectors) raw(row uint32) []byte {
	if v.spec.Kind == sextant.Dense {
		return v.dense.at(row - v.base)[:rawSize(v.spec, sextant.Vector{})]
	}
	return v.blobs.get(v.refs.at(row - v.base))
}

func (v *headVectors) value(row uint32) sextant.Vector { return decodeRaw(v.spec, v.raw(row)) }

// unchanged reports whether the head still is what the view saw.
func (v *headView) unchanged(h *head) bool {
	return v.n == h.len() && v.shape == h.shape
}

// blocks implements denseVectors: one block for each chunk of the column.
func (v *headVectors) blocks() []block {
	list := make([]block, 0, len(v.dense.chunks))
	for k, chunk := range v.dense.chunks {
		first := v.base + chunkStart(k)
		if end := min(first+uint32(chunkSize(k)), v.end); first < end {
			list = append(list, block{first: first, end: end, rows: rowsOf(v.spec, chunk)})
		}
	}
	return list
}

// arenas and span implement multiVectors.
func (v *headVectors) arenas() []vec.Rows {
	list := make([]vec.Rows, len(v.blobs.chunks))
	for i, chunk := range v.blobs.chunks {
		list[i] = rowsOf(v.spec, chunk)
	}
	return list
}

func (v *headVectors) span(row uint32) (arena int, first, n uint32) {
	r := v.refs.at(row - v.base)
	stride := uint32(v.dense.stride)
	return int(r.chunk), r.off / stride, r.n / stride
}
