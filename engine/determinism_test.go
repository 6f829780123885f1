package engine_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine"
	"github.com/sextantdb/sextant/internal/vfs"
	"github.com/sextantdb/sextant/internal/wal"
)

// story is a log with what it leads to.
type story struct {
	log    []wal.Record
	states []*model // after each entry, from none on
	digest []byte   // at the end
}

func (l *story) outcome() *model { return l.states[len(l.log)] }

// tell plays a game with a shard that keeps its whole log.
func tell(g *saga, steps int) *story {
	opts := engine.Options{FS: g.disk, Config: g.config(), Retention: wal.Retention{Bytes: 1 << 40, Files: 1000}}
	s, err := engine.Create(shardDir, startSchema(), opts)
	g.must(err)
	g.use(s, 1, steps, func() bool { return false })
	g.agrees(s)
	l := &story{states: []*model{g.base.clone()}}
	for seq := uint64(1); seq <= uint64(s.Stands().Last.Seq); seq++ {
		next := l.states[seq-1].clone()
		_ = next.apply(seq, g.told[seq])
		l.states = append(l.states, next)
	}
	l.log, err = readLog(s)
	g.must(err)
	for i := range l.log {
		rec := &l.log[i]
		rec.Term, rec.ID = termOf(rec.Seq), requestOf(rec.Seq)
	}
	l.digest, _ = s.Digest()
	var archive bytes.Buffer
	_, err = s.Snapshot(context.Background(), &archive)
	g.must(err)
	g.must(s.Close())
	g.must(engine.Restore(context.Background(), "/restored", &archive, engine.Options{FS: g.disk}))
	restored, err := engine.Open("/restored", engine.Options{FS: g.disk})
	g.must(err)
	g.must(contents(restored, l.outcome()))
	if d, _ := restored.Digest(); !bytes.Equal(d, l.digest) {
		g.Fatal("the digest of a restored snapshot differs")
	}
	g.must(restored.Close())
	return l
}

// The same log gives the same shard: applied as it was written, from a checkpoint, behind crashes, in other batches, at
// another pace, and behind tails that were cut again; and so does a snapshot.
func TestTheLogDeterminesTheShard(t *testing.T) {
	eachSeed(t, 8, func(t *testing.T, seed uint64) {
		l := tell(newSaga(t, seed), 120)
		for i := range uint64(3) {
			f := newFollower(newSaga(t, seed<<8+i), l)
			for !f.done() {
				f.step()
			}
			f.finish()
		}
	})
}

// Snapshots taken in a loop while everything is deleted and made anew: each is the state at its entry, in content.
func TestEachSnapshotIsTheStateAtItsEntry(t *testing.T) {
	eachSeed(t, 3, func(t *testing.T, seed uint64) {
		g := newSaga(t, seed)
		s := g.settle()
		states := map[uint64]*model{0: g.base}
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			w := newWorkload(seed, 40)
			m := g.base.clone()
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				var u sextant.Update = sextant.DeletePoints{Selector: sextant.Selector{Filter: &sextant.Filter{}}}
				if i%3 > 0 {
					u = sextant.Upsert{Points: append(w.points(m.schema), w.points(m.schema)...)}
				}
				r, err := s.Update(context.Background(), u, sextant.Applied)
				if err != nil {
					t.Error(err)
					return
				}
				_ = m.apply(r.Seq, u)
				states[r.Seq] = m.clone()
				if i%20 == 0 {
					time.Sleep(time.Second)
				}
			}
		}()
		archives := map[uint64]*bytes.Buffer{}
		for range 20 {
			var b bytes.Buffer
			at, err := s.Snapshot(context.Background(), &b)
			must(t, err)
			archives[uint64(at.Seq)] = &b
			if g.IntN(3) == 0 {
				time.Sleep(time.Second)
			}
		}
		close(stop)
		<-stopped
		must(t, s.Close())
		for seq, b := range archives {
			opts := engine.Options{FS: &vfs.Mem{}}
			must(t, engine.Restore(context.Background(), shardDir, b, opts))
			s, err := engine.Open(shardDir, opts)
			must(t, err)
			if at := s.Stands(); uint64(at.Last.Seq) != seq || at.Applied != at.Last {
				t.Fatalf("the snapshot at %d opens at %+v", seq, at)
			}
			must(t, contents(s, states[seq]))
			must(t, s.Close())
		}
	})
}
