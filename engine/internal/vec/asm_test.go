package vec

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A legacy SSE instruction on dirty upper halves costs a microcode assist of hundreds of cycles, and so does code after
// a kernel that leaves them dirty.
func TestAssemblyIsFreeOfLegacySSE(t *testing.T) {
	files, err := filepath.Glob("*_amd64.s")
	if err != nil || len(files) == 0 {
		t.Fatal("no assembly found", err)
	}
	evex := regexp.MustCompile(`\b(Z[0-9]+|[XY](1[6-9]|[23][0-9])|K[0-7])\b|AVX512`)
	register := regexp.MustCompile(`\b[XYZ][0-9]+\b`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		clean := true
		for i, line := range strings.Split(string(text), "\n") {
			if strings.HasPrefix(file, "avx2") && evex.MatchString(line) {
				t.Errorf("%s:%d: needs AVX-512: %s", file, i+1, line)
			}
			if !strings.HasPrefix(line, "\t") {
				continue
			}
			op, _, _ := strings.Cut(strings.TrimSpace(line), " ")
			switch {
			case op == "VZEROUPPER":
				clean = true
			case op == "RET" && !clean:
				t.Errorf("%s:%d: RET with dirty upper halves", file, i+1)
			case register.MatchString(line):
				clean = false
				if !strings.HasPrefix(op, "V") {
					t.Errorf("%s:%d: legacy instruction %s", file, i+1, op)
				}
			}
		}
	}
}
