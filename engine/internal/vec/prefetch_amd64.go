//go:build !purego

package vec

// Prefetch asks for some cache lines, at least one, that will be read soon. It waits for nothing and cannot fault.
//
//go:noescape
func Prefetch(first *byte, lines int)
