package engine

import (
	"context"

	"github.com/sextantdb/sextant/engine/internal/segment"
)

// Recount returns the digest as the rows say it.
func (s *Shard) Recount(ctx context.Context) ([]byte, error) {
	return read(s, func(v *segment.View) ([]byte, error) {
		d, err := segment.Recount(ctx, v, nil)
		return d.Ranges(), err
	})
}

// SealSoon has the head sealed, as a full one is.
func (s *Shard) SealSoon() { s.keeper.sealSoon() }
