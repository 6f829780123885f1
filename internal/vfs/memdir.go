package vfs

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
)

// at runs f on what a name stands for, under the lock, and dresses its error.
func (m *Mem) at(op, name string, f func(dir *node, base string, n *node) error) error {
	err := m.enter(op, name)
	defer m.mu.Unlock()
	if err != nil {
		return err
	}
	dir, base, n, err := m.find(name)
	if err == nil {
		err = f(dir, base, n)
	}
	if err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}

func (m *Mem) Rename(from, to string) error {
	return m.at("rename", from, func(fromDir *node, fromBase string, n *node) error {
		toDir, toBase, old, err := m.find(to)
		switch {
		case err != nil:
			return err
		case n == nil:
			return syscall.ENOENT
		case fromDir == nil || toDir == nil || n.kids != nil && strings.HasPrefix(clean(to)+"/", clean(from)+"/"):
			return syscall.EINVAL
		case old == n:
			return nil
		case old != nil && old.kids == nil && n.kids != nil:
			return syscall.ENOTDIR
		case old != nil && old.kids != nil && n.kids == nil:
			return syscall.EISDIR
		case old != nil && len(old.kids) > 0:
			return syscall.ENOTEMPTY
		}
		m.set(change{dirs: [2]*node{toDir, fromDir}, names: [2]string{toBase, fromBase}, to: [2]*node{n, nil}})
		return nil
	})
}

func (m *Mem) Link(from, to string) error {
	return m.at("link", from, func(_ *node, _ string, n *node) error {
		dir, base, old, err := m.find(to)
		switch {
		case err != nil:
			return err
		case n == nil:
			return syscall.ENOENT
		case n.kids != nil:
			return syscall.EPERM
		case old != nil:
			return syscall.EEXIST
		}
		m.set(change{dirs: [2]*node{dir}, names: [2]string{base}, to: [2]*node{n}})
		return nil
	})
}

func (m *Mem) Remove(name string) error {
	return m.at("remove", name, func(dir *node, base string, n *node) error {
		switch {
		case n == nil:
			return syscall.ENOENT
		case dir == nil:
			return syscall.EINVAL
		case len(n.kids) > 0:
			return syscall.ENOTEMPTY
		}
		m.set(change{dirs: [2]*node{dir}, names: [2]string{base}})
		return nil
	})
}

func (m *Mem) RemoveAll(name string) error {
	err := m.at("removeall", name, func(dir *node, base string, n *node) error {
		if n == nil {
			return nil
		}
		if dir == nil {
			return syscall.EINVAL
		}
		m.removeBelow(n)
		m.set(change{dirs: [2]*node{dir}, names: [2]string{base}})
		return nil
	})
	return ignoreMissing(err)
}

// removeBelow empties a directory one name after the other, so that a power loss may leave any part of it.
func (m *Mem) removeBelow(n *node) {
	for _, name := range sortedNames(n.kids) {
		m.removeBelow(n.kids[name])
		m.set(change{dirs: [2]*node{n}, names: [2]string{name}})
	}
}

func sortedNames(kids map[string]*node) []string {
	names := make([]string, 0, len(kids))
	for name := range kids {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (m *Mem) MkdirAll(dir string) error {
	return m.at("mkdir", "/", func(_ *node, _ string, n *node) error {
		for part := range strings.SplitSeq(clean(dir)[1:], "/") {
			if part == "" {
				return nil
			}
			kid := n.kids[part]
			switch {
			case kid == nil:
				kid = newDir()
				m.set(change{dirs: [2]*node{n}, names: [2]string{part}, to: [2]*node{kid}})
				m.settle(n)
			case kid.kids == nil:
				return syscall.ENOTDIR
			}
			n = kid
		}
		return nil
	})
}

func (m *Mem) List(dir string) (infos []Info, err error) {
	err = m.at("list", dir, func(_ *node, _ string, n *node) error {
		switch {
		case n == nil:
			return syscall.ENOENT
		case n.kids == nil:
			return syscall.ENOTDIR
		}
		for _, name := range sortedNames(n.kids) {
			infos = append(infos, n.kids[name].info(name))
		}
		return nil
	})
	return infos, err
}

func (n *node) info(name string) Info {
	return Info{Name: name, Size: int64(len(n.data)), Dir: n.kids != nil}
}

func (m *Mem) Stat(name string) (info Info, err error) {
	err = m.at("stat", name, func(_ *node, _ string, n *node) error {
		if n == nil {
			return syscall.ENOENT
		}
		info = n.info(path.Base(clean(name)))
		return nil
	})
	return info, err
}

func (m *Mem) SyncDir(dir string) error {
	return m.at("sync", dir, func(_ *node, _ string, n *node) error {
		switch {
		case n == nil:
			return syscall.ENOENT
		case n.kids == nil:
			return syscall.ENOTDIR
		}
		m.settle(n)
		return nil
	})
}

func (m *Mem) Map(name string) (mapping Mapping, err error) {
	err = m.at("map", name, func(_ *node, _ string, n *node) error {
		switch {
		case n == nil:
			return syscall.ENOENT
		case n.kids != nil:
			return syscall.EISDIR
		}
		mapping = memMapping(n.data[:len(n.data):len(n.data)])
		return nil
	})
	return mapping, err
}

type memMapping []byte

func (m memMapping) Bytes() []byte           { return m }
func (m memMapping) Advise(Advice, int, int) {}
func (m memMapping) Resident() int64         { return int64(len(m)) }
func (m memMapping) Close() error            { return nil }

func (m *Mem) Free(name string) (Space, error) {
	err := m.enter("statfs", name)
	defer m.mu.Unlock()
	return Space{Total: uint64(m.size), Free: uint64(max(0, m.size-m.used))}, err
}

func (m *Mem) Lock(name string) (io.Closer, error) {
	f, err := m.OpenAppend(name)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locked[clean(name)] {
		return nil, &fs.PathError{Op: "lock", Path: name, Err: ErrLocked}
	}
	m.locked[clean(name)] = true
	return &memLock{m: m, name: clean(name), file: f}, nil
}

type memLock struct {
	m    *Mem
	name string
	file File
}

func (l *memLock) Close() error {
	if err := l.file.Close(); errors.Is(err, fs.ErrClosed) {
		return err
	}
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	delete(l.m.locked, l.name)
	return nil
}
