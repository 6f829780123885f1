package sparse

import (
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"github.com/sextantdb/sextant"
)

// reseal gives damaged bytes fitting checksums, as a malicious sender of a file would.
func reseal(data []byte) {
	if len(data) < 8+trailerBytes {
		return
	}
	le := binary.LittleEndian
	b := data[len(data)-trailerBytes:]
	if at := 8 + le.Uint64(b[40:]); at <= uint64(len(data)-trailerBytes) {
		le.PutUint32(b[60:], crc32.Checksum(data[at:len(data)-trailerBytes], castagnoli))
	}
	le.PutUint32(b[trailerBytes-4:], crc32.Checksum(b[:trailerBytes-4], castagnoli))
}

// use opens data and, if that works, searches in all ways. It must not panic, hang or find rows that do not exist.
func use(t *testing.T, data []byte) {
	x, err := Open(data)
	if err != nil {
		if sextant.KindOf(err) != sextant.Corrupt {
			t.Fatalf("kind of %v", err)
		}
		return
	}
	x.Verify()
	alive := []uint64{0xf0, 1 << 40}
	for i, index := range x.indices[:min(3, len(x.indices))] {
		for _, q := range []Query{{K: 3}, {K: 1000, Alive: alive}, {K: 1, Alive: []uint64{1}}} {
			q.N, q.Indices, q.Values = 1<<20, x.indices[:i+1], []float32{1, 2, -3}[:i+1]
			for _, hit := range find(t, x, q) {
				if hit.Row >= x.rows {
					t.Fatalf("found row %d of %d", hit.Row, x.rows)
				}
			}
		}
		x.DF(index, alive)
	}
	x.Vectors(alive)
}

var fuzzWorld = world{rows: 400, dims: 4, length: 2}

func TestDamagedFilesAreRefused(t *testing.T) {
	data := fuzzWorld.vectors(rand.New(rand.NewPCG(1, 1))).bytes(t, "")
	r := rand.New(rand.NewPCG(2, 2))
	for range 500 {
		bad := append([]byte(nil), data...)
		bad[r.IntN(len(bad))] ^= 1 << r.IntN(8)
		x, err := Open(bad)
		if err == nil {
			err = x.Verify()
		}
		if sextant.KindOf(err) != sextant.Corrupt {
			t.Fatalf("got %v", err)
		}
		if _, err := Open(data[:r.IntN(len(data))]); sextant.KindOf(err) != sextant.Corrupt {
			t.Fatalf("cut: got %v", err)
		}
	}
	use(t, append([]byte{0}, data...)[1:]) // at an odd address
}

func TestCraftedFilesDoNoHarm(t *testing.T) {
	for _, dt := range []sextant.Datatype{sextant.Float32, sextant.Float16, sextant.Uint8} {
		data := fuzzWorld.vectors(rand.New(rand.NewPCG(1, 1))).bytes(t, dt)
		r := rand.New(rand.NewPCG(3, 3))
		for range 3000 {
			bad := append([]byte(nil), data...)
			for range 1 + r.IntN(3) {
				at := r.IntN(len(bad))
				if r.IntN(2) == 0 { // the small sections at the end
					at = len(bad) - 1 - r.IntN(min(len(bad), 400))
				}
				bad[at] = byte(r.Uint32())
			}
			reseal(bad)
			use(t, bad)
		}
	}
}

func FuzzOpen(f *testing.F) {
	for _, dt := range []sextant.Datatype{sextant.Float32, sextant.Float16, sextant.Uint8} {
		f.Add(fuzzWorld.vectors(rand.New(rand.NewPCG(1, 1))).bytes(f, dt))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		use(t, data)
		data = append([]byte(nil), data...)
		reseal(data)
		use(t, data)
	})
}
