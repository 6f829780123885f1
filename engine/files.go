package engine

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path"
	"slices"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/segment"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/vfs"
	"github.com/sextantdb/sextant/internal/wal"
)

// A replica may also become what another one is by its files: those of a checkpoint, graphs and codes included. They go one behind
// the other, and what the receiver has already, of a copy that broke off or of its own, is not sent:
//
//	sender                          receiver
//	OpenFiles, Head            →    NewIntakeFromFiles
//	Send of these              ←    Missing
//	                           →    AddFiles, for each part of it
//	Close                           Complete, and so on as with a base

// Files are the files of a checkpoint, kept until Close. Used by one goroutine.
type Files struct {
	s      *Shard
	m      *manifest
	pinned string
	head   []byte
}

// OpenFiles makes a checkpoint that holds everything acknowledged before the call, and keeps its files. Updates and reads go on.
func (s *Shard) OpenFiles(ctx context.Context) (*Files, error) {
	if s.life.Err() != nil {
		return nil, errClosed
	}
	if _, err := s.Checkpoint(ctx); err != nil {
		return nil, fmt.Errorf("keep the files of a shard: %w", err)
	}
	f := &Files{s: s}
	var err error
	if f.m, f.pinned, err = s.pin(); err == nil {
		f.head, err = f.m.encode()
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("keep the files of a shard: %w", err)
	}
	return f, nil
}

// At returns the last entry that the files contain.
func (f *Files) At() order.Pos { return f.m.At }

// Head is what NewIntakeFromFiles begins with.
func (f *Files) Head() []byte { return f.head }

// Send writes files of the given names, one behind the other. Damage that it meets is an error.
func (f *Files) Send(ctx context.Context, w io.Writer, names []string) error {
	chunk := make([]byte, archiveChunk)
	refs := f.m.files()
	for _, name := range names {
		i := slices.IndexFunc(refs, func(r segment.FileRef) bool { return r.Name == name })
		if i < 0 {
			return sextant.Errorf(sextant.WrongInput, "the checkpoint at %s has no file %q", f.m.At, name)
		}
		if err := sendFile(ctx, w, f.s.fs, f.pinned, refs[i], chunk); err != nil {
			if sextant.KindOf(err) == sextant.Corrupt {
				f.s.verify(ctx)
			}
			return err
		}
	}
	return nil
}

// Close lets the files go.
func (f *Files) Close() {
	if f.pinned == "" {
		return
	}
	if err := f.s.fs.RemoveAll(f.pinned); err != nil { // the next start removes it
		f.s.slog.Warn("files kept for a copy stay on disk", "dir", f.pinned, "err", err)
	}
	f.pinned = ""
}

// arrival is what of a checkpoint's files is still to come to an intake.
type arrival struct {
	left []segment.FileRef // first to last; the first may have come in part
	file vfs.File          // the first one, once a part has come
	have int64             // bytes of it
	sum  uint32
}

// NewIntakeFromFiles begins a generation with the head of a checkpoint. Files of it that any generation in the directory has already
// are linked, not asked for.
func NewIntakeFromFiles(ctx context.Context, dir string, head []byte, by Attempt, opts Options) (*Intake, error) {
	m, err := decodeManifest(manifestFile, head)
	if err != nil {
		return nil, err
	}
	i := &Intake{dir: dir, opts: opts.fill(), man: m, files: &arrival{}}
	i.fs = i.opts.FS
	if i.sum, err = segment.ReadDigest(m.Digest); err != nil {
		return nil, corrupt(manifestFile, 0, "%v", err)
	}
	if err := i.fs.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("fill a generation: %w", err)
	}
	if err := i.begin(); err != nil {
		return nil, err
	}
	if err := i.collect(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("fill a generation: %w", err), i.Discard())
	}
	old, err := i.prepare(i.generation)
	if err == nil {
		err = roomFor(i.fs, i.own, i.files.left)
	}
	if err != nil {
		return nil, errors.Join(err, i.Discard())
	}
	i.belong(m, old, by)
	return i, nil
}

// collect links the files that other generations have, and lists the others.
func (i *Intake) collect(ctx context.Context) error {
	infos, err := i.fs.List(i.dir)
	if err != nil {
		return err
	}
	for _, ref := range i.man.files() {
		found := false
		for _, info := range infos {
			n, ok := parseGeneration(info.Name)
			if !ok || n == i.generation || found {
				continue
			}
			if found, err = i.take(ctx, generationDir(i.dir, n), ref); err != nil {
				return err
			}
		}
		if !found {
			i.files.left = append(i.files.left, ref)
		}
	}
	return nil
}

// take links a file of another generation, if it is there, whole, and can be made durable.
func (i *Intake) take(ctx context.Context, from string, ref segment.FileRef) (bool, error) {
	name := path.Join(from, ref.Name)
	if info, err := i.fs.Stat(name); err != nil || info.Size != ref.Bytes {
		return false, nil //nolint:nilerr // what is not there is sent
	}
	if err := sendFile(ctx, io.Discard, i.fs, from, ref, make([]byte, archiveChunk)); err != nil {
		return false, ctx.Err()
	}
	f, err := i.fs.Open(name)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err == nil {
		err = i.fs.Link(name, path.Join(i.own, ref.Name))
	}
	return err == nil, nil //nolint:nilerr // as above
}

// Missing names the files that are to come, in the order in which AddFiles wants them.
func (i *Intake) Missing() (names []string) {
	for _, ref := range i.files.left {
		names = append(names, ref.Name)
	}
	return names
}

// AddFiles takes the next bytes of the missing files. A file whose checksum is wrong is an error that only another intake mends.
func (i *Intake) AddFiles(part []byte) error {
	a := i.files
	switch {
	case i.failed != nil:
		return i.failed
	case a == nil || i.complete:
		return sextant.Errorf(sextant.Precondition, "no files are missing")
	}
	for len(part) > 0 || len(a.left) > 0 && a.left[0].Bytes == 0 {
		if len(a.left) == 0 {
			return i.fail(notArchive("%d bytes came behind the last file", len(part)))
		}
		n := min(int64(len(part)), a.left[0].Bytes-a.have)
		if err := i.write(part[:n]); err != nil {
			return i.fail(err)
		}
		part = part[n:]
	}
	return nil
}

// write takes bytes of the first missing file; with the last of them it is durable but for its name.
func (i *Intake) write(part []byte) (err error) {
	a := i.files
	ref := a.left[0]
	if a.file == nil {
		if a.file, err = i.fs.Create(path.Join(i.own, ref.Name)); err != nil {
			return err
		}
	}
	if _, err := a.file.Write(part); err != nil {
		return err
	}
	a.have, a.sum = a.have+int64(len(part)), crc32.Update(a.sum, castagnoli, part)
	if a.have < ref.Bytes {
		return nil
	}
	if a.sum != ref.CRC {
		return sextant.Errorf(sextant.Corrupt, "the checksum of file %s is wrong", ref.Name)
	}
	err = errors.Join(a.file.Sync(), a.file.Close())
	a.file, a.left, a.have, a.sum = nil, a.left[1:], 0, 0
	return err
}

// finishFiles makes a generation of files what its manifest says.
func (i *Intake) finishFiles(ctx context.Context) error {
	if err := i.AddFiles(nil); err != nil { // files without bytes come by themselves
		return err
	}
	if n := len(i.files.left); n > 0 {
		return sextant.Errorf(sextant.Internal, "%d files are missing", n)
	}
	if err := tryOpen(i.fs, i.own, i.man); err != nil {
		return err
	}
	if err := i.recount(ctx); err != nil {
		return err
	}
	i.man.Base = i.man.At
	return i.store()
}

// store begins the log of a generation and makes its manifest durable.
func (i *Intake) store() error {
	opts := i.opts
	opts.Config = *i.man.Config
	log, err := wal.Create(i.fs, path.Join(i.own, logDir), i.man.Base, i.man.History, opts.logOptions())
	if err == nil {
		err = log.Close()
	}
	if err != nil {
		return err
	}
	return i.man.write(i.fs, i.own)
}

// Leave ends the intake and keeps what has come of its files, for the next one.
func (i *Intake) Leave() {
	i.letGo()
	i.failed, i.complete = sextant.Errorf(sextant.Precondition, "the intake was left"), false
}
