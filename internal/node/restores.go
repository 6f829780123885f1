package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine"
	"github.com/sextantdb/sextant/internal/collection"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/topology"
)

// A user's snapshot takes the place of the data of a replica in a cluster in this order (docs/decisions/0010):
//
//	RestoreStart   the replica is ManualRecovery; it is read, and counts, as before
//	prepare        the archive becomes a generation aside, durable
//	RestoreDecide  the replica is the only one in sync, under a new term; nobody leads
//	adopt          the generation aside is what the replica has
//	RestoreEnd     the replica is Active and leads; the others are Dead, and fetch a copy
//
// Whoever dies in between, the topology tells what becomes of it: undecided is undone, decided is brought to its end.

// replacing stands for a replica whose data are being replaced.
var replacing = &stub{patient: true, health: collection.Yellow, why: func(action string) error {
	return sextant.Errorf(sextant.Unavailable, "Failed to %s, a snapshot is being restored", action)
}}

// wish of a user for one shard.
type restoreWish struct {
	priority string // as the API names it; "": snapshot
	factor   int    // how many replicas are kept at most; 0: all
	add      bool   // this node gets a replica if it has none
}

// decideTime bounds how long a restore that is ready waits for consensus.
const decideTime = time.Minute

// exchange replaces the data of a shard by those of a snapshot, for all its replicas.
func (c *cluster) exchange(ctx context.Context, h *hosted, id topology.ShardID, r io.Reader, w restoreWish) error {
	_, info, err := c.n.machine.State().Collection(h.c.Name())
	if err != nil {
		return err
	}
	shard := info.Shards[id]
	if shard == nil || info.UUID != h.uuid {
		return missing(h.c.Name())
	}
	if w.priority == "replica" && slices.ContainsFunc(shard.Peers(), func(p topology.PeerID) bool { return p != c.n.peer && shard.Replicas[p].State.Sends() }) {
		if err := c.checkArchive(ctx, r, info); err != nil {
			return err
		}
		return c.refill(ctx, shard.UUID, w.factor > 0)
	}
	s := c.slot(shard.UUID)
	added := s == nil && w.add
	if added {
		if err := c.change(ctx, topology.Command{Restore: &topology.RestoreStart{Shard: shard.UUID, Peer: c.n.peer, Add: true}}); err != nil {
			return err
		}
		s = c.slot(shard.UUID)
	}
	if s == nil {
		return notLocal(id)
	}
	if err := c.restoreSlot(ctx, s, r, info, w); err != nil {
		if added {
			err = errors.Join(err, c.Propose(context.WithoutCancel(ctx), topology.Command{DropReplica: &topology.DropReplica{Shard: shard.UUID, Peer: c.n.peer}}))
		}
		return err
	}
	if err := c.matched(ctx, c.n.machine.State().Index); err != nil {
		return err
	}
	c.spread(ctx)
	return nil
}

func notLocal(id topology.ShardID) error {
	return sextant.Errorf(sextant.WrongInput, "Shard %d is not a local or queue proxy shard", id)
}

// checkArchive refuses what could not be restored.
func (c *cluster) checkArchive(ctx context.Context, r io.Reader, info *topology.Collection) error {
	dir := path.Join(c.n.incoming(), uuid.NewString())
	opts := c.n.engines.(*engines).options(info.Config)
	opts.UUID = "checked"
	err := engine.PrepareRestore(ctx, dir, 1, info.Schema().Vectors, r, opts)
	return errors.Join(err, c.n.fs.RemoveAll(dir))
}

// refill has the replica here be filled anew from an active one: by a transfer that is asked for here, or by its being Dead.
func (c *cluster) refill(ctx context.Context, uuid string, ask bool) error {
	shard := c.n.machine.State().Shard(uuid)
	if shard == nil {
		return nil
	}
	own, mine := shard.Replicas[c.n.peer]
	switch {
	case !mine || !own.InSync:
		return nil // it is being filled, or will be
	case !ask:
		return c.Propose(ctx, topology.Command{Replicas: []topology.SetReplica{{Shard: uuid, Peer: c.n.peer, State: topology.Dead, From: own.State}}})
	}
	var failed error
	for _, p := range shard.Peers() {
		if p == c.n.peer || !shard.Replicas[p].State.Sends() || !c.hub.Alive(p) {
			continue
		}
		if failed = c.Propose(ctx, topology.Command{Start: &topology.TransferStart{Shard: uuid, From: p, To: c.n.peer, Method: c.method(topology.StreamRecords), Sync: true}}); failed == nil {
			return nil
		}
	}
	if failed == nil {
		failed = sextant.Errorf(sextant.Unavailable, "no active replica of the shard can be reached to fill this one from")
	}
	return failed
}

// restoreSlot brings one restore to its end, or to none.
func (c *cluster) restoreSlot(ctx context.Context, s *slot, r io.Reader, info *topology.Collection, w restoreWish) error {
	ctx, stop := c.n.tied(ctx)
	defer stop()
	s.restoring.Lock() // a second one waits
	defer c.poke()     // what was left undone is done by a pass
	defer s.restoring.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	s.setLoading(true)
	defer s.setLoading(false)
	rec, err := c.announceRestore(ctx, s)
	if err != nil {
		return err
	}
	if was := c.intakeOf(s.uuid); was != nil {
		c.endIntake(was, false) // of a transfer that ended by the announcement
	}
	if err := c.act(c.n.machine.State().Index); err != nil { // what is prepared is judged by no older topology
		return err
	}
	if err := c.prepareRestore(ctx, s, rec.ID, r, info); err != nil {
		return errors.Join(err, c.undoRestore(s, rec))
	}
	// From here on it goes to its end, whatever becomes of the request.
	limited, cancel := context.WithTimeout(c.n.life, decideTime)
	err = c.decideRestore(limited, s, rec, w.factor)
	cancel()
	if err == nil {
		err = c.adoptRestore(c.n.life, s, rec.ID)
	}
	if err != nil {
		return err
	}
	limited, cancel = context.WithTimeout(c.n.life, decideTime)
	defer cancel()
	return c.endRestore(limited, s, rec.ID, false)
}

// announceRestore returns the restore of the replica here that the topology lists. One that was decided and whose data are lost is
// gone on with.
func (c *cluster) announceRestore(ctx context.Context, s *slot) (topology.Restore, error) {
	none := topology.Restore{}
	if c.n.machine.State().Shard(s.uuid).RestoreOf(c.n.peer) != nil {
		if err := c.tidyRestore(ctx, s); err != nil && !errors.Is(err, errRestoreLost) {
			return none, err
		}
	}
	for {
		if s.leaving() {
			return none, sextant404(s)
		}
		shard := c.n.machine.State().Shard(s.uuid)
		if shard == nil {
			return none, sextant404(s)
		}
		if rec := shard.RestoreOf(c.n.peer); rec != nil {
			return *rec, nil
		}
		if err := c.Propose(ctx, topology.Command{Restore: &topology.RestoreStart{Shard: s.uuid, Peer: c.n.peer}}); err != nil {
			return none, err
		}
	}
}

// prepareRestore unpacks an archive aside. It ends early if the replica is to go.
func (c *cluster) prepareRestore(ctx context.Context, s *slot, id uint64, r io.Reader, info *topology.Collection) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life(), cancel)()
	s.exchange.Lock()
	defer s.exchange.Unlock()
	if s.leaving() {
		return sextant404(s)
	}
	opts := c.n.engines.(*engines).options(c.settingsOf(s.uuid))
	opts.UUID = s.uuid
	s.prepared.Store(id)
	err := engine.PrepareRestore(ctx, s.dir, id, info.Schema().Vectors, readAlive{ctx, r}, opts)
	if err != nil && s.leaving() {
		return sextant404(s)
	}
	return err
}

// readAlive stops reading when its context ends.
type readAlive struct {
	ctx context.Context
	r   io.Reader
}

func (a readAlive) Read(b []byte) (int, error) {
	if err := a.ctx.Err(); err != nil {
		return 0, err
	}
	return a.r.Read(b)
}

// undoRestore tells the topology that nothing comes of a restore, and forgets what was prepared once it shows that.
func (c *cluster) undoRestore(s *slot, rec topology.Restore) error {
	if rec.Decided {
		return nil // an earlier one, which waits for data
	}
	ctx, cancel := context.WithTimeout(c.n.life, 5*time.Second)
	defer cancel()
	if err := c.endRestore(ctx, s, rec.ID, true); err != nil {
		c.n.log.Warn("a restore that failed is not undone yet", "shard", s.uuid, "err", err)
		return nil // a later pass does it
	}
	return c.dropPrepared(s)
}

// decideRestore makes what is prepared the state of the shard.
func (c *cluster) decideRestore(ctx context.Context, s *slot, rec topology.Restore, factor int) error {
	for {
		shard := c.n.machine.State().Shard(s.uuid)
		if shard == nil {
			return sextant404(s)
		}
		now := shard.RestoreOf(c.n.peer)
		switch {
		case now == nil || now.ID != rec.ID:
			return sextant.Errorf(sextant.Internal, "the snapshot was not restored: the replica of shard %d was taken away meanwhile", s.id)
		case now.Decided:
			return nil
		}
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := c.Propose(try, topology.Command{Decide: &topology.RestoreDecide{Shard: s.uuid, ID: rec.ID, Factor: factor}})
		cancel()
		if err == nil {
			return nil // another one, over another replica, may have been decided since: then that one is what there is
		}
		if ctx.Err() != nil {
			return sextant.Errorf(sextant.Internal, "no quorum to restore shard %d: %w", s.id, err)
		}
		pauseFor(ctx, retryPause)
	}
}

const retryPause = 200 * time.Millisecond

func pauseFor(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// endRestore tells the topology how a restore ended, until it shows that.
func (c *cluster) endRestore(ctx context.Context, s *slot, id uint64, abandon bool) error {
	for {
		shard := c.n.machine.State().Shard(s.uuid)
		if shard == nil {
			return nil
		}
		if now := shard.RestoreOf(c.n.peer); now == nil || now.ID != id || now.Decided && abandon {
			return nil
		}
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := c.Propose(try, topology.Command{Restored: &topology.RestoreEnd{Shard: s.uuid, ID: id, Abandon: abandon}})
		cancel()
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), err)
		}
		if err != nil {
			pauseFor(ctx, retryPause)
		}
	}
}

// errRestoreLost says that the topology waits for data that are not here any more.
var errRestoreLost = sextant.Errorf(sextant.Corrupt, "what was restored here is gone: it has to be restored again")

// adoptRestore puts what is prepared into its place, if that is decided. It may be repeated.
func (c *cluster) adoptRestore(ctx context.Context, s *slot, id uint64) error {
	shard := c.n.machine.State().Shard(s.uuid)
	if shard == nil {
		return nil
	}
	rec := shard.RestoreOf(c.n.peer)
	if rec == nil || rec.ID != id || !rec.Decided {
		return nil
	}
	if own, ok := s.current().(*engineShard); ok && own.Restored() == id {
		return nil
	}
	var floor order.Seq
	if _, ok := s.current().(*engineShard); !ok && !s.shows(replacing) && !s.shows(waiting) {
		floor = unknownSeqs // the log here is damaged, or gone
	}
	if rec.Behind || floor > 0 {
		floor += c.highest(ctx, s.uuid)
	}
	s.exchange.Lock()
	defer s.exchange.Unlock()
	if s.leaving() {
		return nil
	}
	c.hub.Remove(s.uuid)
	was := s.current()
	s.put(replacing, nil)
	if err := was.Close(); err != nil {
		c.n.log.Warn("what a snapshot replaces was not closed well", "shard", s.uuid, "err", err)
	}
	settings := c.settingsOf(s.uuid)
	prepared, err := engine.PreparedRestore(c.n.fs, s.dir)
	if err != nil {
		return err
	}
	if prepared == id {
		if err := engine.AdoptRestore(ctx, s.dir, id, floor, shard.Term, c.n.engines.(*engines).options(settings)); err != nil {
			return err
		}
	}
	s.prepared.Store(0)
	now, err := c.n.engines.open(s.dir, settings)
	if err == nil {
		if own := now.(*engineShard); own.Restored() != id {
			err = errors.Join(errRestoreLost, own.Close())
		}
	}
	if err != nil {
		s.put(quarantined(err), err)
		return err
	}
	if err := c.noteShard(s); err != nil {
		return errors.Join(err, now.Close())
	}
	c.put(s, now)
	return nil
}

// put opens a slot with data that were brought; the caller holds s.exchange.
func (c *cluster) put(s *slot, now shard) {
	s.put(now, nil)
	c.listAgain(s)
}

// listAgain makes what was put into a slot a replica.
func (c *cluster) listAgain(s *slot) {
	c.enlist(s)
	if s.leaving() {
		c.hub.Remove(s.uuid)
	}
	c.mu.Lock()
	delete(c.aligned, s.uuid)
	c.mu.Unlock()
}

const (
	lastTime = 2 * time.Second
	// unknownSeqs is how many seqs are passed over for a log that cannot be read, or whose peer cannot be asked.
	unknownSeqs = 1 << 20
)

// highest returns a seq that is not below those that other peers have given out for a shard, as far as they can be asked.
func (c *cluster) highest(ctx context.Context, uuid string) (floor order.Seq) {
	ctx, cancel := context.WithTimeout(ctx, lastTime)
	defer cancel()
	state := c.n.machine.State()
	type answer struct {
		seq order.Seq
		err error
	}
	answers := make(chan answer, len(state.Peers))
	asked := 0
	for p := range state.Peers {
		if p == c.n.peer {
			continue
		}
		asked++
		c.run.Go(func() {
			b, err := peers{c}.call(ctx, p, callLast, uuid, nil)
			seq, _ := binary.Uvarint(b)
			answers <- answer{order.Seq(seq), err}
		})
	}
	missed := order.Seq(0)
	for range asked {
		a := <-answers
		if floor = max(floor, a.seq); a.err != nil {
			missed = unknownSeqs
		}
	}
	return floor + missed
}

// dropPrepared forgets what waits for a decision that does not come.
func (c *cluster) dropPrepared(s *slot) error {
	s.exchange.Lock()
	defer s.exchange.Unlock()
	if s.leaving() {
		return nil
	}
	err := engine.DropRestore(c.n.fs, s.dir)
	if err == nil {
		s.prepared.Store(0)
	}
	return err
}

// tidyRestore does what the topology says about restores of the replica here. The caller has locked s for restores.
func (c *cluster) tidyRestore(ctx context.Context, s *slot) error {
	state := c.n.machine.State()
	shard := state.Shard(s.uuid)
	if shard == nil || s.leaving() {
		return nil
	}
	rec := shard.RestoreOf(c.n.peer)
	switch {
	case rec != nil && !rec.Decided:
		return c.endRestore(ctx, s, rec.ID, true)
	case rec != nil:
		if err := c.adoptRestore(ctx, s, rec.ID); err != nil {
			return err
		}
		return c.endRestore(ctx, s, rec.ID, false)
	case s.prepared.Load() != 0 && c.mayDelete(state):
		return c.dropPrepared(s)
	case s.shows(replacing) && c.mayDelete(state):
		return c.reopen(s, state)
	}
	return nil
}

// reopen opens what a slot has, since nothing takes its place any more.
func (c *cluster) reopen(s *slot, state *topology.State) error {
	s.exchange.Lock()
	defer s.exchange.Unlock()
	name, _, ok := state.Place(s.uuid)
	if !ok || s.leaving() {
		return nil
	}
	info := state.Collections[name]
	err := c.load(s, info, c.settingsOf(s.uuid), state.Index)
	if err != nil {
		s.put(quarantined(err), err)
		return err
	}
	c.enlist(s)
	return nil
}

// restores brings to an end what restores have left behind: of an earlier life, or of a try that did not get through.
func (c *cluster) restores(state *topology.State) {
	if c.n.Recovery() != "" {
		return
	}
	for _, s := range c.slots() {
		shard := state.Shard(s.uuid)
		if shard == nil || shard.RestoreOf(c.n.peer) == nil && s.prepared.Load() == 0 && !s.shows(replacing) {
			continue
		}
		if broken, _ := s.state(); broken != nil && shard.Restoring() || !s.restoring.TryLock() {
			continue
		}
		c.run.Go(func() {
			defer s.restoring.Unlock()
			ctx, cancel := context.WithTimeout(c.n.life, decideTime)
			defer cancel()
			if err := c.tidyRestore(ctx, s); err != nil && c.n.life.Err() == nil {
				c.n.log.Warn("a restore has not come to its end yet", "shard", s.uuid, "err", err)
			}
		})
	}
}

// serveLast tells the last seq of the log here.
func (c *cluster) serveLast(uuid string) ([]byte, error) {
	s := c.slot(uuid)
	if s == nil {
		return binary.AppendUvarint(nil, 0), nil
	}
	if own, ok := s.current().(*engineShard); ok {
		return binary.AppendUvarint(nil, uint64(own.Stands().Last.Seq)), nil
	}
	return nil, fmt.Errorf("%w", sextant404(s))
}
