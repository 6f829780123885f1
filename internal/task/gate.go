package task

import "sync"

// Gate is a lock that may be held for long: while files are touched, or peers are asked. In a simulation time passes for those who
// wait at a gate; for those who wait for a sync.Mutex it stands still, and so for its holder. The zero Gate is open.
type Gate struct {
	once sync.Once
	c    chan struct{}
}

func (g *Gate) token() chan struct{} {
	g.once.Do(func() { g.c = make(chan struct{}, 1) })
	return g.c
}

// Lock waits until the gate is open and closes it.
func (g *Gate) Lock() { g.token() <- struct{}{} }

// TryLock closes the gate if it is open.
func (g *Gate) TryLock() bool {
	select {
	case g.token() <- struct{}{}:
		return true
	default:
		return false
	}
}

// Unlock opens the gate.
func (g *Gate) Unlock() { <-g.token() }
