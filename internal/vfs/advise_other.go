//go:build unix && !linux

package vfs

import "golang.org/x/sys/unix"

func warm(b []byte) { _ = unix.Madvise(b, unix.MADV_WILLNEED) }

func cold(b []byte) { _ = unix.Madvise(b, unix.MADV_DONTNEED) }
