package node

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/auth"
	"github.com/sextantdb/sextant/internal/snapshot"
	"github.com/sextantdb/sextant/internal/topology"
)

const (
	kindCollection = "collection"
	kindStorage    = "storage"
)

// collectionBody is what the archive of a collection says of it.
type collectionBody struct {
	Collection string                       `json:"collection"`
	Config     sextant.CollectionConfig     `json:"config"`
	Fields     map[string]sextant.FieldSpec `json:"fields"`
	Shards     []shardBody                  `json:"shards"`
}

type shardBody struct {
	ID  topology.ShardID   `json:"id"`
	Key *topology.ShardKey `json:"key,omitempty"`
	// Elsewhere says that its data are not in the archive: another peer has them.
	Elsewhere bool `json:"elsewhere,omitempty"`
}

// storageBody is what the archive of everything says.
type storageBody struct {
	Collections []string          `json:"collections"`
	Aliases     map[string]string `json:"aliases"`
}

// scope is what a snapshot is of, after the caller's rights were checked: the whole storage, a collection, or a shard.
type scope struct {
	name  string // of the collection
	at    *topology.Collection
	h     *hosted // nil: the whole storage
	slot  *slot   // nil: all shards
	files string  // the folder of its snapshots
}

func (n *Node) scope(a auth.Access, collection string, shard *uint32, need auth.Need) (scope, error) {
	if collection == "" {
		if need == auth.ReadExtra {
			return scope{}, a.GlobalRead()
		}
		return scope{}, a.GlobalManage()
	}
	c, h, err := n.allowed(a, collection, need)
	if err != nil {
		return scope{}, err
	}
	s := scope{name: h.c.Name(), at: c, h: h, files: folder(h.c.Name())}
	if shard != nil {
		id := topology.ShardID(*shard)
		switch s.slot = h.slots()[id]; {
		case c.Shards[id] == nil:
			return scope{}, sextant.Errorf(sextant.NotFound, "shard %d not found", *shard)
		case s.slot == nil:
			return scope{}, notLocal(id)
		}
		s.files = path.Join(s.files, "shards", strconv.Itoa(int(*shard)))
	}
	return s, nil
}

// prefix is the begin of the names of its snapshots.
func (n *Node) prefix(s scope) string {
	switch {
	case s.h == nil:
		return "full-snapshot"
	case s.slot != nil:
		return fmt.Sprintf("%s-shard-%d", folder(s.name), s.slot.id)
	}
	return fmt.Sprintf("%s-%d", folder(s.name), n.peer)
}

// write puts what the scope holds into w.
func (n *Node) archive(ctx context.Context, s scope, w io.Writer) error {
	switch {
	case s.h == nil:
		return n.writeStorage(ctx, w)
	case s.slot != nil:
		return n.archiveShard(ctx, s.slot, w)
	}
	return n.writeCollection(ctx, s.name, s.at, s.h, w)
}

func (n *Node) writeCollection(ctx context.Context, name string, c *topology.Collection, h *hosted, w io.Writer) error {
	body := collectionBody{Collection: name, Config: c.Config, Fields: c.Fields}
	slots := h.slots()
	for _, id := range c.ShardIDs() {
		body.Shards = append(body.Shards, shardBody{ID: id, Key: c.Shards[id].Key, Elsewhere: slots[id] == nil})
	}
	out, err := snapshot.NewWriter(w, kindCollection, body)
	if err != nil {
		return err
	}
	for _, id := range c.ShardIDs() {
		s := slots[id]
		if s == nil {
			continue
		}
		err := out.Stream(fmt.Sprintf("shards/%d", id), func(w io.Writer) error { return n.archiveShard(ctx, s, w) })
		if err != nil {
			return err
		}
	}
	return out.Close()
}

// lagForSnapshot is how long a snapshot waits for what is logged here to be committed.
const lagForSnapshot = 5 * time.Second

// archiveShard writes the state of a shard. In a cluster it is that of a replica in sync, which has logged everything that was
// acknowledged, and has applied what was logged here when it was asked for.
func (n *Node) archiveShard(ctx context.Context, s *slot, w io.Writer) error {
	if n.cluster != nil {
		local, shard := n.cluster.hub.Local(s.uuid), n.machine.State().Shard(s.uuid)
		own, ok := s.current().(*engineShard)
		if local == nil || shard == nil || !ok {
			return s.current().Snapshot(ctx, w) // tells what is wrong
		}
		if r := shard.Replicas[n.peer]; !r.InSync {
			return sextant.Errorf(sextant.Unavailable, "Failed to snapshot, the replica of shard %d on this peer is %s: ask a peer whose replica is active", s.id, r.State)
		}
		inner, cancel := context.WithTimeout(ctx, lagForSnapshot)
		err := local.Await(inner, own.Stands().Last.Seq)
		cancel()
		if err != nil && (ctx.Err() != nil || inner.Err() == nil) { // what is not committed by then was not acknowledged
			return err
		}
	}
	return s.current().Snapshot(ctx, w)
}

func (n *Node) writeStorage(ctx context.Context, w io.Writer) error {
	state := n.machine.State()
	body := storageBody{Collections: slices.Sorted(maps.Keys(state.Collections)), Aliases: state.Aliases}
	out, err := snapshot.NewWriter(w, kindStorage, body)
	if err != nil {
		return err
	}
	for i, name := range body.Collections {
		c := state.Collections[name]
		h := (*n.hosted.Load())[c.UUID]
		if h == nil {
			return missing(name)
		}
		err := out.Stream(fmt.Sprintf("collections/%d", i), func(w io.Writer) error { return n.writeCollection(ctx, name, c, h, w) })
		if err != nil {
			return err
		}
	}
	return out.Close()
}

// CreateSnapshot makes a snapshot and stores it. Nothing waits for it: writes and other snapshots go on.
func (n *Node) CreateSnapshot(ctx context.Context, a auth.Access, collection string, shard *uint32) (SnapshotInfo, error) {
	s, err := n.scope(a, collection, shard, auth.WriteExtra)
	if err != nil {
		return SnapshotInfo{}, err
	}
	ctx, stop := n.tied(ctx)
	defer stop()
	start := time.Now()
	if s.h != nil {
		s.h.creating.Add(1)
		defer s.h.creating.Add(-1)
	}
	info, err := n.store.Create(s.files, n.prefix(s), start, func(w io.Writer) error { return n.archive(ctx, s, alive{ctx, w}) })
	if err != nil {
		return SnapshotInfo{}, err
	}
	if s.h != nil {
		s.h.created.Add(1)
	}
	n.log.Info("snapshot created", "collection", collection, "name", info.Name, "bytes", info.Size, "took", time.Since(start).Round(time.Millisecond))
	return SnapshotInfo(info), nil
}

// tied is a context that ends with the request and with the node.
func (n *Node) tied(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(n.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// alive stops writing when its context ends.
type alive struct {
	ctx context.Context
	w   io.Writer
}

func (a alive) Write(b []byte) (int, error) {
	if err := a.ctx.Err(); err != nil {
		return 0, err
	}
	return a.w.Write(b)
}

// ListSnapshots lists the stored snapshots, by name.
func (n *Node) ListSnapshots(a auth.Access, collection string, shard *uint32) ([]SnapshotInfo, error) {
	s, err := n.scope(a, collection, shard, auth.ReadExtra)
	if err != nil {
		return nil, err
	}
	list, err := n.store.List(s.files)
	out := make([]SnapshotInfo, len(list))
	for i, info := range list {
		out[i] = SnapshotInfo(info)
	}
	return out, err
}

// OpenSnapshot opens a stored snapshot for download.
func (n *Node) OpenSnapshot(a auth.Access, collection string, shard *uint32, name string) (*SnapshotFile, error) {
	s, err := n.scope(a, collection, shard, auth.ReadExtra)
	if err != nil {
		return nil, err
	}
	info, f, err := n.store.Open(s.files, name)
	if err != nil {
		return nil, err
	}
	return &SnapshotFile{SnapshotInfo: SnapshotInfo(info), ReadSeeker: io.NewSectionReader(f, 0, info.Size), Closer: f}, nil
}

// DeleteSnapshot removes a stored snapshot.
func (n *Node) DeleteSnapshot(_ context.Context, a auth.Access, collection string, shard *uint32, name string) error {
	s, err := n.scope(a, collection, shard, auth.WriteExtra)
	if err != nil {
		return err
	}
	return n.store.Delete(s.files, name)
}

// StreamShardSnapshot writes a fresh shard snapshot to w; nothing is stored. name is told before the first byte.
func (n *Node) StreamShardSnapshot(ctx context.Context, a auth.Access, collection string, shard uint32, name func(string), w io.Writer) error {
	s, err := n.scope(a, collection, &shard, auth.WriteExtra)
	if err != nil {
		return err
	}
	ctx, stop := n.tied(ctx)
	defer stop()
	name(n.prefix(s) + "-" + time.Now().UTC().Format("2006-01-02-15-04-05") + ".snapshot")
	return n.archive(ctx, s, alive{ctx, w})
}
