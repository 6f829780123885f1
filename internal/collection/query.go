package collection

import (
	"context"
	"math"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/topology"
)

// Find returns another collection by the name that a request uses, for ids that are looked up there.
type Find func(name string) (*Collection, error)

// Query answers queries in order; if one cannot be answered none is.
func (c *Collection) Query(ctx context.Context, qs []sextant.Query, find Find, r Read) ([][]sextant.ScoredPoint, error) {
	return within(ctx, "Search", r, func(ctx context.Context) ([][]sextant.ScoredPoint, error) {
		v := c.view.Load()
		if err := c.strictQueries(v, qs, r); err != nil {
			return nil, err
		}
		for i := range qs {
			if err := v.checkQuery(qs[i]); err != nil {
				return nil, err
			}
		}
		shards, err := v.forRead(r)
		if err != nil {
			return nil, err
		}
		answers := make([][]sextant.ScoredPoint, len(qs))
		one := func(ctx context.Context, i int) (err error) {
			if v.Searches != nil {
				select {
				case v.Searches <- struct{}{}:
					defer func() { <-v.Searches }()
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			q, err := c.lookUp(ctx, v, qs[i], find, r)
			if err == nil {
				answers[i], err = v.query(ctx, q, shards)
			}
			return err
		}
		if len(qs) == 1 {
			return answers, one(ctx, 0)
		}
		all, ctx := errgroup.WithContext(ctx)
		all.SetLimit(runtime.GOMAXPROCS(0))
		for i := range qs {
			all.Go(func() error { return one(ctx, i) })
		}
		return answers, all.Wait()
	})
}

// lookUp puts the vector of a point in the place of its id. A point of the searched collection does not find itself.
func (c *Collection) lookUp(ctx context.Context, v *View, q sextant.Query, find Find, r Read) (sextant.Query, error) {
	from, home, name := v, true, q.Using
	if l := q.LookupFrom; l != nil {
		other, err := find(l.Collection)
		if err != nil {
			return q, err
		}
		if home = other.name == c.name; !home {
			from = other.view.Load()
		}
		if l.Vector != nil {
			name = *l.Vector
		}
	}
	if q.Nearest == nil || q.Nearest.ID == nil {
		return q, nil
	}
	id := *q.Nearest.ID
	if _, ok := from.schema.Vectors[name]; !ok {
		return q, unknownVector(name)
	}
	if !home {
		r = Read{}
	}
	records, err := from.retrieve(ctx, []sextant.PointID{id}, sextant.PayloadSelector{}, sextant.VectorSelector{Names: []string{name}}, r)
	if err != nil {
		return q, err
	}
	if len(records) == 0 {
		return q, sextant.Errorf(sextant.NotFound, "No point with id %s found", id)
	}
	at := slices.IndexFunc(records[0].Vectors, func(nv sextant.NamedVector) bool { return nv.Name == name })
	if at < 0 {
		return q, sextant.Errorf(sextant.NotFound, "Vector with name %q for point not found", name)
	}
	vector := records[0].Vectors[at].Vector
	if err := checkVector(v.schema.Vectors[q.Using], &vector, ""); err != nil {
		return q, err
	}
	q.Nearest = &sextant.VectorInput{Vector: &vector}
	if home {
		not := &sextant.Filter{MustNot: []sextant.Condition{sextant.HasID{IDs: []sextant.PointID{id}}}}
		if !q.Filter.IsEmpty() {
			not.Must = []sextant.Condition{q.Filter}
		}
		q.Filter = not
	}
	return q, nil
}

// query asks the shards for the best offset+limit each, and cuts what they have together.
func (v *View) query(ctx context.Context, q sextant.Query, shards []topology.ShardID) ([]sextant.ScoredPoint, error) {
	q.LookupFrom = nil
	if q.Nearest == nil {
		return v.byID(ctx, q, shards)
	}
	if len(shards) > 1 {
		part := q
		part.Limit, part.Offset = plus(q.Limit, q.Offset), 0
		answers, err := ask(ctx, v, shards, func(ctx context.Context, _ topology.ShardID, s Shard) ([]sextant.ScoredPoint, error) {
			return s.Query(ctx, part)
		})
		if err != nil {
			return nil, err
		}
		spec := v.schema.Vectors[q.Using]
		return cut(mergeScored(answers, spec.Kind != sextant.Sparse && spec.Distance.Ascending()), q.Offset, q.Limit), nil
	}
	answers, err := ask(ctx, v, shards, func(ctx context.Context, _ topology.ShardID, s Shard) ([]sextant.ScoredPoint, error) {
		return s.Query(ctx, q)
	})
	if err != nil || len(answers) == 0 {
		return nil, err
	}
	return answers[0], nil
}

// mergeScored joins answers, best first; equal scores in order of id, and each point once.
func mergeScored(answers [][]sextant.ScoredPoint, ascending bool) []sextant.ScoredPoint {
	all := slices.Concat(answers...)
	slices.SortStableFunc(all, func(a, b sextant.ScoredPoint) int {
		c := compare(a.Score, b.Score)
		if !ascending {
			c = -c
		}
		if c == 0 {
			c = a.ID.Compare(b.ID)
		}
		return c
	})
	seen := make(map[sextant.PointID]struct{}, len(all))
	return slices.DeleteFunc(all, func(p sextant.ScoredPoint) bool {
		_, twice := seen[p.ID]
		seen[p.ID] = struct{}{}
		return twice
	})
}

// plus adds limits, which users may choose as large as they like.
func plus(a, b int) int {
	if sum := a + b; sum >= a {
		return sum
	}
	return math.MaxInt
}

func cut[T any](list []T, offset, limit int) []T {
	list = list[min(max(offset, 0), len(list)):]
	return list[:min(max(limit, 0), len(list))]
}

// byID answers a query without a query: points in order of id, with placeholders for what a search would tell. What the
// offset skips is read without payloads.
func (v *View) byID(ctx context.Context, q sextant.Query, shards []topology.ShardID) ([]sextant.ScoredPoint, error) {
	s := sextant.Scroll{Limit: q.Limit, Filter: q.Filter, WithPayload: q.WithPayload, WithVector: q.WithVector}
	if q.Offset > 0 {
		skipped, err := v.scroll(ctx, sextant.Scroll{Limit: q.Offset, Filter: q.Filter}, shards)
		if err != nil || skipped.Next == nil {
			return nil, err
		}
		s.Offset = skipped.Next
	}
	page, err := v.scroll(ctx, s, shards)
	if err != nil {
		return nil, err
	}
	out := make([]sextant.ScoredPoint, len(page.Records))
	for i, record := range page.Records {
		record.Version = 0
		out[i] = sextant.ScoredPoint{Record: record, Score: 1}
	}
	return out, nil
}
