// Package vfstest is the contract of vfs.FS as a test, run by every implementation.
//
// Concurrency: Run uses the disk from several goroutines.
package vfstest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sync"
	"testing"

	"github.com/sextantdb/sextant/internal/vfs"
)

// Run checks a disk; everything happens below dir, which exists and is empty.
func Run(t *testing.T, disk vfs.FS, dir string) {
	for _, c := range []struct {
		name string
		test func(*testing.T, vfs.FS, string)
	}{
		{"WritesGoToTheEnd", writesGoToTheEnd},
		{"ReadersSeeWhatIsWritten", readersSeeWhatIsWritten},
		{"TruncateCutsTheEnd", truncateCutsTheEnd},
		{"RenameReplaces", renameReplaces},
		{"LinkIsASecondName", linkIsASecondName},
		{"RemovedFilesStayReadable", removedFilesStayReadable},
		{"DirectoriesListSorted", directoriesListSorted},
		{"RemoveAllTakesTheTree", removeAllTakesTheTree},
		{"MissingNames", missingNames},
		{"MapsHoldTheFile", mapsHoldTheFile},
		{"LocksExclude", locksExclude},
		{"WriteAtomicReplaces", writeAtomicReplaces},
		{"ManyGoroutines", manyGoroutines},
		{"FreeSpace", freeSpace},
	} {
		t.Run(c.name, func(t *testing.T) {
			own := path.Join(dir, c.name)
			must(t, disk.MkdirAll(own))
			c.test(t, disk, own)
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, disk vfs.FS, name, text string) {
	t.Helper()
	f, err := disk.Create(name)
	must(t, err)
	_, err = f.Write([]byte(text))
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
}

func holds(t *testing.T, disk vfs.FS, name, want string) {
	t.Helper()
	got, err := vfs.ReadFile(disk, name)
	must(t, err)
	if string(got) != want {
		t.Fatalf("%s holds %q, want %q", name, got, want)
	}
}

func missing(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("want a missing name, got %v", err)
	}
}

func writesGoToTheEnd(t *testing.T, disk vfs.FS, dir string) {
	name := path.Join(dir, "f")
	write(t, disk, name, "one")
	f, err := disk.OpenAppend(name)
	must(t, err)
	_, err = f.Write([]byte("two"))
	must(t, err)
	if size, err := f.Size(); size != 6 || err != nil {
		t.Fatalf("size %d, %v", size, err)
	}
	must(t, f.Close())
	holds(t, disk, name, "onetwo")
	write(t, disk, name, "x") // Create empties
	holds(t, disk, name, "x")
	if err := f.Close(); !errors.Is(err, fs.ErrClosed) {
		t.Fatalf("second close: %v", err)
	}
}

func readersSeeWhatIsWritten(t *testing.T, disk vfs.FS, dir string) {
	name := path.Join(dir, "f")
	w, err := disk.OpenAppend(name)
	must(t, err)
	r, err := disk.Open(name)
	must(t, err)
	_, err = w.Write([]byte("0123456789"))
	must(t, err)
	b := make([]byte, 4)
	for _, f := range []vfs.File{w, r} {
		if n, err := f.ReadAt(b, 3); n != 4 || err != nil || string(b) != "3456" {
			t.Fatalf("read %q, %d, %v", b, n, err)
		}
		if n, err := f.ReadAt(b, 8); n != 2 || err != io.EOF {
			t.Fatalf("short read: %d, %v", n, err)
		}
		if n, err := f.ReadAt(b, 10); n != 0 || err != io.EOF {
			t.Fatalf("read behind the end: %d, %v", n, err)
		}
	}
	if _, err := r.Write(b); err == nil {
		t.Fatal("a file opened for reading was written")
	}
	must(t, w.Close())
	must(t, r.Close())
}

func truncateCutsTheEnd(t *testing.T, disk vfs.FS, dir string) {
	name := path.Join(dir, "f")
	f, err := disk.OpenAppend(name)
	must(t, err)
	_, err = f.Write([]byte("0123456789"))
	must(t, err)
	must(t, f.Truncate(4))
	_, err = f.Write([]byte("x"))
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
	holds(t, disk, name, "0123x")
}

func renameReplaces(t *testing.T, disk vfs.FS, dir string) {
	a, b := path.Join(dir, "a"), path.Join(dir, "b")
	write(t, disk, a, "new")
	write(t, disk, b, "old")
	must(t, disk.Rename(a, b))
	must(t, disk.SyncDir(dir))
	holds(t, disk, b, "new")
	_, err := disk.Stat(a)
	missing(t, err)
	sub, other := path.Join(dir, "sub"), path.Join(dir, "other")
	must(t, disk.MkdirAll(sub))
	must(t, disk.Rename(b, path.Join(sub, "c")))
	must(t, disk.Rename(sub, other))
	holds(t, disk, path.Join(other, "c"), "new")
	missing(t, disk.Rename(a, b))
}

func linkIsASecondName(t *testing.T, disk vfs.FS, dir string) {
	a, b := path.Join(dir, "a"), path.Join(dir, "b")
	write(t, disk, a, "text")
	must(t, disk.Link(a, b))
	if err := disk.Link(a, b); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("link over a name: %v", err)
	}
	must(t, disk.Remove(a))
	holds(t, disk, b, "text")
	missing(t, disk.Link(a, path.Join(dir, "c")))
}

func removedFilesStayReadable(t *testing.T, disk vfs.FS, dir string) {
	name := path.Join(dir, "f")
	write(t, disk, name, "text")
	f, err := disk.Open(name)
	must(t, err)
	m, err := disk.Map(name)
	must(t, err)
	must(t, disk.Remove(name))
	b := make([]byte, 4)
	if _, err := f.ReadAt(b, 0); err != nil || string(b) != "text" {
		t.Fatalf("read %q, %v", b, err)
	}
	if string(m.Bytes()) != "text" {
		t.Fatalf("map holds %q", m.Bytes())
	}
	must(t, f.Close())
	must(t, m.Close())
}

func directoriesListSorted(t *testing.T, disk vfs.FS, dir string) {
	for _, name := range []string{"c", "a", "b"} {
		write(t, disk, path.Join(dir, name), name)
	}
	must(t, disk.MkdirAll(path.Join(dir, "aa", "deep")))
	must(t, disk.MkdirAll(path.Join(dir, "aa", "deep")))
	infos, err := disk.List(dir)
	must(t, err)
	want := "[{a 1 false} {aa 0 true} {b 1 false} {c 1 false}]"
	if got := fmt.Sprint(infos); got != want {
		t.Fatalf("listed %s, want %s", got, want)
	}
	if err := disk.MkdirAll(path.Join(dir, "a", "x")); err == nil {
		t.Fatal("a directory was made inside a file")
	}
	if err := disk.Remove(path.Join(dir, "aa")); err == nil {
		t.Fatal("a full directory was removed")
	}
}

func removeAllTakesTheTree(t *testing.T, disk vfs.FS, dir string) {
	top := path.Join(dir, "top")
	must(t, disk.MkdirAll(path.Join(top, "x", "y")))
	write(t, disk, path.Join(top, "x", "f"), "f")
	must(t, disk.RemoveAll(top))
	must(t, disk.RemoveAll(top))
	_, err := disk.Stat(top)
	missing(t, err)
	must(t, disk.MkdirAll(top))
	if infos, err := disk.List(top); len(infos) != 0 || err != nil {
		t.Fatalf("made anew, it holds %v, %v", infos, err)
	}
}

func missingNames(t *testing.T, disk vfs.FS, dir string) {
	name := path.Join(dir, "none")
	_, err := disk.Open(name)
	missing(t, err)
	_, err = disk.Stat(name)
	missing(t, err)
	_, err = disk.List(name)
	missing(t, err)
	_, err = disk.Map(name)
	missing(t, err)
	_, err = disk.Create(path.Join(name, "f"))
	missing(t, err)
	missing(t, disk.Remove(name))
}

func mapsHoldTheFile(t *testing.T, disk vfs.FS, dir string) {
	name := path.Join(dir, "f")
	want := bytes.Repeat([]byte("0123456789abcdef"), 1000)
	write(t, disk, name, string(want))
	m, err := disk.Map(name)
	must(t, err)
	for _, a := range []vfs.Advice{vfs.Random, vfs.Sequential, vfs.Warm, vfs.Cold} {
		m.Advise(a, 0, len(want))
		m.Advise(a, 5000, 3)
		m.Advise(a, len(want), 100)
		if !bytes.Equal(m.Bytes(), want) {
			t.Fatalf("wrong bytes after advice %d", a)
		}
	}
	m.Advise(vfs.Warm, 0, len(want))
	if got := m.Resident(); got > int64(len(want)) {
		t.Fatalf("%d bytes of %d are in memory", got, len(want))
	}
	must(t, disk.Rename(name, name+"2"))
	write(t, disk, name, "other")
	if !bytes.Equal(m.Bytes(), want) {
		t.Fatal("the map changed when the name was given to another file")
	}
	must(t, m.Close())
	write(t, disk, name, "")
	m, err = disk.Map(name)
	must(t, err)
	if len(m.Bytes()) != 0 {
		t.Fatal("map of an empty file")
	}
	must(t, m.Close())
}

func locksExclude(t *testing.T, disk vfs.FS, dir string) {
	name := path.Join(dir, "lock")
	l, err := disk.Lock(name)
	must(t, err)
	if _, err := disk.Lock(name); !errors.Is(err, vfs.ErrLocked) {
		t.Fatalf("second lock: %v", err)
	}
	must(t, l.Close())
	l, err = disk.Lock(name)
	must(t, err)
	must(t, l.Close())
}

func writeAtomicReplaces(t *testing.T, disk vfs.FS, dir string) {
	name := path.Join(dir, "f")
	for _, text := range []string{"first", "", "a longer second"} {
		must(t, vfs.WriteAtomic(disk, name, []byte(text)))
		holds(t, disk, name, text)
	}
	if infos, err := disk.List(dir); len(infos) != 1 || err != nil {
		t.Fatalf("leftovers: %v, %v", infos, err)
	}
}

func manyGoroutines(t *testing.T, disk vfs.FS, dir string) {
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 20 {
				name := path.Join(dir, fmt.Sprint(g, "-", i))
				if err := vfs.WriteAtomic(disk, name, []byte(name)); err != nil {
					t.Error(err)
				}
				if got, err := vfs.ReadFile(disk, name); err != nil || string(got) != name {
					t.Error(string(got), err)
				}
			}
		})
	}
	wg.Wait()
	if infos, err := disk.List(dir); len(infos) != 80 || err != nil {
		t.Fatalf("%d files, %v", len(infos), err)
	}
}

func freeSpace(t *testing.T, disk vfs.FS, dir string) {
	s, err := disk.Free(path.Join(dir, "not", "yet", "made"))
	must(t, err)
	if s.Total == 0 || s.Free > s.Total {
		t.Fatalf("space %+v", s)
	}
}
