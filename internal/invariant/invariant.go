// Package invariant checks what must always hold.
//
// Cheap checks always run. Walks over a whole structure belong under `if invariant.Enabled`, which is a constant: without
// the build tag `invariants` the compiler removes them.
// Errors: a broken invariant is a programmer's error and panics with a Broken value.
// Concurrency: everything here may be called from anywhere.
package invariant

import "sync/atomic"

// Broken is what Check panics with; borders that recover (tasks) tell it from other panics by its type.
type Broken string

func (b Broken) Error() string { return "invariant broken: " + string(b) }

// Check panics with why unless cond holds.
func Check(cond bool, why string) {
	if !cond {
		panic(Broken(why))
	}
}

var calls atomic.Uint64

// Sometimes is true at every n-th call in builds with the tag `invariants` and never in others. It makes tests take a
// rare path (a tiny batch, an early roll) that production takes seldom.
func Sometimes(n int) bool {
	return Enabled && calls.Add(1)%uint64(n) == 0
}
