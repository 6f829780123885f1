package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/vfs"
)

// settledReplicas waits until every node shows all replicas of a collection as active, and no restore or transfer.
func settledReplicas(t testing.TB, m []*member, name string) {
	t.Helper()
	eventually(t, "all replicas are active", func() bool {
		for _, x := range m {
			if x.n == nil {
				continue
			}
			_, info, err := x.n.machine.State().Collection(name)
			if err != nil {
				return false
			}
			for _, s := range info.Shards {
				for _, r := range s.Replicas {
					if r.State != topology.Active || r.Differs || !r.InSync {
						return false
					}
				}
				if len(s.Restores)+len(s.Transfers) > 0 {
					return false
				}
			}
		}
		return true
	})
}

// ownPoints counts what the replica of a node holds, whatever others have.
func ownPoints(t testing.TB, n *Node, name string, id topology.ShardID) uint64 {
	t.Helper()
	_, h := n.find(name)
	got, err := h.slots()[id].current().Count(t.Context(), nil, true)
	must(t, err)
	return got
}

func snapshotOf(t testing.TB, n *Node, name string, shard *uint32) []byte {
	t.Helper()
	info, err := n.CreateSnapshot(t.Context(), all, name, shard)
	must(t, err)
	return download(t, n, name, shard, info.Name)
}

// A snapshot that is restored on one peer becomes what all replicas have, under each priority but the one that prefers the
// others; whoever led before, and whoever restores.
func TestRestoreInACluster(t *testing.T) {
	zero := uint32(0)
	for _, c := range []struct {
		priority string
		shard    *uint32
		by       int
		want     uint64
	}{
		{"", nil, 1, 50}, {"snapshot", &zero, 2, 50}, {"no_sync", nil, 0, 50}, {"no_sync", &zero, 1, 50},
		{"replica", nil, 1, 100}, {"replica", &zero, 0, 100},
	} {
		t.Run(fmt.Sprintf("%s_%v_%d", c.priority, c.shard != nil, c.by), func(t *testing.T) {
			inCluster(t, 3, func(t *testing.T, w *wire, m []*member) {
				replicated(t, m[0].n, "c", 1, 3)
				upsert(t, m[0].n, "c", 0, 50)
				archive := snapshotOf(t, m[2].n, "c", c.shard)
				upsert(t, m[1].n, "c", 50, 100)
				before := m[0].n.machine.State().Collections["c"].Shards[0]
				seq := lastSeq(t, m[c.by].n, "c")
				must(t, upload(t, m[c.by].n, "c", c.shard, archive, RecoverOptions{Priority: c.priority}))
				if c.want == 50 {
					if got := ownPoints(t, m[c.by].n, "c", 0); got != 50 {
						t.Errorf("%d points here when the request is answered", got)
					}
				}
				settledReplicas(t, m, "c")
				for i := range m {
					if got := ownPoints(t, m[i].n, "c", 0); got != c.want {
						t.Errorf("peer %d has %d points", i, got)
					}
				}
				after := m[0].n.machine.State().Collections["c"].Shards[0]
				if after.UUID != before.UUID || c.want == 50 && after.Primary != m[c.by].n.peer {
					t.Errorf("was %+v, is %+v", before, after)
				}
				upsert(t, m[0].n, "c", 200, 210)
				if got := count(t, m[2].n, "c"); got != c.want+10 {
					t.Errorf("%d points", got)
				}
				if now := lastSeq(t, m[c.by].n, "c"); now <= seq {
					t.Errorf("seqs fell from %d to %d", seq, now)
				}
				_, err := m[c.by].n.cluster.hub.Local(after.UUID).Mark(t.Context()) // equal digests, if it leads
				if c.want == 50 {
					must(t, err)
				}
			})
		})
	}
}

func lastSeq(t testing.TB, n *Node, name string) uint64 {
	t.Helper()
	_, h := n.find(name)
	return h.slots()[0].current().Info().LastSeq
}

// While an archive is unpacked the shard is read and written as before; its state is told.
func TestAReplicaServesWhileASnapshotIsUnpacked(t *testing.T) {
	inCluster(t, 2, func(t *testing.T, w *wire, m []*member) {
		replicated(t, m[0].n, "c", 1, 1)
		upsert(t, m[0].n, "c", 0, 50)
		at := 0
		if m[1].n.machine.State().Collections["c"].Shards[0].Primary == m[1].n.peer {
			at = 1
		}
		zero := uint32(0)
		archive := snapshotOf(t, m[at].n, "c", &zero)
		upsert(t, m[0].n, "c", 50, 60)
		_, h := m[at].n.find("c")
		slow := &held{r: bytes.NewReader(archive), gate: make(chan struct{})}
		done := make(chan error, 1)
		go func() {
			done <- m[at].n.cluster.exchange(context.Background(), h, 0, slow, restoreWish{})
		}()
		eventually(t, "the restore is told", func() bool {
			return m[1-at].n.machine.State().Collections["c"].Shards[0].Replicas[m[at].n.peer].State == topology.ManualRecovery
		})
		upsert(t, m[1-at].n, "c", 60, 70)
		for i := range m {
			if got := count(t, m[i].n, "c"); got != 70 {
				t.Errorf("%d points", got)
			}
		}
		close(slow.gate)
		must(t, <-done)
		settledReplicas(t, m, "c")
		if got := count(t, m[1-at].n, "c"); got != 50 {
			t.Errorf("%d points", got)
		}
	})
}

// held is a reader that gives nothing before its gate is opened.
type held struct {
	r    *bytes.Reader
	gate chan struct{}
}

func (h *held) Read(b []byte) (int, error) {
	<-h.gate
	return h.r.Read(b)
}

// What cannot be restored changes nothing: neither data nor states.
func TestABadSnapshotChangesNothing(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, w *wire, m []*member) {
		replicated(t, m[0].n, "c", 1, 3)
		upsert(t, m[0].n, "c", 0, 50)
		zero := uint32(0)
		archive := snapshotOf(t, m[1].n, "c", &zero)
		upsert(t, m[0].n, "c", 50, 60)
		before := m[0].n.machine.State().Collections["c"].Shards[0]
		for _, priority := range []string{"snapshot", "replica"} {
			broken := bytes.Clone(archive)
			broken[len(broken)/2] ^= 1
			for _, bad := range [][]byte{[]byte("no archive"), broken, archive[:len(archive)/2]} {
				if err := upload(t, m[1].n, "c", &zero, bad, RecoverOptions{Priority: priority}); err == nil {
					t.Error("no error")
				}
			}
		}
		settledReplicas(t, m, "c")
		after := m[0].n.machine.State().Collections["c"].Shards[0]
		if after.Term != before.Term || after.Primary != before.Primary {
			t.Errorf("was %+v, is %+v", before, after)
		}
		for i := range m {
			if got := ownPoints(t, m[i].n, "c", 0); got != 60 {
				t.Errorf("peer %d has %d points", i, got)
			}
		}
		must(t, m[0].n.CreateCollection(t.Context(), all, "d", CreateCollection{Vectors: unnamed(3)}, 0))
		for i := range m {
			if err := upload(t, m[i].n, "d", &zero, archive, RecoverOptions{}); sextant.KindOf(err) != sextant.WrongInput {
				t.Errorf("other vectors: %v", err)
			}
		}
		settledReplicas(t, m, "d")
	})
}

// A replica that is behind, and one that has no data, can be restored over too; numbers go on above all that others gave out.
func TestRestoreOverADeadReplica(t *testing.T) {
	byHand(t, 3, func(t *testing.T, w *wire, m []*member) {
		replicated(t, m[0].n, "c", 1, 3)
		upsert(t, m[0].n, "c", 0, 50)
		archive := snapshotOf(t, m[0].n, "c", nil)
		m[2].stop(t)
		upsert(t, m[0].n, "c", 50, 90)
		m[2].start(t, w, 2, manual)
		for range 30 {
			upsert(t, m[0].n, "c", 50, 51)
		}
		seq := lastSeq(t, m[0].n, "c")
		must(t, upload(t, m[2].n, "c", nil, archive, RecoverOptions{}))
		if got := ownPoints(t, m[2].n, "c", 0); got != 50 {
			t.Errorf("%d points", got)
		}
		if now := lastSeq(t, m[2].n, "c"); now <= seq {
			t.Errorf("%d follows %d", now, seq)
		}
		upsert(t, m[0].n, "c", 200, 210)
		shard := m[0].n.machine.State().Collections["c"].Shards[0]
		for i := range 2 { // what they had is not built on
			if r := shard.Replicas[m[i].n.peer]; r.State != topology.Dead || !r.Differs {
				t.Errorf("peer %d is %+v", i, r)
			}
			must(t, m[0].n.StartTransfer(t.Context(), all, "c", Transfer{From: uint64(m[2].n.peer), To: uint64(m[i].n.peer), Method: topology.WALDelta, Sync: true}, 0))
			eventually(t, "the replica is active", func() bool {
				return m[0].n.machine.State().Collections["c"].Shards[0].Replicas[m[i].n.peer].State == topology.Active
			})
		}
		settledReplicas(t, m, "c")
		for i := range m {
			if got := ownPoints(t, m[i].n, "c", 0); got != 60 {
				t.Errorf("peer %d has %d points", i, got)
			}
		}
	})
}

// Snapshots that are restored on all peers at once, over all replicas of all shards: one of them is what is left of each, everywhere,
// and writes go on.
func TestRestoresOnAllPeersAtOnce(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, w *wire, m []*member) {
		replicated(t, m[0].n, "c", 2, 3)
		var archives [][]byte
		for i := range m {
			upsert(t, m[0].n, "c", uint64(i*50), uint64(i*50+50))
			archives = append(archives, snapshotOf(t, m[i].n, "c", nil))
		}
		done := make(chan error, len(m)+1)
		for i := range m {
			go func() {
				err := upload(t, m[i].n, "c", nil, archives[i], RecoverOptions{})
				if err != nil {
					err = fmt.Errorf("upload to peer %d: %w", i, err)
				}
				done <- err
			}()
		}
		go func() {
			var err error
			for i := range 20 {
				_, failed := m[i%3].n.Update(context.Background(), all, "c", sextant.Upsert{Points: []sextant.Point{point(uint64(1000+i), 1, "{}")}}, WriteOptions{Wait: true})
				err = errors.Join(err, failed)
				time.Sleep(50 * time.Millisecond)
			}
			done <- err
		}()
		for range len(m) + 1 {
			must(t, <-done)
		}
		settledReplicas(t, m, "c")
		want := everything(t, m[0].n, "c")
		for i := range m {
			if got := everything(t, m[i].n, "c"); got != want {
				t.Errorf("peer %d has\n%s\npeer 0 has\n%s", i, got, want)
			}
			for id := range topology.ShardID(2) {
				if got, want := ownPoints(t, m[i].n, "c", id), ownPoints(t, m[0].n, "c", id); got != want {
					t.Errorf("shard %d has %d points on peer %d, and %d on peer 0", id, got, i, want)
				}
			}
		}
		upsert(t, m[1].n, "c", 2000, 2010)
	})
}

// The only replica that lost its files is healed by a snapshot, and does not give out numbers again.
func TestRestoreHealsTheLastReplica(t *testing.T) {
	inCluster(t, 1, func(t *testing.T, w *wire, m []*member) {
		replicated(t, m[0].n, "c", 1, 1)
		upsert(t, m[0].n, "c", 0, 50)
		archive := snapshotOf(t, m[0].n, "c", nil)
		for range 20 {
			upsert(t, m[0].n, "c", 50, 60)
		}
		seq := lastSeq(t, m[0].n, "c")
		m[0].stop(t)
		for _, dir := range replicaDirs(t, m[0].disk) {
			must(t, m[0].disk.RemoveAll(path.Join("/data/collections", dir)))
		}
		m[0].start(t, w, 0)
		must(t, upload(t, m[0].n, "c", nil, archive, RecoverOptions{}))
		if got := count(t, m[0].n, "c"); got != 50 || lastSeq(t, m[0].n, "c") <= seq {
			t.Errorf("%d points, seq %d follows %d", got, lastSeq(t, m[0].n, "c"), seq)
		}
		m[0].stop(t)
		m[0].start(t, w, 0)
		eventually(t, "it outlives a restart", func() bool {
			n, err := m[0].n.Count(t.Context(), all, "c", nil, true, ReadOptions{})
			return err == nil && n == 50
		})
	})
}

// fuse ends the life of a node when it changes its disk for the k-th time since it was armed.
type fuse struct {
	vfs.FS
	left   atomic.Int64
	strike func()
}

func (f *fuse) burn() {
	if f.left.Add(-1) == 0 {
		f.strike()
	}
}

func (f *fuse) Create(name string) (vfs.File, error)     { f.burn(); return f.FS.Create(name) }
func (f *fuse) OpenAppend(name string) (vfs.File, error) { f.burn(); return f.FS.OpenAppend(name) }
func (f *fuse) Rename(from, to string) error             { f.burn(); return f.FS.Rename(from, to) }
func (f *fuse) Remove(name string) error                 { f.burn(); return f.FS.Remove(name) }
func (f *fuse) RemoveAll(name string) error              { f.burn(); return f.FS.RemoveAll(name) }
func (f *fuse) MkdirAll(name string) error               { f.burn(); return f.FS.MkdirAll(name) }
func (f *fuse) SyncDir(name string) error                { f.burn(); return f.FS.SyncDir(name) }

// Wherever the peer that restores dies, all replicas end up with the one state or with the other, and with the new one if the request
// was answered.
func TestPeerDiesWhileItRestores(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 1))
	step := 1 + chance.IntN(6)
	for k := step; ; k += 1 + chance.IntN(8) {
		over := false
		by, factor, power := chance.IntN(3), uint32(1+2*chance.IntN(2)), chance.IntN(2) == 0
		synctest.Test(t, func(t *testing.T) { over = dieRestoring(t, k, by, factor, power, seed) })
		if t.Failed() {
			t.Fatalf("seed %d: call %d, peer %d, factor %d, power %v", seed, k, by, factor, power)
		}
		if over {
			t.Logf("the last call was before %d", k)
			return
		}
	}
}

func dieRestoring(t *testing.T, k, by int, factor uint32, power bool, seed uint64) (over bool) {
	w := &wire{ends: map[string]*wireEnd{}}
	var m []*member
	var fuses []*fuse
	for i := range 3 {
		m = append(m, &member{disk: &vfs.Mem{}})
		fuses = append(fuses, &fuse{FS: m[i].disk})
		m[i].start(t, w, i, func(o *Options) { o.FS = fuses[i] })
	}
	replicated(t, m[0].n, "c", 1, factor)
	upsert(t, m[0].n, "c", 0, 50)
	if factor == 1 {
		for i := range m {
			if m[i].n.machine.State().Collections["c"].Shards[0].Primary == m[i].n.peer {
				by = i
			}
		}
	}
	archive := snapshotOf(t, m[by].n, "c", nil)
	upsert(t, m[0].n, "c", 50, 100)

	died := make(chan struct{})
	var next *vfs.Mem
	fuses[by].strike = func() {
		end := w.at(peerURI(by))
		w.mu.Lock()
		delete(w.ends, topology.NormalURI(peerURI(by)))
		w.mu.Unlock()
		end.end() // nobody hears it any more, and it hears nobody
		if power {
			next = m[by].disk.Crash(rand.New(rand.NewPCG(seed, uint64(k))))
		} else {
			next = m[by].disk.Kill()
		}
		close(died)
	}
	answered := make(chan error, 1)
	fuses[by].left.Store(int64(k))
	go func() { answered <- upload(t, m[by].n, "c", nil, archive, RecoverOptions{}) }()
	var err error
	dead := false
	select {
	case err = <-answered:
		dead = fuses[by].left.Swap(0) <= 0 // it is dying, or was before the answer was read
		over = !dead
	case <-died:
		dead = true
		select {
		case err = <-answered:
		case <-time.After(5 * time.Minute):
			err = errors.New("not answered")
		}
	}
	if dead {
		<-died
		_ = m[by].n.Close(context.Background())
		m[by].disk = next
		m[by].start(t, w, by)
	}
	if over && err != nil {
		t.Errorf("no death, but: %v", err)
	}
	settledReplicas(t, m, "c")
	var got []uint64
	eventually(t, "all peers read the same", func() bool {
		got = nil
		for i := range m {
			n, err := m[i].n.Count(t.Context(), all, "c", nil, true, ReadOptions{})
			if err != nil {
				return false
			}
			if got = append(got, n); n != got[0] {
				return false
			}
		}
		return true
	})
	if got[0] != 50 && got[0] != 100 || err == nil && got[0] != 50 {
		t.Errorf("points: %v, answer: %v", got, err)
	}
	replicas := 0
	for i := range m {
		if _, h := m[i].n.find("c"); h.slots()[0] != nil {
			replicas++
			eventually(t, "each replica has them", func() bool { return ownPoints(t, m[i].n, "c", 0) == got[0] })
		}
	}
	if replicas != int(factor) {
		t.Errorf("%d replicas", replicas)
	}
	upsert(t, m[(by+1)%3].n, "c", 200, 210)
	for _, x := range m {
		x.stop(t)
	}
	return over
}
