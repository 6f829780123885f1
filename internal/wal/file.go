package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/vfs"
)

// A file begins with 32 bytes, little-endian, and continues with records:
//
//	 0  "SXWAL001"
//	 8  u64 seq of the first record
//	16  u64 term of the record before it
//	24  u32 zero
//	28  u32 CRC32C of bytes [0,28)
//
// It comes into being whole, by a rename, and only after everything in the file before it is durable.
const (
	fileMagic  = "SXWAL001"
	fileHead   = 32
	indexEvery = 64 // records between two places in an index
)

// file is one file of a log.
type file struct {
	first order.Seq
	size  int64
	index []int64 // offsets of the records first, first+64, …; nil: not known
}

func fileName(first order.Seq) string { return fmt.Sprintf("%020d.log", uint64(first)) }

func parseName(name string) (order.Seq, bool) {
	digits, ok := strings.CutSuffix(name, ".log")
	if !ok || len(digits) != 20 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return order.Seq(n), err == nil && n > 0
}

func (l *Log) path(first order.Seq) string { return path.Join(l.dir, fileName(first)) }

// begin makes the file whose first record follows base and makes it the tail. The caller holds io, or is alone.
func (l *Log) begin(base order.Pos) error {
	name := l.path(base.Seq + 1)
	head := make([]byte, 0, fileHead)
	head = append(head, fileMagic...)
	head = binary.LittleEndian.AppendUint64(head, uint64(base.Seq+1))
	head = binary.LittleEndian.AppendUint64(head, uint64(base.Term))
	head = binary.LittleEndian.AppendUint32(head, 0)
	head = binary.LittleEndian.AppendUint32(head, crc32.Checksum(head, castagnoli))
	if err := vfs.WriteAtomic(l.fs, name, head); err != nil {
		return err
	}
	f, err := l.fs.OpenAppend(name)
	if err != nil {
		return err
	}
	if l.tail != nil {
		// Everything in it is durable: an error of Close tells nothing that matters.
		_ = l.tail.Close()
	}
	l.tail, l.ended = f, false
	l.mu.Lock()
	defer l.mu.Unlock()
	l.files = append(l.files, &file{first: base.Seq + 1, size: fileHead})
	return nil
}

// readHead returns the place before a file's first record.
func readHead(f vfs.File, name string, first order.Seq) (order.Pos, error) {
	var b [fileHead]byte
	if _, err := f.ReadAt(b[:], 0); err != nil && err != io.EOF {
		return order.Pos{}, err
	}
	le := binary.LittleEndian
	if string(b[:8]) != fileMagic || le.Uint32(b[28:]) != crc32.Checksum(b[:28], castagnoli) {
		return order.Pos{}, &CorruptError{File: name, Why: "the file's header is wrong"}
	}
	if got := order.Seq(le.Uint64(b[8:])); got != first {
		return order.Pos{}, &CorruptError{File: name, Offset: 8, Why: fmt.Sprintf("the file begins at seq %d", got)}
	}
	return order.Pos{Seq: first - 1, Term: order.Term(le.Uint64(b[16:]))}, nil
}

// window reads records of one file forward.
type window struct {
	f    vfs.File
	end  int64  // bytes of the file that may be read
	off  int64  // of buf[0] in the file
	buf  []byte // read, not yet handed out
	step int    // how much to read at once
	prev []byte // buf before the last next
}

// next returns the record at the window's place and its offset; io.EOF at the end. Bodies stay valid: a buffer is read into
// once.
func (w *window) next() (Record, int64, error) {
	if w.off >= w.end {
		return Record{}, w.off, io.EOF
	}
	r, n, err := decode(w.buf)
	for err == errShort && w.off+int64(len(w.buf)) < w.end {
		if w.off+int64(n) > w.end {
			break
		}
		if err := w.fill(n); err != nil {
			return Record{}, w.off, err
		}
		r, n, err = decode(w.buf)
	}
	at := w.off
	if err != nil {
		return Record{}, at, err
	}
	w.prev = w.buf
	w.off += int64(n)
	w.buf = w.buf[n:]
	return r, at, nil
}

// back undoes a next that gave a record.
func (w *window) back() {
	w.off -= int64(len(w.prev) - len(w.buf))
	w.buf = w.prev
}

// fill makes the buffer hold at least n bytes, by moving what is left of it into a new one.
func (w *window) fill(n int) error {
	b := make([]byte, min(int64(max(n, w.step)), w.end-w.off))
	have := copy(b, w.buf)
	if got, err := w.f.ReadAt(b[have:], w.off+int64(have)); err != nil && (!errors.Is(err, io.EOF) || have+got < len(b)) {
		if errors.Is(err, io.EOF) {
			return errShort // the file was cut meanwhile
		}
		return err
	}
	w.buf = b
	return nil
}
