package collection

import (
	"fmt"
	"testing"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/topology"
)

// Keys, their fallbacks and the states of replicas decide where reads and writes go.
func TestRoutesByKey(t *testing.T) {
	a, b, none, nobody := topology.ShardKey{Word: "a"}, topology.ShardKey{Number: 7, IsNumber: true}, topology.ShardKey{Word: "n"}, topology.ShardKey{Word: "m"}
	active, filling, early := Standing{Readable: true, Active: true}, Standing{}, Standing{Readable: true, Early: true}
	for _, c := range []struct {
		a, b        Standing
		keys        []topology.ShardKey
		fallback    *topology.ShardKey
		read, write string
	}{
		{a: active, b: active, read: "[1 2 3]", write: "WrongInput Shard key not specified"},
		{a: filling, b: active, read: "[3]", write: "WrongInput Shard key not specified"},
		{a: active, b: active, keys: []topology.ShardKey{b, a, b}, read: "[1 2 3]", write: "[3][1 2]"},
		{a: filling, b: active, keys: []topology.ShardKey{a}, read: "[1 2]", write: "[1 2]"},
		{a: active, b: active, keys: []topology.ShardKey{none}, read: `BadRequest Shard key "n" not found`, write: `WrongInput Shard key "n" not found`},
		{a: active, b: active, keys: []topology.ShardKey{a}, fallback: &b, read: "[1 2]", write: "[1 2]"},
		{a: filling, b: active, keys: []topology.ShardKey{a}, fallback: &b, read: "[3]", write: "[3]"},
		{a: early, b: active, keys: []topology.ShardKey{a}, fallback: &b, read: "[1 2]", write: "[1 2][3]"},
		{a: active, b: active, keys: []topology.ShardKey{none}, fallback: &b, read: "[3]", write: "[3]"},
		{a: active, b: active, keys: []topology.ShardKey{a}, fallback: &none, read: "[1 2]", write: "[1 2]"},
		{keys: []topology.ShardKey{none}, fallback: &nobody, read: `NotFound Neither target shard key "n" nor fallback shard key "m" exist`,
			write: `NotFound Neither target shard key "n" nor fallback shard key "m" exist`},
		{keys: []topology.ShardKey{a}, fallback: &b, read: `Unavailable Neither target shard key "a" nor fallback shard key 7 have active replicas`,
			write: `Unavailable Neither target shard key "a" nor fallback shard key 7 have active replicas`},
	} {
		config := sextant.DefaultConfig()
		config.Params.ShardingMethod = ptr("custom")
		v := New("c", View{Config: config, Shards: map[topology.ShardID]Shard{1: &fake{}, 2: &fake{}, 3: &fake{}},
			Keys: map[topology.ShardID]topology.ShardKey{1: a, 2: a, 3: b},
			Standing: func(id topology.ShardID) Standing {
				if id == 3 {
					return c.b
				}
				return c.a
			}}).view.Load()
		shards, err := v.forRead(Read{Keys: c.keys, Fallback: c.fallback})
		got := fmt.Sprint(shards)
		if err != nil {
			got = fmt.Sprint(sextant.KindOf(err), " ", err)
		}
		if got != c.read {
			t.Errorf("%v, %v: read %s, want %s", c.keys, c.fallback, got, c.read)
		}
		rings, err := v.forWrite(Write{Keys: c.keys, Fallback: c.fallback})
		got = ""
		for _, r := range rings {
			got += fmt.Sprint(r.Shards())
		}
		if err != nil {
			got = fmt.Sprint(sextant.KindOf(err), " ", err)
		}
		if got != c.write {
			t.Errorf("%v, %v: write %s, want %s", c.keys, c.fallback, got, c.write)
		}
	}
}

func TestStandingOf(t *testing.T) {
	for _, c := range []struct {
		states []topology.ReplicaState
		want   Standing
	}{
		{nil, Standing{}},
		{[]topology.ReplicaState{topology.Initializing, topology.Dead}, Standing{}},
		{[]topology.ReplicaState{topology.Dead, topology.Active}, Standing{Readable: true, Active: true}},
		{[]topology.ReplicaState{topology.ActiveRead, topology.ActiveRead}, Standing{Readable: true, Early: true}},
		{[]topology.ReplicaState{topology.ActiveRead, topology.Partial}, Standing{Readable: true}},
	} {
		s := &topology.Shard{Replicas: map[topology.PeerID]topology.Replica{}}
		for i, state := range c.states {
			s.Replicas[topology.PeerID(i+1)] = topology.Replica{State: state}
		}
		if got := StandingOf(s); got != c.want {
			t.Errorf("%v: %+v, want %+v", c.states, got, c.want)
		}
	}
	if StandingOf(nil) != (Standing{}) {
		t.Error("a shard that is gone is good for something")
	}
}
