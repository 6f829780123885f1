package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"

	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/vfs"
)

// Report is a log as Inspect found it.
type Report struct {
	Files  []FileReport
	Last   order.Pos // of the last record before the first fault; the place before the first record if there is none
	Commit order.Seq // the highest that a record or note tells
	Used   order.Term
	// Cut says that a cut was begun and not ended: Open will take everything above CutAfter.
	Cut      bool
	CutAfter order.Seq
}

// FileReport is one file of a log. Good is how many of its bytes are in order.
type FileReport struct {
	Name           string
	Base           order.Pos // the place before its first record
	Records, Notes int
	Bytes, Good    int64
	Torn           bool  // what is behind Good was never durable; Open cuts it
	Damage         error // a *CorruptError, if Open refuses the file
}

// Inspect reads a whole log without changing anything, past damage. each, if not nil, gets every good record of files
// that are in order so far; its error ends the reading and is returned.
func Inspect(fsys vfs.FS, dir string, each func(Record) error) (Report, error) {
	var rep Report
	used, _, err := readSmall(fsys, dir, termFile)
	if err != nil {
		return rep, err
	}
	after, cutting, err := readSmall(fsys, dir, cutFile)
	if err != nil {
		return rep, err
	}
	rep.Used, rep.Cut, rep.CutAfter = order.Term(used), cutting, order.Seq(after)
	infos, err := fsys.List(dir)
	if err != nil {
		return rep, err
	}
	infos = slices.DeleteFunc(infos, func(i vfs.Info) bool { _, ok := parseName(i.Name); return !ok })
	whole := true
	for i, info := range infos {
		tail := i == len(infos)-1
		f, err := inspectFile(fsys, dir, info.Name, &rep, i == 0, tail, whole, each)
		if err != nil {
			return rep, err
		}
		whole = whole && f.Damage == nil
		rep.Files = append(rep.Files, f)
	}
	return rep, nil
}

// inspectFile reads one file; whole says that all before it are in order, so that it must continue them.
func inspectFile(fsys vfs.FS, dir, name string, rep *Report, begins, tail, whole bool, each func(Record) error) (
	out FileReport, err error,
) {
	out.Name = name
	full := path.Join(dir, name)
	first, _ := parseName(name)
	f, err := fsys.Open(full)
	if errors.Is(err, fs.ErrNotExist) { // a running process drops old files
		out.Damage = &CorruptError{File: full, Why: "it went away"}
		return out, nil
	} else if err != nil {
		return out, err
	}
	defer f.Close()
	if out.Bytes, err = f.Size(); err != nil {
		return out, err
	}
	var damage *CorruptError
	if out.Base, err = readHead(f, full, first); errors.As(err, &damage) {
		out.Damage = damage
		return out, nil
	} else if err != nil {
		return out, err
	}
	at := out.Base
	switch {
	case begins:
		rep.Last = at
	case whole && rep.Last.Seq != at.Seq:
		out.Damage = &CorruptError{File: full, Why: fmt.Sprintf("the file before ends at seq %d", rep.Last.Seq)}
	}
	whole = whole && out.Damage == nil
	w := &window{f: f, end: out.Bytes, off: fileHead, step: 1 << 20}
	for {
		r, from, err := w.next()
		out.Good = from
		if err == nil && !r.follows(at) {
			err = errBad
		}
		switch {
		case err == io.EOF:
			return out, nil
		case err == errShort || err == errBad:
			return out, out.judge(f, full, at.Seq+1, tail, err)
		case err != nil:
			return out, err
		}
		rep.Commit = max(rep.Commit, r.Commit)
		if r.Kind == commitNote {
			out.Notes++
			continue
		}
		out.Records++
		at = order.Pos{Seq: r.Seq, Term: r.Term}
		if !whole {
			continue
		}
		rep.Last = at
		if each != nil {
			if err := each(r); err != nil {
				return out, err
			}
		}
	}
}

// judge decides, as Open does, whether what stands at Good was torn by a power loss or is damage.
func (r *FileReport) judge(f vfs.File, name string, seq order.Seq, tail bool, why error) error {
	if !tail {
		r.Damage = &CorruptError{File: name, Offset: r.Good, Why: why.Error() + ", and later files follow"}
		return nil
	}
	proven, err := provenDurable(f, r.Good, r.Bytes, seq)
	if err != nil {
		return fmt.Errorf("wal: read %s: %w", name, err)
	}
	if proven {
		r.Damage = &CorruptError{File: name, Offset: r.Good,
			Why: fmt.Sprintf("record %d is bad, a later one says that it was durable", seq)}
		return nil
	}
	r.Torn = true
	return nil
}
