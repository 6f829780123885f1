package engine_test

import (
	"io"

	"github.com/sextantdb/sextant/internal/vfs"
)

// trap is a disk that tells of each call before it happens, and lets it happen or not.
type trap struct {
	vfs.FS
	on func(op vfs.Op, name string) fate
}

// fate is what becomes of a call. The zero fate is that it happens.
type fate struct {
	err  error   // it fails with this
	part float64 // of a write that fails, how much is written
	then func()  // called behind that
}

func (t *trap) do(op vfs.Op, name string, call func() error) error {
	f := t.on(op, name)
	if f.then != nil {
		f.then()
	}
	if f.err != nil {
		return f.err
	}
	return call()
}

func (t *trap) file(op vfs.Op, name string, open func(string) (vfs.File, error)) (f vfs.File, err error) {
	err = t.do(op, name, func() error { f, err = open(name); return err })
	if err != nil {
		return nil, err
	}
	return &trapFile{f, t, name}, nil
}

func (t *trap) Create(name string) (vfs.File, error) { return t.file(vfs.OpCreate, name, t.FS.Create) }
func (t *trap) OpenAppend(name string) (vfs.File, error) {
	return t.file(vfs.OpCreate, name, t.FS.OpenAppend)
}
func (t *trap) Open(name string) (vfs.File, error) { return t.file(vfs.OpOpen, name, t.FS.Open) }

func (t *trap) Rename(from, to string) error {
	return t.do(vfs.OpRename, to, func() error { return t.FS.Rename(from, to) })
}

func (t *trap) Link(from, to string) error {
	return t.do(vfs.OpLink, to, func() error { return t.FS.Link(from, to) })
}

func (t *trap) Remove(name string) error {
	return t.do(vfs.OpRemove, name, func() error { return t.FS.Remove(name) })
}

func (t *trap) RemoveAll(name string) error {
	return t.do(vfs.OpRemove, name, func() error { return t.FS.RemoveAll(name) })
}

func (t *trap) MkdirAll(dir string) error {
	return t.do(vfs.OpMkdir, dir, func() error { return t.FS.MkdirAll(dir) })
}

func (t *trap) SyncDir(dir string) error {
	return t.do(vfs.OpSyncDir, dir, func() error { return t.FS.SyncDir(dir) })
}

func (t *trap) List(dir string) (infos []vfs.Info, err error) {
	err = t.do(vfs.OpOpen, dir, func() (err error) { infos, err = t.FS.List(dir); return err })
	return infos, err
}

func (t *trap) Stat(name string) (info vfs.Info, err error) {
	err = t.do(vfs.OpOpen, name, func() (err error) { info, err = t.FS.Stat(name); return err })
	return info, err
}

func (t *trap) Map(name string) (m vfs.Mapping, err error) {
	err = t.do(vfs.OpOpen, name, func() (err error) { m, err = t.FS.Map(name); return err })
	return m, err
}

func (t *trap) Lock(name string) (c io.Closer, err error) {
	err = t.do(vfs.OpCreate, name, func() (err error) { c, err = t.FS.Lock(name); return err })
	return c, err
}

type trapFile struct {
	vfs.File
	t    *trap
	name string
}

func (f *trapFile) Write(p []byte) (int, error) {
	fate := f.t.on(vfs.OpWrite, f.name)
	if fate.err == nil {
		return f.File.Write(p)
	}
	n, _ := f.File.Write(p[:int(fate.part*float64(len(p)))])
	if fate.then != nil {
		fate.then()
	}
	return n, fate.err
}

func (f *trapFile) ReadAt(p []byte, off int64) (n int, err error) {
	err = f.t.do(vfs.OpRead, f.name, func() (err error) { n, err = f.File.ReadAt(p, off); return err })
	return n, err
}

func (f *trapFile) Sync() error { return f.t.do(vfs.OpSync, f.name, f.File.Sync) }

func (f *trapFile) Truncate(size int64) error {
	return f.t.do(vfs.OpTruncate, f.name, func() error { return f.File.Truncate(size) })
}
