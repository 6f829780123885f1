package wal

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/sextantdb/sextant/internal/order"
)

// Retention says what the log keeps of records that the checkpoint contains.
type Retention struct {
	Files       int   // closed files that are always kept
	Bytes       int64 // and files as long as all from there on are not larger than this
	AbsentBytes int64 // the same, for files that somebody who is away needs
}

// SetRetention replaces what Options said.
func (l *Log) SetRetention(r Retention) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retention = r
}

// Trim drops whole files from the front, as far as the checkpoint, the pins and the retention allow. absent is the first
// seq that a replica which is away lacks; 0: nobody is away.
func (l *Log) Trim(checkpoint, absent order.Seq) error {
	for removed := false; ; removed = true {
		l.mu.Lock()
		hold := checkpoint + 1
		for _, from := range l.pins {
			hold = min(hold, from)
		}
		f := l.files[0]
		drop := l.failed == nil && droppable(l.files, hold, absent, l.retention)
		if !drop {
			for i, f := range l.files[:len(l.files)-1] {
				if l.files[i+1].first <= hold {
					f.index = nil // made anew if somebody reads it
				}
			}
			l.mu.Unlock()
			if removed {
				return l.fs.SyncDir(l.dir)
			}
			return nil
		}
		l.files = l.files[1:]
		l.mu.Unlock()
		if err := l.fs.Remove(l.path(f.first)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			l.mu.Lock()
			l.files = append([]*file{f}, l.files...)
			l.mu.Unlock()
			return fmt.Errorf("wal: drop: %w", err)
		}
	}
}

// droppable decides about the oldest file: hold is the first seq that must stay.
func droppable(files []*file, hold, absent order.Seq, keep Retention) bool {
	if len(files) < 2 || files[1].first > hold {
		return false
	}
	if len(files)-1 <= keep.Files {
		return false
	}
	var bytes int64
	for _, f := range files {
		bytes += f.size
	}
	if absent == 0 || absent >= files[1].first {
		return bytes > keep.Bytes
	}
	return bytes > max(keep.Bytes, keep.AbsentBytes)
}

// Pin keeps records from being dropped.
type Pin struct{ l *Log }

// Pin keeps everything from seq on, until it is moved or closed. ErrTruncated: part of that is gone already.
func (l *Log) Pin(from order.Seq) (*Pin, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if from < l.files[0].first {
		return nil, fmt.Errorf("%w: at %d, wanted %d", ErrTruncated, l.files[0].first, from)
	}
	p := &Pin{l: l}
	l.pins[p] = from
	return p, nil
}

// Move lets go of the records before from; it never reaches back.
func (p *Pin) Move(from order.Seq) {
	p.l.mu.Lock()
	defer p.l.mu.Unlock()
	if held, ok := p.l.pins[p]; ok {
		p.l.pins[p] = max(held, from)
	}
}

// Close lets go of everything.
func (p *Pin) Close() {
	p.l.mu.Lock()
	defer p.l.mu.Unlock()
	delete(p.l.pins, p)
}
