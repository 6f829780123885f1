//go:build unix

package vfs

import (
	"errors"
	"io/fs"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Map closes the file at once: the map keeps the bytes, the descriptor is free for others.
func (OS) Map(name string) (Mapping, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() == 0 {
		return &osMapping{}, nil
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, &fs.PathError{Op: "mmap", Path: name, Err: err}
	}
	return &osMapping{b: b}, nil
}

type osMapping struct{ b []byte }

func (m *osMapping) Bytes() []byte { return m.b }

func (m *osMapping) Close() error {
	if m.b == nil {
		return nil
	}
	b := m.b
	m.b = nil
	return unix.Munmap(b)
}

func (m *osMapping) Advise(a Advice, from, n int) {
	page := os.Getpagesize()
	n += from % page
	from -= from % page
	n = min(n, len(m.b)-from)
	if n <= 0 {
		return
	}
	b := m.b[from : from+n]
	switch a {
	case Random:
		_ = unix.Madvise(b, unix.MADV_RANDOM)
	case Sequential:
		_ = unix.Madvise(b, unix.MADV_SEQUENTIAL)
	case Warm:
		warm(b)
	case Cold:
		cold(b)
	}
}

// Resident asks in steps, so that the answer's table stays small for large maps.
func (m *osMapping) Resident() int64 {
	const step = 1 << 28
	page := os.Getpagesize()
	table := make([]byte, (min(len(m.b), step)+page-1)/page)
	var pages int64
	for from := 0; from < len(m.b); from += step {
		b := m.b[from:min(from+step, len(m.b))]
		n := (len(b) + page - 1) / page
		if err := mincore(b, table[:n]); err != nil {
			return 0
		}
		for _, p := range table[:n] {
			pages += int64(p & 1)
		}
	}
	return min(pages*int64(page), int64(len(m.b)))
}

func mincore(b, table []byte) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)),
			uintptr(unsafe.Pointer(&table[0])))
		switch {
		case errno == 0:
			return nil
		case !errors.Is(errno, unix.EAGAIN):
			return errno
		}
	}
}
