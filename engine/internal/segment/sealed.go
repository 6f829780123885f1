package segment

import (
	"errors"
	"path"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/invariant"
	"github.com/sextantdb/sextant/internal/vfs"
)

// FileRef names one file of a sealed segment. Kind is MainFile or VectorFile for stored data, and otherwise that of a Need.
type FileRef struct {
	Kind   Kind   `json:"kind"`
	Of     string `json:"of,omitempty"`     // vector name or field key
	Seq    uint64 `json:"seq,omitempty"`    // that made the vector name or field
	Config string `json:"config,omitempty"` // of derived data: the settings it was built with
	Name   string `json:"name"`             // in the directory
	Bytes  int64  `json:"bytes"`
	CRC    uint32 `json:"crc"` // CRC32C of the whole file
}

// Kind tells the files of a sealed segment apart.
type Kind string

const (
	MainFile   Kind = "main"       // ids, versions, payloads, small vectors
	VectorFile Kind = "vectors"    // one vector name
	GraphFile  Kind = "graph"      // derived: over one dense vector name
	CodesFile  Kind = "codes"      // derived: of one dense vector name
	SparseFile Kind = "sparse"     // derived: inverted lists of one sparse vector name
	FieldFile  Kind = "field"      // derived: payload index
	TombFile   Kind = "tombstones" // beside the segment, one per checkpoint
)

// Meta describes a sealed segment in the manifest.
type Meta struct {
	UUID    string       `json:"uuid"`
	Rows    uint32       `json:"rows"`
	MinSeq  uint64       `json:"min_seq"` // of the versions of its rows
	MaxSeq  uint64       `json:"max_seq"`
	Payload int64        `json:"payload"` // bytes
	Vectors []VectorMeta `json:"vectors,omitempty"`
	Files   []FileRef    `json:"files"`
}

// VectorMeta describes one vector name of a sealed segment.
type VectorMeta struct {
	Name  string             `json:"name"`
	Seq   uint64             `json:"seq,omitempty"`
	Spec  sextant.VectorSpec `json:"spec"`
	Count uint32             `json:"count"` // rows that have it
	Inner uint64             `json:"inner"` // components of dense and multi vectors, entries of sparse ones
}

// Bytes returns the size of the vectors as thresholds count it: components times their size.
func (m VectorMeta) Bytes() int64 {
	if m.Spec.Kind == sextant.Sparse {
		return 8 * int64(m.Inner)
	}
	return int64(m.Inner) * int64(elementType(m.Spec.Datatype).Size())
}

// Bytes returns the size of all files.
func (m Meta) Bytes() (n int64) {
	for _, f := range m.Files {
		n += f.Bytes
	}
	return n
}

// Sealed is a sealed segment: mapped files and the readers over them. Views and the State hold references to it; with the
// last one its files are unmapped, and removed if it was discarded.
type Sealed struct {
	fs      vfs.FS
	dir     string
	meta    Meta
	ids     idColumn
	vers    versionColumn
	pay     payloadColumn
	slots   map[slotKey]vectors
	stored  []*stored
	refs    atomic.Int64
	discard atomic.Bool

	derived atomic.Pointer[derivedSet]
	mu      sync.Mutex // guards changes of derived and old
	old     []*derived // replaced, kept mapped for readers that may still use them
}

// Open maps the files of a sealed segment and looks at their headers. The caller gets one reference. A stored file that
// cannot be used is an error (sextant.Corrupt); a derived one is left out, and Needs asks for it again.
func Open(fs vfs.FS, dir string, m Meta) (_ *Sealed, err error) {
	defer border(&err)()
	s := &Sealed{fs: fs, dir: dir, meta: m, slots: map[slotKey]vectors{}}
	s.refs.Store(1)
	sections := map[string]*section{}
	set := derivedSet{}
	for _, ref := range m.Files {
		if ref.Kind != MainFile && ref.Kind != VectorFile {
			if d, err := openDerived(fs, dir, ref); err == nil {
				set[d.key()] = d
			} else if sextant.KindOf(err) != sextant.Corrupt {
				s.unmap()
				return nil, err
			}
			continue
		}
		f, err := openStored(fs, dir, ref)
		if err != nil {
			s.unmap()
			return nil, err
		}
		f.mapping.Advise(vfs.Random, 0, len(f.data))
		s.stored = append(s.stored, f)
		for i := range f.sections {
			sections[f.sections[i].name] = &f.sections[i]
		}
	}
	s.derived.Store(&set)
	if err := s.lay(sections); err != nil {
		s.unmap()
		return nil, err
	}
	return s, nil
}

// lay puts the columns over their sections.
func (s *Sealed) lay(sections map[string]*section) error {
	n := s.meta.Rows
	sized := func(name string, size int64) *section {
		if sec := sections[name]; sec != nil && (size < 0 || sec.n == size) {
			return sec
		}
		damaged(path.Join(s.dir, s.meta.UUID), 0, "section "+name+" is missing or has another size")
		return nil
	}
	s.ids = openIDs(n, sections["ids.num"], sections["ids.uuid"])
	if s.ids.len() != n {
		sized("ids", int64(n))
	}
	s.vers = versionColumn{base: s.meta.MinSeq}
	if sections["versions.wide"] != nil {
		s.vers.wide = numbers[uint64](sized("versions.wide", 8*int64(n)))
	} else {
		s.vers.delta = numbers[uint32](sized("versions", 4*int64(n)))
	}
	s.pay = payloadColumn{
		offsets: numbers[uint64](sized("payload.offsets", 8*int64(n)+8)),
		bytes:   sized("payload", -1),
	}
	for i, m := range s.meta.Vectors {
		v := &sealedVectors{spec: m.Spec, count: m.Count, n: n, rows: rowsOf(m.Spec, nil)}
		if m.Count < n {
			v.present = numbers[uint64](sized(vectorSection(i, "present"), 8*int64((n+63)/64)))
		}
		size := int64(-1)
		if m.Spec.Kind == sextant.Dense {
			size = int64(n) * int64(v.rows.Stride)
		} else {
			v.starts = numbers[uint64](sized(vectorSection(i, "starts"), 8*int64(n)+8))
		}
		v.data = sized(vectorSection(i, "data"), size)
		v.rows.Data = v.data.raw()
		s.slots[slotKey{m.Name, m.Seq}] = v
	}
	return nil
}

// Meta describes the segment with the derived files that it has now.
func (s *Sealed) Meta() Meta {
	m := s.meta
	m.Files = nil
	for _, f := range s.meta.Files {
		if f.Kind == MainFile || f.Kind == VectorFile {
			m.Files = append(m.Files, f)
		}
	}
	for _, d := range *s.derived.Load() {
		if !d.bad.Load() {
			m.Files = append(m.Files, d.ref)
		}
	}
	slices.SortFunc(m.Files, func(a, b FileRef) int {
		switch {
		case a.Name < b.Name:
			return -1
		case a.Name > b.Name:
			return 1
		}
		return 0
	})
	return m
}

// ID returns the segment's name in a shard.
func (s *Sealed) ID() SegmentID { return SegmentID(s.meta.UUID) }

// Acquire takes another reference. The caller has one, or a view that has one.
func (s *Sealed) Acquire() {
	invariant.Check(s.refs.Add(1) > 1, "a segment that is gone is not taken again")
}

// Release gives a reference back.
func (s *Sealed) Release() {
	left := s.refs.Add(-1)
	invariant.Check(left >= 0, "references to a segment are given back once")
	if left == 0 {
		s.unmap()
		if s.discard.Load() {
			_ = s.remove() // what stays is removed at the next start: no manifest names it
		}
	}
}

// Discard lets the files be removed with the last reference. It is called once the manifest that no longer names them is
// durable.
func (s *Sealed) Discard() { s.discard.Store(true) }

func (s *Sealed) unmap() {
	for _, f := range s.stored {
		_ = f.mapping.Close() // only read
	}
	if set := s.derived.Load(); set != nil {
		for _, d := range *set {
			_ = d.mapping.Close() // only read
		}
	}
	for _, d := range s.old {
		_ = d.mapping.Close() // only read
	}
}

func (s *Sealed) remove() (err error) {
	for _, f := range s.stored {
		err = errors.Join(err, s.fs.Remove(f.name))
	}
	for _, d := range *s.derived.Load() {
		err = errors.Join(err, s.fs.Remove(path.Join(s.dir, d.ref.Name)))
	}
	return err
}

func (s *Sealed) len() uint32                                   { return s.meta.Rows }
func (s *Sealed) id(row uint32) sextant.PointID                 { return s.ids.at(row) }
func (s *Sealed) version(row uint32) uint64                     { return s.vers.at(row) }
func (s *Sealed) payload(row uint32) sextant.Payload            { return s.pay.at(row) }
func (s *Sealed) find(id sextant.PointID) (row uint32, ok bool) { return s.ids.find(id) }
func (s *Sealed) seek(from sextant.PointID) uint32              { return s.ids.seek(from) }

func (s *Sealed) vectors(slot slotKey) vectors {
	if v := s.slots[slot]; v != nil {
		return v
	}
	return nil
}
