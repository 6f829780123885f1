package topology

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/sextantdb/sextant"
)

// AddPeer makes a process a member. The first one brings the id of the cluster.
type AddPeer struct {
	ID      PeerID `json:"id"`
	URI     string `json:"uri"`
	Cluster string `json:"cluster,omitempty"`
	Life    uint64 `json:"life,omitempty"`
}

// UpdatePeer changes what is known of a member; what is empty stays.
type UpdatePeer struct {
	ID      PeerID `json:"id"`
	URI     string `json:"uri,omitempty"`
	Version string `json:"version,omitempty"`
	Life    uint64 `json:"life,omitempty"` // goes with the URI
}

// RemovePeer forgets a member and drops its replicas. Without Force it must have none.
type RemovePeer struct {
	ID    PeerID `json:"id"`
	Force bool   `json:"force,omitempty"`
}

// SetMetadata keeps a value for users; null removes it.
type SetMetadata struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
}

// Reinit makes one member the only one. What it knows of terms may be old: they all rise far above any that was used.
type Reinit struct {
	Self PeerID `json:"self"`
	URI  string `json:"uri"`
}

// EpochStep is how far a Reinit raises the terms.
const EpochStep = 1 << 32

// NormalURI is the form in which addresses are stored, shown and compared.
func NormalURI(uri string) string {
	if uri == "" || strings.HasSuffix(uri, "/") {
		return uri
	}
	return uri + "/"
}

func (s *State) addPeer(p *AddPeer) error {
	uri := NormalURI(p.URI)
	for id, other := range s.Peers {
		if id == p.ID || other.URI != uri {
			continue
		}
		if s.Holds(id) {
			return sextant.Errorf(sextant.BadRequest, "peer URI %s already used by peer %d which still has shards, remove its shards first or use a different URI", uri, id)
		}
		return sextant.Errorf(sextant.BadRequest, "peer URI %s already used by peer %d, remove it first or use a different URI", uri, id)
	}
	s.Peers = maps.Clone(s.Peers)
	if s.Peers == nil {
		s.Peers = map[PeerID]Peer{}
	}
	now := s.Peers[p.ID]
	now.URI, now.Life = uri, p.Life
	s.Peers[p.ID] = now
	if s.Cluster == "" {
		s.Cluster = p.Cluster
	}
	if s.FirstPeer == 0 {
		s.FirstPeer = p.ID
	}
	return nil
}

func (s *State) updatePeer(p *UpdatePeer) error {
	now, ok := s.Peers[p.ID]
	if !ok {
		return sextant.Errorf(sextant.NotFound, "Peer %d does not exist", p.ID)
	}
	if p.URI != "" {
		uri := NormalURI(p.URI)
		for id, other := range s.Peers {
			if id != p.ID && other.URI == uri && s.Holds(id) {
				return sextant.Errorf(sextant.BadRequest, "peer URI %s already used by peer %d which still has shards, remove its shards first or use a different URI", uri, id)
			}
		}
		now.URI, now.Life = uri, p.Life
	}
	if p.Version != "" {
		now.Version = p.Version
	}
	s.Peers = maps.Clone(s.Peers)
	s.Peers[p.ID] = now
	return nil
}

// Holds reports whether a peer has replicas, or is about to have.
func (s *State) Holds(p PeerID) bool {
	for _, c := range s.Collections {
		for _, shard := range c.Shards {
			if _, ok := shard.Replicas[p]; ok || slices.ContainsFunc(shard.Transfers, func(t Transfer) bool { return t.To == p }) {
				return true
			}
		}
	}
	return false
}

func (s *State) removePeer(p *RemovePeer) error {
	_, known := s.Peers[p.ID]
	holds := s.Holds(p.ID)
	if holds && !p.Force {
		return sextant.Errorf(sextant.BadRequest, "Cannot remove peer %d as there are shards on it", p.ID)
	}
	if !known && !holds {
		return nil
	}
	s.Peers = maps.Clone(s.Peers)
	delete(s.Peers, p.ID)
	if !holds {
		return nil
	}
	e := s.edit()
	for _, uuid := range slices.Sorted(maps.Keys(s.places)) {
		now := s.Shard(uuid)
		r, ok := now.Replicas[p.ID]
		if !ok {
			continue
		}
		own := e.shard(uuid)
		if r.InSync && now.inSync() == 1 {
			own.force(p.ID)
		}
		own.leave(p.ID, "", 0)
	}
	return nil
}

// force makes the best of the other replicas the only one in sync, since the last one is taken away: what it lacks of what was
// acknowledged is lost.
func (s *Shard) force(gone PeerID) {
	var best PeerID
	rank := func(p PeerID) int {
		return slices.Index([]ReplicaState{ManualRecovery, Partial, Recovery, Dead}, s.Replicas[p].State)
	}
	for _, p := range s.Peers() {
		if p != gone && (best == 0 || rank(p) > rank(best)) {
			best = p // a Dead one has a whole state of before; one that is being filled may have none
		}
	}
	if best == 0 {
		return
	}
	s.Transfers = slices.DeleteFunc(s.Transfers, func(t Transfer) bool { return t.To == best || t.From == gone })
	s.dropRestore(best)
	s.Replicas[best] = Replica{State: Active, InSync: true}
}

func (s *State) setMetadata(m *SetMetadata) {
	s.Metadata = maps.Clone(s.Metadata)
	if s.Metadata == nil {
		s.Metadata = map[string]json.RawMessage{}
	}
	if len(m.Value) == 0 || string(m.Value) == "null" {
		delete(s.Metadata, m.Key)
		return
	}
	s.Metadata[m.Key] = m.Value
}

func (s *State) reinit(r *Reinit) {
	s.Peers = map[PeerID]Peer{r.Self: {URI: NormalURI(r.URI), Version: s.Peers[r.Self].Version}}
	s.FirstPeer = r.Self
	s.Epoch += EpochStep
	e := s.edit()
	for _, uuid := range slices.Sorted(maps.Keys(s.places)) {
		own := e.shard(uuid)
		own.Term += EpochStep
		own.Version++
	}
}
