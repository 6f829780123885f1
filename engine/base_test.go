package engine_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/vfs"
	"github.com/sextantdb/sextant/internal/wal"
)

var someAttempt = engine.Attempt{Transfer: 12, Attempt: 3}

// stateAt follows the answers from where the shard was opened.
func (g *saga) stateAt(seq order.Seq) *model {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.base.clone()
	for m.seq < uint64(seq) {
		_ = m.apply(m.seq+1, g.told[m.seq+1])
	}
	return m
}

// readBase reads a base to its end in batches of random sizes.
func readBase(b *engine.Base, w *workload, each func(batch []byte, n int) error) (points uint64, err error) {
	for {
		most := 1 + w.IntN(9)
		batch, n, err := b.Next(context.Background(), most, 1+w.IntN(2000))
		if n == 0 || err != nil {
			return points, err
		}
		if n > most {
			return points, errors.New("a batch is too large")
		}
		points += uint64(n)
		if err := each(batch, n); err != nil {
			return points, err
		}
	}
}

// fill makes an intake of a base.
func fill(b *engine.Base, w *workload, dir string, opts engine.Options) (*engine.Intake, error) {
	ctx := context.Background()
	in, err := engine.NewIntake(dir, b.Head(), someAttempt, opts)
	if err != nil {
		return nil, err
	}
	_, err = readBase(b, w, func(batch []byte, n int) error {
		if w.IntN(4) == 0 {
			time.Sleep(time.Duration(w.IntN(1000)) * time.Millisecond)
		}
		got, err := in.Add(ctx, batch)
		if err == nil && got != n {
			err = errors.New("other points were added than were read")
		}
		return err
	})
	if err == nil {
		err = in.Complete(ctx)
	}
	return in, err
}

// follow brings a shard up to the end of another one's log.
// fillFiles makes a generation of files, which come in parts of any size.
func fillFiles(f *engine.Files, w *workload, dir string, opts engine.Options) (*engine.Intake, error) {
	in, err := engine.NewIntakeFromFiles(context.Background(), dir, f.Head(), someAttempt, opts)
	if err != nil {
		return nil, err
	}
	var all bytes.Buffer
	if err = f.Send(context.Background(), &all, in.Missing()); err != nil {
		return in, err
	}
	for all.Len() > 0 && err == nil {
		err = in.AddFiles(all.Next(1 + w.IntN(5000)))
	}
	if err == nil {
		err = in.Complete(context.Background())
	}
	return in, err
}

func follow(s *engine.Shard, r *wal.Reader) error {
	ctx := context.Background()
	for {
		records, err := r.Next(1<<62, 5000)
		if err != nil || len(records) == 0 {
			return errors.Join(err, r.Close())
		}
		if err := s.Append(ctx, s.Stands().Last, records); err != nil {
			return err
		}
		if _, err := s.Apply(ctx, records[len(records)-1].Seq, nil); err != nil {
			return err
		}
	}
}

// A base is the state at one entry, whatever is written, deleted and made anew while it is read, names of vectors and indexes
// among it. With the log from there on the receiver becomes what the sender is. The shard that the receiver had goes on
// meanwhile.
func TestABaseIsTheStateAtOneEntry(t *testing.T) {
	for seed := range uint64(12) {
		synctest.Test(t, func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Logf("seed %d", seed)
				}
			}()
			g, never := newSaga(t, seed), func() bool { return false }
			opts := engine.Options{FS: g.disk, Config: g.config(), Retention: wal.Retention{Bytes: 1 << 40}}
			s, err := engine.Create(shardDir, startSchema(), opts)
			g.must(err)
			g.made = true
			g.use(s, 1, 10+int(seed)*6, never)
			had := newSaga(t, seed+100) // what the receiver has
			old := had.settle()
			had.use(old, 1, 10, never)
			used, pause, config := make(chan struct{}), time.Duration(g.IntN(300))*time.Millisecond, had.config()
			go func() { // it alone uses the random numbers of the sagas now
				defer close(used)
				g.use(s, 2, 40, never)
				had.use(old, 1, 5, never)
			}()
			time.Sleep(pause)
			b, err := s.OpenBase(t.Context())
			g.must(err)
			w := newWorkload(seed, 30)
			_, err = engine.NewIntake(shardDir, b.Head(), engine.Attempt{Transfer: 12, Attempt: 2}, engine.Options{FS: had.disk})
			g.must(err)
			in, err := fill(b, w, shardDir, engine.Options{FS: had.disk, Config: config})
			g.must(err)
			reader, err := s.OpenLog(b.At().Seq + 1)
			g.must(err)
			<-used
			had.agrees(old)
			before := old.Stands()
			g.must(old.UseTerm(t.Context(), 77))
			if err := in.Adopt(t.Context()); err == nil {
				t.Fatal("adopted while the shard is open")
			}
			g.must(old.Close())
			g.must(in.Adopt(t.Context()))
			g.must(in.Discard())
			got, err := engine.Open(shardDir, engine.Options{FS: had.disk, ManualApply: true})
			g.must(err)
			at, sent := got.Stands(), s.Stands()
			if at.Base != b.At() || at.Applied != b.At() || at.Last != b.At() || at.ActiveThrough != nil || at.UUID != sent.UUID || at.UUID == before.UUID ||
				at.UsedTerm != 77 || !slices.Equal(at.History, sent.History.Cut(b.At().Seq)) || got.Built() != someAttempt {
				t.Fatalf("built by %+v, it stands at %+v, the base at %s", got.Built(), at, b.At())
			}
			m := g.stateAt(b.At().Seq)
			if b.Points() != uint64(len(m.points)) {
				t.Fatalf("%d points, want %d", b.Points(), len(m.points))
			}
			g.must(contents(got, m))
			g.must(answers(got, m, w))
			b.Close()
			b.Close()
			g.must(follow(got, reader))
			end := g.stateAt(s.Stands().Last.Seq)
			g.must(contents(got, end))
			g.must(contents(s, end))
			same(t, got, s)
			g.must(s.Close())
			g.must(got.Close())
			got, err = engine.Open(shardDir, engine.Options{FS: had.disk})
			g.must(err)
			g.must(contents(got, end))
			g.must(got.Close())
		})
	}
}

func ptr[T any](v T) *T { return &v }

func same(t *testing.T, a, b *engine.Shard) {
	t.Helper()
	da, at := a.Digest()
	db, bt := b.Digest()
	if at != bt || !bytes.Equal(da, db) {
		t.Fatalf("the digests at %s and %s differ", at, bt)
	}
}

// An archive of a snapshot is a base as well, with its files as they are.
func TestFilesAreABase(t *testing.T) {
	for seed := range uint64(6) {
		synctest.Test(t, func(t *testing.T) {
			g := newSaga(t, seed)
			s, err := engine.Create(shardDir, startSchema(), engine.Options{FS: g.disk, Config: g.config(), Retention: wal.Retention{Bytes: 1 << 40}})
			g.must(err)
			g.use(s, 2, 40, func() bool { return false })
			files, err := s.OpenFiles(t.Context())
			g.must(err)
			at := files.At()
			g.use(s, 1, 20, func() bool { return false })
			disk := &vfs.Mem{}
			in, err := fillFiles(files, g.workload, shardDir, engine.Options{FS: disk})
			g.must(err)
			files.Close()
			if in.At() != at {
				t.Fatalf("at %s, want %s", in.At(), at)
			}
			g.must(in.Complete(t.Context()))
			g.must(in.Adopt(t.Context()))
			got, err := engine.Open(shardDir, engine.Options{FS: disk, ManualApply: true})
			g.must(err)
			if st := got.Stands(); st.Base != at || st.Applied != at || st.UUID != s.Stands().UUID || got.Built() != someAttempt {
				t.Fatalf("it stands at %+v, want %s", st, at)
			}
			g.must(contents(got, g.stateAt(at.Seq)))
			reader, err := s.OpenLog(at.Seq + 1)
			g.must(err)
			g.must(follow(got, reader))
			same(t, got, s)
			g.must(got.Close())
			g.must(s.Close())
		})
	}
}

// A copy of files that broke off goes on with the files that it has; damage, and what comes behind the end, is refused.
func TestACopyOfFilesGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSaga(t, 9)
		s := g.settle()
		g.use(s, 2, 80, func() bool { return false })
		files, err := s.OpenFiles(t.Context())
		g.must(err)
		disk, w := &vfs.Mem{}, newWorkload(2, 10)
		opts := engine.Options{FS: disk}
		whole, err := fillFiles(files, w, shardDir, opts)
		g.must(err)
		if len(whole.Missing()) != 0 {
			t.Fatal("files are missing of what is complete")
		}
		g.must(whole.Discard())
		in, err := engine.NewIntakeFromFiles(t.Context(), shardDir, files.Head(), someAttempt, opts)
		g.must(err)
		all := in.Missing()
		if len(all) < 3 {
			t.Fatalf("only %d files", len(all))
		}
		var some bytes.Buffer
		g.must(files.Send(t.Context(), &some, all[:2]))
		g.must(in.AddFiles(some.Bytes()))
		some.Reset()
		g.must(files.Send(t.Context(), &some, all[2:3]))
		g.must(in.AddFiles(some.Bytes()[:some.Len()/2])) // the third one only in part
		in.Leave()
		if err := in.AddFiles(nil); err == nil {
			t.Fatal("an intake that was left goes on")
		}
		in, err = engine.NewIntakeFromFiles(t.Context(), shardDir, files.Head(), someAttempt, opts)
		g.must(err)
		if left := in.Missing(); !slices.Equal(left, all[2:]) {
			t.Fatalf("%v are missing, of %v", left, all)
		}
		if err := in.Complete(t.Context()); err == nil {
			t.Fatal("complete without its files")
		}
		in.Leave()
		in, err = engine.NewIntakeFromFiles(t.Context(), shardDir, files.Head(), someAttempt, opts)
		g.must(err)
		some.Reset()
		g.must(files.Send(t.Context(), &some, in.Missing()))
		bad := slices.Clone(some.Bytes())
		bad[len(bad)/2]++
		if err := in.AddFiles(bad); sextant.KindOf(err) != sextant.Corrupt {
			t.Fatalf("a byte was changed: %v", err)
		}
		in.Leave()
		in, err = fillFiles(files, w, shardDir, opts)
		g.must(err)
		if err := in.AddFiles([]byte{0}); err == nil {
			t.Fatal("more than all")
		}
		at := files.At()
		files.Close()
		g.must(in.Adopt(t.Context()))
		got, err := engine.Open(shardDir, engine.Options{FS: disk, ManualApply: true})
		g.must(err)
		g.must(contents(got, g.stateAt(at.Seq)))
		g.must(got.Close())
		g.must(s.Close())
	})
}

// The requests that the sender remembers are remembered by who has its base.
func TestABaseKnowsTheRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := tell(newSaga(t, 5), 60)
		f := newFollower(newSaga(t, 6), l)
		for f.applied < order.Seq(len(l.log)/2) {
			f.step()
		}
		b, err := f.shard.OpenBase(t.Context())
		f.must(err)
		disk := &vfs.Mem{}
		in, err := fill(b, newWorkload(1, 30), shardDir, engine.Options{FS: disk})
		f.must(err)
		f.must(in.Adopt(t.Context()))
		got, err := engine.Open(shardDir, engine.Options{FS: disk, ManualApply: true})
		f.must(err)
		f.must(contents(got, l.states[b.At().Seq]))
		f.must(got.Append(t.Context(), b.At(), slices.Clone(l.log[b.At().Seq:])))
		_, err = got.Apply(t.Context(), order.Seq(len(l.log)), nil)
		f.must(err)
		for _, rec := range l.log {
			if seq, _, known, _ := got.Logged(rec.ID); !known || seq != rec.Seq {
				t.Fatalf("the request of entry %d was logged at %d, %v", rec.Seq, seq, known)
			}
		}
		b.Close()
		f.must(got.Close())
		f.must(f.shard.Close())
	})
}

// What is not what the sender said is no generation: points that are missing, doubled, changed, or of another schema.
func TestAnIntakeRefusesWhatIsNotTheBase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSaga(t, 1)
		s := g.settle()
		g.use(s, 1, 80, func() bool { return false })
		b, err := s.OpenBase(t.Context())
		g.must(err)
		var batches [][]byte
		points, err := readBase(b, g.workload, func(batch []byte, _ int) error { batches = append(batches, batch); return nil })
		g.must(err)
		if points != b.Points() || points == 0 {
			t.Fatalf("%d points of %d", points, b.Points())
		}
		begin := func() *engine.Intake {
			in, err := engine.NewIntake("/got", b.Head(), someAttempt, engine.Options{FS: g.disk})
			g.must(err)
			return in
		}
		in := begin()
		for _, batch := range batches[1:] {
			_, err := in.Add(t.Context(), batch)
			g.must(err)
		}
		if err := in.Complete(t.Context()); err == nil || !strings.Contains(err.Error(), "points came of") {
			t.Fatalf("with a batch missing: %v", err)
		}
		if err := in.Adopt(t.Context()); err == nil {
			t.Fatal("adopted, and not complete")
		}
		in = begin()
		_, err = in.Add(t.Context(), batches[0])
		g.must(err)
		if _, err := in.Add(t.Context(), batches[0]); sextant.KindOf(err) != sextant.WrongInput {
			t.Fatalf("a batch twice: %v", err)
		}
		for i := range batches[1] {
			bad := slices.Clone(batches[1])
			bad[i]++
			if _, err := in.Add(t.Context(), bad); sextant.KindOf(err) != sextant.WrongInput {
				t.Fatalf("byte %d changed: %v", i, err)
			}
			if _, err := in.Add(t.Context(), batches[1][:i]); sextant.KindOf(err) != sextant.WrongInput {
				t.Fatalf("cut at %d: %v", i, err)
			}
		}
		for _, batch := range batches[1:] { // nothing of those counts
			_, err := in.Add(t.Context(), batch)
			g.must(err)
		}
		g.must(in.Complete(t.Context()))
		g.must(in.Discard())
		for i := range b.Head() {
			bad := slices.Clone(b.Head())
			bad[i]++
			if _, err := engine.NewIntake("/got", bad, someAttempt, engine.Options{FS: g.disk}); err == nil {
				t.Fatalf("byte %d of the head changed", i)
			}
		}
		b.Close()
		g.must(s.Close())
		if left, err := g.disk.List("/got"); err != nil || len(left) > 1 { // LOCK
			t.Fatalf("%v stay, %v", left, err)
		}
	})
}

// transfers is a saga in which the machine or the process dies at call k while a generation is filled and adopted, and once more
// while the shard is opened then.
func transfers(t *testing.T, seed uint64, k int) (more bool) {
	never := func() bool { return false }
	from := newSaga(t, seed+50)
	sender := from.settle()
	from.use(sender, 1, 40, never)
	base, err := sender.OpenBase(t.Context())
	from.must(err)
	defer base.Close()
	files, err := sender.OpenFiles(t.Context())
	from.must(err)
	defer files.Close()
	after := from.stateAt(base.At().Seq)
	if seed%3 == 2 {
		after = from.stateAt(files.At().Seq) // what was on its way when the base was taken is in the files
	}

	g := newSaga(t, seed)
	s := g.settle()
	g.use(s, 1, 15, never)
	g.must(s.Close())
	g.must(g.settle().Close())
	before := g.base.clone()
	d := &doom{disk: g.disk, r: newWorkload(seed<<32+uint64(k), 1).Rand, power: (seed+uint64(k))%2 == 0, k: k}
	opts := engine.Options{FS: &trap{g.disk, d.on}, Config: g.config()}
	var in *engine.Intake
	if seed%3 == 2 {
		in, err = fillFiles(files, g.workload, shardDir, opts)
	} else {
		in, err = fill(base, g.workload, shardDir, opts)
	}
	if err == nil {
		err = in.Adopt(t.Context())
	} else if in != nil {
		_ = in.Discard()
	}
	more = d.gone.Load()
	if !more {
		g.must(err)
		d.strike()
	}
	if err == nil {
		before = after
	}
	g.disk = d.next
	g.Rand = newWorkload(seed<<32+uint64(k), 1).Rand
	s = g.opening(1 + g.IntN(12))
	g.found(s, before, after)
	if built := s.Built() == someAttempt; built != (g.base == after) {
		t.Fatalf("built by %+v", s.Built())
	}
	g.use(s, 1, 10, never)
	g.must(s.Close())
	g.must(g.settle().Close())
	from.must(sender.Close())
	return more
}

// A transfer that ends early leaves what was there, or the new state whole.
func TestCrashWhileAGenerationIsBuilt(t *testing.T) {
	faults(t, 6, 4, transfers)
}

// Until when a replica was active outlives checkpoints, builds and restarts.
func TestActiveThroughStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSaga(t, 3)
		s := g.settle()
		want := func(at *order.Seq) {
			t.Helper()
			if got := s.Stands().ActiveThrough; (got == nil) != (at == nil) || at != nil && *got != *at {
				t.Fatalf("active through %v, want %v", got, at)
			}
		}
		for _, at := range []*order.Seq{nil, ptr(order.Seq(7)), ptr(order.Seq(9)), nil} {
			g.must(s.SetActiveThrough(t.Context(), at))
			g.must(s.SetActiveThrough(t.Context(), at))
			want(at)
			g.use(s, 2, 30, func() bool { return false })
			time.Sleep(2 * time.Minute) // builds
			_, err := s.Snapshot(t.Context(), io.Discard)
			g.must(err)
			want(at)
			dead := s
			g.disk = g.disk.Crash(g.Rand)
			_ = dead.Close()
			s = g.settle()
			want(at)
		}
		g.must(s.Close())
	})
}

// manyPoints makes points from..to of startSchema, each with a vector of some names.
func manyPoints(w *workload, from, to int) []sextant.Point {
	list := make([]sextant.Point, 0, to-from)
	for n := from; n < to; n++ {
		list = append(list, sextant.Point{ID: sextant.NumID(uint64(n)), Payload: sextant.Payload(`{"k":"a","n":7}`), Vectors: w.vectors(startSchema())})
	}
	return list
}

// large makes a shard of n points in several segments.
func large(t *testing.T, dir string, n int, opts engine.Options) *engine.Shard {
	t.Helper()
	s, err := engine.Create(dir, startSchema(), opts)
	must(t, err)
	w := newWorkload(1, n)
	for from := 0; from < n; from += 1000 {
		_, err := s.Update(t.Context(), sextant.Upsert{Points: manyPoints(w, from, from+1000)}, sextant.Committed)
		must(t, err)
	}
	must(t, await(s))
	return s
}

// await waits until everything that was answered is applied.
func await(s *engine.Shard) error {
	_, err := s.Checkpoint(context.Background())
	return err
}

// A generation is written while it is filled: memory holds no more than one head, and each head becomes a segment.
func TestAnIntakeSealsOnTheWay(t *testing.T) {
	config := sextant.DefaultConfig()
	config.WAL.CapacityMB = 1
	opts := engine.Options{FS: &vfs.Mem{}, Config: config}
	const points = 40_000
	s := large(t, shardDir, points, opts)
	defer s.Close()
	b, err := s.OpenBase(t.Context())
	must(t, err)
	defer b.Close()
	in, err := engine.NewIntake("/got", b.Head(), someAttempt, opts)
	must(t, err)
	for {
		batch, n, err := b.Next(t.Context(), 1<<20, 256<<10)
		must(t, err)
		if n == 0 {
			break
		}
		_, err = in.Add(t.Context(), batch)
		must(t, err)
	}
	must(t, in.Complete(t.Context()))
	must(t, in.Adopt(t.Context()))
	got, err := engine.Open("/got", opts)
	must(t, err)
	defer got.Close()
	info, err := got.Info()
	must(t, err)
	if info.Points != points || len(info.Segments) < 3 {
		t.Fatalf("%d points in %d segments", info.Points, len(info.Segments))
	}
	same(t, got, s)
	a, _, err := s.Scroll(t.Context(), everything)
	must(t, err)
	c, _, err := got.Scroll(t.Context(), everything)
	must(t, err)
	if !reflect.DeepEqual(a, c) {
		t.Fatal("the points differ")
	}
}

// A disk that is too small ends a copy while others still can use it.
func TestAnIntakeLeavesRoomOnTheDisk(t *testing.T) {
	config := sextant.DefaultConfig()
	config.WAL.CapacityMB = 1
	opts := engine.Options{FS: &vfs.Mem{}, Config: config}
	s := large(t, shardDir, 40_000, opts)
	defer s.Close()
	b, err := s.OpenBase(t.Context())
	must(t, err)
	defer b.Close()
	disk := &vfs.Mem{}
	disk.SetSize(5 << 20)
	opts.FS = disk
	in, err := engine.NewIntake(shardDir, b.Head(), someAttempt, opts)
	must(t, err)
	for err == nil {
		var batch []byte
		var n int
		batch, n, err = b.Next(t.Context(), 1<<20, 256<<10)
		must(t, err)
		if n == 0 {
			t.Fatal("it fits")
		}
		_, err = in.Add(t.Context(), batch)
	}
	if space, _ := disk.Free(shardDir); !strings.Contains(err.Error(), "Not enough space available") || space.Free < 2<<20 {
		t.Errorf("%d bytes are free: %v", space.Free, err)
	}
	if again := in.Complete(t.Context()); again == nil {
		t.Error("it is complete")
	}
	must(t, in.Discard())
	if space, _ := disk.Free(shardDir); space.Free < 4<<20 {
		t.Errorf("%d bytes are free behind it", space.Free)
	}
}
