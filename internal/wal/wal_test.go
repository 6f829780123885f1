package wal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/vfs"
)

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, fsys vfs.FS, o Options) *Log {
	t.Helper()
	l, err := Create(fsys, "/wal", order.Pos{}, nil, o)
	ok(t, err)
	return l
}

func reopen(t *testing.T, fsys vfs.FS, o Options) *Log {
	t.Helper()
	l, err := Open(fsys, "/wal", order.Pos{}, nil, o)
	ok(t, err)
	return l
}

// text is the body of the test's records: with it, each takes 96 bytes in a file.
func text(seq, term int) string { return fmt.Sprintf("body %010d@%04d", seq, term) }

func record(seq, term int, body string) Record {
	return Record{Seq: order.Seq(seq), Term: order.Term(term), Kind: Effects, ID: RequestID{1, 2, uint64(seq)}, Body: []byte(body)}
}

// put appends records from..to of a term, durably.
func put(t *testing.T, l *Log, from, to, term int) {
	t.Helper()
	for seq := from; seq <= to; seq++ {
		ticket, err := l.Append(t.Context(), record(seq, term, text(seq, term)))
		ok(t, err)
		ok(t, l.Sync(t.Context(), ticket))
	}
}

func read(t *testing.T, l *Log, from order.Seq, maxBytes int) (got []string) {
	t.Helper()
	r, err := l.Reader(from)
	ok(t, err)
	defer r.Close()
	for {
		records, err := r.Next(1<<60, maxBytes)
		ok(t, err)
		if records == nil {
			return got
		}
		for _, rec := range records {
			if rec.ID != (RequestID{1, 2, uint64(rec.Seq)}) || rec.Kind != Effects {
				t.Fatalf("record %+v", rec)
			}
			got = append(got, string(rec.Body))
		}
	}
}

func bodies(from, to, term int) (want []string) {
	for seq := from; seq <= to; seq++ {
		want = append(want, text(seq, term))
	}
	return want
}

func same(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %v\nwant %v", got, want)
	}
}

func TestWhatWasSyncedIsReadBack(t *testing.T) {
	for _, fileBytes := range []int64{1, 500, 1 << 20} {
		for _, maxBytes := range []int{1, 100, 1 << 20} {
			disk := &vfs.Mem{}
			l := create(t, disk, Options{FileBytes: fileBytes})
			put(t, l, 1, 200, 1)
			same(t, read(t, l, 1, maxBytes), bodies(1, 200, 1))
			same(t, read(t, l, 150, maxBytes), bodies(150, 200, 1))
			l = reopen(t, disk.Kill(), Options{FileBytes: fileBytes})
			same(t, l.Last(), order.Pos{Seq: 200, Term: 1})
			same(t, l.History(), order.History{{Term: 1, First: 1}})
			same(t, read(t, l, 77, maxBytes), bodies(77, 200, 1))
			put(t, l, 201, 210, 2)
			same(t, read(t, l, 190, maxBytes), append(bodies(190, 200, 1), bodies(201, 210, 2)...))
			same(t, l.History(), order.History{{Term: 1, First: 1}, {Term: 2, First: 201}})
			ok(t, l.Close())
		}
	}
}

func TestOpenFromACheckpointLeavesOldFilesUnread(t *testing.T) {
	disk := vfs.NewFaulty(&vfs.Mem{})
	l := create(t, disk, Options{FileBytes: 300})
	put(t, l, 1, 100, 1)
	put(t, l, 101, 150, 4)
	ok(t, l.Close())
	before := disk.Calls(vfs.OpRead)
	l, err := Open(disk, "/wal", order.Pos{Seq: 140, Term: 4}, order.History{{Term: 1, First: 1}, {Term: 4, First: 101}}, Options{FileBytes: 300})
	ok(t, err)
	if n := disk.Calls(vfs.OpRead) - before; n > 20 {
		t.Errorf("%d reads", n)
	}
	same(t, l.History(), order.History{{Term: 1, First: 1}, {Term: 4, First: 101}})
	same(t, l.First(), order.Seq(1))
	same(t, read(t, l, 90, 50), append(bodies(90, 100, 1), bodies(101, 150, 4)...))
	_, err = Open(disk, "/wal", order.Pos{Seq: 140, Term: 3}, order.History{{Term: 3, First: 1}}, Options{})
	if !errors.As(err, new(*CorruptError)) {
		t.Errorf("another term at the checkpoint: %v", err)
	}
	_, err = Open(disk, "/wal", order.Pos{Seq: 151, Term: 4}, order.History{{Term: 4, First: 1}}, Options{})
	if !errors.As(err, new(*CorruptError)) {
		t.Errorf("the log ends before the checkpoint: %v", err)
	}
}

func TestALogBehindABase(t *testing.T) {
	disk := &vfs.Mem{}
	base, history := order.Pos{Seq: 500, Term: 3}, order.History{{Term: 1, First: 1}, {Term: 3, First: 400}}
	l, err := Create(disk, "/wal", base, history, Options{})
	ok(t, err)
	same(t, l.First(), order.Seq(501))
	if _, err := l.Append(t.Context(), record(1, 3, "")); !errors.Is(err, ErrGap) {
		t.Fatalf("append of 1: %v", err)
	}
	put(t, l, 501, 510, 3)
	if _, err := l.Reader(500); !errors.Is(err, ErrTruncated) {
		t.Fatalf("reader at 500: %v", err)
	}
	l, err = Open(disk.Kill(), "/wal", base, history, Options{})
	ok(t, err)
	same(t, read(t, l, 501, 100), bodies(501, 510, 3))
	same(t, l.History(), history)
	if _, err := Create(disk.Kill(), "/wal", base, history, Options{}); err == nil {
		t.Fatal("a log was made over another")
	}
}

func TestAppendsMustFollow(t *testing.T) {
	l := create(t, &vfs.Mem{}, Options{})
	put(t, l, 1, 3, 2)
	for _, records := range [][]Record{
		{record(5, 2, "")}, {record(3, 2, "")}, {record(4, 1, "")}, {record(4, 2, ""), record(6, 2, "")},
		{record(4, 3, ""), record(5, 2, "")},
	} {
		if _, err := l.Append(t.Context(), records...); !errors.Is(err, ErrGap) {
			t.Errorf("%v: %v", records, err)
		}
	}
	same(t, l.Last(), order.Pos{Seq: 3, Term: 2})
}

func TestCutTakesTheTailAway(t *testing.T) {
	for _, fileBytes := range []int64{1, 400, 1 << 20} {
		disk := &vfs.Mem{}
		l := create(t, disk, Options{FileBytes: fileBytes})
		put(t, l, 1, 100, 1)
		put(t, l, 101, 200, 2)
		l.SetCommit(70)
		if err := l.Cut(t.Context(), 69); !errors.Is(err, ErrCommitted) {
			t.Fatalf("cut below the commit: %v", err)
		}
		r, err := l.Reader(60)
		ok(t, err)
		_, err = r.Next(75, 1)
		ok(t, err)
		ok(t, l.Cut(t.Context(), 130))
		same(t, l.Last(), order.Pos{Seq: 130, Term: 2})
		ok(t, l.Cut(t.Context(), 80))
		same(t, l.Last(), order.Pos{Seq: 80, Term: 1})
		same(t, l.History(), order.History{{Term: 1, First: 1}})
		put(t, l, 81, 150, 3)
		want := append(bodies(61, 80, 1), bodies(81, 150, 3)...)
		var got []string
		for len(got) < len(want) {
			records, err := r.Next(1<<60, 200)
			ok(t, err)
			for _, rec := range records {
				got = append(got, string(rec.Body))
			}
		}
		same(t, got, want)
		l = reopen(t, disk.Crash(rand.New(rand.NewPCG(1, 2))), Options{FileBytes: fileBytes})
		same(t, read(t, l, 1, 1000), append(bodies(1, 80, 1), bodies(81, 150, 3)...))
		same(t, l.History(), order.History{{Term: 1, First: 1}, {Term: 3, First: 81}})
	}
}

func TestNotesTellTheCommitAfterAQuietEnd(t *testing.T) {
	disk := &vfs.Mem{}
	l := create(t, disk, Options{})
	put(t, l, 1, 5, 1)
	l.SetCommit(5)
	syncs := l.Stats().Syncs
	ok(t, l.Note())
	size := l.Stats().Bytes
	ok(t, l.Note()) // nothing new
	if s := l.Stats(); s.Syncs != syncs || s.Bytes != size {
		t.Fatalf("%+v", s)
	}
	l = reopen(t, disk.Kill(), Options{})
	same(t, l.Commit(), order.Seq(5))
	put(t, l, 6, 6, 1)
	l = reopen(t, l.fs.(*vfs.Mem).Kill(), Options{})
	same(t, l.Commit(), order.Seq(5)) // told by record 6
	same(t, read(t, l, 1, 1000), bodies(1, 6, 1))
}

func TestUsedTermsAreRemembered(t *testing.T) {
	disk := &vfs.Mem{}
	l := create(t, disk, Options{})
	ok(t, l.UseTerm(t.Context(), 7))
	if l.UseTerm(t.Context(), 7) == nil || l.UseTerm(t.Context(), 6) == nil {
		t.Fatal("a term was used twice")
	}
	for seed := range uint64(20) {
		next := disk.Crash(rand.New(rand.NewPCG(seed, 1)))
		same(t, reopen(t, next, Options{}).UsedTerm(), order.Term(7))
		disk = next.Kill()
	}
}

func TestTrimKeepsWhatIsNeeded(t *testing.T) {
	disk := &vfs.Mem{}
	const each = 96 // a record of these tests in a file
	fresh := func(keep Retention) *Log {
		ok(t, disk.RemoveAll("/wal"))
		l := create(t, disk, Options{FileBytes: fileHead + 10*each, Retention: keep})
		put(t, l, 1, 105, 1) // ten closed files of ten, half a one
		return l
	}
	first := func(l *Log, checkpoint, absent, want order.Seq) {
		t.Helper()
		ok(t, l.Trim(checkpoint, absent))
		if got := l.First(); got != want {
			t.Errorf("begins at %d, want %d", got, want)
		}
		infos, err := disk.List("/wal")
		ok(t, err)
		if n := l.Stats().Files; len(infos) != n {
			t.Errorf("%d files on disk, %d in the log", len(infos), n)
		}
	}
	first(fresh(Retention{}), 0, 0, 1)
	first(fresh(Retention{}), 39, 0, 31)
	first(fresh(Retention{}), 40, 0, 41)
	first(fresh(Retention{}), 105, 0, 101)
	first(fresh(Retention{Files: 2}), 105, 0, 81)
	first(fresh(Retention{Bytes: 4 << 10}), 105, 0, 71)
	first(fresh(Retention{AbsentBytes: 1 << 20}), 105, 35, 31)
	first(fresh(Retention{AbsentBytes: 4 << 10}), 105, 35, 71)
	first(fresh(Retention{Files: 2, AbsentBytes: 1 << 20}), 105, 105, 81)
	l := fresh(Retention{})
	pin, err := l.Pin(55)
	ok(t, err)
	r, err := l.Reader(25)
	ok(t, err)
	first(l, 105, 0, 21)
	r.Release(60)
	first(l, 105, 0, 51)
	if err := r.Seek(60); !errors.Is(err, ErrGap) {
		t.Errorf("seek to what was released: %v", err)
	}
	ok(t, r.Seek(61))
	pin.Close()
	first(l, 105, 0, 61)
	ok(t, r.Close())
	first(l, 105, 0, 101)
	if _, err := l.Reader(100); !errors.Is(err, ErrTruncated) {
		t.Errorf("reader of what is gone: %v", err)
	}
}

// A torn tail is cut; the same bytes are damage when a later record says that they were durable.
func TestTornTailsAndDamage(t *testing.T) {
	const each = 96
	flip := func(disk *vfs.Mem, seq int) *vfs.Mem {
		data, err := vfs.ReadFile(disk, "/wal/"+fileName(1))
		ok(t, err)
		data = bytes.Clone(data)
		data[fileHead+(seq-1)*each+recordHead] ^= 1
		ok(t, vfs.WriteAtomic(disk, "/wal/"+fileName(1), data))
		return disk
	}
	// Ten records in one batch: none knows of the others' being durable.
	disk := &vfs.Mem{}
	l := create(t, disk, Options{})
	var batch []Record
	for seq := 1; seq <= 10; seq++ {
		batch = append(batch, record(seq, 1, text(seq, 1)))
	}
	ticket, err := l.Append(t.Context(), batch...)
	ok(t, err)
	ok(t, l.Sync(t.Context(), ticket))
	disk = flip(disk.Kill(), 4)
	l = reopen(t, disk, Options{})
	same(t, l.Last().Seq, order.Seq(3))
	same(t, l.Stats().Bytes, int64(fileHead+3*each))

	// One after the other: each says that those before are durable.
	disk = &vfs.Mem{}
	l = create(t, disk, Options{})
	put(t, l, 1, 10, 1)
	disk = disk.Kill()
	saved := disk.Kill()
	if _, err := Open(flip(saved, 4), "/wal", order.Pos{}, nil, Options{}); !errors.As(err, new(*CorruptError)) {
		t.Errorf("damage was taken for a torn tail: %v", err)
	}
	infos, err := saved.List("/wal")
	ok(t, err)
	same(t, infos[0].Size, int64(fileHead+10*each)) // the evidence is left

	// The last one: nobody knows, so it is cut; unless a note tells.
	for _, note := range []bool{false, true} {
		disk = &vfs.Mem{}
		l = create(t, disk, Options{})
		put(t, l, 1, 10, 1)
		if note {
			l.SetCommit(10)
			ok(t, l.Note())
		}
		_, err := Open(flip(disk.Kill(), 10), "/wal", order.Pos{}, nil, Options{})
		if damaged := errors.As(err, new(*CorruptError)); damaged != note {
			t.Errorf("note %v: %v", note, err)
		}
	}

	// At or below the checkpoint, or with later files behind it, there is no torn tail.
	disk = &vfs.Mem{}
	l = create(t, disk, Options{})
	put(t, l, 1, 10, 1)
	_, err = Open(flip(disk.Kill(), 10), "/wal", order.Pos{Seq: 10, Term: 1}, order.History{{Term: 1, First: 1}}, Options{})
	if !errors.As(err, new(*CorruptError)) {
		t.Errorf("damage below the checkpoint: %v", err)
	}
	disk = &vfs.Mem{}
	l = create(t, disk, Options{FileBytes: fileHead + 5*each})
	put(t, l, 1, 10, 1)
	if _, err := Open(flip(disk.Kill(), 5), "/wal", order.Pos{}, nil, Options{}); !errors.As(err, new(*CorruptError)) {
		t.Errorf("damage in a closed file: %v", err)
	}
}

func TestAFullDiskRefusesAndRecovers(t *testing.T) {
	disk := &vfs.Mem{}
	l := create(t, disk, Options{FileBytes: 1000})
	put(t, l, 1, 20, 1)
	s, err := disk.Free("/")
	ok(t, err)
	disk.SetSize(int64(s.Total-s.Free) + 150)
	refused := 0
	for refused < 3 {
		seq := int(l.Last().Seq) + 1
		var batch []Record
		for i := range 3 {
			batch = append(batch, record(seq+i, 1, text(seq+i, 1)))
		}
		ticket, err := l.Append(t.Context(), batch...)
		ok(t, err)
		if err := l.Sync(t.Context(), ticket); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			refused++
		}
	}
	last := int(l.Last().Seq)
	same(t, l.Durable(), l.Last().Seq)
	same(t, read(t, l, 1, 100), bodies(1, last, 1))
	disk.SetSize(1 << 40)
	put(t, l, last+1, 60, 1)
	same(t, read(t, reopen(t, disk.Crash(rand.New(rand.NewPCG(3, 3))), Options{}), 1, 100), bodies(1, 60, 1))
}

func TestAfterAFailedSyncNothingIsTaken(t *testing.T) {
	disk := vfs.NewFaulty(&vfs.Mem{})
	l := create(t, disk, Options{})
	put(t, l, 1, 3, 1)
	disk.FailAt(1, syscall.EIO, vfs.OpSync)
	ticket, err := l.Append(t.Context(), record(4, 1, ""))
	ok(t, err)
	if err := l.Sync(t.Context(), ticket); !errors.Is(err, syscall.EIO) {
		t.Fatalf("sync: %v", err)
	}
	if _, err := l.Append(t.Context(), record(5, 1, "")); !errors.Is(err, syscall.EIO) {
		t.Fatalf("append after a failed sync: %v", err)
	}
	same(t, l.Durable(), order.Seq(3))
	same(t, read(t, l, 1, 100), bodies(1, 3, 1))
}

// A ticket of what was taken back never becomes good by other records of the same seqs.
func TestTicketsOfWhatWasTakenBackFail(t *testing.T) {
	disk := vfs.NewFaulty(&vfs.Mem{})
	l := create(t, disk, Options{})
	put(t, l, 1, 1, 1)
	disk.FailAt(1, syscall.ENOSPC, vfs.OpWrite)
	lost, err := l.Append(t.Context(), record(2, 1, "lost"))
	ok(t, err)
	other, err := l.Append(t.Context(), record(3, 1, "lost too"))
	ok(t, err)
	if err := l.Sync(t.Context(), lost); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	put(t, l, 2, 5, 1)
	if err := l.Sync(t.Context(), other); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

// slowDisk takes a millisecond for each fsync, in the virtual time of a bubble.
type slowDisk struct{ vfs.FS }

type slowFile struct{ vfs.File }

func (d slowDisk) OpenAppend(name string) (vfs.File, error) {
	f, err := d.FS.OpenAppend(name)
	return slowFile{f}, err
}

func (f slowFile) Sync() error {
	time.Sleep(time.Millisecond)
	return f.File.Sync()
}

func TestWaitersShareAnFsync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := create(t, slowDisk{&vfs.Mem{}}, Options{})
		var mu sync.Mutex
		var seq, longest = 0, time.Duration(0)
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				for range 20 {
					begin := time.Now()
					mu.Lock()
					seq++
					ticket, err := l.Append(t.Context(), record(seq, 1, text(seq, 1)))
					mu.Unlock()
					if err == nil {
						err = l.Sync(t.Context(), ticket)
					}
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					longest = max(longest, time.Since(begin))
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		s := l.Stats()
		if s.Syncs*4 > s.Appends {
			t.Errorf("%d fsyncs for %d appends", s.Syncs, s.Appends)
		}
		if longest > 2*time.Millisecond {
			t.Errorf("one append took %v", longest)
		}
		same(t, read(t, l, 1, 1<<20), bodies(1, 1280, 1))
	})
}

// Readers, appends and trims side by side; for the race detector.
func TestReadersBesideAppends(t *testing.T) {
	l := create(t, &vfs.Mem{}, Options{FileBytes: 2000})
	const last = 2000
	var wg sync.WaitGroup
	for range 3 {
		r, err := l.Reader(1)
		ok(t, err)
		wg.Go(func() {
			defer r.Close()
			for want := order.Seq(1); want <= last; {
				records, err := r.Next(last, 300)
				if err != nil {
					t.Error(err)
					return
				}
				for _, rec := range records {
					if rec.Seq != want || string(rec.Body) != text(int(rec.Seq), 1) {
						t.Errorf("record %d, want %d", rec.Seq, want)
						return
					}
					want++
				}
				r.Release(want - 1)
				if err := l.Trim(want-1, 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	put(t, l, 1, last, 1)
	wg.Wait()
	if first := l.First(); first < last/2 {
		t.Errorf("the log still begins at %d", first)
	}
}

func TestAnAppendGivenUpIsTakenAlongByTheNext(t *testing.T) {
	l := create(t, &vfs.Mem{}, Options{})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	l.io <- struct{}{} // somebody writes
	ticket, err := l.Append(t.Context(), record(1, 1, text(1, 1)))
	ok(t, err)
	if err := l.Sync(gone, ticket); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	<-l.io
	put(t, l, 2, 2, 1)
	same(t, read(t, l, 1, 100), bodies(1, 2, 1))
}
