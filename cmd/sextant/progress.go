package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// bar shows on stderr how far a command is: a line that is drawn over on a terminal, a line now and then elsewhere.
type bar struct {
	w        io.Writer
	terminal bool
	what     string

	mu          sync.Mutex // guards all below
	done, total int64      // total 0: not known
	base        int64      // done by an earlier run
	start, last time.Time
}

func newBar(what string, total, base int64) *bar {
	info, err := os.Stderr.Stat()
	return &bar{w: os.Stderr, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0, what: what, total: total, done: base, base: base, start: time.Now()}
}

func (b *bar) set(done int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done = done
	every := 10 * time.Second
	if b.terminal {
		every = 100 * time.Millisecond
	}
	if now := time.Now(); now.Sub(b.last) >= every {
		b.last = now
		b.draw()
	}
}

// draw prints the present state; the caller holds mu.
func (b *bar) draw() {
	took := time.Since(b.start)
	rate := float64(b.done-b.base) / max(took.Seconds(), 1e-3)
	text := fmt.Sprintf("%s %d", b.what, b.done)
	if b.total > 0 {
		share := min(float64(b.done)/float64(b.total), 1)
		const width = 30
		filled := int(share * width)
		text = fmt.Sprintf("%s [%s%s] %3.0f%% %d/%d", b.what, strings.Repeat("#", filled), strings.Repeat(".", width-filled), share*100, b.done, b.total)
		if rate > 0 && b.done < b.total {
			text += fmt.Sprintf(", %s left", time.Duration(float64(b.total-b.done)/rate*float64(time.Second)).Round(time.Second))
		}
	}
	text += fmt.Sprintf(", %.0f/s", rate)
	if b.terminal {
		fmt.Fprintf(b.w, "\r\x1b[K%s", text)
	} else {
		fmt.Fprintln(b.w, text)
	}
}

// end prints the last state for good.
func (b *bar) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.draw()
	if b.terminal {
		fmt.Fprintln(b.w)
	}
}
