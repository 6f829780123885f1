package node

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/auth"
	"github.com/sextantdb/sextant/internal/collection"
	"github.com/sextantdb/sextant/internal/topology"
)

// CreateIndex makes a payload index, or replaces one of another kind.
func (n *Node) CreateIndex(ctx context.Context, a auth.Access, collection string, key sextant.Path, spec sextant.FieldSpec, o WriteOptions) (sextant.Receipt, error) {
	_, h, err := n.allowed(a, collection, auth.WriteExtra)
	if err != nil {
		return sextant.Receipt{}, err
	}
	if err := h.c.CheckNewIndex(key); err != nil {
		return sextant.Receipt{}, err
	}
	return n.reshape(ctx, "Create payload index", collection, key.String(), o, func(c *topology.Collection) (bool, error) {
		was, ok := c.Fields[key.String()]
		if ok && was.Equal(spec) {
			return false, nil
		}
		c.Fields = maps.Clone(c.Fields)
		if c.Fields == nil {
			c.Fields = map[string]sextant.FieldSpec{}
		}
		c.Fields[key.String()] = spec
		return true, nil
	})
}

// DropIndex removes a payload index; a missing one is no error.
func (n *Node) DropIndex(ctx context.Context, a auth.Access, collection string, key sextant.Path, o WriteOptions) (sextant.Receipt, error) {
	if _, _, err := n.allowed(a, collection, auth.WriteExtra); err != nil {
		return sextant.Receipt{}, err
	}
	return n.reshape(ctx, "Delete payload index", collection, "", o, func(c *topology.Collection) (bool, error) {
		if _, ok := c.Fields[key.String()]; !ok {
			return false, nil
		}
		c.Fields = maps.Clone(c.Fields)
		delete(c.Fields, key.String())
		return true, nil
	})
}

// CreateVector adds a vector name; existing points lack it.
func (n *Node) CreateVector(ctx context.Context, a auth.Access, collection, name string, v VectorSchema, o WriteOptions) (sextant.Receipt, error) {
	if _, _, err := n.allowed(a, collection, auth.WriteExtra); err != nil {
		return sextant.Receipt{}, err
	}
	if why := vectorNameProblem(name); why != "" {
		var p problems
		p.add("vector_name", why)
		return sextant.Receipt{}, p.err("path parameters")
	}
	return n.reshape(ctx, "Create vector name", collection, "", o, func(c *topology.Collection) (bool, error) {
		if v.Sparse != nil {
			return addSparse(c, name, *v.Sparse)
		}
		return addDense(c, name, *v.Dense)
	})
}

func addDense(c *topology.Collection, name string, v sextant.VectorParams) (bool, error) {
	var p problems
	between(&p, "dense.size", &v.Size, 1, 65536)
	if err := p.err("JSON body"); err != nil {
		return false, err
	}
	if _, ok := c.Config.Params.SparseVectors[name]; ok {
		return false, sextant.Errorf(sextant.WrongInput, "Vector `%s` already exists as a sparse vector", name)
	}
	if was, ok := c.Config.Params.Vectors.Map[name]; ok {
		if !sameVector(was, v) {
			return false, sextant.Errorf(sextant.WrongInput, "Vector `%s` already exists with a different configuration", name)
		}
		return false, nil
	}
	vectors := maps.Clone(c.Config.Params.Vectors.Map)
	if vectors == nil {
		vectors = map[string]sextant.VectorParams{}
	}
	vectors[name] = v
	c.Config.Params.Vectors = sextant.VectorsConfig{Map: vectors}
	return true, checkVectors(c.Config.Params)
}

// sameVector compares what cannot be changed later.
func sameVector(a, b sextant.VectorParams) bool {
	return a.Size == b.Size && a.Distance == b.Distance && pick(a.Datatype, sextant.Float32) == pick(b.Datatype, sextant.Float32) &&
		pick(a.Multivector, sextant.MultivectorConfig{}) == pick(b.Multivector, sextant.MultivectorConfig{})
}

func addSparse(c *topology.Collection, name string, v sextant.SparseParams) (bool, error) {
	if _, ok := c.Config.Params.Vectors.Map[name]; ok {
		return false, sextant.Errorf(sextant.WrongInput, "Vector `%s` already exists with a different configuration", name)
	}
	if was, ok := c.Config.Params.SparseVectors[name]; ok {
		datatype := func(p sextant.SparseParams) sextant.Datatype {
			return pick(pick(p.Index, sextant.SparseIndexParams{}).Datatype, sextant.Float32)
		}
		if pick(was.Modifier, "none") != pick(v.Modifier, "none") || datatype(was) != datatype(v) {
			return false, sextant.Errorf(sextant.WrongInput, "Sparse vector `%s` already exists with a different configuration", name)
		}
		return false, nil
	}
	all := maps.Clone(c.Config.Params.SparseVectors)
	if all == nil {
		all = map[string]sextant.SparseParams{}
	}
	all[name] = v
	c.Config.Params.SparseVectors = all
	return true, checkVectors(c.Config.Params)
}

// DropVector removes a vector name everywhere; a missing one is no error.
func (n *Node) DropVector(ctx context.Context, a auth.Access, collection, name string, o WriteOptions) (sextant.Receipt, error) {
	if _, _, err := n.allowed(a, collection, auth.WriteExtra); err != nil {
		return sextant.Receipt{}, err
	}
	return n.reshape(ctx, "Delete vector name", collection, "", o, func(c *topology.Collection) (bool, error) {
		_, dense := c.Config.Params.Vectors.Map[name]
		_, sparse := c.Config.Params.SparseVectors[name]
		switch {
		case dense:
			vectors := maps.Clone(c.Config.Params.Vectors.Map)
			delete(vectors, name)
			c.Config.Params.Vectors = sextant.VectorsConfig{Map: vectors}
		case sparse:
			c.Config.Params.SparseVectors = maps.Clone(c.Config.Params.SparseVectors)
			delete(c.Config.Params.SparseVectors, name)
		}
		return dense || sparse, nil
	})
}

// reshape edits the schema of a collection, first in the topology, then in every shard that does not have it yet. edit
// says whether it changed anything; if not the shards are looked at all the same, since a former attempt may have
// reached only some of them. Other changes need not wait for what the caller waits for.
func (n *Node) reshape(ctx context.Context, what, name, field string, o WriteOptions, edit func(c *topology.Collection) (bool, error)) (sextant.Receipt, error) {
	var receipt sextant.Receipt
	var h *hosted
	limit := pick(o.Timeout, n.write(o).Default)
	start := time.Now()
	err := n.changing(ctx, what, max(limit, time.Second), func(ctx context.Context) error {
		_, seen, err := n.machine.State().Collection(name)
		if err != nil {
			return err
		}
		probe := *seen
		changed, err := edit(&probe)
		if err != nil {
			return err
		}
		if changed {
			receipt, err = n.amend(ctx, name, o, func(c *topology.Collection) error { *c = probe; return nil })
		}
		now, found := n.find(name)
		if h = found; err == nil && !changed && h != nil {
			receipt, err = n.align(ctx, h, now, n.write(o))
		}
		return err
	})
	if err != nil || !o.Wait || h == nil {
		return receipt, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit-time.Since(start))
	defer cancel()
	return n.settle(ctx, h, field, receipt)
}

// settle waits until every shard has applied what was logged, and has built the index of a field, if one is named.
func (n *Node) settle(ctx context.Context, h *hosted, field string, receipt sextant.Receipt) (sextant.Receipt, error) {
	nothing := map[topology.ShardID]sextant.Update{}
	if n.cluster != nil {
		for _, id := range h.c.Shards() {
			nothing[id] = sextant.DeletePoints{Selector: sextant.Selector{IDs: []sextant.PointID{}}}
		}
	}
	for id, s := range h.slots() {
		if _, isStub := s.current().(*stub); !isStub {
			nothing[id] = sextant.DeletePoints{Selector: sextant.Selector{IDs: []sextant.PointID{}}}
		}
	}
	receipt.Status = sextant.Completed
	if len(nothing) == 0 {
		return receipt, nil
	}
	_, err := h.c.Each(ctx, nothing, collection.Write{Wait: sextant.Applied, Default: collection.DefaultWriteTimeout})
	for _, s := range h.slots() {
		if err == nil && field != "" {
			err = s.current().AwaitField(ctx, field)
		}
	}
	if err != nil && ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		receipt.Status, err = sextant.WaitTimeout, nil
	}
	return receipt, err
}
