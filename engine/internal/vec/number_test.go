package vec

import (
	"math"
	"testing"
)

func TestHalfRoundsToNearestEven(t *testing.T) {
	f := func(in float32, want uint16) {
		t.Helper()
		if got := toHalf(in); got != want {
			t.Errorf("%v: got %#04x, want %#04x", in, got, want)
		}
	}
	inf := float32(math.Inf(1))
	f(0, 0)
	f(float32(math.Copysign(0, -1)), 0x8000)
	f(1, 0x3c00)
	f(-2, 0xc000)
	f(65504, 0x7bff)
	f(65519.996, 0x7bff)
	f(65520, 0x7c00)
	f(1e30, 0x7c00)
	f(-inf, 0xfc00)
	f(1+0x1p-11, 0x3c00)         // tie goes down to even
	f(1+3*0x1p-11, 0x3c02)       // tie goes up to even
	f(1+0x1p-11+0x1p-20, 0x3c01) // just above a tie
	f(0x1p-14, 0x0400)
	f(0x1p-24, 0x0001)
	f(0x1p-25, 0x0000) // tie with zero
	f(0x1.8p-25, 0x0001)
	f(0x1.ff8p-15, 0x03ff)
	f(0x1.ffcp-15, 0x0400) // a tie goes up into the normal numbers
	f(1e-30, 0)
	if h := toHalf(float32(math.NaN())); h&0x7c00 != 0x7c00 || h&0x3ff == 0 {
		t.Errorf("NaN became %#04x", h)
	}
}

func TestEveryHalfSurvivesARoundTrip(t *testing.T) {
	for h := range 1 << 16 {
		x := fromHalf(uint16(h))
		if x != x {
			if h&0x7c00 != 0x7c00 || h&0x3ff == 0 {
				t.Fatalf("%#04x became NaN", h)
			}
			continue
		}
		if got := toHalf(x); got != uint16(h) {
			t.Fatalf("%#04x widened to %v, came back as %#04x", h, x, got)
		}
	}
}

func TestUint8TruncatesAndSaturates(t *testing.T) {
	in := []float32{-1, -0.5, 0, 0.99, 1, 254.9, 255, 256, 1e30, float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))}
	want := [...]byte{0, 0, 0, 0, 1, 254, 255, 255, 255, 0, 255, 0}
	var got [len(want)]byte
	Encode(U8, in, got[:])
	if got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestNormalizeKeepsTinyAndUnitVectors(t *testing.T) {
	f := func(in, want []float32) {
		t.Helper()
		got := append([]float32(nil), in...)
		Normalize(got)
		for i := range want {
			if math.Abs(float64(got[i]-want[i])) > 1e-7*math.Abs(float64(want[i])) {
				t.Errorf("%v: got %v, want %v", in, got, want)
				return
			}
		}
	}
	f([]float32{3, 4}, []float32{0.6, 0.8})
	f([]float32{0, 0, 0, 0, 0}, []float32{0, 0, 0, 0, 0})
	f([]float32{3e-4, 0}, []float32{3e-4, 0})           // Σx² = 9e-8 is below epsilon
	f([]float32{0, 3.6e-4}, []float32{0, 1})            // 1.3e-7 is above
	f([]float32{1.0000004, 0}, []float32{1.0000004, 0}) // within 1e-6 of one
	f([]float32{1.00001, 0}, []float32{1, 0})
	f([]float32{1e30, 1e30, 0, 0, 0}, []float32{math.Sqrt2 / 2, math.Sqrt2 / 2, 0, 0, 0})
}

func TestStrideNeverDoublesAndKeepsRowsInLines(t *testing.T) {
	for _, typ := range []Type{F32, F16, U8} {
		for dim := 1; dim < 2000; dim++ {
			n, s := dim*typ.Size(), Stride(typ, dim)
			if s < n || s >= 2*n && s > typ.Size() {
				t.Fatalf("type %d dim %d: stride %d for %d bytes", typ, dim, s, n)
			}
			if s%64 != 0 && 64%s != 0 {
				t.Fatalf("type %d dim %d: stride %d lets rows straddle lines", typ, dim, s)
			}
		}
	}
	if Stride(F32, 4) != 16 || Stride(F32, 100) != 448 || Stride(U8, 100) != 128 || Stride(F32, 16) != 64 {
		t.Error("strides in use have changed; files depend on them")
	}
}

func TestLenCountsWholeRows(t *testing.T) {
	f := func(bytes, want int) {
		t.Helper()
		if got := (Rows{Data: make([]byte, bytes), Stride: 128, Dim: 25, Type: F32}).Len(); got != want {
			t.Errorf("%d bytes: got %d, want %d", bytes, got, want)
		}
	}
	f(0, 0)
	f(99, 0)
	f(100, 1)
	f(227, 1)
	f(228, 2)
	f(256, 2)
}
