package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/segment"
	"github.com/sextantdb/sextant/internal/codec"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/wal"
)

// open opens a generation: its manifest and files, then its log, whose committed entries are applied before anybody reads.
func open(dir string, generation uint64, lock io.Closer, opts Options) (*Shard, error) {
	own := generationDir(dir, generation)
	m, err := readManifest(opts.FS, own)
	if err != nil {
		return nil, err
	}
	switch {
	case configured(opts.Config):
	case m.Config != nil:
		opts.Config = *m.Config
	default:
		opts.Config = sextant.DefaultConfig()
	}
	if err := m.removeLeftovers(opts.FS, own); err != nil {
		return nil, err
	}
	s := &Shard{dir: own, opts: opts, fs: opts.FS, slog: opts.Log, lock: lock}
	s.configure(opts.Config)
	s.life, s.end = context.WithCancel(context.Background())
	s.queue = newQueue(s, opts.UpdateQueue)
	if err := s.load(m); err != nil {
		s.end()
		return nil, err
	}
	s.keeper.start(s)
	s.warm()
	return s, nil
}

// load makes the state that the manifest and the log describe.
func (s *Shard) load(m *manifest) (err error) {
	digest, err := segment.ReadDigest(m.Digest)
	if err != nil {
		return corrupt(path.Join(s.dir, manifestFile), 0, "%v", err)
	}
	durable, err := openParts(s, m)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			durable.release()
		}
	}()
	s.log, err = wal.Open(s.fs, path.Join(s.dir, logDir), m.At, m.History, s.opts.logOptions())
	if err != nil {
		return logDamage(err)
	}
	for i := range durable.parts {
		durable.parts[i].Sealed.Acquire() // the state's own reference
	}
	s.writer = writer{
		state:   segment.NewState(m.Schema, *s.tuning.Load(), durable.parts, &digest, uint64(m.At.Seq)),
		applied: m.At, moved: make(chan struct{}),
	}
	s.writer.requests.restore(m.Requests, m.Evicted)
	s.keeper.durable = durable
	commit := s.log.Last().Seq
	if s.opts.ManualApply {
		commit = s.log.Commit()
	}
	err = s.replay(s.life, commit, nil)
	if err == nil && !s.opts.ManualApply {
		s.log.SetCommit(commit)
	}
	if err != nil {
		s.views.Set(nil)
		s.writer.state.Close()
		return errors.Join(err, s.log.Close())
	}
	return nil
}

// logDamage turns the log's word for damage into the house's.
func logDamage(err error) error {
	var damage *wal.CorruptError
	if errors.As(err, &damage) {
		return sextant.Errorf(sextant.Corrupt, "%w", err)
	}
	return fmt.Errorf("open the log: %w", err)
}

// openParts opens the segments of a manifest.
func openParts(s *Shard, m *manifest) (*durable, error) {
	d := &durable{man: m}
	for i := range m.Segments {
		e := &m.Segments[i]
		var tombs segment.Tombstones
		if e.Tombs != nil {
			var err error
			if tombs, err = segment.ReadTombstones(s.fs, s.dir, *e.Tombs); err != nil {
				d.release()
				return nil, err
			}
		}
		sealed, err := segment.Open(s.fs, s.dir, e.Meta)
		if err != nil {
			d.release()
			return nil, err
		}
		d.parts = append(d.parts, segment.Part{ID: sealed.ID(), Sealed: sealed, Tombs: tombs})
	}
	return d, nil
}

const (
	replayBytes   = 4 << 20 // of the log, read at once
	replayEntries = 1024    // applied with one view
)

// replay applies what the log holds, up to and including commit. The outcome is the same as when the entries were applied
// first: user errors are met again and passed over.
func (s *Shard) replay(ctx context.Context, commit order.Seq, outcome func(order.Outcome)) error {
	from := s.writer.place().Seq + 1
	if from > commit {
		s.writer.mu.Lock()
		defer s.writer.mu.Unlock()
		s.publish()
		return nil
	}
	r, err := s.log.Reader(from)
	if err != nil {
		return logDamage(err)
	}
	defer r.Close()
	for from <= commit {
		if err := ctx.Err(); err != nil {
			return err
		}
		records, err := r.Next(commit, replayBytes)
		if err != nil {
			return logDamage(err)
		}
		if len(records) == 0 {
			return sextant.Errorf(sextant.Corrupt, "the log of %s ends before entry %d, which is committed", s.dir, from)
		}
		for len(records) > 0 {
			n := min(len(records), replayEntries)
			entries, err := decodeEntries(records[:n])
			if err != nil {
				return err
			}
			err = s.apply(entries)
			for i := range entries {
				if e := &entries[i]; outcome != nil && (e.digest != nil || e.err != nil && userError(e.err)) {
					outcome(order.Outcome{Seq: e.pos.Seq, Err: e.err, Digest: e.digest})
				}
			}
			if err != nil {
				return err
			}
			from = records[n-1].Seq + 1
			records = records[n:]
		}
	}
	return nil
}

// decodeEntries reads the effects of records.
func decodeEntries(records []wal.Record) ([]entry, error) {
	entries := make([]entry, len(records))
	for i := range records {
		r := &records[i]
		entries[i] = entry{pos: order.Pos{Seq: r.Seq, Term: r.Term}, kind: r.Kind, id: r.ID, bytes: len(r.Body)}
		switch r.Kind {
		case wal.Effects:
			u, err := codec.Update(r.Body)
			if err != nil {
				return nil, sextant.Errorf(sextant.Corrupt, "entry %d of the log: %w", r.Seq, err)
			}
			entries[i].effects = u
		case wal.Noop, wal.Mark:
		default:
			return nil, sextant.Errorf(sextant.Corrupt, "entry %d of the log is of the unknown kind %d", r.Seq, r.Kind)
		}
	}
	return entries, nil
}
