package cluster

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sextantdb/sextant/test/openapi"
	"github.com/sextantdb/sextant/test/process"
)

// edge asks the peers of one cluster as clients do.
type edge struct {
	*process.Cluster
	ids []uint64
}

// raw sends a request and returns the status, and the error text or the result as JSON.
func (e edge) raw(t *testing.T, i int, method, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, e.Peer(i).URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var envelope struct {
		Result json.RawMessage
		Status any
	}
	if json.Unmarshal(b, &envelope) != nil {
		return resp.StatusCode, string(b)
	}
	if failed, ok := envelope.Status.(map[string]any); ok {
		return resp.StatusCode, fmt.Sprint(failed["error"])
	}
	return resp.StatusCode, string(envelope.Result)
}

// expect sends a request and compares: "200 true" is a status and the whole answer, "400~ x" a status and a part of it.
func (e edge) expect(t *testing.T, i int, method, path, body, want string) {
	t.Helper()
	status, got := e.raw(t, i, method, path, body)
	all := fmt.Sprintf("%d %s", status, got)
	code, part, loose := strings.Cut(want, "~ ")
	if all != want && !(loose && strconv.Itoa(status) == code && strings.Contains(got, part)) {
		t.Errorf("%s %s %s on peer %d:\n got %s\nwant %s", method, path, body, i, all, want)
	}
}

// Every endpoint of a cluster with everything that can be wrong about a request.
func TestEndpointsOfACluster(t *testing.T) {
	e := edge{Cluster: (&process.Cluster{}).Form(t, 3)}
	for i := range 3 {
		e.ids = append(e.ids, e.View(i).Peer)
	}
	e.Create(t, "c", 2, 2)
	e.Must(t, 0, "PUT", "/collections/k?timeout=30", map[string]any{"vectors": map[string]any{"size": 2, "distance": "Dot"}, "sharding_method": "custom"}, nil)
	t.Run("state", e.state)
	t.Run("metadata", e.metadata)
	t.Run("operations", e.operations)
	t.Run("replicas", e.replicas)
	t.Run("keys", e.keys)
	t.Run("fallback", e.fallback)
	t.Run("ready", e.ready)
	t.Run("peers", e.removal) // takes one away: the last
}

// state is GET /cluster and what is like it.
func (e edge) state(t *testing.T) {
	spec, err := openapi.Load()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		body := text(e.Cluster, i, "/cluster")
		if err := spec.Response("GET", "/cluster", http.StatusOK, []byte(body)); err != nil {
			t.Error(err)
		}
		var v struct {
			Result struct {
				Status string
				Peer   uint64 `json:"peer_id"`
				Peers  map[string]struct{ URI string }
				Raft   struct {
					Term, Commit, Leader uint64
					Pending              *uint64 `json:"pending_operations"`
					Role                 string
					Voter                bool `json:"is_voter"`
				} `json:"raft_info"`
				Thread struct {
					Status string `json:"consensus_thread_status"`
					Last   string `json:"last_update"`
				} `json:"consensus_thread_status"`
				Failures map[string]any `json:"message_send_failures"`
			}
		}
		if err := json.Unmarshal([]byte(body), &v); err != nil {
			t.Fatal(err)
		}
		r := v.Result
		role := map[bool]string{true: "Leader", false: "Follower"}[r.Raft.Leader == r.Peer]
		if r.Status != "enabled" || r.Peer != e.ids[i] || len(r.Peers) != 3 || !slices.Contains(e.ids, r.Raft.Leader) || r.Raft.Role != role || r.Raft.Term == 0 ||
			r.Raft.Commit == 0 || r.Raft.Pending == nil || r.Thread.Status != "working" || !strings.HasSuffix(r.Thread.Last, "Z") || r.Failures == nil {
			t.Errorf("peer %d: %s", i, body)
		}
		for _, p := range r.Peers {
			if !regexp.MustCompile(`^http://127\.0\.0\.1:\d+/$`).MatchString(p.URI) {
				t.Error(p.URI)
			}
		}
	}
	e.expect(t, 1, "POST", "/cluster/recover", "", "200 true")
	e.expect(t, 0, "GET", "/collections/none/cluster", "", "404 Not found: Collection `none` doesn't exist!")
	e.expect(t, 0, "GET", "/cluster/telemetry?timeout=0", "", "400~ timeout")
	e.expect(t, 0, "GET", "/cluster/telemetry?details_level=x", "", "400~ details_level: invalid digit found in string")
}

func (e edge) metadata(t *testing.T) {
	const keys = "/cluster/metadata/keys"
	e.expect(t, 0, "GET", keys, "", "200 []")
	e.expect(t, 0, "GET", keys+"/a", "", "200 null")
	e.expect(t, 0, "PUT", keys+"/b?wait=true", `{"x":[1,"y"]}`, "200 true")
	e.expect(t, 1, "PUT", keys+"/a", `"text"`, "200 true")
	e.expect(t, 1, "GET", keys, "", `200 ["a","b"]`)
	process.Until(t, "the keys are known everywhere", func() bool { _, got := e.raw(t, 2, "GET", keys+"/b", ""); return got == `{"x":[1,"y"]}` })
	e.expect(t, 2, "PUT", keys+"/a", `null`, "200 true") // as good as deleting it
	e.expect(t, 2, "GET", keys, "", `200 ["b"]`)
	e.expect(t, 2, "PUT", keys+"/a", `{`, "400~ Format error in JSON body")
	e.expect(t, 2, "PUT", keys+"/a", ``, "400~ Format error in JSON body")
	e.expect(t, 2, "DELETE", keys+"/b?wait=maybe", "", "400~ Deserialize error in query parameters: wait")
	e.expect(t, 2, "DELETE", keys+"/b", "", "200 true")
	e.expect(t, 2, "DELETE", keys+"/never", "", "200 true")
	e.expect(t, 2, "PUT", keys+"/later?wait=false", `1`, "200 true")
	process.Until(t, "a value nobody waits for arrives", func() bool { _, got := e.raw(t, 2, "GET", keys, ""); return got == `["later"]` })
}

// operations are requests that are wrong by themselves.
func (e edge) operations(t *testing.T) {
	const c = "/collections/c/cluster"
	a, b := e.ids[0], e.ids[1]
	for _, one := range [][2]string{
		{``, "400~ Format error in JSON body"},
		{`[]`, "400~ Format error in JSON body"},
		{`{}`, "400~ data did not match any variant of untagged enum ClusterOperations"},
		{`{"fly_away":{}}`, "400~ data did not match any variant of untagged enum ClusterOperations"},
		{`{"drop_replica":{"shard_id":0,"peer_id":1},"abort_resharding":{}}`, "400~ data did not match any variant of untagged enum ClusterOperations"},
		{`{"drop_replica":{"shard_id":0}}`, "400~ missing field `peer_id`"},
		{`{"drop_replica":{"shard_id":-1,"peer_id":1}}`, "400~ invalid value: integer `-1`, expected u32"},
		{`{"drop_replica":{"shard_id":"0","peer_id":1}}`, "400~ expected u32"},
		{`{"replicate_shard":{"shard_id":0,"from_peer_id":1}}`, "400~ missing field `to_peer_id`"},
		{`{"replicate_shard":{"shard_id":0,"from_peer_id":1,"to_peer_id":2,"method":"carry"}}`,
			"400~ unknown variant `carry`, expected one of `stream_records`, `snapshot`, `wal_delta`, `resharding_stream_records`"},
		{`{"replicate_shard":{"shard_id":0,"from_peer_id":5,"to_peer_id":5}}`,
			`422 Validation error in JSON body: [replicate_shard.to_peer_id: cannot transfer shard to itself, "to_peer_id" must be different than 5 in "from_peer_id"]`},
		{`{"move_shard":{"shard_id":0,"from_peer_id":5,"to_peer_id":5}}`,
			`422 Validation error in JSON body: [move_shard.to_peer_id: cannot transfer shard to itself, "to_peer_id" must be different than 5 in "from_peer_id"]`},
		{`{"restart_transfer":{"shard_id":0,"from_peer_id":1,"to_peer_id":2}}`, "400~ missing field `method`"},
		{`{"replicate_shard":{"shard_id":9,"from_peer_id":1,"to_peer_id":2}}`, "400 Bad request: Shard 9 of c does not exist"},
		{`{"replicate_shard":{"shard_id":0,"from_peer_id":1,"to_peer_id":2}}`, "400 Bad request: Peer 1 does not exist"},
		{fmt.Sprintf(`{"replicate_shard":{"shard_id":0,"from_peer_id":%d,"to_peer_id":2}}`, a), "400 Bad request: Peer 2 does not exist"},
		{fmt.Sprintf(`{"replicate_shard":{"shard_id":0,"from_peer_id":%d,"to_peer_id":%d,"to_shard_id":1}}`, a, b),
			"400 Bad request: Target shard 1 can only be set for ReshardingStreamRecords or filtered streaming records transfers"},
		{fmt.Sprintf(`{"replicate_shard":{"shard_id":0,"from_peer_id":%d,"to_peer_id":%d,"method":"resharding_stream_records"}}`, e.with(t, 0), e.without(t, 0)),
			"400 Bad request: Target shard is not set for resharding transfer"},
		{fmt.Sprintf(`{"replicate_shard":{"shard_id":0,"from_peer_id":%d,"to_peer_id":%d}}`, e.without(t, 0), e.with(t, 0)),
			fmt.Sprintf("400 Bad request: Shard 0 is not active on peer %d", e.without(t, 0))},
		{fmt.Sprintf(`{"abort_transfer":{"shard_id":0,"from_peer_id":%d,"to_peer_id":%d}}`, a, b),
			fmt.Sprintf("404 Not found: Shard transfer %d -> %d for collection c:0 does not exist", a, b)},
		{fmt.Sprintf(`{"restart_transfer":{"shard_id":0,"from_peer_id":%d,"to_peer_id":%d,"method":"snapshot"}}`, a, b),
			fmt.Sprintf("404 Not found: Shard transfer %d -> %d for collection c:0 does not exist", a, b)},
		{`{"create_sharding_key":{"shard_key":"k"}}`, "400 Bad request: Shard Key cannot be created with Auto sharding method"},
		{`{"drop_sharding_key":{"shard_key":"k"}}`, "400 Bad request: Shard Key cannot be created with Auto sharding method"},
		{`{"start_resharding":{"direction":"sideways"}}`, "400~ unknown variant `sideways`, expected `up` or `down`"},
		{`{"start_resharding":{"direction":"up"}}`, "400 Bad request: resharding is only supported in Qdrant Cloud"},
		{`{"finish_migrating_points":{}}`, "400 Bad request: resharding is not in progress for collection c"},
		{`{"commit_read_hash_ring":{}}`, "400 Bad request: resharding is not in progress for collection c"},
		{`{"commit_write_hash_ring":{}}`, "400 Bad request: resharding is not in progress for collection c"},
		{`{"finish_resharding":{}}`, "400 Bad request: resharding is not in progress for collection c"},
		{`{"abort_resharding":{}}`, "400 Bad request: resharding is not in progress for collection c"},
		{`{"replicate_points":{"from_shard_key":"a","to_shard_key":"a"}}`, "422~ replicate_points.to_shard_key"},
		{`{"replicate_points":{"from_shard_key":"a","to_shard_key":"b"}}`, `400 Bad request: Shard key "a" not found`},
	} {
		e.expect(t, 2, "POST", c, one[0], one[1])
	}
	e.expect(t, 1, "POST", "/collections/none/cluster", `{"abort_resharding":{}}`, "404 Not found: Collection `none` doesn't exist!")
	e.expect(t, 1, "POST", c+"?timeout=0", `{"abort_resharding":{}}`, "422 Validation error in query parameters: [timeout: value 0 invalid, must be 1 or larger]")
	e.expect(t, 1, "POST", c+"?timeout=soon", `{"abort_resharding":{}}`, "400~ Deserialize error in query parameters: timeout")
}

// with returns a peer that has a replica of a shard of c, without one that has none.
func (e edge) with(t *testing.T, shard uint32) uint64    { return e.holder(t, shard, true) }
func (e edge) without(t *testing.T, shard uint32) uint64 { return e.holder(t, shard, false) }

func (e edge) holder(t *testing.T, shard uint32, has bool) uint64 {
	t.Helper()
	v, err := e.Setup(0, "c")
	if err != nil {
		t.Fatal(err)
	}
	holds := func(id uint64) bool {
		return slices.ContainsFunc(append(v.Local, v.Remote...), func(h process.Hosted) bool { return h.Shard == shard && h.Peer == id })
	}
	i := slices.IndexFunc(e.ids, func(id uint64) bool { return holds(id) == has })
	if i < 0 {
		t.Fatal("all peers are the same to the shard")
	}
	return e.ids[i]
}

// replicas are dropped one by one, but for the last.
func (e edge) replicas(t *testing.T) {
	const c = "/collections/c/cluster"
	drop := func(shard int, peer uint64) string {
		return fmt.Sprintf(`{"drop_replica":{"shard_id":%d,"peer_id":%d}}`, shard, peer)
	}
	e.expect(t, 0, "POST", c, drop(9, e.ids[0]), "400 Bad request: Shard 9 of c does not exist")
	e.expect(t, 0, "POST", c, drop(0, 77), "400 Bad request: Peer 77 does not exist")
	e.expect(t, 0, "POST", c, drop(0, e.without(t, 0)), fmt.Sprintf("400 Bad request: Peer %d has no replica of shard 0", e.without(t, 0)))
	first := e.with(t, 0)
	e.expect(t, 0, "POST", c, drop(0, first), "200 true")
	process.Until(t, "the dropped replica is gone everywhere", func() bool {
		gone := true
		for i := range 3 {
			v, err := e.Setup(i, "c")
			gone = gone && err == nil && len(v.Local)+len(v.Remote) == 3 && !slices.ContainsFunc(append(v.Local, v.Remote...), func(h process.Hosted) bool { return h.Shard == 0 && h.Peer == first })
		}
		return gone
	})
	last := e.with(t, 0)
	e.expect(t, 0, "POST", c, drop(0, last), fmt.Sprintf("400 Bad request: Shard 0 must have at least one active replica after removing %d", last))
	e.expect(t, 1, "PUT", "/collections/c/points?wait=true", `{"points":[{"id":1,"vector":[1,1]},{"id":2,"vector":[1,1]},{"id":3,"vector":[1,1]}]}`, `200~ "completed"`)
}

// keys of shards are made, listed and dropped.
func (e edge) keys(t *testing.T) {
	const k, make, drop = "/collections/k/cluster", "/collections/k/shards?timeout=30", "/collections/k/shards/delete"
	e.expect(t, 0, "GET", "/collections/c/shards", "", "200 {}")
	e.expect(t, 0, "GET", "/collections/k/shards", "", `200 {"shard_keys":[]}`)
	e.expect(t, 0, "GET", "/collections/none/shards", "", "404 Not found: Collection `none` doesn't exist!")
	for _, one := range [][2]string{
		{`{}`, "400~ missing field `shard_key`"},
		{`{"shard_key":null}`, "400~ missing field `shard_key`"},
		{`{"shard_key":true}`, "400~ Expected a string or an integer"},
		{`{"shard_key":-1}`, "400~ invalid value: integer `-1`, expected u64"},
		{`{"shard_key":"a","shards_number":0}`, "400~ invalid value: integer `0`, expected a nonzero u32"},
		{`{"shard_key":"a","replication_factor":0}`, "400~ invalid value: integer `0`, expected a nonzero u32"},
		{`{"shard_key":"a","placement":[]}`, `400 Bad request: Sharding key "a" placement cannot be empty. If you want to use random placement, do not specify placement`},
		{`{"shard_key":"a","placement":[5]}`, "400 Bad request: Peer 5 does not exist"},
		{`{"shard_key":"a","initial_state":"Fine"}`, "400~ unknown variant `Fine`, expected one of `Active`"},
		{`{"shard_key":"a","initial_state":"Dead"}`, "400 Bad request: Initial state cannot be Dead, only Active or Partial are allowed"},
		{fmt.Sprintf(`{"shard_key":"a","shards_number":2,"replication_factor":2,"placement":[%d,%d]}`, e.ids[0], e.ids[2]), "200 true"},
		{`{"shard_key":"a"}`, `400 Bad request: Sharding key "a" already exists for collection k`},
		{`{"shard_key":1}`, "200 true"},
		{`{"shard_key":"1"}`, "200 true"}, // another one
		{fmt.Sprintf(`{"shard_key":"mine","placement":[%d]}`, e.ids[1]), "200 true"},
	} {
		e.expect(t, 0, "PUT", make, one[0], one[1])
		if strings.HasPrefix(one[1], "400") { // the other way to ask says the same
			e.expect(t, 1, "POST", k, `{"create_sharding_key":`+one[0]+`}`, one[1])
		}
	}
	e.expect(t, 0, "PUT", "/collections/none/shards", `{"shard_key":"a"}`, "404 Not found: Collection `none` doesn't exist!")
	e.expect(t, 0, "PUT", "/collections/c/shards", `{"shard_key":"a"}`, "400 Bad request: Shard Key cannot be created with Auto sharding method")
	for i := range 3 { // at once on every peer
		e.expect(t, i, "GET", "/collections/k/shards", "", `200 {"shard_keys":[{"key":"a"},{"key":1},{"key":"1"},{"key":"mine"}]}`)
	}
	v, err := e.Setup(0, "k")
	if err != nil || len(v.Local)+len(v.Remote) != 4+3 {
		t.Errorf("%+v %v", v, err)
	}
	for _, s := range append(v.Local, v.Remote...) {
		if s.State != "Active" {
			t.Errorf("%+v", v)
		}
	}
	for _, one := range [][2]string{
		{`{}`, "400~ missing field `shard_key`"},
		{`{"shard_key":"b"}`, `400 Bad request: Sharding key "b" does not exist for collection k`},
		{`{"shard_key":1}`, "200 true"},
		{`{"shard_key":1}`, "400 Bad request: Sharding key 1 does not exist for collection k"},
	} {
		e.expect(t, 2, "POST", drop, one[0], one[1])
	}
	e.expect(t, 1, "POST", k, `{"drop_sharding_key":{"shard_key":"1"}}`, "200 true")
	e.expect(t, 1, "POST", "/collections/c/shards/delete", `{"shard_key":"b"}`, "400 Bad request: Shard Key cannot be created with Auto sharding method")
	process.Until(t, "dropped keys are gone everywhere", func() bool {
		_, got := e.raw(t, 0, "GET", "/collections/k/shards", "")
		return got == `{"shard_keys":[{"key":"a"},{"key":"mine"}]}`
	})
	e.expect(t, 1, "POST", k, `{"replicate_points":{"from_shard_key":"a","to_shard_key":"mine"}}`,
		`400 Bad request: Only replicating from shard keys with exactly one shard is supported. Shard key "a" has 2 shards`)
	e.expect(t, 1, "POST", k, `{"replicate_points":{"from_shard_key":"mine","to_shard_key":"a"}}`,
		`400 Bad request: Only replicating to shard keys with exactly one replica is supported. Shard key "a" has 4 replicas`)
}

// fallback is a shard key that stands in for another one.
func (e edge) fallback(t *testing.T) {
	const points = "/collections/k/points"
	put := func(i int, id int, key, want string) {
		t.Helper()
		e.expect(t, i, "PUT", points+"?wait=true", fmt.Sprintf(`{"points":[{"id":%d,"vector":[1,1]}],"shard_key":%s}`, id, key), want)
	}
	count := func(i int, key, want string) {
		t.Helper()
		if key != "" {
			key = `,"shard_key":` + key
		}
		e.expect(t, i, "POST", points+"/count", `{"exact":true`+key+`}`, want)
	}
	put(0, 1, `"mine"`, `200~ "completed"`)
	put(0, 2, `{"target":"tenant","fallback":"mine"}`, `200~ "completed"`) // not there yet
	count(2, `"mine"`, `200 {"count":2}`)
	put(1, 3, `{"target":"no","fallback":"nothing"}`, `404 Not found: Neither target shard key "no" nor fallback shard key "nothing" exist`)
	count(1, `{"target":"no","fallback":"nothing"}`, `404 Not found: Neither target shard key "no" nor fallback shard key "nothing" exist`)
	put(1, 3, `"no"`, `400 Wrong input: Shard key "no" not found`)
	count(1, `"no"`, `400 Bad request: Shard key "no" not found`)
	put(1, 3, `{"target":"no"}`, "400~ missing field `fallback`")
	e.expect(t, 1, "PUT", points, `{"points":[{"id":9,"vector":[1,1]}]}`, "400 Wrong input: Shard key not specified")
	// A key that is about to be filled is not the owner yet, and a read of everything leaves it out.
	e.expect(t, 0, "PUT", "/collections/k/shards", fmt.Sprintf(`{"shard_key":"tenant","initial_state":"Partial","placement":[%d]}`, e.ids[0]), "200 true")
	process.Until(t, "the new key is known", func() bool {
		_, got := e.raw(t, 1, "GET", "/collections/k/shards", "")
		return strings.Contains(got, "tenant")
	})
	put(1, 4, `{"target":"tenant","fallback":"mine"}`, `200~ "completed"`)
	count(1, `{"target":"tenant","fallback":"mine"}`, `200 {"count":3}`)
	count(2, "", `200 {"count":3}`)
	put(1, 5, `{"target":"tenant","fallback":"tenant"}`, `503 Shard temporarily unavailable: Neither target shard key "tenant" nor fallback shard key "tenant" have active replicas`)
	// One that is whole is preferred.
	e.expect(t, 0, "POST", "/collections/k/shards/delete", `{"shard_key":"tenant"}`, "200 true")
	e.expect(t, 0, "PUT", "/collections/k/shards", `{"shard_key":"tenant"}`, "200 true")
	put(1, 6, `{"target":"tenant","fallback":"mine"}`, `200~ "completed"`)
	count(0, `"tenant"`, `200 {"count":1}`)
	count(0, `{"target":"tenant","fallback":"mine"}`, `200 {"count":1}`)
	count(0, `["tenant","mine"]`, `200 {"count":4}`)
}

func (e edge) ready(t *testing.T) {
	for i := range 3 {
		process.Until(t, "every peer is ready", func() bool { return text(e.Cluster, i, "/readyz") == "all shards are ready" })
	}
}

// removal takes a peer out of the cluster.
func (e edge) removal(t *testing.T) {
	gone := e.Peer(2)
	id := e.ids[2]
	path := fmt.Sprintf("/cluster/peer/%d", id)
	e.expect(t, 0, "DELETE", "/cluster/peer/me", "", `400~ can not parse "me" to a u64`)
	e.expect(t, 0, "DELETE", "/cluster/peer/77", "", "200 true") // nobody is none any more
	e.expect(t, 0, "DELETE", "/cluster/peer/77?force=true", "", "200 true")
	e.expect(t, 0, "DELETE", path+"?timeout=0", "", "422~ timeout")
	e.expect(t, 0, "DELETE", path+"?force=maybe", "", "400~ Deserialize error in query parameters: force")
	e.expect(t, 0, "DELETE", path, "", fmt.Sprintf("400 Bad request: Cannot remove peer %d as there are shards on it", id))
	if n := len(e.View(0).Peers); n != 3 {
		t.Fatalf("%d peers after refusals", n)
	}
	e.expect(t, 0, "DELETE", path+"?force=true&timeout=30", "", "200 true")
	process.Until(t, "both others know that it is gone", func() bool { return len(e.View(0).Peers) == 2 && len(e.View(1).Peers) == 2 })
	for i := range 2 {
		for _, c := range []string{"c", "k"} {
			v, err := e.Setup(i, c)
			if err != nil || slices.ContainsFunc(append(v.Local, v.Remote...), func(h process.Hosted) bool { return h.Peer == id }) {
				t.Errorf("%s on peer %d: %+v %v", c, i, v, err)
			}
		}
	}
	process.Until(t, "the removed one knows it", func() bool {
		return strings.Contains(text(e.Cluster, 2, "/cluster"), `"consensus_thread_status":"stopped"`) && len(e.View(2).Peers) == 1
	})
	e.expect(t, 2, "PUT", "/collections/new?timeout=1", `{"vectors":{"size":2,"distance":"Dot"}}`, "500~ removed from the cluster")
	gone.Kill()
	// What was on it alone is lost, the rest goes on.
	e.expect(t, 0, "PUT", "/collections/n?timeout=30", `{"vectors":{"size":2,"distance":"Dot"},"shard_number":4,"replication_factor":2}`, "200 true")
	e.expect(t, 1, "PUT", "/collections/n/points?wait=true", `{"points":[{"id":1,"vector":[1,1]},{"id":2,"vector":[1,1]},{"id":3,"vector":[1,1]}]}`, `200~ "completed"`)
}

// What a client is told whose update cannot be done in time, on some shards or on all.
func TestUpdatesThatAreLate(t *testing.T) {
	e := edge{Cluster: (&process.Cluster{Env: []string{"QDRANT__CLUSTER__GRPC_TIMEOUT_MS=2000", "QDRANT__CLUSTER__REPLICA_ACK_TIMEOUT_MS=300"}}).Form(t, 2)}
	e.ids = []uint64{e.View(0).Peer, e.View(1).Peer}
	e.Create(t, "one", 2, 1)
	e.Create(t, "two", 1, 2)
	all, err := json.Marshal(map[string]any{"points": pointsUpTo(20)})
	if err != nil {
		t.Fatal(err)
	}
	hung := 1 - e.Primary(t, 0, "two")
	asked := 1 - hung
	e.Peer(hung).Pause(t)
	put := func(collection, query, want string) {
		t.Helper()
		begin := time.Now()
		status, got := e.raw(t, asked, "PUT", "/collections/"+collection+"/points?wait=true"+query, string(all))
		if all := fmt.Sprintf("%d %s", status, got); !regexp.MustCompile(want).MatchString(all) {
			t.Errorf("after %v: %s, not %s", time.Since(begin), all, want)
		}
	}
	put("one", "", `^408 Timeout: Timeout error: Update operation timed out in \d+\.\d\d seconds on 1 out of 2 shards\.`)
	put("one", "&timeout=1", `^408 Timeout: 1 out of 2 shards failed to apply operation\. First error captured: `)
	put("two", "", fmt.Sprintf(`^500 Service internal error: no quorum to remove peer %d$`, e.ids[hung]))
	put("two", "&timeout=1", fmt.Sprintf(`^500 Service internal error: no quorum to remove peer %d$`, e.ids[hung]))
	e.Peer(hung).Resume(t)
	well(t, e.Cluster, "one", 21)
	process.Until(t, "a replica that was lost meanwhile is back", func() bool { n, _ := e.Count(asked, "two", "Active"); return n == 2 })
	well(t, e.Cluster, "two", 21)
}
