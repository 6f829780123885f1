// Package clients runs the official client libraries, unchanged, against a real server process.
package clients

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sextantdb/sextant/test/process"
)

// need skips a test whose tools this machine lacks, unless SEXTANT_REQUIRE_CLIENTS is set (CI sets it).
func need(t *testing.T, ok bool, what string) {
	t.Helper()
	if ok {
		return
	}
	if os.Getenv("SEXTANT_REQUIRE_CLIENTS") != "" {
		t.Fatalf("%s is missing; `make clients` installs it", what)
	}
	t.Skipf("%s is missing; `make clients` installs it", what)
}

func run(t *testing.T, program string, args ...string) {
	t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", program, args, err, out)
	}
	t.Logf("%s", out)
}

func TestPythonClientDoesItsQuickstart(t *testing.T) {
	python, err := filepath.Abs(".venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	need(t, exec.Command(python, "-c", "import qdrant_client").Run() == nil, "the Python client")
	server := process.Start(t, process.Options{})
	run(t, python, "python/quickstart.py", server.URL)
}

func TestJavaScriptClientDoesItsQuickstart(t *testing.T) {
	_, err := os.Stat("js/node_modules/@qdrant/js-client-rest")
	need(t, err == nil, "the JavaScript client")
	server := process.Start(t, process.Options{})
	run(t, "node", "js/quickstart.mjs", server.URL)
}
