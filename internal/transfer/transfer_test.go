package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/task"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/vfs"
	"github.com/sextantdb/sextant/internal/wal"
)

func TestWhereADeltaBegins(t *testing.T) {
	own := order.Stands{UUID: "a", Base: order.Pos{Seq: 10, Term: 1}, Last: order.Pos{Seq: 100, Term: 3}, Commit: 90, Applied: order.Pos{Seq: 90, Term: 3},
		History: order.History{{Term: 1, First: 1}, {Term: 3, First: 50}}}
	at := func(seq order.Seq, term order.Term) Standing {
		return Standing{Complete: true, UUID: "a", Applied: order.Pos{Seq: seq, Term: term}}
	}
	differs, other := at(40, 1), at(40, 1)
	differs.Differs, other.UUID = true, "b"
	for _, c := range []struct {
		name string
		s    Standing
		want error
	}{
		{"behind", at(40, 1), nil},
		{"level", at(90, 3), nil},
		{"above what the sender knows to be committed", at(95, 3), nil},
		{"at the base", at(10, 1), nil},
		{"nothing", Standing{}, NoBase},
		{"another shard", other, NoBase},
		{"before the base", at(9, 1), Truncated},
		{"behind the end", at(101, 3), Diverged},
		{"of another term", at(60, 2), Diverged},
		{"found to differ", differs, Diverged},
	} {
		if got := decide(c.s, "a", own); !errors.Is(got, c.want) {
			t.Errorf("%s: %v, not %v", c.name, got, c.want)
		}
	}
}

// Scripts read the comment; its form is theirs.
func TestComment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewProgress(task.NewProgress("x"))
		form := regexp.MustCompile(`^[a-z ]+ \(\d+\.\d\ds\) \| Transferring records \((\d+)/(\d+)\), started \d+s ago, ETA: (-|\d+\.\d\ds)$`)
		for i, step := range []struct {
			do   func()
			want string
		}{
			{func() {}, "proxifying (1.00s) | Transferring records (0/0), started 1s ago, ETA: -"},
			{func() { p.count(100, 120, 300); p.Stage("transferring") }, "transferring (1.00s) | Transferring records (20/200), started 2s ago, ETA: -"},
			{func() { p.reach(160, 320, 10) }, "transferring (2.00s) | Transferring records (60/220), started 3s ago, ETA: 8.00s"},
			{func() { p.reach(320, 320, 10); p.Stage("finalizing") }, "finalizing (1.00s) | Transferring records (220/220), started 4s ago, ETA: 0.00s"},
			{func() { p.copying(0, 50); p.add(10, 100) }, "finalizing (2.00s) | Transferring records (10/50), started 5s ago, ETA: 4.00s"},
			{func() { p.add(45, 100); p.reach(1000, 2000, 0) }, "finalizing (3.00s) | Transferring records (55/55), started 6s ago, ETA: 0.00s"},
		} {
			step.do()
			time.Sleep(time.Second)
			got := p.Comment()
			if got != step.want || !form.MatchString(got) {
				t.Errorf("step %d: %q, not %q", i, got, step.want)
			}
		}
	})
}

// toyFiles are files of one letter each, of a source that has nothing else but a log.
type toyFiles struct {
	Source
	log *wal.Log
}

func (toyFiles) Stands() order.Stands                          { return order.Stands{} }
func (f toyFiles) OpenFiles(context.Context) (Files, error)    { return f, nil }
func (toyFiles) At() order.Pos                                 { return order.Pos{} }
func (toyFiles) Head() []byte                                  { return []byte("head") }
func (toyFiles) Close()                                        {}
func (f toyFiles) OpenLog(from order.Seq) (*wal.Reader, error) { return f.log.Reader(from) }
func (toyFiles) Send(_ context.Context, w io.Writer, names []string) error {
	for _, name := range names {
		if _, err := w.Write(bytes.Repeat([]byte(name), partBytes)); err != nil {
			return err
		}
	}
	return nil
}

// toyTarget takes files, and loses the connection before some.
type toyTarget struct {
	Target
	got   string
	loses int // before the file of this number, once
	tasks map[uint64]bool
}

func (t *toyTarget) Stand(context.Context, Ref) (Standing, error) { return Standing{}, nil }

func (t *toyTarget) BeginFiles(_ context.Context, r Ref, head []byte) (missing []string, err error) {
	t.tasks[r.Task] = true
	for _, name := range []string{"a", "b", "c", "d"} {
		if !strings.Contains(t.got, name) {
			missing = append(missing, name)
		}
	}
	return missing, nil
}

func (t *toyTarget) Step(_ context.Context, _ Ref, _ uint64, s Step) ([]byte, error) {
	if len(t.got) == t.loses {
		t.loses = -1
		return nil, errors.New("the connection is lost")
	}
	t.got += string(s.Body[:1])
	return nil, nil
}

// Complete ends the story.
func (t *toyTarget) Complete(context.Context, Ref) error { return Refusal("enough") }

// A copy of files whose connection is lost goes on with the files that are missing, as another task.
func TestFilesGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &toyTarget{loses: 2, tasks: map[uint64]bool{}}
		log, err := wal.Create(&vfs.Mem{}, "log", order.Pos{}, nil, wal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		number, p := uint64(0), NewProgress(task.NewProgress("x"))
		j := Job{NextTask: func() uint64 { number++; return number }, Method: topology.SnapshotMethod, Source: toyFiles{log: log}, Target: to, Progress: p}
		if err := Run(t.Context(), j); !errors.Is(err, Refusal("enough")) {
			t.Error(err)
		}
		if to.got != "abcd" || len(to.tasks) != 2 {
			t.Errorf("the files %q came, by %d tasks", to.got, len(to.tasks))
		}
		if got := p.Sight().Bytes; got != 5*partBytes { // one of them was lost on the way
			t.Errorf("%d bytes", got)
		}
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
}

// toyBase has 100 points; behind entry 40 seven of them changed, and a comparison finds two more.
type toyBase struct {
	toyFiles
	left uint64
	told string
}

func (b *toyBase) OpenBase(context.Context) (Base, error) { b.left, b.told = 100, ""; return b, nil }
func (b *toyBase) Points() uint64                         { return 100 }
func (b *toyBase) Left() uint64                           { return b.left }
func (b *toyBase) Since(_ context.Context, seq order.Seq) error {
	b.told += fmt.Sprintf("since %d; ", seq)
	b.left = 7
	return nil
}

func (b *toyBase) Next(_ context.Context, most, _ int) ([]byte, int, error) {
	n := min(b.left, uint64(most), 60)
	b.left -= n
	return []byte("points"), int(n), nil
}

func (b *toyBase) Compare(ranges []uint16) uint8 {
	b.told += fmt.Sprintf("compare %d; ", ranges)
	return 3
}

func (b *toyBase) Buckets(_ context.Context, ranges []uint16, sums []byte) ([]uint32, error) {
	b.told += fmt.Sprintf("%s of %d; ", sums, ranges)
	return []uint32{19}, nil
}

func (b *toyBase) Differing(_ context.Context, list []byte) ([]byte, error) {
	b.told += fmt.Sprintf("list %q; ", list)
	if list == nil {
		b.left = 2
		return nil, nil
	}
	return []byte("gone"), nil
}

// toyClone is a receiver that has the state at entry 40, or nothing; some of its ranges differ behind what changed.
type toyClone struct {
	Target
	p      *Progress
	cloned bool
	ranges []byte
	took   []string
	lists  int
}

func (t *toyClone) Stand(context.Context, Ref) (Standing, error) {
	return Standing{Complete: true, UUID: "a"}, nil
}

func (t *toyClone) Begin(_ context.Context, _ Ref, _ []byte, keep bool) (order.Seq, bool, error) {
	return 40, t.cloned && keep, nil
}

func (t *toyClone) Step(_ context.Context, _ Ref, number uint64, s Step) ([]byte, error) {
	at := t.p.Sight()
	t.took = append(t.took, fmt.Sprintf("%d %s at %d/%d", number, []string{Points: "points", Ranges: "ranges", Sums: "sums", Buckets: "buckets", List: "list", Delete: "delete"}[s.Kind], at.Done, at.Total))
	switch s.Kind {
	case Ranges:
		return t.ranges, nil
	case Sums:
		return []byte("sums"), nil
	case List:
		if t.lists++; t.lists == 1 {
			return []byte("some"), nil
		}
	}
	return nil, nil
}

func (t *toyClone) Complete(context.Context, Ref) error { return Refusal("enough") }

// Who has a state gets what changed since without a question, and is compared only where the outcome differs.
func TestWhatChangedIsSentBeforeItIsCompared(t *testing.T) {
	log, err := wal.Create(&vfs.Mem{}, "log", order.Pos{}, nil, wal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for _, c := range []struct {
		name   string
		cloned bool
		ranges []byte
		took   []string
		told   string
		done   uint64
	}{
		{"nothing there", false, nil, []string{"1 points at 0/100", "2 points at 60/100"}, "", 100},
		{"nothing else differs", true, nil, []string{"1 points at 93/100", "2 ranges at 100/100"}, "since 40; ", 100},
		{"something else differs", true, []byte{2, 0, 0, 1}, []string{"1 points at 93/100", "2 ranges at 100/100", "3 sums at 100/100", "4 buckets at 100/100", "5 list at 100/100",
			"6 delete at 100/100", "7 list at 100/100", "8 points at 98/100"}, `since 40; compare [2 256]; sums of [2 256]; list "some"; list ""; `, 100},
	} {
		base, p := &toyBase{toyFiles: toyFiles{log: log}}, NewProgress(task.NewProgress("x"))
		to := &toyClone{p: p, cloned: c.cloned, ranges: c.ranges}
		j := Job{Ref: Ref{ID: 1}, NextTask: func() uint64 { return 1 }, Shard: "a", Method: topology.StreamRecords, Source: base, Target: to, Progress: p}
		if err := Run(t.Context(), j); !errors.Is(err, Refusal("enough")) {
			t.Errorf("%s: %v", c.name, err)
		}
		if at := p.Sight(); !slices.Equal(to.took, c.took) || base.told != c.told || at.Done != c.done || at.Total != 100 {
			t.Errorf("%s: the steps %q, the sender was told %q, %+v", c.name, to.took, base.told, at)
		}
	}
}
