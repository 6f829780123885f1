package api

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write what was answered into the scripts")

func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	schema, err := loadSchema()
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { run(t, schema, file) })
	}
}

func run(t *testing.T, schema *schema, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	r := runner{t: t, schema: schema}
	var renewed []string
	for _, b := range blocks {
		got, ok := r.play(&b)
		lines := b.lines
		if !ok {
			t.Errorf("%s %s %.300s\n got %s\nwant %s", b.method, b.path, b.body,
				strings.Join(got, "\n     "), strings.Join(b.want, "\n     "))
			lines = b.show(got)
		}
		renewed = append(renewed, strings.Join(lines, "\n"))
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(strings.Join(renewed, "\n\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
