// Package engine keeps one shard in one directory: it makes numbered entries durable, applies them up to a commit, answers
// reads, and says where it stands. It survives the end of the process, or of the power, at any moment.
//
// Shapes: the state of a shard at its seq N is the checkpoint at C ≤ N, immutable files named by one manifest, plus the
// entries C+1…N of the log. Entries are logged as effects, which name their points; they are applied in order, each exactly
// once, and only when committed. A shard alone commits what is durable. After each batch of entries the writer publishes an
// immutable view, and every read runs on one view.
// Units: sizes are bytes; seqs count entries from 1.
// Errors: user errors as the API words them; sextant.Corrupt names file and offset of damaged stored bytes.
// Concurrency: everything may be called from any goroutine. Nothing runs while nothing is to do, and nothing after Close.
//
// The life of an update: check.go refuses it or not, queue.go logs and applies it, checkpoint.go moves it from the log into files,
// plan.go and build.go rearrange the files, recover.go reads it back.
package engine

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/segment"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/task"
	"github.com/sextantdb/sextant/internal/vfs"
	"github.com/sextantdb/sextant/internal/wal"
)

// Shard is an open shard.
type Shard struct {
	dir    string // of the generation
	opts   Options
	fs     vfs.FS
	slog   *slog.Logger
	lock   io.Closer
	log    *wal.Log
	disk   diskGuard
	config atomic.Pointer[sextant.CollectionConfig]
	tuning atomic.Pointer[segment.Tuning] // of config
	views  segment.Current
	queue  *queue
	writer writer
	keeper keeper

	damaged atomic.Pointer[error] // stored bytes that a read found to be wrong
	warming *task.Task            // nil: nothing to warm

	life context.Context // ends with Close
	end  context.CancelFunc
	once sync.Once
}

// errClosed answers calls of a closed shard.
var errClosed = sextant.Errorf(sextant.Unavailable, "the shard is closed")

// Create makes an empty shard in a directory, made if missing. A directory that holds one already is refused.
func Create(dir string, schema sextant.Schema, opts Options) (*Shard, error) {
	if !configured(opts.Config) {
		opts.Config = sextant.DefaultConfig()
	}
	opts = opts.fill()
	if err := checkSchema(schema); err != nil {
		return nil, err
	}
	fsys := opts.FS
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("create shard: %w", err)
	}
	if _, err := readCurrent(fsys, dir); err == nil {
		return nil, sextant.Errorf(sextant.Exists, "%s holds a shard already", dir)
	} else if sextant.KindOf(err) != sextant.NotFound {
		return nil, err
	}
	lock, err := takeLock(fsys, dir)
	if err != nil {
		return nil, err
	}
	m := &manifest{UUID: cmp.Or(opts.UUID, newUUID()), Schema: segment.NewSchema(schema), Config: &opts.Config}
	if err := createGeneration(fsys, dir, m, opts); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	s, err := open(dir, 1, lock, opts)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return s, nil
}

// createGeneration makes generation 1 of a shard, and the shard real.
func createGeneration(fsys vfs.FS, dir string, m *manifest, opts Options) error {
	if err := removeOthers(fsys, dir, 0); err != nil { // of a creation that did not end
		return err
	}
	own := generationDir(dir, 1)
	if err := fsys.MkdirAll(own); err != nil {
		return fmt.Errorf("create shard: %w", err)
	}
	log, err := wal.Create(fsys, path.Join(own, logDir), m.At, m.History, opts.logOptions())
	if err != nil {
		return fmt.Errorf("create shard: %w", err)
	}
	if err := log.Close(); err != nil {
		return err
	}
	if err := m.write(fsys, own); err != nil {
		return fmt.Errorf("create shard: %w", err)
	}
	if err := writeCurrent(fsys, dir, 1); err != nil {
		return fmt.Errorf("create shard: %w", err)
	}
	return nil
}

// Open opens the shard in a directory and applies what its log holds. Damaged stored bytes are a sextant.Corrupt error; then
// the directory is left as it is.
func Open(dir string, opts Options) (*Shard, error) {
	opts = opts.fill()
	lock, err := takeLock(opts.FS, dir)
	if err != nil {
		return nil, err
	}
	generation, err := readCurrent(opts.FS, dir)
	if err == nil {
		err = removeOthers(opts.FS, dir, generation)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	s, err := open(dir, generation, lock, opts)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return s, nil
}

func takeLock(fsys vfs.FS, dir string) (io.Closer, error) {
	if _, err := fsys.Stat(dir); err != nil {
		return nil, sextant.Errorf(sextant.NotFound, "there is no shard in %s: %w", dir, err)
	}
	lock, err := fsys.Lock(path.Join(dir, lockFile))
	if errors.Is(err, vfs.ErrLocked) {
		return nil, sextant.Errorf(sextant.Internal, "the shard in %s is open already", dir)
	}
	return lock, err
}

// closeBudget is how long Close may spend on a checkpoint, and worthIt how much log must be saved by that from being applied
// at the next start.
const (
	closeBudget = 2 * time.Second
	worthIt     = 4 << 20
)

// Close applies what was logged, stops builds, and releases the directory. Updates that come later are refused; reads that
// have begun end well.
func (s *Shard) Close() (err error) {
	s.once.Do(func() {
		s.queue.close()
		if s.writer.unsealed() >= worthIt {
			ctx, cancel := context.WithTimeout(s.life, closeBudget)
			if _, err := s.Checkpoint(ctx); err != nil {
				s.slog.Info("no checkpoint at the end", "err", err)
			}
			cancel()
		}
		s.keeper.stop(s.end)
		if s.warming != nil {
			<-s.warming.Done()
		}
		err = s.release()
	})
	return err
}

// release gives everything back.
func (s *Shard) release() error {
	s.opts.Budget.hold(s, 0)
	s.opts.Budget.noteLog(s, 0)
	s.keeper.edit.Lock() // a scrub, or a checkpoint for somebody who copies, may be under way; later ones find the shard closed
	s.views.Set(nil)
	s.writer.mu.Lock()
	s.writer.state.Close()
	s.writer.mu.Unlock()
	s.keeper.durable.release()
	s.keeper.edit.Unlock()
	return errors.Join(s.log.Close(), s.lock.Close())
}

func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return sextant.UUIDFromBytes(b).String()
}

// Stands is a shard's place among its replicas.
type Stands = order.Stands

// Stands says where the shard stands.
func (s *Shard) Stands() Stands {
	m := s.keeper.manifest()
	return Stands{
		UUID: m.UUID, Base: m.Base, ActiveThrough: m.ActiveThrough,
		Applied: s.writer.place(), Commit: s.log.Commit(), Last: s.log.Last(), Durable: s.log.Durable(),
		History: s.log.History(), UsedTerm: s.log.UsedTerm(),
	}
}

// Configure takes over changed settings. It waits for nothing: what is stored otherwise is put right in the background.
func (s *Shard) Configure(c sextant.CollectionConfig) error {
	if !configured(c) {
		return sextant.Errorf(sextant.WrongInput, "the configuration of a shard is not complete")
	}
	before := *s.tuning.Load()
	s.configure(c)
	tuning := *s.tuning.Load()
	if err := s.swap(func(w *writer) error { w.state.SetTuning(tuning); return nil }); err != nil {
		return err
	}
	if !reflect.DeepEqual(before, tuning) {
		s.keeper.cancelBuilds() // what they make may not be wanted any more
	}
	s.keeper.trimSoon()
	s.Trigger()
	return nil
}

func (s *Shard) configure(c sextant.CollectionConfig) {
	tuning := segment.NewTuning(c)
	s.config.Store(&c)
	s.tuning.Store(&tuning)
}

// DifferingRanges returns the ranges of ids, of 1024, in which two digests differ, as Digest returns them.
func DifferingRanges(a, b []byte) ([]uint16, error) {
	x, err := segment.ReadDigest(a)
	if err != nil {
		return nil, err
	}
	y, err := segment.ReadDigest(b)
	if err != nil {
		return nil, err
	}
	return x.Differing(&y), nil
}

// Digest returns the digest of everything that is applied, and the place of the last entry in it.
func (s *Shard) Digest() ([]byte, order.Pos) {
	s.writer.mu.Lock()
	defer s.writer.mu.Unlock()
	d := s.writer.state.Digest()
	return d.Ranges(), s.writer.applied
}
