package snapshot

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/vfs"
)

const (
	suffix         = ".snapshot"
	checksumSuffix = ".checksum"
	stamp          = "2006-01-02-15-04-05"
)

// Info is a stored snapshot.
type Info struct {
	Name     string
	Created  time.Time // UTC, from the name; zero: unknown
	Size     int64
	Checksum string // lower-case hex SHA-256; "": the side file is missing
}

// Store keeps finished snapshots in one directory and its folders. What is not finished is in Temp, on the same volume.
type Store struct {
	FS        vfs.FS
	Dir, Temp string

	mu    sync.Mutex // guards names
	names map[string]bool
}

// Create makes a snapshot in a folder. Its name is prefix-time.snapshot, with a number when that is taken. The file
// appears when it is complete, its checksum before; if write fails nothing is left.
func (s *Store) Create(folder, prefix string, now time.Time, write func(w io.Writer) error) (info Info, err error) {
	dir := path.Join(s.Dir, folder)
	for _, d := range []string{dir, s.Temp} {
		if err := s.FS.MkdirAll(d); err != nil {
			return Info{}, err
		}
	}
	name, free, err := s.reserve(dir, prefix, now)
	if err != nil {
		return Info{}, err
	}
	defer free()
	temp := path.Join(s.Temp, name+".part")
	defer func() {
		if err != nil {
			err = errors.Join(err, s.remove(temp), s.remove(path.Join(dir, name+checksumSuffix)))
		}
	}()
	size, sum, err := s.Spool(temp, write)
	if err != nil {
		return Info{}, err
	}
	if err := vfs.WriteAtomic(s.FS, path.Join(dir, name+checksumSuffix), []byte(sum)); err != nil {
		return Info{}, err
	}
	if err := s.FS.Rename(temp, path.Join(dir, name)); err != nil {
		return Info{}, err
	}
	if err := s.FS.SyncDir(dir); err != nil {
		return Info{}, errors.Join(err, s.remove(path.Join(dir, name)))
	}
	return Info{Name: name, Created: created(name), Size: size, Checksum: sum}, nil
}

// reserve chooses a name that no file has and nobody is making.
func (s *Store) reserve(dir, prefix string, now time.Time) (name string, free func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	base := prefix + "-" + now.UTC().Format(stamp)
	for n := 0; ; n++ {
		name = base + suffix
		if n > 0 {
			name = base + "-" + strconv.Itoa(n) + suffix
		}
		full := path.Join(dir, name)
		_, err := s.FS.Stat(full)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", nil, err
		}
		if err == nil || s.names[full] {
			continue
		}
		if s.names == nil {
			s.names = map[string]bool{}
		}
		s.names[full] = true
		return name, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.names, full)
		}, nil
	}
}

// Spool writes a file, durably, and returns its size and the hex SHA-256 of its bytes. A failed one is removed.
func (s *Store) Spool(file string, write func(w io.Writer) error) (size int64, sum string, err error) {
	f, err := s.FS.Create(file)
	if err != nil {
		return 0, "", err
	}
	h := sha256.New()
	counted := &counter{w: io.MultiWriter(f, h)}
	err = write(counted)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, "", errors.Join(err, s.remove(file))
	}
	return counted.n, hex.EncodeToString(h.Sum(nil)), nil
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

func (s *Store) remove(name string) error {
	if err := s.FS.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// created reads the time out of a name: …-YYYY-MM-DD-HH-MM-SS.snapshot or …-SS-n.snapshot.
func created(name string) time.Time {
	base := strings.TrimSuffix(name, suffix)
	for range 2 {
		if from := len(base) - len(stamp); from >= 0 {
			if t, err := time.Parse(stamp, base[from:]); err == nil {
				return t
			}
		}
		i := strings.LastIndexByte(base, '-')
		if i < 0 {
			break
		}
		base = base[:i]
	}
	return time.Time{}
}

// List returns the finished snapshots of a folder, by name.
func (s *Store) List(folder string) ([]Info, error) {
	files, err := s.FS.List(path.Join(s.Dir, folder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Info
	for _, f := range files {
		if !f.Dir && strings.HasSuffix(f.Name, suffix) {
			all = append(all, s.info(folder, f.Name, f.Size))
		}
	}
	return all, nil
}

func (s *Store) info(folder, name string, size int64) Info {
	info := Info{Name: name, Size: size, Created: created(name)}
	if sum, err := vfs.ReadFile(s.FS, path.Join(s.Dir, folder, name+checksumSuffix)); err == nil {
		info.Checksum = strings.TrimSpace(string(sum))
	}
	return info
}

// Path returns where a finished snapshot is. Names that are not plain names of snapshots do not exist.
func (s *Store) Path(folder, name string) (string, error) {
	missing := sextant.Errorf(sextant.NotFound, "Snapshot %s not found", name)
	if !strings.HasSuffix(name, suffix) || strings.ContainsAny(name, "/\\\x00") || name == ".." {
		return "", missing
	}
	full := path.Join(s.Dir, folder, name)
	if info, err := s.FS.Stat(full); errors.Is(err, fs.ErrNotExist) || err == nil && info.Dir {
		return "", missing
	} else if err != nil {
		return "", err
	}
	return full, nil
}

// Open opens a finished snapshot.
func (s *Store) Open(folder, name string) (Info, vfs.File, error) {
	full, err := s.Path(folder, name)
	if err != nil {
		return Info{}, nil, err
	}
	f, err := s.FS.Open(full)
	if err != nil {
		return Info{}, nil, err
	}
	size, err := f.Size()
	if err != nil {
		return Info{}, nil, errors.Join(err, f.Close())
	}
	return s.info(folder, name, size), f, nil
}

// Delete removes a finished snapshot and its checksum.
func (s *Store) Delete(folder, name string) error {
	full, err := s.Path(folder, name)
	if err != nil {
		return err
	}
	if err := s.FS.Remove(full); err != nil {
		return err
	}
	if err := s.remove(full + checksumSuffix); err != nil {
		return err
	}
	return s.FS.SyncDir(path.Dir(full))
}

// Sum returns the hex SHA-256 of a file.
func Sum(fsys vfs.FS, file string) (string, error) {
	f, err := fsys.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, size)); err != nil {
		return "", fmt.Errorf("read %s: %w", file, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
