package node

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/vfs"
)

// mayDelete reports whether data may be deleted on the word of a topology: not on that of one older than the newest that
// listed a replica here, which a restart may bring back.
func (c *cluster) mayDelete(state *topology.State) bool {
	return c.caught.Load() && state.Index >= c.actedOn()
}

// tooOld reports whether a topology is older than one that was acted on: no replica is made on its word, it may have been here,
// and was dropped.
func (c *cluster) tooOld(state *topology.State) bool {
	known := c.actedOn()
	return known != math.MaxUint64 && state.Index < known
}

const actedFile = "acted"

// actedOn returns the index of the newest topology that was acted on and listed a replica here, or ended one.
func (c *cluster) actedOn() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.acted == 0 {
		b, err := vfs.ReadFile(c.n.fs, path.Join(c.n.dir, actedFile))
		if errors.Is(err, fs.ErrNotExist) {
			return 0
		}
		if err == nil {
			c.acted, err = strconv.ParseUint(string(b), 10, 64)
		}
		if err != nil { // nothing is deleted by somebody who does not know
			c.acted = 0
			return math.MaxUint64
		}
	}
	return c.acted
}

// act notes, durably, that a topology with replicas here is acted on.
func (c *cluster) act(index uint64) error {
	c.acting <- struct{}{} // one at a time writes the file, and it never goes back
	defer func() { <-c.acting }()
	if known := c.actedOn(); known >= index && known != math.MaxUint64 {
		return nil
	}
	if err := vfs.WriteAtomic(c.n.fs, path.Join(c.n.dir, actedFile), strconv.AppendUint(nil, index, 10)); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acted = max(c.acted, index)
	return nil
}

// noteListed notes the topology if it lists replicas here and says something new of their collections.
func (c *cluster) noteListed(state *topology.State) {
	have := *c.n.hosted.Load()
	for _, info := range state.Collections {
		if h := have[info.UUID]; h != nil && h.seen == info {
			continue
		}
		for _, shard := range info.Shards {
			if _, mine := shard.Replicas[c.n.peer]; !mine {
				continue
			}
			if err := c.act(state.Index); err != nil {
				c.n.log.Warn("what this node acts on cannot be noted", "err", err)
			}
			return
		}
	}
}

// Beside the directory of a finished shard stands a note: its uuid, since numbers of shards come again, and uuids do not; and the
// index of the topology by which it was made. An empty note says that the directory is about to be removed.
func noteOf(dir string) string { return dir + ".uuid" }

func (c *cluster) writeNote(dir, uuid string, index uint64) error {
	return vfs.WriteAtomic(c.n.fs, noteOf(dir), fmt.Appendf(nil, "%s %d", uuid, index))
}

// noted returns what the note beside a directory says. A shard is of no topology that is older than itself: a replica that was
// dropped and came back must not do, after a restart that shows an old topology, what the one before it was to do.
func (c *cluster) noted(dir string) (uuid string, made uint64, ok bool) {
	b, err := vfs.ReadFile(c.n.fs, noteOf(dir))
	uuid, index, _ := strings.Cut(string(b), " ")
	made, _ = strconv.ParseUint(index, 10, 64) // the first notes had none
	return uuid, made, err == nil
}

// clear removes the directory of a shard.
func (c *cluster) clear(dir string) error {
	files := c.n.fs
	if err := vfs.WriteAtomic(files, noteOf(dir), nil); err != nil {
		return err
	}
	if err := files.RemoveAll(dir); err != nil {
		return err
	}
	if err := files.SyncDir(path.Dir(dir)); err != nil {
		return err
	}
	return files.Remove(noteOf(dir))
}

// load opens the shard of a slot, or makes it. A shard whose files were here and are gone is not made anew: it has lost what
// it promised to keep.
func (c *cluster) load(s *slot, info *topology.Collection, settings sextant.CollectionConfig, index uint64) error {
	n := c.n
	if err := c.act(index); err != nil {
		return err
	}
	_, err := n.fs.Stat(noteOf(s.dir))
	noted := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	prepared, err := engine.PreparedRestore(n.fs, s.dir)
	if err != nil {
		return err
	}
	s.prepared.Store(prepared)
	if r := info.Shards[s.id].RestoreOf(n.peer); r != nil && r.Decided { // a pass puts the data into their place
		s.put(replacing, nil)
		return nil
	}
	if n.unmade(s.dir) {
		shard := info.Shards[s.id]
		own := shard.Replicas[n.peer]
		switch {
		case noted || own.InSync && own.State != topology.Initializing && shard.Version > 1:
			return sextant.Errorf(sextant.Corrupt, "the files in %s are gone", s.dir)
		case !own.InSync:
			s.put(waiting, nil) // a transfer brings it
			return nil
		}
	}
	n.load(s, info, settings)
	if broken, _ := s.state(); broken != nil || noted || n.Recovery() != "" {
		return nil // what is broken tells so itself
	}
	if err := c.writeNote(s.dir, s.uuid, index); err != nil {
		return errors.Join(err, s.close())
	}
	return nil
}

// leave ends a replica here, which the topology of an index does not list, and removes its files.
func (c *cluster) leave(s *slot, index uint64) {
	s.leave()
	c.hub.Remove(s.uuid)
	c.forget(s.uuid)
	if err := s.close(); err != nil {
		c.n.log.Warn("a replica was not closed well", "shard", s.uuid, "err", err)
	}
	err := c.act(index) // no topology older than this one makes it anew
	if err == nil {
		err = c.clear(s.dir)
	}
	if err != nil {
		c.n.log.Warn("the files of a replica that left are still there", "shard", s.uuid, "err", err)
	}
}
