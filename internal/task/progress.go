package task

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Progress is a step of a task, with steps inside. Counting is cheap enough for inner loops.
type Progress struct {
	name        string
	done, total atomic.Int64

	mu                sync.Mutex // guards what follows
	started, finished time.Time
	children          []*Progress
	stage             *Progress // the child that Stage began last
}

// NewProgress returns a step that belongs to no board, for work that is watched by nobody.
func NewProgress(name string) *Progress { return newProgress(name) }

func newProgress(name string) *Progress { return &Progress{name: name} }

// Child returns the step of that name inside p, made if it is new. It has not begun: a list of what is to come can be
// shown from the start.
func (p *Progress) Child(name string) *Progress {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.child(name)
}

func (p *Progress) child(name string) *Progress {
	for _, c := range p.children {
		if c.name == name {
			return c
		}
	}
	c := newProgress(name)
	p.children = append(p.children, c)
	return c
}

// Stage ends the stage before and begins the child of that name; stages follow each other, children of other origin may
// run side by side.
func (p *Progress) Stage(name string) *Progress {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stage != nil {
		p.stage.End()
	}
	p.stage = p.child(name)
	p.stage.Begin()
	return p.stage
}

// Begin notes that the step has begun; a second call changes nothing.
func (p *Progress) Begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started.IsZero() {
		p.started = time.Now()
	}
}

// End notes that the step, and whatever had begun inside it, is over.
func (p *Progress) End() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started.IsZero() || !p.finished.IsZero() {
		return
	}
	for _, c := range p.children {
		c.End()
	}
	p.finished = time.Now()
}

// Add counts n more units as done.
func (p *Progress) Add(n int64) { p.done.Add(n) }

// Total says how many units there are; it may grow.
func (p *Progress) Total(n int64) { p.total.Store(n) }

// Steps returns a copy of the tree.
func (p *Progress) Steps() Step {
	p.mu.Lock()
	s := Step{Name: p.name, Started: p.started, Finished: p.finished, Done: p.done.Load(), Total: p.total.Load()}
	children := slices.Clone(p.children)
	p.mu.Unlock()
	for _, c := range children {
		s.Children = append(s.Children, c.Steps())
	}
	return s
}

// Step is a Progress at one moment. Times are zero for what has not happened yet, Total is 0 where nothing is counted.
type Step struct {
	Name              string
	Started, Finished time.Time
	Done, Total       int64
	Children          []Step
}
