package engine

import "context"

// AwaitField returns when every segment has its index of a payload field, or the field has none. It is for callers that let
// others go on between the update that makes the field and its end.
func (s *Shard) AwaitField(ctx context.Context, key string) error {
	return s.keeper.awaitField(ctx, key)
}
