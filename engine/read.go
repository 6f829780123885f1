package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/segment"
	"github.com/sextantdb/sextant/internal/wal"
)

// read runs f on the newest view.
func read[T any](s *Shard, f func(v *segment.View) (T, error)) (T, error) {
	v := s.views.Get()
	if v == nil {
		var none T
		return none, errClosed
	}
	defer v.Release()
	out, err := f(v)
	if err != nil && sextant.KindOf(err) == sextant.Corrupt {
		s.noteDamage(err)
	}
	return out, err
}

// noteDamage ends updates: stored bytes are not what was written.
func (s *Shard) noteDamage(err error) {
	if s.damaged.CompareAndSwap(nil, &err) {
		s.slog.Error("stored data are damaged; the shard takes no updates any more", "err", err)
	}
}

// usable refuses updates of a shard that cannot be trusted with them.
func (s *Shard) usable() error {
	if err := s.damaged.Load(); err != nil {
		return *err
	}
	if err := s.writer.failure(); err != nil {
		return err
	}
	if err := s.log.Failure(); err != nil && !errors.Is(err, wal.ErrClosed) {
		return fmt.Errorf("write the log: %w", err)
	}
	return nil
}

// Failure says why the shard takes no updates any more: its files are damaged, or could not be written. Nil while it takes them.
func (s *Shard) Failure() error { return s.usable() }

// Query returns the points nearest to a vector, best first, or without one the points in id order with score 1. An id is
// looked up in this shard, and its point is left out of the result.
func (s *Shard) Query(ctx context.Context, q sextant.Query) ([]sextant.ScoredPoint, error) {
	return read(s, func(v *segment.View) ([]sextant.ScoredPoint, error) {
		if q.Nearest == nil {
			return scrollQuery(ctx, v, q)
		}
		near, filter := q.Nearest.Vector, q.Filter
		if near == nil {
			if q.Nearest.ID == nil {
				return nil, sextant.Errorf(sextant.WrongInput, "a query needs a vector or an id")
			}
			found, err := lookup(v, q)
			if err != nil {
				return nil, err
			}
			near, filter = &found, without(*q.Nearest.ID, filter)
		}
		found, err := v.Search(ctx, segment.SearchRequest{
			Vector: *near, Using: q.Using, Filter: filter, Params: q.Params, Threshold: q.ScoreThreshold,
			Limit: limitOf(q), WithPayload: q.WithPayload, WithVector: q.WithVector,
		})
		if err != nil {
			return nil, err
		}
		return found[min(q.Offset, len(found)):], nil
	})
}

// limitOf returns how many points a query has to find, without overflow.
func limitOf(q sextant.Query) int {
	if n := q.Limit + q.Offset; n >= q.Limit {
		return n
	}
	return q.Limit
}

func lookup(v *segment.View, q sextant.Query) (sextant.Vector, error) {
	name := q.Using
	if q.LookupFrom != nil {
		if q.LookupFrom.Collection != "" {
			return sextant.Vector{}, sextant.Errorf(sextant.WrongInput, "a shard looks up vectors in itself only")
		}
		if q.LookupFrom.Vector != nil {
			name = *q.LookupFrom.Vector
		}
	}
	found, ok, err := v.Vector(*q.Nearest.ID, name)
	if err == nil && !ok {
		err = sextant.Errorf(sextant.NotFound, "No point with id %s found", q.Nearest.ID)
	}
	return found, err
}

func without(id sextant.PointID, f *sextant.Filter) *sextant.Filter {
	out := &sextant.Filter{MustNot: []sextant.Condition{sextant.HasID{IDs: []sextant.PointID{id}}}}
	if !f.IsEmpty() {
		out.Must = []sextant.Condition{f}
	}
	return out
}

func scrollQuery(ctx context.Context, v *segment.View, q sextant.Query) ([]sextant.ScoredPoint, error) {
	records, _, err := v.Scroll(ctx, sextant.Scroll{Limit: limitOf(q), Filter: q.Filter, WithPayload: q.WithPayload, WithVector: q.WithVector})
	if err != nil {
		return nil, err
	}
	records = records[min(q.Offset, len(records)):]
	out := make([]sextant.ScoredPoint, len(records))
	for i, r := range records {
		out[i] = sextant.ScoredPoint{Record: r, Score: 1}
	}
	return out, nil
}

// page is what Scroll returns.
type page struct {
	records []sextant.Record
	next    *sextant.PointID
}

// Scroll returns points in id order, or in that of a field, and where the next page begins; nil at the end.
func (s *Shard) Scroll(ctx context.Context, q sextant.Scroll) ([]sextant.Record, *sextant.PointID, error) {
	p, err := read(s, func(v *segment.View) (p page, err error) {
		p.records, p.next, err = v.Scroll(ctx, q)
		return p, err
	})
	return p.records, p.next, err
}

// Retrieve returns the points of the ids that exist, in their order, each once.
func (s *Shard) Retrieve(ctx context.Context, ids []sextant.PointID, p sextant.PayloadSelector, vs sextant.VectorSelector) ([]sextant.Record, error) {
	return read(s, func(v *segment.View) ([]sextant.Record, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return v.Retrieve(ids, p, vs)
	})
}

// Count returns how many points match; not exact, it may be an estimate.
func (s *Shard) Count(ctx context.Context, f *sextant.Filter, exact bool) (uint64, error) {
	return read(s, func(v *segment.View) (uint64, error) { return v.Count(ctx, f, exact) })
}

// Schema returns the vector names and payload indexes as of the last entry applied.
func (s *Shard) Schema() (sextant.Schema, error) {
	return read(s, func(v *segment.View) (sextant.Schema, error) { return v.Schema().Plain(), nil })
}
