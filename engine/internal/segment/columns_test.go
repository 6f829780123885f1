package segment

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestSeekEqualsBinarySearch(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		n := r.IntN(200)
		list := make([]uint64, n)
		shape := r.IntN(4)
		for i := range list {
			switch shape {
			case 0:
				list[i] = uint64(r.IntN(50)) // many equal ones
			case 1:
				list[i] = r.Uint64()
			case 2:
				list[i] = 1 << r.IntN(64) // as uneven as can be
			default:
				list[i] = ^uint64(0) - uint64(i)
			}
		}
		slices.Sort(list)
		for range 50 {
			x := r.Uint64() >> r.IntN(64)
			if n > 0 && r.IntN(2) == 0 {
				x = list[r.IntN(n)]
			}
			want, _ := slices.BinarySearch(list, x)
			if got := seek(0, uint32(n), x, func(i uint32) uint64 { return list[i] }); int(got) != want {
				t.Fatalf("%d in %v: %d, want %d", x, list, got, want)
			}
		}
	}
}
