//go:build linux

package vec

import (
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
)

// fenced returns n bytes with an unreadable page right before and, if atEnd, right behind; otherwise they begin just
// after the first of the two.
func fenced(t *testing.T, n int, atEnd bool) []byte {
	page := os.Getpagesize()
	room := (n + page - 1) / page * page
	m, err := syscall.Mmap(-1, 0, room+2*page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Munmap(m) })
	for _, fence := range [][]byte{m[:page], m[page+room:]} {
		if err := syscall.Mprotect(fence, syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	if atEnd {
		return m[page+room-n : page+room : page+room]
	}
	return m[page : page+n : page+n]
}

// A mapped file may end with the last component of the last row: no kernel touches the byte after it, nor one before
// the first row.
func TestKernelsStayInsideTheRows(t *testing.T) {
	const n = 3
	for _, f := range tiers() {
		for _, atEnd := range []bool{false, true} {
			for dim := 1; dim <= 135; dim++ {
				r := rand.New(rand.NewPCG(11, uint64(dim)))
				data, query := fenced(t, 4*dim*n, atEnd), fenced(t, 4*dim, atEnd)
				for i := range query {
					query[i] = byte(i)
				}
				for _, k := range kinds {
					size := dim * k.typ.Size()
					q := query[:size]
					rows := Rows{Data: data[:size*n], Stride: size, Dim: dim, Type: k.typ}
					if atEnd {
						q, rows.Data = query[len(query)-size:], data[len(data)-size*n:]
					}
					s := newScorer(k.metric, rows, q, f)
					var out [5]float32
					for m := 1; m <= n; m++ {
						s.ScoreRange(uint32(n-m), out[:m])
						s.ScoreRange(0, out[:m])
					}
					s.ScoreBatch([]uint32{uint32(r.IntN(n)), 0, n - 1, 1, 2}, out[:])
				}
				fencedCodes(f, dim, n, data, query, atEnd)
			}
		}
	}
}

func fencedCodes(f features, dim, n int, data, query []byte, atEnd bool) {
	codes, words := data[:dim*n], dim*4/8
	bits := data[:8*words*n]
	if atEnd {
		codes, bits = data[len(data)-dim*n:], data[len(data)-8*words*n:]
	}
	out := make([]int32, n)
	dotU8I8Range(f, make([]int8, dim), codes, dim, 0, out)
	dotU8I8Batch(f, make([]int8, dim), codes, dim, []uint32{2, 0, 1}, out)
	xorPopcntRange(f, make([]uint64, words), bits, 8*words, 0, out)
	xorPopcntBatch(f, make([]uint64, words), bits, 8*words, []uint32{2, 0, 1}, out)
}
