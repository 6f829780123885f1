package engine

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/vfs"
	"github.com/sextantdb/sextant/internal/wal"
)

// restorable makes a shard at seq last, with logged entries behind it in term 3, and an archive of another one at seq 9.
func restorable(t testing.TB, last uint64, logged int) (*vfs.Mem, []byte) {
	t.Helper()
	mem := &vfs.Mem{}
	m := makeGeneration(t, mem, "s/g1", last)
	l, err := wal.Open(mem, "s/g1/wal", m.At, m.History, wal.Options{})
	noError(t, err)
	for i := range logged {
		ticket, err := l.Append(t.Context(), wal.Record{Seq: m.At.Seq + 1 + order.Seq(i), Term: 3, Kind: wal.Noop})
		noError(t, err)
		noError(t, l.Sync(t.Context(), ticket))
	}
	noError(t, l.UseTerm(t.Context(), 5))
	noError(t, l.Close())
	noError(t, writeCurrent(mem, "s", 1))
	other := &vfs.Mem{}
	return mem, archiveOf(t, other, "g", makeGeneration(t, other, "g", 9))
}

// present returns the manifest of the generation that counts, having checked that it is whole.
func present(t testing.TB, fsys vfs.FS) (*manifest, order.Pos) {
	t.Helper()
	n, err := readCurrent(fsys, "s")
	noError(t, err)
	dir := generationDir("s", n)
	m, err := readManifest(fsys, dir)
	noError(t, err)
	noError(t, tryOpen(fsys, dir, m))
	for _, ref := range m.files() {
		b, err := vfs.ReadFile(fsys, path.Join(dir, ref.Name))
		noError(t, err)
		if int64(len(b)) != ref.Bytes {
			t.Fatalf("%s has %d bytes, want %d", ref.Name, len(b), ref.Bytes)
		}
	}
	l, err := wal.Open(fsys, path.Join(dir, logDir), m.At, m.History, wal.Options{})
	noError(t, err)
	defer l.Close()
	return m, l.Last()
}

func TestRestoreReplacesAShard(t *testing.T) {
	f := func(last uint64, logged int, want order.Pos, history order.History) {
		t.Helper()
		mem, archive := restorable(t, last, logged)
		noError(t, Restore(t.Context(), "s", bytes.NewReader(archive), Options{FS: mem}))
		m, end := present(t, mem)
		if m.At != want || m.Base != want || end != want || !slices.Equal(m.History, history) {
			t.Errorf("restored at %s, base %s, log ends at %s, history %v; want %s, %v", m.At, m.Base, end, m.History, want, history)
		}
		if m.Segments[0].UUID != "seg9-0" || m.UUID == "shard-9" || strings.HasPrefix(m.UUID, "shard-") {
			t.Errorf("segments of %s in shard %s", m.Segments[0].UUID, m.UUID)
		}
		n, err := readCurrent(mem, "s")
		noError(t, err)
		rep, err := wal.Inspect(mem, path.Join(generationDir("s", n), logDir), nil)
		noError(t, err)
		if rep.Used != 5 {
			t.Errorf("the last term used is %d, want 5", rep.Used)
		}
		infos, err := mem.List("s")
		noError(t, err)
		if len(infos) != 3 { // CURRENT, LOCK, g2
			t.Errorf("left: %v", infos)
		}
	}
	old := order.History{{Term: 2, First: 1}}
	f(6, 0, order.Pos{Seq: 9, Term: 2}, old)
	f(9, 0, order.Pos{Seq: 9, Term: 2}, old)
	f(6, 2, order.Pos{Seq: 9, Term: 2}, old)
	// Seqs never come again.
	f(20, 0, order.Pos{Seq: 20, Term: 2}, old)
	f(6, 7, order.Pos{Seq: 13, Term: 3}, order.History{{Term: 2, First: 1}, {Term: 3, First: 13}})
}

func TestRestoreMakesAShard(t *testing.T) {
	_, archive := restorable(t, 6, 0)
	mem := &vfs.Mem{}
	noError(t, Restore(t.Context(), "s", bytes.NewReader(archive), Options{FS: mem}))
	if m, _ := present(t, mem); m.At.Seq != 9 {
		t.Errorf("restored at %s", m.At)
	}
	s, err := Open("s", Options{FS: mem})
	noError(t, err)
	if n := count(t, s); n != 98 {
		t.Errorf("%d points, want 98", n)
	}
	if err := Restore(t.Context(), "s", bytes.NewReader(archive), Options{FS: mem}); err == nil {
		t.Error("restored into an open shard")
	}
	noError(t, s.Close())
}

// A shard that cannot be opened can be restored.
func TestRestoreHealsADamagedShard(t *testing.T) {
	for _, name := range []string{"CURRENT", "g1/MANIFEST", "g1/wal/00000000000000000007.log", "g1/seg6-0.seg"} {
		mem, archive := restorable(t, 6, 3)
		noError(t, vfs.WriteAtomic(mem, path.Join("s", name), []byte("damage")))
		noError(t, Restore(t.Context(), "s", bytes.NewReader(archive), Options{FS: mem}))
		if m, _ := present(t, mem); m.Segments[0].UUID != "seg9-0" {
			t.Errorf("%s: restored %s", name, m.Segments[0].UUID)
		}
	}
}

func TestRestoreRefusesOtherVectors(t *testing.T) {
	mem, archive := restorable(t, 6, 0)
	m, _ := present(t, mem)
	slot := m.Schema.Vectors[""]
	slot.Spec.Dim = 5
	m.Schema.Vectors[""] = slot
	noError(t, m.write(mem, "s/g1"))
	err := Restore(t.Context(), "s", bytes.NewReader(archive), Options{FS: mem})
	if sextant.KindOf(err) != sextant.WrongInput || !strings.HasPrefix(err.Error(), "Snapshot is not compatible with existing collection: Collection vectors: ") {
		t.Errorf("got %v", err)
	}
	if n, err := readCurrent(mem, "s"); n != 1 || err != nil {
		t.Errorf("generation %d, %v", n, err)
	}
	if _, err := mem.Stat("s/g2"); err == nil {
		t.Error("the refused generation stays")
	}
}

// Whichever call fails, and whenever process or power end, the shard is the old one or, whole, the new one; the new one if
// Restore said so.
func TestRestoreIsAtomic(t *testing.T) {
	for k := 1; ; k++ {
		r := rand.New(rand.NewPCG(uint64(k), 1))
		mem, archive := restorable(t, 6, 2)
		disk := vfs.NewFaulty(mem)
		disk.FailFrom(k, syscall.EIO, vfs.OpChanges)
		err := Restore(t.Context(), "s", bytes.NewReader(archive), Options{FS: disk})
		if err != nil && !errors.Is(err, syscall.EIO) {
			t.Fatalf("call %d: %v", k, err)
		}
		calls := disk.Calls(vfs.OpChanges)
		crashed := mem.Crash(r) // a copy; the killed one shares its files with mem
		for _, next := range []*vfs.Mem{crashed, mem.Kill()} {
			m, last := present(t, next)
			isNew := m.Segments[0].UUID == "seg9-0"
			switch {
			case err == nil && !isNew:
				t.Fatalf("call %d: restored, and lost", k)
			case !isNew && (m.At.Seq != 6 || last.Seq != 8 || m.UUID != "shard-6"):
				t.Fatalf("call %d (%v): old state at %s, last %s, shard %s", k, err, m.At, last, m.UUID)
			}
			// The next attempt is not hindered by what this one left.
			noError(t, Restore(t.Context(), "s", bytes.NewReader(archive), Options{FS: next}))
			if m, _ := present(t, next); m.Segments[0].UUID != "seg9-0" {
				t.Fatalf("call %d: the next attempt restored %s", k, m.Segments[0].UUID)
			}
		}
		if calls < k {
			return
		}
	}
}
