package replica

import (
	"flag"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	chaosMutants = flag.Duration("chaos.mutants", 0, "how long to look for what each rule prevents; 0: only for rules that are missed quickly")
	chaosOnly    = flag.String("chaos.only", "", "the rule to switch off; its accident is shown")
)

// wrongNames are the rules of core by bit.
var wrongNames = [...]string{"keepReigning", "readAtOnce", "reuseTerm", "keepSessions", "officeAtOnce", "countUnsynced", "commitOldTerm",
	"waitActiveOnly", "barrierUnasked", "takeOldTerms", "mixRounds", "skipPrevCheck", "trustCommit", "freshWithoutOffice", "freshAnyLife",
	"cutCommitted", "ackUnsynced", "ackLast", "logTwice", "resolveEarly", "admitUncounted", "admitBeforeOffice", "admitAtCommit", "keepFresh"}

// mutant is what is wrong: rules of core that are off, or something around it.
type mutant struct {
	name  string
	wrong wrong
	flaw  flaw
	quick bool // found in a moment
}

func mutants() (list []mutant) {
	quick := []string{"readAtOnce", "reuseTerm", "officeAtOnce", "countUnsynced", "takeOldTerms", "skipPrevCheck", "trustCommit", "ackUnsynced", "ackLast",
		"logTwice", "resolveEarly", "admitUncounted", "halfBase", "looseBase", "claimCommit", "replayTail", "feedAll", "cachedDigest", "forgetTerm"}
	for i, name := range wrongNames {
		list = append(list, mutant{name: name, wrong: 1 << i})
	}
	for f := noFlaw + 1; f < looseLanes; f++ {
		list = append(list, mutant{name: flawNames[f], flaw: f})
	}
	for i := range list {
		list[i].quick = slices.Contains(quick, list[i].name)
	}
	// Of these, either suffices: two rules, and a rule and the law of lanes.
	return append(list,
		mutant{name: "admitBeforeOffice, admitAtCommit", wrong: admitBeforeOffice | admitAtCommit},
		mutant{name: "freshAnyLife, looseLanes", wrong: freshAnyLife, flaw: looseLanes})
}

// TestChaosFindsMutants switches rules off, one at a time, and expects that a history is found which violates something.
func TestChaosFindsMutants(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	for _, m := range mutants() {
		switch {
		case *chaosOnly != "" && *chaosOnly != m.name:
		case *chaosMutants > 0:
			hunt(t, m, *chaosMutants, 1<<30)
		case m.quick:
			hunt(t, m, time.Hour, 4000)
		}
	}
}

func hunt(t *testing.T, m mutant, limit time.Duration, histories int64) {
	begin := time.Now()
	var sum chaosStats
	for seed := *chaosSeed; time.Since(begin) < limit && sum.Histories < histories; seed++ {
		if bad := playChaos(seed, m.wrong, m.flaw, &sum); bad != "" {
			bad, _, _ = strings.Cut(bad, "\n")
			t.Logf("%-20s found in history %d, %.2f s: %s", m.name, seed, time.Since(begin).Seconds(), bad[:min(len(bad), 150)])
			if *chaosOnly != "" {
				t.Log(chaosReport(seed, m.wrong, m.flaw))
			}
			return
		}
	}
	if m.quick {
		t.Errorf("%s is not found", m.name)
	}
	t.Logf("%-20s not found in %d histories, %.1f s", m.name, sum.Histories, time.Since(begin).Seconds())
}
