package sim

import (
	"math/rand/v2"
	"sync"
	"syscall"
	"time"

	"github.com/sextantdb/sextant/internal/vfs"
)

// disk is the disk of one life of a machine: vfs.Mem with faults that the seed decides, by the file and how often it was used.
// So the order in which goroutines use different files does not matter.
type disk struct {
	vfs.FS
	mem *vfs.Mem
	w   *World

	mu    sync.Mutex
	slow  time.Duration // added to a sync
	fails uint64        // of a thousand writes and syncs
	count map[string]uint64
}

func newDisk(w *World, mem *vfs.Mem) *disk {
	return &disk{FS: mem, mem: mem, w: w, count: map[string]uint64{}}
}

// ail says what is wrong with the disk from now on.
func (d *disk) ail(slow time.Duration, fails uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.slow, d.fails = slow, fails
}

// fill leaves so much room on the disk; -1: as much as there is.
func (d *disk) fill(room int64) {
	if room < 0 {
		d.mem.SetSize(1 << 40)
		return
	}
	if s, err := d.mem.Free("/"); err == nil {
		d.mem.SetSize(int64(s.Total-s.Free) + room)
	}
}

// end ends the life that uses the disk and returns what the next one finds: everything written, or what a power loss leaves.
func (d *disk) end(power *rand.Rand) *vfs.Mem {
	if power == nil {
		return d.mem.Kill()
	}
	return d.mem.Crash(power)
}

// use is called before a file is changed or synced.
func (d *disk) use(name string, sync bool) error {
	d.mu.Lock()
	slow, fails := d.slow, d.fails
	d.count[name]++
	x := hash(d.w.seed, name, d.count[name])
	d.mu.Unlock()
	if sync && slow > 0 {
		d.w.count("slow syncs")
		time.Sleep(slow/2 + time.Duration(x>>16%uint64(slow)))
	}
	if x%1000 < fails {
		d.w.count("disk errors")
		return syscall.EIO
	}
	return nil
}

func (d *disk) Create(name string) (vfs.File, error) {
	if err := d.use(name, false); err != nil {
		return nil, err
	}
	return d.file(d.FS.Create(name))(name)
}

func (d *disk) OpenAppend(name string) (vfs.File, error) { return d.file(d.FS.OpenAppend(name))(name) }

func (d *disk) SyncDir(name string) error {
	if err := d.use(name, true); err != nil {
		return err
	}
	return d.FS.SyncDir(name)
}

func (d *disk) file(f vfs.File, err error) func(string) (vfs.File, error) {
	return func(name string) (vfs.File, error) {
		if err != nil {
			return nil, err
		}
		return &file{File: f, d: d, name: name}, nil
	}
}

type file struct {
	vfs.File
	d    *disk
	name string
}

func (f *file) Write(b []byte) (int, error) {
	if err := f.d.use(f.name, false); err != nil {
		n, _ := f.File.Write(b[:len(b)/2])
		return n, err
	}
	n, err := f.File.Write(b)
	if err != nil {
		f.d.w.count("writes to a full disk")
	}
	return n, err
}

func (f *file) Sync() error {
	if err := f.d.use(f.name, true); err != nil {
		return err
	}
	return f.File.Sync()
}
