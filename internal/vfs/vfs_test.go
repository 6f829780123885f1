package vfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/sextantdb/sextant/internal/vfs"
	"github.com/sextantdb/sextant/internal/vfs/vfstest"
)

func TestOS(t *testing.T)     { vfstest.Run(t, vfs.OS{}, t.TempDir()) }
func TestMem(t *testing.T)    { vfstest.Run(t, &vfs.Mem{}, "/") }
func TestFaulty(t *testing.T) { vfstest.Run(t, vfs.NewFaulty(&vfs.Mem{}), "") }

func rng(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// After a power loss a file holds its synced bytes; of the rest anything, and all outcomes do occur.
func TestCrashKeepsSyncedBytesAndSomeOfTheRest(t *testing.T) {
	synced := bytes.Repeat([]byte{1}, 5000)
	rest := bytes.Repeat([]byte{2}, 9000)
	seen := map[string]int{}
	for seed := range uint64(300) {
		var disk vfs.Mem
		f, err := disk.Create("f")
		ok(t, err)
		_, err = f.Write(synced)
		ok(t, err)
		ok(t, f.Sync())
		ok(t, disk.SyncDir("/"))
		_, err = f.Write(rest)
		ok(t, err)
		next := disk.Crash(rng(seed))
		if _, err := f.Write(rest); !errors.Is(err, syscall.EIO) {
			t.Fatalf("write of a dead process: %v", err)
		}
		got, err := vfs.ReadFile(next, "f")
		ok(t, err)
		if !bytes.HasPrefix(got, synced) {
			t.Fatalf("seed %d: synced bytes are gone, %d left", seed, len(got))
		}
		got = got[len(synced):]
		zeros, twos := bytes.Count(got, []byte{0}), bytes.Count(got, []byte{2})
		if zeros+twos != len(got) {
			t.Fatalf("seed %d: bytes from nowhere", seed)
		}
		switch {
		case len(got) == 0:
			seen["nothing"]++
		case twos == len(rest):
			seen["everything"]++
		case zeros == 0:
			seen["a prefix"]++
		case got[0] == 0:
			seen["a hole first"]++
		default:
			seen["holes"]++
		}
	}
	if len(seen) != 5 {
		t.Fatalf("some outcomes never occur: %v", seen)
	}
}

// Without a sync a cut may come undone, but only from the place of the cut on.
func TestCrashMayUndoAnUnsyncedCut(t *testing.T) {
	undone := 0
	for seed := range uint64(100) {
		var disk vfs.Mem
		f, err := disk.Create("f")
		ok(t, err)
		_, err = f.Write(bytes.Repeat([]byte{1}, 3000))
		ok(t, err)
		ok(t, f.Sync())
		ok(t, disk.SyncDir("/"))
		ok(t, f.Truncate(1000))
		_, err = f.Write(bytes.Repeat([]byte{2}, 1000))
		ok(t, err)
		got, err := vfs.ReadFile(disk.Crash(rng(seed)), "f")
		ok(t, err)
		if len(got) < 2000 || !bytes.Equal(got[:1000], bytes.Repeat([]byte{1}, 1000)) {
			t.Fatalf("seed %d: %d bytes", seed, len(got))
		}
		if len(got) == 3000 {
			undone++
		}
	}
	if undone == 0 || undone == 100 {
		t.Fatalf("undone in %d of 100", undone)
	}
}

// Names are kept in order within a directory, a rename whole; what SyncDir covered is certain.
func TestCrashKeepsAPrefixOfTheNames(t *testing.T) {
	counts := map[int]int{}
	for seed := range uint64(200) {
		var disk vfs.Mem
		ok(t, vfs.WriteAtomic(&disk, "pointer", []byte("old")))
		for i := range 5 {
			f, err := disk.Create(fmt.Sprint(i))
			ok(t, err)
			ok(t, f.Sync())
		}
		f, err := disk.Create("tmp")
		ok(t, err)
		_, err = f.Write([]byte("new"))
		ok(t, err)
		ok(t, f.Sync())
		ok(t, disk.Rename("tmp", "pointer"))
		next := disk.Crash(rng(seed))
		got, err := vfs.ReadFile(next, "pointer")
		ok(t, err)
		n := 0
		for n < 5 {
			if _, err := next.Stat(fmt.Sprint(n)); err != nil {
				break
			}
			n++
		}
		for i := n; i < 5; i++ {
			if _, err := next.Stat(fmt.Sprint(i)); err == nil {
				t.Fatalf("seed %d: %d is there, %d is not", seed, i, n)
			}
		}
		if string(got) == "new" && n < 5 || string(got) != "new" && string(got) != "old" {
			t.Fatalf("seed %d: pointer %q with %d files", seed, got, n)
		}
		counts[n]++
	}
	if len(counts) != 6 {
		t.Fatalf("some prefixes never occur: %v", counts)
	}
}

// The end of a process alone loses nothing that was written.
func TestKillKeepsEverything(t *testing.T) {
	var disk vfs.Mem
	f, err := disk.Create("f")
	ok(t, err)
	_, err = f.Write([]byte("text"))
	ok(t, err)
	lock, err := disk.Lock("lock")
	ok(t, err)
	_ = lock
	next := disk.Kill()
	got, err := vfs.ReadFile(next, "f")
	ok(t, err)
	if string(got) != "text" {
		t.Fatalf("left: %q", got)
	}
	if _, err := next.Lock("lock"); err != nil {
		t.Fatalf("a dead process holds a lock: %v", err)
	}
	// It is still not durable: a power loss right after may take it.
	lost := 0
	for seed := range uint64(50) {
		var disk vfs.Mem
		f, err := disk.Create("f")
		ok(t, err)
		_, err = f.Write([]byte("text"))
		ok(t, err)
		if got, _ := vfs.ReadFile(disk.Kill().Crash(rng(seed)), "f"); string(got) != "text" {
			lost++
		}
	}
	if lost == 0 || lost == 50 {
		t.Fatalf("lost in %d of 50", lost)
	}
}

// WriteAtomic leaves the old or the new content, at whichever call the power goes, and the new one once it returned.
func TestWriteAtomicSurvivesACrashAtEveryCall(t *testing.T) {
	for k := 1; ; k++ {
		returned := false
		for seed := range uint64(40) {
			mem := &vfs.Mem{}
			ok(t, vfs.WriteAtomic(mem, "f", []byte("old")))
			faulty := vfs.NewFaulty(mem)
			faulty.FailFrom(k, syscall.EIO, vfs.OpChanges)
			err := vfs.WriteAtomic(faulty, "f", []byte("new"))
			returned = err == nil
			got, readErr := vfs.ReadFile(mem.Crash(rng(seed)), "f")
			ok(t, readErr)
			if string(got) != "new" && (returned || string(got) != "old") {
				t.Fatalf("call %d, seed %d: %q, returned %v", k, seed, got, err)
			}
		}
		if returned {
			return
		}
	}
}

func TestAFullDiskTakesWhatFits(t *testing.T) {
	var disk vfs.Mem
	disk.SetSize(10)
	f, err := disk.Create("f")
	ok(t, err)
	_, err = f.Write([]byte("12345678"))
	ok(t, err)
	n, err := f.Write([]byte("9abc"))
	if n != 2 || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("wrote %d, %v", n, err)
	}
	if s, _ := disk.Free("/"); s != (vfs.Space{Total: 10}) {
		t.Fatalf("space %+v", s)
	}
	ok(t, f.Truncate(5))
	if s, _ := disk.Free("/"); s.Free != 5 {
		t.Fatalf("space %+v", s)
	}
	ok(t, disk.Link("f", "g"))
	ok(t, disk.Remove("f"))
	if s, _ := disk.Free("/"); s.Free != 5 {
		t.Fatalf("space after one of two names is gone: %+v", s)
	}
	ok(t, disk.Remove("g"))
	if s, _ := disk.Free("/"); s.Free != 10 {
		t.Fatalf("space after the last name is gone: %+v", s)
	}
}

func TestFaultyFailsTheChosenCall(t *testing.T) {
	disk := vfs.NewFaulty(&vfs.Mem{})
	f, err := disk.Create("f")
	ok(t, err)
	disk.FailAt(2, syscall.EIO, vfs.OpWrite|vfs.OpSync)
	if _, err := f.Write([]byte("ab")); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("second call: %v", err)
	}
	ok(t, f.Sync())
	disk.FailFrom(1, syscall.ENOSPC, vfs.OpWrite)
	for range 2 {
		if n, err := f.Write([]byte("cd")); n != 1 || !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("wrote %d, %v", n, err)
		}
	}
	disk.Heal()
	got, err := vfs.ReadFile(disk, "f")
	if string(got) != "abcc" || err != nil {
		t.Fatalf("holds %q, %v", got, err)
	}
	if n := disk.Calls(vfs.OpWrite | vfs.OpSync); n != 5 {
		t.Fatalf("%d calls", n)
	}
}
