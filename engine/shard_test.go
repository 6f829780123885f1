package engine

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/vfs"
)

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var small = sextant.Schema{Vectors: map[string]sextant.VectorSpec{"": {Kind: sextant.Dense, Dim: 4, Distance: sextant.Dot}}}

func create(t testing.TB, fsys vfs.FS, opts Options) *Shard {
	t.Helper()
	opts.FS = fsys
	s, err := Create("/shard", small, opts)
	ok(t, err)
	return s
}

func reopen(t testing.TB, fsys vfs.FS, opts Options) *Shard {
	t.Helper()
	opts.FS = fsys
	s, err := Open("/shard", opts)
	ok(t, err)
	return s
}

func point(id uint64, values ...float32) sextant.Point {
	return sextant.Point{
		ID:      sextant.NumID(id),
		Vectors: []sextant.NamedVector{{Vector: sextant.Vector{Values: values}}},
		Payload: sextant.Payload(fmt.Sprintf(`{"n":%d,"even":%v}`, id, id%2 == 0)),
	}
}

func update(t testing.TB, s *Shard, u sextant.Update) sextant.Receipt {
	t.Helper()
	r, err := s.Update(t.Context(), u, sextant.Applied)
	ok(t, err)
	return r
}

func count(t testing.TB, s *Shard) int {
	t.Helper()
	n, err := s.Count(t.Context(), nil, true)
	ok(t, err)
	return int(n)
}

func TestAShardKeepsWhatItIsGiven(t *testing.T) {
	disk := &vfs.Mem{}
	s := create(t, disk, Options{})
	r := update(t, s, sextant.Upsert{Points: []sextant.Point{point(1, 1, 0, 0, 0), point(2, 0, 1, 0, 0), point(3, 0, 0, 1, 0)}})
	if r.Seq != 1 || r.Status != sextant.Completed {
		t.Fatalf("receipt %+v", r)
	}
	check := func(s *Shard) {
		t.Helper()
		hits, err := s.Query(t.Context(), sextant.Query{
			Nearest: &sextant.VectorInput{Vector: &sextant.Vector{Values: []float32{0.1, 1, 0.5, 0}}}, Limit: 2,
		})
		ok(t, err)
		if got := fmt.Sprint(hits[0].ID, hits[1].ID, hits[0].Score, hits[0].Version); got != "2 3 1 1" {
			t.Fatalf("found %s", got)
		}
	}
	check(s)
	ok(t, s.Close())
	s = reopen(t, disk, Options{})
	check(s)
	if r := update(t, s, sextant.DeletePoints{Selector: sextant.Selector{IDs: []sextant.PointID{sextant.NumID(2)}}}); r.Seq != 2 {
		t.Fatalf("receipt %+v", r)
	}
	_, err := s.Checkpoint(t.Context())
	ok(t, err)
	if n := count(t, s); n != 2 {
		t.Fatalf("%d points", n)
	}
	s = reopen(t, disk.Kill(), Options{})
	if n := count(t, s); n != 2 {
		t.Fatalf("%d points after a checkpoint", n)
	}
	if at := s.Stands(); at.Applied.Seq != 2 || at.Commit != 2 || s.writer.since.entries != 0 {
		t.Fatalf("stands %+v", at)
	}
	ok(t, s.Close())
	ok(t, s.Close())
	if _, err := s.Update(t.Context(), sextant.DropField{}, sextant.Applied); sextant.KindOf(err) != sextant.Unavailable {
		t.Fatalf("update of a closed shard: %v", err)
	}
}

func TestUpdatesThatCannotBeAreRefusedBeforeTheLog(t *testing.T) {
	s := create(t, &vfs.Mem{}, Options{})
	defer s.Close()
	for _, c := range []struct {
		u    sextant.Update
		want string
	}{
		{sextant.Upsert{}, "Empty update request"},
		{sextant.Upsert{Points: []sextant.Point{point(1, 1, 2, 3)}}, "Vector dimension error: expected dim: 4, got 3"},
		{sextant.DeletePoints{}, "No filter or points provided"},
		{sextant.DeleteVectors{Selector: sextant.Selector{IDs: []sextant.PointID{}}, Names: []string{"x"}}, "Not existing vector name error: x"},
	} {
		for _, wait := range []sextant.Wait{sextant.Committed, sextant.Applied} {
			if _, err := s.Update(t.Context(), c.u, wait); err == nil || err.Error() != c.want {
				t.Errorf("%T: %v, want %s", c.u, err, c.want)
			}
		}
	}
	if last := s.Stands().Last.Seq; last != 0 {
		t.Fatalf("%d entries were logged", last)
	}
	_, err := s.Update(t.Context(), sextant.ClearPayload{Selector: sextant.Selector{IDs: []sextant.PointID{sextant.NumID(9)}}}, sextant.Applied)
	if err == nil || err.Error() != "No point with id 9 found" || sextant.KindOf(err) != sextant.NotFound {
		t.Fatalf("missing point: %v", err)
	}
	r, err := s.Update(t.Context(), sextant.ClearPayload{Selector: sextant.Selector{IDs: []sextant.PointID{sextant.NumID(9)}}}, sextant.Committed)
	if err != nil || r.Status != sextant.Acknowledged || r.Seq != 2 {
		t.Fatalf("missing point, not waited for: %+v, %v", r, err)
	}
}

// A deadline limits the wait, not the update.
func TestADeadlineThatIsOverStillLogs(t *testing.T) {
	s := create(t, &vfs.Mem{}, Options{})
	defer s.Close()
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	s.writer.mu.Lock() // nothing is applied meanwhile
	r, err := s.Update(ctx, sextant.Upsert{Points: []sextant.Point{point(1, 1, 0, 0, 0)}}, sextant.Applied)
	s.writer.mu.Unlock()
	if err != nil || r.Status != sextant.WaitTimeout || r.Seq != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	ok(t, s.writer.await(t.Context(), 1))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Update(gone, sextant.Upsert{Points: []sextant.Point{point(2, 1, 0, 0, 0)}}, sextant.Applied); !errors.Is(err, context.Canceled) && err != nil {
		t.Fatal(err)
	}
}
