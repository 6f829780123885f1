package collection

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/topology"
)

func ptr[T any](v T) *T { return &v }

// made is a collection of n fake shards with one unnamed vector of two dimensions.
func made(n int, strict *sextant.StrictModeConfig) (*Collection, []*fake) {
	config := sextant.DefaultConfig()
	config.Params.Vectors = sextant.VectorsConfig{Single: true, Map: map[string]sextant.VectorParams{"": {Size: 2, Distance: sextant.Dot}}}
	config.StrictMode = strict
	v := View{Config: config, Shards: map[topology.ShardID]Shard{}}
	var shards []*fake
	for i := range n {
		shards = append(shards, &fake{points: map[sextant.PointID]sextant.Point{}})
		v.Shards[topology.ShardID(i)] = shards[i]
	}
	return New("c", v), shards
}

func point(id uint64, x, y float32) sextant.Point {
	return sextant.Point{ID: sextant.NumID(id), Vectors: []sextant.NamedVector{{Vector: sextant.Vector{Values: []float32{x, y}}}}}
}

func upsert(t *testing.T, c *Collection, ids ...uint64) {
	t.Helper()
	var points []sextant.Point
	for _, id := range ids {
		points = append(points, point(id, float32(id), 1))
	}
	if _, err := c.Update(t.Context(), sextant.Upsert{Points: points}, Write{Default: time.Second}); err != nil {
		t.Fatal(err)
	}
}

func ids(records []sextant.Record) (out []uint64) {
	for _, r := range records {
		out = append(out, r.ID.Lo)
	}
	return out
}

// Whatever the number of shards, a client sees one collection.
func TestShardsAnswerAsOne(t *testing.T) {
	for n := 1; n <= 4; n++ {
		c, shards := made(n, nil)
		var all []uint64
		for id := range uint64(50) {
			all = append(all, id)
		}
		upsert(t, c, all...)
		for i, s := range shards {
			if len(s.points) < 50/n/3 {
				t.Errorf("%d shards: shard %d has %d points", n, i, len(s.points))
			}
		}
		var read []uint64
		for offset := (*sextant.PointID)(nil); ; {
			page, err := c.Scroll(t.Context(), sextant.Scroll{Limit: 7, Offset: offset}, Read{})
			if err != nil {
				t.Fatal(err)
			}
			read = append(read, ids(page.Records)...)
			if offset = page.Next; offset == nil {
				break
			}
		}
		if !slices.Equal(read, all) {
			t.Errorf("%d shards: scrolled %v", n, read)
		}
		vector := &sextant.VectorInput{Vector: &sextant.Vector{Values: []float32{1, 0}}}
		answers, err := c.Query(t.Context(), []sextant.Query{
			{Nearest: vector, Limit: 3, Offset: 2}, {Limit: 2, Offset: 9},
			{Nearest: &sextant.VectorInput{ID: ptr(sextant.NumID(49))}, Limit: 2},
		}, nil, Read{})
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(scored(answers[0]), scored(answers[1]), scored(answers[2])); got != "[47 46 45] [9 10] [48 47]" {
			t.Errorf("%d shards: queries found %s", n, got)
		}
		if p := answers[1][0]; p.Score != 1 || p.Version != 0 {
			t.Errorf("without a query: score %v, version %d", p.Score, p.Version)
		}
		records, err := c.Retrieve(t.Context(), []sextant.PointID{sextant.NumID(30), sextant.NumID(99), sextant.NumID(2), sextant.NumID(30)},
			sextant.PayloadSelector{}, sextant.VectorSelector{}, Read{})
		if err != nil || !slices.Equal(ids(records), []uint64{30, 2}) {
			t.Errorf("%d shards: retrieved %v, %v", n, ids(records), err)
		}
		filter := &sextant.Filter{MustNot: []sextant.Condition{sextant.HasID{IDs: []sextant.PointID{sextant.NumID(1)}}}}
		if _, err := c.Update(t.Context(), sextant.DeletePoints{Selector: sextant.Selector{Filter: filter}}, Write{Default: time.Second}); err != nil {
			t.Fatal(err)
		}
		if count, err := c.Count(t.Context(), nil, true, Read{}); err != nil || count != 1 {
			t.Errorf("%d shards: %d left, %v", n, count, err)
		}
	}
}

func scored(points []sextant.ScoredPoint) (out []uint64) {
	for _, p := range points {
		out = append(out, p.ID.Lo)
	}
	return out
}

// If only some shards fail the error says so; if all fail it is the first one's own.
func TestPartialFailure(t *testing.T) {
	c, _ := made(2, nil)
	upsert(t, c, 0, 1, 2, 3, 4, 5, 6, 7)
	update := func(ids ...uint64) error {
		var list []sextant.PointID
		for _, id := range ids {
			list = append(list, sextant.NumID(id))
		}
		_, err := c.Update(t.Context(), sextant.SetPayload{Selector: sextant.Selector{IDs: list}}, Write{Wait: sextant.Applied, Default: time.Second})
		return err
	}
	v := c.view.Load()
	other := uint64(0)
	for v.all.Owner(sextant.NumID(other)) == v.all.Owner(sextant.NumID(100)) {
		other++
	}
	err := update(100, other)
	if sextant.KindOf(err) != sextant.NotFound || err.Error() != "1 out of 2 shards failed to apply operation. First error captured: No point with id 100 found" {
		t.Error(err)
	}
	if err := update(100); err == nil || err.Error() != "No point with id 100 found" {
		t.Error(err)
	}
}

// A bad point anywhere leaves every shard alone.
func TestRefusedUpdatesTouchNothing(t *testing.T) {
	c, shards := made(3, nil)
	f := func(u sextant.Update, kind sextant.Kind, text string) {
		t.Helper()
		_, err := c.Update(t.Context(), u, Write{Default: time.Second})
		if err == nil || sextant.KindOf(err) != kind || err.Error() != text {
			t.Errorf("got %v, want %q", err, text)
		}
		for _, s := range shards {
			if len(s.calls) > 0 {
				t.Error("a shard was asked")
			}
		}
	}
	with := func(name string, v sextant.Vector) sextant.Update {
		bad := sextant.Point{ID: sextant.NumID(9), Vectors: []sextant.NamedVector{{Name: name, Vector: v}}}
		return sextant.Upsert{Points: []sextant.Point{point(1, 1, 1), point(2, 1, 1), bad}}
	}
	f(sextant.Upsert{}, sextant.BadRequest, "Empty update request")
	f(with("", sextant.Vector{Values: make([]float32, 3)}), sextant.WrongInput, "Vector dimension error: expected dim: 2, got 3")
	f(with("x", sextant.Vector{Values: make([]float32, 2)}), sextant.WrongInput, "Not existing vector name error: x")
	f(with("", sextant.Vector{Kind: sextant.Sparse}), sextant.WrongInput, "Conversion between sparse and regular vectors failed")
	f(with("", sextant.Vector{Kind: sextant.Multi, Rows: 1, Values: make([]float32, 2)}), sextant.WrongInput, "Conversion between multi and regular vectors failed")
	f(sextant.DeleteVectors{Names: []string{"y"}}, sextant.WrongInput, "Not existing vector name error: y")
}

func TestReadErrors(t *testing.T) {
	c, shards := made(2, nil)
	upsert(t, c, 1)
	q := func(q sextant.Query, r Read, kind sextant.Kind, text string) {
		t.Helper()
		q.Limit = 1
		_, err := c.Query(t.Context(), []sextant.Query{q}, func(name string) (*Collection, error) {
			return nil, sextant.Errorf(sextant.NotFound, "Collection %s not found", name)
		}, r)
		if err == nil || sextant.KindOf(err) != kind || err.Error() != text {
			t.Errorf("got %v, want %q", err, text)
		}
	}
	vector := &sextant.VectorInput{Vector: &sextant.Vector{Values: []float32{1, 0}}}
	q(sextant.Query{Nearest: &sextant.VectorInput{ID: ptr(sextant.NumID(7))}}, Read{}, sextant.NotFound, "No point with id 7 found")
	q(sextant.Query{Nearest: vector, Using: "x"}, Read{}, sextant.WrongInput, "Not existing vector name error: x")
	q(sextant.Query{Nearest: vector, LookupFrom: &sextant.LookupFrom{Collection: "other"}}, Read{}, sextant.NotFound, "Collection other not found")
	q(sextant.Query{ScoreThreshold: ptr(float32(1))}, Read{}, sextant.BadRequest,
		"A query is needed to use the score_threshold. Can't have score_threshold without defining a query.")
	q(sextant.Query{Nearest: vector}, Read{Keys: []topology.ShardKey{{Word: "k"}}}, sextant.BadRequest, `Shard key "k" not found`)
	q(sextant.Query{Nearest: vector}, Read{Shard: ptr(topology.ShardID(9))}, sextant.NotFound, "shard 9 not found")
	for _, s := range shards {
		s.slow = make(chan struct{})
	}
	q(sextant.Query{Nearest: vector}, Read{Timeout: time.Millisecond}, sextant.Timeout, "Timeout error: Operation 'Search' timed out after 0.001s")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Scroll(ctx, sextant.Scroll{Limit: 1}, Read{}); err == nil || sextant.KindOf(err) == sextant.Timeout {
		t.Errorf("a caller that went away: %v", err)
	}
	for _, s := range []sextant.Scroll{{OrderBy: &sextant.OrderBy{Key: sextant.MustPath("k")}}, {OrderBy: &sextant.OrderBy{}, Offset: ptr(sextant.NumID(1))}} {
		if _, err := c.Scroll(t.Context(), s, Read{}); sextant.KindOf(err) != sextant.WrongInput {
			t.Error(err)
		}
	}
}

// A write that must not wait at all is logged and told so.
func TestZeroTimeoutIsWaitTimeout(t *testing.T) {
	c, _ := made(2, nil)
	r, err := c.Update(t.Context(), sextant.DeletePoints{Selector: sextant.Selector{IDs: []sextant.PointID{}}},
		Write{Wait: sextant.Applied, Timeout: ptr(time.Duration(0)), Default: time.Second})
	if err != nil || r.Status != sextant.WaitTimeout || r.Seq == 0 {
		t.Errorf("%+v %v", r, err)
	}
}

// What is logged but not applied in time is an error only for a client that named no time; and it says on how many shards.
func TestLateUpdates(t *testing.T) {
	c, shards := made(2, nil)
	all := sextant.DeletePoints{Selector: sextant.Selector{Filter: &sextant.Filter{}}}
	shards[0].late = true
	r, err := c.Update(t.Context(), all, Write{Wait: sextant.Applied, Timeout: ptr(time.Second), Default: time.Second})
	if err != nil || r.Status != sextant.WaitTimeout {
		t.Errorf("%+v %v", r, err)
	}
	late := func(want string) {
		t.Helper()
		_, err := c.Update(t.Context(), all, Write{Wait: sextant.Applied, Default: time.Second})
		if sextant.KindOf(err) != sextant.Timeout || !regexp.MustCompile("^Timeout error: Update operation timed out in \\d\\.\\d\\d seconds on "+want+"$").MatchString(err.Error()) {
			t.Error(err)
		}
	}
	late("1 out of 2 shards\\.")
	shards[1].fail = sextant.Errorf(sextant.Timeout, "it is not known")
	late("2 out of 2 shards\\. First error captured: 1 out of 2 .* it is not known")
	shards[1].fail = sextant.Errorf(sextant.Internal, "no disk") // the worse news
	if _, err := c.Update(t.Context(), all, Write{Wait: sextant.Applied, Default: time.Second}); sextant.KindOf(err) != sextant.Internal {
		t.Error(err)
	}
}

// Where all shards fail, what one of them does not know is told, not that another has done nothing.
func TestUnknownOutcomeIsTold(t *testing.T) {
	no, open := sextant.Errorf(sextant.Timeout, "it was not done"), sextant.Errorf(sextant.Timeout, "who knows: %w", sextant.ErrUnknown)
	quorum := sextant.Errorf(sextant.Internal, "no quorum to remove peer 2")
	for _, failures := range [][]error{{no, open, no}, {quorum, no, open}, {no, no, open}} {
		if _, err := combine(make([]sextant.Receipt, 3), failures); err != open {
			t.Error(err)
		}
	}
	if _, err := combine(make([]sextant.Receipt, 2), []error{no, quorum}); err != quorum {
		t.Error(err)
	}
}
