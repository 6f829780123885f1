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
	longRevival  = 5 * time.Minute
)

// revive opens shards anew that take no updates since their files could not be written: what is on the disk is read again, as after
// a restart. One that others can do without leaves the in-sync set first: what it has shown to readers may lie above what it
// finds. Damaged data are not read again.
func (c *cluster) revive(state *topology.State) {
	for _, h := range *c.n.hosted.Load() {
		for _, s := range h.slots() {
			shard := state.Shard(s.uuid)
			if shard == nil {
				continue
			}
			me, mine := shard.Replicas[c.n.peer]
			own, ok := s.current().(*engineShard)
			if !ok || !mine || me.InSync && len(shard.InSync()) > 1 {
				continue
			}
			if err := own.Failure(); err == nil || sextant.KindOf(err) == sextant.Corrupt || !c.mayRevive(s.uuid) || c.busyWith("revive "+s.uuid) {
				continue
			}
			c.run.Go(func() {
				defer c.done("revive " + s.uuid)
				c.openAnew(s)
			})
		}
	}
}

// mayRevive reports whether it is time to try, and notes that it is tried. Nothing is tried while a transfer fills the shard.
func (c *cluster) mayRevive(uuid string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	last, now := c.revived[uuid], time.Now()
	switch {
	case c.intakes[uuid] != nil:
		return false
	case last.at.IsZero():
		last = revival{at: now, pause: firstRevival} // the disk is given a moment
	case now.Sub(last.at) < last.pause:
		return false
	default:
		last = revival{at: now, pause: min(2*last.pause, longRevival)}
	}
	first := c.revived[uuid].at.IsZero()
	if c.revived == nil {
		c.revived = map[string]revival{}
	}
	c.revived[uuid] = last
	return !first
}

// openAnew closes a shard and opens it again.
func (c *cluster) openAnew(s *slot) {
	s.exchange.Lock()
	defer s.exchange.Unlock()
	was, ok := s.current().(*engineShard)
	if !ok || s.leaving() || c.n.life.Err() != nil || was.Failure() == nil {
		return
	}
	c.n.log.Warn("a shard that took no updates any more is opened anew", "shard", s.uuid, "err", was.Failure())
	c.hub.Remove(s.uuid)
	s.put(waiting, nil)
	if err := was.Close(); err != nil {
		c.n.log.Info("it was not closed well", "shard", s.uuid, "err", err)
	}
	now, err := c.n.engines.open(s.dir, c.settingsOf(s.uuid))
	if err != nil {
		s.put(quarantined(err), err)
		return
	}
	c.put(s, now)
}
