package segment

import (
	"sync/atomic"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/vfs"
)

// FileRef names one file of a sealed segment.
type FileRef struct {
	Kind   string `json:"kind"`             // main, vectors, graph, codes, field, sparse
	Of     string `json:"of,omitempty"`     // vector name or field key
	Seq    uint64 `json:"seq,omitempty"`    // of the vector name or field
	Name   string `json:"name"`             // in the directory
	Config string `json:"config,omitempty"` // derived: the settings it was built with
	Bytes  int64  `json:"bytes"`
	CRC    uint32 `json:"crc"` // CRC32C of the whole file
}

// Meta describes a sealed segment in the manifest.
type Meta struct {
	UUID   string    `json:"uuid"`
	Rows   uint32    `json:"rows"`
	MinSeq uint64    `json:"min_seq"` // of the versions of its rows
	MaxSeq uint64    `json:"max_seq"`
	Files  []FileRef `json:"files"`
}

// Sealed is a sealed segment: mapped files and the readers over them. It is counted: views and the State hold references.
type Sealed struct {
	meta Meta
	refs atomic.Int64
}

// section is a range of a stored file whose blocks are checked when they are first read.
type section struct{}

func (s *section) check(off, n int) {}

// Open maps the files of a sealed segment and looks at their headers. The caller gets one reference.
func Open(fs vfs.FS, dir string, m Meta) (*Sealed, error) {
	return nil, sextant.Errorf(sextant.NotImplemented, "sealed segments")
}

func (s *Sealed) acquire() { s.refs.Add(1) }
func (s *Sealed) release() { s.refs.Add(-1) }

func (s *Sealed) len() uint32                                   { return s.meta.Rows }
func (s *Sealed) id(row uint32) sextant.PointID                 { return sextant.PointID{} }
func (s *Sealed) version(row uint32) uint64                     { return 0 }
func (s *Sealed) payload(row uint32) sextant.Payload            { return nil }
func (s *Sealed) find(id sextant.PointID) (row uint32, ok bool) { return 0, false }
func (s *Sealed) vectors(slot slotKey) vectors                  { return nil }
func (s *Sealed) seek(from sextant.PointID) uint32              { return 0 }
