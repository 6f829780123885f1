package payload

import (
	"cmp"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math"
	"slices"

	"github.com/sextantdb/sextant"
)

// BuildField writes the sealed index of a field over the rows [0,n) of a segment. payload is asked for each row once, in
// order; what it returns is not kept. Every few thousand rows w gets an empty write, so that it can cancel by failing.
func BuildField(key sextant.Path, spec sextant.FieldSpec, n uint32, payload func(row uint32) sextant.Payload, w io.Writer) error {
	r, err := newReader(key, spec)
	if err != nil {
		return err
	}
	b := builder{n: n, typ: spec.Type}
	b.form, _ = formOf(spec.Type)
	if b.form == termsForm {
		b.names = newInterner()
	}
	for row := range n {
		if row%4096 == 0 {
			if _, err := w.Write(nil); err != nil {
				return err
			}
		}
		r.read(payload(row))
		b.add(r, row)
	}
	switch b.form {
	case numbersForm:
		b.sealNumbers()
	case termsForm:
		b.sealTerms()
	case placesForm:
		b.sealPlaces()
	}
	b.sealStates()
	return b.write(w)
}

type builder struct {
	n    uint32
	typ  sextant.FieldType
	form form

	pairs  []pair // numbersForm
	names  *interner
	ids    []uint32 // of the row at hand
	counts []uint32 // termsForm: entries by id
	pool   []entry
	places []place
	sets   [states][]uint32

	// As in the file.
	flags, dense, terms, tiles uint32
	entries                    uint64
	section                    [sections][]byte
	stateCount                 [states]uint32
}

type pair struct {
	key int64
	row uint32
}

type entry struct{ id, row uint32 }

type place struct {
	sextant.GeoPoint
	row uint32
}

func (b *builder) add(r *reader, row uint32) {
	values := 0
	switch b.form {
	case numbersForm:
		values = len(r.keys)
		for _, key := range r.keys {
			b.pairs = append(b.pairs, pair{key, row})
		}
	case termsForm:
		b.ids = r.intern(b.names, b.ids)
		values = len(b.ids)
		for _, id := range b.ids {
			if int(id) == len(b.counts) {
				b.counts = append(b.counts, 0)
			}
			b.counts[id]++
			b.pool = append(b.pool, entry{id, row})
		}
	case placesForm:
		values = len(r.places)
		for _, p := range r.places {
			b.places = append(b.places, place{p, row})
		}
	}
	b.entries += uint64(values)
	r.states(values, func(k stateKind) { b.sets[k] = append(b.sets[k], row) })
}

func (b *builder) sealNumbers() {
	slices.SortFunc(b.pairs, func(x, y pair) int { return cmp.Or(cmp.Compare(x.key, y.key), cmp.Compare(x.row, y.row)) })
	var keys []int64
	var starts []uint32
	rows := make([]uint32, len(b.pairs))
	for i, p := range b.pairs {
		if i == 0 || p.key != b.pairs[i-1].key {
			keys, starts = append(keys, p.key), append(starts, uint32(i))
		}
		rows[i] = p.row
	}
	b.section[keySection] = bytesOf(keys)
	b.postings(append(starts, uint32(len(rows))), rows)
}

func (b *builder) sealTerms() {
	order := make([]uint32, b.names.len())
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(x, y uint32) int {
		return cmp.Compare(view(b.names.name(x)), view(b.names.name(y)))
	})
	starts := make([]uint32, 1, len(order)+1)
	next := make([]uint32, len(order)) // by id: where its next row goes
	ends := make([]uint32, 0, len(order))
	blob := make([]byte, 0, len(b.names.arena))
	for _, id := range order {
		next[id] = starts[len(starts)-1]
		starts = append(starts, next[id]+b.counts[id])
		blob = append(blob, b.names.name(id)...)
		ends = append(ends, uint32(len(blob)))
	}
	rows := make([]uint32, len(b.pool))
	for _, e := range b.pool {
		rows[next[e.id]] = e.row
		next[e.id]++
	}
	b.section[endSection], b.section[blobSection] = bytesOf(ends), blob
	b.postings(starts, rows)
}

// postings lays out the rows of ascending terms, turning long lists into bitsets.
func (b *builder) postings(starts, rows []uint32) {
	b.terms = uint32(len(starts) - 1)
	if len(rows) == int(b.terms) {
		b.flags |= uniqueFlag
	} else {
		b.section[startSection] = bytesOf(starts)
	}
	var dense []uint32
	var bitsets []uint64
	skipped := uint32(0)
	kept := rows[:0]
	for t := range b.terms {
		list := rows[starts[t]:starts[t+1]]
		if uint64(len(list))*denseShare <= uint64(b.n) {
			kept = append(kept, list...)
			continue
		}
		skipped += uint32(len(list))
		dense = append(dense, t, skipped)
		bitsets = append(bitsets, bitset(list, b.n)...)
	}
	b.dense = uint32(len(dense) / 2)
	b.section[rowSection], b.section[denseSection], b.section[bitSection] = bytesOf(kept), bytesOf(dense), bytesOf(bitsets)
}

func bitset(rows []uint32, n uint32) []uint64 {
	set := make([]uint64, words(n))
	for _, r := range rows {
		set[r/64] |= 1 << (r % 64)
	}
	return set
}

func (b *builder) sealPlaces() {
	if len(b.places) == 0 {
		return
	}
	slices.SortFunc(b.places, func(x, y place) int { return cmp.Or(cmp.Compare(x.Lat, y.Lat), cmp.Compare(x.row, y.row)) })
	size := max(16, int(math.Sqrt(float64(len(b.places)))))
	lons, lats := make([]float64, 0, len(b.places)), make([]float64, 0, len(b.places))
	rows := make([]uint32, 0, len(b.places))
	var starts []uint32
	var latitudes []float64
	for tile := range slices.Chunk(b.places, size) {
		starts = append(starts, uint32(len(rows)))
		latitudes = append(latitudes, tile[0].Lat, tile[len(tile)-1].Lat)
		slices.SortFunc(tile, func(x, y place) int { return cmp.Or(cmp.Compare(x.Lon, y.Lon), cmp.Compare(x.row, y.row)) })
		for _, p := range tile {
			lons, lats, rows = append(lons, p.Lon), append(lats, p.Lat), append(rows, p.row)
		}
	}
	b.tiles = uint32(len(starts))
	starts = append(starts, uint32(len(rows)))
	b.section[keySection], b.section[blobSection] = bytesOf(lons), bytesOf(lats)
	b.section[startSection], b.section[denseSection], b.section[rowSection] = bytesOf(starts), bytesOf(latitudes), bytesOf(rows)
}

func (b *builder) sealStates() {
	for k, rows := range b.sets {
		b.stateCount[k] = uint32(len(rows))
		if uint64(len(rows))*denseShare > uint64(b.n) {
			b.stateCount[k] |= bitsetMark
			b.section[stateSection+section(k)] = bytesOf(bitset(rows, b.n))
		} else {
			b.section[stateSection+section(k)] = bytesOf(rows)
		}
	}
}

func (b *builder) write(w io.Writer) error {
	if b.entries > math.MaxUint32 || len(b.section[blobSection]) > math.MaxUint32 || b.n >= bitsetMark {
		return sextant.Errorf(sextant.Internal, "%d values of %d rows are too many for one field index", b.entries, b.n)
	}
	head := make([]byte, 0, headerBytes)
	head = append(head, magic[:]...)
	le := binary.LittleEndian
	head = le.AppendUint32(head, formatVersion)
	head = append(head, typeCode(b.typ), byte(b.flags), 0, 0)
	for _, v := range []uint32{b.n, uint32(b.entries), b.terms, b.dense, b.tiles} {
		head = le.AppendUint32(head, v)
	}
	for _, v := range b.stateCount {
		head = le.AppendUint32(head, v)
	}
	var table []byte
	var crc uint32
	var padding [8]byte
	end := uint64(headerBytes)
	for _, s := range b.section {
		table = le.AppendUint64(table, end)
		table = le.AppendUint64(table, uint64(len(s)))
		crc = crc32.Update(crc, castagnoli, s)
		pad := padding[:-len(s)&7]
		crc = crc32.Update(crc, castagnoli, pad)
		end += uint64(len(s) + len(pad))
	}
	head = le.AppendUint64(head, end)
	head = append(head, table...)
	head = le.AppendUint32(head, crc)
	head = le.AppendUint32(head, crc32.Checksum(head, castagnoli))
	if _, err := w.Write(head); err != nil {
		return err
	}
	for _, s := range b.section {
		for len(s) > 0 { // in pieces, between which w may cancel
			piece := s[:min(len(s), 1<<20)]
			if _, err := w.Write(piece); err != nil {
				return err
			}
			s = s[len(piece):]
			if len(s) == 0 && len(piece)&7 != 0 {
				if _, err := w.Write(padding[:-len(piece)&7]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
