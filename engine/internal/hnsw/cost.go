package hnsw

// PreferScan reports whether scoring all matching rows one after the other is expected to be faster than
// walking the graph; it is exact besides. matches of n rows pass the filter (n if there is none), bytesPerRow is
// the size of a stored vector, and codes says that one byte per component is scored instead.
//
// The numbers are nanoseconds on one core of a 2023 server, from 100 to 784 components: a scan streams, a walk
// waits for memory, and one that leaps reads some thousand links per step whatever it scores. Both sides grow with the
// size of a row, so the answer turns on the number of matches, not on their share or their bytes.
func PreferScan(matches, n int, ef, k int, bytesPerRow int, codes bool) bool {
	if matches <= k || n == 0 {
		return true
	}
	size := float64(bytesPerRow)
	if codes {
		size /= 4
	}
	scan := float64(matches) * (2 + size/40)
	width := float64(max(ef, k))
	share := float64(matches) / float64(n)
	var walk float64
	if share >= traverseAllShare {
		scored := min(float64(n), 250+20*float64(widened(int(width), matches, n)))
		walk = scored * (35 + size/25)
	} else {
		walk = width * (1700 + size)
	}
	return scan < walk
}
