package topology

import (
	"slices"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/order"
)

// ReplicaFailed takes a replica out of the in-sync set: it does not acknowledge, or, if it is the primary, does not answer. It
// is void when Term or Version are not those of the shard any more, and for the last replica in sync.
type ReplicaFailed struct {
	Shard     string     `json:"shard"`
	Term      order.Term `json:"term"`
	Version   uint64     `json:"version"`
	Peer      PeerID     `json:"peer"`
	Successor PeerID     `json:"successor,omitempty"` // of a primary
	// Differs says that the replica's state was found not to be that of the others.
	Differs bool `json:"differs,omitempty"`
}

// ClaimPrimary gives the named primary a new term, since it may not use the present one.
type ClaimPrimary struct {
	Shard string     `json:"shard"`
	Term  order.Term `json:"term"`
	Peer  PeerID     `json:"peer"`
}

// SetReplica gives a replica a state. With From it is done only if that is the present one.
type SetReplica struct {
	Shard string       `json:"shard"`
	Peer  PeerID       `json:"peer"`
	State ReplicaState `json:"state"`
	From  ReplicaState `json:"from,omitempty"`
}

// replicas does lists of changes: each is done or void; an error is given only for one that stands alone.
func (s *State) replicas(c Command) error {
	e := s.edit()
	for _, f := range c.Failed {
		now := s.Shard(f.Shard)
		if now == nil || now.Term != f.Term || now.Version != f.Version {
			continue
		}
		r, ok := now.Replicas[f.Peer]
		if !ok || r.State == Dead || r.InSync && now.inSync() == 1 {
			continue
		}
		own := e.shard(f.Shard)
		if f.Differs {
			r.Differs = true
			own.Replicas[f.Peer] = r
		}
		own.leave(f.Peer, Dead, f.Successor)
	}
	for _, c := range c.Claims {
		if now := s.Shard(c.Shard); now == nil || now.Term != c.Term || now.Primary != c.Peer {
			continue
		}
		own := e.shard(c.Shard)
		own.Term++
		own.Version++
	}
	for _, r := range c.Replicas {
		if err := s.set(e, r); err != nil && len(c.Replicas) == 1 {
			return err
		}
	}
	return nil
}

func (s *State) set(e *edit, r SetReplica) error {
	now := s.Shard(r.Shard)
	if now == nil {
		return sextant.Errorf(sextant.BadRequest, "Shard %s does not exist", r.Shard)
	}
	_, id, _ := s.Place(r.Shard)
	was, ok := now.Replicas[r.Peer]
	if _, known := s.Peers[r.Peer]; !ok && !known {
		return sextant.Errorf(sextant.WrongInput, "Can't set replica %d:%d state to %s, because replica %d:%d does not exist and peer %d is not part of the cluster",
			r.Peer, id, r.State, r.Peer, id, r.Peer)
	}
	if r.From != "" && was.State != r.From {
		return sextant.Errorf(sextant.WrongInput, "Replica %d of shard %d has state %s, but expected %s", r.Peer, id, was.State, r.From)
	}
	if !ok || was.State == r.State {
		return nil
	}
	if now.RestoreOf(r.Peer) != nil {
		return sextant.Errorf(sextant.WrongInput, "Replica %d of shard %d is being restored from a snapshot: it becomes %s by nothing else", r.Peer, id, r.State)
	}
	leaves := !r.State.counts()
	if now.lastActive(r.Peer) && !r.State.active() && (was.State != Initializing || leaves) || leaves && was.InSync && now.inSync() == 1 {
		return sextant.Errorf(sextant.WrongInput, "Cannot deactivate the last active replica %d of shard %d", r.Peer, id)
	}
	switch {
	case leaves:
		e.shard(r.Shard).leave(r.Peer, r.State, 0)
	case !was.InSync || slices.ContainsFunc(now.Transfers, func(t Transfer) bool { return t.To == r.Peer }):
		return sextant.Errorf(sextant.WrongInput, "Replica %d of shard %d is not in sync: only a transfer makes it %s", r.Peer, id, r.State)
	default:
		own := e.shard(r.Shard)
		own.Replicas[r.Peer] = Replica{State: r.State, InSync: true}
		own.Version++
	}
	return nil
}

// DropReplica removes a replica. The last one in sync is never removed.
type DropReplica struct {
	Shard string `json:"shard"`
	Peer  PeerID `json:"peer"`
}

func (s *State) dropReplica(d *DropReplica) error {
	now := s.Shard(d.Shard)
	if now == nil {
		return sextant.Errorf(sextant.BadRequest, "Shard %s does not exist", d.Shard)
	}
	_, id, _ := s.Place(d.Shard)
	r, ok := now.Replicas[d.Peer]
	if !ok {
		return sextant.Errorf(sextant.BadRequest, "Peer %d has no replica of shard %d", d.Peer, id)
	}
	if now.lastActive(d.Peer) || len(now.Replicas) == 1 || r.InSync && now.inSync() == 1 {
		return sextant.Errorf(sextant.BadRequest, "Shard %d must have at least one active replica after removing %d", id, d.Peer)
	}
	s.edit().shard(d.Shard).leave(d.Peer, "", 0)
	return nil
}
