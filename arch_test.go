package sextant_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// layers is the picture of ARCHITECTURE.md: what each package of ours may import besides package invariant, which is free
// for all. A package that is not listed may not exist.
var layers = map[string]string{
	"":                        "",
	"internal/vfs":            "S",
	"internal/vfs/vfstest":    "S internal/vfs",
	"internal/order":          "",
	"internal/task":           "S",
	"internal/invariant":      "",
	"internal/config":         "S",
	"internal/document":       "S",
	"internal/text":           "S",
	"internal/wal":            "S internal/vfs internal/order",
	"internal/topology":       "S internal/order",
	"internal/auth":           "S",
	"internal/snapshot":       "S internal/vfs internal/task",
	"internal/codec":          "S",
	"internal/consensus":      "S internal/wal internal/vfs internal/order",
	"internal/replica":        "S internal/order internal/topology internal/wal internal/codec internal/task",
	"internal/transfer":       "S internal/order internal/topology internal/wal internal/task",
	"internal/network":        "S internal/topology",
	"internal/peer":           "S internal/network internal/topology",
	"engine/internal/vec":     "",
	"engine/internal/quant":   "S engine/internal/vec internal/vfs",
	"engine/internal/hnsw":    "S engine/internal/vec internal/vfs",
	"engine/internal/sparse":  "S engine/internal/vec",
	"engine/internal/payload": "S internal/document internal/text",
	"engine/internal/segment": "S engine/internal/vec engine/internal/quant engine/internal/hnsw engine/internal/sparse engine/internal/payload internal/document internal/order internal/vfs internal/task",
	"engine":                  "S engine/internal/segment engine/internal/vec internal/wal internal/order internal/codec internal/document internal/task internal/vfs",
	"internal/collection":     "S internal/document internal/text internal/topology internal/task engine",
	"internal/node":           "S engine internal/auth internal/collection internal/codec internal/config internal/consensus internal/document internal/network internal/order internal/replica internal/snapshot internal/task internal/text internal/topology internal/transfer internal/vfs internal/wal",
	"internal/sim":            "S engine internal/auth internal/config internal/consensus internal/network internal/node internal/order internal/replica internal/topology internal/vfs internal/wal",
	"internal/telemetry":      "S engine internal/auth internal/config internal/node internal/task",
	"internal/rest":           "S engine internal/auth internal/config internal/document internal/node internal/task internal/telemetry internal/topology",
	"internal/transferfile":   "",
	"server":                  "S internal/auth internal/config internal/network internal/node internal/peer internal/rest internal/task internal/telemetry internal/vfs",
	"cmd/sextant":             "S engine internal/codec internal/config internal/transferfile internal/vfs server",
}

type goPackage struct {
	ImportPath, Dir, Doc         string
	Imports                      []string
	GoFiles, SFiles, TestGoFiles []string
	Standard                     bool
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var list []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

const module = "github.com/sextantdb/sextant"

// outside are packages that stand outside the house: programs for developers and black-box tests.
func outside(name string) bool {
	return name == "bench" || strings.HasPrefix(name, "bench/") || strings.HasPrefix(name, "test/") || strings.HasPrefix(name, "demo") ||
		strings.HasPrefix(name, "engine/internal/hnsw/")
}

// Imports point downwards only, as ARCHITECTURE.md draws them; the engine never sees the cluster side.
func TestImportsPointDownwards(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		if outside(name) {
			continue
		}
		allowed, known := layers[name]
		if !known {
			t.Errorf("package %q has no place in the picture: add it to arch_test.go and ARCHITECTURE.md", name)
			continue
		}
		for _, imp := range p.Imports {
			rel, ours := strings.CutPrefix(imp, module)
			if !ours {
				continue
			}
			if rel = strings.TrimPrefix(rel, "/"); rel == "" {
				rel = "S"
			}
			if rel != "internal/invariant" && !slices.Contains(strings.Fields(allowed), rel) {
				t.Errorf("%s may not import %s", name, rel)
			}
		}
	}
}

// Some imports belong to few rooms, whatever the layer.
func TestOutsideImportsStayInTheirRooms(t *testing.T) {
	rooms := map[string]string{
		"net/http":                               "internal/rest internal/telemetry internal/snapshot internal/node server cmd/sextant",
		"os":                                     "internal/vfs internal/config internal/telemetry server cmd/sextant internal/node",
		"os/exec":                                "",
		"C":                                      "",
		"unsafe":                                 "engine/internal/vec engine/internal/hnsw engine/internal/quant engine/internal/segment engine/internal/payload engine/internal/sparse internal/vfs internal/rest internal/document",
		"github.com/getkin/kin-openapi/openapi3": "",
	}
	for _, p := range packages(t) {
		name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		if outside(name) {
			continue
		}
		for _, imp := range p.Imports {
			if list, guarded := rooms[imp]; guarded && !slices.Contains(strings.Fields(list), name) {
				t.Errorf("%s may not import %s", name, imp)
			}
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range packages(t) {
		if p.Doc == "" && len(p.GoFiles) > 0 {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
		if len(p.SFiles) > 0 && !strings.HasSuffix(p.ImportPath, "/vec") {
			t.Errorf("%s: assembly lives in vec only", p.ImportPath)
		}
	}
}

func TestNoLeftovers(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && path != "." || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || path == "arch_test.go" {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, word := range []string{"FIXME", "XXX:", "HACK"} {
			if strings.Contains(string(b), word) {
				t.Errorf("%s: leftover %s", path, word)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mod), "\nreplace ") {
		t.Error("go.mod has a replace")
	}
}
