package engine_test

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine"
	"github.com/sextantdb/sextant/internal/vfs"
)

// watcher reads a fixed set of points, which all exist all the time, in every way there is. Each read finds each of them
// once; a point's version never falls.
type watcher struct {
	s    *engine.Shard
	ids  []sextant.PointID
	seen map[sextant.PointID]uint64
}

func (w *watcher) round() error {
	ctx := context.Background()
	only := &sextant.Filter{Must: []sextant.Condition{sextant.HasID{IDs: w.ids}}}
	tagged := &sextant.Filter{Must: []sextant.Condition{sextant.Field{Key: sextant.MustPath("tag"), Test: sextant.Match{Value: "fixed"}}}}
	list, err := w.s.Retrieve(ctx, w.ids, sextant.PayloadSelector{All: true}, sextant.VectorSelector{All: true})
	if err := w.each("retrieve", list, err); err != nil {
		return err
	}
	for _, f := range []*sextant.Filter{only, tagged} {
		list, _, err := w.s.Scroll(ctx, sextant.Scroll{Limit: 1000, Filter: f})
		if err := w.each("scroll", list, err); err != nil {
			return err
		}
		if n, err := w.s.Count(ctx, f, true); err != nil || int(n) != len(w.ids) {
			return fmt.Errorf("counted %d of %d, %v", n, len(w.ids), err)
		}
		for _, exact := range []bool{true, false} {
			q := sextant.Query{Nearest: &sextant.VectorInput{Vector: &sextant.Vector{Values: []float32{1, 2, 3, 4}}}, Filter: f, Limit: len(w.ids) + 3}
			q.Params.Exact = exact
			found, err := w.s.Query(ctx, q)
			list = list[:0]
			for _, p := range found {
				list = append(list, p.Record)
			}
			if err := w.each(fmt.Sprint("search, exact ", exact), list, err); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *watcher) each(what string, list []sextant.Record, err error) error {
	if err != nil || len(list) != len(w.ids) {
		return fmt.Errorf("%s: %d points of %d, %v", what, len(list), len(w.ids), err)
	}
	now := map[sextant.PointID]bool{}
	for _, rec := range list {
		if now[rec.ID] || rec.Version < w.seen[rec.ID] {
			return fmt.Errorf("%s: point %s twice, or of version %d behind %d", what, rec.ID, rec.Version, w.seen[rec.ID])
		}
		now[rec.ID] = true
		w.seen[rec.ID] = rec.Version
	}
	for _, id := range w.ids {
		if !now[id] {
			return fmt.Errorf("%s: point %s is missing", what, id)
		}
	}
	return nil
}

// Points that exist all the time are found by every read, once, whatever moves them: updates, seals, merges, snapshots,
// indexes that come and go, other settings.
func TestAPointIsFoundOnceWhateverMovesIt(t *testing.T) {
	const fixed = 60
	for seed := range uint64(2 * *runsFlag) {
		g := newWorkload(seed, 400)
		s, err := engine.Create(shardDir, startSchema(), engine.Options{FS: &vfs.Mem{}, Config: g.config()})
		must(t, err)
		var ids []sextant.PointID
		for i := range uint64(fixed) {
			ids = append(ids, sextant.NumID(1_000_000+i*7))
		}
		point := func(id sextant.PointID) sextant.Point {
			v := sextant.NamedVector{Vector: g.vector(vectorNames[""])}
			return sextant.Point{ID: id, Vectors: []sextant.NamedVector{v}, Payload: sextant.Payload(fmt.Sprintf(`{"tag":"fixed","n":%d}`, g.IntN(50)))}
		}
		some := func() (points []sextant.Point) {
			for range 1 + g.IntN(20) {
				points = append(points, point(ids[g.IntN(fixed)]))
			}
			return points
		}
		send := func(u sextant.Update) {
			if _, err := s.Update(context.Background(), u, sextant.Wait(g.IntN(2))); err != nil && sextant.KindOf(err) != sextant.NotFound {
				t.Fatal(err)
			}
		}
		var first []sextant.Point
		for _, id := range ids {
			first = append(first, point(id))
		}
		_, err = s.Update(context.Background(), sextant.Upsert{Points: first}, sextant.Applied)
		must(t, err)
		stop := make(chan struct{})
		var all sync.WaitGroup
		for range 2 {
			w := &watcher{s, ids, map[sextant.PointID]uint64{}}
			all.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if err := w.round(); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		field := sextant.MustPath("tag")
		for end := time.Now().Add(time.Second); time.Now().Before(end) && !t.Failed(); {
			switch g.IntN(25) {
			case 0:
				_, err := s.Checkpoint(context.Background())
				must(t, err)
			case 1:
				send(sextant.CreateField{Key: field, Spec: sextant.FieldSpec{Type: sextant.KeywordField}})
			case 2:
				send(sextant.DropField{Key: field})
			case 3:
				_, err := s.Snapshot(context.Background(), io.Discard)
				must(t, err)
			case 4:
				must(t, s.Configure(g.config()))
			case 5:
				s.Trigger()
			case 6:
				send(sextant.SetPayload{Selector: sextant.Selector{IDs: ids[:10]}, Payload: sextant.Payload(`{"n":1}`)})
			case 7, 8, 9, 10:
				send(sextant.DeletePoints{Selector: sextant.Selector{IDs: g.someIDs()}})
			case 11, 12, 13:
				send(sextant.Upsert{Points: g.points(startSchema())})
			default:
				send(sextant.Upsert{Points: some()})
			}
		}
		close(stop)
		all.Wait()
		must(t, s.Close())
	}
}

// allocated counts the bytes that were ever allocated.
func allocated() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.TotalAlloc)
}

// No read takes memory by its limit.
func TestALimitCostsNothing(t *testing.T) {
	const points, limit = 20_000, 999_999_999
	s, err := engine.Create(shardDir, startSchema(), engine.Options{FS: &vfs.Mem{}})
	must(t, err)
	w := newWorkload(1, 1)
	for from := uint64(0); from < points; from += 1000 {
		var u sextant.Upsert
		for i := range uint64(1000) {
			u.Points = append(u.Points, sextant.Point{ID: sextant.NumID(from + i), Vectors: []sextant.NamedVector{{Vector: w.vector(vectorNames[""])}}})
		}
		_, err := s.Update(context.Background(), u, sextant.Applied)
		must(t, err)
		if from == 12_000 {
			_, err := s.Checkpoint(context.Background())
			must(t, err)
		}
	}
	const most = 64 << 20
	vector := &sextant.VectorInput{Vector: &sextant.Vector{Values: []float32{1, 2, 3, 4}}}
	for name, read := range map[string]func() (int, error){
		"scroll": func() (int, error) {
			list, _, err := s.Scroll(context.Background(), sextant.Scroll{Limit: limit})
			return len(list), err
		},
		"search": func() (int, error) {
			list, err := s.Query(context.Background(), sextant.Query{Nearest: vector, Limit: limit})
			return len(list), err
		},
		"exact search": func() (int, error) {
			list, err := s.Query(context.Background(), sextant.Query{Nearest: vector, Limit: limit, Params: sextant.SearchParams{Exact: true}})
			return len(list), err
		},
		"query without vector": func() (int, error) {
			list, err := s.Query(context.Background(), sextant.Query{Limit: limit})
			return len(list), err
		},
		"search far behind": func() (int, error) {
			list, err := s.Query(context.Background(), sextant.Query{Nearest: vector, Limit: limit, Offset: 19_000})
			return len(list) + 19_000, err
		},
	} {
		before := allocated()
		n, err := read()
		if took := allocated() - before; err != nil || n != points || took > most {
			t.Errorf("%s: %d points, %v, %d bytes were allocated", name, n, err, took)
		}
	}
	must(t, s.Close())
}
