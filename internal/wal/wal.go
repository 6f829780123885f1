// Package wal keeps numbered records in files: append, group commit, cut a tail, read from a place, pin, drop the front.
//
// A log is a directory of files, each named by the seq of its first record:
//
//	00000000000000000001.log 00000000000000004711.log … TERM
//
// Appending and making durable are two steps. Append puts records behind the last one, in memory; Sync returns when they
// are on the disk. Whoever waits in Sync while no write is on its way writes and syncs for all that wait, so one fsync
// serves many. Each record carries the commit known when it was appended and the seq through which the log was durable
// then; the latter tells a tail torn by a power loss (cut silently at Open) from damage (refused).
//
// Shapes: seqs follow each other without gaps, terms do not fall; sizes are bytes; the formats are drawn in record.go and
// file.go.
// Errors: *CorruptError for damaged files, ErrGap, ErrCommitted and ErrTruncated for places where a call cannot begin,
// else those of vfs. After a failed fsync, or a failed repair of a failed write, the log refuses everything until it is
// opened anew; after a failed write alone the records that were not durable are dropped, their waiters told, and the log
// goes on.
// Concurrency: all methods may be called from any goroutine; a Reader belongs to one at a time.
package wal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/vfs"
)

var (
	// ErrGap refuses an append that does not follow the last record.
	ErrGap = errors.New("wal: records do not follow the end of the log")
	// ErrCommitted refuses a cut of what is committed.
	ErrCommitted = errors.New("wal: a committed record cannot be cut")
	// ErrTruncated refuses to read from a place before the first file.
	ErrTruncated = errors.New("wal: the log begins later")
	// ErrClosed is returned by a closed log.
	ErrClosed = errors.New("wal: the log is closed")
)

// CorruptError says where a log is damaged.
type CorruptError struct {
	File   string
	Offset int64
	Why    string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("log file %s is damaged at byte %d: %s", e.File, e.Offset, e.Why)
}

// Options tune a log. The zero value is usable.
type Options struct {
	// FileBytes is the size at which a file is closed and the next begun; default 32 MiB. A larger record still gets a
	// file of its own.
	FileBytes int64
	Retention Retention
}

// maxPending bounds the bytes that were appended and not yet handed to the disk; behind it Append waits.
const maxPending = 32 << 20

// Log is an open log.
type Log struct {
	fs        vfs.FS
	dir       string
	fileBytes int64

	io    chan struct{} // a token: who holds it may write files and touches what follows
	tail  vfs.File
	dirty bool // something was written to tail since its last sync
	ended bool // the next file may exist already, though beginning it failed: nothing may be written to tail any more

	mu        sync.Mutex // guards all below; never held while files are touched
	files     []*file    // oldest first, the last one is written
	history   order.History
	last      order.Pos // of the last record appended
	durable   order.Seq
	commit    order.Seq
	noted     order.Seq // the highest commit that stands in a record or note
	used      order.Term
	pending   batch
	spare     []byte // the buffer that is not in pending
	reign     *reign
	round     chan struct{} // closed and renewed when a flush ends
	failed    error
	cuts      int // how often the tail was cut; readers look again
	pins      map[*Pin]order.Seq
	retention Retention
	stats     Stats
}

// reign is a stretch of the log's life in which nothing appended was taken back. When it ends, durable says how far its
// records count; why, what became of the rest.
type reign struct {
	ended   bool
	durable order.Seq
	why     error
}

// Stats counts what a log has done since it was opened, and what it holds.
type Stats struct {
	First, Last, Durable order.Seq // First is the oldest readable seq, Last+1 of an empty log
	Files                int
	Bytes                int64
	Appends, Syncs       uint64
	SyncTime             time.Duration
}

func newLog(fsys vfs.FS, dir string, o Options) *Log {
	return &Log{
		fs: fsys, dir: dir,
		fileBytes: cmp.Or(o.FileBytes, 32<<20),
		retention: o.Retention,
		io:        make(chan struct{}, 1),
		round:     make(chan struct{}),
		reign:     &reign{},
		pins:      map[*Pin]order.Seq{},
	}
}

// Create makes an empty log in a directory (made if missing) whose first record will follow base. history knows the term
// of base. Nothing of an earlier log may be there.
func Create(fsys vfs.FS, dir string, base order.Pos, history order.History, o Options) (*Log, error) {
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, err
	}
	names, err := fileNames(fsys, dir)
	if err != nil {
		return nil, err
	}
	if len(names) > 0 {
		return nil, fmt.Errorf("wal: %s already holds a log", dir)
	}
	l := newLog(fsys, dir, o)
	l.last, l.durable, l.commit, l.history = base, base.Seq, base.Seq, history
	if err := l.begin(base); err != nil {
		return nil, err
	}
	return l, nil
}

// Last returns the place of the last record, durable or not.
func (l *Log) Last() order.Pos {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// Durable returns the seq through which the log is on disk.
func (l *Log) Durable() order.Seq {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.durable
}

// Commit returns the highest commit known: told by SetCommit, or found in the files at Open.
func (l *Log) Commit() order.Seq {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.commit
}

// SetCommit tells the commit that later records shall carry. It never falls, and is at most Last.
func (l *Log) SetCommit(seq order.Seq) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.commit = max(l.commit, min(seq, l.last.Seq))
}

// First returns the oldest seq that can be read, Last+1 if there is none.
func (l *Log) First() order.Seq {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.files[0].first
}

// History returns the reigns of the log, those before its first record included as far as they were told.
func (l *Log) History() order.History {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.history
}

// Stats returns a copy of the counters.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.First, s.Last, s.Durable, s.Files = l.files[0].first, l.last.Seq, l.durable, len(l.files)
	for _, f := range l.files {
		s.Bytes += f.size
	}
	return s
}

// Failure returns why the log refuses everything until it is opened anew, if it does.
func (l *Log) Failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// Close makes durable what was appended, and the commit, and closes the files. Readers stay usable.
func (l *Log) Close() error {
	l.io <- struct{}{}
	defer func() { <-l.io }()
	l.mu.Lock()
	if l.failed == ErrClosed {
		l.mu.Unlock()
		return nil
	}
	l.addNote()
	l.mu.Unlock()
	err := l.flush()
	if err == nil {
		err = l.sync()
	}
	l.mu.Lock()
	l.failed = ErrClosed
	l.wake()
	l.mu.Unlock()
	return errors.Join(err, l.tail.Close())
}

// wake ends a round; the caller holds mu.
func (l *Log) wake() {
	close(l.round)
	l.round = make(chan struct{})
}

// takeIO waits for the right to write files.
func (l *Log) takeIO(ctx context.Context) error {
	select {
	case l.io <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fileNames lists the files of a log, oldest first, and removes what an interrupted write left.
func fileNames(fsys vfs.FS, dir string) ([]order.Seq, error) {
	infos, err := fsys.List(dir)
	if err != nil {
		return nil, err
	}
	var firsts []order.Seq
	for _, info := range infos {
		if path.Ext(info.Name) == ".tmp" {
			if err := fsys.Remove(path.Join(dir, info.Name)); err != nil {
				return nil, err
			}
			continue
		}
		if first, ok := parseName(info.Name); ok {
			firsts = append(firsts, first)
		}
	}
	slices.Sort(firsts)
	return firsts, nil
}
