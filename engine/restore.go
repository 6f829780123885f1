package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"reflect"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/codec"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/vfs"
	"github.com/sextantdb/sextant/internal/wal"
)

// Restore puts the state that an archive holds in the place of a shard's, or makes the shard if the directory has none. The
// shard must be closed. The new state is filled in aside and becomes the shard's by one atomic switch: after an error, or a
// crash, the directory holds the old state or, whole, the new one.
//
// What a user restores is no state that the shard once had: the shard gets a new uuid, and its seqs go on above those that
// it gave out already. An archive with other vectors than the shard has is refused, as is one that is not whole.
func Restore(ctx context.Context, dir string, r io.Reader, opts Options) error {
	opts = opts.fill()
	fsys := opts.FS
	if err := fsys.MkdirAll(dir); err != nil {
		return fmt.Errorf("restore shard: %w", err)
	}
	lock, err := takeLock(fsys, dir)
	if err != nil {
		return err
	}
	err = restore(ctx, fsys, dir, r, opts)
	return errors.Join(err, lock.Close())
}

func restore(ctx context.Context, fsys vfs.FS, dir string, r io.Reader, opts Options) error {
	old, err := findPredecessor(fsys, dir)
	if err != nil {
		return err
	}
	generation, err := fillGeneration(ctx, fsys, dir, r, opts, old.adopt)
	if err != nil {
		return err
	}
	if err := writeCurrent(fsys, dir, generation); err != nil {
		return fmt.Errorf("restore shard: %w", err)
	}
	if err := removeOthers(fsys, dir, generation); err != nil { // the next start tries again
		opts.Log.Warn("the state before a restore stays on disk", "dir", dir, "err", err)
	}
	return nil
}

// fillGeneration makes a generation from an archive, complete and durable but not yet the one that counts. adopt may change
// the manifest, or refuse it, before the log is begun behind its checkpoint; it returns the last term that this replica
// used. After an error the generation is removed.
func fillGeneration(ctx context.Context, fsys vfs.FS, dir string, r io.Reader, opts Options,
	adopt func(*manifest) (order.Term, error),
) (generation uint64, err error) {
	if generation, err = nextGeneration(fsys, dir); err != nil {
		return 0, err
	}
	own := generationDir(dir, generation)
	defer func() {
		if err != nil { // what cannot be removed now is removed when the shard is opened
			err = errors.Join(err, fsys.RemoveAll(own))
		}
	}()
	if err := fsys.MkdirAll(own); err != nil {
		return 0, err
	}
	m, err := readArchive(ctx, r, fsys, own)
	if err != nil {
		return 0, err
	}
	if err := tryOpen(fsys, own, m); err != nil {
		return 0, err
	}
	used, err := adopt(m)
	if err != nil {
		return 0, err
	}
	m.Base = m.At
	if configured(opts.Config) {
		m.Config = &opts.Config
	}
	log, err := wal.Create(fsys, path.Join(own, logDir), m.Base, m.History, opts.logOptions())
	if err != nil {
		return 0, err
	}
	if used > 0 {
		err = log.UseTerm(ctx, used)
	}
	if err := errors.Join(err, log.Close()); err != nil {
		return 0, err
	}
	return generation, m.write(fsys, own)
}

// predecessor is what a shard was before a restore.
type predecessor struct {
	m       *manifest // nil: no shard, or one whose manifest is damaged
	vectors map[string]sextant.VectorSpec
	last    order.Pos // of the log
	used    order.Term
}

// findPredecessor looks at what is there as far as it can be read: a damaged shard may be restored, too.
func findPredecessor(fsys vfs.FS, dir string) (p predecessor, err error) {
	generation, err := readCurrent(fsys, dir)
	switch sextant.KindOf(err) {
	case sextant.NotFound, sextant.Corrupt:
		return p, nil
	}
	if err != nil {
		return p, err
	}
	own := generationDir(dir, generation)
	if p.m, err = readManifest(fsys, own); err == nil {
		p.last, p.vectors = p.m.At, p.m.Schema.Plain().Vectors
	} else if sextant.KindOf(err) != sextant.Corrupt {
		return p, err
	}
	// Records are read without regard to damage among them; a log that cannot be read at all gave out seqs that nobody knows.
	if rep, err := wal.Inspect(fsys, path.Join(own, logDir), p.follow); err == nil {
		p.used = rep.Used
		if rep.Last.Seq > p.last.Seq {
			p.last = rep.Last
		}
	}
	return p, nil
}

// follow takes over what an entry behind the checkpoint does to the vector names.
func (p *predecessor) follow(r wal.Record) error {
	if p.m == nil || r.Kind != wal.Effects || r.Seq <= p.m.At.Seq {
		return nil
	}
	u, err := codec.Update(r.Body)
	if err != nil {
		return nil // as damage among the records
	}
	switch u := u.(type) {
	case sextant.CreateVector:
		if _, exists := p.vectors[u.Name]; !exists {
			p.vectors[u.Name] = u.Spec
		}
	case sextant.DropVector:
		delete(p.vectors, u.Name)
	}
	return nil
}

// adopt makes the state of an archive the next one of the shard.
func (p *predecessor) adopt(m *manifest) (order.Term, error) {
	if p.m != nil {
		if given := m.Schema.Plain().Vectors; !reflect.DeepEqual(p.vectors, given) {
			return 0, incompatible(p.vectors, given)
		}
		m.Config = p.m.Config
	}
	m.UUID, m.ActiveThrough, m.Transfer, m.Restored = newUUID(), nil, nil, 0
	if p.last.Seq > m.At.Seq {
		// The same points, as of a later place. No entry of the term needs to stand there: the log begins behind it.
		next := order.Pos{Seq: p.last.Seq, Term: max(m.History.Last(), p.last.Term)}
		m.At, m.History = next, m.History.Extend(next)
	}
	return p.used, nil
}

func incompatible(have, given map[string]sextant.VectorSpec) error {
	a, err := json.Marshal(have)
	b, err2 := json.Marshal(given)
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	return sextant.Errorf(sextant.WrongInput,
		"Snapshot is not compatible with existing collection: Collection vectors: %s Snapshot Vectors: %s", a, b)
}
