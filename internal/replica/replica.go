// Package replica keeps all replicas of a shard in one order: a primary numbers the writes, followers make them durable, what
// all counted replicas hold is committed and only then applied.
//
// Shapes: a Hub holds the replicas of this process (Local) and the one ordered lane to each peer; a Set is one shard as
// coordinators see it, wherever its replicas are. The protocol itself is core, a step machine without goroutines, clocks or
// I/O: events in, actions out.
// Units: time enters core as milliseconds of a monotonic clock; sizes are bytes.
// Errors: *NotPrimary means that nothing happened and another try is free; ErrUnknown that the write may or may not be kept.
// Concurrency: everything exported may be called from any goroutine. A shard with nothing to do has no goroutine, no timer and
// no traffic.
// Sources: PacificA (Lin et al., 2008); in-sync sets of Kafka (KIP-101, KIP-279); sequence numbers and primary terms of
// Elasticsearch; Raft's log matching (Ongaro, 2014).
package replica

import (
	"context"
	"fmt"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/wal"
)

// Store is the shard under a Local. Append, Apply, UseTerm and Resolve are each called by one goroutine at a time.
type Store interface {
	Stands() order.Stands
	// Prepare refuses what the schema can refuse and turns an update into its effects, both by the newest view, whose seq is
	// against. A nil body says that the update depends on stored data: Resolve makes its effects.
	Prepare(ctx context.Context, u sextant.Update) (body []byte, against order.Seq, err error)
	// Resolve returns the effects of an update as of everything that is applied. The caller has waited until that is all that
	// is logged, and logs nothing before the result.
	Resolve(ctx context.Context, u sextant.Update) (body []byte, err error)
	// Append makes records durable behind after, as far as the log does not hold them already. Where it holds an entry of
	// another term for a seq it is cut from there on, unless that is committed. Precondition: after is not in the log.
	Append(ctx context.Context, after order.Pos, records []wal.Record) error
	// Apply applies the log up to commit, or to its durable end, and returns the place reached. outcome is called in order for
	// each entry that ended with a user's error, and for each mark.
	Apply(ctx context.Context, commit order.Seq, outcome func(order.Outcome)) (order.Pos, error)
	// OpenLog returns a reader of the log from an entry on, which the log keeps until the reader is closed. Precondition: the
	// log begins later.
	OpenLog(from order.Seq) (*wal.Reader, error)
	// UseTerm makes durable that this process uses a term as primary, before its first entry.
	UseTerm(ctx context.Context, term order.Term) error
	// Logged returns the fate of a request that was applied here. forgotten says that it may have been, so long ago that
	// nobody remembers.
	Logged(id wal.RequestID) (seq order.Seq, outcome error, known, forgotten bool)
	// KeepFrom tells the first entry that a replica which is away lacks; 0: nobody is away.
	KeepFrom(absent order.Seq)
	Digest() ([]byte, order.Pos)
}

// Link carries messages to other peers, in order. Send never blocks; what is lost, is lost together with the connection, and
// Hub.Connected tells of the next one.
type Link interface {
	Send(to topology.PeerID, message []byte)
}

// Proposer brings commands to consensus. It returns when the command was applied here, or was refused, or ctx has ended: then
// nobody knows.
type Proposer interface {
	Propose(ctx context.Context, c topology.Command) error
}

// Request is one update of one shard on its way to the primary.
type Request struct {
	ID     wal.RequestID
	Retry  bool // it may have been logged before
	Update sextant.Update
	Wait   sextant.Wait
	Factor int    // replicas that must be in sync, at most as many as there are; 0 counts as 1
	Index  uint64 // of the topology that the sender acts on
}

// Difference is what a mark brought to light: the digest of a peer's replica is not that of the primary's.
type Difference struct {
	Shard  string
	Peer   topology.PeerID
	Mark   order.Seq
	Ranges []byte // of the primary, as Store.Digest has them
}

// NotPrimary refuses an update: nothing was logged. Primary and Term are what the refusing replica believes; 0 if nothing.
type NotPrimary struct {
	Term    order.Term
	Primary topology.PeerID
	Why     string
}

func (e *NotPrimary) Error() string {
	return fmt.Sprintf("not primary (term %d, primary %d): %s", e.Term, e.Primary, e.Why)
}

// ErrUnknown is that of package sextant: the write is on all replicas, or on none.
var ErrUnknown = sextant.ErrUnknown
