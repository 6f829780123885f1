package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/vfs"
)

// Reader reads a log forward, beside appends. What it has not released stays in the log.
type Reader struct {
	l    *Log
	pin  *Pin
	next order.Seq

	// The open file, if any, and the cuts of the log when it was opened.
	first order.Seq
	f     vfs.File
	w     *window
	cuts  int
}

// Reader returns a reader whose first record is from, at most Last+1. ErrTruncated: the log begins later.
func (l *Log) Reader(from order.Seq) (*Reader, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if from < l.files[0].first {
		return nil, fmt.Errorf("%w: at %d, wanted %d", ErrTruncated, l.files[0].first, from)
	}
	if from > l.last.Seq+1 {
		return nil, fmt.Errorf("%w: wanted %d, the last is %d", ErrGap, from, l.last.Seq)
	}
	p := &Pin{l: l}
	l.pins[p] = from
	return &Reader{l: l, pin: p, next: from}, nil
}

// Next returns the next durable records up to through, as many as fit in maxBytes of bodies but at least one; none if
// there are none yet. The records belong to the caller.
func (r *Reader) Next(through order.Seq, maxBytes int) ([]Record, error) {
	for {
		records, again, err := r.read(through, maxBytes)
		if !again {
			return records, err
		}
	}
}

// read reads from one file; again means that the file was cut or ended just here.
func (r *Reader) read(through order.Seq, maxBytes int) (records []Record, again bool, err error) {
	r.l.mu.Lock()
	limit, cuts := min(through, r.l.durable), r.l.cuts
	var f, later *file
	for _, f2 := range r.l.files {
		if f2.first > r.next {
			later = f2
			break
		}
		f = f2
	}
	var end int64
	if f != nil {
		end = f.size
	}
	r.l.mu.Unlock()
	if r.next > limit {
		return nil, false, nil
	}
	if f == nil {
		return nil, false, fmt.Errorf("%w than %d", ErrTruncated, r.next)
	}
	if r.f == nil || r.first != f.first || r.cuts != cuts {
		if err := r.open(f, end); err != nil {
			return nil, r.cutSince(cuts), err
		}
		r.cuts = cuts
	}
	r.w.end = end
	r.w.step = min(max(maxBytes, 4<<10), 256<<10)
	for bytes := 0; r.next <= limit; {
		rec, at, err := r.w.next()
		if err == io.EOF && later != nil && r.next == later.first {
			return records, len(records) == 0, nil
		}
		if err == nil && rec.Kind != commitNote && rec.Seq != r.next {
			err = errBad
		}
		if err == io.EOF || err == errShort || err == errBad {
			err = &CorruptError{File: r.l.path(f.first), Offset: at, Why: fmt.Sprintf("record %d: %v", r.next, err)}
		}
		if err != nil {
			_ = r.close() // looked at anew when the caller asks again
			if len(records) > 0 {
				return records, false, nil
			}
			return nil, r.cutSince(cuts), err
		}
		if rec.Kind == commitNote {
			continue
		}
		if bytes += len(rec.Body); bytes > maxBytes && len(records) > 0 {
			r.w.back()
			break
		}
		records = append(records, rec)
		r.next = rec.Seq + 1
	}
	return records, false, nil
}

// cutSince says whether the log was cut since cuts was read, so that an error may be due to that.
func (r *Reader) cutSince(cuts int) bool {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	return r.l.cuts != cuts
}

// open opens the file that holds r.next and finds its place there.
func (r *Reader) open(f *file, end int64) error {
	if err := r.close(); err != nil {
		return err
	}
	at, err := r.l.seek(f, r.next)
	if err != nil {
		return err
	}
	name := r.l.path(f.first)
	h, err := r.l.fs.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w than %d", ErrTruncated, r.next)
	} else if err != nil {
		return err
	}
	r.f, r.first, r.w = h, f.first, &window{f: h, off: at, end: end}
	return nil
}

func (r *Reader) close() error {
	if r.f == nil {
		return nil
	}
	f := r.f
	r.f, r.w = nil, nil
	return f.Close()
}

// At returns the seq that Next will begin with.
func (r *Reader) At() order.Seq { return r.next }

// Seek moves the reader to a seq that is not released and not behind the end.
func (r *Reader) Seek(to order.Seq) error {
	r.l.mu.Lock()
	held, last := r.l.pins[r.pin], r.l.last.Seq
	r.l.mu.Unlock()
	if to < held || to > last+1 {
		return fmt.Errorf("%w: seek to %d of %d..%d", ErrGap, to, held, last)
	}
	r.next = to
	return r.close()
}

// Release lets the log drop records through seq; the reader does not need them again.
func (r *Reader) Release(through order.Seq) { r.pin.Move(through + 1) }

// Close ends the reader and its hold on the log.
func (r *Reader) Close() error {
	r.pin.Close()
	return r.close()
}

// seek returns the offset of a record in a file, or of the file's end if it is the next one to be written there. Without
// an index it reads the file once.
func (l *Log) seek(f *file, seq order.Seq) (int64, error) {
	l.mu.Lock()
	at, from, end := int64(fileHead), f.first, f.size
	if i := int(seq-f.first) / indexEvery; len(f.index) > 0 {
		i = min(i, len(f.index)-1)
		at, from = f.index[i], f.first+order.Seq(i)*indexEvery
	}
	known := f.index != nil
	l.mu.Unlock()
	if seq == from {
		return at, nil
	}
	name := l.path(f.first)
	h, err := l.fs.Open(name)
	if err != nil {
		return 0, err
	}
	defer h.Close()
	var index []int64
	w := &window{f: h, off: at, end: end, step: 64 << 10}
	for next := from; ; {
		r, at, err := w.next()
		switch {
		case err == io.EOF && next == seq:
			return at, nil
		case err == io.EOF || err == errShort || err == errBad:
			return 0, &CorruptError{File: name, Offset: at, Why: fmt.Sprintf("record %d: %v", next, err)}
		case err != nil:
			return 0, err
		case r.Kind == commitNote:
			continue
		case r.Seq == seq:
			if !known {
				l.keepIndex(f, index)
			}
			return at, nil
		}
		if !known && (r.Seq-f.first)%indexEvery == 0 {
			index = append(index, at)
		}
		next = r.Seq + 1
	}
}

// keepIndex remembers the places found in a closed file, as far as they go.
func (l *Log) keepIndex(f *file, index []int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.index == nil && f != l.files[len(l.files)-1] {
		f.index = index
	}
}
