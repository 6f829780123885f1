package segment

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"path"
	"sync/atomic"
	"unsafe"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/vfs"
)

// stored is a mapped container. A block is checked before its first byte is used; after the last block nothing is asked
// any more.
type stored struct {
	name     string
	mapping  vfs.Mapping
	data     []byte
	end      int64  // of the checked blocks; the footer follows
	crcs     []byte // u32 per block
	checked  []atomic.Uint64
	left     atomic.Int64 // blocks not checked yet
	sections []section
}

// section is a named range of a container.
type section struct {
	name   string
	off, n int64
	file   *stored
}

// mapFile maps a file that must have the length of the reference.
func mapFile(fsys vfs.FS, dir string, ref FileRef) (vfs.Mapping, error) {
	name := path.Join(dir, ref.Name)
	m, err := fsys.Map(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, sextant.Errorf(sextant.Corrupt, "%s is missing", name)
	}
	if err != nil {
		return nil, err
	}
	if got := int64(len(m.Bytes())); got != ref.Bytes {
		_ = m.Close() // only read
		return nil, sextant.Errorf(sextant.Corrupt, "%s is damaged at byte %d: it should have %d bytes", name, got, ref.Bytes)
	}
	return m, nil
}

func openStored(fsys vfs.FS, dir string, ref FileRef) (*stored, error) {
	m, err := mapFile(fsys, dir, ref)
	if err != nil {
		return nil, err
	}
	f := &stored{name: path.Join(dir, ref.Name), mapping: m, data: m.Bytes()}
	if f.sections, f.end, f.crcs, err = readFooter(f.name, f.data); err != nil {
		_ = m.Close() // only read
		return nil, err
	}
	blocks := len(f.crcs) / 4
	f.checked = make([]atomic.Uint64, (blocks+63)/64)
	f.left.Store(int64(blocks))
	for i := range f.sections {
		f.sections[i].file = f
	}
	return f, nil
}

// check makes sure that the bytes [off, off+n) are what was written, or ends the read.
func (f *stored) check(off, n int64) {
	if n <= 0 || f.left.Load() == 0 {
		return
	}
	for b := off / blockBytes; b <= (off+n-1)/blockBytes; b++ {
		if f.checked[b/64].Load()>>(b%64)&1 == 0 {
			f.checkBlock(b)
		}
	}
}

func (f *stored) checkBlock(b int64) {
	from, end := b*blockBytes, min((b+1)*blockBytes, f.end)
	if crc32.Checksum(f.data[from:end], castagnoli) != binary.LittleEndian.Uint32(f.crcs[4*b:]) {
		damaged(f.name, from, "checksum of the block differs")
	}
	if old := f.checked[b/64].Or(1 << (b % 64)); old>>(b%64)&1 == 0 {
		f.left.Add(-1)
	}
}

// bytes returns checked bytes of the section.
func (s *section) bytes(off, n int64) []byte {
	if off < 0 || n < 0 || off+n > s.n {
		damaged(s.file.name, s.off, "an offset leads out of section "+s.name)
	}
	s.file.check(s.off+off, n)
	return s.file.data[s.off+off : s.off+off+n : s.off+off+n]
}

// check checks bytes of the section that are read by other ways.
func (s *section) check(off, n int64) { s.file.check(s.off+off, min(n, s.n-off)) }

// raw returns the whole section unchecked.
func (s *section) raw() []byte { return s.file.data[s.off : s.off+s.n : s.off+s.n] }

// numbers views a section as numbers. Sections are aligned and both supported architectures are little-endian. Readers
// check the places that they read.
func numbers[T uint32 | uint64](s *section) numberColumn[T] {
	if s == nil || s.n == 0 {
		return numberColumn[T]{}
	}
	var one T
	size := int64(unsafe.Sizeof(one))
	return numberColumn[T]{s, unsafe.Slice((*T)(unsafe.Pointer(&s.file.data[s.off])), s.n/size)}
}

type numberColumn[T uint32 | uint64] struct {
	s    *section
	list []T
}

func (c *numberColumn[T]) at(i uint32) T {
	if f := c.s.file; f.left.Load() != 0 {
		size := int64(unsafe.Sizeof(c.list[0]))
		f.check(c.s.off+int64(i)*size, size)
	}
	return c.list[i]
}
