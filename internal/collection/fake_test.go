package collection

import (
	"context"
	"slices"
	"sync"

	"github.com/sextantdb/sextant"
)

// fake is a shard that is a map, with filters of ids only and dot products.
type fake struct {
	mu     sync.Mutex
	seq    uint64
	points map[sextant.PointID]sextant.Point
	calls  []sextant.Update
	slow   chan struct{} // reads wait for it
	fail   error
	late   bool // updates are logged, but not applied in time
}

func (f *fake) matches(filter *sextant.Filter, id sextant.PointID) bool {
	if filter == nil {
		return true
	}
	for _, c := range filter.Must {
		if inner, ok := c.(*sextant.Filter); ok && !f.matches(inner, id) {
			return false
		}
		if has, ok := c.(sextant.HasID); ok && !slices.Contains(has.IDs, id) {
			return false
		}
	}
	for _, c := range filter.MustNot {
		if has, ok := c.(sextant.HasID); ok && slices.Contains(has.IDs, id) {
			return false
		}
	}
	return true
}

func (f *fake) Update(ctx context.Context, u sextant.Update, wait sextant.Wait) (sextant.Receipt, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, u)
	if f.fail != nil {
		return sextant.Receipt{}, f.fail
	}
	f.seq++
	switch u := u.(type) {
	case sextant.Upsert:
		for _, p := range u.Points {
			f.points[p.ID] = p
		}
	case sextant.DeletePoints:
		for id := range f.points {
			if u.IDs == nil && f.matches(u.Filter, id) || slices.Contains(u.IDs, id) {
				delete(f.points, id)
			}
		}
	case sextant.SetPayload:
		for _, id := range u.IDs {
			if _, ok := f.points[id]; !ok {
				return sextant.Receipt{}, sextant.Errorf(sextant.NotFound, "No point with id %s found", id)
			}
		}
	}
	status := sextant.Acknowledged
	if wait == sextant.Applied {
		status = sextant.Completed
		if f.late {
			status = sextant.WaitTimeout
		}
	}
	return sextant.Receipt{Seq: f.seq, Status: status}, nil
}

func (f *fake) sorted(filter *sextant.Filter) (ids []sextant.PointID) {
	for id := range f.points {
		if f.matches(filter, id) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, sextant.PointID.Compare)
	return ids
}

func (f *fake) wait(ctx context.Context) error {
	if f.slow == nil {
		return nil
	}
	select {
	case <-f.slow:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *fake) Query(ctx context.Context, q sextant.Query) ([]sextant.ScoredPoint, error) {
	if err := f.wait(ctx); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []sextant.ScoredPoint
	for _, id := range f.sorted(q.Filter) {
		var score float32
		for i, x := range f.points[id].Vectors[0].Values {
			score += x * q.Nearest.Vector.Values[i]
		}
		out = append(out, sextant.ScoredPoint{Record: sextant.Record{ID: id, Version: 3}, Score: score})
	}
	return cut(mergeScored([][]sextant.ScoredPoint{out}, false), q.Offset, q.Limit), nil
}

func (f *fake) Scroll(ctx context.Context, s sextant.Scroll) (out []sextant.Record, next *sextant.PointID, err error) {
	if err := f.wait(ctx); err != nil {
		return nil, nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range f.sorted(s.Filter) {
		if s.Offset != nil && id.Compare(*s.Offset) < 0 {
			continue
		}
		if len(out) == s.Limit {
			return out, &id, nil
		}
		out = append(out, sextant.Record{ID: id, Version: 3})
	}
	return out, nil, nil
}

func (f *fake) Retrieve(_ context.Context, ids []sextant.PointID, _ sextant.PayloadSelector, v sextant.VectorSelector) (out []sextant.Record, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		if p, ok := f.points[id]; ok {
			r := sextant.Record{ID: id}
			if !v.None() {
				r.Vectors = p.Vectors
			}
			out = append(out, r)
		}
	}
	return out, nil
}

func (f *fake) Count(_ context.Context, filter *sextant.Filter, _ bool) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return uint64(len(f.sorted(filter))), nil
}

func (f *fake) Info() ShardInfo {
	f.mu.Lock()
	defer f.mu.Unlock()
	return ShardInfo{Points: uint64(len(f.points)), VectorBytes: uint64(len(f.points)) * 8, Segments: make([]SegmentInfo, 1)}
}

func (f *fake) Optimizations() Optimizations { return Optimizations{} }
func (f *fake) Memory() Memory               { return Memory{} }
