package topology

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/sextantdb/sextant/internal/order"
)

// Shard is one part of a collection, and who keeps it.
type Shard struct {
	UUID string    `json:"uuid"`
	Key  *ShardKey `json:"key,omitempty"`
	// Term numbers the reigns, Version the in-sync sets: it rises with every change of the set or of the primary.
	Term      order.Term         `json:"term"`
	Version   uint64             `json:"set_version"`
	Primary   PeerID             `json:"primary"`
	Replicas  map[PeerID]Replica `json:"replicas"`
	Transfers []Transfer         `json:"transfers,omitempty"`
	Restores  []Restore          `json:"restores,omitempty"` // at most one for each replica
	Copies    []Copy             `json:"copies,omitempty"`   // of points of this shard to others
	// HalfCopied says that the points that a copy has brought are not all there were, or were not all taken away again.
	HalfCopied bool `json:"half_copied,omitempty"`
	// Restored says that users' snapshots have taken the place of the data: what a peer has from before, which was taken out of
	// the shard meanwhile, is of another line.
	Restored bool `json:"restored,omitempty"`
}

// Replica is one copy of a shard, on a peer.
type Replica struct {
	State ReplicaState `json:"state"`
	// InSync says that its durable append is needed for a commit.
	InSync bool `json:"in_sync"`
	// Differs says that its state was found not to be what its log says: what brings it back does not build on it.
	Differs bool `json:"differs,omitempty"`
}

// UnmarshalJSON also reads the form of the first version, which was the state alone.
func (r *Replica) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		r.InSync = true
		return json.Unmarshal(b, &r.State)
	}
	type plain Replica
	return json.Unmarshal(b, (*plain)(r))
}

// ReplicaState is how far a replica may be used, by its name in the API.
type ReplicaState string

const (
	Active              ReplicaState = "Active"
	Dead                ReplicaState = "Dead"
	Partial             ReplicaState = "Partial"
	Initializing        ReplicaState = "Initializing"
	Listener            ReplicaState = "Listener"
	Recovery            ReplicaState = "Recovery"
	PartialSnapshot     ReplicaState = "PartialSnapshot"
	Resharding          ReplicaState = "Resharding"
	ReshardingScaleDown ReplicaState = "ReshardingScaleDown"
	ActiveRead          ReplicaState = "ActiveRead"
	ManualRecovery      ReplicaState = "ManualRecovery"
)

// Readable reports whether reads may be answered by a replica of the state.
func (s ReplicaState) Readable() bool {
	return s == Active || s == ReshardingScaleDown || s == ActiveRead
}

// active reports whether a replica of the state may be the sender of a transfer, and counts as one that keeps the shard alive.
func (s ReplicaState) active() bool { return s == Active || s == ReshardingScaleDown }

// counts reports whether a replica may take the state without a transfer and stay in sync.
func (s ReplicaState) counts() bool {
	switch s {
	case Active, Initializing, Listener, Resharding, ReshardingScaleDown, ActiveRead:
		return true
	}
	return false
}

// Sends reports whether a replica of the state may be the sender of a transfer.
func (s ReplicaState) Sends() bool { return s.active() }

// Methods of transfers.
const (
	WALDelta                = "wal_delta"
	StreamRecords           = "stream_records"
	SnapshotMethod          = "snapshot"
	ReshardingStreamRecords = "resharding_stream_records"
)

// Transfer brings a replica to what another one has. An ID is never given twice; Attempt rises when it begins anew.
type Transfer struct {
	ID       uint64   `json:"id"`
	Attempt  uint64   `json:"attempt"`
	From     PeerID   `json:"from"` // 0: the sender is gone, and not needed any more
	To       PeerID   `json:"to"`
	ToShard  *ShardID `json:"to_shard,omitempty"`
	Method   string   `json:"method"`
	Sync     bool     `json:"sync"` // the sender keeps its replica
	Admitted bool     `json:"admitted,omitempty"`
	// Added says that the receiver had no replica before.
	Added bool `json:"added,omitempty"`
}

// Peers returns who has a replica, ascending.
func (s *Shard) Peers() []PeerID { return slices.Sorted(maps.Keys(s.Replicas)) }

// InSync returns whose durable append a commit needs, ascending.
func (s *Shard) InSync() []PeerID {
	return slices.DeleteFunc(s.Peers(), func(p PeerID) bool { return !s.Replicas[p].InSync })
}

// Readable returns whose replicas may answer reads, ascending.
func (s *Shard) Readable() []PeerID {
	return slices.DeleteFunc(s.Peers(), func(p PeerID) bool { return !s.MayRead(p) })
}

// MayRead reports whether reads may be answered by a replica. One over which a snapshot is being restored goes on with what it
// had, if it is in sync, until its data are replaced.
func (s *Shard) MayRead(p PeerID) bool {
	r := s.Replicas[p]
	return r.State.Readable() || r.State == ManualRecovery && r.InSync && !s.Restoring()
}

// Transfer returns the transfer of an id, nil if there is none.
func (s *Shard) Transfer(id uint64) *Transfer {
	for i := range s.Transfers {
		if s.Transfers[i].ID == id {
			return &s.Transfers[i]
		}
	}
	return nil
}

// lastActive reports whether nobody else keeps the shard alive: the replica is the only active one, or there is none and it
// may become so by itself.
func (s *Shard) lastActive(p PeerID) bool {
	active := 0
	for _, r := range s.Replicas {
		if r.State.active() {
			active++
		}
	}
	mine := s.Replicas[p].State
	if active == 0 {
		return mine == Initializing || mine == Listener
	}
	return active == 1 && mine.active()
}

// clone copies a shard, to be changed.
func (s *Shard) clone() *Shard {
	c := *s
	c.Replicas = maps.Clone(s.Replicas)
	c.Transfers = slices.Clone(s.Transfers)
	c.Restores = slices.Clone(s.Restores)
	c.Copies = slices.Clone(s.Copies)
	return &c
}

func (s *Shard) inSync() int {
	n := 0
	for _, r := range s.Replicas {
		if r.InSync {
			n++
		}
	}
	return n
}

// elect names a primary among those in sync: the preferred one, else an active one, else any but a listener; the lowest
// id of equals.
func (s *Shard) elect(preferred PeerID) {
	s.Term++
	if s.Replicas[preferred].InSync {
		s.Primary = preferred
		return
	}
	rank := func(p PeerID) int {
		switch r := s.Replicas[p]; {
		case r.State.active():
			return 0
		case r.State == Listener:
			return 2
		}
		return 1
	}
	in := s.InSync()
	if len(in) == 0 {
		s.Primary = 0
		return
	}
	s.Primary = slices.MinFunc(in, func(a, b PeerID) int { return rank(a) - rank(b) })
}

// leave takes a replica out of the in-sync set and gives it a state; "" removes it. Transfers to it end, those from it too,
// unless the receiver is admitted: that one needs no sender any more. A snapshot that is being restored over it goes on.
func (s *Shard) leave(p PeerID, state ReplicaState, successor PeerID) {
	s.leaveCopies(p)
	if r := s.RestoreOf(p); r != nil && state == "" {
		s.dropRestore(p)
	} else if r != nil {
		r.Was, state = Dead, ManualRecovery
	}
	if state == "" {
		delete(s.Replicas, p)
	} else {
		s.Replicas[p] = Replica{State: state, Differs: s.Replicas[p].Differs}
	}
	for i := 0; i < len(s.Transfers); i++ {
		t := &s.Transfers[i]
		switch {
		case t.To == p:
		case t.From == p && t.Admitted:
			t.From = 0
			continue
		case t.From == p:
			s.lose(t.To, t)
		default:
			continue
		}
		s.Transfers = slices.Delete(s.Transfers, i, i+1)
		i--
	}
	if s.Primary == p {
		s.elect(successor)
	}
	s.Version++
	s.settle()
}

// lose makes a replica that was being filled what the end of its transfer leaves: Dead, or gone if it was to be moved.
func (s *Shard) lose(p PeerID, t *Transfer) {
	if t.Sync {
		s.Replicas[p] = Replica{State: Dead, Differs: s.Replicas[p].Differs}
	} else {
		delete(s.Replicas, p)
	}
	if s.Primary == p {
		s.elect(0)
	}
}

// settle ends the transfers whose receiver, admitted, has become primary or the last one in sync: it is a full copy, and
// nothing may take it away.
func (s *Shard) settle() {
	for i := 0; i < len(s.Transfers); i++ {
		t := s.Transfers[i]
		if t.Admitted && (s.Primary == t.To || s.inSync() == 1 && s.Replicas[t.To].InSync) {
			s.Replicas[t.To] = Replica{State: Active, InSync: true}
			s.Transfers = slices.Delete(s.Transfers, i, i+1)
			i--
		}
	}
}
