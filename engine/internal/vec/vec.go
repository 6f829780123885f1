// Package vec holds the number types of stored vectors and computes distances between them, many at a time.
//
// Shapes: a Rows is a flat arena of fixed-stride rows, little-endian, in memory or in a mapped file; a Scorer is one
// query bound to one Rows. A list of row numbers is scored by one assembly call, four rows at once, because four
// independent streams hide more memory latency than any prefetch; never call Score in a loop.
// Units: a raw similarity is float32, larger is nearer: Dot q·v, Euclid −Σ(q−v)², Manhattan −Σ|q−v|. Dimensions are
// counts up to MaxDim, strides are bytes.
// Errors: none. A row number outside the arena, or a buffer that is too short, is a programmer's error and panics;
// no kernel reads a byte beyond the last component of a row.
// Concurrency: everything is immutable or free of state; a Scorer may be shared.
// Kernels: AVX-512 (with VNNI and VPOPCNTDQ where present), AVX2+FMA+F16C, or plain Go, chosen once from the CPU. The
// assembly is generated (see generate.go); `-tags purego` leaves it out. Every tier adds in its own order, so float
// results differ in the last bits between machines; results over uint8 are the same everywhere.
package vec

// Metric names a raw similarity. Cosine over F32 and F16 rows is Dot over normalised vectors.
type Metric uint8

const (
	Dot       Metric = iota // q·v
	Euclid                  // −Σ(q−v)²
	Manhattan               // −Σ|q−v|
	CosineU8                // q·v / √(Σq²·Σv²) over U8 rows only; 0 if either sum is 0
)

// Type is the element type of stored rows.
type Type uint8

const (
	F32 Type = iota // IEEE single precision
	F16             // IEEE half precision
	U8              // unsigned byte
)

// MaxDim is the largest number of components: up to here the sums over uint8 rows fit 32 bits exactly.
const MaxDim = 65536

// Size returns the bytes of one component.
func (t Type) Size() int {
	switch t {
	case F32:
		return 4
	case F16:
		return 2
	default:
		return 1
	}
}

// Stride returns the bytes from one row to the next in arenas and files: the row's own bytes rounded up to the next
// power of two while that is at most 64, then to a multiple of 64. Thus a row touches as few cache lines as it can if
// the arena starts at a multiple of 64, and no row takes more than twice its bytes.
func Stride(t Type, dim int) int {
	n := dim * t.Size()
	if n > 64 {
		return (n + 63) &^ 63
	}
	stride := t.Size()
	for stride < n {
		stride *= 2
	}
	return stride
}

// Rows is a flat arena of rows: row i is Data[i*Stride:][:Dim*Type.Size()]. Data may be longer than the rows in use,
// may lack the padding after the last row, and may be a mapped file. The owner keeps Data alive and unchanged in the
// rows that are read.
type Rows struct {
	Data   []byte
	Stride int
	Dim    int
	Type   Type
}

// Len returns how many whole rows Data has room for.
func (r Rows) Len() int {
	room := len(r.Data) - r.Dim*r.Type.Size()
	if room < 0 || r.Stride <= 0 {
		return 0
	}
	return room/r.Stride + 1
}

// Row returns the bytes of one row, without padding. It aliases Data.
func (r Rows) Row(row uint32) []byte {
	from, size := int(row)*r.Stride, r.Dim*r.Type.Size()
	return r.Data[from : from+size : from+size]
}

// Float32 widens one row to float32. The result has length Dim and uses dst's memory if its capacity suffices.
func (r Rows) Float32(row uint32, dst []float32) []float32 {
	if cap(dst) < r.Dim {
		dst = make([]float32, r.Dim)
	}
	dst = dst[:r.Dim]
	Decode(r.Type, r.Row(row), dst)
	return dst
}
