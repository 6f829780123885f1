package engine_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine"
	"github.com/sextantdb/sextant/internal/codec"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/vfs"
	"github.com/sextantdb/sextant/internal/wal"
)

// ordered makes a replica with one point for each of its entries, all of a term.
func ordered(t testing.TB, disk vfs.FS, uuid string, entries int, term order.Term) *engine.Shard {
	t.Helper()
	schema := sextant.Schema{Vectors: map[string]sextant.VectorSpec{"": {Dim: 2, Distance: sextant.Dot}}}
	s, err := engine.Create("s", schema, engine.Options{FS: disk, ManualApply: true, UUID: uuid})
	try(t, err)
	try(t, s.UseTerm(t.Context(), term))
	for range entries {
		log(t, s, term)
	}
	return s
}

func log(t testing.TB, s *engine.Shard, term order.Term) order.Seq {
	t.Helper()
	last := s.Stands().Last
	next := last.Seq + 1
	body := codec.AppendUpdate(nil, sextant.Upsert{Points: []sextant.Point{{ID: sextant.NumID(uint64(next)), Vectors: []sextant.NamedVector{{Vector: sextant.Vector{Values: []float32{1, 2}}}}}}})
	try(t, s.Append(t.Context(), last, []wal.Record{{Seq: next, Term: term, Kind: wal.Effects, Body: body}}))
	_, err := s.Apply(t.Context(), next, nil)
	try(t, err)
	return next
}

func try(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func archived(t testing.TB, s *engine.Shard) []byte {
	t.Helper()
	var b bytes.Buffer
	_, err := s.Snapshot(t.Context(), &b)
	try(t, err)
	try(t, s.Close())
	return b.Bytes()
}

// What another cluster had becomes the state here, behind everything that was logged here and there, as an entry of a new term: no
// old log holds it. The shard goes on until it is adopted.
func TestARestoreWaitsForItsWord(t *testing.T) {
	archive := archived(t, ordered(t, &vfs.Mem{}, "other", 9, 70))
	disk := &vfs.Mem{}
	s := ordered(t, disk, "here", 20, 3)
	opts := engine.Options{FS: disk, ManualApply: true, UUID: "here"}
	vectors := map[string]sextant.VectorSpec{"": {Dim: 2, Distance: sextant.Dot}}
	wrong := map[string]sextant.VectorSpec{"": {Dim: 3, Distance: sextant.Dot}}
	if err := engine.PrepareRestore(t.Context(), "s", 6, wrong, bytes.NewReader(archive), opts); sextant.KindOf(err) != sextant.WrongInput {
		t.Errorf("other vectors: %v", err)
	}
	for range 2 { // the second one replaces the first
		try(t, engine.PrepareRestore(t.Context(), "s", 7, vectors, bytes.NewReader(archive), opts))
	}
	log(t, s, 3)
	try(t, s.Close())
	s, err := engine.Open("s", opts) // it outlives that
	try(t, err)
	if got := points(t, s); got != 21 || s.Restored() != 0 {
		t.Errorf("%d points, restored by %d", got, s.Restored())
	}
	if err := engine.AdoptRestore(t.Context(), "s", 7, 0, 4, opts); err == nil {
		t.Error("adopted under an open shard")
	}
	try(t, s.Close())
	if err := engine.AdoptRestore(t.Context(), "s", 8, 0, 4, opts); sextant.KindOf(err) != sextant.Precondition {
		t.Errorf("another id: %v", err)
	}
	try(t, engine.AdoptRestore(t.Context(), "s", 7, 100, 4, opts))
	if id, err := engine.PreparedRestore(disk, "s"); id != 0 || err != nil {
		t.Errorf("%d waits still, %v", id, err)
	}
	s, err = engine.Open("s", opts)
	try(t, err)
	at := s.Stands()
	place := order.Pos{Seq: 101, Term: 4}
	if at.UUID != "here" || at.Base != place || at.Applied != place || at.Last != place || at.UsedTerm != 3 || len(at.History) != 1 || points(t, s) != 9 || s.Restored() != 7 {
		t.Errorf("%+v, %d points, restored by %d", at, points(t, s), s.Restored())
	}
	log(t, s, 4)
	try(t, s.Close())
}

// What is not wanted any more goes, and nothing else does.
func TestADroppedRestore(t *testing.T) {
	archive := archived(t, ordered(t, &vfs.Mem{}, "other", 9, 2))
	disk := &vfs.Mem{}
	s := ordered(t, disk, "here", 5, 2)
	try(t, s.Close())
	opts := engine.Options{FS: disk, ManualApply: true, UUID: "here"}
	try(t, engine.PrepareRestore(t.Context(), "s", 7, s2(t, opts), bytes.NewReader(archive), opts))
	try(t, engine.DropRestore(disk, "s"))
	try(t, engine.DropRestore(disk, "s"))
	infos, err := disk.List("s")
	try(t, err)
	if len(infos) != 3 { // CURRENT, LOCK, g1
		t.Errorf("left: %v", infos)
	}
}

// s2 returns the vector names of the shard in its directory.
func s2(t testing.TB, opts engine.Options) map[string]sextant.VectorSpec {
	t.Helper()
	s, err := engine.Open("s", opts)
	try(t, err)
	defer s.Close()
	schema, err := s.Schema()
	try(t, err)
	return schema.Vectors
}

// Whichever call fails, and whenever process or power end: the shard is what it was or, whole, what was restored, and what was told
// to be prepared can be adopted.
func TestPreparedRestoresAreAtomic(t *testing.T) {
	archive := archived(t, ordered(t, &vfs.Mem{}, "other", 9, 70))
	for k := 1; ; k++ {
		mem := &vfs.Mem{}
		s := ordered(t, mem, "here", 5, 3)
		try(t, s.Close())
		vectors := s2(t, engine.Options{FS: mem, ManualApply: true})
		disk := vfs.NewFaulty(mem)
		disk.FailFrom(k, syscall.EIO, vfs.OpChanges)
		opts := engine.Options{FS: disk, ManualApply: true, UUID: "here"}
		prepared := engine.PrepareRestore(t.Context(), "s", 7, vectors, bytes.NewReader(archive), opts)
		adopted := prepared
		if prepared == nil {
			adopted = engine.AdoptRestore(t.Context(), "s", 7, 0, 4, opts)
		}
		if adopted != nil && !errors.Is(adopted, syscall.EIO) {
			t.Fatalf("call %d: %v", k, adopted)
		}
		calls := disk.Calls(vfs.OpChanges)
		for _, next := range []*vfs.Mem{mem.Crash(rand.New(rand.NewPCG(uint64(k), 1))), mem.Kill()} {
			opts.FS = next
			id, err := engine.PreparedRestore(next, "s")
			try(t, err)
			s, err := engine.Open("s", opts)
			try(t, err)
			isNew := s.Restored() == 7
			if want := map[bool]int{true: 9, false: 5}[isNew]; points(t, s) != want {
				t.Fatalf("call %d: %d points, new: %v", k, points(t, s), isNew)
			}
			switch {
			case adopted == nil && !isNew, prepared == nil && !isNew && id != 7:
				t.Fatalf("call %d: new: %v, %d waits; prepared: %v, adopted: %v", k, isNew, id, prepared, adopted)
			}
			try(t, s.Close())
			if id == 7 {
				try(t, engine.AdoptRestore(t.Context(), "s", 7, 0, 4, opts))
				s, err = engine.Open("s", opts)
				try(t, err)
				if points(t, s) != 9 || s.Stands().Last.Term != 4 {
					t.Fatalf("call %d: %d points at %s", k, points(t, s), s.Stands().Last)
				}
				try(t, s.Close())
			}
		}
		if calls < k {
			return
		}
	}
}

func points(t testing.TB, s *engine.Shard) int {
	t.Helper()
	n, err := s.Count(context.Background(), nil, true)
	try(t, err)
	return int(n)
}
