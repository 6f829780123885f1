// Package snapshot makes, keeps, checks and fetches archives of collections.
//
// Shapes: an archive is a tar of a manifest, streams, and an end mark. A stream of unknown length is cut into numbered
// parts, so that archives are written and read in one pass without temporary copies; a stream may be an archive itself.
// Errors: an archive that is not ours, or damaged, is BadRequest, told before anything is changed (Verify).
// Concurrency: a Writer or Reader belongs to one goroutine; a Store may be shared.
// Format (version 1), members in this order:
//
//	sextant-snapshot.json   {"format":1,"kind":…, and what the kind needs}
//	<stream>/<n>            part n (00000000, …) of a stream, at most partBytes long; an empty one ends the stream
//	end                     CRC32C of the contents of all members before, 8 hex digits
package snapshot

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"path"
	"time"

	"github.com/sextantdb/sextant"
)

const (
	manifestName = "sextant-snapshot.json"
	endName      = "end"
	partBytes    = 1 << 20
	maxManifest  = 64 << 20
	format       = 1
)

// Manifest is the first member of an archive. Body is what the kind needs.
type Manifest struct {
	Format int             `json:"format"`
	Kind   string          `json:"kind"` // collection, storage
	Body   json.RawMessage `json:"body"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Writer writes an archive.
type Writer struct {
	tar *tar.Writer
	crc hash.Hash32
}

// NewWriter begins an archive with its manifest.
func NewWriter(w io.Writer, kind string, body any) (*Writer, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	manifest, err := json.Marshal(Manifest{Format: format, Kind: kind, Body: raw})
	if err != nil {
		return nil, err
	}
	a := &Writer{tar: tar.NewWriter(w), crc: crc32.New(castagnoli)}
	return a, a.member(manifestName, manifest)
}

func (w *Writer) member(name string, data []byte) error {
	head := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(data)), Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
	if err := w.tar.WriteHeader(head); err != nil {
		return err
	}
	w.crc.Write(data)
	_, err := w.tar.Write(data)
	return err
}

// Stream adds what f writes under a name.
func (w *Writer) Stream(name string, f func(w io.Writer) error) error {
	s := &partWriter{w: w, name: name, buffer: make([]byte, 0, partBytes)}
	if err := f(s); err != nil {
		return err
	}
	if len(s.buffer) > 0 {
		if err := s.flush(); err != nil {
			return err
		}
	}
	return s.flush() // an empty part is the end
}

type partWriter struct {
	w      *Writer
	name   string
	n      int
	buffer []byte
}

func (s *partWriter) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		room := min(partBytes-len(s.buffer), len(b))
		s.buffer = append(s.buffer, b[:room]...)
		b, n = b[room:], n+room
		if len(s.buffer) == partBytes {
			if err := s.flush(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

func (s *partWriter) flush() error {
	err := s.w.member(fmt.Sprintf("%s/%08d", s.name, s.n), s.buffer)
	s.n++
	s.buffer = s.buffer[:0]
	return err
}

// Close ends the archive.
func (w *Writer) Close() error {
	if err := w.member(endName, fmt.Appendf(nil, "%08x", w.crc.Sum32())); err != nil {
		return err
	}
	return w.tar.Close()
}

// Reader reads an archive from its start to its end.
type Reader struct {
	Manifest Manifest
	tar      *tar.Reader
	crc      hash.Hash32
	head     *tar.Header // of the next member
	done     bool
}

func bad(format string, args ...any) error {
	return sextant.Errorf(sextant.BadRequest, "Snapshot file is not valid: "+format, args...)
}

// NewReader reads the manifest of an archive.
func NewReader(r io.Reader) (*Reader, error) {
	a := &Reader{tar: tar.NewReader(r), crc: crc32.New(castagnoli)}
	if err := a.next(); err != nil {
		return nil, err
	}
	if a.head.Name != manifestName || a.head.Size > maxManifest {
		return nil, bad("it does not begin with %s", manifestName)
	}
	raw := make([]byte, a.head.Size)
	if _, err := io.ReadFull(a.tar, raw); err != nil {
		return nil, readError(err)
	}
	a.crc.Write(raw)
	if err := json.Unmarshal(raw, &a.Manifest); err != nil {
		return nil, bad("its manifest cannot be read: %v", err)
	}
	if a.Manifest.Format != format {
		return nil, bad("its format is %d, this server reads %d", a.Manifest.Format, format)
	}
	return a, a.next()
}

// next moves to the next member.
func (r *Reader) next() error {
	head, err := r.tar.Next()
	if err != nil {
		return readError(err)
	}
	if head.Typeflag != tar.TypeReg || path.IsAbs(head.Name) || path.Clean(head.Name) != head.Name {
		return bad("member %q is not a plain file", head.Name)
	}
	r.head = head
	return nil
}

// readError tells what the disk or the sender did wrong from what the archive lacks.
func readError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return bad("it ends too early")
	}
	if errors.Is(err, tar.ErrHeader) || errors.Is(err, tar.ErrFieldTooLong) {
		return bad("%v", err)
	}
	return err
}

// Next returns the next stream, or io.EOF after the last one when the archive is whole. The stream must be read to its
// end before the next call.
func (r *Reader) Next() (name string, stream io.Reader, err error) {
	if r.done {
		return "", nil, io.EOF
	}
	if r.head.Name == endName {
		want := fmt.Sprintf("%08x", r.crc.Sum32())
		got := make([]byte, len(want))
		if r.head.Size != int64(len(want)) {
			return "", nil, bad("its end mark is damaged")
		}
		if _, err := io.ReadFull(r.tar, got); err != nil {
			return "", nil, readError(err)
		}
		if string(got) != want {
			return "", nil, bad("its checksum is %s, should be %s", want, got)
		}
		r.done = true
		return "", nil, io.EOF
	}
	name = path.Dir(r.head.Name)
	return name, &partReader{r: r, name: name}, nil
}

type partReader struct {
	r    *Reader
	name string
	n    int
	end  bool
}

func (s *partReader) Read(b []byte) (int, error) {
	for !s.end {
		head := s.r.head
		if want := fmt.Sprintf("%s/%08d", s.name, s.n); head.Name != want {
			return 0, bad("member %s is missing", want)
		}
		if head.Size == 0 {
			s.end = true
			if err := s.r.next(); err != nil {
				return 0, err
			}
			break
		}
		n, err := s.r.tar.Read(b)
		s.r.crc.Write(b[:n])
		if n > 0 {
			return n, nil
		}
		if err == io.EOF {
			s.n++
			if err := s.r.next(); err != nil {
				return 0, err
			}
			continue
		}
		if err != nil {
			return 0, readError(err)
		}
	}
	return 0, io.EOF
}

// Verify reads a whole archive and returns its manifest, and the names of its streams. visit may look into streams; nil
// skips them.
func Verify(r io.Reader, visit func(name string, stream io.Reader) error) (Manifest, []string, error) {
	a, err := NewReader(r)
	if err != nil {
		return Manifest{}, nil, err
	}
	var names []string
	for {
		name, stream, err := a.Next()
		if err == io.EOF {
			return a.Manifest, names, nil
		}
		if err != nil {
			return Manifest{}, nil, err
		}
		names = append(names, name)
		if visit != nil {
			if err := visit(name, stream); err != nil {
				return Manifest{}, nil, err
			}
		}
		if _, err := io.Copy(io.Discard, stream); err != nil {
			return Manifest{}, nil, err
		}
	}
}
