package node

import (
	"context"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/auth"
	"github.com/sextantdb/sextant/internal/topology"
)

// Transfer names a transfer of a shard between peers. Sync: the sender keeps its replica.
type Transfer struct {
	Shard    uint32
	ToShard  *uint32 // of a copy of points to another shard
	From, To uint64
	Method   string // "": the default
	Sync     bool
}

// StartTransfer begins to copy or move a replica. What rests on the agreed state is checked when it is applied.
func (n *Node) StartTransfer(ctx context.Context, a auth.Access, name string, t Transfer, timeout time.Duration) error {
	s, err := n.forTransfer(a, name, t.Shard, t.From, t.To)
	if err != nil {
		return err
	}
	if t.Method == "" {
		t.Method = n.cluster.method(topology.StreamRecords)
	}
	return n.changing(ctx, "Start transfer", timeout, func(ctx context.Context) error {
		return n.propose(ctx, topology.Command{Start: &topology.TransferStart{Shard: s.UUID, From: topology.PeerID(t.From), To: topology.PeerID(t.To),
			Method: t.Method, Sync: t.Sync}})
	})
}

// method is the configured way to bring replicas back, or another one if none is configured.
func (c *cluster) method(otherwise string) string {
	if m := c.n.settings.Storage.ShardTransferMethod; m != nil && *m != "" {
		return *m
	}
	return otherwise
}

// fallback is what takes over when a delta cannot be.
func (c *cluster) fallback() string {
	if m := c.method(topology.StreamRecords); m != topology.WALDelta {
		return m
	}
	return topology.StreamRecords
}

// find returns a transfer as this node sees it.
func (n *Node) transfer(a auth.Access, name string, t Transfer) (*topology.Shard, topology.Transfer, error) {
	s, err := n.forTransfer(a, name, t.Shard, t.From, t.To)
	if err != nil {
		return nil, topology.Transfer{}, err
	}
	for _, x := range s.Transfers {
		if uint64(x.From) == t.From && uint64(x.To) == t.To {
			return s, x, nil
		}
	}
	return nil, topology.Transfer{}, n.noTransfer(name, t)
}

func (n *Node) noTransfer(name string, t Transfer) error {
	own, _, err := n.machine.State().Collection(name)
	if err != nil {
		return err
	}
	return sextant.Errorf(sextant.NotFound, "Shard transfer %d -> %d for collection %s:%d does not exist", t.From, t.To, own, t.Shard)
}

// AbortTransfer ends a transfer, however far it is.
func (n *Node) AbortTransfer(ctx context.Context, a auth.Access, name string, t Transfer, timeout time.Duration) error {
	if t.ToShard != nil {
		s, err := n.forTransfer(a, name, t.Shard, t.From, t.To)
		if err != nil {
			return err
		}
		for _, x := range s.Copies {
			if x.From == topology.PeerID(t.From) && x.To == topology.PeerID(t.To) && x.ToID == topology.ShardID(*t.ToShard) {
				return n.changing(ctx, "Abort transfer", timeout, func(ctx context.Context) error {
					return n.propose(ctx, topology.Command{CopyEnd: &topology.CopyEnd{Shard: s.UUID, ID: x.ID, Reason: "user request"}})
				})
			}
		}
		return n.noTransfer(name, t)
	}
	s, x, err := n.transfer(a, name, t)
	if err != nil {
		return err
	}
	return n.changing(ctx, "Abort transfer", timeout, func(ctx context.Context) error {
		return n.propose(ctx, topology.Command{Abort: &topology.TransferAbort{Shard: s.UUID, ID: x.ID, Reason: "user request"}})
	})
}

// RestartTransfer begins a transfer anew by another method.
func (n *Node) RestartTransfer(ctx context.Context, a auth.Access, name string, t Transfer, timeout time.Duration) error {
	s, x, err := n.transfer(a, name, t)
	if err != nil {
		return err
	}
	if x.Method == t.Method {
		return sextant.Errorf(sextant.BadRequest, "Cannot restart transfer for shard %d from %d to %d, its configuration did not change", t.Shard, t.From, t.To)
	}
	if t.Method == topology.ReshardingStreamRecords {
		return sextant.Errorf(sextant.BadRequest, "Target shard is not set for resharding transfer")
	}
	return n.changing(ctx, "Restart transfer", timeout, func(ctx context.Context) error {
		return n.propose(ctx, topology.Command{Stage: &topology.TransferStage{Shard: s.UUID, ID: x.ID, Attempt: x.Attempt, Method: t.Method}})
	})
}
