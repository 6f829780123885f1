package engine

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/vfs"
)

// On a small disk points are taken until there is no room for the log; then updates are refused in the words
// that clients know, reads and builds go on, and room makes everything good again.
func TestAFullDiskRefusesUpdatesAndNothingElse(t *testing.T) {
	disk := &vfs.Mem{}
	disk.SetSize(6 << 20)
	c := indexSoon()
	never := uint64(0)
	c.Optimizer.IndexingThreshold = &never
	s := create(t, disk, Options{Config: c})
	r := rand.New(rand.NewPCG(1, 1))
	points := 0
	fill := func() {
		t.Helper()
		for limit := points + 200_000; points < limit; points += 100 {
			batch := randomPoints(r, points, 100)
			for i := range batch {
				batch[i].Payload = []byte(`{"text":"` + strings.Repeat("x", 500) + `"}`)
			}
			_, err := s.Update(t.Context(), sextant.Upsert{Points: batch}, sextant.Applied)
			if err == nil {
				continue
			}
			if !strings.HasPrefix(err.Error(), noSpace) || sextant.KindOf(err) != sextant.Internal {
				t.Fatal(err)
			}
			return
		}
		t.Fatalf("%d points fit", points)
	}
	fill()
	if points < 1_000 {
		t.Fatalf("only %d points fit", points)
	}
	full := func() {
		t.Helper()
		fill() // what was sealed or built meanwhile may have made a little room
		if n := count(t, s); n != points {
			t.Fatalf("%d points of %d", n, points)
		}
	}
	full()
	ok(t, s.Configure(indexSoon()))
	eventually(t, "green", func() bool { return info(t, s).Status == Green })
	if i := info(t, s); i.IndexedVectors == 0 {
		t.Fatalf("nothing is indexed: %+v", i)
	}
	exactSame(t, s, r)
	full()
	disk = func() *vfs.Mem { ok(t, s.Close()); return disk.Kill() }()
	s = reopen(t, disk, Options{Config: indexSoon()})
	full()
	disk.SetSize(1 << 30)
	update(t, s, sextant.Upsert{Points: randomPoints(r, points, 100)})
	points += 100
	if n := count(t, s); n != points {
		t.Fatalf("%d points of %d", n, points)
	}
	ok(t, s.Close())
}
