package sim

import (
	"cmp"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"
)

var (
	seedFlag = flag.Uint64("seed", 0, "run the story of one seed, twice")
	timeFlag = flag.Duration("sim.time", 0, "run stories of fresh seeds for so long")
	fromFlag = flag.Uint64("sim.from", 0, "the first of these seeds; 0: any")
	logFlag  = flag.Bool("sim.log", false, "print what nodes and the driver log")
)

// storyTime is more than any story takes: in one that takes longer, something runs without end, or waits for a lock whose owner
// sleeps; virtual time stands still then.
const storyTime = 2 * time.Minute

// run has one story happen.
func run(t *testing.T, o Options, story func(w *World)) (out Outcome) {
	t.Helper()
	if *logFlag {
		began := time.Time{}
		o.Log = slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				if began.IsZero() {
					began = a.Value.Time()
				}
				return slog.Duration("t", a.Value.Time().Sub(began))
			}
			return a
		}})
	}
	stuck := time.AfterFunc(storyTime, func() {
		fmt.Printf("%s\nseed %d: the story does not end; above are those who do not wait for virtual time\n", busy(), o.Seed)
		os.Exit(1)
	})
	defer stuck.Stop()
	cryptotest.SetGlobalRandom(t, o.Seed)
	synctest.Test(t, func(t *testing.T) { out = Run(o, story) })
	if out.Err == nil {
		unsure, err := Judge(out.History, 20*time.Second)
		out.Err = err
		if unsure > 0 {
			out.Counts["points that took the judge too long"] += uint64(unsure)
		}
	}
	return out
}

// busy is the stacks of the goroutines of stories that hold virtual time: all that are not durably blocked.
func busy() string {
	buf := make([]byte, 64<<20)
	var held []string
	for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		head, _, _ := strings.Cut(g, "\n")
		if strings.Contains(head, "synctest bubble") && !strings.Contains(head, "(durable)") {
			held = append(held, g)
		}
	}
	return strings.Join(held, "\n\n")
}

// told is how a failure reads.
func told(out Outcome, lines int) string {
	return fmt.Sprintf("%v\nthe end of the trace:\n%s", out.Err, strings.Join(out.Lines[max(0, len(out.Lines)-lines):], "\n"))
}

func counted(m map[string]uint64) string {
	var b strings.Builder
	for _, k := range slices.Sorted(func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}) {
		fmt.Fprintf(&b, "%10d %s\n", m[k], k)
	}
	return b.String()
}

// TestSeed runs one story twice, as a failure told to.
func TestSeed(t *testing.T) {
	if *seedFlag == 0 {
		t.Skip("no -seed")
	}
	o, story := Random(*seedFlag)
	first := run(t, o, story)
	t.Logf("%d machines: %s", o.Machines, summary(first))
	if *logFlag {
		t.Log(told(first, 60))
		return
	}
	if first.Err != nil {
		t.Error(told(first, 60))
	}
	if text := repeated(t, first, o, story); text != "" {
		t.Log(text)
	}
}

// repeated has a story happen again. A machine so busy that it stops this process within a step may disturb a run, so it is given
// some tries.
func repeated(t *testing.T, first Outcome, o Options, story func(w *World)) string {
	t.Helper()
	var again Outcome
	for range 6 {
		if again = run(t, o, story); again.Digest == first.Digest {
			return ""
		}
	}
	return fmt.Sprintf("seed %d: no other run was the same: %s", o.Seed, difference(first, again))
}

func summary(o Outcome) string {
	return fmt.Sprintf("%v of virtual time, %d steps, %d messages, %d calls, digest %x\n%s", o.Virtual.Round(time.Second), o.Steps, o.Messages, o.Calls, o.Digest, counted(o.Counts))
}

// difference is where two traces part, if that is in what was kept of them.
func difference(a, b Outcome) string {
	for i := range min(len(a.Lines), len(b.Lines)) {
		if a.Lines[i] != b.Lines[i] {
			before := strings.Join(a.Lines[max(0, i-8):i], "\n")
			return fmt.Sprintf("%d and %d steps\n%s\n- %s\n+ %s", a.Steps, b.Steps, before, strings.Join(a.Lines[i:min(i+8, len(a.Lines))], "\n"), strings.Join(b.Lines[i:min(i+8, len(b.Lines))], "\n"))
		}
	}
	return fmt.Sprintf("%d and %d steps; %v; %v", a.Steps, b.Steps, a.Err, b.Err)
}

// TestForAWhile runs stories of fresh seeds.
func TestForAWhile(t *testing.T) {
	if *seedFlag != 0 || *rulesFlag != 0 {
		t.Skip("a flag asks for something else")
	}
	limit := cmp.Or(*timeFlag, 10*time.Second)
	seed := uint64(1)
	if *timeFlag > 0 {
		seed = cmp.Or(*fromFlag, uint64(time.Now().UnixNano())%1e12)
	}
	began := time.Now()
	sum := Outcome{Counts: map[string]uint64{}}
	stories := 0
	for ; time.Since(began) < limit; seed++ {
		o, story := Random(seed)
		out := run(t, o, story)
		stories++
		sum.Digest ^= out.Digest
		sum.Virtual, sum.Steps, sum.Messages, sum.Calls = sum.Virtual+out.Virtual, sum.Steps+out.Steps, sum.Messages+out.Messages, sum.Calls+out.Calls
		for k, v := range out.Counts {
			sum.Counts[k] += v
		}
		if out.Err != nil {
			t.Errorf("seed %d: %s\nto repeat it: go test ./internal/sim -run TestSeed -seed %d", seed, told(out, 30), seed)
			if *timeFlag == 0 {
				break
			}
		}
	}
	t.Logf("%d stories in %v: %s", stories, time.Since(began).Round(time.Second), summary(sum))
}

// A seed tells the whole run: another one in the same process does the same, to the byte of each message. The stories are short,
// since a busy machine disturbs long ones.
func TestASeedIsRepeated(t *testing.T) {
	if *seedFlag != 0 {
		t.Skip("-seed asks for one story")
	}
	story := func(w *World) {
		w.assemble()
		w.create(2, 3)
		w.clients(3)
		w.sleep(3 * time.Second)
		w.crash(w.rand.IntN(3), true)
		w.sleep(w.span(time.Second, 3*time.Second))
		w.misfortune()
		w.sleep(3 * time.Second)
		w.heal()
		w.rest()
		w.finish(true)
	}
	for seed := uint64(1); seed <= 4; seed++ {
		o := Options{Seed: seed, Machines: 3}
		first := run(t, o, story)
		if first.Err != nil {
			t.Error(told(first, 30))
		}
		if text := repeated(t, first, o, story); text != "" {
			t.Error(text)
		}
	}
}
