package segment

import (
	"context"
	"encoding/binary"
	"slices"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/vec"
	"github.com/sextantdb/sextant/internal/task"
	"github.com/sextantdb/sextant/internal/vfs"
)

// ownFile is the size of a vector name's data from which it gets a file of its own.
const ownFile = 4 << 20

// BuildSegment writes one sealed segment that holds the live rows of the sources, as of the view that the sources come
// from, with all derived data that the schema and the settings ask for. One frozen head is sealed so; several segments are
// merged. The files are durable but for their names; nothing refers to them before the caller's manifest does, and after an
// error they are garbage. If no row is alive, no file is written and Meta.Rows is 0.
func BuildSegment(ctx context.Context, fs vfs.FS, dir, uuid string, sources []Part, schema Schema, tuning Tuning,
	p *task.Progress,
) (meta Meta, remap *Remap, err error) {
	defer border(&err)()
	b := &builder{ctx: ctx, fs: fs, dir: dir, schema: &schema, progress: p.Stage("copy_data")}
	b.meta.UUID = uuid
	remap = b.order(sources)
	if b.meta.Rows == 0 {
		return b.meta, remap, ctx.Err()
	}
	if err := b.copyRows(); err != nil {
		return meta, nil, err
	}
	seg, err := Open(fs, dir, b.meta)
	if err != nil {
		return meta, nil, err
	}
	defer seg.Release()
	for _, need := range b.meta.wanted(&schema, &tuning) {
		ref, err := BuildDerived(ctx, seg, need, tuning, p)
		if err != nil {
			return meta, nil, err
		}
		if _, err := seg.Attach(ref); err != nil {
			return meta, nil, err
		}
	}
	return seg.Meta(), remap, fs.SyncDir(dir)
}

// builder copies rows.
type builder struct {
	ctx      context.Context
	fs       vfs.FS
	dir      string
	schema   *Schema
	progress *task.Progress
	meta     Meta
	pieces   []*piece
	rows     []place // the rows to be, in id order
}

// place is a row of a source.
type place struct{ source, row uint32 }

// order finds the live rows of the sources in id order.
func (b *builder) order(sources []Part) *Remap {
	remap := &Remap{}
	var m merged
	number := map[*piece]uint32{}
	for i, src := range sources {
		p := src.piece()
		number[p] = uint32(i)
		b.pieces = append(b.pieces, p)
		moved := make([]uint32, p.len())
		for i := range moved {
			moved[i] = none
		}
		remap.sources = append(remap.sources, moves{src.ID, src.Tombs.set, moved})
		m.add(newCursor(p, nil, nil))
	}
	b.meta.MinSeq = ^uint64(0)
	for c := m.top(); c != nil; c = m.top() {
		at := place{number[c.p], c.row}
		remap.sources[at.source].rows[at.row] = uint32(len(b.rows))
		b.rows = append(b.rows, at)
		version := c.p.version(c.row)
		b.meta.MinSeq, b.meta.MaxSeq = min(b.meta.MinSeq, version), max(b.meta.MaxSeq, version)
		m.pop()
	}
	b.meta.Rows = uint32(len(b.rows))
	b.progress.Total(int64(len(b.rows)))
	return remap
}

// each visits the rows in order. It ends early when the writer failed or the build is cancelled.
func (b *builder) each(w *containerWriter, visit func(i int, p *piece, row uint32)) {
	for i, at := range b.rows {
		if i%1024 == 0 && w.err == nil {
			w.err = b.ctx.Err()
		}
		if w.err != nil {
			return
		}
		visit(i, b.pieces[at.source], at.row)
	}
}

func (b *builder) copyRows() error {
	w := newContainer(b.fs, b.dir, b.meta.UUID+".seg")
	b.copyIDs(w)
	b.copyVersions(w)
	b.copyPayloads(w)
	var own []FileRef
	for _, name := range sortedKeys(b.schema.Vectors) {
		slot := b.schema.Vectors[name]
		meta, present := b.surveyVectors(slotKey{name, slot.Seq}, slot.Spec)
		if meta.Count == 0 {
			continue
		}
		i := len(b.meta.Vectors)
		b.meta.Vectors = append(b.meta.Vectors, meta)
		if meta.Bytes() < ownFile {
			b.copyVectors(w, i, present)
			continue
		}
		alone := newContainer(b.fs, b.dir, b.meta.UUID+"-"+vectorSection(i, "seg"))
		b.copyVectors(alone, i, present)
		ref, err := alone.finish(VectorFile)
		if err != nil {
			w.abort()
			return err
		}
		ref.Of, ref.Seq = meta.Name, meta.Seq
		own = append(own, ref)
	}
	ref, err := w.finish(MainFile)
	b.meta.Files = append([]FileRef{ref}, own...)
	b.progress.Add(int64(len(b.rows)))
	return err
}

func (b *builder) copyIDs(w *containerWriter) {
	word := make([]byte, 0, 16)
	uuids := slices.IndexFunc(b.rows, func(at place) bool { return b.pieces[at.source].rows.id(at.row).IsUUID })
	if uuids < 0 {
		uuids = len(b.rows)
	}
	w.begin("ids.num", 8*int64(uuids))
	b.each(w, func(i int, p *piece, row uint32) {
		if i < uuids {
			w.write(binary.LittleEndian.AppendUint64(word, p.rows.id(row).Lo))
		}
	})
	w.end()
	w.begin("ids.uuid", 16*int64(len(b.rows)-uuids))
	b.each(w, func(i int, p *piece, row uint32) {
		if i >= uuids {
			id := p.rows.id(row)
			w.write(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(word, id.Hi), id.Lo))
		}
	})
	w.end()
}

func (b *builder) copyVersions(w *containerWriter) {
	word := make([]byte, 0, 8)
	base, wide := b.meta.MinSeq, b.meta.MaxSeq-b.meta.MinSeq > uint64(none)
	if wide {
		w.begin("versions.wide", 8*int64(len(b.rows)))
	} else {
		w.begin("versions", 4*int64(len(b.rows)))
	}
	b.each(w, func(_ int, p *piece, row uint32) {
		if v := p.version(row); wide {
			w.write(binary.LittleEndian.AppendUint64(word, v))
		} else {
			w.write(binary.LittleEndian.AppendUint32(word, uint32(v-base)))
		}
	})
	w.end()
}

func (b *builder) copyPayloads(w *containerWriter) {
	offsets := make([]byte, 0, 8*len(b.rows)+8)
	w.begin("payload", largeSection)
	b.each(w, func(_ int, p *piece, row uint32) {
		offsets = binary.LittleEndian.AppendUint64(offsets, uint64(b.meta.Payload))
		doc := p.payload(row)
		b.meta.Payload += int64(len(doc))
		w.write(doc)
	})
	w.end()
	w.section("payload.offsets", binary.LittleEndian.AppendUint64(offsets, uint64(b.meta.Payload)))
}

// surveyVectors counts the vectors of a name and lists the rows that have one as bits.
func (b *builder) surveyVectors(key slotKey, spec sextant.VectorSpec) (VectorMeta, []uint64) {
	meta := VectorMeta{Name: key.name, Seq: key.seq, Spec: spec}
	present := make([]uint64, (len(b.rows)+63)/64)
	from := b.vectorsOf(key)
	for i, at := range b.rows {
		v := from[at.source]
		if v == nil || !v.has(at.row) {
			continue
		}
		present[i/64] |= 1 << (i % 64)
		meta.Count++
		switch spec.Kind {
		case sextant.Sparse:
			meta.Inner += uint64(len(v.raw(at.row)) / 8)
		case sextant.Multi:
			meta.Inner += uint64(len(v.raw(at.row)) / vec.Stride(elementType(spec.Datatype), spec.Dim) * spec.Dim)
		default:
			meta.Inner += uint64(spec.Dim)
		}
	}
	return meta, present
}

func (b *builder) vectorsOf(key slotKey) []vectors {
	from := make([]vectors, len(b.pieces))
	for i, p := range b.pieces {
		from[i] = p.rows.vectors(key)
	}
	return from
}

// copyVectors writes the sections of a vector name. Stored bytes are copied, never coded anew.
func (b *builder) copyVectors(w *containerWriter, i int, present []uint64) {
	meta := b.meta.Vectors[i]
	from := b.vectorsOf(slotKey{meta.Name, meta.Seq})
	if meta.Count < b.meta.Rows {
		bits := make([]byte, 0, 8*len(present))
		for _, word := range present {
			bits = binary.LittleEndian.AppendUint64(bits, word)
		}
		w.section(vectorSection(i, "present"), bits)
	}
	has := func(row int) bool { return present[row/64]>>(row%64)&1 != 0 }
	stride := rowsOf(meta.Spec, nil).Stride
	if meta.Spec.Kind == sextant.Dense {
		full := make([]byte, stride)
		w.begin(vectorSection(i, "data"), int64(stride)*int64(len(b.rows)))
		b.each(w, func(to int, _ *piece, row uint32) {
			clear(full)
			if has(to) {
				copy(full, from[b.rows[to].source].raw(row))
			}
			w.write(full)
		})
		w.end()
		return
	}
	unit := uint64(stride)
	if meta.Spec.Kind == sextant.Sparse {
		unit = 1
	}
	starts := make([]byte, 0, 8*len(b.rows)+8)
	end := uint64(0)
	w.begin(vectorSection(i, "data"), largeSection)
	b.each(w, func(to int, _ *piece, row uint32) {
		starts = binary.LittleEndian.AppendUint64(starts, end/unit)
		if has(to) {
			raw := from[b.rows[to].source].raw(row)
			end += uint64(len(raw))
			w.write(raw)
		}
	})
	w.end()
	w.section(vectorSection(i, "starts"), binary.LittleEndian.AppendUint64(starts, end/unit))
}
