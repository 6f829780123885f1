package engine_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine"
	"github.com/sextantdb/sextant/internal/vfs"
)

var (
	seedFlag = flag.Uint64("engine.seed", 0, "the one seed with which random tests of the engine run; 0: their own")
	runsFlag = flag.Int("engine.runs", 1, "how many times as many random runs as usual")
)

// eachSeed runs a random test with n seeds, each in a world of its own with a clock that costs nothing.
func eachSeed(t *testing.T, n int, run func(t *testing.T, seed uint64)) {
	first, n := uint64(1), n**runsFlag
	if *seedFlag != 0 {
		first, n = *seedFlag, 1
	}
	for seed := first; seed < first+uint64(n) && !t.Failed(); seed++ {
		synctest.Test(t, func(t *testing.T) {
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("again: go test -run '^%s$' -engine.seed %d", t.Name(), seed)
				}
			})
			run(t, seed)
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const shardDir = "/data/shard"

// randomConfig has limits so small that everything happens with few points.
func (w *workload) config() sextant.CollectionConfig {
	c := sextant.DefaultConfig()
	c.WAL = sextant.WALConfig{CapacityMB: 1, RetainClosed: uint64(w.IntN(2))}
	threshold := []uint64{0, 1, 1, 10000}[w.IntN(4)]
	c.Optimizer.IndexingThreshold = &threshold
	c.Optimizer.DefaultSegmentNumber = uint64(w.IntN(4))
	c.Optimizer.DeletedThreshold = []float64{0.01, 0.2, 0.9}[w.IntN(3)]
	c.Optimizer.VacuumMinVectorNumber = uint64(1 + w.IntN(30))
	if w.IntN(2) == 0 {
		size := uint64(1 + w.IntN(8))
		c.Optimizer.MaxSegmentSize = &size
	}
	c.HNSW.M = []uint64{0, 4, 8, 16}[w.IntN(4)]
	c.HNSW.EfConstruct = uint64(4 + w.IntN(60))
	c.HNSW.FullScanThreshold = uint64(w.IntN(2))
	if w.IntN(3) == 0 {
		c.Quantization = &sextant.QuantizationConfig{Scalar: &sextant.ScalarQuantization{Type: "int8"}}
	}
	return c
}

// player plays a random game with a shard and a model.
type player struct {
	*testing.T
	*workload
	disk  *vfs.Mem // nil: a real one
	dir   string
	shard *engine.Shard
	model *model
	kept  []kept
	trace []string
	built map[string]bool // optimizers that have done something in any game
}

// kept is a snapshot with what is in it.
type kept struct {
	archive []byte
	model   *model
}

func (p *player) options() engine.Options {
	o := engine.Options{UpdateQueue: 1 + p.IntN(20)}
	if p.disk != nil {
		o.FS = p.disk
	}
	if p.IntN(2) == 0 {
		o.Config = p.config()
	}
	return o
}

func (p *player) must(err error) {
	p.Helper()
	if err != nil {
		from := max(0, len(p.trace)-15)
		for _, line := range p.trace[from:] {
			p.Log(line)
		}
		p.Fatalf("at seq %d: %v", p.model.seq, err)
	}
}

func (p *player) note(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	p.trace = append(p.trace, line[:min(len(line), 400)])
}

// do gives the shard an update and holds its answer against the model's.
func (p *player) do(u sextant.Update, wait sextant.Wait) {
	p.Helper()
	p.note("%d: %T %v wait %d", p.model.seq+1, u, u, wait)
	r, err := p.shard.Update(context.Background(), u, wait)
	if refusal := p.model.refuses(u); refusal != nil || r.Seq == 0 {
		if refusal == nil || err == nil || r.Seq != 0 || sextant.KindOf(err) != sextant.KindOf(refusal) {
			p.must(fmt.Errorf("answered %+v, %v; want a refusal %v", r, err, refusal))
		}
		return
	}
	if r.Seq != p.model.seq+1 {
		p.must(fmt.Errorf("seq %d", r.Seq))
	}
	want := p.model.apply(r.Seq, u)
	if wait == sextant.Committed {
		want = nil
	}
	if (want == nil) != (err == nil) || want != nil && sextant.KindOf(err) != sextant.KindOf(want) {
		p.must(fmt.Errorf("answered %v, want %v", err, want))
	}
	if status := sextant.Acknowledged + sextant.UpdateStatus(wait); err == nil && r.Status != status {
		p.must(fmt.Errorf("status %s, want %s", r.Status, status))
	}
}

// compare holds the shard against the model.
func (p *player) compare() {
	p.Helper()
	if p.shard.Stands().Applied.Seq < p.shard.Stands().Last.Seq {
		synctest.Wait() // for updates that nobody waited for
	}
	p.must(contents(p.shard, p.model))
	p.must(answers(p.shard, p.model, p.workload))
}

func (p *player) reopen() {
	before := p.shard.Stands()
	for _, b := range p.shard.Optimizations().Completed {
		p.built[b.Optimizer] = p.built[b.Optimizer] || b.State == "done"
	}
	if p.IntN(2) == 0 || p.disk == nil {
		p.note("close")
		p.must(p.shard.Close())
	} else {
		p.note("kill")
		dead := p.shard
		p.disk = p.disk.Kill()
		_ = dead.Close() // its disk is gone; its goroutines end
	}
	p.open()
	after := p.shard.Stands()
	if after.UUID != before.UUID || after.Last != before.Last || after.Applied != after.Last || after.Commit != after.Last.Seq ||
		fmt.Sprint(after.History) != fmt.Sprint(before.History) {
		p.must(fmt.Errorf("stands at %+v after a restart, before at %+v", after, before))
	}
	p.compare()
}

func (p *player) open() {
	var err error
	p.shard, err = engine.Open(p.dir, p.options())
	p.must(err)
}

func (p *player) snapshot() {
	p.note("snapshot")
	var b bytes.Buffer
	pos, err := p.shard.Snapshot(context.Background(), &b)
	p.must(err)
	if uint64(pos.Seq) != p.model.seq {
		p.must(fmt.Errorf("a snapshot is at %s", pos))
	}
	p.kept = append(p.kept, kept{b.Bytes(), p.model.clone()})
}

// restore puts a snapshot in the place of the shard.
func (p *player) restore() {
	if len(p.kept) == 0 {
		return
	}
	k := p.kept[p.IntN(len(p.kept))]
	p.note("restore of seq %d", k.model.seq)
	p.must(p.shard.Close())
	err := engine.Restore(context.Background(), p.dir, bytes.NewReader(k.archive), p.options())
	if sameMap(k.model.schema.Vectors, p.model.schema.Vectors) {
		p.must(err)
		seq := p.model.seq
		p.model = k.model.clone()
		p.model.seq = max(seq, p.model.seq)
	} else if sextant.KindOf(err) != sextant.WrongInput {
		p.must(fmt.Errorf("restore of other vector names: %v", err))
	}
	p.open()
	if at := p.shard.Stands().Last.Seq; uint64(at) != p.model.seq {
		p.must(fmt.Errorf("after the restore, the shard stands at %d", at))
	}
	p.compare()
}

func (p *player) step() {
	switch n := p.IntN(100); {
	case n < 6:
		p.do(p.schemaChange(p.model.schema), sextant.Applied)
	case n < 9:
		p.do(p.wrong(), sextant.Wait(p.IntN(2)))
	case n < 13:
		p.note("checkpoint")
		_, err := p.shard.Checkpoint(context.Background())
		p.must(err)
	case n < 16:
		p.note("seal soon")
		p.shard.SealSoon()
	case n < 20:
		p.note("sleep")
		time.Sleep(time.Duration(p.IntN(3000)) * time.Millisecond)
	case n < 22:
		p.reopen()
	case n < 24:
		p.note("configure")
		p.must(p.shard.Configure(p.config()))
	case n < 26:
		p.note("trigger")
		p.shard.Trigger()
	case n < 28:
		p.snapshot()
	case n < 29:
		p.restore()
	default:
		p.do(p.update(p.model.schema), sextant.Wait(min(1, p.IntN(4))))
	}
	if p.IntN(4) == 0 {
		p.compare()
	}
}

// play makes a shard and plays steps steps with it.
func (p *player) play(steps int) {
	p.model = newModel(startSchema())
	var err error
	p.shard, err = engine.Create(p.dir, startSchema(), p.options())
	p.must(err)
	for range steps {
		p.step()
	}
	time.Sleep(2 * time.Minute) // whatever is left to build is built
	p.compare()
	p.reopen()
	p.must(p.shard.Close())
}

// A shard holds and answers what a naive map holds and answers, whatever happens to it in between.
func TestAShardEqualsAModel(t *testing.T) {
	built := map[string]bool{}
	eachSeed(t, 30, func(t *testing.T, seed uint64) {
		p := &player{T: t, workload: newWorkload(seed, 20+int(seed%5)*25), disk: &vfs.Mem{}, dir: shardDir, built: built}
		p.play(150)
	})
	for _, optimizer := range []string{"merge", "indexing", "vacuum", "config mismatch"} {
		if !built[optimizer] && *seedFlag == 0 && !t.Failed() {
			t.Errorf("no game had a build by %s", optimizer)
		}
	}
}

// The same on a real disk, whose files are mapped, linked and removed while they are.
func TestAShardOnARealDiskEqualsAModel(t *testing.T) {
	eachSeed(t, 2, func(t *testing.T, seed uint64) {
		p := &player{T: t, workload: newWorkload(seed, 100), dir: t.TempDir(), built: map[string]bool{}}
		p.play(80)
	})
}
