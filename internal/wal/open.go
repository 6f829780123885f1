package wal

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/vfs"
)

// Open opens the log of a shard whose state on disk contains everything up to at, with the history up to there. It reads
// the files that hold records behind at; older ones are only listed. A tail torn by a power loss is cut. A log that lacks
// or holds damaged what it once promised to hold is refused with a *CorruptError, and left as it is.
//
// Afterwards Last, Commit and History tell what the records say, and everything up to Last is durable.
func Open(fsys vfs.FS, dir string, at order.Pos, history order.History, o Options) (*Log, error) {
	l := newLog(fsys, dir, o)
	firsts, err := fileNames(fsys, dir)
	if err != nil {
		return nil, err
	}
	end := order.Seq(math.MaxUint64)
	after, cutting, err := readSmall(fsys, dir, cutFile)
	if err != nil {
		return nil, err
	}
	if cutting {
		end = order.Seq(after)
		if firsts, err = l.resumeCut(firsts, end); err != nil {
			return nil, err
		}
	}
	begin := len(firsts) - 1
	for begin >= 0 && firsts[begin] > at.Seq+1 {
		begin--
	}
	if begin < 0 {
		return nil, &CorruptError{File: dir, Why: fmt.Sprintf("no file holds seq %d, the next after the checkpoint", at.Seq+1)}
	}
	used, _, err := readSmall(fsys, dir, termFile)
	if err != nil {
		return nil, err
	}
	l.used = order.Term(used)
	for _, first := range firsts[:begin] {
		info, err := fsys.Stat(l.path(first))
		if err != nil {
			return nil, err
		}
		l.files = append(l.files, &file{first: first, size: info.Size})
	}
	l.history, l.commit = history.Cut(at.Seq), at.Seq
	for i, first := range firsts[begin:] {
		tail := begin+i == len(firsts)-1
		if err := l.load(first, at, end, i == 0, tail); err != nil {
			return nil, errors.Join(err, l.closeTail())
		}
	}
	if l.last.Seq < at.Seq {
		err := &CorruptError{File: l.path(firsts[len(firsts)-1]),
			Why: fmt.Sprintf("the log ends at seq %d, the checkpoint is at %d", l.last.Seq, at.Seq)}
		return nil, errors.Join(err, l.closeTail())
	}
	// After the end of a process alone, records and names of files may stand in the page cache only.
	if err := l.tail.Sync(); err != nil {
		return nil, errors.Join(err, l.closeTail())
	}
	if cutting {
		err = l.endCut()
	} else {
		err = fsys.SyncDir(dir)
	}
	if err != nil {
		return nil, errors.Join(err, l.closeTail())
	}
	l.durable = l.last.Seq
	return l, nil
}

func (l *Log) closeTail() error {
	if l.tail == nil {
		return nil
	}
	return l.tail.Close()
}

// load reads one file and takes over what its records say; a cut that did not end takes what is above end.
func (l *Log) load(first order.Seq, at order.Pos, end order.Seq, begins, tail bool) error {
	name := l.path(first)
	open := l.fs.Open
	if tail {
		open = l.fs.OpenAppend
	}
	f, err := open(name)
	if err != nil {
		return err
	}
	if tail {
		l.tail = f
	} else {
		defer f.Close()
	}
	size, err := f.Size()
	if err != nil {
		return err
	}
	before, err := readHead(f, name, first)
	if err != nil {
		return err
	}
	switch {
	case begins && before.Seq == at.Seq && before.Term != at.Term:
		return &CorruptError{File: name, Offset: 16, Why: fmt.Sprintf("it follows %s, the checkpoint is %s", before, at)}
	case begins:
		l.last = before
	case l.last.Seq+1 != first:
		return &CorruptError{File: name, Why: fmt.Sprintf("the file before ends at seq %d", l.last.Seq)}
	}
	entry := &file{first: first}
	w := &window{f: f, end: size, off: fileHead, step: 1 << 20}
	for {
		r, from, err := w.next()
		if l.last.Seq == end && err != io.EOF && r.Kind != commitNote {
			entry.size = from
			l.files = append(l.files, entry)
			return f.Truncate(from)
		}
		if err == nil && !r.follows(l.last) {
			err = errBad
		}
		if err == nil {
			if err := l.take(&r, from, entry, name, at); err != nil {
				return err
			}
			continue
		}
		entry.size = from
		l.files = append(l.files, entry)
		switch {
		case err == io.EOF:
			return nil
		case err != errShort && err != errBad:
			return fmt.Errorf("wal: read %s: %w", name, err)
		case !tail:
			return &CorruptError{File: name, Offset: from, Why: err.Error() + ", and later files follow"}
		}
		return l.cutTorn(f, name, from, size, at)
	}
}

// take notes a record found at Open.
func (l *Log) take(r *Record, from int64, f *file, name string, at order.Pos) error {
	if r.Kind == commitNote {
		l.commit = max(l.commit, r.Commit)
		l.noted = max(l.noted, r.Commit)
		return nil
	}
	if (r.Seq-f.first)%indexEvery == 0 {
		f.index = append(f.index, from)
	}
	l.last = order.Pos{Seq: r.Seq, Term: r.Term}
	if r.Seq == at.Seq && r.Term != at.Term {
		return &CorruptError{File: name, Offset: from,
			Why: fmt.Sprintf("seq %d has term %d, the checkpoint says %d", r.Seq, r.Term, at.Term)}
	}
	if r.Seq > at.Seq {
		if r.Term < l.history.Last() {
			return &CorruptError{File: name, Offset: from,
				Why: fmt.Sprintf("seq %d has term %d, the checkpoint is of term %d", r.Seq, r.Term, l.history.Last())}
		}
		l.history = l.history.Extend(l.last)
	}
	l.commit = max(l.commit, r.Commit)
	l.noted = max(l.noted, r.Commit)
	return nil
}

// cutTorn cuts the last file at a record that is not good, if nothing says that it was durable once: pages that were not
// synced reach a disk in any order, so good records behind a bad one do not yet prove damage, but what they say may.
func (l *Log) cutTorn(f vfs.File, name string, from, size int64, at order.Pos) error {
	seq := l.last.Seq + 1
	if seq <= at.Seq {
		return &CorruptError{File: name, Offset: from, Why: fmt.Sprintf("record %d is bad, the checkpoint is at %d", seq, at.Seq)}
	}
	proven, err := provenDurable(f, from, size, seq)
	if err != nil {
		return fmt.Errorf("wal: read %s: %w", name, err)
	}
	if proven {
		return &CorruptError{File: name, Offset: from,
			Why: fmt.Sprintf("record %d is bad, a later one says that it was durable", seq)}
	}
	if err := f.Truncate(from); err != nil {
		return err
	}
	return f.Sync()
}

// provenDurable says whether a good record behind from tells that seq was durable.
func provenDurable(f vfs.File, from, size int64, seq order.Seq) (bool, error) {
	rest := make([]byte, size-from)
	if _, err := f.ReadAt(rest, from); err != nil && err != io.EOF {
		return false, err
	}
	for off := recordAlign; off+recordHead <= len(rest); off += recordAlign {
		if r, _, err := decode(rest[off:]); err == nil && r.Durable >= seq {
			return true, nil
		}
	}
	return false, nil
}
