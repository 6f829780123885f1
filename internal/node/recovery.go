package node

import (
	"context"
	"slices"
	"time"

	"github.com/sextantdb/sextant/internal/topology"
)

// recoveriesAtOnce bounds the recoveries of one node over all collections; the settings bound those of each.
const recoveriesAtOnce = 8

// recover proposes transfers that bring back the replicas of this node that are Dead, as far as the limits allow. What is admitted
// and only has to pass its probation copies nothing and takes no place: else a second would pass with each of many small shards.
func (c *cluster) recover(state *topology.State) {
	p := c.n.settings.Storage.Performance
	if !c.caught.Load() || c.n.Recovery() != "" || reached(0, p.IncomingTransfersLimit) || reached(0, p.OutgoingTransfersLimit) {
		return
	}
	var starts []topology.TransferStart
	incoming := 0
	for _, s := range c.slots() {
		if shard := state.Shard(s.uuid); shard != nil && slices.ContainsFunc(shard.Transfers, func(t topology.Transfer) bool { return t.To == c.n.peer && !t.Admitted }) {
			incoming++
		}
	}
	for _, info := range state.Collections {
		busy := traffic{}
		for _, shard := range info.Shards {
			for _, t := range shard.Transfers {
				if !t.Admitted {
					busy.add(t.From, t.To)
				}
			}
		}
		for _, id := range info.ShardIDs() {
			shard := info.Shards[id]
			own, mine := shard.Replicas[c.n.peer]
			if !mine || own.State.Readable() {
				delete(c.tried, shard.UUID)
			}
			if !mine || own.State != topology.Dead {
				continue
			}
			if c.tried[shard.UUID].early() || incoming+len(starts) >= recoveriesAtOnce || reached(busy.in[c.n.peer], p.IncomingTransfersLimit) || reached(busy.out[c.n.peer], p.OutgoingTransfersLimit) {
				continue
			}
			from := c.helper(shard, busy)
			if from == 0 {
				continue
			}
			busy.add(from, c.n.peer)
			version, method := shard.Version, c.method(topology.WALDelta)
			if own.Differs && method == topology.WALDelta {
				method = c.fallback()
			}
			starts = append(starts, topology.TransferStart{Shard: shard.UUID, From: from, To: c.n.peer, Method: method, Sync: true, Version: &version})
		}
	}
	if len(starts) == 0 || c.busyWith("recover") {
		return
	}
	for _, t := range starts {
		c.tried[t.Shard] = c.tried[t.Shard].next()
	}
	c.run.Go(func() {
		defer c.done("recover")
		for _, t := range starts {
			ctx, cancel := context.WithTimeout(c.n.life, 5*time.Second)
			err := c.Propose(ctx, topology.Command{Start: &t})
			cancel()
			if err != nil { // looked at anew by the next pass
				c.n.log.Debug("a recovery could not be started", "shard", t.Shard, "from", t.From, "err", err)
			}
		}
	})
}

// tried is when a recovery was proposed, and how long the next one waits if the replica is still Dead then: a full disk does not
// get better by being filled again.
type tried struct {
	at   time.Time
	wait time.Duration
}

const longestWait = 10 * time.Second

func (t tried) early() bool { return time.Since(t.at) < t.wait }

func (t tried) next() tried { return tried{time.Now(), min(max(2*t.wait, time.Second), longestWait)} }

// traffic counts the transfers of a collection by peer.
type traffic struct{ in, out map[topology.PeerID]int }

func (t *traffic) add(from, to topology.PeerID) {
	if t.in == nil {
		t.in, t.out = map[topology.PeerID]int{}, map[topology.PeerID]int{}
	}
	t.out[from]++
	t.in[to]++
}

// reached reports whether a limit allows no further transfer; nil is none.
func reached(count int, limit *uint64) bool { return limit != nil && uint64(count) >= *limit }

// helper chooses who sends a replica of a shard: an active one that lives and has no other transfer, the primary last, since it
// has work enough. 0: nobody can.
func (c *cluster) helper(shard *topology.Shard, busy traffic) topology.PeerID {
	p := c.n.settings.Storage.Performance
	var fit []topology.PeerID
	for _, peer := range shard.Peers() {
		r := shard.Replicas[peer]
		involved := slices.ContainsFunc(shard.Transfers, func(t topology.Transfer) bool {
			return t.From == peer || t.To == peer || t.From == c.n.peer || t.To == c.n.peer
		})
		if peer == c.n.peer || !r.State.Sends() || !r.InSync || involved || !c.hub.Alive(peer) || reached(busy.out[peer], p.OutgoingTransfersLimit) || reached(busy.in[peer], p.IncomingTransfersLimit) {
			continue
		}
		fit = append(fit, peer)
	}
	if len(fit) == 0 {
		return 0
	}
	if len(fit) > 1 {
		fit = slices.DeleteFunc(fit, func(p topology.PeerID) bool { return p == shard.Primary })
	}
	return fit[c.n.chance().IntN(len(fit))]
}
