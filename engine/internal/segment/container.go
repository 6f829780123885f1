package segment

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"path"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/vfs"
)

// Stored data of a sealed segment lies in containers, numbers little-endian:
//
//	header   64 bytes: magic "SXSEG001", zeros
//	sections one after the other, each at a multiple of 64, large ones of 4096
//	footer   per section: u16 length of name, name, u64 offset, u64 length
//	         then a u32 CRC32C of each block of 64 KB of everything before the footer
//	trailer  u64 offset of the footer, u32 sections, u32 blocks, u32 CRC32C of the footer, u32 CRC32C of the
//	         trailer up to here, magic "SXSEGEND"
//
// Open reads footer and trailer only; a block is checked when it is first read.
const (
	containerMagic = "SXSEG001"
	trailerMagic   = "SXSEGEND"
	headerBytes    = 64
	trailerBytes   = 32
	blockBytes     = 64 << 10
	largeSection   = 64 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// containerWriter writes a container under a temporary name. The first error sticks; finish returns it.
type containerWriter struct {
	fs       vfs.FS
	dir      string
	name     string
	f        vfs.File
	buf      []byte
	off      int64
	block    uint32 // CRC of the current block so far
	whole    uint32
	blocks   []uint32
	sections []section
	err      error
}

func tmpName(name string) string { return "tmp-" + name }

func newContainer(fs vfs.FS, dir, name string) *containerWriter {
	w := &containerWriter{fs: fs, dir: dir, name: name, buf: make([]byte, 0, 256<<10)}
	w.f, w.err = fs.Create(path.Join(dir, tmpName(name)))
	header := make([]byte, headerBytes)
	copy(header, containerMagic)
	w.write(header)
	return w
}

// begin starts a section of about size bytes.
func (w *containerWriter) begin(name string, size int64) {
	align := int64(64)
	if size >= largeSection {
		align = 4096
	}
	w.pad(align)
	w.sections = append(w.sections, section{name: name, off: w.off})
}

func (w *containerWriter) pad(align int64) {
	if n := -w.off & (align - 1); n > 0 {
		w.write(make([]byte, n))
	}
}

func (w *containerWriter) end() {
	s := &w.sections[len(w.sections)-1]
	s.n = w.off - s.off
}

// section writes a whole section.
func (w *containerWriter) section(name string, b []byte) {
	w.begin(name, int64(len(b)))
	w.write(b)
	w.end()
}

// write appends bytes to the section under way.
func (w *containerWriter) write(b []byte) {
	for len(b) > 0 && w.err == nil {
		n := min(len(b), cap(w.buf)-len(w.buf), blockBytes-int(w.off%blockBytes))
		w.buf = append(w.buf, b[:n]...)
		w.block = crc32.Update(w.block, castagnoli, b[:n])
		w.off += int64(n)
		b = b[n:]
		if w.off%blockBytes == 0 {
			w.blocks = append(w.blocks, w.block)
			w.block = 0
		}
		if len(w.buf) == cap(w.buf) {
			w.flush()
		}
	}
}

func (w *containerWriter) flush() {
	if w.err != nil {
		return
	}
	w.whole = crc32.Update(w.whole, castagnoli, w.buf)
	_, w.err = w.f.Write(w.buf)
	w.buf = w.buf[:0]
}

// finish completes the file under its name, durable but for the name itself, and describes it.
func (w *containerWriter) finish(kind Kind) (FileRef, error) {
	w.pad(8)
	if w.off%blockBytes != 0 {
		w.blocks = append(w.blocks, w.block)
	}
	var foot []byte
	for _, s := range w.sections {
		foot = binary.LittleEndian.AppendUint16(foot, uint16(len(s.name)))
		foot = append(foot, s.name...)
		foot = binary.LittleEndian.AppendUint64(foot, uint64(s.off))
		foot = binary.LittleEndian.AppendUint64(foot, uint64(s.n))
	}
	for _, crc := range w.blocks {
		foot = binary.LittleEndian.AppendUint32(foot, crc)
	}
	crc := crc32.Checksum(foot, castagnoli)
	at := len(foot)
	foot = binary.LittleEndian.AppendUint64(foot, uint64(w.off))
	foot = binary.LittleEndian.AppendUint32(foot, uint32(len(w.sections)))
	foot = binary.LittleEndian.AppendUint32(foot, uint32(len(w.blocks)))
	foot = binary.LittleEndian.AppendUint32(foot, crc)
	foot = binary.LittleEndian.AppendUint32(foot, crc32.Checksum(foot[at:], castagnoli))
	foot = append(foot, trailerMagic...)
	w.flush()
	for len(foot) > 0 && w.err == nil { // not by write: it would count blocks
		n := min(len(foot), cap(w.buf))
		w.buf = append(w.buf[:0], foot[:n]...)
		w.off += int64(n)
		foot = foot[n:]
		w.flush()
	}
	if w.err == nil {
		w.err = w.f.Sync()
	}
	if w.f != nil {
		if err := w.f.Close(); w.err == nil {
			w.err = err
		}
		w.f = nil
	}
	if w.err == nil {
		w.err = w.fs.Rename(path.Join(w.dir, tmpName(w.name)), path.Join(w.dir, w.name))
	}
	if w.err != nil {
		w.abort()
		return FileRef{}, fmt.Errorf("write %s: %w", w.name, w.err)
	}
	return FileRef{Kind: kind, Name: w.name, Bytes: w.off, CRC: w.whole}, nil
}

// abort gives the file up.
func (w *containerWriter) abort() {
	if w.f != nil {
		_ = w.f.Close() // it is thrown away
		w.f = nil
	}
	_ = w.fs.Remove(path.Join(w.dir, tmpName(w.name))) // what stays is removed at the next start
}

// readFooter finds the sections of a container and the places of its block checksums.
func readFooter(file string, b []byte) (sections []section, end int64, crcs []byte, err error) {
	bad := func(why string) ([]section, int64, []byte, error) {
		return nil, 0, nil, sextant.Errorf(sextant.Corrupt, "%s is damaged at byte %d: %s", file, len(b), why)
	}
	if len(b) < headerBytes+trailerBytes || string(b[:len(containerMagic)]) != containerMagic {
		return bad("no segment header")
	}
	trailer := b[len(b)-trailerBytes:]
	le := binary.LittleEndian
	if string(trailer[24:]) != trailerMagic || crc32.Checksum(trailer[:20], castagnoli) != le.Uint32(trailer[20:]) {
		return bad("no trailer, the file is cut")
	}
	at, count, blocks := le.Uint64(trailer), le.Uint32(trailer[8:]), le.Uint32(trailer[12:])
	if at > uint64(len(b)-trailerBytes) || uint64(blocks) != (at+blockBytes-1)/blockBytes {
		return bad("sizes contradict each other")
	}
	foot := b[at : len(b)-trailerBytes]
	if crc32.Checksum(foot, castagnoli) != le.Uint32(trailer[16:]) || len(foot) < 4*int(blocks) {
		return bad("checksum of the footer differs")
	}
	crcs, foot = foot[len(foot)-4*int(blocks):], foot[:len(foot)-4*int(blocks)]
	for range count {
		if len(foot) < 2 || len(foot) < 18+int(le.Uint16(foot)) {
			return bad("footer ends early")
		}
		n := 2 + int(le.Uint16(foot))
		s := section{name: string(foot[2:n]), off: int64(le.Uint64(foot[n:])), n: int64(le.Uint64(foot[n+8:]))}
		if s.off < 0 || s.n < 0 || s.off > int64(at) || s.n > int64(at)-s.off {
			return bad("a section lies outside")
		}
		sections = append(sections, s)
		foot = foot[n+16:]
	}
	return sections, int64(at), crcs, nil
}
