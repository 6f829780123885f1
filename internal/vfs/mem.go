package vfs

import (
	"io"
	"io/fs"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// Mem is a disk in memory that remembers what would survive the end of the process (everything written) and the end of
// the power (what was synced, and an unforeseeable part of the rest). The zero Mem is an empty disk of one terabyte.
type Mem struct {
	mu     sync.Mutex // guards everything below, the nodes included
	root   *node
	names  []change // changes of directories that are not durable yet, in order
	locked map[string]bool
	size   int64 // bytes the disk can hold
	used   int64
	fenced bool
}

// node is a file or a directory.
type node struct {
	// of a directory
	kids    map[string]*node // nil: a file
	durable map[string]*node // what a power loss certainly leaves

	// of a file. The arrays behind data and synced may be shared: bytes are added behind their end, never changed.
	data   []byte
	synced []byte
	clean  int // data and synced agree up to here
	links  int
}

// change is one step in one or two directories (a rename has two) that a power loss undoes or keeps whole.
type change struct {
	dirs  [2]*node
	names [2]string
	to    [2]*node // nil: the name goes away
}

const memDefaultSize = 1 << 40

// SetSize says how many bytes of files fit on the disk, so that it can become full.
func (m *Mem) SetSize(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.size = bytes
}

// Kill ends the life of the process that uses m: every further call on m fails. It returns the disk that the next life
// finds: all that was written, synced or not.
func (m *Mem) Kill() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.init()
	m.fenced = true // from here on nobody touches the nodes through m
	return &Mem{root: m.root, names: m.names, size: m.size, used: m.used}
}

// Crash ends the life of the machine that uses m: every further call on m fails. It returns the disk that the next life
// finds: all that was synced, and of the rest a part chosen by r, in pages and sectors, in any order.
func (m *Mem) Crash(r *rand.Rand) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.init()
	m.fenced = true
	next := &Mem{size: m.size}
	next.root = (&heir{mem: next, r: r, names: m.survivingNames(r), done: map[*node]*node{}}).inherit(m.root)
	return next
}

// init makes the zero Mem usable; the caller holds mu.
func (m *Mem) init() {
	if m.root == nil {
		m.root = newDir()
	}
	if m.size == 0 {
		m.size = memDefaultSize
	}
	if m.locked == nil {
		m.locked = map[string]bool{}
	}
}

func newDir() *node { return &node{kids: map[string]*node{}, durable: map[string]*node{}} }

// enter takes the lock and refuses calls of a life that has ended. The caller unlocks, also after an error.
func (m *Mem) enter(op, name string) error {
	m.mu.Lock()
	m.init()
	if m.fenced {
		return &fs.PathError{Op: op, Path: name, Err: syscall.EIO}
	}
	return nil
}

func clean(name string) string { return path.Clean("/" + name) }

// find walks to a name. It returns the directory that holds or would hold it, and what it names, nil if nothing.
func (m *Mem) find(name string) (dir *node, base string, n *node, err error) {
	n = m.root
	for part := range strings.SplitSeq(clean(name)[1:], "/") {
		if part == "" {
			return nil, "", n, nil // the root
		}
		if n == nil {
			return nil, "", nil, syscall.ENOENT
		}
		if n.kids == nil {
			return nil, "", nil, syscall.ENOTDIR
		}
		dir, base = n, part
		n = dir.kids[part]
	}
	return dir, base, n, nil
}

// set changes a name in memory and notes it as not yet durable.
func (m *Mem) set(c change) {
	for i, d := range c.dirs {
		if d == nil {
			continue
		}
		if old := d.kids[c.names[i]]; old != nil && old.kids == nil {
			if old.links--; old.links == 0 {
				m.used -= int64(len(old.data))
			}
		}
		if n := c.to[i]; n == nil {
			delete(d.kids, c.names[i])
		} else {
			if n.kids == nil {
				if n.links++; n.links == 1 {
					m.used += int64(len(n.data))
				}
			}
			d.kids[c.names[i]] = n
		}
	}
	m.names = append(m.names, c)
}

// settle makes the names of dir durable, and with them what must have happened before in other directories.
func (m *Mem) settle(dir *node) {
	need := map[*node]bool{dir: true}
	take := make([]bool, len(m.names))
	for i := len(m.names) - 1; i >= 0; i-- {
		c := m.names[i]
		if need[c.dirs[0]] || c.dirs[1] != nil && need[c.dirs[1]] {
			take[i] = true
			need[c.dirs[0]] = true
			if c.dirs[1] != nil {
				need[c.dirs[1]] = true
			}
		}
	}
	var rest []change
	for i, c := range m.names {
		if take[i] {
			c.apply(func(d *node) map[string]*node { return d.durable })
		} else {
			rest = append(rest, c)
		}
	}
	m.names = rest
}

func (c change) apply(names func(*node) map[string]*node) {
	for i, d := range c.dirs {
		if d == nil {
			continue
		}
		if c.to[i] == nil {
			delete(names(d), c.names[i])
		} else {
			names(d)[c.names[i]] = c.to[i]
		}
	}
}

func (m *Mem) open(op, name string, create, truncate, write bool) (File, error) {
	err := m.enter(op, name)
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	dir, base, n, err := m.find(name)
	switch {
	case err != nil:
	case n == nil && !create:
		err = syscall.ENOENT
	case n != nil && n.kids != nil && write:
		err = syscall.EISDIR
	case n == nil:
		n = &node{}
		m.set(change{dirs: [2]*node{dir}, names: [2]string{base}, to: [2]*node{n}})
	case truncate:
		m.cut(n, 0)
	}
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return &memFile{m: m, n: n, name: name, writable: write}, nil
}

func (m *Mem) cut(n *node, size int) {
	if n.links > 0 {
		m.used -= int64(len(n.data) - size)
	}
	n.data = slices.Clone(n.data[:size]) // the old array may be what is durable, or mapped
	n.clean = min(n.clean, size)
}

func (m *Mem) Create(name string) (File, error)     { return m.open("create", name, true, true, true) }
func (m *Mem) OpenAppend(name string) (File, error) { return m.open("open", name, true, false, true) }
func (m *Mem) Open(name string) (File, error)       { return m.open("open", name, false, false, false) }

type memFile struct {
	m        *Mem
	n        *node
	name     string
	writable bool
	closed   bool // guarded by m.mu, as everything in n
}

func (f *memFile) enter(op string, write bool) error {
	if err := f.m.enter(op, f.name); err != nil {
		return err
	}
	if f.closed {
		return &fs.PathError{Op: op, Path: f.name, Err: fs.ErrClosed}
	}
	if write && !f.writable {
		return &fs.PathError{Op: op, Path: f.name, Err: syscall.EBADF}
	}
	return nil
}

// Write stores what fits and reports a full disk.
func (f *memFile) Write(p []byte) (int, error) {
	err := f.enter("write", true)
	defer f.m.mu.Unlock()
	if err != nil {
		return 0, err
	}
	fits := int(max(0, min(int64(len(p)), f.m.size-f.m.used)))
	f.n.data = append(f.n.data, p[:fits]...)
	if f.n.links > 0 {
		f.m.used += int64(fits)
	}
	if fits < len(p) {
		return fits, &fs.PathError{Op: "write", Path: f.name, Err: syscall.ENOSPC}
	}
	return fits, nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	err := f.enter("read", false)
	defer f.m.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if f.n.kids != nil {
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: syscall.EISDIR}
	}
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.n.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) Sync() error {
	err := f.enter("sync", false)
	defer f.m.mu.Unlock()
	if err != nil {
		return err
	}
	f.n.synced, f.n.clean = f.n.data[:len(f.n.data):len(f.n.data)], len(f.n.data)
	return nil
}

func (f *memFile) Truncate(size int64) error {
	err := f.enter("truncate", true)
	defer f.m.mu.Unlock()
	if err == nil && (size < 0 || size > int64(len(f.n.data))) {
		err = &fs.PathError{Op: "truncate", Path: f.name, Err: syscall.EINVAL}
	}
	if err == nil {
		f.m.cut(f.n, int(size))
	}
	return err
}

func (f *memFile) Size() (int64, error) {
	err := f.enter("stat", false)
	defer f.m.mu.Unlock()
	return int64(len(f.n.data)), err
}

func (f *memFile) Close() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.closed {
		return &fs.PathError{Op: "close", Path: f.name, Err: fs.ErrClosed}
	}
	f.closed = true
	return nil
}
