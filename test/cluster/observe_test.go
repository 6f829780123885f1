package cluster

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/sextantdb/sextant/test/openapi"
	"github.com/sextantdb/sextant/test/process"
)

// text returns the body of a GET.
func text(c *process.Cluster, i int, path string) string {
	resp, err := http.Get(c.Peer(i).URL + path)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return string(b)
}

// inspect runs the command of that name against a peer.
func inspect(t *testing.T, c *process.Cluster, i int, args ...string) (out string, ok bool) {
	t.Helper()
	b, err := exec.Command(process.Binary(t), append([]string{"inspect", "cluster", "--url", c.Peer(i).URL, "--timeout", "2s"}, args...)...).CombinedOutput()
	return string(b), err == nil
}

// What operators look at: metrics, telemetry and the table of the command, of a cluster that is well and of one that lost a peer.
func TestWatchingACluster(t *testing.T) {
	c := (&process.Cluster{}).Form(t, 3)
	c.Create(t, "c", 2, 2)
	for n := range 20 {
		c.Must(t, n%3, "PUT", "/collections/c/points?wait=true", map[string]any{"points": []any{map[string]any{"id": n, "vector": []int{n, 1}}}}, nil)
	}
	ids := make([]uint64, 3)
	for i := range ids {
		ids[i] = c.View(i).Peer
	}
	type replica struct {
		Peer     uint64 `json:"peer_id"`
		State    string
		Status   string
		Points   *uint64 `json:"num_points"`
		Primary  bool
		InSync   bool `json:"in_sync"`
		Last     uint64
		Applied  uint64
		Lag      *uint64  `json:"lag_entries"`
		Verified *float64 `json:"verified_seconds_ago"`
	}
	var seen struct {
		Collections map[string]struct {
			Shards []struct {
				Primary  uint64
				Term     uint64
				Replicas []replica
			}
		}
		Cluster struct {
			Peers map[string]struct {
				Responsive bool
				Details    *struct {
					Role     string
					Term     uint64
					Failures map[string]struct{ Count int } `json:"message_send_failures"`
				}
			}
		}
	}
	look := func(i int) {
		seen.Collections, seen.Cluster.Peers = nil, nil
		c.Must(t, i, "GET", "/cluster/telemetry?timeout=2", nil, &seen)
	}
	for i := range c.N() {
		look(i)
		points, primaries := uint64(0), 0
		for _, s := range seen.Collections["c"].Shards {
			for _, r := range s.Replicas {
				if r.State != "Active" || !r.InSync || r.Points == nil || r.Status == "" || r.Last == 0 || r.Primary != (r.Peer == s.Primary) || r.Primary != (r.Lag == nil) {
					t.Fatalf("peer %d: %+v", i, seen)
				}
				if r.Primary {
					points += *r.Points
					primaries++
				}
			}
		}
		if points != 20 || primaries != 2 || len(seen.Cluster.Peers) != 3 {
			t.Errorf("peer %d: %+v", i, seen)
		}
	}

	spec, err := openapi.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/telemetry?details_level=10", "/cluster"} {
		template, _, _ := strings.Cut(path, "?")
		if err := spec.Response("GET", template, http.StatusOK, []byte(text(c, 0, path))); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	has := func(i int, want string, ok bool) {
		t.Helper()
		text := text(c, i, "/metrics")
		if regexp.MustCompile("(?m)^"+want+"$").MatchString(text) != ok {
			t.Errorf("peer %d: %s is there: %v, in\n%s", i, want, !ok, regexp.MustCompile("(?m)^.*(cluster|replica).*$").FindAllString(text, -1))
		}
	}
	primary := c.Primary(t, 0, "c")
	for i := range c.N() {
		has(i, `cluster_peers_total 3`, true)
		has(i, `cluster_term [1-9]\d*`, true)
		has(i, `cluster_commit\{peer_id="`+fmt.Sprint(ids[i])+`"\} [1-9]\d*`, true)
		has(i, `sextant_cluster_role\{role="Leader"\} `+map[bool]string{true: "1", false: "0"}[c.Leader(i) == ids[i]], true)
		has(i, `sextant_replica_lag_entries\{collection="c",shard="0",peer="\d+"\} 0`, i == primary)
	}
	has(primary, `sextant_replica_primary\{collection="c",shard="0",peer="`+fmt.Sprint(ids[primary])+`"\} 1`, true)

	out, ok := inspect(t, c, 1)
	if !ok || strings.Count(out, "Active") != 4 || strings.Count(out, " primary") != 2 || strings.Count(out, "Follower") != 2 {
		t.Errorf("%v\n%s", ok, out)
	}
	t.Logf("\n%s", out)

	// A peer is lost, another one notices: it is marked, and so are its replicas as soon as somebody writes.
	lost := (primary + 1) % 3
	for _, r := range seen.Collections["c"].Shards[0].Replicas {
		for i := range ids {
			if r.Peer == ids[i] && i != primary {
				lost = i
			}
		}
	}
	c.Peer(lost).Kill()
	c.Must(t, primary, "PUT", "/collections/c/points?wait=true", map[string]any{"points": pointsUpTo(20)}, nil)
	look(primary)
	p := seen.Cluster.Peers[fmt.Sprint(ids[lost])]
	if p.Responsive || p.Details != nil {
		t.Errorf("%+v", p)
	}
	process.Until(t, "failures to reach the lost peer are told", func() bool {
		look(primary)
		return len(seen.Cluster.Peers[fmt.Sprint(ids[primary])].Details.Failures) > 0
	})
	out, ok = inspect(t, c, primary)
	if ok || !strings.Contains(out, "does not answer") || !strings.Contains(out, "Dead") || !strings.Contains(out, "cannot reach") || !strings.Contains(out, "things need a look") {
		t.Errorf("%v\n%s", ok, out)
	}
	t.Logf("\n%s", out)
	has(primary, `collection_dead_replicas\{id="c"\} [1-9]`, true)
	has(primary, `sextant_cluster_send_failures\{uri=".*"\} [1-9]\d*`, true)
	if raw, ok := inspect(t, c, primary, "--json"); !ok || !json.Valid([]byte(raw)) {
		t.Error(raw)
	}
}

// pointsUpTo are points whose ids are spread over all shards.
func pointsUpTo(n int) (list []any) {
	for id := range n {
		list = append(list, map[string]any{"id": id, "vector": []int{id, 2}})
	}
	return list
}
