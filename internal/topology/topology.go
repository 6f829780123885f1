// Package topology is the agreed state of the database as one pure value: collections, shards, aliases, and the commands
// that change it.
//
// Shapes: State is a tree of plain values; Apply returns a changed copy and never touches the old one, so readers share
// one without locks. Command is what is proposed and logged.
// Errors: those that a user sees (missing or existing names), and only from Apply; a refused command changes nothing.
// Concurrency: values only. No I/O, no time, no chance: every peer that applies the same commands has the same State.
package topology

import "strconv"

// ShardID numbers the shards of one collection from 0.
type ShardID uint32

// PeerID names a member of the cluster.
type PeerID uint64

// ShardKey names a group of shards under custom sharding: a word or a number.
type ShardKey struct {
	Word     string
	Number   uint64
	IsNumber bool
}

// String prints a word quoted, a number bare, as errors show them.
func (k ShardKey) String() string {
	if k.IsNumber {
		return strconv.FormatUint(k.Number, 10)
	}
	return strconv.Quote(k.Word)
}
