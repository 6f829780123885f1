package engine_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine"
	"github.com/sextantdb/sextant/internal/vfs"
)

// saga is a shard over several lives, some of which end badly, and what those who used it know about it.
type saga struct {
	*testing.T
	*workload
	disk  *vfs.Mem
	shard *engine.Shard // of those who keep it here

	mu   sync.Mutex                // guards all below; several writers note their answers
	base *model                    // the state that the shard was found in when it was opened last
	told map[uint64]sextant.Update // answered since then, by seq
	open []sextant.Update          // neither answered nor refused: logged or not
	made bool                      // Create has returned
}

func newSaga(t *testing.T, seed uint64) *saga {
	g := &saga{T: t, workload: newWorkload(seed, 30), disk: &vfs.Mem{}, base: newModel(startSchema()), told: map[uint64]sextant.Update{}}
	if seed%6 == 3 {
		g.pad = 150 << 10 // several files of log
	}
	return g
}

// start opens the shard, or makes it if that has not happened yet.
func (g *saga) start(fsys vfs.FS) (*engine.Shard, error) {
	opts := engine.Options{FS: fsys}
	if g.IntN(2) == 0 || !g.made {
		opts.Config = g.config()
	}
	s, err := engine.Open(shardDir, opts)
	if !g.made && sextant.KindOf(err) == sextant.NotFound {
		s, err = engine.Create(shardDir, startSchema(), opts)
	}
	if err == nil {
		g.made = true
	}
	return s, err
}

// send gives a shard an update and notes the answer. An error that is not about the update tells nothing about its fate.
func (g *saga) send(s *engine.Shard, u sextant.Update, wait sextant.Wait) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) // an index is made in vain on a dead disk
	defer cancel()
	r, err := s.Update(ctx, u, wait)
	g.mu.Lock()
	defer g.mu.Unlock()
	switch kind := sextant.KindOf(err); {
	case r.Seq > 0:
		if old, twice := g.told[r.Seq]; twice {
			return fmt.Errorf("seq %d was given to %T %v and to %T %v", r.Seq, old, old, u, u)
		}
		g.told[r.Seq] = u
	case err == nil:
		return fmt.Errorf("an answer without seq to %T", u)
	case kind == sextant.Internal || kind == sextant.Corrupt || kind == sextant.Unavailable:
		g.open = append(g.open, u)
	}
	return nil
}

func (g *saga) must(err error) {
	g.Helper()
	if err != nil {
		g.Fatal(err)
	}
}

// settle opens the shard on a sound disk and takes stock.
func (g *saga) settle() *engine.Shard {
	g.Helper()
	s, err := g.start(g.disk)
	if err != nil {
		g.Fatalf("open: %v", err)
	}
	g.takeStock(s)
	return s
}

// takeStock finds out which of the updates without an answer a shard has that was just opened: everything that was answered
// must be there, in its place, and nothing that nobody sent. What is there has been seen, and must stay.
func (g *saga) takeStock(s *engine.Shard) {
	g.Helper()
	at := s.Stands()
	last := uint64(at.Last.Seq)
	if at.Applied != at.Last || at.Commit != at.Last.Seq {
		g.Fatalf("opened, it stands at %+v", at)
	}
	for seq := range g.told {
		if seq > last {
			g.Fatalf("the log ends at %d, entry %d was answered: %T", last, seq, g.told[seq])
		}
	}
	found, why := g.explain(s, g.base.clone(), last, g.open)
	if found == nil {
		g.Fatalf("at seq %d, opened at %d, told %v, %d open: %v", last, g.base.seq, slices.Sorted(maps.Keys(g.told)), len(g.open), why)
	}
	g.base, g.told, g.open = found, map[uint64]sextant.Update{}, nil
}

// explain follows the entries up to last and compares. Where no answer tells what an entry is, it is one of those without
// an answer; which, the content must tell.
func (g *saga) explain(s *engine.Shard, m *model, last uint64, open []sextant.Update) (*model, error) {
	if m.seq > last {
		return nil, fmt.Errorf("entries behind %d were seen and are gone", last)
	}
	for m.seq < last {
		if u, ok := g.told[m.seq+1]; ok {
			_ = m.apply(m.seq+1, u)
			continue
		}
		why := fmt.Errorf("nobody sent entry %d", m.seq+1)
		for i, u := range open {
			next := m.clone()
			if next.refuses(u) != nil && !changesSchema(u) {
				continue // it would have been refused before the log, unless a schema change was under way
			}
			_ = next.apply(m.seq+1, u)
			found, err := g.explain(s, next, last, slices.Delete(slices.Clone(open), i, i+1))
			if found != nil {
				return found, nil
			}
			why = err
		}
		return nil, why
	}
	if err := contents(s, m); err != nil {
		return nil, err
	}
	return m, nil
}

func changesSchema(u sextant.Update) bool {
	switch u.(type) {
	case sextant.CreateVector, sextant.DropVector, sextant.CreateField, sextant.DropField:
		return true
	}
	return false
}

// use lets several writers work on a shard at the same time, each with steps steps, one of them with everything else that
// a shard does. stop ends it early.
func (g *saga) use(s *engine.Shard, writers, steps int, stop func() bool) {
	var all sync.WaitGroup
	for i := range writers {
		w := newWorkload(g.Uint64(), g.ids)
		w.pad = g.pad
		all.Go(func() {
			for range steps {
				if stop() {
					return
				}
				if err := g.act(s, w, i == 0); err != nil {
					g.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// act is one step of a writer.
func (g *saga) act(s *engine.Shard, w *workload, first bool) error {
	schema, err := s.Schema()
	if err != nil {
		return nil // closed
	}
	n := 100
	if first {
		n = w.IntN(100)
	}
	ctx := context.Background()
	switch {
	case n < 8:
		_, _ = s.Checkpoint(ctx) // on a failing disk it may fail
	case n < 12:
		s.SealSoon()
	case n < 20:
		time.Sleep(time.Duration(w.IntN(3000)) * time.Millisecond)
	case n < 23:
		return s.Configure(w.config())
	case n < 26:
		s.Trigger()
	case n < 29:
		_, _ = s.Snapshot(ctx, io.Discard)
	case n < 36:
		return g.send(s, w.schemaChange(schema), sextant.Applied)
	default:
		return g.send(s, w.update(schema), sextant.Wait(w.IntN(2)))
	}
	return nil
}

// agrees compares a shard that nobody uses just now with everything that was answered.
func (g *saga) agrees(s *engine.Shard) {
	g.Helper()
	synctest.Wait()
	m := g.base.clone()
	for u, ok := g.told[m.seq+1]; ok; u, ok = g.told[m.seq+1] {
		_ = m.apply(m.seq+1, u)
	}
	if int(m.seq-g.base.seq) != len(g.told) {
		g.Fatalf("answered were %v", slices.Sorted(maps.Keys(g.told)))
	}
	if err := contents(s, m); err != nil {
		g.Fatalf("at seq %d: %v", m.seq, err)
	}
	if err := answers(s, m, g.workload); err != nil {
		g.Fatalf("at seq %d: %v", m.seq, err)
	}
}
