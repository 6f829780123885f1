package transferfile

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// element is a number type of NumPy.
type element struct {
	width int
	get   func([]byte) float32
}

var (
	float32Element = element{4, func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }}
	uint8Element   = element{1, func(b []byte) float32 { return float32(b[0]) }}

	elements = map[string]element{
		"<f4": float32Element,
		"<f8": {8, func(b []byte) float32 { return float32(math.Float64frombits(binary.LittleEndian.Uint64(b))) }},
		"<f2": {2, func(b []byte) float32 { return half(binary.LittleEndian.Uint16(b)) }},
		"|u1": uint8Element,
		"|i1": {1, func(b []byte) float32 { return float32(int8(b[0])) }},
		"<i2": {2, func(b []byte) float32 { return float32(int16(binary.LittleEndian.Uint16(b))) }},
		"<u2": {2, func(b []byte) float32 { return float32(binary.LittleEndian.Uint16(b)) }},
		"<i4": {4, func(b []byte) float32 { return float32(int32(binary.LittleEndian.Uint32(b))) }},
		"<i8": {8, func(b []byte) float32 { return float32(int64(binary.LittleEndian.Uint64(b))) }},
	}
)

// half widens a half-precision float.
func half(h uint16) float32 {
	sign, exp, frac := uint32(h>>15)<<31, uint32(h>>10&31), uint32(h&1023)
	switch exp {
	case 0:
		f := float32(frac) / (1 << 24)
		return math.Float32frombits(math.Float32bits(f) | sign)
	case 31:
		return math.Float32frombits(sign | 0xff<<23 | frac<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}

const npyMagic = "\x93NUMPY"

var (
	npyDescr = regexp.MustCompile(`'descr'\s*:\s*'([^']*)'`)
	npyOrder = regexp.MustCompile(`'fortran_order'\s*:\s*(True|False)`)
	npyShape = regexp.MustCompile(`'shape'\s*:\s*\(\s*(\d+)\s*,\s*(\d+)\s*,?\s*\)`)
)

// readNPYHeader reads the head of an array of two dimensions and returns its length in bytes, too.
func readNPYHeader(r io.Reader) (length int, rows int64, dim int, el element, err error) {
	fail := func(format string, args ...any) (int, int64, int, element, error) {
		return 0, 0, 0, element{}, fmt.Errorf("npy: "+format, args...)
	}
	var head [10]byte
	if _, err := io.ReadFull(r, head[:]); err != nil || string(head[:6]) != npyMagic {
		return fail("this is no NumPy file")
	}
	size, length := int(binary.LittleEndian.Uint16(head[8:])), len(head)
	if head[6] >= 2 {
		var more [2]byte
		if _, err := io.ReadFull(r, more[:]); err != nil {
			return fail("%w", unexpected(err))
		}
		size, length = size|int(binary.LittleEndian.Uint16(more[:]))<<16, length+2
	}
	if size > 1<<20 {
		return fail("a head of %d bytes is too long", size)
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(r, text); err != nil {
		return fail("%w", unexpected(err))
	}
	descr, order, shape := npyDescr.FindSubmatch(text), npyOrder.FindSubmatch(text), npyShape.FindSubmatch(text)
	if descr == nil || order == nil || shape == nil {
		return fail("the head %q is not that of an array of two dimensions", text)
	}
	el, ok := elements[string(descr[1])]
	if !ok {
		return fail("numbers of type %s are not supported", descr[1])
	}
	if string(order[1]) == "True" {
		return fail("the array is stored by columns; save it in C order")
	}
	rows, err = strconv.ParseInt(string(shape[1]), 10, 64)
	if err == nil {
		dim, err = strconv.Atoi(string(shape[2]))
	}
	if err != nil || dim < 1 || dim > maxDim {
		return fail("the shape (%s, %s) cannot be used", shape[1], shape[2])
	}
	return length + size, rows, dim, el, nil
}

// NPYHeader returns the head of an array of float32. It has the same length whatever the shape, so that it can be
// replaced when the number of rows is known.
func NPYHeader(rows int64, dim int) []byte {
	text := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }", rows, dim)
	const size = 118 // 128 with what stands before
	text += strings.Repeat(" ", size-1-len(text)) + "\n"
	head := binary.LittleEndian.AppendUint16([]byte(npyMagic+"\x01\x00"), size)
	return append(head, text...)
}
