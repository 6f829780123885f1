package engine

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/segment"
)

const mb = 1 << 20

func planTuning(target int, limit int64) *segment.Tuning {
	t := segment.NewTuning(sextant.DefaultConfig())
	t.DefaultSegments, t.MaxSegment = target, limit
	return &t
}

// sized makes young segments, a row per KB.
func sized(sizes ...int64) (list []candidate) {
	for i, n := range sizes {
		list = append(list, candidate{id: segment.SegmentID(fmt.Sprint("s", i)), rows: uint32(n >> 10), bytes: n, young: true})
	}
	return list
}

// brief is jobs as tests compare them.
func brief(jobs []job) (out []string) {
	for _, j := range jobs {
		s := fmt.Sprint(j.name, j.sources)
		for _, n := range j.needs {
			s += " " + string(n.Kind) + ":" + n.Of
		}
		if j.always {
			s += " always"
		}
		if j.later {
			s += " later"
		}
		out = append(out, s)
	}
	return out
}

var (
	needGraph = segment.Need{Kind: segment.GraphFile, Of: "v"}
	needField = segment.Need{Kind: segment.FieldFile, Of: "city"}
)

func TestPlan(t *testing.T) {
	tuning := planTuning(2, 500*mb)
	f := func(why string, list []candidate, want ...string) {
		t.Helper()
		if got := brief(plan(list, tuning, false)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: planned\n%q, want\n%q", why, got, want)
		}
	}
	with := func(c candidate, change func(*candidate)) candidate { change(&c); return c }
	big, small := sized(100 * mb)[0], sized(0, 80*mb)[1]

	f("nothing there", nil)
	f("at the target", sized(100*mb, 1*mb))
	f("similar ones under load wait", sized(64*mb, 64*mb, 64*mb), "merge[s0 s1] later")
	f("four at once do not", sized(64*mb, 64*mb, 64*mb, 64*mb, 64*mb), "merge[s0 s1 s2 s3]")
	f("tiny ones are merged at once", sized(1*mb, 100*mb, 1*mb), "merge[s0 s2]")
	f("a large one is not copied for a tiny one", sized(200*mb, 1*mb, 100*mb), "merge[s2 s0] later")
	f("not even if that leaves too many", sized(300*mb, 1*mb, 220*mb))
	f("but for a quarter it is", sized(400*mb, 30*mb, 100*mb), "merge[s1 s2] later")
	f("tiny ones count together", sized(100*mb, 10*mb, 10*mb, 10*mb), "merge[s1 s2 s3] later")
	f("too large together", sized(300*mb, 300*mb, 300*mb))
	f("two groups", sized(300*mb, 240*mb, 240*mb, 200*mb, 200*mb), "merge[s3 s4] later", "merge[s1 s2] later")
	f("far too many, of sizes that do not fit", sized(240*mb, 40*mb, 6*mb, 1*mb, 150<<10, 20<<10, 2<<10), "merge[s6 s5]")

	f("dead ones go", []candidate{big, with(small, func(c *candidate) { c.dead = c.rows })}, "vacuum[s1]")
	f("a fifth dead is fine", []candidate{with(big, func(c *candidate) { c.dead = c.rows / 5 })})
	f("more is not", []candidate{with(big, func(c *candidate) { c.dead = c.rows/5 + 1 })}, "vacuum[s0]")
	f("small ones may be wasteful", []candidate{{id: "s", rows: 999, dead: 900, bytes: 99}})

	f("a graph is missing", []candidate{with(big, func(c *candidate) { c.needs = []segment.Need{needGraph} }), small},
		"indexing[s0] graph:v later")
	f("an old one waited for others", []candidate{with(big, func(c *candidate) { c.needs, c.young = []segment.Need{needGraph}, false })},
		"indexing[s0] graph:v")
	f("a large one is merged with few", []candidate{with(big, func(c *candidate) { c.needs, c.bytes = []segment.Need{needGraph}, 250*mb })},
		"indexing[s0] graph:v")
	f("settings changed", []candidate{small, with(big, func(c *candidate) { c.needs, c.built = []segment.Need{needGraph}, true })},
		"config mismatch[s0] graph:v")
	f("what is missing comes before what is old", []candidate{
		with(big, func(c *candidate) { c.needs, c.built = []segment.Need{needGraph}, true }),
		with(small, func(c *candidate) { c.needs = []segment.Need{needGraph} })},
		"indexing[s1] graph:v later", "config mismatch[s0] graph:v")
	f("an index of a field is owed first", []candidate{small, with(big, func(c *candidate) { c.needs = []segment.Need{needGraph, needField} })},
		"indexing[s0] field:city always")
	f("what a build works on is left alone",
		[]candidate{with(big, func(c *candidate) { c.needs, c.busy = []segment.Need{needGraph}, true })})
	f("what would be built anyway is merged at once",
		append(sized(64*mb, 64*mb), with(big, func(c *candidate) { c.id, c.bytes, c.dead = "b", 100*mb, c.rows/2 })),
		"merge[b s0]")
	f("what is old is merged at once", []candidate{
		with(big, func(c *candidate) { c.young = false }), with(small, func(c *candidate) { c.young = false }), {id: "s2", rows: 1, bytes: 90 * mb}},
		"merge[s1 s2]")

	// A running merge counts as the segment that it will leave.
	list := sized(64*mb, 64*mb, 64*mb)
	list[0].busy, list[1].busy = true, true
	f("beside a merge that reaches the target", list)
	if got := plan(sized(64*mb, 64*mb, 64*mb), tuning, true); len(got) != 0 {
		t.Errorf("under load: %q", brief(got))
	}
}

func TestTargets(t *testing.T) {
	auto := planTuning(0, 0)
	if got, want := targetSegments(auto), min(max(runtime.GOMAXPROCS(0)/2, 2), 8); got != want {
		t.Errorf("target %d, want %d", got, want)
	}
	for cpus, want := range map[int]int{1: 1, 2: 2, 48: 8, 64: 12, 65: 16} {
		if got := indexingThreads(0, cpus); got != want {
			t.Errorf("%d cpus: %d threads, want %d", cpus, got, want)
		}
	}
	auto.Default.HNSW.MaxIndexingThreads = 3
	if got := maxSegment(auto); got != 3*256_000*1024 {
		t.Errorf("largest segment %d", got)
	}
	if got := maxSegment(planTuning(0, 7)); got != 7 {
		t.Errorf("configured largest segment %d", got)
	}
}

// simulation does what a shard does with plans, on sizes alone.
type simulation struct {
	t      *testing.T
	r      *rand.Rand
	tuning *segment.Tuning
	list   []candidate
	made   int
	seals  int
	born   map[segment.SegmentID]int // after how many seals
	copied int64
	taken  int64
}

func (s *simulation) seal(size int64) *candidate {
	s.made++
	s.seals++
	s.taken += size
	s.list = append(s.list, candidate{id: segment.SegmentID(fmt.Sprint("seg", s.made)), rows: uint32(size>>10) + 1, bytes: size})
	return &s.list[len(s.list)-1]
}

func (s *simulation) any() *candidate { return &s.list[s.r.IntN(len(s.list))] }

// round does the jobs that are due and returns how many there were.
func (s *simulation) round(hot bool) int {
	const youth = 6 // seals
	for i := range s.list {
		c := &s.list[i]
		if _, known := s.born[c.id]; !known {
			s.born[c.id] = s.seals
		}
		c.young = s.seals-s.born[c.id] < youth
	}
	seen := map[segment.SegmentID]bool{}
	jobs := plan(s.list, s.tuning, hot)
	for _, j := range jobs {
		for _, id := range j.sources {
			if seen[id] {
				s.t.Fatalf("segment %s is in two jobs", id)
			}
			seen[id] = true
		}
		s.do(j)
	}
	return len(jobs)
}

func (s *simulation) do(j job) {
	if j.needs != nil {
		i := slices.IndexFunc(s.list, func(c candidate) bool { return c.id == j.sources[0] })
		c := &s.list[i]
		c.needs = slices.DeleteFunc(slices.Clone(c.needs), func(n segment.Need) bool { return slices.Contains(j.needs, n) })
		c.built = c.built && len(c.needs) > 0
		return
	}
	s.made++
	out := candidate{id: segment.SegmentID(fmt.Sprint("seg", s.made))}
	var size int64
	s.list = slices.DeleteFunc(s.list, func(c candidate) bool {
		if !slices.Contains(j.sources, c.id) {
			return false
		}
		out.rows += c.rows - c.dead
		out.bytes += int64(float64(c.bytes) * float64(c.rows-c.dead) / float64(c.rows))
		size += c.live()
		return true
	})
	s.copied += out.bytes
	if len(j.sources) > 1 && size >= s.tuning.MaxSegment {
		s.t.Fatalf("%v make a segment of %d bytes", j.sources, size)
	}
	if out.rows > 0 {
		s.list = append(s.list, out)
	}
}

// Whatever updates, deletes and settings came: once they stop, planning over its own results ends, soon, and nothing is left
// to do.
func TestPlanningConverges(t *testing.T) {
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 1))
		limit := int64(50+r.IntN(1000)) * mb
		s := &simulation{t: t, r: r, tuning: planTuning(1+r.IntN(5), limit), born: map[segment.SegmentID]int{}}
		for range 1 + r.IntN(60) {
			s.seal(int64(r.Float64() * r.Float64() * r.Float64() * float64(limit)))
			switch r.IntN(6) {
			case 0:
				c := s.any()
				c.dead += uint32(r.IntN(int(c.rows-c.dead) + 1))
			case 1:
				c := s.any()
				c.dead = c.rows
			case 2:
				c := s.any()
				c.needs, c.built = []segment.Need{needGraph}, r.IntN(2) == 0
			case 3:
				s.any().needs = []segment.Need{needGraph, needField}
			case 4:
				s.round(true)
			}
			if len(s.list) == 0 {
				s.seal(mb)
			}
		}
		for rounds := 0; s.round(false) > 0; rounds++ {
			if rounds > 20 {
				t.Fatalf("seed=%d: still planning %q", seed, brief(plan(s.list, s.tuning, false)))
			}
		}
		small := 0
		for i := range s.list {
			c := &s.list[i]
			if wasteful(c.rows, c.dead, s.tuning) || len(c.needs) > 0 {
				t.Fatalf("seed=%d: at rest with %+v", seed, c)
			}
			if c.live() < limit/2 {
				small++
			}
		}
		if small >= s.tuning.DefaultSegments+farAbove {
			t.Fatalf("seed=%d: %d small segments at rest, target %d", seed, small, s.tuning.DefaultSegments)
		}
	}
}

// A steady load of equal heads copies each row a few times, however many come.
func TestMergesCopyLittle(t *testing.T) {
	for _, c := range []struct {
		heads  int
		size   int64
		hot    bool
		copies float64 // of each row, at most
		most   int     // segments below half the largest size, ever
	}{
		{80, 64 * mb, true, 1.6, 6},
		{5000, mb, true, 10, 6},    // small ones are merged at once: that costs little
		{80, 64 * mb, false, 3, 6}, // with a pause after each head
		{5000, mb, false, 10, 6},
	} {
		s := &simulation{t: t, r: rand.New(rand.NewPCG(1, 2)), tuning: planTuning(2, 500*mb), born: map[segment.SegmentID]int{}}
		most := 0
		for range c.heads {
			s.seal(c.size)
			for s.round(c.hot) > 0 {
			}
			small := 0
			for i := range s.list {
				if s.list[i].live() < s.tuning.MaxSegment/2 {
					small++
				}
			}
			most = max(most, small)
		}
		copies := float64(s.copied) / float64(s.taken)
		what := fmt.Sprintf("%d heads of %d MB, hot %v: each row copied %.2f times, %d segments, at most %d small ones",
			c.heads, c.size/mb, c.hot, copies, len(s.list), most)
		t.Log(what)
		if copies > c.copies || most > c.most {
			t.Error(what)
		}
	}
}
