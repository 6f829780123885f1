package segment

import (
	"math/rand/v2"
	"testing"

	"github.com/sextantdb/sextant"
)

// How fine ranges are cut is near the best there is, from few ids that differ to many; where all ranges differ nobody can know.
func TestBucketsAreAsFineAsFewBytesNeed(t *testing.T) {
	for _, c := range []struct {
		points, gone int
		most         float64 // of the least bytes
	}{
		{1000, 1, 1.3}, {1000, 100, 1.3}, {1000, 1000, 1.3}, {30_000, 10, 1.3}, {200_000, 1, 1.3}, {200_000, 50, 1.3}, {200_000, 500, 1.3}, {200_000, 3000, 1.3},
		{200_000, 10_000, 1.5}, {200_000, 150_000, 1.5}, {1_000_000, 3, 1.3}, {1_000_000, 2000, 1.3}, {1_000_000, 300_000, 1.5},
	} {
		rng := rand.New(rand.NewPCG(uint64(c.points), uint64(c.gone)))
		hashes := make([]uint64, c.points)
		for i := range hashes {
			hashes[i] = hashID(sextant.PointID{Hi: rng.Uint64(), Lo: rng.Uint64(), IsUUID: i%2 == 0})
		}
		cost := func(bits uint8) (bytes, ranges int) {
			coarse, fine := make([]bool, 1024), make([]bool, 1024<<bits)
			for _, h := range hashes[:c.gone] {
				coarse[h>>54], fine[h>>(54-bits)] = true, true
			}
			for _, differs := range coarse {
				if differs {
					ranges++
				}
			}
			bytes = ranges << bits * 8
			for _, differs := range fine {
				if differs {
					bytes += 4
				}
			}
			for i, h := range hashes {
				if fine[h>>(54-bits)] {
					bytes += 4 + []int{17, 8}[i%2]
				}
			}
			return bytes, ranges
		}
		_, ranges := cost(0)
		chosen := BucketBits(uint64(c.points), ranges)
		least, best := 1<<62, uint8(0)
		for bits := range uint8(12) {
			if bytes, _ := cost(bits); bytes < least {
				least, best = bytes, bits
			}
		}
		if bytes, _ := cost(chosen); float64(bytes) > c.most*float64(least) {
			t.Errorf("%d of %d: %d ranges differ; cut by %d bits they cost %d bytes, by %d bits %d", c.gone, c.points, ranges, chosen, bytes, best, least)
		}
	}
	if bits := BucketBits(1<<32, 1024); bits > MaxBucketBits-1 {
		t.Errorf("as many points as a segment may have are cut by %d bits", bits)
	}
}
