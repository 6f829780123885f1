package node

import (
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/topology"
)

// revival is when a shard that takes no updates any more was opened anew last, and for how long the next time has to wait.
type revival struct {
	at    time.Time
	pause time.Duration
}

const (
	firstRevival = time.Second
	longRevival  = time.Minute
)

// failure is why the shard of a slot takes no updates, or could not be opened; nil if it is well.
func (c *cluster) failure(s *slot) error {
	own, ok := s.current().(*engineShard)
	if !ok {
		err, _ := s.state()
		return err
	}
	if err := own.Failure(); err != nil {
		return err
	}
	if local := c.hub.Local(s.uuid); local != nil {
		return local.Status().Broken // as when a full disk took no entry, though it has room again
	}
	return nil
}

// revive opens shards anew that take no updates, or could not be opened, since their files could not be written or read: what is on
// the disk is read again, as after a restart. One that others can do without leaves the in-sync set first: what it has shown to
// readers may lie above what it finds. Damaged data are not read again.
func (c *cluster) revive(state *topology.State) {
	if c.n.Recovery() != "" {
		return
	}
	for _, h := range *c.n.hosted.Load() {
		for _, s := range h.slots() {
			shard := state.Shard(s.uuid)
			if shard == nil {
				continue
			}
			if !c.dispensable(shard) {
				continue
			}
			if err := c.failure(s); err == nil || sextant.KindOf(err) == sextant.Corrupt || !c.mayRevive(s.uuid) || c.busyWith("revive "+s.uuid) {
				continue
			}
			c.run.Go(func() {
				defer c.done("revive " + s.uuid)
				c.openAnew(s)
			})
		}
	}
}

// dispensable reports whether the replica here may be closed for a moment: it does not count, or nobody else does.
func (c *cluster) dispensable(shard *topology.Shard) bool {
	me, mine := shard.Replicas[c.n.peer]
	return mine && (!me.InSync || len(shard.InSync()) == 1)
}

// mayRevive reports whether it is time to try, and notes that it is tried. Nothing is tried while a transfer fills the shard.
func (c *cluster) mayRevive(uuid string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	last, now, fresh := c.revived[uuid], time.Now(), false
	switch {
	case c.intakes[uuid] != nil:
		return false
	case last.at.IsZero() || now.Sub(last.at) > last.pause+longRevival: // or it was well meanwhile
		last, fresh = revival{at: now, pause: firstRevival}, true // the disk is given a moment
	case now.Sub(last.at) < last.pause:
		return false
	default:
		last = revival{at: now, pause: min(2*last.pause, longRevival)}
	}
	if c.revived == nil {
		c.revived = map[string]revival{}
	}
	c.revived[uuid] = last
	return !fresh
}

// openAnew closes a shard, if it is open, and opens it.
func (c *cluster) openAnew(s *slot) {
	s.exchange.Lock()
	defer s.exchange.Unlock()
	why := c.failure(s)
	state := c.n.machine.State() // of now: whoever held the exchange may have waited for it to move
	name, _, ok := state.Place(s.uuid)
	if !ok || !c.dispensable(state.Shard(s.uuid)) || s.leaving() || c.n.life.Err() != nil || why == nil {
		return
	}
	c.n.log.Warn("a shard that took no updates any more is opened anew", "shard", s.uuid, "err", why)
	c.hub.Remove(s.uuid)
	was := s.current()
	s.put(waiting, nil)
	if err := was.Close(); err != nil {
		c.n.log.Info("it was not closed well", "shard", s.uuid, "err", err)
	}
	if err := c.load(s, state.Collections[name], c.settingsOf(s.uuid), state.Index); err != nil {
		s.put(quarantined(err), err)
	}
	if err, _ := s.state(); err != nil {
		c.n.log.Warn("it could not be opened", "shard", s.uuid, "err", err)
		return
	}
	c.listAgain(s)
}
