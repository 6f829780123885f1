package node

import (
	"context"
	"errors"
	"maps"
	"slices"
	"syscall"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/auth"
	"github.com/sextantdb/sextant/internal/topology"
)

// find returns the collection of a name or alias, or nil.
func (n *Node) find(name string) (*topology.Collection, *hosted) {
	_, c, err := n.machine.State().Collection(name)
	if err != nil {
		return nil, nil
	}
	h := (*n.hosted.Load())[c.UUID]
	if h == nil {
		return nil, nil
	}
	return c, h
}

func missing(name string) error {
	return sextant.Errorf(sextant.NotFound, "Collection `%s` doesn't exist!", name)
}

// allowed returns a collection after the caller's rights on the name that it used are checked.
func (n *Node) allowed(a auth.Access, name string, need auth.Need) (*topology.Collection, *hosted, error) {
	if err := a.Collection(name, need); err != nil {
		return nil, nil, err
	}
	c, h := n.find(name)
	if h == nil {
		return nil, nil, missing(name)
	}
	return c, h, nil
}

// CreateCollection makes a collection; timeout 0 is the default of 10 s.
func (n *Node) CreateCollection(ctx context.Context, a auth.Access, name string, c CreateCollection, timeout time.Duration) error {
	if err := errors.Join(checkCollectionName(name)); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return err
	}
	storage := n.settings.Storage
	if n.cluster != nil && pick(c.ShardingMethod, "") != "custom" {
		storage = n.cluster.defaults(storage)
	}
	settings := completed(c, storage)
	if err := checkVectors(settings.Params); err != nil {
		return err
	}
	if err := a.Collection(name, auth.Manage); err != nil {
		return err
	}
	return n.changing(ctx, "Create collection", timeout, func(ctx context.Context) error {
		_, err := n.create(ctx, name, settings, nil, nil)
		return err
	})
}

// maxShards bounds the shards of a collection: each takes files, memory and time, and a number that is typed wrong would take
// all of them.
const maxShards = 1024

// create adds a collection to the topology and opens its shards. One of a cluster that is made for an archive gets the shards of
// that. The caller holds the change token.
func (n *Node) create(ctx context.Context, name string, settings sextant.CollectionConfig, fields map[string]sextant.FieldSpec, archived []shardBody) (*hosted, error) {
	if got := settings.Params.ShardNumber; got > maxShards {
		return nil, sextant.Errorf(sextant.BadRequest, "Can't create collection with name %s. It would have %d shards, the limit is %d", name, got, maxShards)
	}
	made := topology.Collection{UUID: n.newUUID(), Config: settings, Fields: fields, Shards: map[topology.ShardID]*topology.Shard{}}
	if n.cluster != nil {
		n.cluster.distribute(&made, archived)
	} else if !made.Custom() {
		for shard := range topology.ShardID(settings.Params.ShardNumber) {
			one := topology.NewShard(n.newUUID(), []topology.PeerID{n.peer}, topology.Active)
			made.Shards[shard] = &one
		}
	}
	limit := pick(n.settings.Storage.MaxCollections, 0)
	err := n.propose(ctx, topology.Command{Create: &topology.CreateCollection{Name: name, Collection: made, Max: limit}})
	if err != nil {
		return nil, err
	}
	h := (*n.hosted.Load())[made.UUID]
	if n.cluster != nil {
		n.cluster.settled(ctx, made.UUID)
		n.cluster.spread(ctx)
	} else if err := h.broken(); err != nil {
		// It is agreed on but could not be made, for example on a full disk: as if it had never been.
		return nil, errors.Join(err, n.drop(context.WithoutCancel(ctx), name, made.UUID))
	}
	n.log.Info("collection created", "collection", name, "shards", len(made.Shards))
	return h, nil
}

// PatchCollection changes settings, all or none.
func (n *Node) PatchCollection(ctx context.Context, a auth.Access, name string, p PatchCollection, timeout time.Duration) error {
	if err := p.check(); err != nil {
		return err
	}
	if _, _, err := n.allowed(a, name, auth.Manage); err != nil {
		return err
	}
	return n.changing(ctx, "Update collection", timeout, func(ctx context.Context) error {
		_, err := n.amend(ctx, name, WriteOptions{}, func(c *topology.Collection) (err error) {
			c.Config, err = patched(c.Config, p)
			return err
		})
		return err
	})
}

// amend changes what a collection is, in the topology and then in its shards. The caller holds the change token.
func (n *Node) amend(ctx context.Context, name string, o WriteOptions, edit func(c *topology.Collection) error) (sextant.Receipt, error) {
	own, seen, err := n.machine.State().Collection(name)
	if err != nil {
		return sextant.Receipt{}, err
	}
	next := *seen
	if err := edit(&next); err != nil {
		return sextant.Receipt{}, err
	}
	if err := n.propose(ctx, topology.Command{Change: &topology.ChangeCollection{Name: own, Collection: next}}); err != nil {
		return sextant.Receipt{}, err
	}
	now, h := n.find(own)
	if h == nil {
		return sextant.Receipt{}, missing(name)
	}
	return n.align(ctx, h, now, n.write(o))
}

// DeleteCollection removes a collection and its aliases; false when there was none.
func (n *Node) DeleteCollection(ctx context.Context, a auth.Access, name string, timeout time.Duration) (bool, error) {
	if err := a.Collection(name, auth.Manage); err != nil {
		return false, err
	}
	existed := false
	err := n.changing(ctx, "Delete collection", timeout, func(ctx context.Context) error {
		c, ok := n.machine.State().Collections[name] // not through an alias
		if existed = ok; !ok {
			return nil
		}
		return n.drop(ctx, name, c.UUID)
	})
	return existed && err == nil, err
}

// drop removes a collection. It works on a full disk too: then the ballast makes room for the new image.
func (n *Node) drop(ctx context.Context, name, uuid string) error {
	command := topology.Command{Drop: &topology.DropCollection{Name: name, UUID: uuid}}
	err := n.propose(ctx, command)
	if errors.Is(err, syscall.ENOSPC) && n.space.release() {
		err = n.propose(ctx, command)
	}
	if err == nil {
		n.log.Info("collection deleted", "collection", name)
	}
	return err
}

// ListCollections returns the names that the caller may see, sorted.
func (n *Node) ListCollections(a auth.Access) []string {
	names := slices.Sorted(maps.Keys(n.machine.State().Collections))
	return slices.DeleteFunc(names, func(name string) bool { return !a.Sees(name) })
}

// CollectionExists resolves aliases.
func (n *Node) CollectionExists(a auth.Access, name string) (bool, error) {
	if err := a.Collection(name, auth.Read); err != nil {
		return false, err
	}
	_, h := n.find(name)
	return h != nil, nil
}

// CollectionInfo describes a collection.
func (n *Node) CollectionInfo(_ context.Context, a auth.Access, name string) (CollectionInfo, error) {
	_, h, err := n.allowed(a, name, auth.Read)
	if err != nil {
		return CollectionInfo{}, err
	}
	return h.c.Info(), nil
}

// UpdateAliases does all actions at once, or none.
func (n *Node) UpdateAliases(ctx context.Context, a auth.Access, actions []AliasAction, timeout time.Duration) error {
	if err := a.GlobalManage(); err != nil {
		return err
	}
	if len(actions) == 0 {
		return nil
	}
	return n.changing(ctx, "Update aliases", timeout, func(ctx context.Context) error {
		if err := n.propose(ctx, topology.Command{Aliases: actions}); err != nil {
			return err
		}
		if n.cluster != nil {
			n.cluster.spread(ctx)
		}
		return nil
	})
}

// Aliases lists the aliases of a collection, or all that the caller may see with "", by alias.
func (n *Node) Aliases(a auth.Access, collection string) ([]Alias, error) {
	state := n.machine.State()
	own := collection
	if collection != "" {
		if _, _, err := n.allowed(a, collection, auth.Read); err != nil {
			return nil, err
		}
		own = state.Resolve(collection)
	}
	out := []Alias{}
	for _, alias := range slices.Sorted(maps.Keys(state.Aliases)) {
		target := state.Aliases[alias]
		if own == target || own == "" && a.Sees(target) {
			out = append(out, Alias{Alias: alias, Collection: target})
		}
	}
	return out, nil
}
