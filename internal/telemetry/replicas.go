package telemetry

import (
	"maps"
	"slices"

	"github.com/sextantdb/sextant/internal/node"
)

// replicas prints where the replicas of a cluster's node stand. Each is told by the peer that has it, and how far the others are
// behind by the primary: so the series of all peers together are one per replica and family, however many shards there are.
func (p *printer) replicas(s State) {
	if s.Cluster == nil {
		return
	}
	transfers := func(count func(node.TransferInfo) bool) func(*node.CollectionReport) float64 {
		return func(c *node.CollectionReport) (n float64) {
			for _, t := range c.Transfers {
				n += truth(count(t))
			}
			return n
		}
	}
	p.each(s.Collections, "collection_shard_transfer_incoming", "gauge", "incoming shard transfers currently running",
		transfers(func(t node.TransferInfo) bool { return t.To == s.Peer }))
	p.each(s.Collections, "collection_shard_transfer_outgoing", "gauge", "outgoing shard transfers currently running",
		transfers(func(t node.TransferInfo) bool { return t.From == s.Peer }))
	whole := func(v func(*node.ReplicaSight) uint64) func(*node.ReplicaSight) (float64, bool) {
		return func(r *node.ReplicaSight) (float64, bool) { return float64(v(r)), true }
	}
	flag := func(v func(*node.ReplicaSight) bool) func(*node.ReplicaSight) (float64, bool) {
		return func(r *node.ReplicaSight) (float64, bool) { return truth(v(r)), true }
	}
	lead := func(v func(*node.ReplicaSight) float64) func(*node.ReplicaSight) (float64, bool) {
		return func(r *node.ReplicaSight) (float64, bool) { return v(r), r.Office }
	}
	p.here(s, "sextant_replica_primary", "gauge", "1: orders the writes of the shard",
		flag(func(r *node.ReplicaSight) bool { return r.Primary == s.Peer }))
	p.here(s, "sextant_replica_in_sync", "gauge", "1: every write waits for it", flag(func(r *node.ReplicaSight) bool { return r.InSync }))
	p.here(s, "sextant_replica_readable", "gauge", "1: answers reads", flag(func(r *node.ReplicaSight) bool { return r.Readable }))
	p.here(s, "sextant_replica_term", "gauge", "term of the shard", whole(func(r *node.ReplicaSight) uint64 { return r.Term }))
	p.here(s, "sextant_replica_last_seq", "gauge", "last entry of the log", whole(func(r *node.ReplicaSight) uint64 { return r.Last }))
	p.here(s, "sextant_replica_commit_seq", "gauge", "last entry known to be committed", whole(func(r *node.ReplicaSight) uint64 { return r.Commit }))
	p.here(s, "sextant_replica_applied_seq", "gauge", "last entry that reads can see", whole(func(r *node.ReplicaSight) uint64 { return r.Applied }))
	p.here(s, "sextant_replica_alarms_total", "counter", "what must not be: a replica that differs, a log that was cut",
		whole(func(r *node.ReplicaSight) uint64 { return r.Alarms }))
	p.here(s, "sextant_transfer_sent_bytes_total", "counter", "bytes that transfers of the replica sent, and got back",
		whole(func(r *node.ReplicaSight) uint64 { return r.SentBytes }))
	p.here(s, "sextant_transfer_sent_entries_total", "counter", "entries that transfers of the replica sent",
		whole(func(r *node.ReplicaSight) uint64 { return r.SentEntries }))
	p.here(s, "sextant_replica_pending", "gauge", "operations under way at the primary", lead(func(r *node.ReplicaSight) float64 { return float64(r.Pending) }))
	p.here(s, "sextant_replica_verified_age_seconds", "gauge", "since all replicas were found to hold the same",
		func(r *node.ReplicaSight) (float64, bool) {
			if r.Verified == nil {
				return 0, false
			}
			return *r.Verified, true
		})
	p.followers(s, "sextant_replica_lag_entries", "entries that the primary has and the replica has not", func(f node.FollowerSight) float64 { return float64(f.Lag) })
	p.followers(s, "sextant_replica_lag_seconds", "for how long the replica has owed entries", func(f node.FollowerSight) float64 { return f.Behind })
	p.followers(s, "sextant_replica_in_flight_bytes", "bytes sent and not acknowledged", func(f node.FollowerSight) float64 { return float64(f.InFlight) })
	p.followers(s, "sextant_replica_connected", "1: the primary has a connection to it", func(f node.FollowerSight) float64 { return truth(f.Connected) })
}

// here prints a family with one sample per replica of this node for which value knows one.
func (p *printer) here(s State, name, kind, help string, value func(*node.ReplicaSight) (float64, bool)) {
	begun := false
	for i := range s.Collections {
		c := &s.Collections[i]
		for j := range c.Shards {
			r := c.Shards[j].Stands
			if r == nil {
				continue
			}
			v, ok := value(r)
			if !ok {
				continue
			}
			if !begun {
				begun = true
				p.family(name, kind, help)
			}
			p.sample(name, v, "collection", p.name(c.Name), "shard", decimal(uint64(r.ID)), "peer", decimal(s.Peer))
		}
	}
}

// followers prints a family with one sample per replica that follows a primary of this node.
func (p *printer) followers(s State, name, help string, value func(node.FollowerSight) float64) {
	begun := false
	for i := range s.Collections {
		c := &s.Collections[i]
		for j := range c.Shards {
			r := c.Shards[j].Stands
			if r == nil {
				continue
			}
			for _, peer := range slices.Sorted(maps.Keys(r.Followers)) {
				if !begun {
					begun = true
					p.family(name, "gauge", help)
				}
				p.sample(name, value(r.Followers[peer]), "collection", p.name(c.Name), "shard", decimal(uint64(r.ID)), "peer", decimal(peer))
			}
		}
	}
}
