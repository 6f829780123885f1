package node

import (
	"context"
	"io"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine"
	"github.com/sextantdb/sextant/internal/collection"
)

// engineShard shows a shard of the engine as collections and edges want to see it.
type engineShard struct{ *engine.Shard }

func (s *engineShard) Schema() sextant.Schema {
	schema, err := s.Shard.Schema()
	if err != nil {
		return sextant.Schema{}
	}
	return schema
}

func (s *engineShard) Info() collection.ShardInfo {
	n, _ := s.Count(context.Background(), nil, true)
	return collection.ShardInfo{Points: n}
}
func (s *engineShard) Optimizations() collection.Optimizations { return collection.Optimizations{} }
func (s *engineShard) Memory() collection.Memory               { return collection.Memory{} }
func (s *engineShard) Snapshot(ctx context.Context, w io.Writer) error {
	return sextant.Errorf(sextant.NotImplemented, "later")
}
