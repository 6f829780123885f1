package engine

import (
	"context"
	"runtime"
	"sync"

	"github.com/sextantdb/sextant/internal/invariant"
)

// Budget is what the builds and heads of all shards of one process may take together.
type Budget struct {
	headBytes int64
	permits   int

	mu      sync.Mutex // guards all below
	free    int
	freed   chan struct{} // closed and renewed when a permit comes back
	heads   int64
	largest map[*Shard]int64
}

// NewBudget makes a budget of cpus permits for builds (0: one less than the machine has, at least one) and of bytes for
// heads (0: 1 GiB).
func NewBudget(cpus int, headBytes int64) *Budget {
	if cpus <= 0 {
		cpus = max(1, runtime.GOMAXPROCS(0)-1)
	}
	if headBytes <= 0 {
		headBytes = 1 << 30
	}
	return &Budget{headBytes: headBytes, permits: cpus, free: cpus, freed: make(chan struct{}), largest: map[*Shard]int64{}}
}

// take waits for a permit to build.
func (b *Budget) take(ctx context.Context) error {
	for {
		b.mu.Lock()
		if b.free > 0 {
			b.free--
			b.mu.Unlock()
			return nil
		}
		freed := b.freed
		b.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (b *Budget) give() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free++
	close(b.freed)
	b.freed = make(chan struct{})
}

// hold notes how large a shard's head is. It returns the shard whose head should be sealed, if all together are too large.
func (b *Budget) hold(s *Shard, bytes int64) *Shard {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heads += bytes - b.largest[s]
	if bytes == 0 {
		delete(b.largest, s)
	} else {
		b.largest[s] = bytes
	}
	invariant.Check(b.heads >= 0, "heads have a size")
	if b.heads <= b.headBytes {
		return nil
	}
	most := s
	for other, n := range b.largest {
		if n > b.largest[most] {
			most = other
		}
	}
	return most
}
