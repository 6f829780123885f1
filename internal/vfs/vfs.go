// Package vfs is the seam between the database and its disk: real files, a disk in memory that can lose what was not
// synced, and a wrapper that fails chosen calls.
//
// Shapes: names are slash-separated paths; files are only ever written at their end, cut, or replaced whole (WriteAtomic).
// Durability: bytes are durable after File.Sync; a name (created, renamed, linked, removed) after SyncDir of its directory.
// MkdirAll alone is durable by itself.
// Errors: those of the operating system (fs.ErrNotExist, fs.ErrExist, syscall.ENOSPC, …), in *fs.PathError or *fs.LinkError.
// Concurrency: an FS may be used by any number of goroutines; of a File only ReadAt and Size may be called beside other calls.
package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
)

// FS is a disk. OS, Mem and Faulty are its implementations; all pass the suite in vfstest.
type FS interface {
	// Create makes an empty file, or empties the one that is there.
	Create(name string) (File, error)
	// OpenAppend opens an existing file to read and to write at its end; it is made if it is missing.
	OpenAppend(name string) (File, error)
	// Open opens an existing file for reading only.
	Open(name string) (File, error)
	// Rename gives a file or directory another name, atomically; a file of the new name is replaced.
	Rename(from, to string) error
	// Link gives a file a second name; fs.ErrExist if that is taken.
	Link(from, to string) error
	// Remove removes a file or an empty directory. Open files and maps of it stay readable.
	Remove(name string) error
	// RemoveAll removes a name and everything below it; a missing one is no error.
	RemoveAll(name string) error
	// MkdirAll makes a directory and its missing parents, durably.
	MkdirAll(dir string) error
	// List returns what a directory holds, sorted by name.
	List(dir string) ([]Info, error)
	Stat(name string) (Info, error)
	// SyncDir makes the names in a directory durable.
	SyncDir(dir string) error
	// Map maps a whole file for reading. The file must not be cut or written while it is mapped.
	Map(name string) (Mapping, error)
	// Free says how large the disk behind name is and how much of it this process may still use.
	Free(name string) (Space, error)
	// Lock takes an exclusive lock, made as a file of that name, until it is closed or the process ends; ErrLocked if
	// another holder has it.
	Lock(name string) (io.Closer, error)
}

// File is an open file.
type File interface {
	io.Writer // at the end
	io.ReaderAt
	io.Closer
	// Sync makes the file's bytes and length durable. After an error of Sync nothing is known about what was written
	// since the last success, and asking again does not help: the file must be given up or read anew.
	Sync() error
	// Truncate cuts the file to size bytes, at most its present length.
	Truncate(size int64) error
	Size() (int64, error)
}

// Mapping is a file in memory. Bytes stay valid until Close, also when the file is removed or replaced by another.
type Mapping interface {
	Bytes() []byte
	// Advise tells the kernel how the bytes [from, from+n) will be used; it is a hint and never fails visibly.
	Advise(a Advice, from, n int)
	// Resident counts the mapped bytes that are in memory now.
	Resident() int64
	io.Closer
}

// Advice is how mapped bytes will be used.
type Advice uint8

const (
	Random     Advice = iota // no read-ahead: vectors, graphs
	Sequential               // much read-ahead
	Warm                     // load in now and return when done, without failing on errors
	Cold                     // drop from memory; read anew when touched
)

// Info is what a directory knows of a name.
type Info struct {
	Name string // without the directory
	Size int64
	Dir  bool
}

// Space is the room on a disk, in bytes.
type Space struct{ Total, Free uint64 }

// ErrLocked is returned by Lock when somebody else holds the lock.
var ErrLocked = errors.New("locked by another process")

// WriteAtomic replaces the file name by one that holds data: after a crash it is the old one or the new one, whole, and
// the new one once WriteAtomic has returned nil. It passes through name+".tmp".
func WriteAtomic(fsys FS, name string, data []byte) error {
	tmp := name + ".tmp"
	if err := writeFile(fsys, tmp, data); err != nil {
		return errors.Join(err, ignoreMissing(fsys.Remove(tmp)))
	}
	if err := fsys.Rename(tmp, name); err != nil {
		return errors.Join(err, ignoreMissing(fsys.Remove(tmp)))
	}
	return fsys.SyncDir(path.Dir(name))
}

func writeFile(fsys FS, name string, data []byte) error {
	f, err := fsys.Create(name)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// ReadFile returns all bytes of a file.
func ReadFile(fsys FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	data := make([]byte, size)
	if n, err := f.ReadAt(data, 0); err != nil && (err != io.EOF || n < len(data)) {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
