package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"reflect"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/segment"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/vfs"
	"github.com/sextantdb/sextant/internal/wal"
)

// A replica does not decide alone that a snapshot takes the place of its data. So a restore under replication has two halves, with
// the decision between them:
//
//	PrepareRestore  while the shard goes on: the archive becomes a generation aside, durable and named by RESTORE
//	AdoptRestore    the shard is closed: the generation counts from now on, at a place that was not known before
//
// or DropRestore. Each may be repeated after a crash. What was prepared outlives opening and closing the shard.

// PrepareRestore makes what an archive holds ready to be adopted under an id, which is not 0. One that was prepared before is
// dropped. The shard, if there is one, may be open; no Intake of the directory may exist. An archive with other vectors is refused.
func PrepareRestore(ctx context.Context, dir string, id uint64, vectors map[string]sextant.VectorSpec, r io.Reader, opts Options) error {
	opts = opts.fill()
	fsys := opts.FS
	if err := fsys.MkdirAll(dir); err != nil {
		return fmt.Errorf("prepare a restore: %w", err)
	}
	if err := DropRestore(fsys, dir); err != nil {
		return err
	}
	generation, err := fillGeneration(ctx, fsys, dir, r, opts, func(m *manifest) (order.Term, error) {
		if given := m.Schema.Plain().Vectors; !reflect.DeepEqual(vectors, given) {
			return 0, incompatible(vectors, given)
		}
		m.UUID, m.ActiveThrough, m.Transfer, m.Restored = opts.UUID, nil, nil, id
		return 0, nil
	})
	if err != nil {
		return err
	}
	own := generationDir(dir, generation)
	if err := recount(ctx, fsys, own); err != nil {
		return errors.Join(err, fsys.RemoveAll(own))
	}
	text := fmt.Sprintf("sextant-restore 1 g%d %d", generation, id)
	if err := vfs.WriteAtomic(fsys, path.Join(dir, restoreFile), []byte(currentLine(text))); err != nil {
		return fmt.Errorf("prepare a restore: %w", err) // nobody knows whether it counts: dropped by the next one
	}
	return nil
}

// recount refuses a generation whose points are not those of its digest: the digest of a snapshot is what replicas compare later.
func recount(ctx context.Context, fsys vfs.FS, own string) error {
	m, err := readManifest(fsys, own)
	if err != nil {
		return err
	}
	sum, err := segment.ReadDigest(m.Digest)
	if err != nil {
		return err
	}
	return (&Intake{fs: fsys, own: own, man: m, sum: sum}).recount(ctx)
}

// PreparedRestore returns the id under which a generation waits to be adopted, 0 if none does.
func PreparedRestore(fsys vfs.FS, dir string) (id uint64, err error) {
	_, id, err = readRestore(fsys, dir)
	return id, err
}

// readRestore reads RESTORE; zeros if there is none. One that is damaged is a sextant.Corrupt error: what it named may be all there is.
func readRestore(fsys vfs.FS, dir string) (generation, id uint64, err error) {
	b, err := vfs.ReadFile(fsys, path.Join(dir, restoreFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, 0, nil
	} else if err != nil {
		return 0, 0, err
	}
	text := string(b[:max(0, bytes.LastIndexByte(b, ' '))])
	var version uint64
	if _, err := fmt.Sscanf(text, "sextant-restore %d g%d %d", &version, &generation, &id); err != nil || version != 1 || string(b) != currentLine(text) {
		return 0, 0, corrupt(path.Join(dir, restoreFile), 0, "it cannot be read")
	}
	return generation, id, nil
}

// DropRestore forgets what was prepared; its files go when the shard is opened next, or now, if they can.
func DropRestore(fsys vfs.FS, dir string) error {
	generation, _, err := readRestore(fsys, dir)
	if err != nil && sextant.KindOf(err) != sextant.Corrupt {
		return err
	}
	if generation == 0 && err == nil {
		return nil
	}
	if err := fsys.Remove(path.Join(dir, restoreFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := fsys.SyncDir(dir); err != nil {
		return err
	}
	if current, err := readCurrent(fsys, dir); generation == 0 || err == nil && current == generation {
		return nil
	}
	return fsys.RemoveAll(generationDir(dir, generation))
}

// AdoptRestore makes what was prepared under an id the shard's, by one atomic switch, and removes what was there before. The shard
// must be closed. Its log begins behind the highest of three seqs: what the shard had logged, what the archive contains, and
// floor; as an entry of term, which nobody else has used or will use: so no entry of another replica can pass for one that is before
// those of the new log. The last term that the shard used is carried over. After an error the directory holds the one or the other,
// whole, and the call may be repeated; PreparedRestore tells whether it must.
func AdoptRestore(ctx context.Context, dir string, id uint64, floor order.Seq, term order.Term, opts Options) error {
	opts = opts.fill()
	lock, err := takeLock(opts.FS, dir)
	if err != nil {
		return err
	}
	if err = adoptRestore(ctx, dir, id, floor, term, opts); err != nil {
		err = fmt.Errorf("adopt what was restored: %w", err)
	}
	return errors.Join(err, lock.Close())
}

func adoptRestore(ctx context.Context, dir string, id uint64, floor order.Seq, term order.Term, opts Options) error {
	fsys := opts.FS
	generation, prepared, err := readRestore(fsys, dir)
	if err != nil {
		return err
	}
	if prepared != id {
		return sextant.Errorf(sextant.Precondition, "nothing was prepared under the id %d", id)
	}
	current, err := readCurrent(fsys, dir)
	if kind := sextant.KindOf(err); err != nil && kind != sextant.NotFound && kind != sextant.Corrupt {
		return err
	}
	if err != nil || current != generation {
		if err := switchTo(ctx, dir, generation, floor, term, opts); err != nil {
			return err
		}
	}
	if err := fsys.Remove(path.Join(dir, restoreFile)); err != nil {
		return err
	}
	if err := removeOthers(fsys, dir, generation); err != nil { // the next start tries again
		opts.Log.Warn("the state before a restore stays on disk", "dir", dir, "err", err)
	}
	return nil
}

// switchTo gives a prepared generation its place and makes it the one that counts.
func switchTo(ctx context.Context, dir string, generation uint64, floor order.Seq, term order.Term, opts Options) error {
	fsys, own := opts.FS, generationDir(dir, generation)
	old, err := findPredecessor(fsys, dir)
	if err != nil {
		return err
	}
	m, err := readManifest(fsys, own)
	if err != nil {
		return err
	}
	at := order.Pos{Seq: max(m.At.Seq, old.last.Seq, floor) + 1, Term: term}
	m.At, m.Base, m.History = at, at, order.History{}.Extend(at) // terms of the archive are of another line, maybe of another cluster
	if configured(opts.Config) {
		m.Config = &opts.Config
	}
	if err := fsys.RemoveAll(path.Join(own, logDir)); err != nil {
		return err
	}
	opts.Config = *m.Config
	log, err := wal.Create(fsys, path.Join(own, logDir), m.Base, m.History, opts.logOptions())
	if err != nil {
		return err
	}
	if old.used > 0 {
		err = log.UseTerm(ctx, old.used)
	}
	if err := errors.Join(err, log.Close()); err != nil {
		return err
	}
	if err := m.write(fsys, own); err != nil {
		return err
	}
	return writeCurrent(fsys, dir, generation)
}

// Restored returns the id of the restore that brought the shard's generation, 0 if none did.
func (s *Shard) Restored() uint64 { return s.keeper.manifest().Restored }
