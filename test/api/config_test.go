package api

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sextantdb/sextant/test/process"
)

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Sources of settings, each laid over the ones before (10.1). What a layer says is seen in the defaults of a new collection.
func TestSettingsAreLayered(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "config/config.yaml"), "storage:\n  hnsw_index: {m: 1, ef_construct: 11, full_scan_threshold_kb: 101}\n"+
		"  optimizers: {flush_interval_sec: 1, indexing_threshold_kb: 1, deleted_threshold: 0.1}\n  wal: {wal_capacity_mb: 1}\n"+
		"  collection: {replication_factor: 5}\n  unknown_key: {x: 1}\n")
	write(t, filepath.Join(dir, "config/development.yaml"), "storage: {hnsw_index: {m: 2}, collection: {replication_factor: 6}}\n")
	write(t, filepath.Join(dir, "config/production.toml"), "[storage.hnsw_index]\nm = 3\n")
	write(t, filepath.Join(dir, "config/local.json"), `{"storage":{"hnsw_index":{"ef_construct":12},"optimizers":{"flush_interval_sec":2}}}`)
	write(t, filepath.Join(dir, "own.yaml"), "storage: {optimizers: {flush_interval_sec: 3, indexing_threshold_kb: 3}, on_disk_payload: false}\n")

	start := func(args []string, env ...string) (*process.Server, func(want string)) {
		t.Helper()
		s := process.Start(t, process.Options{Dir: dir, Args: args, Env: env})
		return s, func(want string) {
			t.Helper()
			c := of(t, s)
			c.expect("200 …", "DELETE", "/collections/c", "")
			c.expect("200 true", "PUT", "/collections/c", "{}")
			c.expect("200 "+want, "GET", "/collections/c", "")
			s.Stop(t, process5s)
		}
	}
	_, check := start(nil)
	check(`…"replication_factor":6,…"on_disk_payload":true…{"m":2,"ef_construct":12,"full_scan_threshold":101,…"deleted_threshold":0.1,…"indexing_threshold":1,"flush_interval_sec":2,…"wal_capacity_mb":1,…`)
	_, check = start([]string{"--config-path", "own.yaml"}, "RUN_MODE=production")
	check(`…"replication_factor":5,…"on_disk_payload":false…{"m":3,"ef_construct":12,…"indexing_threshold":3,"flush_interval_sec":3,…`)
	s, check := start([]string{"--config-path", "none.yaml"}, "QDRANT__STORAGE__HNSW_INDEX__M=4", "qdrant__storage__hnsw_index__ef_construct=14",
		"SEXTANT__STORAGE__HNSW_INDEX__M=5", "QDRANT__STORAGE__ON_DISK_PAYLOAD=false", "QDRANT__STORAGE__OPTIMIZERS__DELETED_THRESHOLD=0.75",
		"QDRANT__STORAGE__COLLECTION__SHARD_NUMBER=2", "QDRANT__STORAGE__COLLECTION__VECTORS__ON_DISK=true", "QDRANT__STORAGE__WAL__WAL_CAPACITY_MB=many",
		"QDRANT__LOG_LEVEL=TRACE,raft::raft=info,hyper=warn,DEBUG", "QDRANT__NO__SUCH__KEY=1", "QDRANT__STORAGE__PERFORMANCE__INCOMING_SHARD_TRANSFERS_LIMIT=0",
		"QDRANT__CLUSTER__CONSENSUS__COMPACT_WAL_ENTRIES=10", "QDRANT__FEATURE_FLAGS__ALL=true", "QDRANT__SERVICE__HARDWARE_REPORTING=true")
	for _, warning := range []string{"none.yaml", "wal_capacity_mb"} {
		if !strings.Contains(s.Log(), warning) {
			t.Errorf("nothing is said about %s", warning)
		}
	}
	check(`…"shard_number":2,…"on_disk_payload":false…{"m":5,"ef_construct":14,…"deleted_threshold":0.75,…"wal_capacity_mb":32,…`)
}

// Folders, ports and the switch for metrics without a key.
func TestSettingsOfPlaces(t *testing.T) {
	port := process.FreePort(t)
	s := process.Start(t, process.Options{Env: []string{"QDRANT__STORAGE__STORAGE_PATH=./a/data", "QDRANT__STORAGE__SNAPSHOTS_PATH=./b/snaps",
		"QDRANT__STORAGE__TEMP_PATH=./c/tmp", fmt.Sprintf("QDRANT__SERVICE__METRICS_PORT=%d", port), "QDRANT__SERVICE__API_KEY=secret",
		"QDRANT__STORAGE__COLLECTION__QUANTIZATION__SCALAR__TYPE=int8", "QDRANT__STORAGE__COLLECTION__STRICT_MODE__ENABLED=true",
		"QDRANT__STORAGE__COLLECTION__STRICT_MODE__MAX_QUERY_LIMIT=3"}})
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", port))
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
	if resp, err = http.Get(fmt.Sprintf("http://127.0.0.1:%d/collections", port)); err != nil || resp.StatusCode != 404 {
		t.Error(resp.Status, err)
	}
	resp.Body.Close()
	c := of(t, s)
	keyed := func(method, path, body, want string) {
		t.Helper()
		resp, b := c.send(method, path, strings.NewReader(body), "api-key", "secret")
		if got := digest(resp, b); !matches(want, got) {
			t.Errorf("%s %s\n got %s\nwant %s", method, path, got, want)
		}
	}
	keyed("PUT", "/collections/c", `{"vectors":{"size":1,"distance":"Dot"}}`, "true")
	keyed("GET", "/collections/c", "", `…"quantization_config":{"scalar":{"type":"int8"}},"strict_mode_config":{"enabled":true,"max_query_limit":3}…`)
	keyed("POST", "/collections/c/points/scroll", `{"limit":4}`, `…Limit exceeded 4 > 3…`)
	keyed("POST", "/collections/c/snapshots", "", "…")
	for _, folder := range []string{"a/data", "b/snaps/c"} {
		if entries, err := os.ReadDir(filepath.Join(s.Dir, folder)); err != nil || len(entries) == 0 {
			t.Errorf("%s: %v, %d entries", folder, err, len(entries))
		}
	}
	for _, folder := range []string{"storage", "snapshots"} {
		if _, err := os.Stat(filepath.Join(s.Dir, folder)); err == nil {
			t.Errorf("%s was made although another place was set", folder)
		}
	}
}

// A second server on the same storage does not start, and says why.
func TestOneServerForAStorage(t *testing.T) {
	s := process.Start(t, process.Options{})
	second := process.Spawn(t, process.Options{Dir: s.Dir})
	poll(t, "the second one gives up", func() bool { return strings.Contains(second.Log(), "another process") })
	s.Stop(t, process5s)
	process.Start(t, process.Options{Dir: s.Dir})
}

func TestFlagsThatEndAtOnce(t *testing.T) {
	for _, c := range [][2]string{{"--version", "(API 1.19.0"}, {"version", "(API 1.19.0"}, {"--help", "serve [flags]"}} {
		out, err := exec.Command(process.Binary(t), c[0]).CombinedOutput()
		if err != nil || !strings.Contains(string(out), c[1]) {
			t.Errorf("%s: %v\n%s", c[0], err, out)
		}
	}
	if out, err := exec.Command(process.Binary(t), "--nonsense").CombinedOutput(); err == nil {
		t.Errorf("an unknown flag is taken: %s", out)
	}
}
