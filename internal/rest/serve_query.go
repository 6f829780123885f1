package rest

import (
	"github.com/sextantdb/sextant"
)

func (r search) keys() choice { return r.shardKey }

func (c *call) runQuery() error { return c.one((*scanner).queryRequest, `{"points":`, "}") }

func (c *call) runSearch() error { return c.one((*scanner).legacySearch, "", "") }

// one answers a single read by score, its points between before and after.
func (c *call) one(f func(*scanner) search, before, after string) error {
	r, o, err := read(c, f, search.keys)
	if err != nil {
		return err
	}
	lists, err := c.h.node.Query(c.r.Context(), c.access, c.param(0), []sextant.Query{r.query}, o)
	if err != nil {
		return err
	}
	return c.result(func(o *output) {
		o.b = append(o.b, before...)
		o.scored(lists[0])
		o.b = append(o.b, after...)
	})
}

func (c *call) runQueryBatch() error {
	return c.many(func(s *scanner) []search { return s.searchBatch(s.queryRequest) }, `{"points":`, "}")
}

func (c *call) runSearchBatch() error {
	return c.many(func(s *scanner) []search { return s.searchBatch(s.legacySearch) }, "", "")
}

// many answers a list of reads. Runs with the same shard keys go down together.
func (c *call) many(f func(*scanner) []search, before, after string) error {
	searches, o, err := read(c, f, func([]search) choice { return choice{} })
	if err != nil {
		return err
	}
	var lists [][]sextant.ScoredPoint
	for first := true; first || len(searches) > 0; first = false {
		var run []sextant.Query
		o.ShardKeys, o.Fallback = nil, nil
		for i, r := range searches {
			if i == 0 {
				o.ShardKeys, o.Fallback = r.shardKey.keys, r.shardKey.fallback
			} else if !r.shardKey.equal(searches[0].shardKey) {
				break
			}
			run = append(run, r.query)
		}
		// An empty batch goes down as well: the collection must exist, whatever is asked of it.
		got, err := c.h.node.Query(c.r.Context(), c.access, c.param(0), run, o)
		if err != nil {
			return err
		}
		lists = append(lists, got...)
		searches = searches[len(run):]
	}
	return c.result(func(o *output) {
		o.b = append(o.b, '[')
		for i, list := range lists {
			if i > 0 {
				o.b = append(o.b, ',')
			}
			o.b = append(o.b, before...)
			o.scored(list)
			o.b = append(o.b, after...)
		}
		o.b = append(o.b, ']')
	})
}
