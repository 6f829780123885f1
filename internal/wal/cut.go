package wal

import (
	"context"
	"errors"
	"fmt"
	"path"

	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/vfs"
)

// Cut removes all records above after, durably: when it returns nil, no crash brings them back. Nothing at or below the
// commit can be cut.
func (l *Log) Cut(ctx context.Context, after order.Seq) error {
	if err := l.takeIO(ctx); err != nil {
		return err
	}
	defer func() { <-l.io }()
	if err := l.flush(); err != nil {
		return err
	}
	if l.ended {
		if err := l.roll(); err != nil {
			return err
		}
	}
	l.mu.Lock()
	switch {
	case after < l.commit:
		defer l.mu.Unlock()
		return fmt.Errorf("%w: cut after %d, commit %d", ErrCommitted, after, l.commit)
	case after >= l.last.Seq:
		l.mu.Unlock()
		return nil
	}
	keep := len(l.files)
	for keep > 1 && l.files[keep-1].first > after+1 {
		keep--
	}
	target, gone := l.files[keep-1], l.files[keep:]
	l.mu.Unlock()

	err := writeSmall(l.fs, l.dir, cutFile, uint64(after))
	if err == nil {
		err = l.cut(target, gone, after)
	}
	if err == nil {
		err = l.endCut()
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failed = fmt.Errorf("wal: cut: %w", err)
		l.wake()
		return l.failed
	}
	l.endReign(fmt.Errorf("%w: cut by the new primary", ErrGap))
	l.history = l.history.Cut(after)
	term, _ := l.history.TermAt(after)
	l.last = order.Pos{Seq: after, Term: term}
	l.durable = after
	l.noted = 0
	l.wake()
	return nil
}

// cut does the work on the files.
func (l *Log) cut(target *file, gone []*file, after order.Seq) error {
	at, err := l.seek(target, after+1)
	if err != nil {
		return err
	}
	tail := l.tail
	if len(gone) > 0 {
		if tail, err = l.fs.OpenAppend(l.path(target.first)); err != nil {
			return err
		}
		if err := l.tail.Close(); err != nil {
			return errors.Join(err, tail.Close())
		}
		l.tail = tail
	}
	for i := len(gone) - 1; i >= 0; i-- {
		l.mu.Lock()
		l.cuts++
		l.files = l.files[:len(l.files)-1]
		l.mu.Unlock()
		if err := l.fs.Remove(l.path(gone[i].first)); err != nil {
			return err
		}
	}
	l.mu.Lock()
	l.cuts++
	target.size = at
	target.index = target.index[:min(len(target.index), int((after+1-target.first+indexEvery-1)/indexEvery))]
	l.mu.Unlock()
	if err := tail.Truncate(at); err != nil {
		return err
	}
	return tail.Sync()
}

// endCut forgets the intent, durably, before anything is appended that it would cut.
func (l *Log) endCut() error {
	if err := l.fs.Remove(path.Join(l.dir, cutFile)); err != nil {
		return err
	}
	return l.fs.SyncDir(l.dir)
}

// resumeCut removes the files that lie wholly behind a cut that did not end; the one that is the last one then is cut when
// it is loaded.
func (l *Log) resumeCut(firsts []order.Seq, after order.Seq) ([]order.Seq, error) {
	for len(firsts) > 1 && firsts[len(firsts)-1] > after+1 {
		if err := l.fs.Remove(l.path(firsts[len(firsts)-1])); err != nil {
			return nil, err
		}
		firsts = firsts[:len(firsts)-1]
	}
	return firsts, nil
}

// UsedTerm returns the last term that this replica used as primary, 0 if none.
func (l *Log) UsedTerm() order.Term {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.used
}

// ReadUsedTerm returns what UsedTerm of the log in a directory would, without opening it.
func ReadUsedTerm(fsys vfs.FS, dir string) (order.Term, error) {
	used, _, err := readSmall(fsys, dir, termFile)
	return order.Term(used), err
}

// UseTerm makes durable that a term is used here, before the first record of that term. A term that is not above the last
// one used is refused.
func (l *Log) UseTerm(ctx context.Context, term order.Term) error {
	if err := l.takeIO(ctx); err != nil {
		return err
	}
	defer func() { <-l.io }()
	if used := l.UsedTerm(); term <= used {
		return fmt.Errorf("wal: term %d is not above term %d, which was used", term, used)
	}
	if err := writeSmall(l.fs, l.dir, termFile, uint64(term)); err != nil {
		return fmt.Errorf("wal: use term %d: %w", term, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used = term
	return nil
}
