package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/auth"
	"github.com/sextantdb/sextant/internal/collection"
	"github.com/sextantdb/sextant/internal/snapshot"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/vfs"
)

// MayRecover is the access check of recover and upload alone, to be made before a body is read.
func (n *Node) MayRecover(a auth.Access, collection string) error {
	return a.Collection(collection, auth.Manage)
}

// RecoverSnapshot replaces data by a snapshot from a location: http(s) URL, file URL, or for shards a stored name.
func (n *Node) RecoverSnapshot(ctx context.Context, a auth.Access, collection string, shard *uint32, location string, o RecoverOptions) error {
	if err := n.MayRecover(a, collection); err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	file, sum, done, err := n.locate(ctx, collection, shard, location, o)
	if err != nil {
		return err
	}
	defer done()
	if o.Checksum != "" {
		if sum == "" {
			if sum, err = snapshot.Sum(n.fs, file); err != nil {
				return err
			}
		}
		if want := strings.ToLower(o.Checksum); sum != want {
			return sextant.Errorf(sextant.WrongInput, "Snapshot checksum mismatch: expected %s, got %s", want, sum)
		}
	}
	return n.restore(ctx, collection, shard, file, o.Priority, true)
}

// check refuses options that cannot be meant.
func (o RecoverOptions) check() error {
	var p problems
	if o.Checksum != "" && (len(o.Checksum) != 64 || strings.Trim(o.Checksum, "0123456789abcdefABCDEF") != "") {
		p.add("checksum", "Validation error: invalid_sha256_hash [{}]")
	}
	if !slices.Contains([]string{"", "snapshot", "replica", "no_sync"}, o.Priority) {
		p.add("priority", fmt.Sprintf("unknown variant `%s`, expected one of `no_sync`, `snapshot`, `replica`", o.Priority))
	}
	return p.err("query parameters")
}

// locate finds the file of a location, or brings it here; then its checksum is known. done removes what was brought.
func (n *Node) locate(ctx context.Context, collection string, shard *uint32, location string, o RecoverOptions) (file, sum string, done func(), err error) {
	fail := func(err error) (string, string, func(), error) { return "", "", nil, err }
	loc, err := snapshot.ParseLocation(location)
	if err != nil {
		return fail(err)
	}
	switch {
	case loc.URL != "":
		if !n.settings.Service.EnableSnapshotURLRecovery {
			return fail(sextant.Errorf(sextant.Forbidden, "Snapshot recovery from remote URLs is disabled in the configuration"))
		}
		file = n.incomingFile()
		ctx, stop := n.tied(ctx)
		defer stop()
		_, sum, err = n.store.Spool(file, func(w io.Writer) error { return snapshot.Fetch(ctx, http.DefaultClient, loc.URL, o.APIKey, w) })
		if err != nil {
			return fail(err)
		}
		return file, sum, func() { n.removeFile(file) }, nil
	case loc.File != "" && shard != nil:
		return fail(sextant.Errorf(sextant.WrongInput, "Invalid snapshot URL %s: URLs with file scheme are not supported", location))
	case loc.File != "":
		if !snapshot.Inside(n.store.Dir, loc.File) {
			return fail(sextant.Errorf(sextant.Forbidden, "Snapshot file path must be inside the snapshots directory %q", n.store.Dir))
		}
		if info, err := n.fs.Stat(loc.File); errors.Is(err, fs.ErrNotExist) || err == nil && info.Dir {
			return fail(sextant.Errorf(sextant.BadRequest, "Snapshot file %q does not exist", loc.File))
		} else if err != nil {
			return fail(err)
		}
		return loc.File, "", func() {}, nil
	case shard != nil:
		s, err := n.scope(auth.All(), collection, shard, auth.Manage)
		if err != nil {
			return fail(err)
		}
		file, err := n.store.Path(s.files, loc.Name)
		return file, "", func() {}, err
	}
	return fail(sextant.Errorf(sextant.BadRequest, "Invalid snapshot URI %q: it has no scheme", location))
}

func (n *Node) incomingFile() string {
	return path.Join(n.incoming(), uuid.NewString()+".snapshot")
}

func (n *Node) removeFile(file string) {
	if err := n.fs.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		n.log.Warn("a temporary file stays until the next start", "file", file, "err", err)
	}
}

// UploadSnapshot replaces data by the snapshot that r brings. It returns when the file is stored aside and, with wait,
// when the data are in their place; without, the rest goes on in the background.
func (n *Node) UploadSnapshot(ctx context.Context, a auth.Access, collection string, shard *uint32, r io.Reader, o RecoverOptions, wait bool) error {
	if err := n.MayRecover(a, collection); err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	if shard != nil {
		if _, err := n.scope(a, collection, shard, auth.Manage); err != nil {
			return err
		}
	}
	file := n.incomingFile()
	ctx, stop := n.tied(ctx)
	defer stop()
	_, sum, err := n.store.Spool(file, func(w io.Writer) error { _, err := io.Copy(alive{ctx, w}, r); return err })
	if err != nil {
		return err
	}
	if want := strings.ToLower(o.Checksum); want != "" && want != sum {
		n.removeFile(file)
		return sextant.Errorf(sextant.Checksum, "Checksum mismatch: expected %s, actual %s", sum, want)
	}
	if !wait && n.background("recover an uploaded snapshot", func(ctx context.Context) error {
		defer n.removeFile(file)
		return n.restore(ctx, collection, shard, file, o.Priority, true)
	}) {
		return nil
	}
	defer n.removeFile(file)
	return n.restore(ctx, collection, shard, file, o.Priority, true)
}

// restore replaces a shard or a collection by what a file holds. Without replace an existing collection is refused. In a cluster
// priority says what becomes of other replicas.
func (n *Node) restore(ctx context.Context, name string, shard *uint32, file, priority string, replace bool) error {
	if n.Recovery() != "" {
		return recovering(n.Recovery()).why("recover")
	}
	f, err := n.fs.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	start := time.Now()
	if shard != nil {
		err = n.restoreShard(ctx, name, *shard, f, priority)
	} else {
		err = n.restoreCollection(ctx, name, func() io.Reader { return whole(f) }, priority, replace)
	}
	if err != nil {
		n.log.Warn("a snapshot was not restored", "collection", name, "err", err)
		return err
	}
	n.log.Info("snapshot restored", "collection", name, "took", time.Since(start).Round(time.Millisecond))
	return nil
}

func whole(f vfs.File) io.Reader {
	size, err := f.Size()
	if err != nil {
		return failing{err}
	}
	return io.NewSectionReader(f, 0, size)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// restoreCollection checks a whole archive, makes the collection if it is missing, replaces the data of its shards, and
// gives it the payload indexes of the archive.
func (n *Node) restoreCollection(ctx context.Context, name string, open func() io.Reader, priority string, replace bool) error {
	manifest, streams, err := snapshot.Verify(open(), nil)
	if err != nil {
		return err
	}
	var body collectionBody
	if err := json.Unmarshal(manifest.Body, &body); manifest.Kind != kindCollection || err != nil {
		return sextant.Errorf(sextant.BadRequest, "Snapshot file is not valid: it is no snapshot of a collection")
	}
	for _, s := range body.Shards {
		if !s.Elsewhere && !slices.Contains(streams, fmt.Sprintf("shards/%d", s.ID)) {
			return sextant.Errorf(sextant.BadRequest, "Snapshot file is not valid: shard %d is missing", s.ID)
		}
	}
	c, h := n.find(name)
	made := h == nil
	if made {
		h, err = n.createFor(ctx, name, body)
		if replace && sextant.KindOf(err) == sextant.Exists { // another request was faster
			c, h = n.find(name)
			made, err = false, nil
		}
	}
	switch {
	case err != nil:
		return err
	case h == nil:
		return missing(name)
	case made:
	case !replace:
		return sextant.Errorf(sextant.Exists, "Collection `%s` already exists!", name)
	default:
		if err := compatible(c.Config.Params, body.Config.Params); err != nil {
			return err
		}
		if err := sameKeys(c, body.Shards); err != nil {
			return err
		}
	}
	h.loading.Add(1)
	defer h.loading.Add(-1)
	if err := n.fill(ctx, h, open(), priority); err != nil {
		if made {
			err = errors.Join(err, n.changing(context.WithoutCancel(ctx), "Delete collection", 0, func(ctx context.Context) error {
				return n.drop(ctx, h.c.Name(), h.uuid)
			}))
		}
		return err
	}
	return n.giveFields(ctx, h, func(map[string]sextant.FieldSpec) map[string]sextant.FieldSpec { return body.Fields })
}

// giveFields changes the payload indexes of a collection whose data were restored, and waits until its shards have them.
func (n *Node) giveFields(ctx context.Context, h *hosted, edit func(map[string]sextant.FieldSpec) map[string]sextant.FieldSpec) error {
	return n.changing(ctx, "Recover snapshot", collection.DefaultWriteTimeout, func(ctx context.Context) error {
		for {
			_, err := n.amend(ctx, h.c.Name(), WriteOptions{Wait: true}, func(c *topology.Collection) error {
				if c.UUID != h.uuid {
					return missing(h.c.Name())
				}
				c.Fields = edit(c.Fields)
				return nil
			})
			if !errors.Is(err, topology.ErrRace) { // else another peer restores its part, too
				return err
			}
		}
	})
}

// createFor makes the collection that an archive wants.
func (n *Node) createFor(ctx context.Context, name string, body collectionBody) (h *hosted, err error) {
	if err := checkCollectionName(name); err != nil {
		return nil, err
	}
	if err := checkVectors(body.Config.Params); err != nil {
		return nil, err
	}
	err = n.changing(ctx, "Create collection", collection.DefaultWriteTimeout, func(ctx context.Context) error {
		h, err = n.create(ctx, name, body.Config, body.Fields, body.Shards)
		return err
	})
	return h, err
}

const incompatible = "Snapshot is not compatible with existing collection: "

// compatible refuses an archive whose points would not fit.
func compatible(have, want sextant.CollectionParams) error {
	if have.ShardNumber != want.ShardNumber {
		return sextant.Errorf(sextant.WrongInput, incompatible+"Collection shard number: %d Snapshot shard number: %d", have.ShardNumber, want.ShardNumber)
	}
	a, b := sextant.CollectionConfig{Params: have}, sextant.CollectionConfig{Params: want}
	if !reflect.DeepEqual(a.Schema().Vectors, b.Schema().Vectors) {
		return sextant.Errorf(sextant.WrongInput, incompatible+"Collection vectors: %s Snapshot Vectors: %s", printed(have), printed(want))
	}
	return nil
}

// sameKeys refuses an archive whose shards belong to other keys than those here.
func sameKeys(c *topology.Collection, shards []shardBody) error {
	text := func(k *topology.ShardKey) string {
		if k == nil {
			return "none"
		}
		return k.String()
	}
	for _, s := range shards {
		have := c.Shards[s.ID]
		switch {
		case s.Elsewhere || have == nil && !c.Custom():
		case have == nil:
			return sextant.Errorf(sextant.WrongInput, incompatible+"Collection has no shard %d Snapshot shard key: %s", s.ID, text(s.Key))
		case (have.Key == nil) != (s.Key == nil) || have.Key != nil && *have.Key != *s.Key:
			return sextant.Errorf(sextant.WrongInput, incompatible+"Collection shard key of shard %d: %s Snapshot shard key: %s", s.ID, text(have.Key), text(s.Key))
		}
	}
	return nil
}

func printed(p sextant.CollectionParams) string {
	b, err := json.Marshal(struct {
		Vectors sextant.VectorsConfig           `json:"vectors"`
		Sparse  map[string]sextant.SparseParams `json:"sparse_vectors,omitempty"`
	}{p.Vectors, p.SparseVectors})
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// fill replaces the data of every shard that the archive holds.
func (n *Node) fill(ctx context.Context, h *hosted, r io.Reader, priority string) error {
	archive, err := snapshot.NewReader(r)
	if err != nil {
		return err
	}
	for {
		name, stream, err := archive.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var id topology.ShardID
		if _, err := fmt.Sscanf(name, "shards/%d", &id); err == nil {
			if err := n.fillShard(ctx, h, id, stream, priority); err != nil {
				return err
			}
		}
		if _, err := io.Copy(io.Discard, stream); err != nil {
			return err
		}
	}
}

// fillShard replaces the data of one shard of a collection that is being restored. A shard that is not here is passed over, but in a
// cluster it comes here if it is empty: its collection was made for the archive of another peer.
func (n *Node) fillShard(ctx context.Context, h *hosted, id topology.ShardID, r io.Reader, priority string) error {
	s := h.slots()[id]
	if n.cluster == nil {
		if s == nil {
			return nil
		}
		return n.exchange(ctx, h, s, r)
	}
	w := restoreWish{priority: priority}
	if _, info, err := n.machine.State().Collection(h.c.Name()); err == nil && !info.Custom() { // keys have factors of their own
		w.factor = int(info.Config.Params.ReplicationFactor)
	}
	if s == nil {
		points, err := h.c.Count(ctx, nil, true, collection.Read{Shard: &id})
		if w.add = err == nil && points == 0 && priority != "replica"; !w.add {
			n.log.Warn("a shard of a snapshot is not restored, since it is not on this peer", "collection", h.c.Name(), "shard", id, "points", points, "err", err)
			return nil
		}
	}
	return n.cluster.exchange(ctx, h, id, r, w)
}

// restoreShard replaces the data of one shard. Indexes that come with it are made for the whole collection.
func (n *Node) restoreShard(ctx context.Context, name string, shard uint32, f vfs.File, priority string) error {
	s, err := n.scope(auth.All(), name, &shard, auth.Manage)
	if err != nil {
		return err
	}
	s.h.loading.Add(1)
	defer s.h.loading.Add(-1)
	if n.cluster != nil {
		err = n.cluster.exchange(ctx, s.h, s.slot.id, whole(f), restoreWish{priority: priority})
	} else {
		err = n.exchange(ctx, s.h, s.slot, whole(f))
	}
	if err != nil {
		return err
	}
	brought := s.slot.current().Schema().Fields
	return n.giveFields(ctx, s.h, func(have map[string]sextant.FieldSpec) map[string]sextant.FieldSpec {
		all := map[string]sextant.FieldSpec{}
		for key, spec := range brought {
			all[key] = spec
		}
		for key, spec := range have {
			all[key] = spec
		}
		return all
	})
}

// exchange puts the data of a shard snapshot in the place of those that a slot of a lone node has. If it fails the old ones serve on.
func (n *Node) exchange(ctx context.Context, h *hosted, s *slot, r io.Reader) error {
	s.exchange.Lock()
	defer s.exchange.Unlock()
	c, now := n.find(h.c.Name())
	was := s.current()
	if now != h || was == shard(gone) {
		return missing(h.c.Name())
	}
	settings := effective(c.Config, n.settings.Storage.OptimizersOverwrite)
	ctx, stop := n.tied(ctx)
	defer stop()
	s.setLoading(true)
	defer s.setLoading(false)
	return n.engines.restore(ctx, restoration{dir: s.dir, settings: settings, vectors: c.Schema().Vectors, was: was, put: func(now shard, err error) {
		s.put(now, err)
		n.show(h)
	}}, r)
}

// LoadSnapshot restores a collection from a file, for the start of a server. An existing one is replaced only by force.
func (n *Node) LoadSnapshot(ctx context.Context, file, collection string, force bool) error {
	return n.restore(ctx, collection, nil, file, "", force)
}

// LoadStorage restores all collections and aliases of a full snapshot, for the start of a server.
func (n *Node) LoadStorage(ctx context.Context, file string, force bool) error {
	f, err := n.fs.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	manifest, _, err := snapshot.Verify(whole(f), nil)
	if err != nil {
		return err
	}
	var body storageBody
	if err := json.Unmarshal(manifest.Body, &body); manifest.Kind != kindStorage || err != nil {
		return sextant.Errorf(sextant.BadRequest, "Snapshot file is not valid: it is no snapshot of a whole storage")
	}
	_, _, err = snapshot.Verify(whole(f), func(stream string, r io.Reader) error {
		var i int
		if _, err := fmt.Sscanf(stream, "collections/%d", &i); err != nil || i >= len(body.Collections) {
			return nil
		}
		part := n.incomingFile()
		defer n.removeFile(part)
		if _, _, err := n.store.Spool(part, func(w io.Writer) error { _, err := io.Copy(w, r); return err }); err != nil {
			return err
		}
		return n.restore(ctx, body.Collections[i], nil, part, "", force)
	})
	if err != nil || len(body.Aliases) == 0 {
		return err
	}
	var actions []AliasAction
	for alias, target := range body.Aliases {
		actions = append(actions, AliasAction{Kind: CreateAlias, Alias: alias, Collection: target})
	}
	return n.UpdateAliases(ctx, auth.All(), actions, 0)
}
