package node

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sextantdb/sextant/engine"
	"github.com/sextantdb/sextant/internal/collection"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/replica"
	"github.com/sextantdb/sextant/internal/topology"
)

// slowBeat is how often reality is compared with the topology though nothing moved.
const slowBeat = time.Second

// loop makes this process match the topology, again and again.
func (c *cluster) loop() {
	for {
		moved := c.n.machine.Watch()
		c.pass()
		select {
		case <-moved:
		case <-c.poked:
		case <-time.After(slowBeat):
		case <-c.n.life.Done():
			return
		}
	}
}

// poke has the next pass come at once.
func (c *cluster) poke() {
	select {
	case c.poked <- struct{}{}:
	default:
	}
}

// follow tells the network who there is.
func (c *cluster) follow() {
	state := c.n.machine.State()
	uris := c.addresses()
	if len(uris) > 1 || len(state.Peers) > 0 {
		if state.Cluster != "" {
			c.net.SetCluster(state.Cluster)
		}
		c.net.SetPeers(uris)
	}
}

// addresses returns where peers are.
func (c *cluster) addresses() map[topology.PeerID]string {
	places := c.places()
	uris := make(map[topology.PeerID]string, len(places))
	for id, p := range places {
		uris[id] = p.URI
	}
	return uris
}

// places returns where peers are: as agreed, or as later lives of them said themselves.
func (c *cluster) places() map[topology.PeerID]topology.Peer {
	places := maps.Clone(c.agreed())
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, p := range places {
		if said := c.heard[id]; said.Life > p.Life {
			places[id] = said
		}
	}
	return places
}

// agreed returns where peers are as consensus has it, or as the own log says behind that. The map is shared.
func (c *cluster) agreed() map[topology.PeerID]topology.Peer {
	applied := c.member.Status().Applied // asked before the state is: it must not be older
	c.mu.Lock()
	written, through := c.written, c.through // others may ask before this one has read its log
	c.mu.Unlock()
	if applied < through {
		return written
	}
	return c.n.machine.State().Peers
}

// remember learns addresses from the log. It is called before this member hears of the others, which it could not answer, and
// which could not elect one of them, if it knew only those in what is surely committed.
func (c *cluster) remember() {
	peers, through := maps.Clone(c.n.machine.State().Peers), uint64(0)
	if peers == nil {
		peers = map[topology.PeerID]topology.Peer{}
	}
	c.member.Written(func(index uint64, b []byte) {
		var command topology.Command
		if json.Unmarshal(b, &command) != nil {
			return
		}
		through = index
		switch {
		case command.AddPeer != nil:
			peers[command.AddPeer.ID] = topology.Peer{URI: topology.NormalURI(command.AddPeer.URI), Life: command.AddPeer.Life}
		case command.UpdatePeer != nil && command.UpdatePeer.URI != "":
			peers[command.UpdatePeer.ID] = topology.Peer{URI: topology.NormalURI(command.UpdatePeer.URI), Life: command.UpdatePeer.Life}
		case command.RemovePeer != nil:
			delete(peers, command.RemovePeer.ID)
		}
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.written, c.through = peers, through
}

// pass makes reality match the present topology as far as it can be done now.
func (c *cluster) pass() {
	n := c.n
	state := n.machine.State()
	c.follow()
	c.noteListed(state)
	c.hub.Show(state)
	have := maps.Clone(*n.hosted.Load())
	names := slices.Sorted(maps.Keys(state.Collections))
	want := map[string]bool{}
	for _, name := range names {
		info := state.Collections[name]
		want[info.UUID] = true
		h := have[info.UUID]
		if h == nil {
			h = &hosted{uuid: info.UUID}
			h.held.Store(&map[topology.ShardID]*slot{})
			have[info.UUID] = h
		}
		c.host(h, name, info, state)
	}
	for _, id := range slices.Sorted(maps.Keys(have)) {
		if h := have[id]; !want[id] && c.mayDelete(state) {
			delete(have, id)
			for _, s := range h.slots() {
				s.leave()
				c.hub.Remove(s.uuid)
				c.forget(s.uuid)
			}
			n.retire(h)
		}
	}
	n.hosted.Store(&have)
	c.list(have)
	c.sweep(state)
	c.hub.Show(state)
	c.wish(state)
	c.receive()
	c.settle(state)
	c.abandon(state)
	c.restores(state)
	c.revive(state)
	newest := n.machine.State() // what ended during this pass is not begun again
	c.send(newest)
	c.copies(newest)
	c.recover(newest)
	c.mu.Lock()
	c.made = max(c.made, state.Index)
	if c.moved != nil {
		close(c.moved)
		c.moved = nil
	}
	c.mu.Unlock()
}

// host makes the replicas of a collection that are here what the topology says, and shows the collection to requests.
func (c *cluster) host(h *hosted, name string, info *topology.Collection, state *topology.State) {
	n := c.n
	slots := maps.Clone(h.slots())
	settings := effective(info.Config, n.settings.Storage.OptimizersOverwrite)
	changed := h.c == nil || h.seen != info
	if !changed {
		return
	}
	var loading errgroup.Group
	loading.SetLimit(loadsAtOnce)
	later := false // something waits until data may be deleted, or until the topology is as new as a shard here
	for _, id := range info.ShardIDs() {
		shard := info.Shards[id]
		_, mine := shard.Replicas[n.peer]
		s := slots[id]
		dir := path.Join(n.dir, collectionsDir, info.UUID, fmt.Sprint(id))
		uuid, made, noted := "", uint64(0), false
		if s == nil && mine {
			uuid, made, noted = c.noted(dir)
		}
		if noted && uuid == shard.UUID && made > state.Index || s == nil && mine && !noted && c.tooOld(state) {
			later = true
			continue
		}
		if s != nil && (!mine || s.uuid != shard.UUID) || noted && uuid != shard.UUID {
			if !c.mayDelete(state) {
				later = true
				continue
			}
			if s != nil {
				delete(slots, id)
				c.leave(s, state.Index)
				s = nil
			} else if err := c.clear(dir); err != nil {
				n.log.Warn("the files of a shard that is no more cannot be removed", "dir", dir, "err", err)
				later = true
				continue
			}
		}
		if !mine || s != nil {
			if s != nil && h.seen != nil && h.seen.Revision != info.Revision {
				if err := s.current().Configure(settings); err != nil {
					n.log.Warn("a shard does not take its new settings", "collection", name, "shard", id, "err", err)
				}
			}
			continue
		}
		s = &slot{id: id, uuid: shard.UUID, dir: dir}
		slots[id] = s
		loading.Go(func() error {
			if err := c.load(s, info, settings, state.Index); err != nil {
				s.put(quarantined(err), err)
				return nil
			}
			c.enlist(s)
			return nil
		})
	}
	_ = loading.Wait() // nobody fails
	for _, id := range slices.Sorted(maps.Keys(slots)) {
		if info.Shards[id] != nil {
			continue
		}
		if !c.mayDelete(state) {
			later = true
			continue
		}
		c.leave(slots[id], state.Index)
		delete(slots, id)
	}
	h.held.Store(&slots)
	if !later {
		h.seen = info
	}
	if h.c == nil {
		h.c = collection.New(name, c.view(h, info))
	} else {
		h.c.Set(c.view(h, info))
	}
}

// enlist makes an open shard a replica.
func (c *cluster) enlist(s *slot) {
	own, ok := s.current().(*engineShard)
	if !ok {
		return
	}
	align := func(ctx context.Context, index uint64) error { return c.align(ctx, s, index) }
	if _, err := c.hub.Add(s.uuid, store(own.Shard), align); err != nil {
		c.n.log.Error("a shard cannot become a replica", "shard", s.uuid, "err", err)
		s.put(quarantined(err), err)
	}
}

func (c *cluster) forget(uuid string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.sets, uuid)
	delete(c.aligned, uuid)
}

// sweep removes, once, what was dropped while this node was away: directories of collections that the topology does not know, and
// of shards that it does not place here.
func (c *cluster) sweep(state *topology.State) {
	if !c.mayDelete(state) || c.busyWith("sweep") {
		return
	}
	known := map[string]bool{}
	for _, info := range state.Collections {
		known[info.UUID] = true
		c.sweepShards(info, state)
	}
	found, err := c.n.fs.List(path.Join(c.n.dir, collectionsDir))
	if err != nil {
		return
	}
	for _, f := range found {
		if f.Dir && !known[f.Name] {
			if err := c.n.discard(f.Name); err != nil {
				c.n.log.Warn("a collection that is no more cannot be removed", "dir", f.Name, "err", err)
			}
		}
	}
}

// sweepShards is sweep for one collection. Only directories that are called as a shard is are touched.
func (c *cluster) sweepShards(info *topology.Collection, state *topology.State) {
	root := path.Join(c.n.dir, collectionsDir, info.UUID)
	found, err := c.n.fs.List(root)
	if err != nil {
		return // there is none
	}
	for _, f := range found {
		id, err := strconv.ParseUint(f.Name, 10, 32)
		if err != nil || !f.Dir {
			continue
		}
		if shard := info.Shards[topology.ShardID(id)]; shard != nil {
			if _, mine := shard.Replicas[c.n.peer]; mine {
				continue
			}
		}
		if h := (*c.n.hosted.Load())[info.UUID]; h != nil && h.slots()[topology.ShardID(id)] != nil {
			continue
		}
		if err = c.act(state.Index); err == nil { // no topology older than this one makes it anew
			err = c.clear(path.Join(root, f.Name))
		}
		if err != nil {
			c.n.log.Warn("the files of a replica that left are still there", "dir", path.Join(root, f.Name), "err", err)
		}
	}
}

// busyWith reports whether something was begun already, and notes it.
func (c *cluster) busyWith(what string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy[what] {
		return true
	}
	c.busy[what] = true
	return false
}

func (c *cluster) done(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.busy, what)
}

// wish proposes what this node wants of the topology for its own replicas, all at once.
func (c *cluster) wish(state *topology.State) {
	n := c.n
	var command topology.Command
	listener := n.settings.Storage.NodeType == "Listener"
	for _, h := range *n.hosted.Load() {
		for _, s := range h.slots() {
			shard := state.Shard(s.uuid)
			if shard == nil {
				continue
			}
			own := shard.Replicas[n.peer]
			broken, _ := s.state()
			set := func(to topology.ReplicaState) {
				command.Replicas = append(command.Replicas, topology.SetReplica{Shard: s.uuid, Peer: n.peer, State: to, From: own.State})
			}
			switch {
			case broken != nil && n.Recovery() == "":
				if own.InSync && len(shard.InSync()) > 1 {
					command.Failed = append(command.Failed, topology.ReplicaFailed{Shard: s.uuid, Term: shard.Term, Version: shard.Version, Peer: n.peer})
				}
			case own.State == topology.Initializing && c.hub.Local(s.uuid) != nil:
				set(topology.Active)
			case own.State == topology.Active && listener && len(shard.Readable()) > 1:
				set(topology.Listener)
			case own.State == topology.Listener && !listener:
				set(topology.Active)
			}
		}
	}
	if self, ok := state.Peers[n.peer]; ok && self.Version != n.opts.Version && len(command.Replicas)+len(command.Failed) == 0 {
		command.UpdatePeer = &topology.UpdatePeer{ID: n.peer, Version: n.opts.Version}
	}
	if len(command.Replicas)+len(command.Failed) == 0 && command.UpdatePeer == nil || c.busyWith("wish") {
		return
	}
	slices.SortFunc(command.Replicas, func(a, b topology.SetReplica) int { return compareText(a.Shard, b.Shard) })
	slices.SortFunc(command.Failed, func(a, b topology.ReplicaFailed) int { return compareText(a.Shard, b.Shard) })
	c.run.Go(func() {
		defer c.done("wish")
		ctx, cancel := context.WithTimeout(n.life, 5*time.Second)
		defer cancel()
		_ = c.Propose(ctx, command) // wished again by a later pass
	})
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// align has a primary log the vector names and payload indexes of a topology that its shard lacks, before an update may need
// them.
func (c *cluster) align(ctx context.Context, s *slot, index uint64) error {
	if err := c.until(ctx, func() bool { return c.n.machine.State().Index >= index }); err != nil {
		return err
	}
	state := c.n.machine.State()
	name, _, ok := state.Place(s.uuid)
	if !ok {
		return sextant404(s)
	}
	info := state.Collections[name]
	c.mu.Lock()
	known := c.aligned[s.uuid]
	c.mu.Unlock()
	if known == info.Revision+1 {
		return nil
	}
	s.schema.Lock()
	defer s.schema.Unlock()
	local := c.hub.Local(s.uuid)
	for local != nil {
		sh, ok := s.current().(*engineShard)
		if !ok {
			return sextant404(s)
		}
		steps := difference(sh.Schema(), info.Schema())
		if len(steps) == 0 {
			break
		}
		for _, key := range slices.Sorted(maps.Keys(steps)) {
			r, err := local.Update(ctx, replica.Request{ID: c.requestID(), Update: steps[key]})
			if err == nil {
				err = local.Await(ctx, order.Seq(r.Seq))
			}
			if err != nil {
				return err
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.aligned[s.uuid] = info.Revision + 1
	return nil
}

var _ replica.Store = (*engine.Shard)(nil)
