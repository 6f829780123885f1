package vec

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"testing"
)

func TestDotU8I8EqualsPlainGoOnEveryTier(t *testing.T) {
	const n = 11
	for name, f := range tiers() {
		r := rand.New(rand.NewPCG(7, 8))
		for i, dim := range append(dims(), MaxDim) {
			stride := Stride(U8, dim)
			codes, query := alignedBytes(stride*n), make([]int8, dim)
			for i := range codes {
				codes[i] = byte(r.IntN(256)) | -byte(r.IntN(2)) // many of the largest
			}
			for i := range query {
				query[i] = int8(r.IntN(256)) | -128*int8(r.IntN(2))
			}
			expected := func(row uint32) (sum int32) {
				for i, q := range query {
					sum += int32(q) * int32(codes[int(row)*stride+i])
				}
				return sum
			}
			checkCounts(t, r, name, dim, n, 1+i%n, expected,
				func(ids []uint32, out []int32) bool { return dotU8I8Batch(f, query, codes, stride, ids, out) },
				func(from uint32, out []int32) { dotU8I8Range(f, query, codes, stride, from, out) })
		}
	}
}

func TestXorPopcntEqualsPlainGoOnEveryTier(t *testing.T) {
	const n = 11
	for name, f := range tiers() {
		r := rand.New(rand.NewPCG(9, 10))
		for words := range 70 {
			stride := Stride(U8, 8*words)
			codes, query := alignedBytes(stride*n), make([]uint64, words)
			for i := range codes {
				codes[i] = byte(r.Uint32())
			}
			for i := range query {
				query[i] = r.Uint64()
			}
			expected := func(row uint32) int32 {
				sum := 0
				for i, q := range query {
					sum += bits.OnesCount64(q ^ binary.LittleEndian.Uint64(codes[int(row)*stride+8*i:]))
				}
				return int32(sum)
			}
			checkCounts(t, r, name, words, n, 1+words%n, expected,
				func(ids []uint32, out []int32) bool { return xorPopcntBatch(f, query, codes, stride, ids, out) },
				func(from uint32, out []int32) { xorPopcntRange(f, query, codes, stride, from, out) })
		}
	}
}

func checkCounts(t *testing.T, r *rand.Rand, name string, dim, rows, n int, expected func(uint32) int32,
	batch func([]uint32, []int32) bool, span func(uint32, []int32)) {
	t.Helper()
	ids, out := make([]uint32, n), make([]int32, n+1)
	for i := range ids {
		ids[i] = uint32(r.IntN(rows))
	}
	out[n] = 77
	if !batch(ids, out[:n]) {
		t.Fatalf("%s dim %d: refused", name, dim)
	}
	for i, id := range ids {
		if w := expected(id); out[i] != w {
			t.Fatalf("%s dim %d batch row %d: got %d, want %d", name, dim, id, out[i], w)
		}
	}
	from := uint32(r.IntN(rows - n + 1))
	span(from, out[:n])
	for i := range n {
		if w := expected(from + uint32(i)); out[i] != w {
			t.Fatalf("%s dim %d range row %d: got %d, want %d", name, dim, from+uint32(i), out[i], w)
		}
	}
	if out[n] != 77 {
		t.Fatalf("%s dim %d: wrote beyond %d results", name, dim, n)
	}
	if dim > 0 && batch([]uint32{0, 1, uint32(rows)}, make([]int32, 3)) {
		t.Fatalf("%s dim %d: a code beyond the end was scored", name, dim)
	}
}
