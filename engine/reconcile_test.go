package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/vfs"
	"github.com/sextantdb/sextant/internal/wal"
)

// replica makes a shard of a log.
func replica(w *workload, fsys vfs.FS, log []wal.Record) (*engine.Shard, error) {
	ctx := context.Background()
	opts := engine.Options{FS: fsys, Config: w.config(), ManualApply: true, UUID: "one-shard", Retention: wal.Retention{Bytes: 1 << 40}}
	s, err := engine.Create(shardDir, startSchema(), opts)
	for err == nil && len(log) > 0 {
		n := 1 + w.IntN(len(log))
		err = s.Append(ctx, s.Stands().Last, slices.Clone(log[:n]))
		if err == nil {
			_, err = s.Apply(ctx, log[n-1].Seq, nil)
		}
		if err == nil && w.IntN(2) == 0 {
			_, err = s.Checkpoint(ctx)
		}
		log = log[n:]
	}
	return s, err
}

// sent is what went over between both sides of a reconciliation.
type sent struct {
	bytes                    int
	newer, ranges, different uint64 // points behind what was kept, ranges that differed then, points found by them
}

// reconcile has a clone of a shard made what a base is, in messages of random sizes.
func reconcile(b *engine.Base, w *workload, old *engine.Shard, opts engine.Options) (in *engine.Intake, s sent, err error) {
	ctx := context.Background()
	if in, err = engine.NewIntakeFromShard(ctx, old, b.Head(), someAttempt, opts); err != nil {
		return nil, s, err
	}
	s.bytes = len(b.Head())
	points := func() (n uint64, err error) {
		left := b.Left()
		n, err = readBase(b, w, func(batch []byte, _ int) error {
			s.bytes += len(batch)
			_, err := in.Add(ctx, batch)
			return err
		})
		if err == nil && (n != left || b.Left() != 0) {
			err = fmt.Errorf("%d points came of %d, %d are left", n, left, b.Left())
		}
		return n, err
	}
	if err = b.Since(ctx, in.Kept()); err != nil {
		return in, s, err
	}
	if s.newer, err = points(); err != nil {
		return in, s, err
	}
	ranges, err := in.Ranges()
	if s.ranges = uint64(len(ranges)); err == nil && s.ranges > 0 {
		if err = compare(b, w, in, ranges, &s); err == nil {
			s.different, err = points()
		}
	}
	if err == nil {
		err = in.Complete(ctx)
	}
	return in, s, err
}

// compare finds out what an intake lacks in some ranges.
func compare(b *engine.Base, w *workload, in *engine.Intake, ranges []uint16, s *sent) (err error) {
	ctx := context.Background()
	bits := b.Compare(ranges)
	s.bytes += 2 * len(ranges)
	for err == nil && len(ranges) > 0 {
		n := min(len(ranges), 1+w.IntN(300))
		var sums []byte
		if sums, err = in.Sums(ctx, ranges[:n], bits); err != nil {
			break
		}
		var buckets []uint32
		if buckets, err = b.Buckets(ctx, ranges[:n], sums); err == nil {
			err = in.Select(buckets)
		}
		s.bytes += len(sums) + 4*len(buckets)
		ranges = ranges[n:]
	}
	for end := false; err == nil && !end; {
		var list, deletes []byte
		if list, err = in.List(ctx, 1+w.IntN(4000)); err != nil {
			break
		}
		end = list == nil
		if deletes, err = b.Differing(ctx, list); err == nil && deletes != nil {
			_, err = in.Delete(deletes)
		}
		s.bytes += len(list) + len(deletes)
	}
	return err
}

// fits says how what was sent is not what changed: all points of the base that are newer than what was kept, and no other, unless the
// receiver was ahead; and ranges differ only where points are gone.
func (l *story) fits(s sent, has, want int) error {
	newer, gone := uint64(0), 0
	for _, p := range l.states[want].points {
		if p.version > uint64(has) {
			newer++
		}
	}
	for id := range l.states[has].points {
		if l.states[want].points[id] == nil {
			gone++
		}
	}
	switch {
	case s.newer != newer:
		return fmt.Errorf("%d points are newer, %d were sent", newer, s.newer)
	case has <= want && (s.different > 0 || s.ranges > uint64(gone) || (s.ranges == 0) != (gone == 0)):
		return fmt.Errorf("%d points are gone: %d ranges differ, %d points", gone, s.ranges, s.different)
	}
	return nil
}

// Whatever a replica has of a shard, also more than the sender or something wrong, becomes what the sender has by sending what
// differs, with the sender's names of vectors and indexes; the shard that is cloned goes on and stays what it is.
func TestOnlyWhatDiffersIsSent(t *testing.T) {
	const seeds = 40
	refused, mended := 0, 0
	defer func() {
		if refused > seeds/4 || mended < seeds/10 {
			t.Errorf("of %d, %d were refused and %d of those with something wrong were mended", seeds, refused, mended)
		}
	}()
	for seed := range uint64(seeds) {
		synctest.Test(t, func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Logf("seed %d", seed)
				}
			}()
			g := newSaga(t, seed)
			l := tell(g, 100)
			n := len(l.log)
			from, to, has := &vfs.Mem{}, &vfs.Mem{}, slices.Clone(l.log[:g.IntN(n+1)])
			sent := l.log[:g.IntN(n+1)]
			wrong := seed%4 == 3
			if wrong { // some entries did nothing here
				for i := range has {
					if g.IntN(4) == 0 {
						has[i].Kind, has[i].Body = wal.Noop, nil
					}
				}
			}
			s, err := replica(g.workload, from, sent)
			g.must(err)
			old, err := replica(g.workload, to, has)
			g.must(err)
			was, _ := old.Digest()
			b, err := s.OpenBase(t.Context())
			g.must(err)
			in, went, err := reconcile(b, g.workload, old, engine.Options{FS: to})
			if sextant.KindOf(err) == sextant.Precondition && (wrong || len(has) > len(sent)) { // a vector name was dropped behind the base
				refused++
				in, err = fill(b, g.workload, shardDir, engine.Options{FS: to})
			} else if err == nil && !wrong {
				g.must(l.fits(went, len(has), len(sent)))
			} else if went.different > 0 {
				mended++
			}
			g.must(err)
			if now, _ := old.Digest(); !bytes.Equal(was, now) {
				t.Fatal("the shard that was cloned has changed")
			}
			if !wrong {
				g.must(contents(old, l.states[len(has)]))
			}
			g.must(old.Close())
			g.must(in.Adopt(t.Context()))
			to = to.Crash(g.Rand)
			got, err := engine.Open(shardDir, engine.Options{FS: to, ManualApply: true})
			g.must(err)
			at := order.Seq(len(sent))
			if st := got.Stands(); st.Base.Seq != at || st.Applied.Seq != at || got.Built() != someAttempt {
				t.Fatalf("it stands at %+v, want %d", st, at)
			}
			g.must(contents(got, l.states[at]))
			g.must(answers(got, l.states[at], g.workload))
			if at < order.Seq(n) {
				g.must(got.Append(t.Context(), got.Stands().Last, slices.Clone(l.log[at:])))
				_, err = got.Apply(t.Context(), order.Seq(n), nil)
				g.must(err)
			}
			got.Trigger()
			synctest.Wait()
			g.must(contents(got, l.outcome()))
			b.Close()
			g.must(got.Close())
			g.must(s.Close())
		})
	}
}

// A state of another shard, or with an entry that the sender does not have, is not compared: equal seqs may mean other data.
func TestAnotherOrderIsNotCompared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSaga(t, 4)
		l := tell(g, 60)
		s, err := replica(g.workload, &vfs.Mem{}, l.log)
		g.must(err)
		b, err := s.OpenBase(t.Context())
		g.must(err)
		tail := slices.Clone(l.log[:35])
		for i := 30; i < 35; i++ {
			tail[i].Term++
		}
		disk := &vfs.Mem{}
		diverged, err := replica(g.workload, disk, tail)
		g.must(err)
		for _, other := range []*engine.Shard{diverged, newSaga(t, 9).settle()} {
			if _, err := engine.NewIntakeFromShard(t.Context(), other, b.Head(), someAttempt, engine.Options{FS: disk}); sextant.KindOf(err) != sextant.Precondition {
				t.Fatalf("%v", err)
			}
			g.must(other.Close())
		}
		b.Close()
		g.must(s.Close())
	})
}

// Bytes sent are of the order of what changed, not of what there is.
func TestAReplicaThatWasAwayIsSentWhatChanged(t *testing.T) {
	const points = 200_000
	opts := engine.Options{FS: &vfs.Mem{}, UUID: "one-shard"}
	away := large(t, shardDir, points, opts)
	defer away.Close()
	files, err := away.OpenFiles(t.Context())
	must(t, err)
	there, err := fillFiles(files, newWorkload(1, 10), "/sender", opts)
	must(t, err)
	files.Close()
	must(t, there.Adopt(t.Context()))
	s, err := engine.Open("/sender", opts)
	must(t, err)
	defer s.Close()
	w := newWorkload(3, points)
	var ids []sextant.PointID
	for range 50 {
		ids = append(ids, sextant.NumID(uint64(w.IntN(points/2))))
	}
	_, err = s.Update(t.Context(), sextant.DeletePoints{Selector: sextant.Selector{IDs: ids}}, sextant.Applied)
	must(t, err)
	for range 100 {
		n := points/2 + w.IntN(points/2)
		_, err = s.Update(t.Context(), sextant.Upsert{Points: manyPoints(w, n, n+1)}, sextant.Applied)
		must(t, err)
	}
	full, err := s.OpenBase(t.Context())
	must(t, err)
	whole := len(full.Head())
	for {
		batch, n, err := full.Next(t.Context(), 10_000, 1<<20)
		must(t, err)
		if n == 0 {
			break
		}
		whole += len(batch)
	}
	full.Close()
	b, err := s.OpenBase(t.Context())
	must(t, err)
	defer b.Close()
	in, sent, err := reconcile(b, w, away, opts)
	must(t, err)
	must(t, in.Discard())
	t.Logf("%+v, of %d bytes", sent, whole)
	if sent.bytes*50 > whole {
		t.Errorf("%d bytes of %d were sent", sent.bytes, whole)
	}
}

// Far behind, a replica still gets no more than what changed; the rows that died in its clone do not stay.
func TestAReplicaFarBehindIsPutInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const points, changed, gone = 8000, 6000, 1000
		opts := engine.Options{FS: &vfs.Mem{}, UUID: "one-shard"}
		s, away := large(t, "/sender", points, opts), large(t, shardDir, points, opts)
		w := newWorkload(5, points)
		for from := 0; from < changed; from += 1000 {
			_, err := s.Update(t.Context(), sextant.Upsert{Points: manyPoints(w, from, from+1000)}, sextant.Applied)
			must(t, err)
		}
		var ids []sextant.PointID
		for n := range gone {
			ids = append(ids, sextant.NumID(uint64(points-1-n)))
		}
		_, err := s.Update(t.Context(), sextant.DeletePoints{Selector: sextant.Selector{IDs: ids}}, sextant.Applied)
		must(t, err)
		b, err := s.OpenBase(t.Context())
		must(t, err)
		in, went, err := reconcile(b, w, away, opts)
		must(t, err)
		b.Close()
		if went.newer != changed || went.different != 0 {
			t.Errorf("%+v", went)
		}
		must(t, away.Close())
		must(t, in.Adopt(t.Context()))
		got, err := engine.Open(shardDir, opts)
		must(t, err)
		time.Sleep(5 * time.Minute) // nobody writes, nobody asks for it
		synctest.Wait()
		info, err := got.Info()
		must(t, err)
		dead := uint64(0)
		for _, g := range info.Segments {
			dead += g.Deleted
		}
		if info.Status != engine.Green || info.Points != points-gone || dead*5 > info.Points {
			t.Errorf("%v: %d points, %d dead rows: %+v", info.Status, info.Points, dead, info.Segments)
		}
		same(t, got, s)
		must(t, got.Close())
		must(t, s.Close())
	})
}

// clones is a saga in which the machine or the process dies at call k while a shard that is open is cloned, brought up to a base,
// and replaced.
func clones(t *testing.T, seed uint64, k int) (more bool) {
	g := newSaga(t, seed)
	l := tell(g, 50)
	n := len(l.log)
	s, err := replica(g.workload, &vfs.Mem{}, l.log)
	g.must(err)
	disk := &vfs.Mem{}
	old, err := replica(g.workload, disk, l.log[:n/2])
	g.must(err)
	g.must(old.Close())
	b, err := s.OpenBase(t.Context())
	g.must(err)
	defer b.Close()
	d := &doom{disk: disk, r: newWorkload(seed<<32+uint64(k), 1).Rand, power: (seed+uint64(k))%2 == 0, k: k}
	opts := engine.Options{FS: &trap{disk, d.on}, ManualApply: true}
	adopted := false
	if old, err = engine.Open(shardDir, opts); err == nil {
		var in *engine.Intake
		in, _, err = reconcile(b, g.workload, old, opts)
		if closed := old.Close(); err == nil {
			err = closed
		}
		if err == nil {
			err = in.Adopt(t.Context())
			adopted = err == nil
		} else if in != nil {
			_ = in.Discard()
		}
	}
	if more = d.gone.Load(); !more {
		g.must(err)
		d.strike()
	}
	got, err := engine.Open(shardDir, engine.Options{FS: d.next, ManualApply: true})
	g.must(err)
	at := got.Stands().Applied.Seq
	if built := got.Built() == someAttempt; built && at != order.Seq(n) || !built && (adopted || at > order.Seq(n/2)) {
		t.Fatalf("adopted %v, built %v, at %d", adopted, built, at)
	}
	g.must(contents(got, l.states[at]))
	if last := got.Stands().Last; last.Seq < order.Seq(n) {
		g.must(got.Append(t.Context(), last, slices.Clone(l.log[last.Seq:])))
	}
	_, err = got.Apply(t.Context(), order.Seq(n), nil)
	g.must(err)
	g.must(contents(got, l.outcome()))
	same(t, got, s)
	g.must(got.Close())
	g.must(s.Close())
	return more
}

// A clone that ends early leaves what was there, or the new state whole.
func TestCrashWhileAShardIsCloned(t *testing.T) {
	faults(t, 4, 5, clones)
}
