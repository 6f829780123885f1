package segment

import (
	"context"

	"github.com/sextantdb/sextant"
)

// Count returns how many points match, or without exact about how many.
func (v *View) Count(ctx context.Context, f *sextant.Filter, exact bool) (n uint64, err error) {
	defer border(&err)()
	for _, p := range v.pieces {
		if p.live() == 0 {
			continue
		}
		f, err := v.filter(p, f)
		if err != nil {
			return 0, err
		}
		switch {
		case f.m == nil:
			n += uint64(p.live())
		case exact:
			_, count, err := f.sel(ctx)
			if err != nil {
				return 0, err
			}
			n += uint64(count)
		default:
			n += uint64(float64(f.m.Estimate().Expected) / float64(p.len()) * float64(p.live()))
		}
	}
	return n, nil
}

// Points returns how many points there are.
func (v *View) Points() (n uint64) {
	for _, p := range v.pieces {
		n += uint64(p.live())
	}
	return n
}
