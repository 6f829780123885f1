package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/segment"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/vfs"
)

// payloads returns the payload of every point.
func payloads(t testing.TB, s *Shard) map[uint64]string {
	t.Helper()
	records, next, err := s.Scroll(t.Context(), sextant.Scroll{Limit: 10_000, WithPayload: sextant.PayloadSelector{All: true}})
	ok(t, err)
	if next != nil {
		t.Fatal("more points than the test knows")
	}
	out := map[uint64]string{}
	for _, r := range records {
		out[r.ID.Lo] = string(r.Payload)
	}
	return out
}

func numbered(id uint64, n int) sextant.Point {
	p := point(id, 1, 2, 3, float32(id))
	p.Payload = sextant.Payload(fmt.Sprintf(`{"round":%d}`, n))
	return p
}

// recounted compares the digest that was kept with one made anew from all points.
func recounted(t testing.TB, s *Shard) {
	t.Helper()
	v := s.views.Get()
	defer v.Release()
	anew, err := segment.Recount(t.Context(), v, nil)
	ok(t, err)
	s.writer.mu.Lock()
	kept := s.writer.state.Digest()
	s.writer.mu.Unlock()
	if anew != kept {
		t.Error("the digest is not that of the points")
	}
}

// However slow the reader of a snapshot is, updates and checkpoints go on, and what it gets is as of its seq.
func TestASlowSnapshotHoldsNobodyUp(t *testing.T) {
	mem := &vfs.Mem{}
	s := create(t, mem, Options{})
	for id := range uint64(100) {
		update(t, s, sextant.Upsert{Points: []sextant.Point{numbered(id, 0)}})
	}
	r, w := io.Pipe()
	at := make(chan order.Pos, 1)
	go func() {
		pos, err := s.Snapshot(context.Background(), w)
		w.CloseWithError(err)
		at <- pos
	}()
	first := make([]byte, 1)
	_, err := io.ReadFull(r, first)
	ok(t, err)
	for round := range 3 {
		for id := range uint64(100) {
			update(t, s, sextant.Upsert{Points: []sextant.Point{numbered(id, round+1)}})
		}
		_, err := s.Checkpoint(t.Context())
		ok(t, err)
	}
	disk := &vfs.Mem{}
	ok(t, Restore(t.Context(), "/shard", io.MultiReader(bytes.NewReader(first), r), Options{FS: disk}))
	if pos := <-at; pos.Seq != 100 {
		t.Errorf("snapshot at %s", pos)
	}
	got := reopen(t, disk, Options{})
	points := payloads(t, got)
	for id, p := range points {
		if p != `{"round":0}` {
			t.Errorf("point %d has %s", id, p)
		}
	}
	if len(points) != 100 {
		t.Errorf("%d points", len(points))
	}
	recounted(t, got)
	ok(t, got.Close())
	noPins(t, mem)
	ok(t, s.Close())
}

func noPins(t testing.TB, fsys vfs.FS) {
	t.Helper()
	infos, err := fsys.List("/shard/g1")
	ok(t, err)
	for _, info := range infos {
		if strings.HasPrefix(info.Name, "pin-") {
			t.Errorf("%s is left", info.Name)
		}
	}
}

// A snapshot that is given up leaves nothing, and the shard as it was.
func TestASnapshotThatFailsLeavesNothing(t *testing.T) {
	mem := &vfs.Mem{}
	disk := vfs.NewFaulty(mem)
	s := create(t, disk, Options{})
	update(t, s, sextant.Upsert{Points: []sextant.Point{numbered(1, 1)}})
	gone := errors.New("the client is gone")
	if _, err := s.Snapshot(t.Context(), failingWriter{gone}); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
	disk.FailAt(1, gone, vfs.OpLink)
	if _, err := s.Snapshot(t.Context(), io.Discard); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
	noPins(t, mem)
	_, err := s.Snapshot(t.Context(), io.Discard)
	ok(t, err)
	ok(t, s.Close())
	if _, err := s.Snapshot(t.Context(), io.Discard); err == nil {
		t.Error("snapshot of a closed shard")
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// Damage never travels in a snapshot. That of a derived file is repaired by itself; that of stored data ends updates.
func TestASnapshotMeetsDamage(t *testing.T) {
	for _, derived := range []bool{true, false} {
		mem := &vfs.Mem{}
		s := create(t, mem, Options{})
		for id := range uint64(10) {
			update(t, s, sextant.Upsert{Points: []sextant.Point{numbered(id, 1)}})
		}
		key, err := sextant.ParsePath("round")
		ok(t, err)
		update(t, s, sextant.CreateField{Key: key, Spec: sextant.FieldSpec{Type: sextant.IntegerField, Lookup: true}})
		_, err = s.Snapshot(t.Context(), io.Discard)
		ok(t, err)
		var name string
		for _, ref := range s.keeper.manifest().files() {
			if (ref.Kind == segment.FieldFile) == derived {
				name = "/shard/g1/" + ref.Name
			}
		}
		b, err := vfs.ReadFile(mem, name)
		ok(t, err)
		b[len(b)/2] ^= 1
		ok(t, s.Close())
		ok(t, vfs.WriteAtomic(mem, name, b))
		s = reopen(t, mem, Options{})
		_, err = s.Snapshot(t.Context(), io.Discard)
		healed := derived && err == nil // found at the start, and repaired already
		if !healed && (sextant.KindOf(err) != sextant.Corrupt || !strings.Contains(err.Error(), name)) {
			t.Fatalf("snapshot: %v", err)
		}
		_, err = s.Update(t.Context(), sextant.Upsert{Points: []sextant.Point{numbered(99, 1)}}, sextant.Applied)
		if derived != (err == nil) {
			t.Errorf("derived %v, then an update: %v", derived, err)
		}
		if derived {
			s.Trigger()
			for err = errors.New("first"); err != nil && t.Context().Err() == nil; {
				_, err = s.Snapshot(t.Context(), io.Discard)
			}
			ok(t, err)
		}
		_ = s.Close() // a damaged one may say so
	}
}
