//go:build !linux

package hnsw

func newImage(bytes int) (image []byte, free func()) { return heapImage(bytes), nil }
