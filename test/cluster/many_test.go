package cluster

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sextantdb/sextant/test/process"
)

var shards = flag.Int("shards", 100, "how many shards the cluster with many has")

// processorTime is what a process has used so far. It skips the test where that is not told.
func processorTime(t *testing.T, s *process.Server) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.PID()))
	if err != nil {
		t.Skip("processor time is read from /proc")
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err1 != nil || err2 != nil {
		t.Fatal(string(b))
	}
	return time.Duration(user+system) * (time.Second / 100) // the unit of this file is 10 ms on every Linux
}

func residentMB(t *testing.T, s *process.Server) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.PID()))
	if err != nil {
		t.Skip("memory is read from /proc")
	}
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize() >> 20
}

func storedMB(t *testing.T, s *process.Server) int {
	t.Helper()
	blocks := int64(0)
	err := filepath.WalkDir(s.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // it may be gone
		}
		var stat syscall.Stat_t
		if syscall.Stat(path, &stat) == nil {
			blocks += stat.Blocks
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return int(blocks * 512 >> 20)
}

// Many shards cost little while nothing happens, and when a peer dies all of its primaries are replaced soon.
func TestManyShards(t *testing.T) {
	c := (&process.Cluster{}).Form(t, 3)
	began := time.Now()
	const each = 50 // shards a collection
	var names []string
	for n := *shards; n > 0; n -= each {
		name := fmt.Sprintf("c%d", len(names))
		names = append(names, name)
		c.Create(t, name, min(n, each), 3)
	}
	t.Logf("%d shards on 3 peers made in %v", *shards, time.Since(began).Round(time.Millisecond))

	rest := 10 * time.Second
	if *goals {
		rest = time.Minute
	}
	var before [3]time.Duration
	<-time.After(rest / 2) // what was begun ends
	for i := range before {
		before[i] = processorTime(t, c.Peer(i))
	}
	<-time.After(rest) // this is the measurement
	for i := range before {
		share := float64(processorTime(t, c.Peer(i))-before[i]) / float64(rest)
		t.Logf("peer %d, idle: %.2f %% of a core, %d MB resident, %d MB on disk", i, 100*share, residentMB(t, c.Peer(i)), storedMB(t, c.Peer(i)))
		if *goals && share > 0.02 {
			t.Errorf("peer %d uses %.2f %% of a core while nothing happens (goal 2 %%)", i, 100*share)
		}
	}

	lost := c.Number(c.Leader(0))
	id, asked := c.View(lost).Peer, (lost+1)%3
	led := func() (n int) {
		all := c.AllShards(asked)
		if len(all) < len(names) {
			return -1
		}
		for _, list := range all {
			for _, s := range list {
				for _, r := range s.Replicas {
					if r.Primary && r.Peer == id {
						n++
					}
				}
			}
		}
		return n
	}
	had := led()
	c.Peer(lost).Kill()
	died := time.Now()
	process.Until(t, "the primaries of the peer that died are replaced", func() bool { return led() == 0 })
	took := time.Since(died)
	t.Logf("%d primaries were replaced %v after their peer died", had, took.Round(time.Millisecond))
	if *goals && took > 5*time.Second {
		t.Errorf("%v is too long (goal 5 s)", took)
	}
	for k, name := range names {
		c.Must(t, asked, "PUT", "/collections/"+name+"/points?wait=true", map[string]any{"points": []any{map[string]any{"id": k, "vector": []int{1, 2}}}}, nil)
	}
	t.Logf("a write to each collection is acknowledged %v after the death", time.Since(died).Round(time.Millisecond))
	back := time.Now()
	c.Restart(t, lost, false)
	process.Until(t, "the peer is back", func() bool { return c.Leader(lost) != 0 })
	t.Logf("started again in %v", time.Since(back).Round(time.Millisecond))
	away := func() (n int) {
		for _, list := range c.AllShards(asked) {
			for _, s := range list {
				for _, r := range s.Replicas {
					if r.State != "Active" {
						n++
					}
				}
			}
		}
		return n
	}
	had = away()
	for limit := time.Now().Add(5 * time.Minute); away() > 0; <-time.After(100 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("%d replicas are not active yet", away())
		}
	}
	t.Logf("%d replicas that were lost are active again %v after the start", had, time.Since(back).Round(time.Millisecond))
	c.Alive(t)
}
