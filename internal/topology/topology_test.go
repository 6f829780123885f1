package topology

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"testing"

	"github.com/sextantdb/sextant"
)

// A shard that is added takes its share and nothing moves between the others.
func TestRingMovesOnlyToTheNewShard(t *testing.T) {
	const points = 40000
	for n := 1; n <= 6; n++ {
		var ids []ShardID
		for i := range n {
			ids = append(ids, ShardID(i*3))
		}
		old, grown := NewRing(ids), NewRing(append(ids, 100))
		moved, owned := 0, map[ShardID]int{}
		for i := range uint64(points) {
			id := sextant.NumID(i)
			if i%2 == 1 {
				id = sextant.PointID{Hi: i, Lo: 7, IsUUID: true}
			}
			a, b := old.Owner(id), grown.Owner(id)
			owned[b]++
			if a != b {
				moved++
				if b != 100 {
					t.Fatalf("point %v moved from %d to %d", id, a, b)
				}
			}
		}
		want := float64(points) / float64(n+1)
		if math.Abs(float64(moved)-want) > 0.05*want {
			t.Errorf("%d shards: %d points moved, want about %.0f", n, moved, want)
		}
		for s, got := range owned {
			if math.Abs(float64(got)-want) > 0.05*want {
				t.Errorf("%d shards: shard %d has %d points, want about %.0f", n, s, got, want)
			}
		}
	}
}

// The owner of a point is stored data: these values never change.
func TestRingIsForEver(t *testing.T) {
	r := NewRing([]ShardID{2, 0, 1})
	var got []ShardID
	for _, id := range []sextant.PointID{sextant.NumID(0), sextant.NumID(1), sextant.NumID(5), {Lo: 5, IsUUID: true}, sextant.NumID(math.MaxUint64)} {
		got = append(got, r.Owner(id))
	}
	if want := ringGolden; !reflect.DeepEqual(got, want) {
		t.Errorf("owners %v, want %v", got, want)
	}
}

func TestCommands(t *testing.T) {
	s := &State{}
	do := func(c Command, kind sextant.Kind, text string) {
		t.Helper()
		next, err := s.Apply(s.Index+1, c)
		if text == "" {
			if err != nil {
				t.Fatal(err)
			}
			s = next
			return
		}
		if err == nil || sextant.KindOf(err) != kind || err.Error() != text {
			t.Errorf("got %v, want %v %q", err, kind, text)
		}
	}
	create := func(name string, limit uint64) Command {
		return Command{Create: &CreateCollection{Name: name, Collection: Collection{UUID: "u-" + name}, Max: limit}}
	}
	alias := func(name, target string) AliasAction {
		return AliasAction{Kind: CreateAlias, Alias: name, Collection: target}
	}
	do(create("a", 2), 0, "")
	do(create("a", 2), sextant.Exists, "Collection `a` already exists!")
	do(create("b", 2), 0, "")
	do(create("c", 2), sextant.BadRequest, "Can't create collection with name c. Max collections limit reached: 2")
	do(Command{Aliases: []AliasAction{alias("x", "a")}}, 0, "")
	do(create("x", 0), sextant.WrongInput, "Can't create collection with name x. Alias with the same name already exists")
	do(Command{Aliases: []AliasAction{alias("y", "x")}}, sextant.NotFound, "Collection `x` doesn't exist!")
	do(Command{Aliases: []AliasAction{alias("b", "a")}}, sextant.Exists, "Collection `b` already exists!")
	// A list of which one step fails changes nothing, not even for the steps before.
	do(Command{Aliases: []AliasAction{{Kind: DeleteAlias, Alias: "x"}, {Kind: RenameAlias, Alias: "nobody", NewAlias: "z"}}},
		sextant.NotFound, "Alias nobody does not exists!")
	if s.Resolve("x") != "a" {
		t.Error("a refused list changed an alias")
	}
	do(Command{Aliases: []AliasAction{{Kind: DeleteAlias, Alias: "x"}, alias("x", "b"), {Kind: RenameAlias, Alias: "x", NewAlias: "z"}}}, 0, "")
	if s.Resolve("z") != "b" || s.Resolve("x") != "x" {
		t.Error(s.Aliases)
	}
	changed := *s.Collections["b"]
	changed.Fields = map[string]sextant.FieldSpec{"k": {Type: sextant.KeywordField}}
	do(Command{Change: &ChangeCollection{Name: "b", Collection: changed}}, 0, "")
	do(Command{Change: &ChangeCollection{Name: "b", Collection: changed}}, sextant.Internal, ErrRace.Error())
	do(Command{Drop: &DropCollection{Name: "b", UUID: "other"}}, sextant.NotFound, "Collection `b` doesn't exist!")
	do(Command{Drop: &DropCollection{Name: "b", UUID: "u-b"}}, 0, "")
	if len(s.Aliases) != 0 || len(s.Collections) != 1 {
		t.Errorf("%+v", s)
	}

	var m, other Machine
	m.state.Store(s)
	if err := other.Restore(m.Image()); err != nil || string(other.Image()) != string(m.Image()) {
		t.Errorf("image and back: %v\n%s\n%s", err, m.Image(), other.Image())
	}
}

var ringGolden = []ShardID{1, 2, 2, 0, 2}

// What a replica has from before a restore is never built on, also when it was taken out of the shard meanwhile and comes again.
func TestRestoreCommands(t *testing.T) {
	s := &State{}
	do := func(c Command) error {
		t.Helper()
		next, err := s.Apply(s.Index+1, c)
		if err == nil {
			s = next
		}
		return err
	}
	for p := range PeerID(3) {
		if err := do(Command{AddPeer: &AddPeer{ID: p + 1, URI: string(rune('a' + p))}}); err != nil {
			t.Fatal(err)
		}
	}
	shard := NewShard("s", []PeerID{1, 2, 3}, Active)
	for _, c := range []Command{
		{Create: &CreateCollection{Name: "c", Collection: Collection{UUID: "c", Shards: map[ShardID]*Shard{0: &shard}}}},
		{Restore: &RestoreStart{Shard: "s", Peer: 2}},
		{Start: &TransferStart{Shard: "s", From: 1, To: 3, Method: WALDelta, Sync: true}},
	} {
		if err := do(c); err != nil {
			t.Fatal(err)
		}
	}
	if now := s.Shard("s"); now.Replicas[2] != (Replica{State: ManualRecovery, InSync: true}) || !now.MayRead(2) || now.Primary != 1 {
		t.Errorf("announced: %+v", now)
	}
	if err := do(Command{Start: &TransferStart{Shard: "s", From: 1, To: 2, Method: WALDelta, Sync: true}}); err == nil {
		t.Error("a transfer to a replica that is being restored")
	}
	id := s.Shard("s").Restores[0].ID
	if err := do(Command{Decide: &RestoreDecide{Shard: "s", ID: id + 1}}); err == nil {
		t.Error("another id was decided")
	}
	if err := do(Command{Decide: &RestoreDecide{Shard: "s", ID: id, Factor: 2}}); err != nil {
		t.Fatal(err)
	}
	now := s.Shard("s")
	if want := map[PeerID]Replica{1: {State: Dead, Differs: true}, 2: {State: ManualRecovery, InSync: true}}; !reflect.DeepEqual(now.Replicas, want) ||
		now.Primary != 2 || now.Term != 2 || len(now.Transfers) > 0 || now.MayRead(2) {
		t.Errorf("decided: %+v", now)
	}
	for _, c := range []Command{{Restored: &RestoreEnd{Shard: "s", ID: id, Abandon: true}}, {Restored: &RestoreEnd{Shard: "s", ID: id}},
		{Start: &TransferStart{Shard: "s", From: 2, To: 3, Method: WALDelta, Sync: true}}} {
		if err := do(c); err != nil {
			t.Fatal(err)
		}
	}
	now = s.Shard("s")
	if now.Replicas[2] != (Replica{State: Active, InSync: true}) || now.Replicas[3] != (Replica{State: Recovery, Differs: true}) {
		t.Errorf("ended: %+v", now)
	}
}

// While everything is applied anew, as after a fault of the disk, nobody sees the past.
func TestAMachineThatBeginsAnewDoesNotShowThePast(t *testing.T) {
	var m Machine
	command := func(index uint64) {
		t.Helper()
		if err := m.Apply(index, Command{AddPeer: &AddPeer{ID: PeerID(index), URI: fmt.Sprintf("http://peer%d:6335", index)}}.Encode()); err != nil {
			t.Fatal(err)
		}
	}
	command(1)
	image := m.Image()
	command(2)
	command(3)
	want := m.Image()
	m.Hold()
	if err := m.Restore(image); err != nil {
		t.Fatal(err)
	}
	moved := m.Watch()
	for index := uint64(2); index <= 3; index++ {
		if s := m.State(); s.Index != 3 || len(s.Peers) != 3 {
			t.Fatalf("before entry %d the state is that of %d", index, s.Index)
		}
		command(index)
	}
	select {
	case <-moved:
	default:
		t.Error("nobody was told of the new state")
	}
	if got := m.Image(); !bytes.Equal(got, want) {
		t.Errorf("%s\n%s", got, want)
	}
	command(4)
	if m.State().Index != 4 {
		t.Error("it stays at", m.State().Index)
	}
}
