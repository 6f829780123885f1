package topology

import (
	"slices"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/order"
)

// TransferStart begins a transfer. A user's wish lacks Version; automatic recovery names the in-sync set that it saw, and wants
// nothing unless the receiver is Dead.
type TransferStart struct {
	Shard   string  `json:"shard"`
	From    PeerID  `json:"from"`
	To      PeerID  `json:"to"`
	Method  string  `json:"method"`
	Sync    bool    `json:"sync"`
	Version *uint64 `json:"version,omitempty"`
}

// TransferStage begins a transfer anew, by the same method or another.
type TransferStage struct {
	Shard   string `json:"shard"`
	ID      uint64 `json:"id"`
	Attempt uint64 `json:"attempt"`
	Method  string `json:"method"`
}

// Admit puts the receiver of a transfer into the in-sync set. The primary that counts it already proposes it, nobody else.
type Admit struct {
	ID      uint64     `json:"id"`
	Attempt uint64     `json:"attempt"`
	Shard   string     `json:"shard"`
	Term    order.Term `json:"term"`
	Peer    PeerID     `json:"peer"`
}

// TransferFinish makes an admitted receiver Active; of a move, the sender leaves.
type TransferFinish struct {
	Shard   string `json:"shard"`
	ID      uint64 `json:"id"`
	Attempt uint64 `json:"attempt"`
}

// TransferAbort ends a transfer: its receiver is Dead, or gone if it was to be moved.
type TransferAbort struct {
	Shard  string `json:"shard"`
	ID     uint64 `json:"id"`
	Reason string `json:"reason"`
	// Differs says that the receiver's state was found not to be the primary's.
	Differs bool `json:"differs,omitempty"`
}

// receiving is the state of a receiver by method, before it is admitted.
func receiving(method string) ReplicaState {
	if method == StreamRecords {
		return Partial
	}
	return Recovery
}

func (s *State) start(t *TransferStart) error {
	now := s.Shard(t.Shard)
	if now == nil {
		return sextant.Errorf(sextant.BadRequest, "Shard %s does not exist", t.Shard)
	}
	_, id, _ := s.Place(t.Shard)
	if t.Version != nil && (now.Version != *t.Version || now.Replicas[t.To].State != Dead) {
		return nil // what it rests on is no longer so
	}
	if from := now.Replicas[t.From]; !from.State.active() || !from.InSync {
		return sextant.Errorf(sextant.BadRequest, "Shard %d is not active on peer %d", id, t.From)
	}
	if t.From == t.To {
		return sextant.Errorf(sextant.BadRequest, "cannot transfer shard to itself, \"to_peer_id\" must be different than %d in \"from_peer_id\"", t.From)
	}
	if t.Method == ReshardingStreamRecords {
		return sextant.Errorf(sextant.BadRequest, "Target shard is not set for resharding transfer")
	}
	for _, p := range []PeerID{t.From, t.To} {
		if _, ok := s.Peers[p]; !ok {
			return sextant.Errorf(sextant.BadRequest, "Peer %d does not exist", p)
		}
	}
	if now.RestoreOf(t.To) != nil {
		return sextant.Errorf(sextant.BadRequest, "Shard %d is being restored from a snapshot on peer %d", id, t.To)
	}
	for _, other := range now.Transfers {
		for _, p := range []PeerID{t.From, t.To} {
			if other.From == p || other.To == p {
				return sextant.Errorf(sextant.BadRequest, "Shard %d is already involved in transfer %d -> %d", id, other.From, other.To)
			}
		}
	}
	own := s.edit().shard(t.Shard)
	_, had := own.Replicas[t.To]
	s.Transfers++
	own.Replicas[t.To] = Replica{State: receiving(t.Method), Differs: own.Replicas[t.To].Differs || !had && own.Restored}
	own.Transfers = append(own.Transfers, Transfer{ID: s.Transfers, Attempt: 1, From: t.From, To: t.To, Method: t.Method, Sync: t.Sync, Added: !had})
	if own.Primary == t.To {
		own.elect(t.From)
	}
	own.Version++
	own.settle()
	return nil
}

// transfer returns a shard and the index of a transfer in it; -1 if it is not there.
func (s *State) transfer(shard string, id uint64) (now *Shard, at int) {
	now = s.Shard(shard)
	if now == nil {
		return nil, -1
	}
	return now, slices.IndexFunc(now.Transfers, func(t Transfer) bool { return t.ID == id })
}

func (s *State) stage(t *TransferStage) error {
	now, at := s.transfer(t.Shard, t.ID)
	if at < 0 || now.Transfers[at].Attempt != t.Attempt {
		return nil
	}
	if now.Transfers[at].Admitted {
		return sextant.Errorf(sextant.BadRequest, "the receiver of the transfer has all data already, it cannot be restarted")
	}
	own := s.edit().shard(t.Shard)
	x := &own.Transfers[at]
	x.Attempt++
	x.Method = t.Method
	own.Replicas[x.To] = Replica{State: receiving(t.Method), Differs: own.Replicas[x.To].Differs}
	return nil
}

func (s *State) admit(a *Admit) {
	now, at := s.transfer(a.Shard, a.ID)
	if at < 0 || now.Transfers[at].Attempt != a.Attempt || now.Transfers[at].Admitted || now.Term != a.Term || now.Transfers[at].To != a.Peer {
		return
	}
	own := s.edit().shard(a.Shard)
	own.Transfers[at].Admitted = true
	own.Replicas[a.Peer] = Replica{State: Partial, InSync: true, Differs: own.Replicas[a.Peer].Differs}
	own.Version++
}

func (s *State) finish(f *TransferFinish) error {
	now, at := s.transfer(f.Shard, f.ID)
	if at < 0 || now.Transfers[at].Attempt != f.Attempt || !now.Transfers[at].Admitted {
		return nil
	}
	own := s.edit().shard(f.Shard)
	t := own.Transfers[at]
	own.Transfers = slices.Delete(own.Transfers, at, at+1)
	own.Replicas[t.To] = Replica{State: Active, InSync: true}
	own.Version++
	if !t.Sync && own.Replicas[t.From].InSync {
		own.leave(t.From, "", t.To)
	}
	return nil
}

func (s *State) abort(a *TransferAbort) {
	_, at := s.transfer(a.Shard, a.ID)
	if at < 0 {
		return
	}
	own := s.edit().shard(a.Shard)
	t := own.Transfers[at]
	own.Transfers = slices.Delete(own.Transfers, at, at+1)
	own.Version++
	if t.Admitted && own.inSync() == 1 {
		own.Replicas[t.To] = Replica{State: Active, InSync: true} // the only full copy: it is finished instead
		return
	}
	if a.Differs {
		r := own.Replicas[t.To]
		r.Differs = true
		own.Replicas[t.To] = r
	}
	own.lose(t.To, &t)
	own.settle()
}
