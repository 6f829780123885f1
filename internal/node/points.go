package node

import (
	"context"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/auth"
	"github.com/sextantdb/sextant/internal/collection"
	"github.com/sextantdb/sextant/internal/replica"
	"github.com/sextantdb/sextant/internal/topology"
)

func (n *Node) readTimeout() time.Duration {
	return time.Duration(n.settings.Storage.Performance.SearchTimeoutSec) * time.Second
}

func (n *Node) read(o ReadOptions) collection.Read {
	r := collection.Read{Timeout: o.Timeout, Default: n.readTimeout(), Keys: o.ShardKeys, Fallback: o.Fallback}
	if o.Shard != nil {
		id := topology.ShardID(*o.Shard)
		r.Shard = &id
	}
	return r
}

// options puts what replicas need to know of a read under its context.
func (n *Node) options(ctx context.Context, h *hosted, o ReadOptions) context.Context {
	if n.cluster == nil {
		return ctx
	}
	p := h.c.Config().Params
	r := replica.ReadOptions{Consistency: o.Consistency, Affinity: o.Affinity, Linearizable: o.Linearizable, FanOut: int(pick(p.ReadFanOutFactor, 0)),
		FanOutDelay: time.Duration(pick(p.ReadFanOutDelayMs, 0)) * time.Millisecond}
	return replica.WithReadOptions(ctx, r)
}

func (n *Node) write(o WriteOptions) collection.Write {
	w := collection.Write{Timeout: o.Timeout, Default: time.Duration(n.settings.Cluster.GRPCTimeoutMs) * time.Millisecond, Keys: o.ShardKey, Fallback: o.Fallback}
	if o.Wait {
		w.Wait = sextant.Applied
	}
	return w
}

// Update does one update.
func (n *Node) Update(ctx context.Context, a auth.Access, collection string, u sextant.Update, o WriteOptions) (sextant.Receipt, error) {
	_, h, err := n.allowed(a, collection, auth.WritePoints)
	if err != nil {
		return sextant.Receipt{}, err
	}
	return h.c.Update(ctx, u, n.write(o))
}

// UpdateBatch does updates in order; the first that fails ends it with its error.
func (n *Node) UpdateBatch(ctx context.Context, a auth.Access, collection string, us []sextant.Update, o WriteOptions) ([]sextant.Receipt, error) {
	_, h, err := n.allowed(a, collection, auth.WritePoints)
	if err != nil {
		return nil, err
	}
	return h.c.UpdateBatch(ctx, us, n.write(o))
}

// Query answers queries in order, all or an error.
func (n *Node) Query(ctx context.Context, a auth.Access, name string, qs []sextant.Query, o ReadOptions) ([][]sextant.ScoredPoint, error) {
	_, h, err := n.allowed(a, name, auth.Read)
	if err != nil {
		return nil, err
	}
	elsewhere := func(other string) (*collection.Collection, error) {
		if err := a.Collection(other, auth.Read); err != nil {
			return nil, err
		}
		_, h := n.find(other)
		if h == nil {
			return nil, sextant.Errorf(sextant.NotFound, "Collection %s not found", other)
		}
		return h.c, nil
	}
	return h.c.Query(n.options(ctx, h, o), qs, elsewhere, n.read(o))
}

// Scroll reads points in order and where the next page begins.
func (n *Node) Scroll(ctx context.Context, a auth.Access, collection string, s sextant.Scroll, o ReadOptions) ([]sextant.Record, *sextant.PointID, error) {
	_, h, err := n.allowed(a, collection, auth.Read)
	if err != nil {
		return nil, nil, err
	}
	page, err := h.c.Scroll(n.options(ctx, h, o), s, n.read(o))
	return page.Records, page.Next, err
}

// Retrieve reads points by id in the order asked, each once; missing ones are left out.
func (n *Node) Retrieve(ctx context.Context, a auth.Access, collection string, ids []sextant.PointID, p sextant.PayloadSelector, v sextant.VectorSelector, o ReadOptions) ([]sextant.Record, error) {
	_, h, err := n.allowed(a, collection, auth.Read)
	if err != nil {
		return nil, err
	}
	return h.c.Retrieve(n.options(ctx, h, o), ids, p, v, n.read(o))
}

// Count counts the points that match.
func (n *Node) Count(ctx context.Context, a auth.Access, collection string, f *sextant.Filter, exact bool, o ReadOptions) (uint64, error) {
	_, h, err := n.allowed(a, collection, auth.Read)
	if err != nil {
		return 0, err
	}
	return h.c.Count(n.options(ctx, h, o), f, exact, n.read(o))
}
