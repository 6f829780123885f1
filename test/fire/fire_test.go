// Package fire is the proof by fire: a cluster of real processes under a mixed load, whose peers are killed, stopped, cut off,
// slowed and filled up while shards are copied and moved. At the end faults stop, and without any help every replica must be
// active again, all replicas must be equal, and no acknowledged write may be missing, nor anything be there that nobody wrote.
//
//	go test ./test/fire                                  a few faults
//	make fire TIME=20m                                   the proof; prints a report
//	go test ./test/fire -time 5m -seed 7 -net proxied    the same faults in the same order, at other moments
package fire

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/sextantdb/sextant/test/process"
)

var (
	burn    = flag.Duration("time", 15*time.Second, "for how long faults go on")
	seed    = flag.Uint64("seed", uint64(time.Now().UnixNano()), "of faults and load")
	network = flag.String("net", "", "proxied or namespaces; empty: namespaces where they are allowed")
	peers   = flag.Int("peers", 0, "3 to 5; 0: as the seed says")
	kinds   = flag.String("kinds", "", "only these kinds of faults, separated by commas")
	report  = flag.String("report", "", "a file for the report")
	level   = flag.String("level", "WARN", "of what the processes print")
	logs    = flag.String("logs", "", "a directory for what the processes print")
)

// settled is how long a cluster may take to bring everything back when faults have stopped.
const settled = 2 * time.Minute

// world is everything in one run.
type world struct {
	t     *testing.T
	c     *process.Cluster
	n     int
	disk  int // the peer whose disk can be filled; -1: none
	sets  []*set
	tally *tally
	state []condition
}

func TestFire(t *testing.T) {
	rng := rand.New(rand.NewPCG(*seed, 1))
	n := 3 + rng.IntN(3)
	if *peers != 0 {
		n = *peers
	}
	w := &world{t: t, n: n, disk: -1, tally: newTally(t), state: make([]condition, n)}
	w.c = &process.Cluster{Timeout: 20 * time.Second, Logs: *logs, Dirs: make([]string, n),
		Env: []string{"QDRANT__STORAGE__WAL__WAL_CAPACITY_MB=1", "QDRANT__LOG_LEVEL=" + *level}}
	where := w.connect()
	w.small(n - 1)
	t.Logf("seed %d: %d peers over %s for %v", *seed, n, where, *burn)
	w.c.Form(t, n)
	// One collection is everywhere; of the other, peers have parts, which move.
	w.sets = []*set{newSet(w, "all", 2, n), newSet(w, "part", 3, 2)}

	life, end := context.WithTimeout(context.Background(), *burn)
	defer end()
	load := startLoad(w)
	w.t.Cleanup(load.stop)
	watch := startWatch(w)
	operator := startOperator(w, life)
	w.faults(life)
	end() // it may have been cut short by something that is wrong
	operator.Wait()
	w.heal()
	quiet := time.Now()
	w.settle()
	w.tally.settled = time.Since(quiet)
	load.stop()
	watch.stop()
	w.judge()
	text := w.tally.report(where, *seed, n, *burn)
	t.Log("\n" + text)
	if *report != "" {
		if err := os.WriteFile(*report, []byte(text), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// connect makes the network.
func (w *world) connect() string {
	if *network != "proxied" {
		if why := process.NoNamespaces(); why == "" {
			w.c.Net = process.Namespaces(w.t, w.n)
			return "network namespaces"
		} else if *network != "" {
			w.t.Skip(why)
		}
	}
	w.c.Net = process.Proxied(w.t, w.n)
	return "proxies"
}

// small gives a peer a disk of its own that can be filled, where that is allowed.
func (w *world) small(i int) {
	if os.Getuid() != 0 {
		return
	}
	dir := w.t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=192m", "sextant-fire", dir).CombinedOutput(); err != nil {
		w.t.Logf("no disk can be filled: %v: %s", err, out)
		return
	}
	w.t.Cleanup(func() {
		w.c.Peer(i).Kill()
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			w.t.Logf("%v: %s", err, out)
		}
	})
	w.c.Dirs[i] = filepath.Join(dir, "peer")
	if err := os.Mkdir(w.c.Dirs[i], 0o755); err != nil {
		w.t.Fatal(err)
	}
	w.disk = i
}

// settle waits until everything is as it should be: nothing but time helps.
func (w *world) settle() {
	w.t.Helper()
	var why string
	for limit := time.Now().Add(settled); ; <-time.After(50 * time.Millisecond) {
		if why = w.unsettled(); why == "" {
			return
		}
		if time.Now().After(limit) {
			w.t.Errorf("not within %v after the last fault: %s", settled, why)
			w.tally.wrong = append(w.tally.wrong, "not settled: "+why)
			return
		}
	}
}

// unsettled says what is not yet as it should be.
func (w *world) unsettled() string {
	w.c.Alive(w.t)
	leader := w.c.Leader(0)
	for i := range w.n {
		if l := w.c.Leader(i); l == 0 || l != leader {
			return fmt.Sprintf("peer %d follows %d, peer 0 %d", i, l, leader)
		}
		for _, s := range w.sets {
			v, err := w.c.Setup(i, s.name)
			if err != nil {
				return err.Error()
			}
			if len(v.Moving) > 0 {
				return fmt.Sprintf("peer %d lists transfers of %s: %+v", i, s.name, v.Moving)
			}
			for _, r := range append(v.Local, v.Remote...) {
				if r.State != "Active" {
					return fmt.Sprintf("peer %d sees replica %d of shard %d of %s as %s", i, r.Peer, r.Shard, s.name, r.State)
				}
			}
		}
	}
	return ""
}
