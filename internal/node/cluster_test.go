package node

import (
	"context"
	"fmt"
	"path"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/network"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/vfs"
)

// carry holds a lane open as long as the other end is the same process, and looks for the next one.
func (e *wireEnd) carry(ctx context.Context, id topology.PeerID, uri string, lane network.Lane, queue chan []byte) {
	for ctx.Err() == nil {
		to := e.w.at(uri)
		if to == nil || to.self.Peer != id {
			select {
			case <-queue: // nobody is there
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		for len(queue) > 0 { // of the connection before
			<-queue
		}
		e.h.Connected(id, to.self.Life, lane, true)
		for open := true; open; {
			select {
			case b := <-queue:
				to.h.Receive(e.self.Peer, lane, b)
			case <-to.life.Done():
				open = false
			case <-ctx.Done():
				open = false
			}
		}
		e.h.Connected(id, to.self.Life, lane, false)
	}
}

type member struct {
	disk *vfs.Mem
	n    *Node
}

func peerURI(i int) string { return fmt.Sprintf("http://peer%d:6335", i) }

func clusterOptions(w *wire, disk vfs.FS, i int, change ...func(o *Options)) Options {
	c := settings()
	c.Cluster.Enabled = true
	o := Options{Settings: c, FS: disk, Version: "1.19.0", Cluster: ClusterOptions{URI: peerURI(i), Seed: uint64(i + 1), Connect: w.connect(peerURI(i))}}
	if i > 0 {
		o.Cluster.Bootstrap = peerURI(0)
	}
	for _, f := range change {
		f(&o)
	}
	return o
}

func (m *member) start(t testing.TB, w *wire, i int, change ...func(o *Options)) {
	t.Helper()
	n, err := Open(context.Background(), clusterOptions(w, m.disk, i, change...))
	if err != nil {
		t.Fatal(err)
	}
	m.n = n
}

func (m *member) stop(t testing.TB) {
	t.Helper()
	must(t, m.n.Close(context.Background()))
	m.n = nil
}

// inCluster runs a test with some nodes in virtual time.
func inCluster(t *testing.T, nodes int, f func(t *testing.T, w *wire, m []*member)) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{ends: map[string]*wireEnd{}}
		var all []*member
		for i := range nodes {
			all = append(all, &member{disk: &vfs.Mem{}})
			all[i].start(t, w, i)
		}
		f(t, w, all)
		for _, m := range all {
			if m.n != nil {
				m.stop(t)
			}
		}
	})
}

func eventually(t testing.TB, what string, ready func() bool) {
	t.Helper()
	for range 300 {
		if ready() {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("not within 30 s: %s", what)
}

func replicated(t testing.TB, n *Node, name string, shards, factor uint32) {
	t.Helper()
	must(t, n.CreateCollection(t.Context(), all, name, CreateCollection{Vectors: unnamed(2), ShardNumber: &shards, ReplicationFactor: &factor}, 0))
}

// What is written through one peer is there through every other, and outlives restarts of all.
func TestClusterAnswersFromAnyPeer(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, w *wire, m []*member) {
		replicated(t, m[1].n, "c", 4, 2)
		for i := range m {
			upsert(t, m[i].n, "c", uint64(i*100), uint64(i*100+100))
		}
		for i := range m {
			if got := count(t, m[i].n, "c"); got != 300 {
				t.Errorf("peer %d counts %d points", i, got)
			}
			info, err := m[i].n.CollectionInfo(t.Context(), all, "c")
			must(t, err)
			if info.Points != 300 {
				t.Errorf("peer %d tells of %d points", i, info.Points)
			}
		}
		for i := range m {
			m[i].stop(t)
		}
		done := make(chan error, len(m))
		for _, i := range []int{2, 0, 1} { // each waits for the others
			go func() {
				n, err := Open(context.Background(), clusterOptions(w, m[i].disk, i))
				m[i].n = n
				done <- err
			}()
		}
		for range m {
			must(t, <-done)
		}
		for i := range m {
			if got := count(t, m[i].n, "c"); got != 300 {
				t.Errorf("after the restart peer %d counts %d points", i, got)
			}
			upsert(t, m[i].n, "c", 0, 50)
		}
	})
}

// A shard survives its primary; one that is alone refuses.
func TestClusterLosesPeers(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, w *wire, m []*member) {
		replicated(t, m[0].n, "c", 3, 3)
		upsert(t, m[0].n, "c", 0, 50)
		m[0].stop(t)
		begin := time.Now()
		upsert(t, m[1].n, "c", 50, 100)
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("the write took %v", took)
		}
		m[2].stop(t)
		_, err := m[1].n.Update(t.Context(), all, "c", sextant.Upsert{Points: []sextant.Point{point(1000, 1, "{}")}}, WriteOptions{Wait: true})
		if err == nil {
			t.Error("a minority acknowledged")
		}
		if got := count(t, m[1].n, "c"); got < 100 {
			t.Errorf("a minority reads %d points", got)
		}
	})
}

func replicaDirs(t testing.TB, disk vfs.FS) (dirs []string) {
	t.Helper()
	found, err := disk.List("/data/collections")
	must(t, err)
	for _, c := range found {
		shards, err := disk.List(path.Join("/data/collections", c.Name))
		must(t, err)
		for _, s := range shards {
			if s.Dir {
				dirs = append(dirs, c.Name+"/"+s.Name)
			}
		}
	}
	return dirs
}

// A replica that was dropped while its node was away goes when the node has caught up, not before, and not never.
func TestReplicaDroppedWhileAway(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, w *wire, m []*member) {
		replicated(t, m[0].n, "c", 1, 3)
		upsert(t, m[0].n, "c", 0, 10)
		away := m[2].n.PeerID()
		m[2].stop(t)
		upsert(t, m[0].n, "c", 10, 20) // it leaves the set
		must(t, m[0].n.DropReplica(t.Context(), all, "c", 0, away, 0))
		if got := len(replicaDirs(t, m[2].disk)); got != 1 {
			t.Fatalf("%d replicas on the disk that is away", got)
		}
		m[2].start(t, w, 2)
		eventually(t, "the replica is gone", func() bool { return len(replicaDirs(t, m[2].disk)) == 0 })
		if got := count(t, m[2].n, "c"); got != 20 {
			t.Errorf("%d points", got)
		}
	})
}

// Numbers of shards come again: a node that was away while one shard followed another does not show points of the old one.
func TestShardNumberComesAgain(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, w *wire, m []*member) {
		custom := "custom"
		factor := uint32(3)
		must(t, m[0].n.CreateCollection(t.Context(), all, "c", CreateCollection{Vectors: unnamed(2), ShardingMethod: &custom, ReplicationFactor: &factor}, 0))
		a, b := ShardKey{Word: "a"}, ShardKey{Word: "b"}
		one := uint32(1)
		must(t, m[0].n.CreateShardKey(t.Context(), all, "c", CreateShardKey{Key: a, Shards: &one}, 0))
		_, err := m[0].n.Update(t.Context(), all, "c", sextant.Upsert{Points: []sextant.Point{point(1, 1, "{}")}}, WriteOptions{Wait: true, ShardKey: []ShardKey{a}})
		must(t, err)
		m[2].stop(t)
		must(t, m[0].n.DropShardKey(t.Context(), all, "c", a, 0))
		m[0].n.Go("b", func(ctx context.Context) error { // it waits for the one that is away
			return m[0].n.CreateShardKey(ctx, all, "c", CreateShardKey{Key: b, Shards: &one}, 30*time.Second)
		})
		time.Sleep(time.Second)
		m[2].start(t, w, 2)
		own := m[2].n
		eventually(t, "the new shard is active everywhere", func() bool {
			_, info, err := own.machine.State().Collection("c")
			return err == nil && len(info.Shards) == 1 && info.Shards[1] != nil && len(info.Shards[1].Readable()) == 3
		})
		for _, h := range *own.hosted.Load() {
			got, err := h.slots()[1].current().Count(t.Context(), nil, true)
			must(t, err)
			if got != 0 {
				t.Errorf("the new shard has %d points of the old one", got)
			}
		}
	})
}

// After a restart consensus may show a topology that is older than a replica here, and speaks of the one before it: it is not
// acted on.
func TestReplicaIsOfNoOlderTopology(t *testing.T) {
	inCluster(t, 2, func(t *testing.T, w *wire, m []*member) {
		replicated(t, m[0].n, "c", 1, 2)
		upsert(t, m[0].n, "c", 0, 10)
		var uuid, note string
		for _, info := range m[0].n.machine.State().Collections {
			uuid, note = info.Shards[0].UUID, noteOf(path.Join("/data/collections", info.UUID, "0"))
		}
		made := m[0].n.machine.State().Index + 3
		m[1].stop(t)
		must(t, vfs.WriteAtomic(m[1].disk, note, fmt.Appendf(nil, "%s %d", uuid, made)))
		m[1].start(t, w, 1)
		time.Sleep(3 * time.Second)
		if now := m[1].n.machine.State().Index; now >= made || m[1].n.cluster.hub.Local(uuid) != nil {
			t.Errorf("the replica was made at %d, is open %v at %d", made, m[1].n.cluster.hub.Local(uuid) != nil, now)
		}
		for i := 0; m[0].n.machine.State().Index < made; i++ {
			replicated(t, m[0].n, fmt.Sprint("other", i), 1, 1)
		}
		eventually(t, "the replica is open", func() bool { return m[1].n.cluster.hub.Local(uuid) != nil })
		if got := count(t, m[1].n, "c"); got != 10 {
			t.Errorf("%d points", got)
		}
	})
}

// Files that are gone are not replaced by an empty shard that counts as one with everything.
func TestLostFilesAreNotMadeAnew(t *testing.T) {
	byHand(t, 3, func(t *testing.T, w *wire, m []*member) {
		replicated(t, m[0].n, "c", 1, 3)
		upsert(t, m[0].n, "c", 0, 10)
		m[2].stop(t)
		for _, dir := range replicaDirs(t, m[2].disk) {
			must(t, m[2].disk.RemoveAll(path.Join("/data/collections", dir)))
		}
		m[2].start(t, w, 2, manual)
		eventually(t, "the replica gave way", func() bool {
			_, info, err := m[0].n.machine.State().Collection("c")
			return err == nil && info.Shards[0].Replicas[m[2].n.peer].State == topology.Dead
		})
		for i := range m {
			if got := count(t, m[i].n, "c"); got != 10 {
				t.Errorf("peer %d counts %d points", i, got)
			}
		}
	})
}

// The only replica that lost its files answers errors, not that there is nothing.
func TestLastFilesAreLost(t *testing.T) {
	inCluster(t, 1, func(t *testing.T, w *wire, m []*member) {
		replicated(t, m[0].n, "c", 1, 1)
		upsert(t, m[0].n, "c", 0, 10)
		m[0].stop(t)
		for _, dir := range replicaDirs(t, m[0].disk) {
			must(t, m[0].disk.RemoveAll(path.Join("/data/collections", dir)))
		}
		m[0].start(t, w, 0)
		time.Sleep(10 * time.Second) // whatever may be read is read by then
		if got, err := m[0].n.Count(t.Context(), all, "c", nil, true, ReadOptions{Timeout: 5 * time.Second}); err == nil {
			t.Errorf("%d points", got)
		}
	})
}

// What a lone node had is the first state of the cluster that it begins.
func TestLoneNodeBeginsCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, disk := &wire{ends: map[string]*wireEnd{}}, &vfs.Mem{}
		c := settings()
		n, err := Open(context.Background(), Options{Settings: c, FS: disk, Version: "1.19.0"})
		must(t, err)
		create(t, n, "c", 2)
		upsert(t, n, "c", 0, 40)
		must(t, n.Close(context.Background()))
		first, second := &member{disk: disk}, &member{disk: &vfs.Mem{}}
		first.start(t, w, 0)
		second.start(t, w, 1)
		for _, m := range []*member{first, second} {
			if got := count(t, m.n, "c"); got != 40 {
				t.Errorf("%d points", got)
			}
		}
		upsert(t, second.n, "c", 40, 50)
		if got := count(t, first.n, "c"); got != 50 {
			t.Errorf("%d points", got)
		}
		second.stop(t)
		first.stop(t)
	})
}

// Wrong starts end with an error that says why, and change nothing.
func TestWrongStarts(t *testing.T) {
	inCluster(t, 2, func(t *testing.T, w *wire, m []*member) {
		replicated(t, m[0].n, "c", 2, 2)
		upsert(t, m[0].n, "c", 0, 10)
		for _, wrong := range []struct {
			name, text string
			change     func(o *Options)
		}{
			{"an id that is taken", "two processes must not have the same id", func(o *Options) {
				id := m[1].n.PeerID()
				o.Settings.Cluster.PeerID = &id
			}},
			{"an address where nobody is", "no success within", func(o *Options) {
				o.Cluster.Bootstrap = "http://nobody:6335"
				o.Settings.Cluster.Consensus.BootstrapTimeoutSec = 2
			}},
			{"the address of another", "already used by peer", func(o *Options) {
				o.Cluster.URI = peerURI(1)
				o.Cluster.Connect = w.connect(peerURI(7))
			}},
		} {
			n, err := Open(context.Background(), clusterOptions(w, &vfs.Mem{}, 5, wrong.change))
			if err == nil {
				t.Errorf("%s: no error", wrong.name)
				must(t, n.Close(context.Background()))
			} else if !strings.Contains(err.Error(), wrong.text) {
				t.Errorf("%s: %v", wrong.name, err)
			}
		}
		if got := count(t, m[1].n, "c"); got != 10 || len(m[0].n.machine.State().Peers) != 2 {
			t.Errorf("%d points, %d peers", got, len(m[0].n.machine.State().Peers))
		}
	})
}

// A peer that was away when another one moved hears where that one is from itself: no quorum may be had without its answers.
func TestMovedPeerTellsWhoWasAway(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, w *wire, m []*member) {
		m[1].stop(t)
		m[2].stop(t)
		m[2].start(t, w, 2, func(o *Options) {
			o.Cluster.URI, o.Cluster.Connect = peerURI(7), w.connect(peerURI(7))
		})
		m[0].stop(t) // the only other one that knows
		m[1].start(t, w, 1)
		eventually(t, "the two agree on something", func() bool {
			return m[1].n.SetMetadata(t.Context(), all, "k", []byte("1"), true) == nil
		})
	})
}

// What a peer says of itself counts until consensus has what that life of it, or a later one, said: not what comes late.
func TestAddressesAreOfTheLatestLife(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, w *wire, m []*member) {
		c, other := m[0].n.cluster, m[1].n.peer
		life := c.places()[other].Life
		agree := func(uri string, life uint64) {
			t.Helper()
			must(t, c.Propose(t.Context(), topology.Command{UpdatePeer: &topology.UpdatePeer{ID: other, URI: uri, Life: life}}))
		}
		is := func(want string) {
			t.Helper()
			if got := c.addresses()[other]; got != want {
				t.Errorf("peer 1 is at %s, want %s", got, want)
			}
		}
		home := c.addresses()[other]
		c.hear(map[topology.PeerID]topology.Peer{other: {URI: "http://third:1/", Life: life + 3}, 12345: {URI: "http://nobody:1/", Life: 1}})
		is("http://third:1/")
		agree("http://second:1/", life+2) // applied late
		is("http://third:1/")
		c.hear(map[topology.PeerID]topology.Peer{other: {URI: "http://second:1/", Life: life + 2}}) // heard late
		is("http://third:1/")
		agree("http://fourth:1/", life+4)
		is("http://fourth:1/")
		if c.addresses()[12345] != "" {
			t.Error("a stranger has an address")
		}
		agree(home, life+5)
	})
}
