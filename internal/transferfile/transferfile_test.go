package transferfile

import (
	"bytes"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
)

var vectors = [][]float32{{1, -2.5, 3}, {0, 1e-7, 4e20}, {7, 8, 9}}

func readAll(t *testing.T, format Format, data []byte, skip int64) (out [][]float32) {
	t.Helper()
	r, err := NewReader(format, bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if r.Dim() != 3 || r.Rows() != 3 {
		t.Errorf("%s: %d × %d", format, r.Rows(), r.Dim())
	}
	if err := r.Skip(skip); err != nil {
		t.Fatal(err)
	}
	for {
		row, err := r.Next()
		if err == io.EOF {
			if r.Read() != int64(len(data)) {
				t.Errorf("%s: read %d of %d bytes", format, r.Read(), len(data))
			}
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, slices.Clone(row.Vector))
	}
}

func TestVectorsThereAndBack(t *testing.T) {
	for _, format := range []Format{NPY, FVecs} {
		var data []byte
		if format == NPY {
			data = NPYHeader(3, 3)
		}
		for _, v := range vectors {
			var err error
			if data, err = AppendVector(data, format, v); err != nil {
				t.Fatal(err)
			}
		}
		if got := readAll(t, format, data, 1); !slices.EqualFunc(got, vectors[1:], slices.Equal) {
			t.Errorf("%s: %v", format, got)
		}
		for cut := 1; cut < len(data); cut += 5 {
			r, err := NewReader(format, bytes.NewReader(data[:cut]), int64(cut))
			for err == nil {
				_, err = r.Next()
			}
			if whole := format == FVecs && cut%16 == 0; (err == io.EOF) != whole {
				t.Errorf("%s cut to %d bytes: %v", format, cut, err)
			}
		}
	}
	if got := readAll(t, BVecs, []byte("\x03\x00\x00\x00\x01\x02\x03\x03\x00\x00\x00\x04\x05\x06\x03\x00\x00\x00\xff\x00\x01"), 2); got[0][0] != 255 {
		t.Error(got)
	}
	if len(NPYHeader(1, 1)) != 128 || len(NPYHeader(math.MaxInt64, 65536)) != 128 {
		t.Error("the head changes its length")
	}
}

func TestHalf(t *testing.T) {
	for bits, want := range map[uint16]float32{0: 0, 0x3c00: 1, 0xc000: -2, 0x7bff: 65504, 1: 1.0 / (1 << 24), 0x3555: 0.33325195} {
		if got := half(bits); got != want {
			t.Errorf("%#x: %v, want %v", bits, got, want)
		}
	}
	if !math.IsInf(float64(half(0xfc00)), -1) || !math.IsNaN(float64(half(0x7e00))) {
		t.Error("infinity, NaN")
	}
}

func TestLines(t *testing.T) {
	long := `{"id":2,"x":"` + strings.Repeat("y", 3<<20) + `"}`
	text := `{"id":1}` + "\r\n\n" + long + "\n" + `{"id":3}`
	r, err := NewReader(JSONL, strings.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`{"id":1}`, long, `{"id":3}`} {
		if row, err := r.Next(); err != nil || string(row.JSON) != want {
			t.Fatal(err)
		}
	}
	if _, err := r.Next(); err != io.EOF || r.Read() != int64(len(text)) || r.Row() != 4 {
		t.Error(err, r.Row())
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("\x93NUMPY\x01\x00"))
	f.Add(NPYHeader(2, 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, format := range []Format{JSONL, NPY, FVecs, BVecs} {
			r, err := NewReader(format, bytes.NewReader(data), int64(len(data)))
			for err == nil {
				_, err = r.Next()
			}
		}
	})
}
