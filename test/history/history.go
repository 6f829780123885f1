// Package history judges what a store holds by what its clients were told.
//
// Each point is a register. One client at a time writes it, and numbers its writes upwards; 0 is a point that does not exist.
// A write whose outcome is unknown may have happened; it may also happen later, when whoever carried it was slow. So what is
// found must be the last acknowledged write or an unknown one. An unknown one that was begun before the last acknowledged one is
// allowed if that is not long ago, but counted, since it should be rare: it was carried past the end of its request.
// Concurrency: everything may be called from any goroutine.
package history

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Value is what a point holds.
type Value = int64

// Book notes writes and their outcomes.
type Book struct {
	mu     sync.Mutex
	points map[uint64]*register
	acked  int
}

type register struct {
	acked   Value
	last    Value     // tried
	unknown []Value   // begun after acked
	older   []carried // unknown, begun before
}

// carried is a write that nobody answered. It may still come until nobody can carry it any more.
type carried struct {
	v     Value
	until time.Time
}

// carriage is for how long after its end a request may still be under way somewhere.
const carriage = 20 * time.Second

func (r *register) mayCome(v Value) bool {
	return slices.ContainsFunc(r.older, func(c carried) bool { return c.v == v })
}

// forget drops what cannot come any more.
func (r *register) forget() {
	now := time.Now()
	r.older = slices.DeleteFunc(r.older, func(c carried) bool { return now.After(c.until) })
}

// Outcome of a write.
type Outcome int

// A refused write did not happen and will not.
const (
	Acknowledged Outcome = iota
	Unknown
	Refused
)

// Write notes that a write was tried, which may be seen from now on.
func (b *Book) Write(id uint64, v Value) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.points == nil {
		b.points = map[uint64]*register{}
	}
	r := b.points[id]
	if r == nil {
		r = &register{}
		b.points[id] = r
	}
	r.last = max(r.last, v)
	r.unknown = append(r.unknown, v)
}

// End notes what came of the last write of a point.
func (b *Book) End(id uint64, v Value, o Outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.points[id]
	n := len(r.unknown) - 1
	if n < 0 || r.unknown[n] != v {
		panic("history: the end of another write than the last")
	}
	switch o {
	case Acknowledged:
		r.forget()
		for _, v := range r.unknown[:n] {
			r.older = append(r.older, carried{v, time.Now().Add(carriage)})
		}
		r.acked, r.unknown = v, nil
		b.acked++
	case Refused:
		r.unknown = r.unknown[:n]
	case Unknown:
	}
}

// Certain reports whether a point exists for sure.
func (b *Book) Certain(id uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.points[id]
	return r != nil && r.acked != 0 && len(r.unknown) == 0
}

// Acked is the number of acknowledged writes.
func (b *Book) Acked() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.acked
}

// Seen reports whether a read may show a value now: somebody tried to write it.
func (b *Book) Seen(id uint64, v Value) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.points[id]
	return v == 0 || r != nil && v > 0 && v <= r.last
}

// Now says what is wrong with a value that a point is read to have by the client that writes it, with a read that sees all that was
// acknowledged; "" if nothing is.
func (b *Book) Now(id uint64, got Value) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.points[id]
	if r == nil {
		r = &register{}
	}
	r.forget()
	if got == r.acked || slices.Contains(r.unknown, got) || r.mayCome(got) {
		return ""
	}
	return r.line(id, got)
}

// Verdict is what is wrong, in words, one line for each point.
type Verdict struct {
	Lost, Invented, Late []string
}

// Wrong is everything that must not be.
func (v Verdict) Wrong() []string { return slices.Concat(v.Lost, v.Invented) }

// Judge compares what was found, at a time when nobody writes, with the history. Points that were not found are 0.
func (b *Book) Judge(found map[uint64]Value) (v Verdict) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(b.points)) {
		r, got := b.points[id], found[id]
		r.forget()
		line := r.line(id, got)
		switch {
		case got == r.acked || slices.Contains(r.unknown, got):
		case r.mayCome(got):
			v.Late = append(v.Late, line)
		case got < 0 || got > r.last:
			v.Invented = append(v.Invented, line)
		default:
			v.Lost = append(v.Lost, line)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(found)) {
		if b.points[id] == nil {
			v.Invented = append(v.Invented, fmt.Sprintf("point %d was never written", id))
		}
	}
	return v
}

func (r *register) line(id uint64, got Value) string {
	return fmt.Sprintf("point %d is %d; acknowledged last %d, unknown since %v, unknown before %v, tried last %d", id, got, r.acked, r.unknown, r.older, r.last)
}
