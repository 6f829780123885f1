package hnsw

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sextantdb/sextant/engine/internal/vec"
)

func someGraph(t testing.TB, n int, gaps bool) (*field, *Graph) {
	f := newField(n, 6, vec.Euclid, 4)
	rows := f.all()
	if gaps {
		rows = rows[:0]
		for row := range uint32(n) {
			if row%5 != 0 {
				rows = append(rows, row)
			}
		}
	}
	return f, f.build(t, rows, Params{M: 5, EfConstruct: 30})
}

func file(t testing.TB, g *Graph) []byte {
	var b bytes.Buffer
	if n, err := g.WriteTo(&b); err != nil || n != int64(b.Len()) {
		t.Fatal(n, err)
	}
	return b.Bytes()
}

func TestAGraphReadBackIsTheSame(t *testing.T) {
	for _, gaps := range []bool{false, true} {
		f, g := someGraph(t, 700, gaps)
		data := file(t, g)
		crooked := append(make([]byte, 1, len(data)+1), data...)[1:]
		for _, d := range [][]byte{data, crooked} {
			back, err := Open(d)
			if err != nil {
				t.Fatal(err)
			}
			if err := back.Verify(); err != nil {
				t.Error(err)
			}
			if back.Len() != g.Len() || back.M() != 5 || back.EfConstruct() != 30 {
				t.Error("parameters differ")
			}
			q := f.query(f.draw())
			a, _ := g.Search(t.Context(), q, 10, 50, nil, nil)
			b, err := back.Search(t.Context(), q, 10, 50, nil, nil)
			if err != nil || len(a) != 10 {
				t.Fatal(err, len(a))
			}
			for i := range a {
				if a[i] != b[i] {
					t.Fatalf("%v and %v", a, b)
				}
			}
		}
	}
}

// Whatever byte is changed, Open or Verify sees it, and a search in between ends without a panic.
func TestADamagedFileIsNoticedAndHarmless(t *testing.T) {
	for _, gaps := range []bool{false, true} {
		f, g := someGraph(t, 300, gaps)
		good := file(t, g)
		rng := rand.New(rand.NewPCG(1, 2))
		for i := range 1500 {
			data := bytes.Clone(good)
			at := rng.IntN(len(data))
			if i < headerBytes {
				at = i
			}
			data[at] ^= byte(1 + rng.IntN(255))
			damaged(t, f, data)
		}
		if _, err := Open(good[:len(good)-1]); !errors.Is(err, ErrCorrupt) {
			t.Error("a cut file is opened")
		}
	}
}

func damaged(t *testing.T, f *field, data []byte) {
	t.Helper()
	g, err := Open(data)
	if err == nil {
		for _, every := range []uint32{1, 2, 9} {
			_, filter := pass(f, f.all(), func(row uint32) bool { return row%every == 0 })
			if _, err := g.Search(t.Context(), f.query(f.draw()), 5, 40, filter, nil); err != nil && !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
		}
		err = g.Verify()
	}
	if !errors.Is(err, ErrCorrupt) {
		t.Fatalf("damage is not noticed: %v", err)
	}
}

// FuzzSearch changes links behind a correct header: searches must end, inside the rows.
func FuzzSearch(f *testing.F) {
	points, g := someGraph(f, 200, true)
	good := file(f, g)
	f.Add([]byte{0, 0, 0, 0, 255, 255, 255, 255}, uint32(headerBytes))
	f.Fuzz(func(t *testing.T, patch []byte, at uint32) {
		data := bytes.Clone(good)
		copy(data[headerBytes+int(at)%(len(data)-headerBytes):], patch)
		g, err := Open(data)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		for _, every := range []uint32{1, 2, 9} {
			_, filter := pass(points, points.all(), func(row uint32) bool { return row%every == 0 })
			hits, err := g.Search(t.Context(), points.query(points.draw()), 5, 40, filter, nil)
			if err != nil && !errors.Is(err, ErrCorrupt) {
				t.Fatal(err)
			}
			for _, h := range hits {
				if h.Row >= 200 || h.Row%every != 0 {
					t.Fatalf("row %d", h.Row)
				}
			}
		}
		if time.Since(start) > 5*time.Second {
			t.Fatal("searches take too long")
		}
	})
}
