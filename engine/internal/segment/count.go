package segment

import (
	"context"

	"github.com/sextantdb/sextant"
)

// Count returns how many points match.
func (v *View) Count(ctx context.Context, f *sextant.Filter, exact bool) (n uint64, err error) {
	defer border(&err)()
	for _, p := range v.pieces {
		if f.IsEmpty() {
			n += uint64(p.live())
			continue
		}
		match, err := v.rowTest(ctx, p, f, p.len())
		if err != nil {
			return 0, err
		}
		for row := range p.len() {
			if !p.tombs.has(row) && match(row) {
				n++
			}
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
