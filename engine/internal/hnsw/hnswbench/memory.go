//go:build linux

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// place copies bytes to the kind of memory that is to be measured, for the life of the process.
func place(kind string, b []byte) []byte {
	switch kind {
	case "file":
		return mapped(b)
	case "huge":
		to := anonymous(len(b))
		unix.Madvise(to[:cap(to)], unix.MADV_HUGEPAGE)
		copy(to, b)
		return to
	default:
		to := anonymous(len(b))
		copy(to, b)
		return to
	}
}

func anonymous(n int) []byte {
	b, err := unix.Mmap(-1, 0, (n+1<<21-1)>>21<<21, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		fail(err)
	}
	return b[:n]
}

// mapped writes a file that is gone when the process ends, and maps it as segments are mapped.
func mapped(b []byte) []byte {
	f, err := os.CreateTemp(cacheDir(), "mapped-")
	if err != nil {
		fail(err)
	}
	defer f.Close()
	defer os.Remove(f.Name())
	if _, err := f.Write(b); err != nil {
		fail(err)
	}
	m, err := unix.Mmap(int(f.Fd()), 0, len(b), unix.PROT_READ, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		fail(err)
	}
	return m
}
