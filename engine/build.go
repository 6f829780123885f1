package engine

import (
	"context"

	"github.com/sextantdb/sextant/internal/task"
)

type build struct{ task *task.Task }
type Build struct{}

func (k *keeper) startBuilds()                                     {}
func (k *keeper) cancelBuilds()                                    {}
func (s *Shard) vacuumDue() bool                                   { return false }
func (k *keeper) awaitField(ctx context.Context, key string) error { return nil }
func (s *Shard) noticeDamage(err error)                            {}
