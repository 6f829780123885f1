package node

import (
	"bytes"
	"log/slog"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/vfs"
)

// manual has no automatic recovery.
func manual(o *Options) {
	none := uint64(0)
	o.Settings.Storage.Performance.IncomingTransfersLimit, o.Settings.Storage.Performance.OutgoingTransfersLimit = &none, &none
}

// byHand is inCluster without automatic recovery.
func byHand(t *testing.T, nodes int, f func(t *testing.T, w *wire, m []*member)) {
	inCluster(t, 0, func(t *testing.T, w *wire, _ []*member) {
		var m []*member
		for i := range nodes {
			m = append(m, &member{disk: &vfs.Mem{}})
			m[i].start(t, w, i, manual)
		}
		f(t, w, m)
		for _, one := range m {
			if one.n != nil {
				one.stop(t)
			}
		}
	})
}

func shardOf(t testing.TB, n *Node, name string) *topology.Shard {
	t.Helper()
	_, info, err := n.machine.State().Collection(name)
	must(t, err)
	return info.Shards[0]
}

func stateOf(t testing.TB, n *Node, of *Node) topology.ReplicaState {
	t.Helper()
	return shardOf(t, n, "c").Replicas[of.peer].State
}

// starts begins a transfer of shard 0 of "c" and waits until it is over; it returns what the list told on the way.
func starts(t testing.TB, by, from, to *Node, method string, sync bool) (comments []string, methods map[string]bool) {
	t.Helper()
	must(t, by.StartTransfer(t.Context(), all, "c", Transfer{From: from.PeerID(), To: to.PeerID(), Method: method, Sync: sync}, 0))
	methods = map[string]bool{}
	eventually(t, method+" is over", func() bool {
		for _, n := range []*Node{from, by} { // who was asked knows of the start
			info, err := n.CollectionCluster(all, "c")
			must(t, err)
			for _, x := range info.Transfers {
				methods[x.Method] = true
				if x.Comment != "" {
					comments = append(comments, x.Comment)
				}
			}
			if len(info.Transfers) > 0 {
				return false
			}
		}
		return true
	})
	return comments, methods
}

// equalReplicas compares the digests of the replicas on some nodes, at the same entry.
func equalReplicas(t testing.TB, nodes ...*Node) {
	t.Helper()
	eventually(t, "the replicas are equal", func() bool {
		var first []byte
		for i, n := range nodes {
			s := n.cluster.slot(shardOf(t, n, "c").UUID)
			if s == nil {
				return false
			}
			own, ok := s.current().(*engineShard)
			if !ok {
				return false
			}
			d, _ := own.Digest()
			if i == 0 {
				first = d
			} else if !bytes.Equal(first, d) {
				return false
			}
		}
		return true
	})
}

var commentForm = regexp.MustCompile(`^[a-z ]+ \(\d+\.\d\ds\) \| Transferring records \((\d+)/(\d+)\), started \d+s ago, ETA: (-|\d+\.\d\ds)`)

// A replica that was away is brought back by each method, by each replica, and may then bring back another one.
func TestReplicaComesBack(t *testing.T) {
	for _, method := range []string{topology.WALDelta, topology.StreamRecords, topology.SnapshotMethod} {
		t.Run(method, func(t *testing.T) {
			byHand(t, 5, func(t *testing.T, w *wire, m []*member) {
				replicated(t, m[0].n, "c", 1, 5)
				upsert(t, m[0].n, "c", 0, 100)
				m[2].stop(t)
				m[3].stop(t)
				upsert(t, m[0].n, "c", 50, 150)
				m[2].start(t, w, 2, manual)
				m[3].start(t, w, 3, manual)
				for i := 2; i < 4; i++ {
					if got := stateOf(t, m[0].n, m[i].n); got != topology.Dead {
						t.Fatalf("the replica that was away is %s", got)
					}
					from := m[i-1].n // of the second one: the first that came back
					comments, _ := starts(t, m[0].n, from, m[i].n, method, true)
					for _, c := range comments {
						if !commentForm.MatchString(c) {
							t.Errorf("a comment of another form: %q", c)
						}
					}
					if len(comments) == 0 {
						t.Error("no comment was seen")
					}
					if got := stateOf(t, m[0].n, m[i].n); got != topology.Active {
						t.Fatalf("it is %s", got)
					}
					upsert(t, m[i].n, "c", uint64(200+i), uint64(203+i))
				}
				equalReplicas(t, m[0].n, m[1].n, m[2].n, m[3].n, m[4].n)
				own := m[3].n.cluster.slot(shardOf(t, m[3].n, "c").UUID).current().(*engineShard)
				eventually(t, "it is noted as active", func() bool { return own.Stands().ActiveThrough == nil })
				m[3].stop(t) // what came by a transfer outlives a restart
				m[3].start(t, w, 3, manual)
				upsert(t, m[3].n, "c", 300, 310)
				equalReplicas(t, m[0].n, m[3].n)
			})
		})
	}
}

// A replica that differs from nothing is brought back by an empty delta, also the primary's.
func TestEmptyDelta(t *testing.T) {
	byHand(t, 2, func(t *testing.T, w *wire, m []*member) {
		replicated(t, m[0].n, "c", 1, 2)
		upsert(t, m[0].n, "c", 0, 20)
		_, methods := starts(t, m[0].n, m[0].n, m[1].n, topology.WALDelta, true)
		_, more := starts(t, m[1].n, m[1].n, m[0].n, topology.WALDelta, true)
		if len(methods) != 1 || len(more) != 1 {
			t.Errorf("methods %v, %v", methods, more)
		}
		equalReplicas(t, m[0].n, m[1].n)
	})
}

// A copy may know less than what was there before it: it is of no topology that is older.
func TestCopyIsOfNoOlderTopology(t *testing.T) {
	byHand(t, 2, func(t *testing.T, w *wire, m []*member) {
		replicated(t, m[0].n, "c", 1, 2)
		upsert(t, m[0].n, "c", 0, 10)
		before := m[0].n.machine.State()
		starts(t, m[0].n, m[0].n, m[1].n, topology.StreamRecords, true)
		for _, info := range before.Collections {
			uuid, made, ok := m[1].n.cluster.noted(path.Join("/data/collections", info.UUID, "0"))
			if !ok || uuid != info.Shards[0].UUID || made <= before.Index {
				t.Errorf("the copy of %s is of topology %d, it was begun behind %d", uuid, made, before.Index)
			}
		}
	})
}

// A delta for a peer that has nothing goes on as a copy; a move takes the sender's replica away.
func TestFallbackAndMove(t *testing.T) {
	byHand(t, 3, func(t *testing.T, w *wire, m []*member) {
		replicated(t, m[0].n, "c", 1, 1)
		upsert(t, m[0].n, "c", 0, 2500)
		var has, other *Node
		for _, one := range m {
			if shardOf(t, m[0].n, "c").Primary == one.n.peer {
				has = one.n
			} else {
				other = one.n
			}
		}
		_, methods := starts(t, m[0].n, has, other, topology.WALDelta, true)
		if !methods[topology.StreamRecords] {
			t.Errorf("only %v were seen", methods)
		}
		equalReplicas(t, has, other)
		upsert(t, m[0].n, "c", 2400, 2600)
		must(t, m[0].n.DropReplica(t.Context(), all, "c", 0, has.PeerID(), 0))
		starts(t, m[0].n, other, has, topology.SnapshotMethod, false)
		if now := shardOf(t, m[0].n, "c"); len(now.Replicas) != 1 || now.Primary != has.peer || now.Replicas[has.peer].State != topology.Active {
			t.Fatalf("behind the move: %+v", now)
		}
		for _, one := range m {
			if got := count(t, one.n, "c"); got != 2600 {
				t.Errorf("%d points", got)
			}
		}
	})
}

// An abort leaves the receiver Dead with what it had, and the next delta goes on from there, counted from where it left.
func TestAbortAndRetry(t *testing.T) {
	byHand(t, 3, func(t *testing.T, w *wire, m []*member) {
		replicated(t, m[0].n, "c", 1, 3)
		upsert(t, m[0].n, "c", 0, 50)
		m[2].stop(t)
		for i := range uint64(50) {
			upsert(t, m[0].n, "c", 100+5*i, 105+5*i)
		}
		m[2].start(t, w, 2, manual)
		one := Transfer{From: m[0].n.PeerID(), To: m[2].n.PeerID(), Method: topology.WALDelta, Sync: true}
		for range 2 {
			must(t, m[0].n.StartTransfer(t.Context(), all, "c", one, 0))
			if err := m[1].n.StartTransfer(t.Context(), all, "c", one, 0); err == nil || !strings.Contains(err.Error(), "is already involved in transfer") {
				t.Errorf("a second one: %v", err)
			}
			eventually(t, "50 entries are counted", func() bool {
				info, err := m[0].n.CollectionCluster(all, "c")
				must(t, err)
				if len(info.Transfers) != 1 {
					return false
				}
				told := commentForm.FindStringSubmatch(info.Transfers[0].Comment)
				return told != nil && len(told[2]) == 2 && told[2] >= "50"
			})
			must(t, m[1].n.AbortTransfer(t.Context(), all, "c", one, 0))
			eventually(t, "the receiver knows that it is Dead", func() bool { return stateOf(t, m[2].n, m[2].n) == topology.Dead })
			if err := m[1].n.AbortTransfer(t.Context(), all, "c", one, 0); sextant.KindOf(err) != sextant.NotFound {
				t.Errorf("a second abort: %v", err)
			}
		}
		one.Method = topology.StreamRecords
		must(t, m[0].n.StartTransfer(t.Context(), all, "c", one, 0))
		must(t, m[0].n.AbortTransfer(t.Context(), all, "c", one, 0))
		starts(t, m[0].n, m[0].n, m[2].n, topology.WALDelta, true)
		if got := stateOf(t, m[0].n, m[2].n); got != topology.Active {
			t.Errorf("the receiver is %s", got)
		}
		equalReplicas(t, m[0].n, m[1].n, m[2].n)
	})
}

// A transfer is begun anew with another method without being gone for a moment.
func TestRestartTransfer(t *testing.T) {
	byHand(t, 2, func(t *testing.T, w *wire, m []*member) {
		replicated(t, m[0].n, "c", 1, 2)
		upsert(t, m[0].n, "c", 0, 50)
		t.Setenv("QDRANT_STAGING_SHARD_TRANSFER_DELAY_SEC", "20")
		one := Transfer{From: m[0].n.PeerID(), To: m[1].n.PeerID(), Method: topology.StreamRecords, Sync: true}
		must(t, m[0].n.StartTransfer(t.Context(), all, "c", one, 0))
		if err := m[0].n.RestartTransfer(t.Context(), all, "c", one, 0); err == nil || !strings.Contains(err.Error(), "its configuration did not change") {
			t.Errorf("the same method: %v", err)
		}
		one.Method = topology.SnapshotMethod
		must(t, m[0].n.RestartTransfer(t.Context(), all, "c", one, 0))
		now := shardOf(t, m[0].n, "c")
		if len(now.Transfers) != 1 || now.Transfers[0].Method != topology.SnapshotMethod || now.Transfers[0].Attempt != 2 || now.Replicas[m[1].n.peer].State != topology.Recovery {
			t.Errorf("behind the restart: %+v", now)
		}
		eventually(t, "it is over", func() bool { return len(shardOf(t, m[0].n, "c").Transfers) == 0 })
		if got := stateOf(t, m[0].n, m[1].n); got != topology.Active {
			t.Errorf("the receiver is %s", got)
		}
		equalReplicas(t, m[0].n, m[1].n)
	})
}

// Without limits of 0 a replica comes back by itself: after it was away, lost its files, or has damaged ones.
func TestReplicaComesBackByItself(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, w *wire, m []*member) {
		replicated(t, m[0].n, "c", 1, 3)
		upsert(t, m[0].n, "c", 0, 100)
		for _, harm := range []func(dir string){
			func(string) {},
			func(dir string) { must(t, m[2].disk.RemoveAll(dir)) },
			func(dir string) { must(t, vfs.WriteAtomic(m[2].disk, path.Join(dir, "CURRENT"), []byte("nonsense"))) },
		} {
			m[2].stop(t)
			for _, dir := range replicaDirs(t, m[2].disk) {
				harm(path.Join("/data/collections", dir))
			}
			upsert(t, m[0].n, "c", 90, 120)
			m[2].start(t, w, 2)
			eventually(t, "it is active again", func() bool {
				return stateOf(t, m[2].n, m[2].n) == topology.Active && stateOf(t, m[0].n, m[2].n) == topology.Active
			})
			equalReplicas(t, m[0].n, m[1].n, m[2].n)
		}
	})
}

// The receiver's process, or the sender's, ends during a transfer: it is aborted, and the next one succeeds.
func TestTransferWhoseEndDies(t *testing.T) {
	for _, victim := range []int{0, 1, 2} { // primary at first, sender, receiver
		byHand(t, 3, func(t *testing.T, w *wire, m []*member) {
			replicated(t, m[0].n, "c", 1, 3)
			upsert(t, m[0].n, "c", 0, 500)
			t.Setenv("QDRANT_STAGING_SHARD_TRANSFER_DELAY_SEC", "1")
			must(t, m[0].n.StartTransfer(t.Context(), all, "c", Transfer{From: m[1].n.PeerID(), To: m[2].n.PeerID(), Method: topology.StreamRecords, Sync: true}, 0))
			time.Sleep(2 * time.Second)
			m[victim].stop(t)
			time.Sleep(time.Second)
			m[victim].start(t, w, victim, manual)
			eventually(t, "the transfer is over", func() bool { return len(shardOf(t, m[1].n, "c").Transfers) == 0 })
			for i, one := range m {
				if stateOf(t, m[1].n, one.n) == topology.Dead {
					from := m[(i+1)%3].n
					if stateOf(t, m[1].n, from) != topology.Active {
						from = m[(i+2)%3].n
					}
					starts(t, m[1].n, from, one.n, topology.WALDelta, true)
				}
			}
			upsert(t, m[2].n, "c", 500, 510)
			equalReplicas(t, m[0].n, m[1].n, m[2].n)
			for _, one := range m {
				if got := stateOf(t, m[1].n, one.n); got != topology.Active {
					t.Errorf("victim %d: a replica is %s", victim, got)
				}
			}
		})
	}
}

// A collection that is dropped during a transfer, and made anew with the same name, is not touched by it.
func TestCollectionMadeAnewDuringTransfer(t *testing.T) {
	byHand(t, 2, func(t *testing.T, w *wire, m []*member) {
		for _, method := range []string{topology.StreamRecords, topology.SnapshotMethod, topology.WALDelta} {
			replicated(t, m[0].n, "c", 1, 2)
			upsert(t, m[0].n, "c", 0, 300)
			t.Setenv("QDRANT_STAGING_SHARD_TRANSFER_DELAY_SEC", "0.5")
			must(t, m[0].n.StartTransfer(t.Context(), all, "c", Transfer{From: m[0].n.PeerID(), To: m[1].n.PeerID(), Method: method, Sync: true}, 0))
			dropped(t, m[1].n)
			replicated(t, m[1].n, "c", 1, 2)
			upsert(t, m[1].n, "c", 1000, 1010)
			time.Sleep(5 * time.Second)
			for _, one := range m {
				if got := count(t, one.n, "c"); got != 10 {
					t.Errorf("%d points", got)
				}
			}
			if now := shardOf(t, m[0].n, "c"); len(now.Transfers) != 0 || len(now.InSync()) != 2 {
				t.Errorf("the new shard: %+v", now)
			}
			dropped(t, m[1].n)
		}
	})
}

// Writes go on during every method, none is lost, and all replicas end equal.
func TestWritesDuringTransfers(t *testing.T) {
	byHand(t, 3, func(t *testing.T, w *wire, m []*member) {
		replicated(t, m[0].n, "c", 1, 3)
		upsert(t, m[0].n, "c", 0, 1000)
		stopped, end := make(chan uint64), make(chan struct{})
		for i := range m[:2] {
			go func() {
				at := uint64(10_000 * (i + 1))
				for {
					select {
					case <-end:
						stopped <- at - uint64(10_000*(i+1))
						return
					default:
						upsert(t, m[i].n, "c", at, at+3)
						at += 3
						time.Sleep(20 * time.Millisecond)
					}
				}
			}()
		}
		for _, method := range []string{topology.WALDelta, topology.StreamRecords, topology.SnapshotMethod} {
			starts(t, m[1].n, m[0].n, m[2].n, method, true)
			starts(t, m[1].n, m[2].n, m[0].n, method, true)
		}
		close(end)
		want := 1000 + <-stopped + <-stopped
		equalReplicas(t, m[0].n, m[1].n, m[2].n)
		for _, one := range m {
			if got := count(t, one.n, "c"); got != want {
				t.Errorf("%d points, not %d", got, want)
			}
		}
	})
}

func dropped(t testing.TB, n *Node) {
	t.Helper()
	_, err := n.DeleteCollection(t.Context(), all, "c", 0)
	must(t, err)
}

// A copy for a replica that has most of the points sends the others.
func TestCopyOfWhatDiffers(t *testing.T) {
	sent := func(differs bool) (bytes int) {
		byHand(t, 3, func(t *testing.T, w *wire, m []*member) {
			var log syncBuffer
			m[0].stop(t)
			m[0].start(t, w, 0, manual, func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
			replicated(t, m[1].n, "c", 1, 3)
			upsert(t, m[1].n, "c", 0, 3000)
			if differs {
				now := shardOf(t, m[1].n, "c")
				must(t, m[1].n.cluster.Propose(t.Context(), topology.Command{Failed: []topology.ReplicaFailed{{Shard: now.UUID, Term: now.Term, Version: now.Version, Peer: m[2].n.peer, Differs: true}}}))
			}
			m[2].stop(t)
			upsert(t, m[1].n, "c", 100, 120)
			upsert(t, m[1].n, "c", 5000, 5010)
			gone := sextant.DeletePoints{Selector: sextant.Selector{IDs: []sextant.PointID{sextant.NumID(7), sextant.NumID(2999)}}}
			_, err := m[1].n.Update(t.Context(), all, "c", gone, WriteOptions{Wait: true})
			must(t, err)
			m[2].start(t, w, 2, manual)
			starts(t, m[1].n, m[0].n, m[2].n, topology.StreamRecords, true)
			equalReplicas(t, m[0].n, m[1].n, m[2].n)
			told := regexp.MustCompile(`"a transfer is over".* done=(\d+) bytes=(\d+)`).FindStringSubmatch(log.String())
			if told == nil || told[1] != "3008" {
				t.Fatalf("the log says %s", log.String())
			}
			bytes, err = strconv.Atoi(told[2])
			must(t, err)
		})
		return bytes
	}
	whole, part := sent(true), sent(false)
	if part > whole/5 {
		t.Errorf("%d bytes for 32 of 3008 points, %d for all", part, whole)
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// An update that one replica forgot is found by the next audit; the replica is brought back by a copy.
func TestAuditFindsWhatWasForgotten(t *testing.T) {
	for _, victim := range []int{0, 2} { // the primary at first, and a follower
		inCluster(t, 3, func(t *testing.T, w *wire, m []*member) {
			replicated(t, m[0].n, "c", 1, 3)
			upsert(t, m[0].n, "c", 0, 10)
			primary := shardOf(t, m[0].n, "c").Primary
			if victim == 0 {
				for i := range m {
					if m[i].n.peer == primary {
						m[0], m[i] = m[i], m[0]
					}
				}
			} else if m[2].n.peer == primary {
				m[1], m[2] = m[2], m[1]
			}
			own := m[victim].n.cluster.slot(shardOf(t, m[0].n, "c").UUID)
			m[victim].n.cluster.hub.Remove(own.uuid)
			_, err := m[victim].n.cluster.hub.Add(own.uuid, &dropping{own.current().(*engineShard).Shard, 2}, nil)
			must(t, err)
			for i := range uint64(5) {
				upsert(t, m[1].n, "c", 20+i, 21+i)
			}
			for begin := time.Now(); stateOf(t, m[1].n, m[victim].n) == topology.Active; time.Sleep(50 * time.Millisecond) {
				if time.Since(begin) > 65*time.Second {
					t.Fatal("no audit has found it")
				}
			}
			eventually(t, "it is active again", func() bool { return stateOf(t, m[1].n, m[victim].n) == topology.Active })
			equalReplicas(t, m[0].n, m[1].n, m[2].n)
			if _, equal, err := m[1].n.VerifyShard(t.Context(), all, "c", 0, 0); err != nil || !equal {
				t.Errorf("equal %t, %v", equal, err)
			}
			for i := range m {
				if got := count(t, m[i].n, "c"); got != 15 {
					t.Errorf("%d points", got)
				}
			}
			found := false
			for _, one := range m {
				for _, e := range one.n.cluster.events {
					found = found || strings.Contains(e.Text, "of 1024 ranges")
				}
			}
			if !found {
				t.Error("no event names the ranges")
			}
		})
	}
}
