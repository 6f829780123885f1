package engine

import (
	"cmp"
	"log/slog"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/task"
	"github.com/sextantdb/sextant/internal/vfs"
	"github.com/sextantdb/sextant/internal/wal"
)

// Options are how a shard is run. The zero value is usable; nothing in it is stored but Config.
type Options struct {
	// Config tunes graphs, builds, placement and the log. Zero: what was used last, at first sextant.DefaultConfig.
	Config sextant.CollectionConfig
	// UpdateQueue is how many updates may be under way at once; further ones wait. Default 200.
	UpdateQueue int
	// Retention is what the log keeps of entries that the checkpoint contains, for replicas that were away. Default: the
	// closed files that Config says, nothing else.
	Retention wal.Retention
	// ManualApply leaves the order of entries to the caller of Append and Apply: Update is refused, and Open applies only
	// what the log knows to be committed.
	ManualApply bool

	// UUID names a shard that is created; "": a random one.
	UUID string

	FS     vfs.FS       // nil: the real file system
	Budget *Budget      // shared by all shards of a process; nil: an own one
	Board  *task.Board  // where builds are shown; nil: an own one
	Log    *slog.Logger // nil: silence
}

func (o Options) fill() Options {
	o.UpdateQueue = cmp.Or(o.UpdateQueue, 200)
	if o.FS == nil {
		o.FS = vfs.OS{}
	}
	if o.Budget == nil {
		o.Budget = NewBudget(0, 0)
	}
	if o.Board == nil {
		o.Board = &task.Board{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// configured says whether a configuration was given at all.
func configured(c sextant.CollectionConfig) bool { return c.WAL.CapacityMB > 0 }

func (o Options) logOptions() wal.Options {
	keep := o.Retention
	keep.Files = max(keep.Files, int(o.Config.WAL.RetainClosed))
	return wal.Options{FileBytes: int64(o.Config.WAL.CapacityMB) << 20, Retention: keep}
}
