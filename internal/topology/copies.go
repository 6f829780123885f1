package topology

import (
	"slices"

	"github.com/sextantdb/sextant"
)

// Copy brings points of a shard to a shard of another key, whose only replica may be used when all have come. It is kept by the
// shard that has the points.
type Copy struct {
	ID     uint64       `json:"id"` // never given twice, nor to a transfer
	From   PeerID       `json:"from"`
	To     PeerID       `json:"to"`
	Target string       `json:"target"` // the other shard's uuid
	ToID   ShardID      `json:"to_shard"`
	Filter []byte       `json:"filter,omitempty"` // as package codec writes it; none: all points
	Wipe   bool         `json:"wipe,omitempty"`   // what the target has is left from a copy that did not get to its end
	Was    ReplicaState `json:"was"`              // of the target's replica
	Stage  CopyStage    `json:"stage"`
}

// CopyStage is how far a copy is.
type CopyStage uint8

const (
	Copying  CopyStage = iota // writes for the other key and a fallback go to the fallback
	Fenced                    // they wait
	Complete                  // they wait; reads go to the target, whose state is ActiveRead: there is no way back
)

// CopyStart begins a copy. The peers are those of the shards' replicas.
type CopyStart struct {
	Shard  string `json:"shard"`
	Target string `json:"target"`
	From   PeerID `json:"from"`
	Filter []byte `json:"filter,omitempty"`
}

// CopyNext takes a copy to its next stage.
type CopyNext struct {
	Shard string    `json:"shard"`
	ID    uint64    `json:"id"`
	Stage CopyStage `json:"stage"` // the next one
}

// CopyEnd ends a copy: the target is Active when it is complete, else what it was.
type CopyEnd struct {
	Shard  string `json:"shard"`
	ID     uint64 `json:"id"`
	Reason string `json:"reason,omitempty"`
}

// Copy returns the copy of an id, nil if there is none.
func (s *Shard) Copy(id uint64) *Copy {
	for i := range s.Copies {
		if s.Copies[i].ID == id {
			return &s.Copies[i]
		}
	}
	return nil
}

// leaveCopies ends what a replica sends. What is complete needs it no more.
func (s *Shard) leaveCopies(p PeerID) {
	s.Copies = slices.DeleteFunc(s.Copies, func(c Copy) bool { return c.From == p && c.Stage < Complete })
	for i := range s.Copies {
		if s.Copies[i].From == p {
			s.Copies[i].From = 0
		}
	}
}

// copied reports whether a shard is the target of a copy.
func (s *State) copied(uuid string) *Copy {
	for _, c := range s.Collections {
		for _, shard := range c.Shards {
			for i := range shard.Copies {
				if shard.Copies[i].Target == uuid {
					return &shard.Copies[i]
				}
			}
		}
	}
	return nil
}

func (s *State) copyStart(c *CopyStart) error {
	now, target := s.Shard(c.Shard), s.Shard(c.Target)
	if now == nil {
		return sextant.Errorf(sextant.BadRequest, "Shard %s does not exist", c.Shard)
	}
	if target == nil {
		return sextant.Errorf(sextant.BadRequest, "Target shard is not set for filtered points transfer")
	}
	_, id, _ := s.Place(c.Shard)
	_, to, _ := s.Place(c.Target)
	if c.Shard == c.Target {
		return sextant.Errorf(sextant.BadRequest, "Source and target shard must be different for filtered points transfer, both are %d", id)
	}
	if from := now.Replicas[c.From]; !from.State.active() || !from.InSync {
		return sextant.Errorf(sextant.BadRequest, "Shard %d is not active on peer %d", id, c.From)
	}
	if len(target.Replicas) != 1 {
		return sextant.Errorf(sextant.BadRequest, "Shard %d must have exactly one replica to receive points, it has %d", to, len(target.Replicas))
	}
	peer := target.Peers()[0]
	replica := target.Replicas[peer]
	if other := s.copied(c.Target); other != nil || len(target.Transfers)+len(target.Restores)+len(target.Copies) > 0 {
		a, b := c.From, peer
		if other != nil {
			a, b = other.From, other.To
		}
		return sextant.Errorf(sextant.BadRequest, "Shard %d is already involved in transfer %d -> %d", to, a, b)
	}
	if !replica.InSync {
		return sextant.Errorf(sextant.BadRequest, "Filtered shard transfer can't be started, because destination shard %d/%d is dead", peer, to)
	}
	e := s.edit()
	own, other := e.shard(c.Shard), e.shard(c.Target)
	s.Transfers++
	own.Copies = append(own.Copies, Copy{ID: s.Transfers, From: c.From, To: peer, Target: c.Target, ToID: to, Filter: c.Filter, Wipe: other.HalfCopied, Was: replica.State})
	other.HalfCopied = true
	other.Replicas[peer] = Replica{State: Partial, InSync: true}
	other.Version++
	return nil
}

// copyOf returns the shard and the copy that a command is about, nils if they are no more.
func (s *State) copyOf(shard string, id uint64) (*Shard, *Copy) {
	if now := s.Shard(shard); now != nil {
		if c := now.Copy(id); c != nil {
			return now, c
		}
	}
	return nil, nil
}

func (s *State) copyNext(n *CopyNext) {
	_, c := s.copyOf(n.Shard, n.ID)
	if c == nil || n.Stage != c.Stage+1 || n.Stage > Complete {
		return
	}
	e := s.edit()
	e.shard(n.Shard).Copy(n.ID).Stage = n.Stage
	if n.Stage == Complete {
		s.copiedTo(e, c, ActiveRead)
	}
}

func (s *State) copyEnd(d *CopyEnd) {
	_, c := s.copyOf(d.Shard, d.ID)
	if c == nil {
		return
	}
	e := s.edit()
	own := e.shard(d.Shard)
	own.Copies = slices.DeleteFunc(own.Copies, func(x Copy) bool { return x.ID == d.ID })
	if c.Stage < Complete {
		s.copiedTo(e, c, c.Was)
		return
	}
	s.copiedTo(e, c, Active)
	if target := e.shard(c.Target); target != nil {
		target.HalfCopied = false
	}
}

// copiedTo gives the replica that receives a copy a state, if it is there still.
func (s *State) copiedTo(e *edit, c *Copy, state ReplicaState) {
	target := e.shard(c.Target)
	if target == nil {
		return
	}
	if r, ok := target.Replicas[c.To]; ok && r.InSync && target.RestoreOf(c.To) == nil {
		target.Replicas[c.To] = Replica{State: state, InSync: true, Differs: r.Differs}
		target.Version++
	}
}
