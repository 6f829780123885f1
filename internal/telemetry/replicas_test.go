package telemetry

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/config"
	"github.com/sextantdb/sextant/internal/node"
)

// clustered is peer 1 of three, primary of the even ones of some shards; peer 3 has no replica of the last, peer 1 none either.
func clustered(shards int) State {
	s := State{Version: "1.19.0", Peer: 1, Settings: config.Default(), Global: true, Cluster: &node.ClusterInfo{Enabled: true, PeerID: 1,
		Peers: map[uint64]string{1: "http://a/", 2: "http://b/", 3: "http://c/"}, Versions: map[uint64]string{2: "1.19.0"}, Term: 4, Commit: 77,
		Leader: 2, Role: "Follower", Voter: true, Ready: true, Updated: time.Unix(5, 0), Failures: map[string]node.SendFailure{"http://c/": {Count: 3}}}}
	s.Settings.Cluster.Enabled = true
	c := node.CollectionReport{Name: "a", Config: sextant.DefaultConfig(), Transfers: []node.TransferInfo{{From: 1, To: 3, Sync: true, Method: "wal_delta"}}}
	for i := range shards {
		r := &node.ReplicaSight{ID: uint32(i), Term: 2, Last: 9, Commit: 9, Applied: 8, InSync: true, Readable: true, Primary: 2, Alarms: 1}
		if i%2 == 0 {
			r.Primary, r.Office, r.Pending, r.Verified = 1, true, 5, new(1.5)
			r.Followers = map[uint64]node.FollowerSight{2: {Connected: true, Match: 9}, 3: {Match: 5, Lag: 4, Behind: 0.25, InFlight: 10}}
		}
		c.Shards = append(c.Shards, node.ShardReport{ID: uint32(i), State: "Active", Stands: r, Replicas: map[uint64]string{1: "Active", 2: "Active", 3: "Recovery"}})
	}
	c.Shards = append(c.Shards, node.ShardReport{ID: uint32(shards), Replicas: map[uint64]string{2: "Active"}})
	s.Collections = []node.CollectionReport{c}
	return s
}

func TestMetricsOfAPeer(t *testing.T) {
	text := Metrics(clustered(2), NewRecorder(), MetricsOptions{})
	for _, want := range []string{
		`cluster_peers_total 3`, `cluster_term 4`, `cluster_commit{peer_id="1"} 77`, `cluster_voter 1`, `cluster_working_state{state="stopped"} 0`,
		`cluster_pending_operations_total 0`, `cluster_last_update_timestamp_seconds 5`, `sextant_cluster_role{role="Follower"} 1`,
		`sextant_cluster_role{role="Leader"} 0`, `sextant_cluster_leader_known 1`, `sextant_ready 1`, `sextant_cluster_send_failures{uri="http://c/"} 3`,
		`collection_dead_replicas{id="a"} 2`, `collection_active_replicas_min 1`, `collection_active_replicas_max 2`,
		`collection_shard_transfer_incoming{id="a"} 0`, `collection_shard_transfer_outgoing{id="a"} 1`,
		`sextant_replica_primary{collection="a",shard="0",peer="1"} 1`, `sextant_replica_primary{collection="a",shard="1",peer="1"} 0`,
		`sextant_replica_applied_seq{collection="a",shard="1",peer="1"} 8`, `sextant_replica_alarms_total{collection="a",shard="0",peer="1"} 1`,
		`sextant_transfer_sent_bytes_total{collection="a",shard="0",peer="1"} 0`,
		`sextant_replica_pending{collection="a",shard="0",peer="1"} 5`, `sextant_replica_verified_age_seconds{collection="a",shard="0",peer="1"} 1.5`,
		`sextant_replica_lag_entries{collection="a",shard="0",peer="3"} 4`, `sextant_replica_lag_seconds{collection="a",shard="0",peer="3"} 0.25`,
		`sextant_replica_connected{collection="a",shard="0",peer="3"} 0`,
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	for _, wrong := range []string{`sextant_replica_pending{collection="a",shard="1"`, `sextant_replica_lag_entries{collection="a",shard="1"`, `shard="2"`} {
		if strings.Contains(text, wrong) {
			t.Errorf("%s is not for this peer to tell", wrong)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	s := clustered(1)
	s.Cluster = nil // of somebody who may not see it
	if text = Metrics(s, NewRecorder(), MetricsOptions{}); strings.Contains(text, "cluster_term") || strings.Contains(text, "replica_term") {
		t.Error("told to somebody who may not see it")
	}
}

// What a peer prints grows by its own replicas and those that follow them, by a bounded number of lines each.
func TestMetricsOfManyShards(t *testing.T) {
	few, many := strings.Count(Metrics(clustered(10), NewRecorder(), MetricsOptions{}), "\n"), strings.Count(Metrics(clustered(1010), NewRecorder(), MetricsOptions{}), "\n")
	if each := (many - few) / 1000; each > 20 {
		t.Errorf("%d lines per shard", each)
	}
}

func TestTelemetryOfAPeer(t *testing.T) {
	report := func(level int) (out struct {
		Cluster struct {
			Status map[string]any
			Peers  map[string]struct{ URI string }
			Config map[string]any
		}
		Collections struct {
			Collections []struct {
				Transfers []map[string]any
				Shards    []struct {
					Local  any
					Remote []struct {
						Peer uint64 `json:"peer_id"`
					}
					States map[string]string `json:"replicate_states"`
				}
			}
		}
	}) {
		b, err := json.Marshal(Report(clustered(1), NewRecorder(), ReportOptions{Level: level}))
		if err == nil {
			err = json.Unmarshal(b, &out)
		}
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if low := report(0); low.Cluster.Status["role"] != "Follower" || low.Cluster.Config != nil {
		t.Errorf("%+v", low.Cluster)
	}
	all := report(3)
	if all.Cluster.Peers["2"].URI != "http://b/" || all.Cluster.Config == nil {
		t.Errorf("%+v", all.Cluster)
	}
	c := all.Collections.Collections[0]
	if len(c.Transfers) != 1 || c.Transfers[0]["method"] != "wal_delta" || len(c.Shards) != 2 || c.Shards[0].Local == nil || c.Shards[1].Local != nil {
		t.Errorf("%+v", c)
	}
	if got := fmt.Sprint(c.Shards[0].Remote, c.Shards[0].States); got != "[{2} {3}] map[1:Active 2:Active 3:Recovery]" {
		t.Error(got)
	}
}
