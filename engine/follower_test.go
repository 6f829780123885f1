package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sextantdb/sextant/engine"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/vfs"
	"github.com/sextantdb/sextant/internal/wal"
)

// termOf gives each ten entries a primary of their own, with even terms.
func termOf(seq order.Seq) order.Term { return 2 + 2*order.Term(seq/10) }

func requestOf(seq order.Seq) wal.RequestID {
	return wal.RequestID{Peer: 7, Life: 3, Number: uint64(seq) * 11}
}

// follower is a shard that somebody else gives entries and commits, and that dies now and then.
type follower struct {
	*saga
	*story
	shard   *engine.Shard
	commit  order.Seq // told
	sound   order.Seq // up to here the right entries were appended
	applied order.Seq
	doom    *doom // of this life, if it has one
}

func newFollower(g *saga, l *story) *follower {
	s, err := engine.Create(shardDir, startSchema(), engine.Options{FS: g.disk, ManualApply: true})
	g.must(err)
	return &follower{saga: g, story: l, shard: s}
}

// open opens the follower's shard and takes stock: what it appended is there, applied is no more than it was told, and what
// is applied is right.
func (f *follower) open(fsys vfs.FS) error {
	s, err := engine.Open(shardDir, engine.Options{FS: fsys, Config: f.config(), ManualApply: true})
	if err != nil {
		return err
	}
	f.shard = s
	at := s.Stands()
	if f.agreed() < f.sound || at.Applied.Seq > f.commit {
		f.Fatalf("opened at %+v; appended were %d, told %d", at, f.sound, f.commit)
	}
	f.sound, f.applied = f.agreed(), at.Applied.Seq
	if err := contents(s, f.states[at.Applied.Seq]); err != nil {
		f.Fatalf("opened at %+v: %v", at, err)
	}
	return nil
}

// agreed says how far the follower's log is the right one. A wrong tail has an odd term and begins behind a nine.
func (f *follower) agreed() order.Seq {
	last := f.shard.Stands().Last
	if last.Term%2 == 1 {
		return last.Seq/10*10 - 1
	}
	return last.Seq
}

func (f *follower) done() bool {
	end := order.Seq(len(f.log))
	return f.agreed() == end && f.applied == end
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
	f.must(f.open(f.disk))
	after := f.shard.Stands()
	if after.Last != before.Last || how < 2 && after.Applied != before.Applied || fmt.Sprint(after.History) != fmt.Sprint(before.History) {
		f.Fatalf("died (%d) at %+v, came back at %+v, told %d", how, before, after, f.commit)
	}
}

// step is one thing that may happen to a follower: a piece of the log, a tail that no other replica has, a commit.
func (f *follower) step() {
	ctx := context.Background()
	last := f.shard.Stands().Last
	var err error
	switch n := f.IntN(12); {
	case n == 0 && f.doom == nil:
		f.die()
	case n <= 1:
		_, err = f.shard.Checkpoint(ctx)
	case n == 2:
		f.shard.SealSoon()
	case n == 3:
		time.Sleep(time.Duration(f.IntN(3000)) * time.Millisecond)
	case n <= 6:
		if f.sound > f.commit {
			f.commit += 1 + order.Seq(f.IntN(int(f.sound-f.commit)))
		}
		var applied order.Pos
		applied, err = f.shard.Apply(ctx, f.commit, nil)
		if err == nil && applied.Seq != f.commit {
			f.Fatalf("applied %d, told %d", applied.Seq, f.commit)
		}
		f.applied = applied.Seq
	case n == 7: // another primary's tail, which will be cut
		if at := int(last.Seq); at%10 == 9 && at < len(f.log) && f.agreed() == last.Seq {
			tail := slices.Clone(f.log[at:min(len(f.log), at+1+f.IntN(5))])
			for i := range tail {
				tail[i].Term, tail[i].Body, tail[i].ID.Life = termOf(last.Seq+1)-1, f.log[f.IntN(len(f.log))].Body, 4
			}
			err = f.shard.Append(ctx, last, tail)
		}
	default:
		err = f.extend(ctx)
	}
	if err != nil && (f.doom == nil || !f.doom.gone.Load()) {
		f.Fatal(err)
	}
}

// extend appends a piece of the right log, some of which the follower may have heard before.
func (f *follower) extend(ctx context.Context) error {
	from := int(f.agreed())
	if f.IntN(3) == 0 {
		from = max(int(f.commit), from-f.IntN(6))
	}
	after := order.Pos{Seq: order.Seq(from)}
	if from > 0 {
		after.Term = f.log[from-1].Term
	}
	to := min(len(f.log), from+1+f.IntN(12))
	err := f.shard.Append(ctx, after, slices.Clone(f.log[from:to]))
	if err == nil {
		f.sound = max(f.sound, order.Seq(to))
	}
	return err
}

// finish compares a follower that has everything with the story, before and behind one more death.
func (f *follower) finish() {
	f.Helper()
	for range 2 {
		f.must(contents(f.shard, f.outcome()))
		if d, at := f.shard.Digest(); !bytes.Equal(d, f.digest) || int(at.Seq) != len(f.log) {
			f.Fatalf("the digest differs at %s", at)
		}
		for _, rec := range f.log {
			if seq, _, known, _ := f.shard.Logged(rec.ID); !known || seq != rec.Seq {
				f.Fatalf("the request of entry %d was logged at %d, %v", rec.Seq, seq, known)
			}
		}
		f.die()
		_, err := f.shard.Apply(context.Background(), f.commit, nil)
		f.must(err)
	}
	f.must(f.shard.Close())
}

// A follower may die at any call to its disk: what it said that it has it has, what it was not told is not applied, and
// with the rest of the log it becomes what all replicas are.
func TestAFollowerCrashesAtEveryCall(t *testing.T) {
	faults(t, 4, 9, func(t *testing.T, seed uint64, k int) (more bool) {
		l := tell(newSaga(t, seed+1000), 50)
		f := newFollower(newSaga(t, seed), l)
		for life := range 3 {
			f.must(f.shard.Close())
			f.doom = &doom{disk: f.disk, r: newWorkload(f.Uint64(), 1).Rand, power: f.IntN(2) == 0, k: k}
			if life > 0 {
				f.doom.k = 1 + f.IntN(40)
			}
			err := f.open(&trap{f.disk, f.doom.on})
			for steps := 0; err == nil && steps < 60 && !f.done() && !f.doom.gone.Load(); steps++ {
				f.step()
			}
			more = more || life == 0 && f.doom.gone.Load()
			if !f.doom.gone.Load() {
				f.doom.strike()
			}
			_ = f.shard.Close()
			f.disk = f.doom.next
			f.must(f.open(f.disk))
		}
		f.doom = nil
		for !f.done() {
			f.step()
		}
		f.finish()
		return more
	})
}
