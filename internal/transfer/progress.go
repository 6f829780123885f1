package transfer

import (
	"fmt"
	"sync"
	"time"

	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/task"
)

// Progress is how far a transfer is.
type Progress struct {
	task *task.Progress

	mu          sync.Mutex // guards all below
	started     time.Time
	stage       string
	since       time.Time // of stage
	done, total uint64
	bytes       uint64
	unit        unit
	from        order.Seq // entries are counted from here
	samples     []sample
	last        order.Seq // of the sender's log, when it was last looked at
	busyAt      time.Time // when it had moved
	err         error     // the last failure, after which something else is tried
}

// unit is what is counted.
type unit uint8

const (
	nothing unit = iota
	points
	entries
)

// sample is what was done at a time.
type sample struct {
	at   time.Time
	done uint64
}

const (
	sampleEvery = 625 * time.Millisecond
	sampleCount = 16
	// quietAfter is how long no write must have come for the transfer to take all it can.
	quietAfter = time.Second
)

// NewProgress begins to count; p shows the same on a board.
func NewProgress(p *task.Progress) *Progress {
	own := &Progress{task: p, started: time.Now()}
	own.Stage("proxifying")
	return own
}

// Stage begins a stage; the present one goes on if it is called so.
func (p *Progress) Stage(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stage != name {
		p.stage, p.since = name, time.Now()
		p.task.Stage(name)
	}
}

// copying begins to count points.
func (p *Progress) copying(done, total uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unit, p.samples = points, nil
	p.show(done, total)
}

// count begins to count entries from a seq on.
func (p *Progress) count(from, at, commit order.Seq) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unit, p.from, p.samples = entries, from, nil
	p.entries(at, commit)
}

func (p *Progress) add(points uint64, bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytes += uint64(bytes)
	if points > 0 {
		p.show(p.done+points, p.total)
	}
}

// reach tells how far the receiver is. Of a copy of points, its points are what is shown to the end.
func (p *Progress) reach(at, commit order.Seq, bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytes += uint64(bytes)
	switch p.unit {
	case nothing:
		p.unit, p.from = entries, at
	case points:
		return
	}
	p.entries(at, commit)
}

func (p *Progress) entries(at, commit order.Seq) {
	done := uint64(max(at, p.from) - p.from)
	p.show(done, max(done, uint64(max(commit, p.from)-p.from)))
}

func (p *Progress) show(done, total uint64) {
	p.task.Add(int64(done) - int64(p.done))
	p.done, p.total = done, max(total, done)
	p.task.Total(int64(p.total))
	now := time.Now()
	if n := len(p.samples); n == 0 || now.Sub(p.samples[n-1].at) >= sampleEvery {
		p.samples = append(p.samples, sample{now, done})
		if len(p.samples) > sampleCount {
			p.samples = p.samples[1:]
		}
	}
}

func (p *Progress) failed(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

// busy notes the end of the sender's log and reports whether it has moved lately.
func (p *Progress) busy(last order.Seq) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if last != p.last {
		moved := p.last != 0
		p.last = last
		if moved {
			p.busyAt = now
		}
	}
	return now.Sub(p.busyAt) < quietAfter
}

// Comment is the progress in the words that clients look for.
func (p *Progress) Comment() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	eta := "-"
	switch n := len(p.samples); {
	case p.done >= p.total && p.total > 0:
		eta = "0.00s"
	case n > 0 && p.done > p.samples[0].done && now.After(p.samples[0].at):
		rate := float64(p.done-p.samples[0].done) / now.Sub(p.samples[0].at).Seconds()
		eta = fmt.Sprintf("%.2fs", float64(p.total-p.done)/rate)
	}
	text := fmt.Sprintf("%s (%.2fs) | Transferring records (%d/%d), started %ds ago, ETA: %s", p.stage, now.Sub(p.since).Seconds(), p.done, p.total,
		int(now.Sub(p.started).Seconds()), eta)
	if p.err != nil {
		text += " | " + p.err.Error()
	}
	return text
}

// Sight is how far a transfer is, in numbers.
type Sight struct {
	Stage       string
	Done, Total uint64
	Bytes       uint64 // sent
	Started     time.Time
	Failure     string // the last one, after which something else was tried
}

// Sight returns a copy of the numbers.
func (p *Progress) Sight() Sight {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Sight{Stage: p.stage, Done: p.done, Total: p.total, Bytes: p.bytes, Started: p.started}
	if p.err != nil {
		s.Failure = p.err.Error()
	}
	return s
}
