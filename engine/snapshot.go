package engine

import (
	"context"
	"fmt"
	"io"

	"github.com/sextantdb/sextant/internal/order"
)

// Snapshot writes an archive of the shard at one seq, which it returns: every entry up to there and none behind it. All
// that was acknowledged before the call is among them. Updates and reads go on meanwhile, however slow w is. After an error
// what was written is no archive.
func (s *Shard) Snapshot(ctx context.Context, w io.Writer) (order.Pos, error) {
	if s.life.Err() != nil {
		return order.Pos{}, errClosed
	}
	if _, err := s.Checkpoint(ctx); err != nil {
		return order.Pos{}, fmt.Errorf("snapshot: %w", err)
	}
	m, pinned, err := s.pin()
	if err != nil {
		return order.Pos{}, fmt.Errorf("snapshot: %w", err)
	}
	err = writeArchive(ctx, w, s.fs, pinned, m)
	if rmErr := s.fs.RemoveAll(pinned); rmErr != nil { // the next start removes it
		s.slog.Warn("files of a snapshot stay on disk", "dir", pinned, "err", rmErr)
	}
	if err != nil {
		return order.Pos{}, fmt.Errorf("snapshot: %w", err)
	}
	return m.At, nil
}

// pin keeps the files of the newest checkpoint.
func (s *Shard) pin() (m *manifest, pinned string, err error) {
	s.keeper.edit.Lock()
	defer s.keeper.edit.Unlock()
	m = s.keeper.manifest()
	pinned, err = pinFiles(s.fs, s.dir, m)
	return m, pinned, err
}
