package replica

import (
	"maps"
	"slices"
)

// wrong lists rules of the protocol that a test has switched off, to show that the simulation notices. It is empty outside
// of tests.
type wrong uint64

const (
	keepReigning       wrong = 1 << iota // the topology's word ends no reign
	readAtOnce                           // a restarted replica is read at once
	reuseTerm                            // a restarted primary goes on in its term
	keepSessions                         // what was acknowledged on an earlier connection counts
	officeAtOnce                         // writes are served before the no-op is committed
	countUnsynced                        // a primary counts itself before its fsync
	commitOldTerm                        // entries of former terms are committed by count alone
	waitActiveOnly                       // wait=true does not wait for receivers
	barrierUnasked                       // a linearizable read does not ask the others
	takeOldTerms                         // entries of old terms are taken
	mixRounds                            // rounds are not counted per term
	skipPrevCheck                        // the place before new entries is not compared
	trustCommit                          // a commit is believed above what is verified
	freshWithoutOffice                   // the commit of a primary not yet in office opens reads
	freshAnyLife                         // and that of a message to a former life
	cutCommitted                         // an old primary cuts what is committed
	ackUnsynced                          // acknowledged before fsync
	ackLast                              // the last entry held is acknowledged, not the last one verified
	logTwice                             // a retry is logged again
	resolveEarly                         // filters are resolved before everything is applied
	admitUncounted                       // a receiver is not counted before Admit
	admitBeforeOffice                    // and admitted by a primary not in office
	admitAtCommit                        // and only brought to the commit
	keepFresh                            // a replica that becomes readable is read at once
)

func (w wrong) has(rule wrong) bool { return w&rule != 0 }

// byName are the rules as Options.Wrong and Rules name them.
var byName = map[string]wrong{
	"keepReigning": keepReigning, "readAtOnce": readAtOnce, "reuseTerm": reuseTerm, "keepSessions": keepSessions, "officeAtOnce": officeAtOnce,
	"countUnsynced": countUnsynced, "commitOldTerm": commitOldTerm, "waitActiveOnly": waitActiveOnly, "barrierUnasked": barrierUnasked,
	"takeOldTerms": takeOldTerms, "mixRounds": mixRounds, "skipPrevCheck": skipPrevCheck, "trustCommit": trustCommit,
	"freshWithoutOffice": freshWithoutOffice, "freshAnyLife": freshAnyLife, "cutCommitted": cutCommitted, "ackUnsynced": ackUnsynced,
	"ackLast": ackLast, "logTwice": logTwice, "resolveEarly": resolveEarly, "admitUncounted": admitUncounted,
	"admitBeforeOffice": admitBeforeOffice, "admitAtCommit": admitAtCommit,
}

// Rules names the rules that a simulation may switch off.
func Rules() []string { return slices.Sorted(maps.Keys(byName)) }

// switchedOff is what Options.Wrong names.
func switchedOff(names []string) (w wrong) {
	for _, name := range names {
		rule, known := byName[name]
		if !known {
			panic("replica: there is no rule " + name)
		}
		w |= rule
	}
	return w
}
