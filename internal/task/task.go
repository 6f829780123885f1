// Package task runs long operations in the open: each has a key, a stage, a count, an error, and can be cancelled.
//
// Shapes: a Board holds running tasks by key and the last finished ones; a task's Progress is a tree of named steps.
// Errors: Wait returns the error of the task; a panic in a task becomes an error and ends only that task.
// Concurrency: everything may be called from any goroutine. Every task's goroutine is owned by its Board: Close cancels
// and waits for all.
package task

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
)

// ErrClosed is the error of a task that a closed board refused.
var ErrClosed = errors.New("task: the board is closed")

// Board knows what is running. The zero Board is ready and remembers the last 16 finished tasks.
type Board struct {
	mu       sync.Mutex // guards all below
	running  map[string]*Task
	finished []Status // oldest first
	closed   bool
	wait     sync.WaitGroup
}

const keptFinished = 16

// Start runs f under a key. If a task of that key is running, that one is returned and f is not called. The task ends
// with ctx, by Cancel, or when f returns. Once the board is closed the task is returned already failed.
func (b *Board) Start(ctx context.Context, key string, f func(context.Context, *Progress) error) *Task {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.running[key]; t != nil {
		return t
	}
	t := &Task{key: key, done: make(chan struct{}), root: newProgress(key)}
	if b.closed {
		t.end(Failed, ErrClosed)
		return t
	}
	if b.running == nil {
		b.running = map[string]*Task{}
	}
	b.running[key] = t
	ctx, t.cancel = context.WithCancelCause(ctx)
	b.wait.Add(1)
	go func() {
		defer b.wait.Done()
		t.root.Begin()
		err := run(ctx, t.root, f)
		state := Done
		switch {
		case err != nil && ctx.Err() != nil:
			state, err = Cancelled, context.Cause(ctx)
		case err != nil:
			state = Failed
		}
		t.cancel(nil)
		b.finish(t, state, err)
	}()
	return t
}

func run(ctx context.Context, p *Progress, f func(context.Context, *Progress) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("task: panic: %v\n%s", r, debug.Stack())
		}
	}()
	return f(ctx, p)
}

// finish moves the task from the running to the finished ones before its waiters wake.
func (b *Board) finish(t *Task, state State, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t.end(state, err)
	delete(b.running, t.key)
	b.finished = append(b.finished, t.Status())
	if n := len(b.finished) - keptFinished; n > 0 {
		b.finished = slices.Delete(b.finished, 0, n)
	}
}

// Get returns the running task of a key, or nil.
func (b *Board) Get(key string) *Task {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.running[key]
}

// Cancel ends the running task of a key, if there is one, and says whether there was. It does not wait.
func (b *Board) Cancel(key string, why error) bool {
	t := b.Get(key)
	if t != nil {
		t.Cancel(why)
	}
	return t != nil
}

// Running returns the running tasks whose keys begin with prefix, in order of key.
func (b *Board) Running(prefix string) []Status {
	b.mu.Lock()
	var tasks []*Task
	for key, t := range b.running {
		if strings.HasPrefix(key, prefix) {
			tasks = append(tasks, t)
		}
	}
	b.mu.Unlock()
	slices.SortFunc(tasks, func(x, y *Task) int { return strings.Compare(x.key, y.key) })
	all := make([]Status, len(tasks))
	for i, t := range tasks {
		all[i] = t.Status()
	}
	return all
}

// Finished returns the last finished tasks whose keys begin with prefix, newest first.
func (b *Board) Finished(prefix string) (all []Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range slices.Backward(b.finished) {
		if strings.HasPrefix(s.Key, prefix) {
			all = append(all, s)
		}
	}
	return all
}

// Close cancels all tasks, waits until they have ended and lets no new one start.
func (b *Board) Close() {
	b.mu.Lock()
	b.closed = true
	for _, t := range b.running {
		t.Cancel(ErrClosed)
	}
	b.mu.Unlock()
	b.wait.Wait()
}

// Task is one long operation.
type Task struct {
	key    string
	root   *Progress
	cancel context.CancelCauseFunc
	done   chan struct{}

	mu    sync.Mutex // guards state, err
	state State
	err   error
}

// Key returns what the task was started as.
func (t *Task) Key() string { return t.key }

// Cancel asks the task to end. It does not wait; a second call changes nothing.
func (t *Task) Cancel(why error) {
	if t.cancel != nil {
		t.cancel(why)
	}
}

// Done is closed when the task has ended.
func (t *Task) Done() <-chan struct{} { return t.done }

// Wait waits for the end of the task, or of ctx, which does not end the task.
func (t *Task) Wait(ctx context.Context) error {
	select {
	case <-t.done:
		return t.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Err returns how the task ended: nil while it runs or if all went well, the cause if it was cancelled.
func (t *Task) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

func (t *Task) end(state State, err error) {
	t.mu.Lock()
	t.state, t.err = state, err
	t.mu.Unlock()
	t.root.End()
	close(t.done)
}

// Status returns a copy of what is known now.
func (t *Task) Status() Status {
	t.mu.Lock()
	state, err := t.state, t.err
	t.mu.Unlock()
	steps := t.root.Steps()
	s := Status{
		Key: t.key, State: state, Err: err, Steps: steps,
		Done: steps.Done, Total: steps.Total, Started: steps.Started, Finished: steps.Finished,
		Stage: t.key, StageStarted: steps.Started,
	}
	for _, c := range steps.Children {
		if !c.Started.IsZero() && !c.Started.Before(s.StageStarted) {
			s.Stage, s.StageStarted = c.Name, c.Started
		}
	}
	end := s.Finished
	if end.IsZero() {
		end = time.Now()
	}
	if took := end.Sub(s.Started).Seconds(); took > 0 && !s.Started.IsZero() {
		s.Rate = float64(s.Done) / took
	}
	return s
}

// State is how far a task is.
type State uint8

const (
	Running State = iota
	Done
	Cancelled
	Failed
)

func (s State) String() string { return [...]string{"running", "done", "cancelled", "failed"}[s] }

// Status is a task at one moment.
type Status struct {
	Key          string
	State        State
	Err          error  // of a failed one, or why it was cancelled
	Stage        string // the step that began last; the key before any has
	Done, Total  int64  // Total 0: not known
	Started      time.Time
	StageStarted time.Time
	Finished     time.Time // zero while it runs
	Rate         float64   // Done per second since Started
	Steps        Step
}
