package engine

import (
	"runtime"
	"sync"

	"github.com/sextantdb/sextant/internal/invariant"
)

// Budget is what the builds, heads and logs of all shards of one process may take together.
type Budget struct {
	headBytes int64

	mu      sync.Mutex // guards all below; nothing else is locked inside
	free    int        // threads that builds may still use
	waiting map[*keeper]bool
	heads   int64
	largest map[*Shard]int64

	logBytes int64
	logs     map[*Shard]int64
}

// NewBudget makes a budget of threads for builds (0: by the number of processors) and of bytes for heads (0: 1 GiB).
func NewBudget(threads int, headBytes int64) *Budget {
	if threads <= 0 {
		threads = buildThreads(runtime.GOMAXPROCS(0))
	}
	if headBytes <= 0 {
		headBytes = 1 << 30
	}
	return &Budget{headBytes: headBytes, free: threads, waiting: map[*keeper]bool{}, largest: map[*Shard]int64{}, logs: map[*Shard]int64{}}
}

// buildThreads leaves some processors to requests.
func buildThreads(cpus int) int {
	switch {
	case cpus <= 2:
		return cpus
	case cpus <= 32:
		return cpus - 1
	case cpus <= 48:
		return cpus - 2
	case cpus <= 64:
		return cpus - 3
	case cpus <= 96:
		return cpus - 4
	case cpus <= 128:
		return cpus - 6
	}
	return cpus - cpus/16
}

// take gives a build up to want threads, as many as are free. If none is, k is woken when one becomes free: it decides anew
// then what is most useful.
func (b *Budget) take(k *keeper, want int) (threads int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	threads = min(want, b.free)
	b.free -= threads
	if threads == 0 {
		b.waiting[k] = true
	}
	return threads
}

func (b *Budget) give(threads int) {
	b.mu.Lock()
	b.free += threads
	waiting := b.waiting
	b.waiting = map[*keeper]bool{}
	b.mu.Unlock()
	for k := range waiting {
		k.wake()
	}
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
