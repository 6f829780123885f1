package replica

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/wal"
)

// Local is one replica of a shard in this process: core, and the hands that do what it asks for. Goroutines run only while
// the store works or somebody waits.
type Local struct {
	hub   *Hub
	uuid  string
	store Store
	align func(ctx context.Context, index uint64) error
	slots chan struct{} // a place for each update under way

	life context.Context
	end  context.CancelFunc
	run  sync.WaitGroup

	mu       sync.Mutex // guards all below; held for steps of core only
	core     *core
	storing  bool
	applying bool
	closed   bool
	moved    chan struct{} // closed when applied or freshness has moved; nil: nobody waits
	alarms   uint64
	seen     sight
}

// sight is what waiters for a change look at.
type sight struct {
	applied, last order.Seq
	fresh, broken bool
	view          *topology.Shard
}

// updatesAtOnce is how many updates of a shard may be under way at its primary; further ones wait.
const updatesAtOnce = 200

// errClosed answers calls of a replica that is being closed or removed.
var errClosed = sextant.Errorf(sextant.Unavailable, "the replica is closed")

// ErrDiffer answers a mark at which some replica differs from the others.
var ErrDiffer = sextant.Errorf(sextant.Internal, "the replicas differ")

// step does one event and what comes of it.
func (l *Local) step(event func(c *core)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.core.now = l.hub.clock()
	event(l.core)
	l.act()
}

// act does what core asks for; the caller holds mu. Nothing here waits.
func (l *Local) act() {
	c := l.core
	for len(c.out) > 0 {
		out := c.out
		c.out = nil
		for i := range out {
			l.perform(&out[i])
		}
	}
	if len(c.jobs) > 0 && !l.storing {
		l.storing = true
		l.run.Go(l.doJobs)
	}
	if min(c.commit, c.durable) > c.applied && c.broken == nil && !l.applying {
		l.applying = true
		l.run.Go(l.doApply)
	}
	if now := (sight{c.applied, c.last.Seq, c.fresh, c.broken != nil, c.view}); now != l.seen {
		l.seen = now
		if l.moved != nil {
			close(l.moved)
			l.moved = nil
		}
	}
	l.hub.watch(l, c.pace())
}

func (l *Local) perform(a *action) {
	switch {
	case a.send != nil:
		a.send.m.Shard = l.uuid
		l.hub.send(a.send.to, a.send.m)
	case a.propose != nil:
		l.hub.propose(*a.propose)
	case a.answer != nil:
		close(a.answer.done)
	case a.resolve != nil:
		l.run.Go(func() { l.resolve(a.resolve) })
	case a.fetch != nil:
		l.run.Go(func() { l.fetch(*a.fetch) })
	case a.floor != nil:
		l.store.KeepFrom(*a.floor)
	case a.differ != nil:
		l.hub.differs(*a.differ)
	case a.alarm != "":
		l.alarms++
		l.hub.log.Error("a replica is not as it should be", "shard", l.uuid, "what", a.alarm)
	}
}

// doJobs makes durable what core asks for, as much as there is with one call.
func (l *Local) doJobs() {
	for {
		l.mu.Lock()
		jobs := l.core.jobs
		if l.closed || l.life.Err() != nil || len(jobs) == 0 { // its life ends a little before it is closed
			l.storing = false
			l.mu.Unlock()
			return
		}
		first, n := jobs[0], 1
		records := first.records
		for first.term == 0 && n < len(jobs) && jobs[n].term == 0 && jobs[n].after.Seq == jobs[n-1].end() {
			records = append(records[:len(records):len(records)], jobs[n].records...)
			n++
		}
		last := jobs[n-1].id
		l.mu.Unlock()

		var err error
		if first.term != 0 {
			err = l.store.UseTerm(l.life, first.term)
		} else {
			err = l.store.Append(l.life, first.after, records)
		}
		if err != nil && l.life.Err() != nil {
			continue // closed
		}
		if err != nil {
			l.hub.log.Warn("a replica cannot log", "shard", l.uuid, "err", err)
			stands := l.store.Stands()
			tail, lost := tailOf(l.store, stands)
			l.step(func(c *core) {
				c.failed(err, stands, tail)
				if lost != nil {
					c.breaks(lost)
				}
			})
			continue
		}
		l.step(func(c *core) { c.stored(last) })
	}
}

// doApply applies what is committed.
func (l *Local) doApply() {
	for {
		l.mu.Lock()
		before, commit := l.core.applied, min(l.core.commit, l.core.durable)
		if l.closed || l.life.Err() != nil || commit <= before || l.core.broken != nil {
			l.applying = false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()

		var outcomes []order.Outcome
		at, err := l.store.Apply(l.life, commit, func(o order.Outcome) { outcomes = append(outcomes, o) })
		if err != nil && l.life.Err() != nil {
			continue // closed
		}
		if err == nil && at.Seq <= before {
			err = fmt.Errorf("entry %d is committed, and the store stays at %d", commit, at.Seq)
		}
		l.step(func(c *core) { c.reached(at.Seq, outcomes, err) })
	}
}

// resolveTime bounds how long an update that reads may hold up those behind it.
const resolveTime = time.Minute

func (l *Local) resolve(op *operation) {
	ctx, cancel := context.WithTimeout(l.life, resolveTime)
	defer cancel()
	body, err := l.store.Resolve(ctx, op.Update)
	l.step(func(c *core) { c.resolved(op, body, err) })
}

// Break tells that the store is not to be trusted any more: the replica gives way, and is no base for a transfer.
func (l *Local) Break(why error) { l.step(func(c *core) { c.breaks(why) }) }

// fetch reads a part of the log for a follower that lacks it.
func (l *Local) fetch(f fetchRequest) {
	records, err := l.read(f)
	l.step(func(c *core) { c.fetched(f.to, f.session, records, err) })
}

func (l *Local) read(f fetchRequest) (records []wal.Record, err error) {
	r, err := l.store.OpenLog(f.from)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return r.Next(f.through, flightBytes)
}

// leads says quickly whether an update may be tried here.
func (l *Local) leads() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.core
	switch {
	case l.closed:
		return errClosed
	case c.lead != nil:
		return nil
	case c.view == nil:
		return &NotPrimary{Why: "the topology has not been seen yet"}
	}
	return &NotPrimary{Term: c.view.Term, Primary: c.view.Primary, Why: "this replica does not lead"}
}

// early is the error of an update that was not logged: while other data take the place of those here, another try is free.
func (l *Local) early(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed && l.hub.life.Err() == nil {
		return &NotPrimary{Why: err.Error()}
	}
	return err
}

// Update has an update logged, committed, and, if asked for, applied by all replicas that may be read. A *NotPrimary error
// says that it was not logged; ErrUnknown that it may be.
func (l *Local) Update(ctx context.Context, r Request) (sextant.Receipt, error) {
	if l.align != nil && r.Index > 0 {
		if err := l.align(ctx, r.Index); err != nil {
			return sextant.Receipt{}, l.early(err)
		}
	}
	if err := l.leads(); err != nil {
		return sextant.Receipt{}, l.early(err)
	}
	select {
	case l.slots <- struct{}{}:
		defer func() { <-l.slots }()
	case <-ctx.Done():
		return sextant.Receipt{}, ctx.Err()
	}
	op := &operation{Request: r, schema: changesSchema(r.Update), done: make(chan struct{})}
	if r.Retry {
		seq, outcome, known, forgotten := l.store.Logged(r.ID)
		switch {
		case known:
			l.ask(func(c *core) { c.recall(op, seq, outcome) }, op)
			return l.await(ctx, op)
		case forgotten:
			return sextant.Receipt{}, errForgotten
		}
	}
	var err error
	if op.body, op.against, err = l.store.Prepare(ctx, r.Update); err != nil {
		return sextant.Receipt{}, l.early(err)
	}
	l.ask(func(c *core) {
		op.at = c.now
		c.propose(op)
	}, op)
	return l.await(ctx, op)
}

// ask steps with an operation, which fails if the replica is closed.
func (l *Local) ask(event func(c *core), op *operation) {
	l.mu.Lock()
	closed := l.closed
	l.mu.Unlock()
	if !closed {
		l.step(event)
	}
}

// await waits for the answer of an operation.
func (l *Local) await(ctx context.Context, op *operation) (sextant.Receipt, error) {
	select {
	case <-op.done:
		return op.receipt, op.err
	case <-l.life.Done():
		return sextant.Receipt{}, fmt.Errorf("%w: %w", ErrUnknown, errClosed)
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-op.done:
		return op.receipt, op.err
	default:
	}
	if l.core.withdraw(op) { // it was never logged
		if peer := l.core.holdsUp(); peer != 0 {
			return sextant.Receipt{}, noQuorum(peer)
		}
		return sextant.Receipt{}, ctx.Err()
	}
	committed, peer := l.core.blames(op)
	switch {
	case committed && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return sextant.Receipt{Seq: uint64(op.seq), Status: sextant.WaitTimeout}, nil
	case peer != 0:
		return sextant.Receipt{}, noQuorum(peer)
	}
	return sextant.Receipt{}, fmt.Errorf("%w: %w", ErrUnknown, ctx.Err())
}

func noQuorum(peer topology.PeerID) error {
	return sextant.Errorf(sextant.Internal, "no quorum to remove peer %d", peer)
}

// Barrier returns a seq that holds every write acknowledged before the call, once this replica has applied it; it proves that
// this replica is the primary still.
func (l *Local) Barrier(ctx context.Context) (order.Seq, error) {
	op := &operation{done: make(chan struct{})}
	l.ask(func(c *core) { c.barrier(op) }, op)
	r, err := l.await(ctx, op)
	return order.Seq(r.Seq), err
}

// Mark has all counted replicas compared at one entry, and returns when they were found to be equal.
func (l *Local) Mark(ctx context.Context) (order.Seq, error) {
	op := &operation{done: make(chan struct{})}
	l.ask(func(c *core) { c.prove(op) }, op)
	r, err := l.await(ctx, op)
	return order.Seq(r.Seq), err
}

// MarkRanges returns the digest, by ranges, that this replica had at a mark, if it is the newest that was applied here.
func (l *Local) MarkRanges(mark order.Seq) (ranges []byte, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.core.marked
	return m.ranges, m.seq == mark && mark != 0
}

// Await returns when everything up to seq is applied here.
func (l *Local) Await(ctx context.Context, seq order.Seq) error {
	return l.until(ctx, func(c *core) bool { return c.applied >= seq })
}

// until waits for something to become true of core.
func (l *Local) until(ctx context.Context, ready func(c *core) bool) error {
	for {
		l.mu.Lock()
		if l.closed {
			l.mu.Unlock()
			return errClosed
		}
		if ready(l.core) {
			l.mu.Unlock()
			return nil
		}
		if l.moved == nil {
			l.moved = make(chan struct{})
		}
		moved := l.moved
		l.mu.Unlock()
		select {
		case <-moved:
		case <-l.life.Done():
			return errClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Readable says whether reads may see this replica, and why not.
func (l *Local) Readable() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.core
	me := c.me()
	switch {
	case l.closed:
		return errClosed
	case me == nil:
		return sextant.Errorf(sextant.Precondition, "this peer has no replica of the shard")
	case !c.view.MayRead(c.self):
		return sextant.Errorf(sextant.Precondition, "the replica is %s", me.State)
	case !c.fresh:
		return sextant.Errorf(sextant.Precondition, "the replica has not caught up since the start of its process")
	}
	return nil
}

// changesSchema says whether an update is about payload indexes or vector names.
func changesSchema(u sextant.Update) bool {
	switch u.(type) {
	case sextant.CreateField, sextant.DropField, sextant.CreateVector, sextant.DropVector:
		return true
	}
	return false
}

// close ends everything the replica does. Its store stays open.
func (l *Local) close() {
	l.mu.Lock()
	l.closed = true
	l.end()
	if l.moved != nil {
		close(l.moved)
		l.moved = nil
	}
	l.mu.Unlock()
	l.run.Wait()
	l.hub.watch(l, still)
}
