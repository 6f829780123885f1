package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/vfs"
	"github.com/sextantdb/sextant/internal/wal"
)

// logged plays a game with a shard that keeps its whole log and returns the log with the model of what it leads to.
func logged(g *saga) ([]wal.Record, *model, []byte) {
	opts := engine.Options{FS: g.disk, Config: g.config(), Retention: wal.Retention{Bytes: 1 << 40, Files: 1000}}
	s, err := engine.Create(shardDir, startSchema(), opts)
	g.must(err)
	g.use(s, 1, 120, func() bool { return false })
	g.agrees(s)
	m := g.base.clone()
	for m.seq < uint64(s.Stands().Last.Seq) {
		_ = m.apply(m.seq+1, g.told[m.seq+1])
	}
	r, err := s.OpenLog(1)
	g.must(err)
	var all []wal.Record
	for {
		records, err := r.Next(s.Stands().Last.Seq, 1<<20)
		g.must(err)
		if len(records) == 0 {
			break
		}
		for _, rec := range records {
			rec.Body = slices.Clone(rec.Body)
			rec.Term, rec.ID = termOf(rec.Seq), requestOf(rec.Seq)
			all = append(all, rec)
		}
	}
	g.must(r.Close())
	digest, _ := s.Digest()
	var archive bytes.Buffer
	_, err = s.Snapshot(context.Background(), &archive)
	g.must(err)
	g.must(s.Close())
	g.must(engine.Restore(context.Background(), "/restored", &archive, engine.Options{FS: g.disk}))
	restored, err := engine.Open("/restored", engine.Options{FS: g.disk})
	g.must(err)
	g.must(contents(restored, m))
	if d, _ := restored.Digest(); !bytes.Equal(d, digest) {
		g.Fatal("the digest of a restored snapshot differs")
	}
	g.must(restored.Close())
	return all, m, digest
}

// termOf gives each ten entries a primary of their own, with even terms.
func termOf(seq order.Seq) order.Term { return 2 + 2*order.Term(seq/10) }

func requestOf(seq order.Seq) wal.RequestID {
	return wal.RequestID{Peer: 7, Life: 3, Number: uint64(seq) * 11}
}

// follower is a shard that somebody else gives entries and commits, and that dies now and then.
type follower struct {
	*saga
	shard  *engine.Shard
	opts   engine.Options
	commit order.Seq // told
}

func (f *follower) open() {
	var err error
	f.opts.FS, f.opts.Config = f.disk, f.config()
	f.shard, err = engine.Open(shardDir, f.opts)
	f.must(err)
}

// die ends the life of the follower in one way or another. What it appended stays; what it applied, too, but for a power
// failure, behind which it may need to be told the commit again.
func (f *follower) die() {
	before := f.shard.Stands()
	dead := f.shard
	how := f.IntN(3)
	switch how {
	case 0:
		f.must(dead.Close())
	case 1:
		f.disk = f.disk.Kill()
	case 2:
		f.disk = f.disk.Crash(f.Rand)
	}
	if how > 0 {
		_ = dead.Close()
	}
	f.open()
	after := f.shard.Stands()
	if after.Last != before.Last || after.Applied.Seq > f.commit || how < 2 && after.Applied != before.Applied || fmt.Sprint(after.History) != fmt.Sprint(before.History) {
		f.Fatalf("died (%d) at %+v, came back at %+v, told %d", how, before, after, f.commit)
	}
}

// follow gives the follower a log in pieces, with tails that no other replica has and commits at any pace.
func (f *follower) follow(log []wal.Record) {
	ctx := context.Background()
	for {
		last := f.shard.Stands().Last
		at := int(last.Seq)
		switch f.IntN(12) {
		case 0:
			f.die()
		case 1:
			_, err := f.shard.Checkpoint(ctx)
			f.must(err)
		case 2:
			f.shard.SealSoon()
		case 3:
			time.Sleep(time.Duration(f.IntN(3000)) * time.Millisecond)
		case 4, 5, 6:
			if sound := f.agreed(); sound > f.commit {
				f.commit += 1 + order.Seq(f.IntN(int(sound-f.commit)))
			}
			applied, err := f.shard.Apply(ctx, f.commit)
			f.must(err)
			if applied != f.commit {
				f.Fatalf("applied %d, told %d", applied, f.commit)
			}
		case 7: // another primary's tail, which will be cut
			if at%10 == 9 && at < len(log) && f.agreed() == last.Seq {
				tail := slices.Clone(log[at:min(len(log), at+1+f.IntN(5))])
				for i := range tail {
					tail[i].Term, tail[i].Body, tail[i].ID.Life = termOf(last.Seq+1)-1, log[f.IntN(len(log))].Body, 4
				}
				f.must(f.shard.Append(ctx, last, tail))
			}
		default:
			from := int(f.agreed())
			if f.IntN(3) == 0 {
				from = max(int(f.commit), from-f.IntN(6)) // heard before
			}
			if from == len(log) && int(f.commit) == len(log) && f.shard.Stands().Applied.Seq == f.commit {
				return
			}
			after := order.Pos{Seq: order.Seq(from)}
			if from > 0 {
				after.Term = log[from-1].Term
			}
			f.must(f.shard.Append(ctx, after, slices.Clone(log[from:min(len(log), from+1+f.IntN(12))])))
		}
	}
}

// agreed says how far the follower's log is the right one.
func (f *follower) agreed() order.Seq {
	last := f.shard.Stands().Last
	if last.Term%2 == 1 {
		return last.Seq/10*10 - 1
	}
	return last.Seq
}

// The same log gives the same shard: applied as it was written, from a checkpoint, behind crashes, in other batches, at
// another pace, and behind tails that were cut again; and so does a snapshot.
func TestTheLogDeterminesTheShard(t *testing.T) {
	eachSeed(t, 8, func(t *testing.T, seed uint64) {
		log, m, digest := logged(newSaga(t, seed))
		for i := range uint64(3) {
			f := &follower{saga: newSaga(t, seed<<8+i), opts: engine.Options{ManualApply: true}}
			s, err := engine.Create(shardDir, startSchema(), engine.Options{FS: f.disk, ManualApply: true})
			must(t, err)
			f.shard = s
			f.follow(log)
			must(t, contents(f.shard, m))
			if d, at := f.shard.Digest(); !bytes.Equal(d, digest) || uint64(at.Seq) != m.seq {
				t.Fatalf("the digest differs at %s", at)
			}
			f.die()
			_, err = f.shard.Apply(t.Context(), f.commit)
			must(t, err)
			for _, rec := range log {
				if seq, known := f.shard.Logged(rec.ID); !known || seq != rec.Seq {
					t.Fatalf("the request of entry %d was logged at %d, %v", rec.Seq, seq, known)
				}
			}
			must(t, f.shard.Close())
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
