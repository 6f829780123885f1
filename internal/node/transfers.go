package node

import (
	"context"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/auth"
)

// Transfer names a transfer of a shard between peers. Sync: the sender keeps its replica.
type Transfer struct {
	Shard    uint32
	From, To uint64
	Method   string // "": the default
	Sync     bool
}

// MayChange checks that the caller may change a collection of a cluster.
func (n *Node) MayChange(a auth.Access, name string) error {
	if _, _, err := n.allowed(a, name, auth.Manage); err != nil {
		return err
	}
	return n.standalone()
}

// noTransfers refuses what brings replicas back, after the checks that would come first.
func (n *Node) noTransfers(a auth.Access, name string, t Transfer, operation string) error {
	if _, err := n.forTransfer(a, name, t.Shard, t.From, t.To); err != nil {
		return err
	}
	return sextant.Errorf(sextant.NotImplemented, "%s is not supported by this version: a replica that was lost stays Dead", operation)
}

// StartTransfer begins to copy or move a replica.
func (n *Node) StartTransfer(_ context.Context, a auth.Access, name string, t Transfer, _ time.Duration) error {
	operation := "move_shard"
	if t.Sync {
		operation = "replicate_shard"
	}
	return n.noTransfers(a, name, t, operation)
}

// AbortTransfer ends a transfer.
func (n *Node) AbortTransfer(_ context.Context, a auth.Access, name string, t Transfer, _ time.Duration) error {
	return n.noTransfers(a, name, t, "abort_transfer")
}

// RestartTransfer begins a transfer anew by another method.
func (n *Node) RestartTransfer(_ context.Context, a auth.Access, name string, t Transfer, _ time.Duration) error {
	return n.noTransfers(a, name, t, "restart_transfer")
}
