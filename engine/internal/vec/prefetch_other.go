//go:build !amd64 || purego

package vec

// Prefetch asks for some cache lines, at least one, that will be read soon: here it does nothing.
func Prefetch(first *byte, lines int) {}
