// Package collection routes points to the shards of one collection, merges what the shards answer, and keeps strict mode.
//
// Shapes: a Collection sees a View, an immutable picture of its settings and shards, which the node replaces when
// either changes. Requests are values of the vocabulary.
// Errors: everything that the settings can refuse is refused here, before any shard is touched; if some shards of a
// write fail and others do not, the error says how many.
// Concurrency: any number of goroutines; Set may be called beside requests, which keep the View they began with.
// Sources: the public API of the Qdrant 1.19 protocol family.
package collection

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/topology"
)

// Shard is what a collection needs of one of its shards.
type Shard interface {
	// Update logs and applies one update. When ctx ends after it was logged the receipt says WaitTimeout.
	Update(ctx context.Context, u sextant.Update, wait sextant.Wait) (sextant.Receipt, error)
	// Query answers a query whose Nearest is a vector, best first.
	Query(ctx context.Context, q sextant.Query) ([]sextant.ScoredPoint, error)
	Scroll(ctx context.Context, s sextant.Scroll) ([]sextant.Record, *sextant.PointID, error)
	Retrieve(ctx context.Context, ids []sextant.PointID, p sextant.PayloadSelector, v sextant.VectorSelector) ([]sextant.Record, error)
	Count(ctx context.Context, f *sextant.Filter, exact bool) (uint64, error)
	Info() ShardInfo
	Optimizations() Optimizations
	Memory() Memory
}

// View is a collection at one moment. It is not changed after it was given to a Collection.
type View struct {
	Config sextant.CollectionConfig
	Fields map[string]sextant.FieldSpec
	Shards map[topology.ShardID]Shard
	Keys   map[topology.ShardID]topology.ShardKey // with custom sharding
	// Standing tells what the replicas of a shard are good for now. nil: all is well with them, always.
	Standing func(topology.ShardID) Standing
	// Gate holds up writes for a key that have a fallback while points change hands between both, and returns what ends the
	// passage of one that may go. nil: they never do.
	Gate func(ctx context.Context, key topology.ShardKey) (done func(), err error)
	// Resident tells the share of the machine's memory that this process takes, in percent; -1: unknown. nil: never asked.
	Resident func() int
	// Searches bounds the searches that run at the same time: each takes a place while it runs. nil: no bound.
	Searches chan struct{}

	schema sextant.Schema
	all    topology.Ring
	rings  map[topology.ShardKey]topology.Ring
}

// Collection answers requests to one collection.
type Collection struct {
	name   string
	view   atomic.Pointer[View]
	limits limits
}

// New makes a collection. name is its own name, never an alias.
func New(name string, v View) *Collection {
	c := &Collection{name: name}
	c.Set(v)
	return c
}

// Set replaces the picture that later requests see.
func (c *Collection) Set(v View) {
	v.schema = v.Config.Schema()
	v.schema.Fields = v.Fields
	v.all = topology.NewRing(slices.Collect(maps.Keys(v.Shards)))
	groups := map[topology.ShardKey][]topology.ShardID{}
	for shard, key := range v.Keys {
		groups[key] = append(groups[key], shard)
	}
	v.rings = map[topology.ShardKey]topology.Ring{}
	for key, shards := range groups {
		v.rings[key] = topology.NewRing(shards)
	}
	c.limits.configure(v.Config.StrictMode)
	c.view.Store(&v)
}

// Name returns the collection's own name.
func (c *Collection) Name() string { return c.name }

// Shards returns the numbers of the shards, ascending.
func (c *Collection) Shards() []topology.ShardID { return c.view.Load().all.Shards() }

// Config returns the present settings.
func (c *Collection) Config() sextant.CollectionConfig { return c.view.Load().Config }

// Read says how a read is done.
type Read struct {
	Timeout  time.Duration // that the request asked for; 0: none
	Default  time.Duration // used when it asked for none
	Keys     []topology.ShardKey
	Fallback *topology.ShardKey // in place of the one key, if that one cannot be read
	Shard    *topology.ShardID  // only this one
	Internal bool               // not limited by strict mode
}

// Write says how an update is done.
type Write struct {
	Wait    sextant.Wait
	Timeout *time.Duration // nil: Default
	Default time.Duration
	Keys    []topology.ShardKey
	// Fallback stands in for the one key if that one does not exist or has nobody active.
	Fallback *topology.ShardKey
}

// custom reports whether users choose shards by key.
func (v *View) custom() bool {
	return v.Config.Params.ShardingMethod != nil && *v.Config.Params.ShardingMethod == "custom"
}

// within runs f with the read's deadline and turns its passing into the error that users see.
func within[T any](ctx context.Context, what string, r Read, f func(ctx context.Context) (T, error)) (T, error) {
	limit := r.Timeout
	if limit == 0 {
		limit = r.Default
	}
	inner := ctx
	if limit > 0 {
		var cancel context.CancelFunc
		inner, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	out, err := f(inner)
	if err != nil && errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = sextant.Errorf(sextant.Timeout, "Timeout error: Operation '%s' timed out after %s", what, seconds(limit))
	}
	return out, err
}

// seconds prints a duration as users gave it: 1s, 0.5s.
func seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
}
