package topology

import (
	"encoding/json"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/sextantdb/sextant"
)

// State is what is agreed on. It is never changed after it was published: Apply returns another one.
type State struct {
	Version     uint64                 `json:"version"` // number of commands applied
	Collections map[string]*Collection `json:"collections"`
	Aliases     map[string]string      `json:"aliases"` // to names of collections
}

// Collection is one collection. UUID tells it from others that had or will have its name.
type Collection struct {
	UUID string `json:"uuid"`
	// Revision rises with every change of Config, Fields or Shards: whoever proposes a change says what it was made from.
	Revision uint64                   `json:"revision"`
	Config   sextant.CollectionConfig `json:"config"`
	// Fields are the payload indexes by path.
	Fields map[string]sextant.FieldSpec `json:"fields,omitempty"`
	Shards map[ShardID]*Shard           `json:"shards"`
}

// Shard is one part of a collection.
type Shard struct {
	Key      *ShardKey               `json:"key,omitempty"`
	Replicas map[PeerID]ReplicaState `json:"replicas"`
}

// ReplicaState is how far a replica may be used, by its name in the API.
type ReplicaState string

const (
	Active         ReplicaState = "Active"
	Dead           ReplicaState = "Dead"
	ManualRecovery ReplicaState = "ManualRecovery"
)

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
type Machine struct{ state atomic.Pointer[State] }

// State returns the present state, shared and not to be changed.
func (m *Machine) State() *State {
	if s := m.state.Load(); s != nil {
		return s
	}
	return &State{}
}

// Apply does one encoded command. One caller at a time.
func (m *Machine) Apply(_ uint64, command []byte) error {
	var c Command
	if err := json.Unmarshal(command, &c); err != nil {
		return sextant.Errorf(sextant.Corrupt, "topology: a command cannot be read: %w", err)
	}
	next, err := m.State().Apply(c)
	if err == nil {
		m.state.Store(next)
	}
	return err
}

// Image returns the state as bytes.
func (m *Machine) Image() []byte {
	b, err := json.Marshal(m.State())
	if err != nil {
		panic("topology: the state has no JSON form: " + err.Error()) // plain values only
	}
	return b
}

// Restore replaces the state by that of an image.
func (m *Machine) Restore(image []byte) error {
	var s State
	if err := json.Unmarshal(image, &s); err != nil {
		return sextant.Errorf(sextant.Corrupt, "topology: the image cannot be read: %w", err)
	}
	m.state.Store(&s)
	return nil
}
