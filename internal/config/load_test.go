package config

import (
	"encoding/json"
	"io/fs"
	"os"
	"strings"
	"testing"
)

func files(m map[string]string) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		if text, ok := m[name]; ok {
			return []byte(text), nil
		}
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
}

// Each later source wins over the one before, key by key.
func TestLaterSourcesWin(t *testing.T) {
	all := map[string]string{
		"config/config.yaml":       "service: {http_port: 1, max_request_size_mb: 11}",
		"config/production.json":   `{"service": {"http_port": 2, "host": "h2"}}`,
		"config/local.toml":        "[service]\nhttp_port = 3\napi_key = \"k3\"\n",
		"/etc/qdrant/config.yml":   "service: {http_port: 4}",
		"/etc/sextant/config.json": `{"service": {"http_port": 5}}`,
		"my.yaml":                  "service: {http_port: 6}",
	}
	s := Sources{ReadFile: files(all), Env: []string{"RUN_MODE=production"}}
	port := func(want uint16) {
		t.Helper()
		c, warnings := Load(s)
		if c.Service.HTTPPort != want || len(warnings) > 0 {
			t.Errorf("port %d, want %d; %v", c.Service.HTTPPort, want, warnings)
		}
		if c.Service.Host != "h2" || *c.Service.APIKey != "k3" || c.Service.MaxRequestSizeMB != 11 {
			t.Errorf("keys of the layers below were lost: %+v", c.Service)
		}
	}
	port(5)
	s.Path = "my.yaml"
	port(6)
	s.Env = append(s.Env, "SEXTANT__SERVICE__HTTP_PORT=8", "qdrant__service__http_port=7", "QDRANT__NOBODY__KNOWS=1")
	port(8)
	s.Flags = map[string]any{"service.http_port": 9}
	port(9)
}

// Both spellings of sizes, null to take a value back, and settings of collections as structures.
func TestSpellings(t *testing.T) {
	c, warnings := Load(Sources{
		ReadFile: files(map[string]string{"config/config.yaml": `
storage:
  optimizers: {indexing_threshold: 5, max_segment_size_kb: 7}
  hnsw_index: {full_scan_threshold: 99}
  collection:
    quantization: {scalar: {type: int8, quantile: 0.9}}
    strict_mode: {enabled: true, max_query_limit: 3}
service: {grpc_port: null}
`}),
		Env: []string{"QDRANT__STORAGE__OPTIMIZERS__INDEXING_THRESHOLD_KB=6", "QDRANT__STORAGE__PERFORMANCE__INCOMING_SHARD_TRANSFERS_LIMIT=0",
			"QDRANT__STORAGE__COLLECTION__STRICT_MODE__MAX_TIMEOUT=4", "QDRANT__SERVICE__HARDWARE_REPORTING=True", "SEXTANT__STORAGE__RECOVERY_MODE=out of memory"},
	})
	if len(warnings) > 0 {
		t.Error(warnings)
	}
	s := c.Storage
	if *s.Optimizers.IndexingThresholdKB != 6 || *s.Optimizers.MaxSegmentSizeKB != 7 || s.HNSW.FullScanThresholdKB != 99 ||
		*s.Performance.IncomingTransfersLimit != 0 || c.Service.GRPCPort != nil || !c.Service.HardwareReporting || *s.RecoveryMode != "out of memory" {
		t.Errorf("%+v", s)
	}
	if q := s.Collection.Quantization; q == nil || q.Scalar == nil || *q.Scalar.Quantile != 0.9 {
		t.Errorf("quantization %+v", q)
	}
	if m := s.Collection.StrictMode; m == nil || !*m.Enabled || *m.MaxQueryLimit != 3 || *m.MaxTimeout != 4 {
		t.Errorf("strict mode %+v", m)
	}
}

// A value that cannot be used is warned of and left at what it was; a missing file that was asked for is an error.
func TestBadValuesWarn(t *testing.T) {
	c, warnings := Load(Sources{
		ReadFile: files(map[string]string{"config/config.yaml": "service: {http_port: many}\nstorage: {wal: {wal_capacity_mb: 0}}", "config/local.json": "{"}),
		Env:      []string{"QDRANT__SERVICE__ENABLE_CORS=perhaps", "QDRANT__SERVICE__API_KEY=", "QDRANT__STORAGE__WAL=5"},
		Path:     "missing.yaml",
	})
	if c.Service.HTTPPort != 6333 || c.Storage.WAL.CapacityMB != 32 || !c.Service.EnableCORS || c.Service.APIKey != nil {
		t.Errorf("%+v", c.Service)
	}
	var all strings.Builder
	severe := 0
	for _, w := range warnings {
		all.WriteString(w.Source + ": " + w.Text + "\n")
		if w.Severe {
			severe++
		}
	}
	for _, want := range []string{"service.http_port", "service.enable_cors", "storage.wal", "missing.yaml", "service.api_key", "config/local"} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("no warning about %s in\n%s", want, all.String())
		}
	}
	if severe != 2 {
		t.Errorf("%d severe warnings:\n%s", severe, all.String())
	}
}

// The files of the repository say what the code does: config.yaml is all defaults.
func TestShippedFiles(t *testing.T) {
	read := func(name string) ([]byte, error) {
		if rest, ok := strings.CutPrefix(name, "config/"); ok {
			return os.ReadFile("../../config/" + rest)
		}
		return nil, fs.ErrNotExist
	}
	c, warnings := Load(Sources{ReadFile: read, Env: []string{"RUN_MODE=none"}})
	if len(warnings) > 0 {
		t.Error(warnings)
	}
	d := decoder{}
	d.problems = diff(Default(), c)
	if len(d.problems) > 0 {
		t.Error(d.problems)
	}
	if c, warnings = Load(Sources{ReadFile: read}); len(warnings) > 0 || c.Service.Host != "127.0.0.1" {
		t.Errorf("development: %q %v", c.Service.Host, warnings)
	}
}

func diff(a, b Config) (out []string) {
	x, y := marshal(a), marshal(b)
	lines := strings.Split(y, "\n")
	for i, line := range strings.Split(x, "\n") {
		if i >= len(lines) || lines[i] != line {
			return append(out, line+" <> "+strings.Join(lines[i:min(i+1, len(lines))], ""))
		}
	}
	return nil
}
func marshal(c Config) string {
	b, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(b)
}
