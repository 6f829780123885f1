package cluster

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/sextantdb/sextant/test/process"
)

// journal is what clients wrote beside a snapshot, each point once, in the order of their ids.
type journal struct {
	c    *process.Cluster
	name string
	end  chan struct{}
	run  sync.WaitGroup

	mu    sync.Mutex
	acked map[uint64]written
	next  uint64
}

// written says when a write that was acknowledged began and ended.
type written struct{ began, ended time.Time }

const firstLater = 10_000 // the ids of a journal; below are those that tests know

func write(c *process.Cluster, name string, through ...int) *journal {
	j := &journal{c: c, name: name, end: make(chan struct{}), acked: map[uint64]written{}, next: firstLater}
	for _, peer := range through {
		j.run.Go(func() {
			for {
				select {
				case <-j.end:
					return
				case <-time.After(time.Millisecond):
				}
				j.mu.Lock()
				id := j.next
				j.next++
				j.mu.Unlock()
				began := time.Now()
				if _, err := c.Call(peer, "PUT", "/collections/"+name+"/points?wait=true&timeout=30", points(id, id+1), nil); err != nil {
					continue
				}
				j.mu.Lock()
				j.acked[id] = written{began, time.Now()}
				j.mu.Unlock()
			}
		})
	}
	return j
}

// stop ends the clients.
func (j *journal) stop() {
	close(j.end)
	j.run.Wait()
}

// progress waits for some more acknowledgements.
func (j *journal) progress(t *testing.T, more int) {
	t.Helper()
	count := func() int {
		j.mu.Lock()
		defer j.mu.Unlock()
		return len(j.acked)
	}
	goal := count() + more
	process.Until(t, "writes go on", func() bool { return count() >= goal })
}

func points(from, to uint64) map[string]any {
	var list []any
	for id := from; id < to; id++ {
		list = append(list, map[string]any{"id": id, "vector": []uint64{id % 97, 1}, "payload": map[string]any{"n": id}})
	}
	return map[string]any{"points": list}
}

func put(t *testing.T, c *process.Cluster, i int, name string, from, to uint64) {
	t.Helper()
	c.Must(t, i, "PUT", "/collections/"+name+"/points?wait=true&timeout=30", points(from, to), nil)
}

// raw asks a peer for bytes.
func raw(t *testing.T, c *process.Cluster, i int, path string) []byte {
	t.Helper()
	resp, err := http.Get(c.Peer(i).URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d, %v: %.500s", path, resp.StatusCode, err, b)
	}
	return b
}

type snapshotInfo struct{ Name, Checksum string }

// take makes a snapshot of what a peer has and downloads it.
func take(t *testing.T, c *process.Cluster, i int, path string) (info snapshotInfo, archive []byte) {
	t.Helper()
	c.Must(t, i, "POST", path+"/snapshots", nil, &info)
	archive = raw(t, c, i, path+"/snapshots/"+info.Name)
	if sum := sha256.Sum256(archive); hex.EncodeToString(sum[:]) != info.Checksum {
		t.Errorf("the checksum of %s is not that of its bytes", info.Name)
	}
	return info, archive
}

// upload restores an archive on a peer.
func upload(c *process.Cluster, i int, path, query string, archive []byte) error {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("snapshot", "a.snapshot")
	if err == nil {
		_, err = part.Write(archive)
	}
	if err == nil {
		err = form.Close()
	}
	if err != nil {
		return err
	}
	resp, err := http.Post(c.Peer(i).URL+path+"/snapshots/upload?"+query, form.FormDataContentType(), &body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("upload: %d, %w: %.500s", resp.StatusCode, err, b)
	}
	return nil
}

// quiet reports whether all peers say that all replicas are active, and nothing is under way.
func quiet(c *process.Cluster, name string) bool {
	for i := range c.N() {
		setup, err := c.Setup(i, name)
		if n, all := c.Count(i, name, "Active"); err != nil || all == 0 || n != all || len(setup.Moving) > 0 {
			return false
		}
	}
	return true
}

// settled waits until all peers show all replicas active and no transfer, and returns the ids that all of them answer.
func settled(t *testing.T, c *process.Cluster, name string) map[uint64]bool {
	t.Helper()
	process.Until(t, "all replicas are active", func() bool { return quiet(c, name) })
	var peers []int
	for i := range c.N() {
		peers = append(peers, i)
	}
	var content struct{ Points []struct{ ID uint64 } }
	if err := json.Unmarshal(same(t, c, name, peers), &content); err != nil {
		t.Fatal(err)
	}
	ids := map[uint64]bool{}
	for _, p := range content.Points {
		ids[p.ID] = true
	}
	return ids
}

// lacking counts which of some ids are missing.
func lacking(have map[uint64]bool, from, to uint64) (n int) {
	for id := from; id < to; id++ {
		if !have[id] {
			n++
		}
	}
	return n
}

// Whatever is written meanwhile: all replicas end up with the points of the snapshot and what was written after it was restored; or,
// when the others are preferred, with all that was ever written.
func TestRestoringUnderWrites(t *testing.T) {
	c := (&process.Cluster{}).Form(t, 3)
	for k, priority := range []string{"snapshot", "replica", "no_sync"} {
		for _, path := range []string{"", "/shards/0"} {
			name := fmt.Sprintf("c%d%d", k, len(path))
			shards := 2
			if path != "" {
				shards = 1
			}
			c.Create(t, name, shards, 3)
			put(t, c, 0, name, 0, 200)
			j := write(c, name, 0, 1, 2)
			j.progress(t, 50)
			asked := time.Now()
			taker := rand.IntN(3)
			_, archive := take(t, c, taker, "/collections/"+name+path)
			taken := time.Now()
			put(t, c, 1, name, 5000, 5001)
			j.progress(t, 50)
			by := rand.IntN(3)
			began := time.Now()
			if err := upload(c, by, "/collections/"+name+path, "priority="+priority, archive); err != nil {
				t.Fatalf("%s: %v", priority, err)
			}
			answered := time.Now()
			j.progress(t, 50)
			j.stop()
			have := settled(t, c, name)
			t.Logf("%s%s: taken from peer %d, restored by peer %d in %v, %d points", priority, path, taker, by, answered.Sub(began).Round(time.Millisecond), len(have))
			kept := priority == "replica"
			if lost := lacking(have, 0, 200); lost > 0 || have[5000] != kept {
				t.Errorf("%s%s: %d points of the snapshot are lost; the one behind it is there: %v", priority, path, lost, have[5000])
			}
			for id, w := range j.acked {
				if (w.ended.Before(asked) || w.began.After(answered) || kept) && !have[id] {
					t.Errorf("%s%s: point %d is lost", priority, path, id)
				}
				if w.began.After(taken) && w.ended.Before(began) && !kept && have[id] {
					t.Errorf("%s%s: point %d is there, which is in no snapshot", priority, path, id)
				}
			}
			c.Must(t, 0, "DELETE", "/collections/"+name, nil, nil)
		}
	}
	c.Alive(t)
}

// A cluster's snapshots, one of each peer, make the same collection in another cluster, whose peers have other ids, by each way
// that there is.
func TestRestoringInAnotherCluster(t *testing.T) {
	a := (&process.Cluster{}).Form(t, 3)
	a.Create(t, "c", 3, 1)
	put(t, a, 0, "c", 0, 600)
	a.Must(t, 0, "PUT", "/collections/c/index?wait=true", map[string]any{"field_name": "n", "field_schema": "integer"}, nil)
	type source struct {
		info    snapshotInfo
		archive []byte
	}
	var from []source
	for i := range 3 {
		info, archive := take(t, a, i, "/collections/c")
		from = append(from, source{info, archive})
	}
	b := (&process.Cluster{}).Form(t, 3)
	for i := range 3 {
		var err error
		if i == 0 {
			err = upload(b, i, "/collections/c", "checksum="+from[i].info.Checksum, from[i].archive)
		} else {
			_, err = b.Call(i, "PUT", "/collections/c/snapshots/recover", map[string]any{"checksum": from[i].info.Checksum,
				"location": a.Peer(i).URL + "/collections/c/snapshots/" + from[i].info.Name}, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if have := settled(t, b, "c"); lacking(have, 0, 600) > 0 || len(have) != 600 {
		t.Errorf("%d points of 600", len(have))
	}
	var info struct {
		Schema map[string]any `json:"payload_schema"`
	}
	b.Must(t, 2, "GET", "/collections/c", nil, &info)
	if len(info.Schema) != 1 {
		t.Errorf("indexes: %v", info.Schema)
	}
	put(t, b, 1, "c", 600, 700)

	// One shard, streamed, and what is refused.
	setup, err := a.Setup(0, "c")
	if err != nil || len(setup.Local) == 0 {
		t.Fatal(setup, err)
	}
	shard := setup.Local[0].Shard
	stream := raw(t, a, 0, fmt.Sprintf("/collections/c/shards/%d/snapshot", shard))
	for i := range 3 {
		setup, err := b.Setup(i, "c")
		if err != nil {
			t.Fatal(err)
		}
		here := false
		for _, s := range setup.Local {
			here = here || s.Shard == shard
		}
		path := fmt.Sprintf("/collections/c/shards/%d", shard)
		err = upload(b, i, path, "", stream)
		if here && err != nil {
			t.Error(err)
		}
		if want := fmt.Sprintf("Wrong input: Shard %d is not a local or queue proxy shard", shard); !here && (err == nil || !bytes.Contains([]byte(err.Error()), []byte(want))) {
			t.Errorf("peer %d has no replica: %v", i, err)
		}
	}
	if have := settled(t, b, "c"); lacking(have, 0, 600) > 0 {
		t.Errorf("%d points of the snapshot are lost", lacking(have, 0, 600))
	}
	a.Alive(t)
	b.Alive(t)
}

// A peer is killed while it restores, at any moment: what was there, or what was restored, is what all replicas have; writes that were
// acknowledged after it is clear which of both are there.
func TestKilledWhileRestoring(t *testing.T) {
	t.Logf("seed %d", *seed)
	rng := rand.New(rand.NewPCG(*seed, 7))
	c := (&process.Cluster{}).Form(t, 3)
	c.Create(t, "c", 1, 3)
	put(t, c, 0, "c", 0, 2000)
	_, archive := take(t, c, 1, "/collections/c")
	began := time.Now()
	if err := upload(c, 0, "/collections/c", "", archive); err != nil {
		t.Fatal(err)
	}
	usual := time.Since(began)
	old, restored := 0, 0
	for round := range 6 * *rounds {
		settled(t, c, "c")
		mark := uint64(5000 + round)
		put(t, c, 1, "c", mark, mark+1)
		j := write(c, "c", 0, 1, 2)
		j.progress(t, 10)
		by := rng.IntN(3)
		after := time.Duration(rng.Int64N(int64(usual * 5 / 4)))
		answer := make(chan error, 1)
		go func() { answer <- upload(c, by, "/collections/c", "", archive) }()
		<-time.After(after)
		c.Peer(by).Kill()
		err := <-answer
		c.Restart(t, by, round%2 == 0)
		j.progress(t, 10)
		process.Until(t, "the restore is done or given up", func() bool { // behind what the dead process may have proposed
			status, err := c.Call(by, "PUT", "/cluster/metadata/keys/round?wait=true", round, nil)
			return err == nil && status == http.StatusOK && quiet(c, "c")
		})
		clear := time.Now()
		j.progress(t, 30)
		j.stop()
		have := settled(t, c, "c")
		if lost := lacking(have, 0, 2000); lost > 0 {
			t.Errorf("round %d: %d points of the snapshot are lost", round, lost)
		}
		if have[mark] {
			old++
		} else {
			restored++
		}
		if err == nil && have[mark] {
			t.Errorf("round %d: it was restored, and is not", round)
		}
		for id, w := range j.acked {
			if (have[mark] || w.began.After(clear)) && !have[id] {
				t.Errorf("round %d: killed after %v, point %d is lost; the old state is there: %v", round, after, id, have[mark])
			}
		}
		t.Logf("round %d: peer %d was killed after %v of %v; answer: %v; the old state stays: %v", round, by, after.Round(time.Millisecond), usual.Round(time.Millisecond), err, have[mark])
	}
	t.Logf("%d times the old state, %d times the restored one", old, restored)
	c.Alive(t)
}
