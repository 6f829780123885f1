package topology

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/order"
)

// State is what is agreed on. It is never changed after it was published: Apply returns another one that shares what stayed
// the same, so an equal pointer means that nothing in it has changed.
type State struct {
	Index       uint64                     `json:"version"`           // of the last command applied, in the log of consensus
	Cluster     string                     `json:"cluster,omitempty"` // id of the cluster, from its first peer
	Epoch       order.Term                 `json:"epoch,omitempty"`   // terms of new shards begin above it
	Peers       map[PeerID]Peer            `json:"peers,omitempty"`
	FirstPeer   PeerID                     `json:"first_peer,omitempty"`
	Metadata    map[string]json.RawMessage `json:"metadata,omitempty"`
	Transfers   uint64                     `json:"transfers,omitempty"` // ids given to transfers so far
	Collections map[string]*Collection     `json:"collections"`
	Aliases     map[string]string          `json:"aliases"` // to names of collections

	places map[string]place // of shards by uuid
}

// place is where a shard stands in a State.
type place struct {
	collection string
	id         ShardID
}

// Peer is a member of the cluster.
type Peer struct {
	URI     string `json:"uri"` // with a slash at its end
	Version string `json:"version,omitempty"`
	Life    uint64 `json:"life,omitempty"` // of the process that said where it is
}

// Collection is one collection. UUID tells it from others that had or will have its name.
type Collection struct {
	UUID string `json:"uuid"`
	// Revision rises with every change of Config or Fields: whoever proposes a change says what it was made from.
	Revision uint64                   `json:"revision"`
	Config   sextant.CollectionConfig `json:"config"`
	// Fields are the payload indexes by path.
	Fields map[string]sextant.FieldSpec `json:"fields,omitempty"`
	Shards map[ShardID]*Shard           `json:"shards"`
}

// Resolve follows an alias; other names stay themselves.
func (s *State) Resolve(name string) string {
	if target, ok := s.Aliases[name]; ok {
		return target
	}
	return name
}

// Collection returns the collection of a name or alias, and its own name.
func (s *State) Collection(name string) (string, *Collection, error) {
	own := s.Resolve(name)
	c, ok := s.Collections[own]
	if !ok {
		return "", nil, missing(name)
	}
	return own, c, nil
}

// ShardIDs returns the shards of the collection, ascending.
func (c *Collection) ShardIDs() []ShardID { return slices.Sorted(maps.Keys(c.Shards)) }

// Schema returns the vector names and payload indexes that every shard of the collection has.
func (c *Collection) Schema() sextant.Schema {
	schema := c.Config.Schema()
	schema.Fields = maps.Clone(c.Fields)
	return schema
}

func missing(name string) error {
	return sextant.Errorf(sextant.NotFound, "Collection `%s` doesn't exist!", name)
}

// MarshalJSON and UnmarshalJSON give a shard key its natural form: a JSON string or number.
func (k ShardKey) MarshalJSON() ([]byte, error) {
	if k.IsNumber {
		return json.Marshal(k.Number)
	}
	return json.Marshal(k.Word)
}

// UnmarshalJSON implements json.Unmarshaler.
func (k *ShardKey) UnmarshalJSON(b []byte) error {
	*k = ShardKey{}
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &k.Word)
	}
	k.IsNumber = true
	return json.Unmarshal(b, &k.Number)
}

// Machine holds the published State and applies encoded commands to it; it is what consensus drives.
type Machine struct {
	state atomic.Pointer[State] // published

	// Of the one caller who applies:
	head *State // what is applied to; nil: the published one
	hold uint64 // nothing older is published

	mu    sync.Mutex
	moved chan struct{}
}

// Hold tells that everything is applied anew from an older image. Until it has come to where it was, State stays what it is:
// nobody may see collections vanish and come again.
func (m *Machine) Hold() { m.hold = max(m.hold, m.State().Index) }

// latest is what the next command is applied to.
func (m *Machine) latest() *State {
	if m.head != nil {
		return m.head
	}
	return m.State()
}

// State returns the present state, shared and not to be changed.
func (m *Machine) State() *State {
	if s := m.state.Load(); s != nil {
		return s
	}
	return &State{}
}

// Watch returns a channel that is closed when the state moves on. Take it before looking at State.
func (m *Machine) Watch() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.moved == nil {
		m.moved = make(chan struct{})
	}
	return m.moved
}

func (m *Machine) publish(s *State) {
	if s.Index < m.hold {
		m.head = s
		return
	}
	m.head, m.hold = nil, 0
	m.state.Store(s)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.moved != nil {
		close(m.moved)
		m.moved = nil
	}
}

// Apply does one encoded command. One caller at a time.
func (m *Machine) Apply(index uint64, command []byte) error {
	var c Command
	if err := json.Unmarshal(command, &c); err != nil {
		return sextant.Errorf(sextant.Corrupt, "topology: a command cannot be read: %w", err)
	}
	next, err := m.latest().Apply(index, c)
	if err == nil {
		m.publish(next)
	}
	return err
}

// Image returns the state as bytes.
func (m *Machine) Image() []byte {
	b, err := json.Marshal(m.latest())
	if err != nil {
		panic("topology: the state has no JSON form: " + err.Error()) // plain values only
	}
	return b
}

// Restore replaces the state by that of an image.
func (m *Machine) Restore(image []byte) error {
	s, err := Decode(image)
	if err == nil {
		m.publish(s)
	}
	return err
}

// Decode reads an image.
func Decode(image []byte) (*State, error) {
	var s State
	if err := json.Unmarshal(image, &s); err != nil {
		return nil, sextant.Errorf(sextant.Corrupt, "topology: the image cannot be read: %w", err)
	}
	for name, c := range s.Collections {
		if c == nil {
			return nil, sextant.Errorf(sextant.Corrupt, "topology: the image has no description of collection %s", name)
		}
		for id, shard := range c.Shards {
			if shard == nil {
				return nil, sextant.Errorf(sextant.Corrupt, "topology: the image has no description of shard %d of %s", id, name)
			}
			if shard.UUID == "" { // of a standalone node of the first version
				shard.UUID, shard.Term, shard.Version = fmt.Sprintf("%s/%d", c.UUID, id), 1, 1
				if peers := shard.Peers(); len(peers) > 0 {
					shard.Primary = peers[0]
				}
			}
			s.locate(shard.UUID, place{name, id})
		}
	}
	return &s, nil
}
