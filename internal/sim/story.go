package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/node"
	"github.com/sextantdb/sextant/internal/topology"
)

// assemble starts all machines and waits until they are one cluster.
func (w *World) assemble() {
	for _, p := range w.peers {
		w.sleep(time.Duration(p.i*1_000_003) + 1)
		p.start()
		w.await(time.Minute, fmt.Sprintf("machine %d has begun", p.i), func() bool { return p.node() != nil })
	}
	w.await(time.Minute, "the cluster is complete", func() bool {
		for _, p := range w.peers {
			if state, _ := p.node().Inside(); len(state.Peers) != len(w.peers) {
				return false
			}
		}
		return true
	})
}

// create makes the collection.
func (w *World) create(shards, factor uint32) {
	w.ask("create the collection", func(ctx context.Context, n *node.Node) error {
		return n.CreateCollection(ctx, all, collectionName, vectors(shards, factor), 30*time.Second)
	})
}

// vectors asks for a collection of small vectors.
func vectors(shards, factor uint32) node.CreateCollection {
	return node.CreateCollection{ShardNumber: &shards, ReplicationFactor: &factor,
		Vectors: &sextant.VectorsConfig{Single: true, Map: map[string]sextant.VectorParams{"": {Size: 2, Distance: sextant.Dot}}}}
}

// ask has a node do something that must succeed.
func (w *World) ask(what string, f func(ctx context.Context, n *node.Node) error) {
	var err error
	for try := range 10 {
		p := w.peers[(try+w.rand.IntN(len(w.peers)))%len(w.peers)]
		n := p.node()
		if n == nil {
			continue
		}
		w.do(what, func() {
			ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
			defer cancel()
			err = f(ctx, n)
		})
		w.trace("%s: %v", what, err)
		if err == nil {
			return
		}
	}
	w.fail("%s: %v", what, err)
	panic(stopped{w.failure()})
}

// finish waits until nothing is left to do, and compares all replicas with each other and with what clients have heard.
func (w *World) finish(recovered bool) {
	const patience = 10 * time.Minute
	why := ""
	if !w.pump(time.Now().Add(patience), func() bool { why = w.checker.settled(recovered); return why == "" }) {
		w.fail("invariant 9: %v after the last fault: %s\n%s", patience, why, w.checker.picture())
		panic(stopped{w.failure()})
	}
	w.compare()
	for _, key := range w.history.keys() {
		p := w.peers[w.rand.IntN(len(w.peers))]
		w.do("the last look", func() {
			o := w.operate(context.Background(), p, operation{Client: 99, Kind: read, How: "linearizable", Key: key}, nil, 20*time.Second)
			if o.Outcome != done {
				w.fail("the last read of point %d: %s", key, o.Text)
			}
		})
	}
}

// compare has every node that holds a replica of a shard scroll through it: equal, to the byte.
func (w *World) compare() {
	for _, info := range w.checker.state.Collections {
		for _, id := range info.ShardIDs() {
			shard := info.Shards[id]
			first, of := "", -1
			for _, p := range w.peers {
				if r := shard.Replicas[p.id]; !r.InSync || !r.State.Readable() {
					continue
				}
				n, number := p.node(), uint32(id)
				w.do("scroll", func() {
					records, _, err := n.Scroll(context.Background(), all, collectionName, sextant.Scroll{Limit: 10_000,
						WithPayload: sextant.PayloadSelector{All: true}, WithVector: sextant.VectorSelector{All: true}}, node.ReadOptions{Shard: &number})
					text := fmt.Sprintf("%+v %v", records, err)
					if of >= 0 && text != first {
						w.fail("invariant 9: shard %d on machine %d differs from machine %d:\n%s\n%s", id, p.i, of, text, first)
					}
					first, of = text, p.i
				})
			}
		}
	}
}

// Random returns a world for a seed, and its story: collections come and go, clients work, and one misfortune follows the other.
// In the end all is well again, and everything is compared.
func Random(seed uint64) (Options, func(w *World)) {
	r := rand.New(rand.NewPCG(seed, 7))
	return Options{Seed: seed, Machines: []int{2, 3, 3, 3, 4, 5}[r.IntN(6)]}, func(w *World) {
		w.taste()
		w.assemble()
		for round := range 1 + w.rand.IntN(3) {
			if round > 0 {
				w.ask("drop the collection", func(ctx context.Context, n *node.Node) error {
					_, err := n.DeleteCollection(ctx, all, collectionName, 30*time.Second)
					return err
				})
			}
			w.create(1+w.rand.Uint32N(3), 2+w.rand.Uint32N(uint32(len(w.peers)-1)))
			w.clients(2 + w.rand.IntN(4))
			for end := time.Now().Add(w.span(5*time.Second, 10*time.Second+400*w.pause)); time.Now().Before(end); {
				w.sleep(w.span(10*time.Millisecond, w.calm))
				w.misfortune()
			}
			w.heal()
			w.sleep(w.span(time.Second, 10*time.Second))
			w.rest()
			w.finish(true)
		}
	}
}

// misfortunes are what may happen, and how often.
var misfortunes = []struct {
	weight int
	name   string
	happen func(w *World)
}{
	{6, "cuts one way", func(w *World) {
		i, j := w.two()
		w.cut("cut", i, j, false)
	}},
	{6, "cuts both ways", func(w *World) {
		i, j := w.two()
		w.cut("cut", i, j, true)
	}},
	{4, "machines cut off", func(w *World) {
		i, _ := w.two()
		for j := range w.peers {
			if j != i {
				w.cut("cut off", i, j, true)
			}
		}
	}},
	{4, "partitions", func(w *World) {
		sides := w.rand.Uint64()
		for i := range w.peers {
			for j := range i {
				if sides>>i&1 != sides>>j&1 {
					w.cut("partition", i, j, true)
				}
			}
		}
	}},
	{6, "slow routes", func(w *World) {
		i, j := w.two()
		slow := w.span(10*time.Millisecond, []time.Duration{200 * time.Millisecond, time.Second, 6 * time.Second}[w.rand.IntN(3)])
		w.ail("slow", i, j, func(k *link, on bool) {
			if k.slow = 0; on {
				k.slow = slow
			}
		})
	}},
	{6, "lossy routes", func(w *World) {
		i, j := w.two()
		w.ail("lossy", i, j, func(k *link, on bool) {
			if k.loss = 0; on {
				k.loss = 30
			}
		})
	}},
	{4, "routes that double calls", func(w *World) {
		i, j := w.two()
		w.ail("doubling", i, j, func(k *link, on bool) {
			if k.twice = 0; on {
				k.twice = 200
			}
		})
	}},
	{5, "machines that hear nothing of consensus", func(w *World) {
		i, _ := w.two()
		for j := range w.peers {
			if j != i {
				w.ail("mute", j, i, func(k *link, on bool) { k.mute = on })
			}
		}
	}},
	{4, "losses of all connections of a machine", func(w *World) { w.reset(w.peers[w.rand.IntN(len(w.peers))]) }},
	{8, "machines without power", func(w *World) { w.crash(w.rand.IntN(len(w.peers)), true) }},
	{8, "machines without their process", func(w *World) { w.crash(w.rand.IntN(len(w.peers)), false) }},
	{6, "primaries lost", func(w *World) {
		if p := w.primary(); p != nil {
			w.crash(p.i, w.rand.IntN(2) == 0)
		}
	}},
	{3, "restarts in peace", func(w *World) {
		if p := w.peers[w.rand.IntN(len(w.peers))]; p.node() != nil {
			p.stop()
			p.start()
		}
	}},
	{3, "losses of all machines at once", func(w *World) {
		power := w.rand.IntN(2) == 0
		for i := range w.peers {
			w.crash(i, power)
		}
	}},
	{3, "losses of most machines at once", func(w *World) {
		for _, i := range w.rand.Perm(len(w.peers))[:len(w.peers)/2+1] {
			w.crash(i, false)
		}
	}},
	{4, "full disks", func(w *World) {
		w.sicken(func(d *disk, on bool) {
			if d.fill(-1); on {
				d.fill(w.rand.Int64N(8 << 10))
			}
		})
	}},
	{5, "slow disks", func(w *World) {
		slow := w.span(time.Millisecond, []time.Duration{30 * time.Millisecond, 500 * time.Millisecond, 5 * time.Second}[w.rand.IntN(3)])
		w.sicken(func(d *disk, on bool) {
			if d.ail(0, 0); on {
				d.ail(slow, 0)
			}
		})
	}},
	{4, "failing disks", func(w *World) {
		fails := 5 + w.rand.Uint64N(150)
		w.sicken(func(d *disk, on bool) {
			if d.ail(0, 0); on {
				d.ail(0, fails)
			}
		})
	}},
	{1, "collections made anew", func(w *World) { w.renewCollection() }},
	{9, "transfers", func(w *World) { w.transfer() }},
	{1, "replicas dropped", func(w *World) { w.dropReplica() }},
}

// taste gives each story a character of its own: how many points, how busy the clients, how much peace, and which misfortunes. Some
// things are only found when some others do not happen.
func (w *World) taste() {
	w.history.width = 1 + w.rand.IntN(7)
	w.pause = []time.Duration{6 * time.Millisecond, 40 * time.Millisecond, 120 * time.Millisecond}[w.rand.IntN(3)]
	w.calm = []time.Duration{300 * time.Millisecond, time.Second, 4 * time.Second}[w.rand.IntN(3)]
	w.spared = make([]bool, len(misfortunes))
	for i := range w.spared {
		w.spared[i] = w.rand.IntN(5) < 2
	}
}

// misfortune has one of them happen.
func (w *World) misfortune() {
	list := slices.Clone(misfortunes)
	for i := range w.spared {
		if w.spared[i] {
			list[i].weight = 0
		}
	}
	sum := 1
	for _, m := range list {
		sum += m.weight
	}
	x := w.rand.IntN(sum)
	for _, m := range list {
		if x -= m.weight; x < 0 {
			w.trace("misfortune: %s", m.name)
			w.count("~ " + m.name)
			m.happen(w)
			return
		}
	}
}

// two draws two machines.
func (w *World) two() (i, j int) {
	list := w.rand.Perm(len(w.peers))
	return list[0], list[1]
}

// cut cuts a route, or both of two machines, for a while.
func (w *World) cut(why string, i, j int, both bool) {
	set := func(k *link, on bool) { k.cut = on }
	w.ail(why, i, j, set)
	if both {
		w.ail(why, j, i, set)
	}
}

// ail does something to a route, and undoes it later.
func (w *World) ail(what string, i, j int, set func(k *link, on bool)) {
	w.trace("route %d>%d: %s", i, j, what)
	w.net.change(func() { set(w.net.link(i, j), true) })
	w.in(w.span(50*time.Millisecond, 12*time.Second), fmt.Sprintf("route %d>%d: %s no more", i, j, what), func() {
		w.net.change(func() { set(w.net.link(i, j), false) })
	})
}

// sicken does something to the disk of a machine, and undoes it later.
func (w *World) sicken(set func(d *disk, on bool)) {
	p := w.peers[w.rand.IntN(len(w.peers))]
	d := p.disk
	if d == nil {
		return
	}
	w.trace("the disk of machine %d is sick", p.i)
	set(d, true)
	w.in(w.span(50*time.Millisecond, 10*time.Second), fmt.Sprintf("the disk of machine %d is well", p.i), func() { set(d, false) })
}

// crash ends a machine's process, to be started again soon, perhaps at another address.
func (w *World) crash(i int, power bool) {
	p := w.peers[i]
	if !p.up() {
		return
	}
	p.drop(power)
	if w.rand.IntN(12) == 0 {
		w.count("changes of address")
		p.move++
		p.uri = address(p.i, p.move)
	}
	w.in(w.span(time.Millisecond, []time.Duration{300 * time.Millisecond, 5 * time.Second, 20 * time.Second}[w.rand.IntN(3)]), fmt.Sprintf("machine %d is back", i), func() {
		if !p.up() {
			p.start()
		}
	})
}

// reset breaks all connections of a machine.
func (w *World) reset(p *Peer) {
	w.net.change(func() {
		for _, l := range w.net.lanes {
			if (l.e.peer == p || l.target != nil && l.target.peer == p) && l.up && l.breaks.IsZero() {
				l.breaks = time.Now().Add(w.net.delay("reset"))
			}
		}
	})
}

// primary returns the machine of a primary, nil if nobody knows one that runs.
func (w *World) primary() *Peer {
	info := w.checker.state.Collections[collectionName]
	if info == nil {
		return nil
	}
	ids := info.ShardIDs()
	shard := info.Shards[ids[w.rand.IntN(len(ids))]]
	for _, p := range w.peers {
		if p.id == shard.Primary && p.up() {
			return p
		}
	}
	return nil
}

// heal ends all faults.
func (w *World) heal() {
	w.trace("all is well")
	w.net.heal()
	for _, p := range w.peers {
		if p.disk != nil {
			p.disk.ail(0, 0)
			p.disk.fill(-1)
		} else {
			p.start()
		}
	}
}

// try has a node do something that may fail.
func (w *World) try(what string, f func(ctx context.Context, n *node.Node) error) error {
	n := w.peers[w.rand.IntN(len(w.peers))].node()
	if n == nil {
		return nil
	}
	var err error
	w.do(what, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err = f(ctx, n)
	})
	w.trace("%s: %v", what, err)
	return err
}

// renewCollection drops the collection and makes another of its name at once, while everything goes on.
func (w *World) renewCollection() {
	_ = w.try("drop the collection", func(ctx context.Context, n *node.Node) error {
		_, err := n.DeleteCollection(ctx, all, collectionName, 8*time.Second)
		return err
	})
	shards, factor := 1+w.rand.Uint32N(3), 2+w.rand.Uint32N(uint32(len(w.peers)-1))
	_ = w.try("create the collection", func(ctx context.Context, n *node.Node) error {
		return n.CreateCollection(ctx, all, collectionName, vectors(shards, factor), 8*time.Second)
	})
}

// dropReplica removes a replica for good.
func (w *World) dropReplica() {
	info := w.checker.state.Collections[collectionName]
	if info == nil {
		return
	}
	ids := info.ShardIDs()
	id := ids[w.rand.IntN(len(ids))]
	peers := info.Shards[id].Peers()
	_ = w.try("drop a replica", func(ctx context.Context, n *node.Node) error {
		return n.DropReplica(ctx, all, collectionName, uint32(id), uint64(peers[w.rand.IntN(len(peers))]), 8*time.Second)
	})
}

// transfer starts, aborts or restarts a transfer of a shard between any two machines, as users do.
func (w *World) transfer() {
	info := w.checker.state.Collections[collectionName]
	if info == nil {
		return
	}
	ids := info.ShardIDs()
	id := ids[w.rand.IntN(len(ids))]
	shard := info.Shards[id]
	method := []string{"", topology.WALDelta, topology.StreamRecords, topology.SnapshotMethod}[w.rand.IntN(4)]
	if k := len(shard.Transfers); k > 0 && w.rand.IntN(3) > 0 {
		now := shard.Transfers[w.rand.IntN(k)]
		t := node.Transfer{Shard: uint32(id), From: uint64(now.From), To: uint64(now.To), Method: method, Sync: now.Sync}
		if w.rand.IntN(2) == 0 {
			w.count("transfers aborted")
			_ = w.try("abort a transfer", func(ctx context.Context, n *node.Node) error {
				return n.AbortTransfer(ctx, all, collectionName, t, 8*time.Second)
			})
			return
		}
		w.count("transfers restarted")
		_ = w.try("restart a transfer", func(ctx context.Context, n *node.Node) error {
			return n.RestartTransfer(ctx, all, collectionName, t, 8*time.Second)
		})
		return
	}
	i, j := w.two()
	t := node.Transfer{Shard: uint32(id), From: uint64(w.peers[i].id), To: uint64(w.peers[j].id), Method: method, Sync: w.rand.IntN(3) > 0}
	if w.try("start a transfer", func(ctx context.Context, n *node.Node) error {
		return n.StartTransfer(ctx, all, collectionName, t, 8*time.Second)
	}) == nil {
		w.count("transfers started by users")
	}
}
