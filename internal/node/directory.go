package node

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io/fs"
	mathrand "math/rand/v2"
	"path"
	"path/filepath"
	"strings"

	"github.com/google/uuid"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/snapshot"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/vfs"
)

const (
	collectionsDir = "collections"
	deletedDir     = ".deleted"
	tempDir        = "tmp"
	peerFile       = "peer"
	lifeFile       = "life"
	soloFile       = "topology"
)

// prepare makes the directories.
func (n *Node) prepare() error {
	dir, err := filepath.Abs(n.settings.Storage.StoragePath)
	if err != nil {
		return err
	}
	snapshots, err := filepath.Abs(n.settings.Storage.SnapshotsPath)
	if err != nil {
		return err
	}
	n.dir = dir
	n.store = &snapshot.Store{FS: n.fs, Dir: snapshots, Temp: path.Join(snapshots, tempDir)}
	return n.fs.MkdirAll(dir)
}

// incoming is where uploads and downloads are kept until they are unpacked.
func (n *Node) incoming() string {
	if t := n.settings.Storage.TempPath; t != nil && *t != "" {
		if dir, err := filepath.Abs(*t); err == nil {
			return path.Join(dir, "sextant-incoming")
		}
	}
	return path.Join(n.dir, tempDir)
}

// identify finds or makes the id of this peer.
func (n *Node) identify() error {
	id, err := uuid.NewRandom()
	if err != nil {
		return err
	}
	n.id = id.String()
	file := path.Join(n.dir, peerFile)
	var saved struct {
		ID topology.PeerID `json:"id"`
	}
	data, err := vfs.ReadFile(n.fs, file)
	if err == nil {
		if err := json.Unmarshal(data, &saved); err != nil || saved.ID == 0 {
			return sextant.Errorf(sextant.Corrupt, "%s: the id of this peer cannot be read: %v", file, err)
		}
		n.peer = saved.ID
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if saved.ID = topology.PeerID(pick(n.settings.Cluster.PeerID, 0)); saved.ID == 0 {
		saved.ID = topology.PeerID(n.random()%(1<<53-1) + 1)
	}
	n.peer = saved.ID
	if data, err = json.Marshal(saved); err != nil {
		return err
	}
	return vfs.WriteAtomic(n.fs, file, data)
}

// random draws a number; in a simulation its seed decides.
func (n *Node) random() uint64 {
	if seed := n.opts.Cluster.Seed; seed != 0 {
		return mathrand.New(mathrand.NewPCG(seed, 1)).Uint64()
	}
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
}

// sweep removes what a former life left unfinished: temporary files, and shards that the topology does not know.
func (n *Node) sweep() error {
	for _, dir := range []string{n.store.Temp, n.incoming()} {
		if err := n.fs.RemoveAll(dir); err != nil {
			return err
		}
	}
	for _, dir := range []string{path.Join(n.dir, deletedDir), path.Join(n.dir, collectionsDir), n.incoming()} {
		if err := n.fs.MkdirAll(dir); err != nil {
			return err
		}
	}
	known := map[string]bool{}
	for _, c := range n.machine.State().Collections {
		known[c.UUID] = true
	}
	found, err := n.fs.List(path.Join(n.dir, collectionsDir))
	if err != nil {
		return err
	}
	for _, f := range found {
		if f.Dir && !known[f.Name] {
			n.log.Warn("a collection that the topology does not list is removed", "dir", f.Name)
			if err := n.discard(f.Name); err != nil {
				return err
			}
		}
	}
	n.Go("empty "+deletedDir, n.emptyDeleted)
	return nil
}

// discard moves the directory of a collection out of the way, durably and at once; its files go later.
func (n *Node) discard(uuid string) error {
	from := path.Join(n.dir, collectionsDir, uuid)
	to := path.Join(n.dir, deletedDir, uuid)
	if err := n.fs.RemoveAll(to); err != nil {
		return err
	}
	if err := n.fs.Rename(from, to); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return errors.Join(n.fs.SyncDir(path.Dir(from)), n.fs.SyncDir(path.Dir(to)))
}

// folder is the name under which a collection keeps its snapshots: its own, unless a file system or our own folders
// would take that for something else.
func folder(collection string) string {
	const most = 120 // bytes; a file name adds up to 60
	name := collection
	if name == tempDir || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "%") {
		const hex = "0123456789ABCDEF"
		name = "%" + string(hex[name[0]>>4]) + string(hex[name[0]&15]) + name[1:]
	}
	if len(name) > most {
		name = strings.ToValidUTF8(name[:most-37], "") + "-" + uuid.NewSHA1(uuid.NameSpaceOID, []byte(collection)).String()
	}
	return name
}
