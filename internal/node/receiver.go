package node

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io/fs"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine"
	"github.com/sextantdb/sextant/internal/collection"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/replica"
	"github.com/sextantdb/sextant/internal/task"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/transfer"
)

// intake is a generation that a transfer fills here, aside of what the shard is now.
type intake struct {
	ref  transfer.Ref
	s    *slot
	life context.Context
	end  context.CancelFunc

	mu    task.Gate // one call at a time; guards all below
	in    *engine.Intake
	done  uint64 // number of the last step
	reply []byte // to it
	over  bool
	files bool // files come, not points
}

// How a generation is begun.
const (
	beginEmpty byte = iota
	beginClone
	beginFiles
)

// waiting stands for a replica whose data are on their way.
var waiting = &stub{patient: true, health: collection.Yellow, why: func(action string) error {
	return sextant.Errorf(sextant.Unavailable, "Failed to %s, the replica has no data yet: they are on their way", action)
}}

// serveTransfer answers the sender of a transfer.
func (c *cluster) serveTransfer(ctx context.Context, from topology.PeerID, method, uuid string, body []byte) ([]byte, error) {
	if method == callFeed {
		f, err := replica.ParseFeed(body)
		if err != nil {
			return nil, err
		}
		local := c.hub.Local(uuid)
		if local == nil {
			return nil, sextant.Errorf(sextant.Precondition, "peer %d has no open replica of shard %s", c.n.peer, uuid)
		}
		_, err = local.Feed(ctx, from, f)
		return nil, err
	}
	var r transfer.Ref
	for _, v := range []*uint64{&r.ID, &r.Attempt, &r.Task} {
		var n int
		if *v, n = binary.Uvarint(body); n <= 0 {
			return nil, sextant.Errorf(sextant.Corrupt, "the call %q of a transfer cannot be read", method)
		}
		body = body[n:]
	}
	switch method {
	case callAdmit:
		at, n := binary.Uvarint(body)
		local := c.hub.Local(uuid)
		if n <= 0 || local == nil {
			return nil, &replica.NotPrimary{Why: "peer has no open replica of the shard"}
		}
		return nil, local.Admit(ctx, r.ID, r.Attempt, order.Seq(at))
	case callStand:
		return c.stand(ctx, uuid, r)
	case callBegin:
		if len(body) == 0 {
			return nil, sextant.Errorf(sextant.Corrupt, "the begin of a transfer cannot be read")
		}
		return c.beginIntake(ctx, uuid, r, body[0], body[1:])
	}
	i := c.intakeOf(uuid)
	if i == nil || i.ref != r {
		return nil, sextant.Errorf(sextant.Precondition, "transfer %d, attempt %d, fills nothing here, or by another task", r.ID, r.Attempt)
	}
	if method == callComplete {
		return nil, c.complete(ctx, i)
	}
	number, n := binary.Uvarint(body)
	if n <= 0 || len(body) == n {
		return nil, sextant.Errorf(sextant.Corrupt, "a step of a transfer cannot be read")
	}
	return i.step(number, transfer.Step{Kind: transfer.StepKind(body[n]), Body: body[n+1:]})
}

// listed reports whether the topology here has an attempt whose receiver is this node.
func (c *cluster) listed(uuid string, r transfer.Ref) (listed, admitted bool) {
	if shard := c.n.machine.State().Shard(uuid); shard != nil {
		if t := shard.Transfer(r.ID); t != nil && t.Attempt == r.Attempt && t.To == c.n.peer {
			return true, t.Admitted
		}
	}
	return false, false
}

// stand tells where this receiver is, once it knows of the attempt.
func (c *cluster) stand(ctx context.Context, uuid string, r transfer.Ref) ([]byte, error) {
	var s *slot
	err := c.until(ctx, func() bool {
		listed, _ := c.listed(uuid, r)
		return listed
	})
	if err == nil {
		err = c.matched(ctx, c.n.machine.State().Index)
	}
	if err == nil {
		if s = c.slot(uuid); s == nil {
			err = sextant.Errorf(sextant.Precondition, "peer %d has made no room for shard %s yet", c.n.peer, uuid)
		}
	}
	if err != nil {
		return nil, err
	}
	out := transfer.Standing{}
	if shard := c.n.machine.State().Shard(uuid); shard != nil {
		out.Differs = shard.Replicas[c.n.peer].Differs
	}
	own, ok := s.current().(*engineShard)
	if local := c.hub.Local(uuid); ok && local != nil && local.Status().Broken == nil { // what cannot apply is no base
		at := own.Stands()
		if at.ActiveThrough == nil {
			if _, admitted := c.listed(uuid, r); !admitted {
				if err := own.SetActiveThrough(ctx, &at.Applied.Seq); err != nil && own.Failure() == nil {
					return nil, err
				}
			}
			at.ActiveThrough = &at.Applied.Seq
		}
		by := own.Built()
		// What cannot be written to any more, since it is damaged, is no base.
		out.Complete, out.UUID, out.Applied, out.Through, out.ID, out.Attempt = own.Failure() == nil, at.UUID, at.Applied, *at.ActiveThrough, by.Transfer, by.Attempt
	}
	return json.Marshal(out)
}

func (c *cluster) intakeOf(uuid string) *intake {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.intakes[uuid]
}

// beginIntake begins to fill a generation. An earlier one that was not completed is thrown away. One attempt completes at most
// one: behind it, entries may have been acknowledged.
func (c *cluster) beginIntake(ctx context.Context, uuid string, r transfer.Ref, how byte, head []byte) ([]byte, error) {
	s := c.slot(uuid)
	if s == nil {
		return nil, sextant.Errorf(sextant.Precondition, "peer %d has made no room for shard %s yet", c.n.peer, uuid)
	}
	i := &intake{ref: r, s: s}
	i.life, i.end = context.WithCancel(c.n.life)
	i.mu.Lock()
	defer i.mu.Unlock()
	c.mu.Lock()
	was := c.intakes[uuid]
	if was != nil && was.ref == r {
		c.mu.Unlock()
		i.end()
		return nil, sextant.Errorf(sextant.Precondition, "the copy was begun already") // a late message: its sender has the answer
	}
	c.intakes[uuid] = i
	c.mu.Unlock()
	if was != nil {
		c.endIntake(was, how == beginFiles)
	}
	if err := c.prepare(ctx, i, how, head); err != nil {
		c.dropIntake(i)
		i.over = true
		return nil, err
	}
	return i.reply, nil
}

// prepare makes the generation; the caller holds i.mu.
func (c *cluster) prepare(ctx context.Context, i *intake, how byte, head []byte) error {
	i.s.exchange.Lock()
	defer i.s.exchange.Unlock()
	if listed, admitted := c.listed(i.s.uuid, i.ref); !listed || admitted || i.s.leaving() {
		return sextant.Errorf(sextant.Precondition, "transfer %d, attempt %d, is not to fill anything here", i.ref.ID, i.ref.Attempt)
	}
	by := engine.Attempt{Transfer: i.ref.ID, Attempt: i.ref.Attempt}
	own, ok := i.s.current().(*engineShard)
	if ok && own.Built() == by {
		return sextant.Errorf(sextant.Precondition, "transfer %d, attempt %d, has filled its generation already", i.ref.ID, i.ref.Attempt)
	}
	opts := c.n.engines.(*engines).options(c.settingsOf(i.s.uuid))
	var err error
	switch {
	case how == beginFiles:
		i.files = true
		if i.in, err = engine.NewIntakeFromFiles(ctx, i.s.dir, head, by, opts); err == nil {
			i.reply, err = json.Marshal(i.in.Missing())
		}
		return err
	case how == beginClone && ok:
		if i.in, err = engine.NewIntakeFromShard(ctx, own.Shard, head, by, opts); err == nil {
			i.reply = binary.AppendUvarint(nil, uint64(i.in.Kept()))
			return nil
		}
		c.n.log.Info("what a replica has is no help for what it gets", "shard", i.s.uuid, "err", err)
	}
	i.in, err = engine.NewIntake(i.s.dir, head, by, opts)
	return err
}

// settingsOf returns the settings of the collection of a shard.
func (c *cluster) settingsOf(uuid string) sextant.CollectionConfig {
	state := c.n.machine.State()
	if name, _, ok := state.Place(uuid); ok {
		return effective(state.Collections[name].Config, c.n.settings.Storage.OptimizersOverwrite)
	}
	return sextant.DefaultConfig()
}

// step does the next step. The last one may come again.
func (i *intake) step(number uint64, s transfer.Step) (reply []byte, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.over:
		return nil, sextant.Errorf(sextant.Precondition, "the transfer was ended")
	case number == i.done:
		return i.reply, nil
	case number != i.done+1:
		return nil, sextant.Errorf(sextant.Precondition, "step %d of a transfer came behind step %d", number, i.done)
	case i.files != (s.Kind == transfer.Parts):
		return nil, sextant.Errorf(sextant.Precondition, "step %d of a transfer is of another method", number)
	}
	switch s.Kind {
	case transfer.Parts:
		err = i.in.AddFiles(s.Body)
	case transfer.Points:
		_, err = i.in.Add(i.life, s.Body)
	case transfer.Ranges:
		var ranges []uint16
		ranges, err = i.in.Ranges()
		for _, r := range ranges {
			reply = binary.LittleEndian.AppendUint16(reply, r)
		}
	case transfer.Sums:
		if len(s.Body)%2 != 1 {
			return nil, sextant.Errorf(sextant.Corrupt, "a question for sums cannot be read")
		}
		var ranges []uint16
		for b := s.Body[1:]; len(b) > 0; b = b[2:] {
			ranges = append(ranges, binary.LittleEndian.Uint16(b))
		}
		reply, err = i.in.Sums(i.life, ranges, s.Body[0])
	case transfer.Buckets:
		if len(s.Body)%4 != 0 {
			return nil, sextant.Errorf(sextant.Corrupt, "a choice of buckets cannot be read")
		}
		var buckets []uint32
		for b := s.Body; len(b) > 0; b = b[4:] {
			buckets = append(buckets, binary.LittleEndian.Uint32(b))
		}
		err = i.in.Select(buckets)
	case transfer.List:
		reply, err = i.in.List(i.life, listBytes)
	case transfer.Delete:
		_, err = i.in.Delete(s.Body)
	default:
		err = sextant.Errorf(sextant.NotImplemented, "this peer does not know steps of kind %d", s.Kind)
	}
	if err == nil {
		i.done, i.reply = number, reply
	}
	return reply, err
}

// listBytes bounds what a step of a comparison tells of the points that are here.
const listBytes = 1 << 20

// complete makes the generation durable and has it take the place of the present one.
func (c *cluster) complete(ctx context.Context, i *intake) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.over {
		return sextant.Errorf(sextant.Precondition, "the transfer was ended")
	}
	if err := i.in.Complete(ctx); err != nil {
		return err
	}
	err := c.adopt(ctx, i)
	if err == nil {
		i.over = true
		c.dropIntake(i)
	}
	return err
}

// adopt puts a complete generation into the place of the present one.
func (c *cluster) adopt(ctx context.Context, i *intake) (err error) {
	s := i.s
	s.exchange.Lock()
	defer s.exchange.Unlock()
	if listed, admitted := c.listed(s.uuid, i.ref); !listed || admitted || s.leaving() {
		return sextant.Errorf(sextant.Precondition, "transfer %d, attempt %d, is not to fill anything here", i.ref.ID, i.ref.Attempt)
	}
	if _, _, noted := c.noted(s.dir); noted { // what is here now may know less than what was here: it is of no older topology
		if err := c.writeNote(s.dir, s.uuid, c.n.machine.State().Index); err != nil {
			return err
		}
	}
	c.hub.Remove(s.uuid)
	was := s.current()
	s.put(waiting, nil)
	if err := was.Close(); err != nil {
		c.n.log.Warn("what a transfer replaces was not closed well", "shard", s.uuid, "err", err)
	}
	err = i.in.Adopt(ctx)
	if err == nil {
		err = c.noteShard(s)
	}
	now, openErr := c.n.engines.open(s.dir, c.settingsOf(s.uuid))
	if openErr != nil {
		s.put(quarantined(openErr), openErr)
		return errors.Join(err, openErr)
	}
	c.put(s, now)
	return err
}

// noteShard notes that the directory of a slot holds its shard.
func (c *cluster) noteShard(s *slot) error {
	if _, err := c.n.fs.Stat(noteOf(s.dir)); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return c.writeNote(s.dir, s.uuid, c.n.machine.State().Index)
}

func (c *cluster) dropIntake(i *intake) {
	i.end()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.intakes[i.s.uuid] == i {
		delete(c.intakes, i.s.uuid)
	}
}

// endIntake ends an intake and removes what it has filled, unless it is files that the next one may use; the shard stays what it was.
func (c *cluster) endIntake(i *intake, keepFiles bool) {
	i.end()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.over {
		return
	}
	i.over = true
	switch {
	case i.in == nil:
	case keepFiles && i.files:
		i.in.Leave()
	default:
		if err := i.in.Discard(); err != nil { // the next one, or the next start, removes it
			c.n.log.Warn("what a transfer had filled is still there", "shard", i.s.uuid, "err", err)
		}
	}
	c.dropIntake(i)
}

// receive ends what is filled for transfers that are over.
func (c *cluster) receive() {
	c.mu.Lock()
	var over []*intake
	for uuid, i := range c.intakes {
		if listed, _ := c.listed(uuid, i.ref); !listed {
			over = append(over, i)
		}
	}
	c.mu.Unlock()
	for _, i := range over {
		i.end()
		c.run.Go(func() { c.endIntake(i, false) })
	}
}

// settle clears the note of where replicas stopped being active, once they are again.
func (c *cluster) settle(state *topology.State) {
	for _, s := range c.slots() {
		own, ok := s.current().(*engineShard)
		shard := state.Shard(s.uuid)
		if !ok || shard == nil || !shard.Replicas[c.n.peer].State.Readable() || own.Stands().ActiveThrough == nil || c.busyWith("settle "+s.uuid) {
			continue
		}
		c.run.Go(func() {
			defer c.done("settle " + s.uuid)
			if err := own.SetActiveThrough(c.n.life, nil); err != nil && c.n.life.Err() == nil {
				c.n.log.Warn("it cannot be noted that a replica is active again", "shard", s.uuid, "err", err)
			}
		})
	}
}

// slots returns all slots of this node, by uuid. The map is shared.
func (c *cluster) slots() map[string]*slot {
	if all := c.byUUID.Load(); all != nil {
		return *all
	}
	return nil
}

// slot returns the slot of a shard; nil if it is not here.
func (c *cluster) slot(uuid string) *slot { return c.slots()[uuid] }

// list makes the slots of this node known by uuid.
func (c *cluster) list(have map[string]*hosted) {
	all := map[string]*slot{}
	for _, h := range have {
		for _, s := range h.slots() {
			all[s.uuid] = s
		}
	}
	c.byUUID.Store(&all)
}
