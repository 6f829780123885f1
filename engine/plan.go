package engine

import (
	"cmp"
	"runtime"
	"slices"

	"github.com/sextantdb/sextant/engine/internal/segment"
)

// A build is what the planner has done with segments, under the names that clients know.
const (
	mergeBuild    = "merge"
	indexBuild    = "indexing"
	vacuumBuild   = "vacuum"
	mismatchBuild = "config mismatch"
)

// candidate is a segment as the planner sees it.
type candidate struct {
	id    segment.SegmentID
	rows  uint32
	dead  uint32 // at the checkpoint
	bytes int64  // of its largest vector name, or of its payloads
	needs []segment.Need
	built bool // a file of one of the needs exists, made with other settings
	young bool // it came a short while ago, so that others like it may follow soon
	busy  bool // a build works on it
	light bool // a build of what is owed does
}

// live is the size of the rows that a build would copy.
func (c *candidate) live() int64 {
	const least = 16 // bytes of a row: segments without vectors and payloads have a size, too
	return int64(float64(max(c.bytes, least*int64(c.rows))) * float64(c.rows-c.dead) / float64(max(1, c.rows)))
}

// job is a build to do: the sources' rows are copied into one new segment, or derived files of one source are made anew.
type job struct {
	name    string
	sources []segment.SegmentID
	needs   []segment.Need // with these the segment itself stays
	always  bool           // owed to the schema: done also where optimizations are off
	later   bool           // can wait until no updates come in, or until the sources are not young any more
}

// plan says which builds a shard needs now, the most useful first. Segments with a build are left alone and no segment is
// in two jobs, so all may run side by side. hot says that updates come in right now.
//
// Few and large segments are wanted; merge tells how far. A shard on which all jobs were done needs, without further
// updates, nothing after a few rounds: a merge lowers the number of segments, a copy has no dead rows and all derived files,
// and a derived file that was just made is not needed.
func plan(segments []candidate, tuning *segment.Tuning, hot bool) []job {
	p := planner{tuning: tuning, target: targetSegments(tuning), limit: maxSegment(tuning)}
	for _, c := range segments {
		if !c.busy {
			p.idle = append(p.idle, c)
		}
	}
	p.count = len(p.idle)
	if len(p.idle) < len(segments) {
		p.count++ // running builds leave one segment, or more; then more is merged once they have ended
	}
	p.schema()
	p.drop()
	p.merge()
	p.vacuum()
	p.derive()
	if hot {
		p.jobs = slices.DeleteFunc(p.jobs, func(j job) bool { return j.later })
	}
	return p.jobs
}

type planner struct {
	tuning *segment.Tuning
	target int
	limit  int64
	count  int         // segments when all jobs so far are done
	idle   []candidate // not in a job yet
	jobs   []job
}

// take removes the segments that pick accepts from those that later rules see.
func (p *planner) take(pick func(c *candidate) bool) (taken []candidate) {
	p.idle = slices.DeleteFunc(p.idle, func(c candidate) bool {
		if !pick(&c) {
			return false
		}
		taken = append(taken, c)
		return true
	})
	return taken
}

func (p *planner) add(j job, sources ...candidate) {
	for i := range sources {
		j.sources = append(j.sources, sources[i].id)
	}
	p.jobs = append(p.jobs, j)
}

// schema plans the indexes that the schema promises. They are made fast and make answers fast.
func (p *planner) schema() {
	for _, c := range p.take(func(c *candidate) bool { return len(owed(c.needs)) > 0 }) {
		p.add(job{name: indexBuild, needs: owed(c.needs), always: true}, c)
	}
}

// owed are the files of all needs but graphs and codes.
func owed(needs []segment.Need) (list []segment.Need) {
	for _, n := range needs {
		if n.Kind != segment.GraphFile && n.Kind != segment.CodesFile {
			list = append(list, n)
		}
	}
	return list
}

// drop plans the end of segments without live rows, all at once: nothing is copied.
func (p *planner) drop() {
	gone := p.take(func(c *candidate) bool { return c.dead == c.rows })
	if len(gone) > 0 {
		p.count -= len(gone)
		p.add(job{name: vacuumBuild}, gone...)
	}
}

// wasteful says whether too many rows of a segment are dead.
func wasteful(rows, dead uint32, t *segment.Tuning) bool {
	return dead == rows || uint64(rows) >= t.VacuumMin && float64(dead) > t.DeletedThreshold*float64(rows)
}

// vacuum plans copies of segments with many dead rows, the worst first.
func (p *planner) vacuum() {
	worst := p.take(func(c *candidate) bool { return wasteful(c.rows, c.dead, p.tuning) })
	slices.SortStableFunc(worst, func(a, b candidate) int {
		return cmp.Compare(float64(b.dead)/float64(b.rows), float64(a.dead)/float64(a.rows))
	})
	for _, c := range worst {
		p.add(job{name: vacuumBuild}, c)
	}
}

// derive plans graphs and codes that are missing, then those that were made with other settings, the largest segment first.
// While updates come in, a segment that will soon be merged waits for that: its graph would be thrown away.
func (p *planner) derive() {
	needy := p.take(func(c *candidate) bool { return len(c.needs) > 0 })
	slices.SortStableFunc(needy, func(a, b candidate) int {
		if a.built != b.built {
			return map[bool]int{true: 1, false: -1}[a.built]
		}
		return cmp.Compare(b.bytes, a.bytes)
	})
	for _, c := range needy {
		name := indexBuild
		if c.built {
			name = mismatchBuild
		}
		p.add(job{name: name, needs: c.needs, later: c.young && !c.built && c.live() < p.limit/2}, c)
	}
}

// targetSegments is how many sealed segments a shard should have at most.
func targetSegments(t *segment.Tuning) int {
	if t.DefaultSegments > 0 {
		return t.DefaultSegments
	}
	return min(max(runtime.GOMAXPROCS(0)/2, 2), 8)
}

// maxSegment is the size that merged segments stay below.
func maxSegment(t *segment.Tuning) int64 {
	if t.MaxSegment > 0 {
		return t.MaxSegment
	}
	return 256_000 << 10 * int64(indexingThreads(t.Default.HNSW.MaxIndexingThreads, runtime.GOMAXPROCS(0)))
}

// indexingThreads is how many threads build one graph.
func indexingThreads(configured uint64, cpus int) int {
	switch {
	case configured > 0:
		return int(min(configured, 1<<10))
	case cpus <= 48:
		return min(cpus, 8)
	case cpus <= 64:
		return 12
	}
	return 16
}
