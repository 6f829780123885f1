package vfs

import (
	"io"
	"sync"
)

// Op is a set of kinds of calls.
type Op uint16

const (
	OpCreate Op = 1 << iota // Create, OpenAppend
	OpWrite
	OpSync
	OpTruncate
	OpRename
	OpLink
	OpRemove // Remove, RemoveAll
	OpMkdir
	OpSyncDir
	OpRead // ReadAt
	OpOpen // Open, Map, List, Stat

	// OpChanges are all calls that change the disk or make changes durable.
	OpChanges = OpCreate | OpWrite | OpSync | OpTruncate | OpRename | OpLink | OpRemove | OpMkdir | OpSyncDir
)

// Faulty is a disk on which chosen calls fail: a failing Write stores half of its bytes, every other failing call does
// nothing. It counts calls, so that a test can fail the first, the second, … until none is left.
type Faulty struct {
	FS

	mu    sync.Mutex
	ops   Op
	after int // calls of ops that still succeed
	times int // calls that fail then; -1: all
	err   error
	count map[Op]int
}

// NewFaulty wraps a disk; no call fails until told.
func NewFaulty(disk FS) *Faulty { return &Faulty{FS: disk, count: map[Op]int{}} }

// FailAt lets the k-th call (from 1) of the given kinds fail with err, once.
func (f *Faulty) FailAt(k int, err error, ops Op) { f.arm(k, 1, err, ops) }

// FailFrom lets the k-th call (from 1) of the given kinds and all behind it fail with err.
func (f *Faulty) FailFrom(k int, err error, ops Op) { f.arm(k, -1, err, ops) }

// Heal lets no further call fail.
func (f *Faulty) Heal() { f.arm(0, 0, nil, 0) }

func (f *Faulty) arm(k, n int, err error, ops Op) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.after, f.times, f.err, f.ops = k-1, n, err, ops
}

// Calls counts the calls of the given kinds so far, failed ones included.
func (f *Faulty) Calls(ops Op) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for op, c := range f.count {
		if op&ops != 0 {
			n += c
		}
	}
	return n
}

func (f *Faulty) call(op Op) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count[op]++
	if f.ops&op == 0 {
		return nil
	}
	if f.after > 0 {
		f.after--
		return nil
	}
	if f.times == 0 {
		return nil
	}
	if f.times > 0 {
		f.times--
	}
	return f.err
}

func (f *Faulty) file(op Op, open func(string) (File, error), name string) (File, error) {
	if err := f.call(op); err != nil {
		return nil, err
	}
	inner, err := open(name)
	if err != nil {
		return nil, err
	}
	return &faultyFile{File: inner, f: f}, nil
}

func (f *Faulty) Create(name string) (File, error) { return f.file(OpCreate, f.FS.Create, name) }

func (f *Faulty) OpenAppend(name string) (File, error) {
	return f.file(OpCreate, f.FS.OpenAppend, name)
}

func (f *Faulty) Open(name string) (File, error) { return f.file(OpOpen, f.FS.Open, name) }

func (f *Faulty) Rename(from, to string) error {
	return f.first(OpRename, func() error { return f.FS.Rename(from, to) })
}

func (f *Faulty) Link(from, to string) error {
	return f.first(OpLink, func() error { return f.FS.Link(from, to) })
}

func (f *Faulty) Remove(name string) error {
	return f.first(OpRemove, func() error { return f.FS.Remove(name) })
}

func (f *Faulty) RemoveAll(name string) error {
	return f.first(OpRemove, func() error { return f.FS.RemoveAll(name) })
}

func (f *Faulty) MkdirAll(dir string) error {
	return f.first(OpMkdir, func() error { return f.FS.MkdirAll(dir) })
}

func (f *Faulty) SyncDir(dir string) error {
	return f.first(OpSyncDir, func() error { return f.FS.SyncDir(dir) })
}

func (f *Faulty) first(op Op, then func() error) error {
	if err := f.call(op); err != nil {
		return err
	}
	return then()
}

func (f *Faulty) Map(name string) (Mapping, error) {
	if err := f.call(OpOpen); err != nil {
		return nil, err
	}
	return f.FS.Map(name)
}

func (f *Faulty) List(dir string) ([]Info, error) {
	if err := f.call(OpOpen); err != nil {
		return nil, err
	}
	return f.FS.List(dir)
}

func (f *Faulty) Stat(name string) (Info, error) {
	if err := f.call(OpOpen); err != nil {
		return Info{}, err
	}
	return f.FS.Stat(name)
}

func (f *Faulty) Lock(name string) (io.Closer, error) {
	if err := f.call(OpCreate); err != nil {
		return nil, err
	}
	return f.FS.Lock(name)
}

type faultyFile struct {
	File
	f *Faulty
}

func (f *faultyFile) Write(p []byte) (int, error) {
	if err := f.f.call(OpWrite); err != nil {
		n, _ := f.File.Write(p[:len(p)/2])
		return n, err
	}
	return f.File.Write(p)
}

func (f *faultyFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.f.call(OpRead); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *faultyFile) Sync() error { return f.f.first(OpSync, f.File.Sync) }

func (f *faultyFile) Truncate(size int64) error {
	return f.f.first(OpTruncate, func() error { return f.File.Truncate(size) })
}
