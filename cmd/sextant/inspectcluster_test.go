package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// The table names what needs a look, and skips healthy shards that nobody asked for.
func TestTableOfACluster(t *testing.T) {
	var v clusterView
	shards := []string{}
	for range 30 {
		shards = append(shards, `{"id":1,"term":1,"primary":1,"replicas":[{"peer_id":1,"state":"Active","in_sync":true}]}`)
	}
	shards = append(shards, `{"id":77,"key":"k","term":3,"primary":1,"replicas":[
		{"peer_id":1,"state":"Active","in_sync":true,"num_points":5,"applied":9,"verified_seconds_ago":61},
		{"peer_id":2,"state":"Partial","in_sync":true,"num_points":4,"applied":7,"lag_entries":2,"lag_seconds":0.5},
		{"peer_id":3,"state":"Active","in_sync":true,"alarms":1,"error":"it differs"}]}`)
	raw := `{"collections":{"c":{"shards":[` + strings.Join(shards, ",") + `],"shard_transfers":[{"shard_id":77,"from":1,"to":2,"sync":false,"method":"wal_delta","comment":"so far"}]}},
		"cluster":{"peers":{"1":{"uri":"http://a/","details":{"role":"Leader","is_voter":true,"leader":1,"events":[{"at":"2026-01-02T03:04:05Z","shard":"u-u-i-d","text":"it flew"}],"consensus_thread_status":{"consensus_thread_status":"working"}}},
		"22":{"uri":"http://b/","details":{"role":"Follower","is_voter":false,"consensus_thread_status":{"consensus_thread_status":"stopped_with_err","err":"no disk"}}},
		"3":{"uri":"http://c/","details":null}}}}`
	if err := json.Unmarshal([]byte(raw), &v); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	wrong, err := printCluster(&out, &v, false)
	if err != nil || wrong != 4 { // peer 22, peer 3, replicas on 2 and 3
		t.Errorf("%d things wrong, %v\n%s", wrong, err, out.String())
	}
	for _, want := range []string{"Follower, no vote", "does not answer", "consensus stands still: no disk", "1m1s ago", "2 (0.5s)", "it differs", "2026-01-02 03:04:05: it flew (shard u-u-i-d)", "14 healthy shards more",
		`transfer of shard 77, 1 → 2 (moves), wal_delta: so far`, `"k"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
}
