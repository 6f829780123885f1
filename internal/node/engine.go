package node

import (
	"context"
	"errors"
	"io"
	"path"
	"reflect"
	"runtime"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine"
	"github.com/sextantdb/sextant/internal/collection"
	"github.com/sextantdb/sextant/internal/task"
	"github.com/sextantdb/sextant/internal/vfs"
	"github.com/sextantdb/sextant/internal/wal"
)

// engines opens shards of package engine; all share one budget and one board.
type engines struct {
	node  *Node
	board *task.Board
	opts  engine.Options
}

// newMark is in the directory of a shard while it is made: with it, a directory without a shard has never had one.
const (
	newMark     = "NEW"
	currentMark = "CURRENT" // of the engine: there is a shard
)

func newEngines(n *Node) *engines {
	e := &engines{node: n, board: &task.Board{}}
	e.opts = engine.Options{FS: n.fs, Log: n.log, Board: e.board, Budget: engine.NewBudget(buildPermits(n.settings.Storage.Performance.OptimizerCPUBudget), 0),
		UpdateQueue: int(n.settings.Storage.UpdateQueueSize)}
	if n.cluster != nil {
		w := n.settings.Storage.WAL
		e.opts.ManualApply = true
		e.opts.Retention = wal.Retention{Bytes: megabytes(w.RetentionMB), AbsentBytes: megabytes(w.AbsentRetentionMB)}
	}
	return e
}

// megabytes are bytes, without overflow.
func megabytes(n uint64) int64 { return int64(min(n, 1<<40)) << 20 }

func (e *engines) options(c sextant.CollectionConfig) engine.Options {
	o := e.opts
	o.Config = c
	return o
}

func (e *engines) create(dir, uuid string, schema sextant.Schema, c sextant.CollectionConfig) (shard, error) {
	fsys := e.node.fs
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, err
	}
	if err := vfs.WriteAtomic(fsys, path.Join(dir, newMark), nil); err != nil {
		return nil, err
	}
	opts := e.options(c)
	opts.UUID = uuid
	s, err := engine.Create(dir, schema, opts)
	if err != nil {
		return nil, err
	}
	if err := fsys.Remove(path.Join(dir, newMark)); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &engineShard{s}, nil
}

func (e *engines) open(dir string, c sextant.CollectionConfig) (shard, error) {
	s, err := engine.Open(dir, e.options(c))
	if err != nil {
		return nil, err
	}
	return &engineShard{s}, nil
}

// restore closes the shard for as long as the snapshot is unpacked: its directory has one owner at a time.
func (e *engines) restore(ctx context.Context, to restoration, r io.Reader) error {
	busy := sextant.Errorf(sextant.Unavailable, "a snapshot is being restored")
	to.put(&stub{health: collection.Yellow, why: func(string) error { return busy }}, nil)
	failed := to.was.Close()
	if failed == nil {
		failed = engine.Restore(ctx, to.dir, r, e.options(to.settings))
	}
	now, err := e.open(to.dir, to.settings)
	if err == nil && failed == nil && !reflect.DeepEqual(now.Schema().Vectors, to.vectors) {
		err = errors.Join(sextant.Errorf(sextant.WrongInput, "Snapshot is not compatible with existing collection: it has other vectors"), now.Close())
	}
	if err != nil {
		to.put(quarantined(err), err)
		return errors.Join(failed, err)
	}
	to.put(now, nil)
	return failed
}

func (e *engines) close() error {
	e.board.Close()
	return nil
}

// buildPermits turns the CPU budget of the settings into permits: positive is exactly that many, negative leaves that
// many processors free, 0 lets the engine choose.
func buildPermits(budget int64) int {
	if budget < 0 {
		return max(1, runtime.GOMAXPROCS(0)+int(budget))
	}
	return int(budget)
}
