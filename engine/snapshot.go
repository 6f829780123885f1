package engine

import (
	"context"
	"fmt"
	"io"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/segment"
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
		if sextant.KindOf(err) == sextant.Corrupt {
			s.verify(ctx)
		}
		return order.Pos{}, fmt.Errorf("snapshot: %w", err)
	}
	return m.At, nil
}

// verify compares all files of the newest view with their checksums. Damaged derived files are dropped, so that they are
// made anew and the next snapshot succeeds; damaged stored ones end updates, as when a read meets them.
func (s *Shard) verify(ctx context.Context) {
	_, err := read(s, func(v *segment.View) (struct{}, error) {
		for _, p := range v.Parts() {
			if p.Sealed == nil {
				continue
			}
			if err := p.Sealed.Verify(ctx); err != nil {
				return struct{}{}, err
			}
		}
		return struct{}{}, nil
	})
	s.slog.Warn("a snapshot met damage; all files were read", "err", err)
	s.keeper.wake()
}

// pin keeps the files of the newest checkpoint.
func (s *Shard) pin() (m *manifest, pinned string, err error) {
	s.keeper.edit.Lock()
	defer s.keeper.edit.Unlock()
	if s.life.Err() != nil {
		return nil, "", errClosed
	}
	m = s.keeper.manifest()
	pinned, err = pinFiles(s.fs, s.dir, m)
	return m, pinned, err
}
