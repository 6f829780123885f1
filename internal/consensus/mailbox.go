package consensus

import (
	"context"
	"sync"
)

// maxMessages bounds the messages of other members that wait; raft sends again what is lost.
const maxMessages = 4096

// mailbox gathers what the loop has to do, in the order in which it came.
type mailbox struct {
	mu       sync.Mutex
	items    []func()
	messages int
	ticks    int
	wake     chan struct{}
}

func (b *mailbox) init() { b.wake = make(chan struct{}, 1) }

// put adds something to do. What may be lost is, when too much waits.
func (b *mailbox) put(do func(), mayLose bool) {
	b.mu.Lock()
	if mayLose {
		if b.messages >= maxMessages {
			b.mu.Unlock()
			return
		}
		b.messages++
	}
	b.items = append(b.items, do)
	b.mu.Unlock()
	b.ring()
}

func (b *mailbox) tick() {
	b.mu.Lock()
	b.ticks++
	b.mu.Unlock()
	b.ring()
}

func (b *mailbox) ring() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// itemsAtOnce is how much is taken before raft is asked what it wants.
const itemsAtOnce = 256

// take waits for something to do. Ticks come only when nothing else waits: a process that was starved must not call an
// election before it has heard what was sent to it.
func (b *mailbox) take(ctx context.Context) (items []func(), ticks int, closed bool) {
	for {
		b.mu.Lock()
		if n := min(len(b.items), itemsAtOnce); n > 0 {
			items = b.items[:n:n]
			b.items = b.items[n:]
			if len(b.items) == 0 {
				b.items, b.messages = nil, 0
				ticks, b.ticks = b.ticks, 0
			}
		} else {
			ticks, b.ticks = b.ticks, 0
		}
		b.mu.Unlock()
		if len(items) > 0 || ticks > 0 {
			return items, ticks, ctx.Err() != nil
		}
		select {
		case <-b.wake:
		case <-ctx.Done():
			return nil, 0, true
		}
	}
}
