package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sextantdb/sextant/internal/transferfile"
	"github.com/sextantdb/sextant/server"
)

// started runs a server for a test and returns its address.
func started(t *testing.T) string {
	t.Helper()
	cfg := server.DefaultConfig()
	dir := t.TempDir()
	cfg.Storage.StoragePath, cfg.Storage.SnapshotsPath = filepath.Join(dir, "storage"), filepath.Join(dir, "snapshots")
	cfg.Storage.WAL.CapacityMB = 1
	cfg.Service.Host, cfg.Service.HTTPPort = "127.0.0.1", 0
	s, err := server.Start(context.Background(), cfg, server.Parts{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return "http://" + s.Addr().String()
}

func command(t *testing.T, want int, args ...string) {
	t.Helper()
	if got := run(t.Context(), args); got != want {
		t.Fatalf("sextant %s: exit code %d, want %d", strings.Join(args, " "), got, want)
	}
}

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// What goes in comes out: vectors in their formats, points as JSON lines, and JSON lines into another collection.
func TestImportAndExport(t *testing.T) {
	address, dir := started(t), t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	const rows, dim = 1000, 3
	fvecs, npy := []byte(nil), transferfile.NPYHeader(rows, dim)
	for i := range rows {
		v := []float32{float32(i), -0.5, 1e-7 * float32(i)}
		fvecs, _ = transferfile.AppendVector(fvecs, transferfile.FVecs, v)
		npy, _ = transferfile.AppendVector(npy, transferfile.NPY, v)
	}
	at := []string{"--url", address}
	do := func(want int, args ...string) { t.Helper(); command(t, want, append(args, at...)...) }

	do(1, "import", write(t, file("in.fvecs"), fvecs), "-c", "a")
	do(0, "import", file("in.fvecs"), "-c", "a", "--create", "--distance", "Dot", "--batch", "37", "--parallel", "3")
	do(0, "export", file("out.fvecs"), "-c", "a", "--batch", "100")
	if read(t, file("out.fvecs")) != string(fvecs) {
		t.Error("fvecs came back changed")
	}
	do(0, "export", file("out.npy"), "-c", "a")
	if read(t, file("out.npy")) != string(npy) {
		t.Error("npy came back changed")
	}
	if ids := strings.Split(read(t, file("out.npy.ids")), "\n"); len(ids) != rows+1 || ids[999] != "999" {
		t.Error("ids", len(ids))
	}
	do(0, "import", write(t, file("in.npy"), npy), "-c", "b", "--create", "--distance", "Dot", "--vector", "named", "--first-id", "5")
	do(0, "export", file("b.fvecs"), "-c", "b", "--vector", "named")
	if read(t, file("b.fvecs")) != string(fvecs) {
		t.Error("named vectors came back changed")
	}
	do(1, "import", file("in.npy"), "-c", "b")

	var lines strings.Builder
	for i := range 50 {
		fmt.Fprintf(&lines, `{"id":%d,"payload":{"z":%d,"a":[1.0,{"b":"ü"}]},"vector":[%d,1,0]}`+"\n", i, i, i)
	}
	do(1, "import", write(t, file("in.jsonl"), []byte(lines.String())), "-c", "c")
	if err := (remote{URL: address, Wait: 1e9}).call(t.Context(), "PUT", "/collections/c", []byte(`{"vectors":{"size":3,"distance":"Dot"}}`), nil); err != nil {
		t.Fatal(err)
	}
	do(0, "import", file("in.jsonl"), "-c", "c")
	do(0, "export", file("out.jsonl"), "-c", "c")
	if got := read(t, file("out.jsonl")); canonical(t, got) != canonical(t, lines.String()) {
		t.Errorf("JSON lines came back changed:\n%.300s", got)
	}
	left, err := filepath.Glob(file("*.resume*"))
	if err != nil || len(left) > 0 {
		t.Error("left", left)
	}
}

// canonical spells lines of JSON alike.
func canonical(t *testing.T, text string) string {
	t.Helper()
	var b strings.Builder
	for line := range strings.Lines(text) {
		var v any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		raw, _ := json.Marshal(v)
		b.Write(append(raw, '\n'))
	}
	return b.String()
}

// An import and an export that break off go on where they were.
func TestResume(t *testing.T) {
	address, dir := started(t), t.TempDir()
	target, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	// A proxy that breaks after some requests.
	var left atomic.Int64
	proxy := httputil.NewSingleHostReverseProxy(target)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if left.Add(-1) < 0 {
			http.Error(w, `{"status":{"error":"broken"}}`, http.StatusInternalServerError)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	defer front.Close()
	var data []byte
	for i := range 500 {
		data, _ = transferfile.AppendVector(data, transferfile.FVecs, []float32{float32(i), 1})
	}
	in, out := write(t, filepath.Join(dir, "in.fvecs"), data), filepath.Join(dir, "out.fvecs")
	do := func(requests int64, want int, args ...string) {
		t.Helper()
		left.Store(requests)
		command(t, want, append(args, "--url", front.URL, "--batch", "50")...)
	}
	do(6, 1, "import", in, "-c", "c", "--create", "--distance", "Dot", "--parallel", "1")
	state := read(t, in+".c.resume")
	if !strings.Contains(state, `"rows":200`) {
		t.Error(state)
	}
	do(8, 0, "import", in, "-c", "c", "--create", "--distance", "Dot", "--parallel", "1") // 1 look, 6 batches, 1 to settle
	do(6, 1, "export", out, "-c", "c")                                                    // 1 look, 1 count, 4 pages
	if state := read(t, out+".resume"); !strings.Contains(state, `"rows":200`) {
		t.Error(state)
	}
	do(9, 0, "export", out, "-c", "c") // 1 look, 1 count, 6 pages and an empty end
	if read(t, out) != string(data) {
		t.Error("the file came back changed")
	}
}

func TestVersionAndUsage(t *testing.T) {
	command(t, 0, "version")
	command(t, 2, "nonsense")
	command(t, 2, "import")
}
