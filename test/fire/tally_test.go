package fire

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// condition is how a peer is, as far as faults go.
type condition struct {
	v   atomic.Int32
	was atomic.Int64 // how often it changed
}

const (
	isWell   int32 = iota
	isUnwell       // its process runs, but it is cut off, slow or full
	isDown         // it does not answer
)

func (c *condition) get() int32  { return c.v.Load() }
func (c *condition) set(v int32) { c.v.Store(v); c.was.Add(1) }

// tally is everything that is counted.
type tally struct {
	t           *testing.T
	mu          sync.Mutex
	faults      map[string]int
	writes      map[string]int
	failures    map[string]int
	counts      map[string]int
	operations  map[string]int // of the operator, by what and outcome
	recoveries  []time.Duration
	worst       string
	writeStalls map[string]time.Duration // by set and fault
	readStalls  map[string]time.Duration
	present     string // the last fault
	wrong       []string
	settled     time.Duration

	acked, lost, invented, late, divergent int
}

func newTally(t *testing.T) *tally {
	return &tally{t: t, faults: map[string]int{}, writes: map[string]int{}, failures: map[string]int{}, counts: map[string]int{}, operations: map[string]int{},
		writeStalls: map[string]time.Duration{}, readStalls: map[string]time.Duration{}, present: "no fault yet"}
}

func (y *tally) fault(kind string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.faults[kind]++
	y.present = kind
}

func (y *tally) wrote(what string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.writes[what]++
}

func (y *tally) count(what string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.counts[what]++
}

func (y *tally) operated(what string, err error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if err != nil {
		what += ": refused"
	}
	y.operations[what]++
}

// bad notes what must not be.
func (y *tally) bad(what string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if len(y.wrong) < 50 {
		y.t.Log(time.Now().Format("15:04:05.000"), "WRONG:", what)
		y.wrong = append(y.wrong, time.Now().Format("15:04:05.000 ")+what)
	}
}

// failed notes the outcome of a write that was not acknowledged. A refusal that names the client is a wrong answer: no client
// does anything wrong here.
func (y *tally) failed(what string, status int, err error) {
	if status >= 400 && status < 500 && status != 408 {
		y.bad(fmt.Sprintf("%s was refused: %v", what, err))
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	y.failures[gist(status, err)]++
}

func (y *tally) readFailed(set string, well bool, err error) {
	if !well {
		set += ", while a fault began"
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	y.counts["reads that failed, of "+set]++
	y.failures["read of "+set+": "+gist(0, err)]++
}

// gist is an error without what differs from case to case.
func gist(status int, err error) string {
	text := err.Error()
	if _, rest, ok := strings.Cut(text, `"error":"`); ok {
		text, _, _ = strings.Cut(rest, `"}`)
	} else if i := strings.LastIndex(text, `": `); i >= 0 {
		text = text[i+3:]
	}
	text = strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return 'N'
		}
		return r
	}, text)
	for strings.Contains(text, "NN") {
		text = strings.ReplaceAll(text, "NN", "N")
	}
	if len(text) > 160 {
		text = text[:160] + "…"
	}
	return fmt.Sprint(status, " ", text)
}

func (y *tally) stall(of *map[string]time.Duration, set string, since time.Time) {
	took := time.Since(since)
	y.mu.Lock()
	defer y.mu.Unlock()
	(*of)[set+" | "+y.present] = max((*of)[set+" | "+y.present], took)
}

func (y *tally) recovered(what string, took time.Duration) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if len(y.recoveries) == 0 || took > slices.Max(y.recoveries) {
		y.worst = what
	}
	y.recoveries = append(y.recoveries, took)
}

func sum(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

func (y *tally) report(where string, seed uint64, peers int, burn time.Duration) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	list := func(m map[string]int) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			say("| %s | %d |", k, m[k])
		}
	}
	verdict := "nothing is wrong"
	if len(y.wrong) > 0 {
		verdict = fmt.Sprintf("%d THINGS ARE WRONG", len(y.wrong))
	}
	say("Proof by fire, %s: %s\n", time.Now().UTC().Format("2006-01-02 15:04"), verdict)
	say("%d peers over %s, %v, seed %d\n", peers, where, burn, seed)
	say("| | |\n|---|---|")
	say("| faults | %d of %d kinds |", sum(y.faults), len(y.faults))
	say("| writes acknowledged, requests | %d |", sum(y.writes))
	say("| writes acknowledged, points | %d |", y.acked)
	say("| lost | %d |", y.lost)
	say("| invented | %d |", y.invented)
	say("| divergent replicas | %d |", y.divergent)
	say("| carried out after the end of their request | %d |", y.late)
	say("| manual steps | 0 |")
	say("| all active and equal after the last fault | %v |", y.settled.Round(time.Millisecond))
	if n := len(y.recoveries); n > 0 {
		slices.Sort(y.recoveries)
		say("| replicas that came back by themselves | %d |", n)
		say("|   median, 9 of 10, longest | %v, %v, %v (%s) |", y.recoveries[n/2].Round(time.Millisecond), y.recoveries[n*9/10].Round(time.Millisecond),
			y.recoveries[n-1].Round(time.Millisecond), y.worst)
	}
	say("\n| faults | |\n|---|---|")
	list(y.faults)
	say("\n| requests | |\n|---|---|")
	list(y.writes)
	list(y.counts)
	say("\n| operations of an operator | |\n|---|---|")
	list(y.operations)
	say("\n| answers that were no acknowledgement | |\n|---|---|")
	list(y.failures)
	say("\n| collection | the last fault | longest stall of a client while the peer that it asks is well: write | read |\n|---|---|---|---|")
	for _, k := range slices.Sorted(maps.Keys(y.writeStalls)) {
		say("| %s | %v | %v |", k, y.writeStalls[k].Round(time.Millisecond), y.readStalls[k].Round(time.Millisecond))
	}
	return b.String()
}
