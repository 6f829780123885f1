package engine

import (
	"context"
	"errors"

	"github.com/sextantdb/sextant/engine/internal/segment"
	"github.com/sextantdb/sextant/internal/task"
)

// warm loads what the settings want in memory, and checks it on the way, so that the first reads after a start need not. It is
// a task beside everything else; a shard without files has none. Damaged derived files are dropped by it and then built
// anew, damaged stored ones end updates as when a read meets them.
func (s *Shard) warm() {
	if len(s.keeper.manifest().Segments) == 0 {
		return
	}
	s.warming = s.opts.Board.Start(s.life, s.dir+"/warm", func(ctx context.Context, p *task.Progress) error {
		_, err := read(s, func(v *segment.View) (struct{}, error) {
			tuning := *s.tuning.Load()
			parts := v.Parts()
			p.Total(int64(len(parts)))
			for _, part := range parts {
				if part.Sealed != nil {
					if err := part.Sealed.Warm(ctx, tuning); err != nil {
						return struct{}{}, err
					}
				}
				p.Add(1)
			}
			return struct{}{}, nil
		})
		s.keeper.wake()
		if errors.Is(err, errClosed) {
			return context.Canceled
		}
		return err
	})
}
