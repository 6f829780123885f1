package engine

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/segment"
	"github.com/sextantdb/sextant/internal/vfs"
)

// An archive is a tar of one generation at one seq: MANIFEST, then exactly the files that it names, in its order, each a
// regular file without directories in its name. Lengths and checksums of the files are those of the manifest. There is no
// log in it, so equal checkpoints make equal archives.

const (
	archiveChunk    = 256 << 10
	archiveManifest = 64 << 20 // the largest manifest that is taken from an archive
	pinPrefix       = "pin-"
)

// writeArchive streams the generation in dir as m describes it. Damage that it meets is an error: what was written up to
// there is no archive. The files must stay; see pinFiles.
func writeArchive(ctx context.Context, w io.Writer, fsys vfs.FS, dir string, m *manifest) error {
	b, err := m.encode()
	if err != nil {
		return err
	}
	out := tar.NewWriter(w)
	if err := out.WriteHeader(archiveHeader(manifestFile, int64(len(b)))); err != nil {
		return err
	}
	if _, err := out.Write(b); err != nil {
		return err
	}
	chunk := make([]byte, archiveChunk)
	for _, ref := range m.files() {
		if err := out.WriteHeader(archiveHeader(ref.Name, ref.Bytes)); err != nil {
			return err
		}
		if err := sendFile(ctx, out, fsys, dir, ref, chunk); err != nil {
			return err
		}
	}
	return out.Close()
}

func archiveHeader(name string, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644}
}

// sendFile copies one file and compares it with its reference on the way.
func sendFile(ctx context.Context, w io.Writer, fsys vfs.FS, dir string, ref segment.FileRef, chunk []byte) error {
	f, err := fsys.Open(path.Join(dir, ref.Name))
	if err != nil {
		return err
	}
	defer f.Close()
	if strings.HasPrefix(path.Base(dir), pinPrefix) {
		dir = path.Dir(dir) // where the file will be when somebody looks for it
	}
	name := path.Join(dir, ref.Name)
	var sum uint32
	for off := int64(0); off < ref.Bytes; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := f.ReadAt(chunk[:min(int64(len(chunk)), ref.Bytes-off)], off)
		if n == 0 && errors.Is(err, io.EOF) {
			return corrupt(name, off, "it should have %d bytes", ref.Bytes)
		} else if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		sum = crc32.Update(sum, castagnoli, chunk[:n])
		if _, err := w.Write(chunk[:n]); err != nil {
			return err
		}
		off += int64(n)
	}
	if sum != ref.CRC {
		return corrupt(name, 0, "its checksum is wrong")
	}
	return nil
}

// readArchive unpacks an archive into an empty directory, durably, MANIFEST last. Everything in it is compared with its
// manifest: an archive that is not whole, or not one of ours, is refused as wrong input, and leaves files without a
// MANIFEST behind.
func readArchive(ctx context.Context, r io.Reader, fsys vfs.FS, dir string) (*manifest, error) {
	source := &sourceReader{r: r}
	in := tar.NewReader(source)
	m, err := archivedManifest(in)
	if err != nil {
		return nil, source.blame(err)
	}
	files := m.files()
	if err := roomFor(fsys, dir, files); err != nil {
		return nil, err
	}
	chunk := make([]byte, archiveChunk)
	for _, ref := range files {
		head, err := in.Next()
		if err != nil {
			return nil, source.blame(fmt.Errorf("file %s: %w", ref.Name, err))
		}
		if head.Typeflag != tar.TypeReg || head.Name != ref.Name || head.Size != ref.Bytes {
			return nil, notArchive("it holds %q (%d bytes) in the place of %q (%d bytes)", head.Name, head.Size, ref.Name, ref.Bytes)
		}
		if err := storeFile(ctx, in, source, fsys, dir, ref, chunk); err != nil {
			return nil, err
		}
	}
	if head, err := in.Next(); err == nil {
		return nil, notArchive("it holds %q, which its manifest does not name", head.Name)
	} else if err != io.EOF {
		return nil, source.blame(err)
	}
	return m, m.write(fsys, dir)
}

func archivedManifest(in *tar.Reader) (*manifest, error) {
	head, err := in.Next()
	if err != nil {
		return nil, err
	}
	if head.Typeflag != tar.TypeReg || head.Name != manifestFile || head.Size > archiveManifest {
		return nil, fmt.Errorf("it begins with %q, not with a manifest", head.Name)
	}
	b, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	return decodeManifest(manifestFile, b)
}

// storeFile writes one file of an archive, durable but for its name.
func storeFile(ctx context.Context, in io.Reader, source *sourceReader, fsys vfs.FS, dir string, ref segment.FileRef,
	chunk []byte,
) error {
	f, err := fsys.Create(path.Join(dir, ref.Name))
	if err != nil {
		return err
	}
	defer f.Close() // after Sync it has nothing to tell
	var sum uint32
	for left := ref.Bytes; left > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.ReadFull(in, chunk[:min(int64(len(chunk)), left)])
		if err != nil {
			return source.blame(fmt.Errorf("file %s: %w", ref.Name, err))
		}
		sum = crc32.Update(sum, castagnoli, chunk[:n])
		if _, err := f.Write(chunk[:n]); err != nil {
			return err
		}
		left -= int64(n)
	}
	if sum != ref.CRC {
		return notArchive("the checksum of file %s is wrong", ref.Name)
	}
	return f.Sync()
}

// tryOpen makes sure that a generation can be opened. Its bytes are what the sender had; that may be of another version.
func tryOpen(fsys vfs.FS, dir string, m *manifest) error {
	if _, err := segment.ReadDigest(m.Digest); err != nil {
		return notArchive("%v", err)
	}
	for i := range m.Segments {
		e := &m.Segments[i]
		if e.Tombs != nil {
			if _, err := segment.ReadTombstones(fsys, dir, *e.Tombs); err != nil {
				return notArchive("%v", err)
			}
		}
		sealed, err := segment.Open(fsys, dir, e.Meta)
		if err != nil {
			return notArchive("%v", err)
		}
		sealed.Release()
	}
	return nil
}

// roomFor refuses early what the disk cannot hold.
func roomFor(fsys vfs.FS, dir string, files []segment.FileRef) error {
	var need uint64
	for _, f := range files {
		need += uint64(f.Bytes)
	}
	space, err := fsys.Free(dir)
	if err != nil {
		return err
	}
	if need > space.Free {
		return sextant.Errorf(sextant.Internal, "Not enough space available to restore a snapshot, needed: %d, available: %d",
			need, space.Free)
	}
	return nil
}

// sourceReader remembers why its reader failed, so that a broken connection is told from a broken archive.
type sourceReader struct {
	r   io.Reader
	err error
}

func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// blame turns an error met in an archive into the source's, or into a fault of the archive.
func (s *sourceReader) blame(err error) error {
	switch {
	case s.err != nil:
		return fmt.Errorf("snapshot: %w", s.err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return notArchive("it ends early")
	}
	return notArchive("%v", err)
}

func notArchive(format string, args ...any) error {
	return sextant.Errorf(sextant.WrongInput, "Snapshot is not a valid shard snapshot: %s", fmt.Sprintf(format, args...))
}

// pinFiles gives the files of m second names in a new directory inside the generation, so that they stay readable there
// whatever becomes of the generation, until that directory is removed. The caller makes sure that the files exist while this
// runs, which is short: nothing is copied or synced. What a crash leaves is a leftover like any other.
func pinFiles(fsys vfs.FS, dir string, m *manifest) (pinned string, err error) {
	pinned = path.Join(dir, pinPrefix+newUUID())
	if err := fsys.MkdirAll(pinned); err != nil {
		return "", err
	}
	for _, ref := range m.files() {
		name := path.Join(dir, ref.Name)
		err := fsys.Link(name, path.Join(pinned, ref.Name))
		if errors.Is(err, fs.ErrNotExist) {
			err = corrupt(name, 0, "it is missing")
		}
		if err != nil {
			return "", errors.Join(err, fsys.RemoveAll(pinned))
		}
	}
	return pinned, nil
}
