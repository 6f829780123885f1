package segment

import (
	"context"

	"github.com/sextantdb/sextant"
)

// rowTest returns a test of the rows of a piece; nil if all match. want says how many rows the caller will take.
func (v *View) rowTest(ctx context.Context, p *piece, f *sextant.Filter, want uint32) (func(row uint32) bool, error) {
	if f.IsEmpty() {
		return nil, nil
	}
	return nil, sextant.Errorf(sextant.NotImplemented, "filters")
}

func (v *View) scrollOrdered(ctx context.Context, s sextant.Scroll, r *reader) ([]sextant.Record, error) {
	return nil, sextant.Errorf(sextant.NotImplemented, "order_by")
}
