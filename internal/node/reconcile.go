package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/collection"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/vfs"
)

// hosted is a collection as this node has it.
type hosted struct {
	uuid string
	c    *collection.Collection
	seen *topology.Collection                       // of a cluster: what the last pass saw
	held atomic.Pointer[map[topology.ShardID]*slot] // replaced whole
	took time.Duration                              // to open

	created           atomic.Uint64 // snapshots made
	creating, loading atomic.Int64
}

// reconcile makes what this node hosts match the topology. What cannot be done is told by the slot that it concerns. The
// caller holds the change token (or is alone).
func (n *Node) reconcile(ctx context.Context) {
	want := map[string]*topology.Collection{}
	names := map[string]string{}
	for name, c := range n.machine.State().Collections {
		want[c.UUID], names[c.UUID] = c, name
	}
	have := maps.Clone(*n.hosted.Load())
	for uuid, h := range have {
		if want[uuid] == nil {
			delete(have, uuid)
			n.retire(h)
		}
	}
	fresh := make(chan *hosted, len(want))
	var all errgroup.Group
	all.SetLimit(max(2, runtime.GOMAXPROCS(0)))
	for uuid, c := range want {
		if have[uuid] == nil {
			all.Go(func() error {
				fresh <- n.host(ctx, names[uuid], c)
				return nil
			})
		}
	}
	_ = all.Wait() // nobody fails
	close(fresh)
	for h := range fresh {
		have[h.uuid] = h
	}
	n.hosted.Store(&have)
}

// loadsAtOnce is how many shards of one collection are opened or made at the same time: that is mostly waiting for disks.
const loadsAtOnce = 8

// host opens the shards of a collection, and makes those that are missing.
func (n *Node) host(ctx context.Context, name string, c *topology.Collection) *hosted {
	start := time.Now()
	h := &hosted{uuid: c.UUID}
	slots := map[topology.ShardID]*slot{}
	h.held.Store(&slots)
	settings := effective(c.Config, n.settings.Storage.OptimizersOverwrite)
	var loading errgroup.Group
	loading.SetLimit(loadsAtOnce)
	for _, id := range c.ShardIDs() {
		s := &slot{id: id, uuid: c.Shards[id].UUID, dir: path.Join(n.dir, collectionsDir, c.UUID, fmt.Sprint(id))}
		slots[id] = s
		loading.Go(func() error {
			n.load(s, c, settings)
			return nil
		})
	}
	_ = loading.Wait() // nobody fails
	for id, s := range h.slots() {
		if broken, _ := s.state(); broken != nil {
			level := n.log.Error
			if n.settings.Storage.HandleCollectionLoadErrors {
				level = n.log.Warn
			}
			level("a shard cannot be loaded and answers errors", "collection", name, "shard", id, "err", broken)
		}
	}
	h.c = collection.New(name, n.view(h, c))
	h.took = time.Since(start)
	if _, err := n.align(ctx, h, c, collection.Write{Default: collection.DefaultWriteTimeout}); err != nil {
		n.log.Warn("payload indexes and vector names do not match the collection yet", "collection", name, "err", err)
	}
	return h
}

// slots are the shards that this node has.
func (h *hosted) slots() map[topology.ShardID]*slot { return *h.held.Load() }

// broken returns why a shard of the collection cannot be served, if there is one.
func (h *hosted) broken() (err error) {
	for _, s := range h.slots() {
		why, _ := s.state()
		err = errors.Join(err, why)
	}
	return err
}

// load puts a shard into its slot: what its directory holds, a new one if that is empty, or a stub that tells what is
// wrong.
func (n *Node) load(s *slot, c *topology.Collection, settings sextant.CollectionConfig) {
	if text := n.Recovery(); text != "" {
		s.put(recovering(text), nil)
		return
	}
	var now shard
	var err error
	if n.unmade(s.dir) {
		now, err = n.engines.create(s.dir, s.uuid, c.Schema(), settings)
	} else {
		now, err = n.engines.open(s.dir, settings)
	}
	if err != nil {
		now = quarantined(err)
	}
	s.put(now, err)
}

// unmade reports whether a directory has never held a finished shard: it is missing, empty, or was left while the shard
// was made. Any other directory without a shard has lost one.
func (n *Node) unmade(dir string) bool {
	files, err := n.fs.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	has := func(name string) bool {
		return slices.ContainsFunc(files, func(f vfs.Info) bool { return f.Name == name })
	}
	return err == nil && (len(files) == 0 || has(newMark) && !has(currentMark))
}

// view is the picture of a collection that requests see.
func (n *Node) view(h *hosted, c *topology.Collection) collection.View {
	if n.cluster != nil {
		return n.cluster.view(h, c)
	}
	v := collection.View{Config: c.Config, Fields: c.Fields, Shards: map[topology.ShardID]collection.Shard{},
		Keys: map[topology.ShardID]topology.ShardKey{}, Resident: n.space.residentPercent, Searches: n.searches}
	for id, s := range h.slots() {
		v.Shards[id] = s.current()
		if key := c.Shards[id].Key; key != nil {
			v.Keys[id] = *key
		}
	}
	return v
}

// show gives requests the present picture of a collection.
func (n *Node) show(h *hosted) {
	if _, c, err := n.machine.State().Collection(h.c.Name()); err == nil && c.UUID == h.uuid {
		h.c.Set(n.view(h, c))
	}
}

// align gives every shard the settings, vector names and payload indexes of the topology. What the topology lost is
// dropped, what a shard lacks is made; all of it in the log of the shard. It returns when that is durable; indexes are
// built later (settle).
func (n *Node) align(ctx context.Context, h *hosted, c *topology.Collection, w collection.Write) (sextant.Receipt, error) {
	if n.cluster != nil {
		return n.cluster.alignAll(ctx, h, w)
	}
	settings := effective(c.Config, n.settings.Storage.OptimizersOverwrite)
	var out sextant.Receipt
	var failed error
	steps := map[string]map[topology.ShardID]sextant.Update{}
	for id, s := range h.slots() {
		sh := s.current()
		if _, isStub := sh.(*stub); isStub {
			continue
		}
		if err := sh.Configure(settings); err != nil {
			failed = errors.Join(failed, err)
		}
		for key, u := range difference(sh.Schema(), c.Schema()) {
			if steps[key] == nil {
				steps[key] = map[topology.ShardID]sextant.Update{}
			}
			steps[key][id] = u
		}
	}
	n.show(h)
	for _, key := range slices.Sorted(maps.Keys(steps)) {
		receipt, err := h.c.Each(ctx, steps[key], collection.Write{Default: w.Default})
		if err != nil {
			return out, err
		}
		out.Seq, out.Status = max(out.Seq, receipt.Seq), max(out.Status, receipt.Status)
	}
	return out, failed
}

// difference returns the updates that turn one schema into another, under keys that sort into the order of doing.
func difference(have, want sextant.Schema) map[string]sextant.Update {
	steps := map[string]sextant.Update{}
	for name := range have.Vectors {
		if _, ok := want.Vectors[name]; !ok {
			steps["1 "+name] = sextant.DropVector{Name: name}
		}
	}
	for name, spec := range want.Vectors {
		was, ok := have.Vectors[name]
		if ok && was == spec {
			continue
		}
		if ok {
			steps["1 "+name] = sextant.DropVector{Name: name}
		}
		steps["2 "+name] = sextant.CreateVector{Name: name, Spec: spec}
	}
	for key := range have.Fields {
		if _, ok := want.Fields[key]; !ok {
			steps["3 "+key] = sextant.DropField{Key: sextant.MustPath(key)}
		}
	}
	for key, spec := range want.Fields {
		if was, ok := have.Fields[key]; !ok || !was.Equal(spec) {
			steps["4 "+key] = sextant.CreateField{Key: sextant.MustPath(key), Spec: spec}
		}
	}
	return steps
}

// retire closes what is no longer in the topology and removes its files, in the background.
func (n *Node) retire(h *hosted) {
	remove := func(ctx context.Context) error {
		var failed error
		for _, s := range h.slots() {
			failed = errors.Join(failed, s.close())
		}
		if err := n.discard(h.uuid); err != nil {
			return errors.Join(failed, err)
		}
		return errors.Join(failed, n.emptyDeleted(ctx))
	}
	if !n.background("remove a collection", remove) {
		if err := remove(n.life); err != nil {
			n.log.Error("a collection was not removed well", "collection", h.c.Name(), "err", err)
		}
	}
}

func (n *Node) emptyDeleted(context.Context) error {
	dir := path.Join(n.dir, deletedDir)
	found, err := n.fs.List(dir)
	if err != nil {
		return err
	}
	for _, f := range found {
		if err := n.fs.RemoveAll(path.Join(dir, f.Name)); err != nil {
			return err
		}
	}
	n.space.refill()
	return nil
}

// propose changes the topology and makes this node match it. The caller holds the change token.
func (n *Node) propose(ctx context.Context, c topology.Command) error {
	if n.cluster != nil {
		return n.cluster.change(ctx, c)
	}
	if err := n.solo.Propose(ctx, c.Encode()); err != nil {
		return err
	}
	n.reconcile(ctx)
	return nil
}

// metaTimeout is how long a change of the topology may take when nobody says.
const metaTimeout = 10 * time.Second

// changing runs f with the change token, and turns the end of the time into the error that users see.
func (n *Node) changing(ctx context.Context, what string, limit time.Duration, f func(ctx context.Context) error) error {
	if limit <= 0 {
		limit = metaTimeout
	}
	inner, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	late := func() error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return sextant.Errorf(sextant.Timeout, "Operation '%s' timed out after %ds", what, int(limit.Seconds()))
	}
	select {
	case <-n.change:
	case <-inner.Done():
		return late()
	case <-n.life.Done():
		return sextant.Errorf(sextant.Unavailable, "the server is stopping")
	}
	defer func() { n.change <- struct{}{} }()
	if n.life.Err() != nil {
		return sextant.Errorf(sextant.Unavailable, "the server is stopping")
	}
	err := f(inner)
	if err != nil && errors.Is(err, context.DeadlineExceeded) && sextant.KindOf(err) == sextant.Internal {
		return late()
	}
	return err
}
