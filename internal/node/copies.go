package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/auth"
	"github.com/sextantdb/sextant/internal/codec"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/task"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/transfer"
	"github.com/sextantdb/sextant/internal/wal"
)

// ReplicatePoints begins to copy points of one shard key to another one: those that match a filter, or all.
func (n *Node) ReplicatePoints(ctx context.Context, a auth.Access, name string, from, to ShardKey, f *sextant.Filter, timeout time.Duration) error {
	info, _, err := n.allowed(a, name, auth.Manage)
	if err != nil {
		return err
	}
	if err := n.standalone(); err != nil {
		return err
	}
	for _, key := range []ShardKey{from, to} {
		if len(info.OfKey(key)) == 0 {
			return sextant.Errorf(sextant.BadRequest, "Shard key %s not found", key)
		}
	}
	if shards := len(info.OfKey(from)); shards != 1 {
		return sextant.Errorf(sextant.BadRequest,
			"Only replicating from shard keys with exactly one shard is supported. Shard key %s has %d shards", from, shards)
	}
	replicas := 0
	for _, id := range info.OfKey(to) {
		replicas += len(info.Shards[id].Replicas)
	}
	if replicas != 1 {
		return sextant.Errorf(sextant.BadRequest,
			"Only replicating to shard keys with exactly one replica is supported. Shard key %s has %d replicas", to, replicas)
	}
	source, target := info.Shards[info.OfKey(from)[0]], info.Shards[info.OfKey(to)[0]]
	start := topology.CopyStart{Shard: source.UUID, Target: target.UUID, From: source.Primary}
	if f != nil {
		start.Filter = codec.AppendFilter(nil, f)
	}
	return n.changing(ctx, "Replicate points", timeout, func(ctx context.Context) error {
		return n.propose(ctx, topology.Command{CopyStart: &start})
	})
}

// gate holds writes up whose points are just moving from one key to another. It knows which have gone through it and are not done.
type gate struct {
	mu     sync.Mutex
	flocks []*flock // the last one is open, if it is not closed
}

// flock is what went through a gate between two calls of drain.
type flock struct {
	under  int
	closed bool
	empty  chan struct{} // closed when it is closed and nobody is under way
}

// enter notes a passage and returns what ends it; the caller holds mu.
func (g *gate) enter() (done func()) {
	if n := len(g.flocks); n == 0 || g.flocks[n-1].closed {
		g.flocks = append(g.flocks, &flock{empty: make(chan struct{})})
	}
	f := g.flocks[len(g.flocks)-1]
	f.under++
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if f.under--; f.under == 0 && f.closed {
			close(f.empty)
		}
	}
}

// shut closes the open flock and returns all that are under way.
func (g *gate) shut() []*flock {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.flocks = slices.DeleteFunc(g.flocks, func(f *flock) bool {
		f.closed = true
		return f.under == 0
	})
	return slices.Clone(g.flocks)
}

// passGate waits until writes for a key of a collection, which have a fallback, may go, and returns what ends the passage.
func (c *cluster) passGate(ctx context.Context, collection string, key topology.ShardKey) (done func(), err error) {
	for {
		moved := c.n.machine.Watch()
		c.gate.mu.Lock()
		if gateOpen(c.n.machine.State(), collection, key) {
			done = c.gate.enter()
		}
		c.gate.mu.Unlock()
		if done != nil {
			return done, nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-c.n.life.Done():
			return nil, sextant.Errorf(sextant.Unavailable, "the server is stopping")
		}
	}
}

// drain returns when everything that went through the gate by an older topology than that of an index is done.
func (c *cluster) drain(ctx context.Context, index uint64) error {
	if err := c.matchedBy(ctx, index); err != nil {
		return err
	}
	for _, f := range c.gate.shut() {
		select {
		case <-f.empty:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// gateOpen reports whether writes for a key that have a fallback may go: its points are not just changing hands.
func gateOpen(state *topology.State, uuid string, key topology.ShardKey) bool {
	for _, info := range state.Collections {
		if info.UUID != uuid {
			continue
		}
		for _, shard := range info.Shards {
			for _, x := range shard.Copies {
				if target := info.Shards[x.ToID]; x.Stage >= topology.Fenced && target != nil && target.UUID == x.Target && target.Key != nil && *target.Key == key {
					return false
				}
			}
		}
	}
	return true
}

// copyKey names the task of a copy.
func copyKey(uuid string, id uint64) string { return fmt.Sprintf("copy %s %d.", uuid, id) }

const (
	fenceTime = 30 * time.Second
	// goneTime is how long the sender of a copy may be silent while writes wait for it.
	goneTime = 5 * time.Second
	// gonePause is how long a proposal may take to show an effect until it is repeated.
	gonePause = time.Second
)

// copies has a task for each copy whose sender is this node, and brings to an end those whose sender is no more.
func (c *cluster) copies(state *topology.State) {
	wanted := map[string]bool{}
	for _, name := range slices.Sorted(keysOf(state)) {
		info := state.Collections[name]
		for _, id := range info.ShardIDs() {
			shard := info.Shards[id]
			for _, x := range shard.Copies {
				key := copyKey(shard.UUID, x.ID)
				switch {
				case x.From == c.n.peer && x.ID > c.copiesFrom.Load() && c.caught.Load():
					wanted[key] = true
					if s := c.slot(shard.UUID); s != nil && c.hub.Local(shard.UUID) != nil && len(c.board.Running(key)) == 0 {
						c.board.Start(c.n.life, key, func(ctx context.Context, p *task.Progress) error { return c.copyPoints(ctx, s, shard.UUID, x, p) })
					}
				case x.From == c.n.peer && c.caught.Load(), x.From == 0, x.Stage > topology.Copying && x.From != c.n.peer && c.hub.Silence(x.From) > goneTime:
					c.endCopy(shard.UUID, x.ID, "Source peer restarted, or is gone")
				}
			}
		}
	}
	for _, running := range c.board.Running("copy ") {
		if !wanted[running.Key] {
			c.board.Cancel(running.Key, errOver)
		}
	}
}

func keysOf(state *topology.State) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for name := range state.Collections {
			if !yield(name) {
				return
			}
		}
	}
}

// endCopy proposes the end of a copy; a later pass does so again if need be.
func (c *cluster) endCopy(uuid string, id uint64, why string) {
	key := "end " + copyKey(uuid, id)
	if c.busyWith(key) {
		return
	}
	c.run.Go(func() {
		defer c.done(key)
		ctx, cancel := context.WithTimeout(c.n.life, 5*time.Second)
		defer cancel()
		if c.Propose(ctx, topology.Command{CopyEnd: &topology.CopyEnd{Shard: uuid, ID: id, Reason: why}}) != nil {
			pauseFor(c.n.life, gonePause)
		}
	})
}

// copyPoints is the task of a copy.
func (c *cluster) copyPoints(ctx context.Context, s *slot, uuid string, x topology.Copy, p *task.Progress) error {
	defer c.poke()
	progress := transfer.NewProgress(p)
	c.mu.Lock()
	c.sending[copyKey(uuid, x.ID)] = progress
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.sending, copyKey(uuid, x.ID))
	}()
	c.n.log.Info("points are copied to another shard", "shard", uuid, "id", x.ID, "to", x.Target, "peer", x.To)
	err := c.runCopy(ctx, s, uuid, x, progress)
	if err != nil && ctx.Err() == nil {
		c.n.log.Warn("points were not copied to another shard", "shard", uuid, "id", x.ID, "to", x.Target, "err", err)
		for ctx.Err() == nil && c.copyOf(uuid, x.ID) != nil {
			c.endCopy(uuid, x.ID, "transmission failed: "+err.Error())
			pauseFor(ctx, retryPause)
		}
	}
	return err
}

// copyOf returns a copy as the topology has it now, nil if it is over.
func (c *cluster) copyOf(uuid string, id uint64) *topology.Copy {
	if shard := c.n.machine.State().Shard(uuid); shard != nil {
		return shard.Copy(id)
	}
	return nil
}

func (c *cluster) runCopy(ctx context.Context, s *slot, uuid string, x topology.Copy, progress *transfer.Progress) error {
	own, ok := s.current().(*engineShard)
	if !ok {
		return sextant404(s)
	}
	var filter *sextant.Filter
	if len(x.Filter) > 0 {
		var err error
		if filter, err = codec.Filter(x.Filter); err != nil {
			return err
		}
	}
	state := c.n.machine.State()
	name, id, ok := state.Place(x.Target)
	if !ok {
		return sextant.Errorf(sextant.NotFound, "the shard that receives points does not exist any more")
	}
	_, h := c.n.find(name)
	if h == nil {
		return missing(name)
	}
	target := c.set(h, id, x.Target)
	return transfer.CopyPoints(ctx, transfer.PointsJob{Source: own.Shard, Filter: filter, Touched: touched, Wipe: x.Wipe, Progress: progress, Delay: stagingDelay(),
		Put: func(ctx context.Context, u sextant.Update) error {
			ctx, cancel := context.WithTimeout(ctx, feedTime)
			defer cancel()
			_, err := target.Update(ctx, u, sextant.Committed)
			return err
		},
		Fence: func(ctx context.Context) error { return c.fence(ctx, uuid, x.ID) },
		Barrier: func(ctx context.Context) (order.Seq, error) {
			ctx, cancel := context.WithTimeout(ctx, fenceTime)
			defer cancel()
			return c.set(h, c.slotID(uuid), uuid).Barrier(ctx)
		},
		Finish: func(ctx context.Context) error {
			if err := c.nextStage(ctx, uuid, x.ID, topology.Complete); err != nil {
				return err
			}
			c.spread(ctx) // reads that still go to the source see what is there: writes wait
			ctx, cancel := context.WithTimeout(ctx, fenceTime)
			defer cancel()
			return c.Propose(ctx, topology.Command{CopyEnd: &topology.CopyEnd{Shard: uuid, ID: x.ID}})
		}})
}

func (c *cluster) slotID(uuid string) topology.ShardID {
	_, id, _ := c.n.machine.State().Place(uuid)
	return id
}

// nextStage takes a copy to its next stage.
func (c *cluster) nextStage(ctx context.Context, uuid string, id uint64, stage topology.CopyStage) error {
	ctx, cancel := context.WithTimeout(ctx, fenceTime)
	defer cancel()
	for {
		x := c.copyOf(uuid, id)
		switch {
		case x == nil:
			return errOver
		case x.Stage >= stage:
			return nil
		case x.Stage+1 != stage:
			return fmt.Errorf("the copy is at stage %d, it cannot go on to %d", x.Stage, stage)
		}
		err := c.Propose(ctx, topology.Command{CopyNext: &topology.CopyNext{Shard: uuid, ID: id, Stage: stage}})
		if err != nil {
			return err
		}
	}
}

// fence has writes wait whose points are moving, on all peers that live, and returns when those that did not wait are done.
func (c *cluster) fence(ctx context.Context, uuid string, id uint64) error {
	if err := c.nextStage(ctx, uuid, id, topology.Fenced); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, fenceTime)
	defer cancel()
	state := c.n.machine.State()
	index := strconv.AppendUint(nil, state.Index, 10)
	failures := make([]error, len(state.Peers))
	var all sync.WaitGroup
	i := 0
	for p := range state.Peers {
		at := &failures[i]
		i++
		all.Go(func() {
			for {
				if p == c.n.peer {
					*at = c.drain(ctx, state.Index)
				} else if !c.hub.Alive(p) {
					*at = nil // who is not heard hears of nothing either; it takes writes again when it has caught up
				} else {
					_, *at = c.net.Call(ctx, p, callDrain, index)
				}
				if *at == nil || ctx.Err() != nil {
					return
				}
				pauseFor(ctx, retryPause)
			}
		})
	}
	all.Wait()
	return errors.Join(failures...)
}

// touched returns the points that an entry of a log is about.
func touched(r wal.Record) ([]sextant.PointID, error) {
	if r.Kind != wal.Effects {
		return nil, nil
	}
	u, err := codec.Update(r.Body)
	if err != nil {
		return nil, err
	}
	var selector sextant.Selector
	switch u := u.(type) {
	case sextant.Upsert:
		ids := make([]sextant.PointID, len(u.Points))
		for i, p := range u.Points {
			ids[i] = p.ID
		}
		return ids, nil
	case sextant.UpdateVectors:
		ids := make([]sextant.PointID, len(u.Points))
		for i, p := range u.Points {
			ids[i] = p.ID
		}
		return ids, nil
	case sextant.CreateField, sextant.DropField, sextant.CreateVector, sextant.DropVector:
		return nil, nil // the other shard gets them as this one does
	case sextant.DeletePoints:
		selector = u.Selector
	case sextant.SetPayload:
		selector = u.Selector
	case sextant.OverwritePayload:
		selector = u.Selector
	case sextant.DeletePayload:
		selector = u.Selector
	case sextant.ClearPayload:
		selector = u.Selector
	case sextant.DeleteVectors:
		selector = u.Selector
	default:
		return nil, fmt.Errorf("it is of the unknown kind %T", u)
	}
	if selector.IDs == nil {
		return nil, fmt.Errorf("it does not name its points")
	}
	return selector.IDs, nil
}

// serveDrain answers a peer that has writes wait.
func (c *cluster) serveDrain(ctx context.Context, body []byte) ([]byte, error) {
	index, err := strconv.ParseUint(string(body), 10, 64)
	if err != nil {
		return nil, err
	}
	return nil, c.drain(ctx, index)
}
