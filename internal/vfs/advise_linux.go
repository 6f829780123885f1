package vfs

import "golang.org/x/sys/unix"

// warm blocks until the pages are in; the runtime hands the processor on meanwhile, which a page fault would not.
// Kernels before 5.14 do not know the call: then read-ahead is asked for.
func warm(b []byte) {
	const step = 8 << 20
	for from := 0; from < len(b); from += step {
		part := b[from:min(from+step, len(b))]
		if unix.Madvise(part, unix.MADV_POPULATE_READ) != nil {
			_ = unix.Madvise(part, unix.MADV_WILLNEED)
		}
	}
}

// cold takes the pages out of the page cache too, where the kernel can (5.4); dropping the map's view alone would not.
func cold(b []byte) {
	if unix.Madvise(b, unix.MADV_PAGEOUT) != nil {
		_ = unix.Madvise(b, unix.MADV_DONTNEED)
	}
}
