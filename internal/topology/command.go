package topology

import (
	"encoding/json"
	"errors"
	"maps"

	"github.com/sextantdb/sextant"
)

// Command is one proposed change; one member is set, but Failed, Claims and Replicas may stand together.
type Command struct {
	Create  *CreateCollection `json:"create,omitempty"`
	Change  *ChangeCollection `json:"change,omitempty"`
	Drop    *DropCollection   `json:"drop,omitempty"`
	Aliases []AliasAction     `json:"aliases,omitempty"`

	CreateKey *CreateKey `json:"create_key,omitempty"`
	DropKey   *DropKey   `json:"drop_key,omitempty"`

	AddPeer    *AddPeer     `json:"add_peer,omitempty"`
	UpdatePeer *UpdatePeer  `json:"update_peer,omitempty"`
	RemovePeer *RemovePeer  `json:"remove_peer,omitempty"`
	Metadata   *SetMetadata `json:"metadata,omitempty"`
	Reinit     *Reinit      `json:"reinit,omitempty"`

	Failed   []ReplicaFailed `json:"failed,omitempty"`
	Claims   []ClaimPrimary  `json:"claims,omitempty"`
	Replicas []SetReplica    `json:"replicas,omitempty"`

	DropReplica *DropReplica    `json:"drop_replica,omitempty"`
	Start       *TransferStart  `json:"transfer_start,omitempty"`
	Stage       *TransferStage  `json:"transfer_stage,omitempty"`
	Admit       *Admit          `json:"admit,omitempty"`
	Finish      *TransferFinish `json:"transfer_finish,omitempty"`
	Abort       *TransferAbort  `json:"transfer_abort,omitempty"`
	Restore     *RestoreStart   `json:"restore,omitempty"`
	Decide      *RestoreDecide  `json:"restore_decide,omitempty"`
	Restored    *RestoreEnd     `json:"restore_end,omitempty"`
	CopyStart   *CopyStart      `json:"copy_start,omitempty"`
	CopyNext    *CopyNext       `json:"copy_next,omitempty"`
	CopyEnd     *CopyEnd        `json:"copy_end,omitempty"`
}

// Encode returns the bytes that Machine.Apply reads.
func (c Command) Encode() []byte {
	b, err := json.Marshal(c)
	if err != nil {
		panic("topology: a command has no JSON form: " + err.Error()) // plain values only
	}
	return b
}

// CreateCollection makes a collection. Max bounds the number of collections; 0: no limit.
type CreateCollection struct {
	Name       string     `json:"name"`
	Collection Collection `json:"collection"`
	Max        uint64     `json:"max,omitempty"`
}

// ChangeCollection replaces what a collection is, provided that it still is what the proposer saw.
type ChangeCollection struct {
	Name       string     `json:"name"`
	Collection Collection `json:"collection"` // with the UUID and Revision that were seen
}

// DropCollection removes a collection and its aliases.
type DropCollection struct {
	Name string `json:"name"`
	UUID string `json:"uuid"`
}

// AliasAction is one step of an alias change. All steps of a command are done, or none.
type AliasAction struct {
	Kind       AliasKind `json:"kind"`
	Collection string    `json:"collection,omitempty"` // create
	Alias      string    `json:"alias"`                // create: the new name; delete, rename: the present one
	NewAlias   string    `json:"new_alias,omitempty"`  // rename
}

// AliasKind tells alias actions apart.
type AliasKind uint8

const (
	CreateAlias AliasKind = iota
	DeleteAlias
	RenameAlias
)

// ErrRace tells the proposer of a ChangeCollection that the collection is no longer what it saw: look and propose again.
var ErrRace = errors.New("topology: the collection has changed meanwhile")

// Apply returns the state after the command at an index of the log, or why it cannot be done. A command that rests on what is
// no longer so is done without effect.
func (s *State) Apply(index uint64, c Command) (*State, error) {
	next := *s
	next.Index = index
	var err error
	switch {
	case c.Create != nil:
		err = next.create(c.Create)
	case c.Change != nil:
		err = next.change(c.Change)
	case c.Drop != nil:
		err = next.drop(c.Drop)
	case c.Aliases != nil:
		err = next.alias(c.Aliases)
	case c.CreateKey != nil:
		err = next.createKey(c.CreateKey)
	case c.DropKey != nil:
		err = next.dropKey(c.DropKey)
	case c.AddPeer != nil:
		err = next.addPeer(c.AddPeer)
	case c.UpdatePeer != nil:
		err = next.updatePeer(c.UpdatePeer)
	case c.RemovePeer != nil:
		err = next.removePeer(c.RemovePeer)
	case c.Metadata != nil:
		next.setMetadata(c.Metadata)
	case c.Reinit != nil:
		next.reinit(c.Reinit)
	case c.DropReplica != nil:
		err = next.dropReplica(c.DropReplica)
	case c.Start != nil:
		err = next.start(c.Start)
	case c.Stage != nil:
		err = next.stage(c.Stage)
	case c.Admit != nil:
		next.admit(c.Admit)
	case c.Finish != nil:
		err = next.finish(c.Finish)
	case c.Abort != nil:
		next.abort(c.Abort)
	case c.Restore != nil:
		err = next.restore(c.Restore)
	case c.Decide != nil:
		err = next.decide(c.Decide)
	case c.Restored != nil:
		next.restored(c.Restored)
	case c.CopyStart != nil:
		err = next.copyStart(c.CopyStart)
	case c.CopyNext != nil:
		next.copyNext(c.CopyNext)
	case c.CopyEnd != nil:
		next.copyEnd(c.CopyEnd)
	default:
		err = next.replicas(c)
	}
	if err != nil {
		return nil, err
	}
	return &next, nil
}

// put replaces one collection in a copy of the map; nil removes it.
func (s *State) put(name string, c *Collection) {
	all := make(map[string]*Collection, len(s.Collections)+1)
	maps.Copy(all, s.Collections)
	if c == nil {
		delete(all, name)
	} else {
		all[name] = c
	}
	s.Collections = all
}

func (s *State) create(c *CreateCollection) error {
	if _, ok := s.Collections[c.Name]; ok {
		return exists(c.Name)
	}
	if c.Max > 0 && uint64(len(s.Collections)) >= c.Max {
		return sextant.Errorf(sextant.BadRequest, "Can't create collection with name %s. Max collections limit reached: %d", c.Name, c.Max)
	}
	if _, ok := s.Aliases[c.Name]; ok {
		return sextant.Errorf(sextant.WrongInput, "Can't create collection with name %s. Alias with the same name already exists", c.Name)
	}
	for _, id := range c.Collection.ShardIDs() {
		if err := s.hosts(c.Collection.Shards[id]); err != nil {
			return err
		}
	}
	made := c.Collection
	made.Shards = make(map[ShardID]*Shard, len(made.Shards))
	for id, shard := range c.Collection.Shards {
		own := shard.clone()
		own.Term = max(own.Term, s.Epoch+1)
		made.Shards[id] = own
	}
	s.put(c.Name, &made)
	s.relocate()
	return nil
}

func (s *State) change(c *ChangeCollection) error {
	was, ok := s.Collections[c.Name]
	if !ok {
		return missing(c.Name)
	}
	if was.UUID != c.Collection.UUID || was.Revision != c.Collection.Revision {
		return ErrRace
	}
	next := *was // shards have commands of their own
	next.Config, next.Fields, next.Revision = c.Collection.Config, c.Collection.Fields, was.Revision+1
	s.put(c.Name, &next)
	return nil
}

func (s *State) drop(c *DropCollection) error {
	was, ok := s.Collections[c.Name]
	if !ok || was.UUID != c.UUID {
		return missing(c.Name)
	}
	s.put(c.Name, nil)
	s.relocate()
	s.Aliases = maps.Clone(s.Aliases)
	maps.DeleteFunc(s.Aliases, func(_, target string) bool { return target == c.Name })
	return nil
}

func (s *State) alias(actions []AliasAction) error {
	s.Aliases = maps.Clone(s.Aliases)
	if s.Aliases == nil {
		s.Aliases = map[string]string{}
	}
	for _, a := range actions {
		switch a.Kind {
		case CreateAlias:
			if _, ok := s.Collections[a.Collection]; !ok {
				return missing(a.Collection)
			}
			if _, ok := s.Collections[a.Alias]; ok {
				return exists(a.Alias)
			}
			s.Aliases[a.Alias] = a.Collection
		case DeleteAlias:
			delete(s.Aliases, a.Alias)
		case RenameAlias:
			target, ok := s.Aliases[a.Alias]
			if !ok {
				return sextant.Errorf(sextant.NotFound, "Alias %s does not exists!", a.Alias)
			}
			if _, ok := s.Collections[a.NewAlias]; ok {
				return exists(a.NewAlias)
			}
			delete(s.Aliases, a.Alias)
			s.Aliases[a.NewAlias] = target
		}
	}
	return nil
}

func exists(name string) error {
	return sextant.Errorf(sextant.Exists, "Collection `%s` already exists!", name)
}
