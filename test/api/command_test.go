package api

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sextantdb/sextant/test/process"
)

// sextant runs the program and returns what it printed.
func sextant(t *testing.T, dir string, code int, args ...string) string {
	t.Helper()
	cmd := exec.Command(process.Binary(t), args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		t.Errorf("sextant %s: exit code %d, want %d\n%s", strings.Join(args, " "), got, code, out)
	}
	return string(out)
}

// A collection leaves one server as a file and enters another one; the directory that it lived in can be looked into.
func TestImportExportInspect(t *testing.T) {
	from := process.Start(t, process.Options{})
	to := process.Start(t, process.Options{Env: []string{"QDRANT__SERVICE__API_KEY=secret"}})
	dir := t.TempDir()
	a := of(t, from)
	book(a)
	sextant(t, dir, 0, "export", "book.jsonl", "-c", "book", "--url", from.URL)
	lines, err := os.ReadFile(filepath.Join(dir, "book.jsonl"))
	if err != nil || strings.Count(string(lines), "\n") != 98 {
		t.Fatalf("%v, %d lines", err, strings.Count(string(lines), "\n"))
	}
	if out := sextant(t, dir, 1, "import", "book.jsonl", "-c", "book", "--url", to.URL); !strings.Contains(out, "401") {
		t.Errorf("without a key: %s", out)
	}
	if out := sextant(t, dir, 1, "import", "book.jsonl", "-c", "book", "--url", to.URL, "--api-key", "secret"); !strings.Contains(out, "does not exist") {
		t.Errorf("into nothing: %s", out)
	}
	b := of(t, to)
	b.send("PUT", "/collections/book", strings.NewReader(`{"vectors":{"a":{"size":2,"distance":"Cosine"},"b":{"size":1,"distance":"Dot"}},"sparse_vectors":{"s":{}}}`), "api-key", "secret")
	sextant(t, dir, 0, "import", "book.jsonl", "-c", "book", "--url", to.URL, "--api-key", "secret", "--batch", "7")
	_, there := b.send("POST", "/collections/book/points/scroll", strings.NewReader(`{"limit":1000,"with_vector":true}`), "api-key", "secret")
	_, here := a.send("POST", "/collections/book/points/scroll", strings.NewReader(`{"limit":1000,"with_vector":true}`))
	cut := func(b []byte) string { s, _, _ := strings.Cut(string(b), `"time"`); return s }
	if cut(here) != cut(there) {
		t.Errorf("the copy differs:\n%.500s\n%.500s", here, there)
	}

	from.Stop(t, process5s)
	shards, _ := filepath.Glob(filepath.Join(from.Dir, "storage/collections/*/[01]"))
	if len(shards) != 2 {
		t.Fatalf("shards: %v", shards)
	}
	for _, shard := range shards {
		if out := sextant(t, dir, 0, "inspect", shard, "--records"); !strings.Contains(out, "log ends") || !strings.Contains(out, "Upsert of") {
			t.Errorf("inspect: %s", out)
		}
	}
	sextant(t, dir, 1, "inspect", dir)
}
