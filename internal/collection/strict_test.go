package collection

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/topology"
)

func field(key string, test sextant.FieldTest) *sextant.Filter {
	return &sextant.Filter{Must: []sextant.Condition{sextant.Field{Key: sextant.MustPath(key), Test: test}}}
}

// Each row: a strict mode, a request, the text of the refusal ("" is none).
func TestStrictMode(t *testing.T) {
	vector := &sextant.VectorInput{Vector: &sextant.Vector{Values: []float32{1, 0}}}
	f := func(mode sextant.StrictModeConfig, run func(c *Collection) error, want string) {
		t.Helper()
		mode.Enabled = ptr(true)
		c, _ := made(1, &mode)
		v := *c.view.Load()
		v.Fields = map[string]sextant.FieldSpec{
			"city": {Type: sextant.KeywordField}, "n": {Type: sextant.IntegerField, Range: true}, "a[].b": {Type: sextant.KeywordField},
			"tenant": {Type: sextant.KeywordField, IsTenant: true}, "pre": {Type: sextant.KeywordField, Params: json.RawMessage(`{"type": "keyword", "prefix": true}`)},
		}
		if mode.SearchMaxBatchsize != nil {
			v.Config.HNSW.M = 0
		}
		c.Set(v)
		upsertQuietly(c)
		err := run(c)
		if got := ""; err != nil {
			if got = err.Error(); got != want || sextant.KindOf(err) != sextant.BadRequest {
				t.Errorf("got %v %q, want %q", sextant.KindOf(err), got, want)
			}
		} else if want != "" {
			t.Errorf("not refused; want %q", want)
		}
		off := v
		off.Config.StrictMode = &sextant.StrictModeConfig{}
		c.Set(off)
		if err := run(c); err != nil {
			t.Errorf("with strict mode off: %v", err)
		}
	}
	query := func(q sextant.Query, n int, timeout time.Duration) func(*Collection) error {
		q.Limit = max(q.Limit, 1)
		return func(c *Collection) error {
			qs := make([]sextant.Query, n)
			for i := range qs {
				qs[i] = q
			}
			_, err := c.Query(t.Context(), qs, nil, Read{Timeout: timeout})
			return err
		}
	}
	scroll := func(filter *sextant.Filter) func(*Collection) error {
		return func(c *Collection) error {
			_, err := c.Scroll(t.Context(), sextant.Scroll{Limit: 1, Filter: filter}, Read{})
			return err
		}
	}
	update := func(u sextant.Update) func(*Collection) error {
		return func(c *Collection) error {
			_, err := c.Update(t.Context(), u, Write{Default: time.Second})
			return err
		}
	}
	one, five := ptr(uint64(1)), ptr(uint64(5))
	no := ptr(false)
	f(sextant.StrictModeConfig{MaxQueryLimit: five}, query(sextant.Query{Nearest: vector, Limit: 6}, 1, 0),
		`Limit exceeded 6 > 5 for "limit". Help: Reduce the "limit" parameter to or below 5.`)
	f(sextant.StrictModeConfig{MaxQueryLimit: five}, query(sextant.Query{Nearest: vector, Limit: 5}, 1, 0), "")
	f(sextant.StrictModeConfig{MaxTimeout: one}, query(sextant.Query{Nearest: vector}, 1, 2*time.Second),
		`Limit exceeded 2 > 1 for "timeout". Help: Reduce the "timeout" parameter to or below 1.`)
	f(sextant.StrictModeConfig{SearchMaxHNSWEf: five}, query(sextant.Query{Nearest: vector, Params: sextant.SearchParams{EF: 6}}, 1, 0),
		`Limit exceeded 6 > 5 for "hnsw_ef". Help: Reduce the "hnsw_ef" parameter to or below 5.`)
	f(sextant.StrictModeConfig{SearchMaxOversampling: ptr(2.0)}, query(sextant.Query{Nearest: vector, Params: sextant.SearchParams{Oversampling: 2.5}}, 1, 0),
		`Limit exceeded 2.5 > 2 for "oversampling". Help: Reduce the "oversampling" parameter to or below 2.`)
	f(sextant.StrictModeConfig{SearchAllowExact: no}, query(sextant.Query{Nearest: vector, Params: sextant.SearchParams{Exact: true}}, 1, 0),
		"Exact search disabled!. Help: Set exact=false.")
	f(sextant.StrictModeConfig{SearchMaxBatchsize: one}, query(sextant.Query{Nearest: vector}, 2, 0),
		`Limit exceeded 2 > 1 for "search batch size". Help: Reduce the "search batch size" parameter to or below 1.`)
	noGraph := sextant.StrictModeConfig{SearchMaxBatchsize: five, SearchAllowExact: no} // made without graph, see above
	f(noGraph, query(sextant.Query{Nearest: vector}, 1, 0), "Request is forbidden because global vector indexing is disabled (hnsw_config.m = 0). "+
		"Help: Use tenant-specific filter, enable global vector indexing or enable strict mode `search_allow_exact` option")
	f(noGraph, query(sextant.Query{Nearest: vector, Filter: field("tenant", sextant.Match{Value: "x"})}, 1, 0),
		"Request is forbidden because vector indexing is disabled (hnsw_config.m = 0 and hnsw_config.payload_m = 0). "+
			"Help: Enable vector indexing, use a prefetch query with indexed vectors or enable strict mode `search_allow_exact` option")

	unindexed := sextant.StrictModeConfig{UnindexedFilteringRetrieve: no, UnindexedFilteringUpdate: no}
	needed := func(key, types string) string {
		return `Index required but not found for "` + key + `" of one of the following types: [` + types + `]. Help: Create an index for this key or use a different filter.`
	}
	f(unindexed, scroll(field("city", sextant.Match{Value: "x"})), "")
	f(unindexed, scroll(field("town", sextant.Match{Value: "x"})), needed("town", "keyword"))
	f(unindexed, scroll(field("town", sextant.Match{Value: "936da01f-9abd-4d9d-80c7-02af85c822a8"})), needed("town", "keyword, uuid"))
	f(unindexed, scroll(field("n", sextant.Match{Value: int64(1)})), needed("n", "integer"))
	f(unindexed, scroll(field("n", sextant.Range{})), "")
	f(unindexed, scroll(field("m", sextant.Range{})), needed("m", "float, integer"))
	f(unindexed, scroll(field("m", sextant.MatchAny{})), "")
	f(unindexed, scroll(field("city", sextant.MatchPrefix{})), needed("city", "keyword"))
	f(unindexed, scroll(field("pre", sextant.MatchPrefix{})), "")
	f(unindexed, scroll(field("city", sextant.ValuesCount{})), "")
	f(unindexed, scroll(field("town", sextant.FieldIsNull{})), needed("town", "bool, datetime, float, geo, integer, keyword, text, uuid"))
	nested := func(key string) *sextant.Filter {
		return &sextant.Filter{MustNot: []sextant.Condition{sextant.Nested{Key: sextant.MustPath("a[]"), Filter: field(key, sextant.Match{Value: "x"})}}}
	}
	f(unindexed, scroll(nested("b")), "")
	f(unindexed, scroll(nested("c")), needed("a[].c", "keyword"))
	f(unindexed, update(sextant.DeletePoints{Selector: sextant.Selector{Filter: field("town", sextant.Match{Value: true})}}), needed("town", "bool"))
	f(unindexed, update(sextant.Upsert{Points: []sextant.Point{point(1, 1, 1)}, Filter: field("town", sextant.Match{Value: true})}), "")

	f(sextant.StrictModeConfig{FilterMaxConditions: one}, scroll(&sextant.Filter{Must: []sextant.Condition{nested("b"), nested("c")}}),
		"Filter condition limit reached (2 > 1). Help: Reduce the amount of conditions of your filter.")
	f(sextant.StrictModeConfig{ConditionMaxSize: one}, scroll(field("x", sextant.MatchAny{Ints: []int64{1, 2}})),
		"Condition size limit reached (2 > 1). Help: Reduce the size of your condition.")
	f(sextant.StrictModeConfig{UpsertMaxBatchsize: one}, update(sextant.Upsert{Points: []sextant.Point{point(1, 1, 1), point(2, 1, 1)}}),
		`Limit exceeded 2 > 1 for "upsert limit". Help: Reduce the "upsert limit" parameter to or below 1.`)
	f(sextant.StrictModeConfig{UpsertMaxBatchsize: one}, update(sextant.UpdateVectors{Points: []sextant.Point{point(1, 1, 1), point(2, 1, 1)}}),
		`Limit exceeded 2 > 1 for "update limit". Help: Reduce the "update limit" parameter to or below 1.`)
	f(sextant.StrictModeConfig{MaxPointsCount: one}, update(sextant.Upsert{Points: []sextant.Point{point(1, 1, 1)}}), "Max points count limit of 1 reached!")
	f(sextant.StrictModeConfig{MaxCollectionVectorSize: ptr(uint64(3 << 19))}, update(sextant.Upsert{Points: []sextant.Point{point(1, 1, 1)}}), "")
	f(sextant.StrictModeConfig{MaxCollectionVectorSize: ptr(uint64(8))}, update(sextant.Upsert{Points: []sextant.Point{point(1, 1, 1)}}),
		"Max vector storage size limit of 0.00000762939453125MB reached!")
}

func upsertQuietly(c *Collection) {
	for _, s := range c.view.Load().Shards {
		s.(*fake).points[sextant.NumID(77)] = point(77, 1, 1)
	}
}

// Buckets begin full, refill at limit/60 per second, and refuse what they can never pay.
func TestRates(t *testing.T) {
	var l limits
	l.configure(&sextant.StrictModeConfig{Enabled: ptr(true), WriteRateLimit: ptr(uint64(60))})
	start := time.Now()
	take := func(after time.Duration, cost int) error {
		return l.take(true, start.Add(after), map[topology.ShardID]int{0: cost})
	}
	if err := take(0, 60); err != nil {
		t.Fatal(err)
	}
	err := take(0, 10)
	if err == nil || err.Error() != "Write rate limit exceeded: Operation requires 10 tokens but only 0.0 were available. Retry after 10s" ||
		err.(*sextant.Error).RetryAfter != 10*time.Second || sextant.KindOf(err) != sextant.RateLimited {
		t.Error(err)
	}
	if err := take(10*time.Second, 10); err != nil {
		t.Error(err)
	}
	if err := take(10*time.Second, 61); err == nil || err.(*sextant.Error).RetryAfter != 0 {
		t.Error(err)
	}
	if err := l.take(false, start, map[topology.ShardID]int{0: 1000}); err != nil {
		t.Error("reads have no limit here", err)
	}
}
