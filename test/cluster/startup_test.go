package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sextantdb/sextant/test/process"
)

// startFails starts a process that must end by itself, with an error, and say all of the words; it may not touch what is in its
// directory.
func startFails(t *testing.T, o process.Options, words ...string) {
	t.Helper()
	o.Env = append([]string{"QDRANT__CLUSTER__ENABLED=true", "QDRANT__SERVICE__HOST=127.0.0.1", "QDRANT__CLUSTER__CONSENSUS__BOOTSTRAP_TIMEOUT_SEC=2"}, o.Env...)
	s := process.Spawn(t, o)
	code, ended := s.Wait(process.Patience)
	if !ended || code == 0 {
		t.Fatalf("it should have failed: ended %v with %d\n%s", ended, code, s.Log())
	}
	for _, word := range words {
		if !strings.Contains(s.Log(), word) {
			t.Errorf("no word of %q in\n%s", word, s.Log())
		}
	}
}

func on(p2p int) string { return fmt.Sprintf("QDRANT__CLUSTER__P2P__PORT=%d", p2p) }

func at(p2p int) string { return fmt.Sprintf("http://127.0.0.1:%d", p2p) }

// well checks that a cluster takes writes through every peer, and that all have the same content of so many points.
func well(t *testing.T, c *process.Cluster, name string, points int) {
	t.Helper()
	for i := range c.N() {
		process.Until(t, "a write succeeds through every peer", func() bool {
			_, err := c.Call(i, "PUT", "/collections/"+name+"/points?wait=true", map[string]any{"points": pointsUpTo(points)}, nil)
			return err == nil
		})
	}
	holds(t, c, name, points)
}

// holds waits until every peer answers the same content of so many points.
func holds(t *testing.T, c *process.Cluster, name string, points int) {
	t.Helper()
	process.Until(t, "all peers answer the same, and everything", func() bool {
		var first []byte
		for i := range c.N() {
			got, err := c.Scroll(i, name)
			if first == nil {
				first = got
			}
			var content struct{ Points []any }
			if err != nil || !bytes.Equal(first, got) || json.Unmarshal(got, &content) != nil || len(content.Points) != points {
				return false
			}
		}
		return true
	})
}

// Mistakes at the start of a process end it with words that help, and leave a running cluster as it was.
func TestStartupMistakes(t *testing.T) {
	c := (&process.Cluster{}).Form(t, 3)
	c.Create(t, "c", 1, 3)
	well(t, c, "c", 10)
	ids := []uint64{c.View(0).Peer, c.View(1).Peer, c.View(2).Peer}
	new := func() (int, []string) {
		port := process.FreePort(t)
		return port, []string{"--uri", at(port), "--bootstrap", c.URI(0)}
	}
	same := func(id uint64) string { return fmt.Sprintf("QDRANT__CLUSTER__PEER_ID=%d", id) }

	t.Run("id_of_another_peer", func(t *testing.T) {
		for _, id := range ids[:2] { // of the asked one, and of one that it knows
			port, args := new()
			startFails(t, process.Options{Args: args, Env: []string{on(port), same(id)}}, fmt.Sprint(id), "two processes")
		}
	})
	t.Run("copy_of_a_running_peer", func(t *testing.T) {
		dir := t.TempDir()
		copyTo(t, filepath.Join(c.Peer(1).Dir, "storage"), filepath.Join(dir, "storage"))
		port, args := new()
		startFails(t, process.Options{Dir: dir, Args: args, Env: []string{on(port)}}, fmt.Sprint(ids[1]), "two processes")
	})
	t.Run("same_directory", func(t *testing.T) {
		port, args := new()
		startFails(t, process.Options{Dir: c.Peer(1).Dir, Args: args, Env: []string{on(port)}}, "in use by another process")
	})
	t.Run("nobody_at_the_bootstrap_address", func(t *testing.T) {
		port, args := new()
		args[3] = at(process.FreePort(t))
		startFails(t, process.Options{Args: args, Env: []string{on(port)}}, "join the cluster at "+args[3], "refused")
	})
	t.Run("bootstrap_at_a_port_for_clients", func(t *testing.T) {
		port, args := new()
		args[3] = c.Peer(0).URL
		startFails(t, process.Options{Args: args, Env: []string{on(port)}}, "join the cluster at "+args[3], "p2p")
	})
	t.Run("bootstrap_that_is_no_address", func(t *testing.T) {
		port, args := new()
		args[3] = "nowhere"
		startFails(t, process.Options{Args: args, Env: []string{on(port)}}, "nowhere")
	})
	t.Run("first_without_an_address", func(t *testing.T) {
		startFails(t, process.Options{Env: []string{on(process.FreePort(t))}}, "First peer should specify its uri.")
	})
	t.Run("address_of_another_peer", func(t *testing.T) {
		port, args := new()
		args[1] = c.URI(1)
		startFails(t, process.Options{Args: args, Env: []string{on(port)}}, fmt.Sprintf("peer URI %s/ already used by peer %d", c.URI(1), ids[1]))
	})
	t.Run("port_for_peers_in_use", func(t *testing.T) {
		port, err := strconv.Atoi(c.URI(0)[strings.LastIndex(c.URI(0), ":")+1:])
		if err != nil {
			t.Fatal(err)
		}
		_, args := new()
		startFails(t, process.Options{Args: args, Env: []string{on(port)}}, "address already in use", "cluster.p2p.port")
	})
	t.Run("port_for_clients_in_use", func(t *testing.T) {
		port := process.FreePort(t)
		startFails(t, process.Options{Port: c.Peer(0).Port, Args: []string{"--uri", at(port)}, Env: []string{on(port)}}, "address already in use", "service.http_port")
	})
	for i := range 3 {
		if n := len(c.View(i).Peers); n != 3 || c.View(i).Peer != ids[i] {
			t.Errorf("peer %d knows %d peers after all that: %+v", i, n, c.View(i))
		}
	}
	well(t, c, "c", 20)
}

// A peer that does not say where it is reached is where its call comes from; one that is to join itself is the first.
func TestStartWithoutAnAddress(t *testing.T) {
	env := []string{"QDRANT__CLUSTER__ENABLED=true", "QDRANT__SERVICE__HOST=127.0.0.1"}
	first, second := process.FreePort(t), process.FreePort(t)
	a := process.Spawn(t, process.Options{Args: []string{"--uri", at(first), "--bootstrap", at(first)}, Env: append(env, on(first))})
	b := process.Spawn(t, process.Options{Args: []string{"--bootstrap", at(first)}, Env: append(env, on(second))})
	c := process.ClusterOf(a, b)
	for i := range 2 {
		process.Until(t, "both know each other", func() bool {
			v := c.View(i)
			uris := []string{}
			for _, p := range v.Peers {
				uris = append(uris, p.URI)
			}
			return len(uris) == 2 && slices.Contains(uris, at(second)+"/") && v.Raft.Leader != nil
		})
	}
	c.Create(t, "c", 1, 2)
	if !strings.Contains(a.Log(), "first peer") {
		t.Error(a.Log())
	}
	b.Kill() // it stays where it was
	b = process.Spawn(t, process.Options{Dir: b.Dir, Port: b.Port, Args: []string{"--bootstrap", at(first)}, Env: append(env, on(second))})
	well(t, process.ClusterOf(a, b), "c", 3)
}

// A peer that looks for its cluster and finds another one does not join it.
func TestPeerOfAnotherCluster(t *testing.T) {
	a, b := (&process.Cluster{}).Form(t, 1), (&process.Cluster{}).Form(t, 2)
	a.Create(t, "a", 1, 1)
	b.Create(t, "b", 1, 2)
	well(t, b, "b", 5)
	b.Peer(0).Kill()
	b.Peer(1).Kill()
	port := process.FreePort(t)
	startFails(t, process.Options{Dir: b.Peer(1).Dir, Args: []string{"--uri", at(port), "--bootstrap", a.URI(0)}, Env: []string{on(port)}},
		"Failed to recover from any known peers", "of cluster")
	if len(a.View(0).Peers) != 1 {
		t.Errorf("%+v", a.View(0))
	}
	b.Restart(t, 0, false)
	b.Restart(t, 1, true)
	well(t, b, "b", 6) // nothing is lost
}

// The number of a life rises even if the clock goes back, and a peer goes on under it.
func TestClockThatGoesBack(t *testing.T) {
	c := (&process.Cluster{Env: []string{"QDRANT__LOG_LEVEL=INFO"}}).Form(t, 3)
	c.Create(t, "c", 1, 3)
	well(t, c, "c", 3)
	file := filepath.Join(c.Peer(1).Dir, "storage", "life")
	life := func() uint64 {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.ParseUint(string(b), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if now := uint64(time.Now().UnixMilli()); life() > now || life() < now-1e7 {
		t.Errorf("life %d does not look like a time", life())
	}
	c.Peer(1).Kill()
	future := uint64(time.Now().Add(1000 * time.Hour).UnixMilli()) // as of a clock that was ahead
	if err := os.WriteFile(file, strconv.AppendUint(nil, future, 10), 0o644); err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		c.Restart(t, 1, false)
		process.Until(t, "the peer is back", func() bool { return c.Leader(1) != 0 })
		if life() != future+uint64(round)+1 {
			t.Errorf("life %d after %d", life(), future)
		}
		well(t, c, "c", 5+round)
		c.Peer(1).Kill()
	}
}

func copyTo(t *testing.T, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// A directory of a while ago that is put back has forgotten writes that it had acknowledged. They are not lost, and nobody
// answers without them once the replica is back.
func TestOldDirectoryPutBack(t *testing.T) {
	for _, who := range []string{"follower", "primary", "leader"} {
		t.Run(who, func(t *testing.T) {
			c := (&process.Cluster{}).Form(t, 3)
			c.Create(t, "c", 1, 3)
			well(t, c, "c", 20)
			find := func() int {
				primary, leader := c.Primary(t, 0, "c"), c.Number(c.Leader(0))
				switch who {
				case "primary":
					return primary
				case "leader":
					return leader
				}
				return slices.IndexFunc([]int{0, 1, 2}, func(i int) bool { return i != primary && i != leader })
			}
			old := find()
			storage, copied := filepath.Join(c.Peer(old).Dir, "storage"), filepath.Join(t.TempDir(), "storage")
			copyTo(t, storage, copied) // nobody writes
			well(t, c, "c", 40)
			c.Must(t, old, "PUT", "/cluster/metadata/keys/k", "agreed", nil) // consensus has gone on as well
			process.Until(t, "everybody is in sync", func() bool { n, _ := c.Count(old, "c", "Active"); return n == 3 })

			c.Peer(old).Kill()
			copyTo(t, copied, storage)
			c.Restart(t, old, false)
			other := (old + 1) % 3
			c.Must(t, other, "PUT", "/collections/c/points?wait=true", map[string]any{"points": pointsUpTo(41)}, nil)
			holds(t, c, "c", 41)
			process.Until(t, "the old one knows what was agreed", func() bool {
				var v any
				_, err := c.Call(old, "GET", "/cluster/metadata/keys/k", nil, &v)
				return err == nil && v == "agreed"
			})
			process.Until(t, "the replica is whole again", func() bool { n, _ := c.Count(old, "c", "Active"); return n == 3 })
			well(t, c, "c", 45)
		})
	}
}

// The only survivor of three is told to go on alone: with everything that it has, and later with new peers.
func TestReinitOfTheOnlySurvivor(t *testing.T) {
	c := (&process.Cluster{}).Form(t, 3)
	c.Create(t, "c", 2, 3)
	well(t, c, "c", 30)
	lost := []uint64{c.View(0).Peer, c.View(1).Peer}
	for _, s := range []int{0, 1, 2} {
		c.Peer(s).Kill()
	}
	own := func(args ...string) *process.Server {
		port := process.FreePort(t)
		return process.Spawn(t, process.Options{Dir: c.Peer(2).Dir, Args: append([]string{"--uri", at(port)}, args...),
			Env: []string{"QDRANT__CLUSTER__ENABLED=true", "QDRANT__SERVICE__HOST=127.0.0.1", on(port)}})
	}
	c.Adopt(2, own("--reinit"))
	process.Until(t, "it leads itself", func() bool { return c.Leader(2) == c.View(2).Peer && c.Leader(2) != 0 && len(c.View(2).Peers) == 1 })
	c.Must(t, 2, "PUT", "/collections/c/points?wait=true&timeout=30", map[string]any{"points": pointsUpTo(31)}, nil)
	var content struct{ Points []any }
	c.Must(t, 2, "POST", "/collections/c/points/scroll", map[string]any{"limit": 100}, &content)
	if len(content.Points) != 31 {
		t.Errorf("%d points", len(content.Points))
	}
	// Replicas of those that are gone are listed, Dead, until they are forgotten.
	if n, all := c.Count(2, "c", "Dead"); n != 4 || all != 6 {
		t.Errorf("%d of %d replicas are dead", n, all)
	}
	e := edge{Cluster: c}
	e.expect(t, 2, "DELETE", fmt.Sprintf("/cluster/peer/%d", lost[0]), "", fmt.Sprintf("400 Bad request: Cannot remove peer %d as there are shards on it", lost[0]))
	for _, id := range lost {
		e.expect(t, 2, "DELETE", fmt.Sprintf("/cluster/peer/%d?force=true", id), "", "200 true")
	}
	if n, all := c.Count(2, "c", "Active"); n != 2 || all != 2 {
		t.Errorf("%d of %d replicas are active", n, all)
	}
	// One that was thought to be lost comes back, as somebody new.
	port := process.FreePort(t)
	back := process.Spawn(t, process.Options{Dir: c.Peer(0).Dir, Args: []string{"--uri", at(port), "--bootstrap", c.View(2).Peers[fmt.Sprint(c.View(2).Peer)].URI, "--reinit"},
		Env: []string{"QDRANT__CLUSTER__ENABLED=true", "QDRANT__SERVICE__HOST=127.0.0.1", on(port)}})
	c.Adopt(0, back)
	process.Until(t, "it is a member", func() bool {
		return len(c.View(0).Peers) == 2 && len(c.View(2).Peers) == 2 && c.Leader(0) == c.Leader(2)
	})
	for shard := range 2 {
		c.Must(t, 2, "POST", "/collections/c/cluster", map[string]any{"replicate_shard": map[string]any{"shard_id": shard, "from_peer_id": c.View(2).Peer, "to_peer_id": lost[0]}}, nil)
	}
	process.Until(t, "its replicas are whole", func() bool { n, all := c.Count(0, "c", "Active"); return n == 4 && all == 4 })
	a, err := c.Scroll(0, "c")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := c.Scroll(2, "c"); err != nil || !bytes.Equal(a, b) {
		t.Errorf("%v\n%s\n%s", err, a, b)
	}
}

// A peer whose agreement with the others is damaged forgets it and joins again, with its data.
func TestReinitWithBootstrap(t *testing.T) {
	c := (&process.Cluster{}).Form(t, 3)
	c.Create(t, "c", 2, 3)
	well(t, c, "c", 30)
	c.Peer(2).Kill()
	port := process.FreePort(t)
	c.Adopt(2, process.Spawn(t, process.Options{Dir: c.Peer(2).Dir, Args: []string{"--uri", at(port), "--bootstrap", c.URI(0), "--reinit"},
		Env: []string{"QDRANT__CLUSTER__ENABLED=true", "QDRANT__SERVICE__HOST=127.0.0.1", on(port)}}))
	process.Until(t, "it is a member again", func() bool { return len(c.View(2).Peers) == 3 && c.Leader(2) != 0 && c.Leader(2) == c.Leader(0) })
	process.Until(t, "all replicas are active", func() bool { n, all := c.Count(2, "c", "Active"); return n == 6 && all == 6 })
	well(t, c, "c", 35)
}
