package collection

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/topology"
)

// ask runs f on every shard at the same time and returns the answers in order of shard.
func ask[T any](ctx context.Context, v *View, shards []topology.ShardID, f func(context.Context, topology.ShardID, Shard) (T, error)) ([]T, error) {
	answers := make([]T, len(shards))
	if len(shards) == 1 {
		var err error
		answers[0], err = f(ctx, shards[0], v.Shards[shards[0]])
		return answers, err
	}
	all, ctx := errgroup.WithContext(ctx)
	for i, id := range shards {
		all.Go(func() (err error) {
			answers[i], err = f(ctx, id, v.Shards[id])
			return err
		})
	}
	return answers, all.Wait()
}

// Page is a part of a scroll and where the next one begins.
type Page struct {
	Records []sextant.Record
	Next    *sextant.PointID
}

// Scroll reads points in id order, or in the order of a field, over all shards.
func (c *Collection) Scroll(ctx context.Context, s sextant.Scroll, r Read) (Page, error) {
	return within(ctx, "Scroll", r, func(ctx context.Context) (Page, error) {
		v := c.view.Load()
		if err := c.strictScroll(v, s, r); err != nil {
			return Page{}, err
		}
		if err := v.checkScroll(s); err != nil {
			return Page{}, err
		}
		shards, err := v.forRead(r)
		if err != nil {
			return Page{}, err
		}
		return v.scroll(ctx, s, shards)
	})
}

func (v *View) scroll(ctx context.Context, s sextant.Scroll, shards []topology.ShardID) (Page, error) {
	pages, err := ask(ctx, v, shards, func(ctx context.Context, _ topology.ShardID, shard Shard) (Page, error) {
		records, next, err := shard.Scroll(ctx, s)
		return Page{records, next}, err
	})
	if err != nil || len(pages) == 0 {
		return Page{}, err
	}
	if len(pages) == 1 {
		return pages[0], nil
	}
	return mergePages(pages, s), nil
}

// mergePages joins sorted pages. What lies behind the limit says where the next page begins.
func mergePages(pages []Page, s sextant.Scroll) Page {
	var out Page
	for _, p := range pages {
		out.Records = append(out.Records, p.Records...)
		if p.Next != nil && (out.Next == nil || p.Next.Compare(*out.Next) < 0) {
			out.Next = p.Next
		}
	}
	slices.SortStableFunc(out.Records, func(a, b sextant.Record) int {
		if s.OrderBy == nil {
			return a.ID.Compare(b.ID)
		}
		c := compareValues(a.OrderValue, b.OrderValue)
		if c == 0 {
			c = a.ID.Compare(b.ID)
		}
		if s.OrderBy.Desc {
			return -c
		}
		return c
	})
	if s.OrderBy == nil {
		out.Records = slices.CompactFunc(out.Records, func(a, b sextant.Record) bool { return a.ID == b.ID })
	}
	if len(out.Records) > s.Limit {
		if next := out.Records[s.Limit].ID; out.Next == nil || next.Compare(*out.Next) < 0 {
			out.Next = &next
		}
		out.Records = out.Records[:s.Limit]
	}
	if s.OrderBy != nil {
		out.Next = nil
	}
	return out
}

func compareValues(a, b *sextant.OrderValue) int {
	if a == nil || b == nil {
		return 0
	}
	if !a.IsFloat && !b.IsFloat {
		return compare(a.Int, b.Int)
	}
	return compare(asFloat(*a), asFloat(*b))
}

func asFloat(v sextant.OrderValue) float64 {
	if v.IsFloat {
		return v.Float
	}
	return float64(v.Int)
}

func compare[T int64 | float64 | float32](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Retrieve reads points by id in the order asked, each once.
func (c *Collection) Retrieve(ctx context.Context, ids []sextant.PointID, p sextant.PayloadSelector, vs sextant.VectorSelector, r Read) ([]sextant.Record, error) {
	return within(ctx, "Retrieve", r, func(ctx context.Context) ([]sextant.Record, error) {
		v := c.view.Load()
		if err := c.strictRetrieve(ids, r); err != nil {
			return nil, err
		}
		if err := v.checkSelector(vs); err != nil {
			return nil, err
		}
		return v.retrieve(ctx, ids, p, vs, r)
	})
}

func (v *View) retrieve(ctx context.Context, ids []sextant.PointID, p sextant.PayloadSelector, vs sextant.VectorSelector, r Read) ([]sextant.Record, error) {
	shards, err := v.forRead(r)
	if err != nil {
		return nil, err
	}
	mine := map[topology.ShardID][]sextant.PointID{}
	if r.Shard == nil && len(r.Keys) == 0 && !v.custom() && len(shards) > 1 {
		group(ids, v.all, func(id sextant.PointID) sextant.PointID { return id }, func(s topology.ShardID, part []sextant.PointID) { mine[s] = part })
		shards = slices.DeleteFunc(slices.Clone(shards), func(s topology.ShardID) bool { return mine[s] == nil })
	} else {
		for _, s := range shards {
			mine[s] = ids
		}
	}
	if len(ids) == 0 || len(shards) == 0 {
		return nil, nil
	}
	answers, err := ask(ctx, v, shards, func(ctx context.Context, id topology.ShardID, shard Shard) ([]sextant.Record, error) {
		return shard.Retrieve(ctx, mine[id], p, vs)
	})
	if err != nil {
		return nil, err
	}
	found := make(map[sextant.PointID]sextant.Record, len(ids))
	for _, records := range answers {
		for _, record := range records {
			found[record.ID] = record
		}
	}
	out := make([]sextant.Record, 0, len(found))
	for _, id := range ids {
		if record, ok := found[id]; ok {
			out = append(out, record)
			delete(found, id)
		}
	}
	return out, nil
}

// Count counts the points that match a filter.
func (c *Collection) Count(ctx context.Context, f *sextant.Filter, exact bool, r Read) (uint64, error) {
	return within(ctx, "Count", r, func(ctx context.Context) (uint64, error) {
		v := c.view.Load()
		if err := c.strictCount(v, f, exact, r); err != nil {
			return 0, err
		}
		shards, err := v.forRead(r)
		if err != nil {
			return 0, err
		}
		counts, err := ask(ctx, v, shards, func(ctx context.Context, _ topology.ShardID, shard Shard) (uint64, error) {
			return shard.Count(ctx, f, exact)
		})
		var sum uint64
		for _, n := range counts {
			sum += n
		}
		return sum, err
	})
}
