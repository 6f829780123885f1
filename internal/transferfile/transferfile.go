// Package transferfile reads and writes files of points and vectors: JSON lines, NumPy arrays, fvecs and bvecs.
//
// Shapes: a JSON line is one point as the API takes and gives it; the other formats hold vectors of one dimension, in
// order, without ids.
// Errors: a file that is not what its format says is a plain error that tells the row.
// Concurrency: a Reader or Writer belongs to one goroutine.
// Sources: NumPy enhancement proposal 1 (npy format); corpus-texmex.irisa.fr (fvecs, bvecs).
package transferfile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"strings"
)

// Format is the kind of a file, by its usual suffix.
type Format string

const (
	JSONL Format = "jsonl"
	NPY   Format = "npy"
	FVecs Format = "fvecs"
	BVecs Format = "bvecs"
)

// FormatOf tells the format from a file's name.
func FormatOf(name string) (Format, error) {
	switch ext := strings.ToLower(strings.TrimPrefix(path.Ext(name), ".")); ext {
	case "jsonl", "ndjson", "json":
		return JSONL, nil
	case "npy", "fvecs", "bvecs":
		return Format(ext), nil
	}
	return "", fmt.Errorf("%s: the format cannot be told from the name; known are jsonl, npy, fvecs, bvecs", name)
}

// maxLine bounds one JSON line, maxDim a vector.
const (
	maxLine = 64 << 20
	maxDim  = 1 << 16
)

// Row is one row of a file: a point as JSON, or a vector. Both are valid until the next one is read.
type Row struct {
	JSON   []byte
	Vector []float32
}

// Reader reads a file row by row.
type Reader struct {
	format Format
	r      *bufio.Reader
	rows   int64 // -1: not known before the end
	dim    int
	row    int64
	read   int64 // bytes
	npy    element
	raw    []byte
	vector []float32
}

// NewReader begins to read a file of size bytes.
func NewReader(format Format, r io.Reader, size int64) (*Reader, error) {
	f := &Reader{format: format, r: bufio.NewReaderSize(r, 1<<20), rows: -1}
	switch format {
	case JSONL:
		return f, nil
	case NPY:
		head, rows, dim, el, err := readNPYHeader(f.r)
		if err != nil {
			return nil, err
		}
		f.read, f.rows, f.dim, f.npy = int64(head), rows, dim, el
		return f, nil
	case FVecs, BVecs:
		head, err := f.r.Peek(4)
		if errors.Is(err, io.EOF) && len(head) == 0 {
			f.rows = 0
			return f, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", format, err)
		}
		dim := int64(int32(binary.LittleEndian.Uint32(head)))
		width := int64(4)
		if format == BVecs {
			width = 1
		}
		if dim < 1 || dim > maxDim || size%(4+dim*width) != 0 {
			return nil, fmt.Errorf("%s: %d bytes cannot be rows of dimension %d", format, size, dim)
		}
		f.dim, f.rows = int(dim), size/(4+dim*width)
		return f, nil
	}
	return nil, fmt.Errorf("unknown format %q", format)
}

// Rows is the number of rows, or -1 if that is known only at the end. Dim is the dimension of vectors, 0 of JSON lines.
func (f *Reader) Rows() int64 { return f.rows }

// Dim is the dimension of the vectors; 0 for JSON lines.
func (f *Reader) Dim() int { return f.dim }

// Read is the number of bytes read so far, Row the number of rows.
func (f *Reader) Read() int64 { return f.read }

// Row is the number of rows read so far.
func (f *Reader) Row() int64 { return f.row }

// Skip leaves rows out.
func (f *Reader) Skip(n int64) error {
	for ; n > 0; n-- {
		if _, err := f.Next(); err != nil {
			return err
		}
	}
	return nil
}

// Next returns the next row, or io.EOF after the last.
func (f *Reader) Next() (Row, error) {
	if f.format == JSONL {
		return f.line()
	}
	if f.rows >= 0 && f.row >= f.rows {
		return Row{}, io.EOF
	}
	var err error
	switch f.format {
	case NPY:
		err = f.values(f.npy)
	case FVecs, BVecs:
		el := float32Element
		if f.format == BVecs {
			el = uint8Element
		}
		var head [4]byte
		if _, err = io.ReadFull(f.r, head[:]); err == nil {
			f.read += 4
			if dim := int64(int32(binary.LittleEndian.Uint32(head[:]))); dim != int64(f.dim) {
				return Row{}, fmt.Errorf("row %d has dimension %d, the first one %d", f.row, dim, f.dim)
			}
			err = f.values(el)
		}
	}
	if err != nil {
		return Row{}, fmt.Errorf("row %d: %w", f.row, unexpected(err))
	}
	f.row++
	return Row{Vector: f.vector}, nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (f *Reader) values(el element) error {
	if len(f.raw) != f.dim*el.width {
		f.raw, f.vector = make([]byte, f.dim*el.width), make([]float32, f.dim)
	}
	if _, err := io.ReadFull(f.r, f.raw); err != nil {
		return err
	}
	f.read += int64(len(f.raw))
	for i := range f.vector {
		f.vector[i] = el.get(f.raw[i*el.width:])
	}
	return nil
}

// line returns the next line that is not empty.
func (f *Reader) line() (Row, error) {
	for {
		f.raw = f.raw[:0]
		for {
			part, err := f.r.ReadSlice('\n')
			f.raw = append(f.raw, part...)
			f.read += int64(len(part))
			if err == nil || err == io.EOF && len(f.raw) > 0 {
				break
			}
			if !errors.Is(err, bufio.ErrBufferFull) {
				return Row{}, err
			}
			if len(f.raw) > maxLine {
				return Row{}, fmt.Errorf("line %d is longer than %d bytes", f.row+1, maxLine)
			}
		}
		f.row++
		if line := bytes.TrimSpace(f.raw); len(line) > 0 {
			return Row{JSON: line}, nil
		}
	}
}

// AppendVector appends one row of a file of vectors.
func AppendVector(dst []byte, format Format, v []float32) ([]byte, error) {
	switch format {
	case FVecs:
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(v)))
	case NPY:
	default:
		return dst, fmt.Errorf("vectors are not written as %s", format)
	}
	for _, x := range v {
		dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(x))
	}
	return dst, nil
}
