package engine

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/segment"
	"github.com/sextantdb/sextant/internal/task"
	"github.com/sextantdb/sextant/internal/vfs"
)

// scrubRate is how many bytes a second a scrub reads at most, whatever its share of a processor would allow: the disk and the
// page cache are others'.
const scrubRate = 32 << 20

// Scrub reads all files of the checkpoint and compares them with their checksums, then counts the digest anew from the rows. It
// works for about the given share of one processor's time, at most 1, and sleeps in between, so that it may run always.
//
// Damage of stored bytes, or a digest that is not the sum of the rows, is the error, of kind Corrupt, and ends updates as when a
// read meets damage; see Damage. Damaged derived files are dropped and made anew. The log is not read: opening it and who reads it
// check it.
func (s *Shard) Scrub(ctx context.Context, share float64, p *task.Progress) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	err := s.scrub(ctx, &pacer{share: share, ctx: ctx, begun: time.Now()}, p)
	if s.life.Err() != nil {
		return errClosed // its files may be gone
	}
	if err != nil && sextant.KindOf(err) == sextant.Corrupt {
		s.noteDamage(err)
	}
	return err
}

// Damage returns what was found wrong with stored data, nil if nothing was. It costs nothing.
func (s *Shard) Damage() error {
	if err := s.damaged.Load(); err != nil {
		return *err
	}
	return nil
}

func (s *Shard) scrub(ctx context.Context, pace *pacer, p *task.Progress) error {
	if err := s.scrubFiles(ctx, pace, p); err != nil {
		return err
	}
	v, sum, err := s.applied()
	if err != nil {
		return err
	}
	defer v.Release()
	counted, err := segment.Recount(ctx, v, func(rows int) error { return pace.did(16 * rows) }) // an id and a version
	if err == nil && counted != sum {
		ranges := sum.Differing(&counted)
		err = sextant.Errorf(sextant.Corrupt, "the rows in %s are not those of entry %d: the digest differs in %d ranges, the first is %d",
			s.dir, v.Seq, len(ranges), ranges[0])
	}
	if err == nil {
		err = pace.did(0)
	}
	return err
}

// applied returns a view with the digest that its rows should have.
func (s *Shard) applied() (*segment.View, segment.Digest, error) {
	w := &s.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil { // in the middle of an entry
		return nil, segment.Digest{}, w.broken
	}
	v := s.views.Get()
	if v == nil {
		return nil, segment.Digest{}, errClosed
	}
	return v, w.state.Digest(), nil
}

func (s *Shard) scrubFiles(ctx context.Context, pace *pacer, p *task.Progress) error {
	d, err := s.holdDurable()
	if err != nil {
		return err
	}
	defer d.release()
	for _, err := range []error{checkCurrent(s.fs, path.Dir(s.dir)), checkManifest(s.fs, s.dir)} {
		if err != nil {
			return err
		}
	}
	var total int64
	for _, f := range d.man.files() {
		total += f.Bytes
	}
	p.Total(total)
	chunk := make([]byte, archiveChunk)
	for i := range d.man.Segments {
		e := &d.man.Segments[i]
		files := e.Files
		if e.Tombs != nil {
			files = append(files[:len(files):len(files)], *e.Tombs)
		}
		for _, f := range files {
			why, err := s.scrubFile(ctx, f, chunk, pace)
			p.Add(f.Bytes)
			switch {
			case err != nil:
				return err
			case why == nil:
			case f.Kind == segment.MainFile || f.Kind == segment.VectorFile:
				if err := d.parts[i].Sealed.Verify(ctx); err != nil {
					why = err // it knows the block
				}
				return why
			case f.Kind == segment.TombFile:
				return why
			default:
				s.slog.Warn("a derived file is damaged and made anew", "err", why)
				d.parts[i].Sealed.Distrust(f.Name)
				s.keeper.wake()
			}
		}
	}
	return nil
}

// holdDurable returns the state on disk, whose segments stay until it is released.
func (s *Shard) holdDurable() (*durable, error) {
	k := &s.keeper
	k.edit.Lock()
	defer k.edit.Unlock()
	if s.life.Err() != nil {
		return nil, errClosed
	}
	d := k.current()
	for _, p := range d.parts {
		p.Sealed.Acquire()
	}
	return d, nil
}

func checkCurrent(fsys vfs.FS, dir string) error {
	_, err := readCurrent(fsys, dir)
	if sextant.KindOf(err) == sextant.NotFound {
		return corrupt(path.Join(dir, currentFile), 0, "it is missing")
	}
	return err
}

func checkManifest(fsys vfs.FS, dir string) error {
	_, err := readManifest(fsys, dir)
	return err
}

// scrubFile compares a file with its reference. why says what is damaged.
func (s *Shard) scrubFile(ctx context.Context, ref segment.FileRef, chunk []byte, pace *pacer) (why, err error) {
	name := path.Join(s.dir, ref.Name)
	f, err := s.fs.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		if !s.named(ref.Name) {
			return nil, nil // it was replaced meanwhile
		}
		return corrupt(name, 0, "it is missing"), nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	if size, err := f.Size(); err != nil || size != ref.Bytes {
		return corrupt(name, size, "it should have %d bytes (%v)", ref.Bytes, err), nil
	}
	var sum uint32
	for off := int64(0); off < ref.Bytes; {
		n, err := f.ReadAt(chunk[:min(int64(len(chunk)), ref.Bytes-off)], off)
		if n == 0 || err != nil && !errors.Is(err, io.EOF) {
			return corrupt(name, off, "it cannot be read: %v", err), nil
		}
		sum = crc32.Update(sum, castagnoli, chunk[:n])
		off += int64(n)
		if err := pace.did(n); err != nil {
			return nil, err
		}
	}
	if sum != ref.CRC {
		return corrupt(name, 0, "its checksum is wrong"), nil
	}
	return nil, ctx.Err()
}

// named says whether the manifest on disk names a file.
func (s *Shard) named(name string) bool {
	for _, f := range s.keeper.manifest().files() {
		if f.Name == name {
			return true
		}
	}
	return false
}

// pacer sleeps after work, so that the work takes a share of the time.
type pacer struct {
	ctx   context.Context
	share float64
	begun time.Time // when the work since the last sleep began
	bytes int64     // of that work
}

// leastPause is what is worth a sleep.
const leastPause = 2 * time.Millisecond

// did tells of work on so many bytes.
func (p *pacer) did(bytes int) error {
	p.bytes += int64(bytes)
	worked := time.Since(p.begun)
	wanted := max(time.Duration(float64(worked)/p.share), time.Duration(float64(p.bytes)/scrubRate*float64(time.Second)))
	if wanted-worked < leastPause {
		return p.ctx.Err()
	}
	select {
	case <-time.After(wanted - worked):
	case <-p.ctx.Done():
		return fmt.Errorf("scrub: %w", p.ctx.Err())
	}
	p.begun, p.bytes = time.Now(), 0
	return nil
}
