package node

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sextantdb/sextant/internal/vfs"
)

// space watches what the machine has: a ballast file that makes the way out of a full disk possible, and the share of
// memory that this process takes.
type space struct {
	fs   vfs.FS
	file string

	mu       sync.Mutex // guards all below
	resident int
	measured time.Time
}

const (
	ballastBytes = 4 << 20
	residentAge  = 5 * time.Second // below a limit; strict mode asks often
)

func newSpace(fsys vfs.FS, dir string) *space {
	s := &space{fs: fsys, file: path.Join(dir, "ballast")}
	s.refill()
	return s
}

// refill makes the ballast if it is missing and there is room for it. Without it everything works but the way out.
func (s *space) refill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.fs.Stat(s.file); !errors.Is(err, fs.ErrNotExist) {
		return
	}
	room, err := s.fs.Free(path.Dir(s.file))
	if err != nil {
		return
	}
	size := min(ballastBytes, room.Total/100)
	if room.Free < 20*size {
		return
	}
	f, err := s.fs.Create(s.file)
	if err != nil {
		return
	}
	_, err = f.Write(make([]byte, size))
	if err = errors.Join(err, f.Close()); err != nil {
		_ = s.fs.Remove(s.file) // half a ballast is none
	}
}

// release gives the ballast back to the disk, and says whether there was one.
func (s *space) release() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fs.Remove(s.file) == nil
}

// residentPercent is the share of the memory of the machine, or of its control group, that this process has resident;
// -1 if that cannot be told.
func (s *space) residentPercent() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.measured) > residentAge {
		s.resident, s.measured = measureResident(), time.Now()
	}
	return s.resident
}

func measureResident() int {
	statm, err := os.ReadFile("/proc/self/statm")
	fields := strings.Fields(string(statm))
	if err != nil || len(fields) < 2 {
		return -1
	}
	pages, err := strconv.ParseUint(fields[1], 10, 64)
	total := MemoryTotal()
	if err != nil || total == 0 {
		return -1
	}
	return int(pages * uint64(os.Getpagesize()) * 100 / total)
}

// MemoryTotal is the memory that this process may use, in bytes: of the machine, or of its control group if that is
// less; 0 if that cannot be told.
func MemoryTotal() uint64 {
	var total uint64
	if info, err := os.ReadFile("/proc/meminfo"); err == nil {
		if fields := strings.Fields(string(info)); len(fields) > 1 && fields[0] == "MemTotal:" {
			kb, _ := strconv.ParseUint(fields[1], 10, 64)
			total = kb << 10
		}
	}
	if limit := GroupMemory(); limit > 0 && (total == 0 || limit < total) {
		total = limit
	}
	return total
}

// GroupMemory is the memory limit of the control group of this process, in bytes; 0 if there is none.
func GroupMemory() uint64 {
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		if data, err := os.ReadFile(file); err == nil {
			if n, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64); err == nil && n < 1<<62 {
				return n
			}
		}
	}
	return 0
}
