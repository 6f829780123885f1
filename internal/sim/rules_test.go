package sim

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sextantdb/sextant/internal/replica"
)

var rulesFlag = flag.Duration("sim.rules", 0, "switch off each rule of replication, for at most so long each, and print what finds it")

// TestRules switches off one rule after the other in all nodes and looks for a story that notices, and does not without that. It
// prints a table.
func TestRules(t *testing.T) {
	if *rulesFlag == 0 {
		t.Skip("no -sim.rules")
	}
	var table strings.Builder
	found := 0
	for _, rule := range replica.Rules() {
		began, stories, virtual, what := time.Now(), 0, time.Duration(0), ""
		for seed := uint64(1); what == "" && time.Since(began) < *rulesFlag; seed++ {
			o, story := Random(seed)
			o.Wrong = []string{rule}
			out := run(t, o, story)
			stories++
			virtual += out.Virtual
			if out.Err == nil {
				continue
			}
			if o.Wrong = nil; run(t, o, story).Err == nil { // else something else is wrong
				what, _, _ = strings.Cut(out.Err.Error(), "\n")
				found++
			}
		}
		line := fmt.Sprintf("| `%s` | %d | %v | %v | %s |", rule, stories, virtual.Round(time.Second), time.Since(began).Round(100*time.Millisecond), what)
		fmt.Fprintln(&table, line)
		t.Log(line)
	}
	t.Logf("%d of %d rules are found\n| rule switched off | stories | virtual time | real time | what notices |\n|---|---|---|---|---|\n%s", found, len(replica.Rules()), table.String())
}
