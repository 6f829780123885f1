package hnsw

import "golang.org/x/sys/unix"

// hugePage is also the size from which an image is worth pages of its own.
const hugePage = 2 << 20

// newImage returns zeroed memory for a graph, aligned for words. A large one lies outside the garbage-collected
// heap, on huge pages, because a build reads it at random; it is given back when the graph is collected.
func newImage(bytes int) (image []byte, free func()) {
	if bytes >= hugePage {
		size := (bytes + hugePage - 1) / hugePage * hugePage
		b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err == nil {
			_ = unix.Madvise(b, unix.MADV_HUGEPAGE) // small pages do as well
			return b[:bytes], func() { _ = unix.Munmap(b) }
		}
	}
	return heapImage(bytes), nil
}
