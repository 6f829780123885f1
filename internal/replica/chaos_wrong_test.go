package replica

import (
	"flag"
	"slices"
	"strings"
	"testing"
	"time"
)

var chaosMutants = flag.Duration("chaos.mutants", 0, "how long to look for what each rule prevents when it is off; 0: only for rules that are missed quickly")

// wrongNames are the rules of core by bit.
var wrongNames = [...]string{"keepReigning", "readAtOnce", "reuseTerm", "keepSessions", "officeAtOnce", "countUnsynced", "commitOldTerm",
	"waitActiveOnly", "barrierUnasked", "takeOldTerms", "mixRounds", "skipPrevCheck", "trustCommit", "freshWithoutOffice", "freshAnyLife",
	"cutCommitted", "ackUnsynced", "ackLast", "logTwice", "resolveEarly", "admitUncounted", "admitBeforeOffice", "admitAtCommit", "keepFresh"}

// TestChaosFindsMutants switches rules off, one at a time, and expects that a history is found which violates something.
func TestChaosFindsMutants(t *testing.T) {
	limit, quick := *chaosMutants, *chaosMutants == 0
	if quick {
		limit = 5 * time.Second
	}
	for i, name := range wrongNames {
		if !quick || slices.Contains(chaosQuick, name) {
			hunt(t, name, 1<<i, noFlaw, limit, quick)
		}
	}
	for f := noFlaw + 1; f < flaws; f++ {
		if name := flawNames[f]; !quick || slices.Contains(chaosQuick, name) {
			hunt(t, name, 0, f, limit, quick)
		}
	}
}

// chaosQuick are those that are found within a second.
var chaosQuick = []string{"readAtOnce", "reuseTerm", "officeAtOnce", "countUnsynced", "takeOldTerms", "skipPrevCheck", "trustCommit",
	"ackUnsynced", "ackLast", "logTwice", "resolveEarly", "admitUncounted", "halfBase", "looseBase", "claimCommit", "replayTail", "feedAll"}

func hunt(t *testing.T, name string, wrong wrong, flaw flaw, limit time.Duration, must bool) {
	begin := time.Now()
	var sum chaosStats
	for seed := uint64(0); time.Since(begin) < limit; seed++ {
		if bad := playChaos(seed, wrong, flaw, &sum); bad != "" {
			bad, _, _ = strings.Cut(bad, "\n")
			t.Logf("%-20s found in history %d, %.2f s: %s", name, seed, time.Since(begin).Seconds(), bad[:min(len(bad), 150)])
			return
		}
	}
	if must {
		t.Errorf("%s is not found", name)
	}
	t.Logf("%-20s not found in %d histories, %.1f s", name, sum.Histories, time.Since(begin).Seconds())
}
