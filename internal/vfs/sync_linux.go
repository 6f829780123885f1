package vfs

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// syncData leaves out times, which nobody reads; the length is synced, since data behind it could not be read without.
func syncData(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return &fs.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
		}
		return nil
	}
}
