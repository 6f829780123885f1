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
		if s.slot = h.slots()[topology.ShardID(*shard)]; s.slot == nil {
			return scope{}, sextant.Errorf(sextant.NotFound, "shard %d not found", *shard)
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
		return s.slot.current().Snapshot(ctx, w)
	}
	return n.writeCollection(ctx, s.name, s.at, s.h, w)
}

func (n *Node) writeCollection(ctx context.Context, name string, c *topology.Collection, h *hosted, w io.Writer) error {
	body := collectionBody{Collection: name, Config: c.Config, Fields: c.Fields}
	for _, id := range c.ShardIDs() {
		body.Shards = append(body.Shards, shardBody{ID: id, Key: c.Shards[id].Key})
	}
	out, err := snapshot.NewWriter(w, kindCollection, body)
	if err != nil {
		return err
	}
	for _, id := range c.ShardIDs() {
		s := h.slots()[id]
		if s == nil {
			continue
		}
		err := out.Stream(fmt.Sprintf("shards/%d", id), func(w io.Writer) error { return s.current().Snapshot(ctx, w) })
		if err != nil {
			return err
		}
	}
	return out.Close()
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
