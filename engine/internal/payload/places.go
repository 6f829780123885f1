package payload

import (
	"sort"

	"github.com/sextantdb/sextant"
)

// candidates calls yield with stretches of entries that hold all places of an area.
func (f *sealed) candidates(a *area, yield func(from, to int)) {
	for tile := range len(f.latitudes) / 2 {
		if f.latitudes[2*tile] > a.north || f.latitudes[2*tile+1] < a.south || tile+1 >= len(f.starts) {
			continue
		}
		from, to := int(f.starts[tile]), int(f.starts[tile+1])
		if from > to || to > len(f.lons) {
			continue
		}
		lons := f.lons[from:to]
		for _, l := range a.lons {
			lo := sort.SearchFloat64s(lons, l[0])
			hi := sort.Search(len(lons), func(i int) bool { return lons[i] > l[1] })
			if lo < hi {
				yield(from+lo, from+hi)
			}
		}
	}
}

// places returns the rows with a place in the area, to be found when they are asked for, and how many there may be.
func (f *sealed) places(a *area, _ uint32) (rows rowSet, likely float64) {
	count := 0
	f.candidates(a, func(from, to int) { count += to - from })
	// Look at some of them to guess how many of all are inside.
	const looks = 64
	seen, inside, next, passed := 0, 0, 0, 0
	f.candidates(a, func(from, to int) {
		for ; next < passed+to-from; next += max(1, count/looks) {
			seen++
			if f.inside(a, from+next-passed) {
				inside++
			}
		}
		passed += to - from
	})
	fill := func(dst []uint64) {
		f.candidates(a, func(from, to int) {
			for i := from; i < to; i++ {
				if w := int(f.rows[i] >> 6); f.inside(a, i) && w < len(dst) {
					dst[w] |= 1 << (f.rows[i] & 63)
				}
			}
		})
	}
	if count == 0 {
		return rowSet{}, 0
	}
	return rowSet{fill: fill, count: uint32(count), loose: true}, float64(count) * float64(inside) / float64(max(1, seen))
}

func (f *sealed) inside(a *area, i int) bool {
	return a.contains(sextant.GeoPoint{Lon: f.lons[i], Lat: f.lats[i]})
}

func (h *headStore) places(a *area, n uint32) (rows rowSet, likely float64) {
	h.mu.RLock()
	lons, lats, at := h.lons, h.lats, h.at
	h.mu.RUnlock()
	end := sort.Search(len(at), func(i int) bool { return at[i] >= n })
	inside := func(i int) bool {
		return lats[i] >= a.south && lats[i] <= a.north && a.contains(sextant.GeoPoint{Lon: lons[i], Lat: lats[i]})
	}
	const looks = 256
	seen, hits := 0, 0
	for i := 0; i < end; i += max(1, end/looks) {
		seen++
		if inside(i) {
			hits++
		}
	}
	if end == 0 {
		return rowSet{}, 0
	}
	fill := func(dst []uint64) {
		for i, row := range at[:end] {
			if w := int(row >> 6); w < len(dst) && inside(i) {
				dst[w] |= 1 << (row & 63)
			}
		}
	}
	return rowSet{fill: fill, count: uint32(end), loose: true}, float64(end) * float64(hits) / float64(seen)
}
