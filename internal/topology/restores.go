package topology

import (
	"slices"

	"github.com/sextantdb/sextant"
)

// Restore is a user's snapshot on its way into the place of what a replica has. Until it is decided the replica is what it was, and
// so are the others; from then on it is the only one in sync, whether the data are in their place already or not, and nobody
// leads the shard until they are.
type Restore struct {
	ID   uint64 `json:"id"` // never given twice, nor to a transfer
	Peer PeerID `json:"peer"`
	// Was is what the replica becomes again if nothing comes of it.
	Was     ReplicaState `json:"was"`
	Decided bool         `json:"decided,omitempty"`
	// Behind says that the replica was not in sync when it was decided: others may have more entries than it knows of.
	Behind bool `json:"behind,omitempty"`
}

// RestoreStart announces that a snapshot is being restored over a replica. One that was announced before goes on.
type RestoreStart struct {
	Shard string `json:"shard"`
	Peer  PeerID `json:"peer"`
	// Add gives a peer that has no replica one without data, and does nothing else.
	Add bool `json:"add,omitempty"`
}

// RestoreDecide makes the replica the only one in sync, and its primary, under the next term. The data must be ready to be put in
// their place, whatever happens. The other replicas are Dead, and differ; with a Factor, those beyond it are removed. Restores over
// others that are not decided go on: the last one that is decided counts.
type RestoreDecide struct {
	Shard  string `json:"shard"`
	ID     uint64 `json:"id"`
	Factor int    `json:"factor,omitempty"` // 0: all are kept
}

// RestoreEnd makes the replica Active, since the data are in their place; of a restore that is not decided it makes the replica
// what it was.
type RestoreEnd struct {
	Shard string `json:"shard"`
	ID    uint64 `json:"id"`
	// Abandon says which of both is meant: whether nothing comes of the restore.
	Abandon bool `json:"abandon,omitempty"`
}

// RestoreOf returns the restore over the replica of a peer, nil if there is none.
func (s *Shard) RestoreOf(p PeerID) *Restore {
	for i := range s.Restores {
		if s.Restores[i].Peer == p {
			return &s.Restores[i]
		}
	}
	return nil
}

// Restoring reports whether the data of the shard are being replaced now: it is decided, and not done.
func (s *Shard) Restoring() bool {
	return slices.ContainsFunc(s.Restores, func(r Restore) bool { return r.Decided })
}

func (s *Shard) dropRestore(p PeerID) {
	s.Restores = slices.DeleteFunc(s.Restores, func(r Restore) bool { return r.Peer == p })
}

func (s *State) restore(r *RestoreStart) error {
	now := s.Shard(r.Shard)
	if now == nil {
		return sextant.Errorf(sextant.BadRequest, "Shard %s does not exist", r.Shard)
	}
	if c := s.copied(r.Shard); c != nil {
		_, id, _ := s.Place(r.Shard)
		return sextant.Errorf(sextant.BadRequest, "Shard %d is already involved in transfer %d -> %d", id, c.From, c.To)
	}
	was, ok := now.Replicas[r.Peer]
	switch _, member := s.Peers[r.Peer]; {
	case ok && r.Add:
		return nil
	case r.Add && !member:
		return sextant.Errorf(sextant.BadRequest, "Peer %d does not exist", r.Peer)
	case r.Add:
		own := s.edit().shard(r.Shard)
		own.Replicas[r.Peer] = Replica{State: Dead, Differs: own.Restored}
		own.Version++
		return nil
	case !ok:
		_, id, _ := s.Place(r.Shard)
		return sextant.Errorf(sextant.WrongInput, "Shard %d is not a local or queue proxy shard", id)
	}
	if now.RestoreOf(r.Peer) != nil {
		return nil
	}
	own := s.edit().shard(r.Shard)
	if slices.ContainsFunc(own.Transfers, func(t Transfer) bool { return t.To == r.Peer }) {
		own.leave(r.Peer, ManualRecovery, 0)
		was.InSync = false
	}
	if !was.InSync {
		was.State = Dead
	}
	s.Transfers++
	own.Replicas[r.Peer] = Replica{State: ManualRecovery, InSync: was.InSync, Differs: was.Differs}
	own.Restores = append(own.Restores, Restore{ID: s.Transfers, Peer: r.Peer, Was: was.State})
	own.Version++
	return nil
}

func (s *State) decide(d *RestoreDecide) error {
	now := s.Shard(d.Shard)
	if now == nil {
		return sextant.Errorf(sextant.BadRequest, "Shard %s does not exist", d.Shard)
	}
	at := slices.IndexFunc(now.Restores, func(r Restore) bool { return r.ID == d.ID })
	if at < 0 {
		return sextant.Errorf(sextant.BadRequest, "Restore %d of shard %s does not exist", d.ID, d.Shard)
	}
	if now.Restores[at].Decided {
		return nil
	}
	own := s.edit().shard(d.Shard)
	r := own.Restores[at]
	r.Decided, r.Behind = true, !own.Replicas[r.Peer].InSync
	for _, t := range own.Transfers {
		if !t.Sync {
			delete(own.Replicas, t.To) // half moved: the one that is restored is what there is
		}
	}
	own.Transfers = nil
	for _, p := range own.Peers() {
		own.leaveCopies(p) // what they send is no more
	}
	others := slices.DeleteFunc(own.Peers(), func(p PeerID) bool { return p == r.Peer })
	slices.SortStableFunc(others, func(a, b PeerID) int { return own.worth(b) - own.worth(a) })
	own.Restores = []Restore{r}
	for i, p := range others {
		other := now.RestoreOf(p)
		switch {
		case d.Factor > 0 && i+1 >= d.Factor:
			delete(own.Replicas, p)
		case other != nil && !other.Decided: // its turn comes
			own.Restores = append(own.Restores, Restore{ID: other.ID, Peer: p, Was: Dead})
			own.Replicas[p] = Replica{State: ManualRecovery, Differs: true}
		default:
			own.Replicas[p] = Replica{State: Dead, Differs: true}
		}
	}
	own.Replicas[r.Peer] = Replica{State: ManualRecovery, InSync: true}
	own.Primary, own.Restored = r.Peer, true
	own.Term++
	own.Version++
	return nil
}

// worth orders replicas by which of them is kept rather.
func (s *Shard) worth(p PeerID) int {
	switch r := s.Replicas[p]; {
	case r.State.active():
		return 2
	case r.InSync:
		return 1
	}
	return 0
}

func (s *State) restored(e *RestoreEnd) {
	now := s.Shard(e.Shard)
	if now == nil {
		return
	}
	at := slices.IndexFunc(now.Restores, func(r Restore) bool { return r.ID == e.ID })
	if at < 0 || now.Restores[at].Decided == e.Abandon {
		return
	}
	own := s.edit().shard(e.Shard)
	r := own.Restores[at]
	own.Restores = slices.Delete(own.Restores, at, at+1)
	replica := own.Replicas[r.Peer]
	switch {
	case r.Decided:
		replica.State = Active
	case replica.InSync && r.Was.counts():
		replica.State = r.Was
	case replica.InSync:
		replica.State = Active
	default:
		replica.State = Dead
	}
	own.Replicas[r.Peer] = replica
	own.Version++
	own.settle()
}
