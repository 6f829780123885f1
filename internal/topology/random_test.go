package topology

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sextantdb/sextant/internal/order"
)

// Commands at random, with fresh and with stale numbers, doubled and reordered, keep what must hold of every state.
func TestRandomCommands(t *testing.T) {
	for seed := range uint64(150) {
		w := walk{t: t, chance: rand.New(rand.NewPCG(seed, 1))}
		w.run(300)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

type walk struct {
	t      *testing.T
	chance *rand.Rand
	state  *State
	twin   Machine // applies the encoded commands, and is sometimes read back from its image
	old    []Command
}

func (w *walk) peer() PeerID { return PeerID(1 + w.chance.IntN(5)) }

func (w *walk) run(steps int) {
	custom := "custom"
	c := Collection{UUID: "c", Shards: map[ShardID]*Shard{}}
	c.Config.Params.ShardingMethod = &custom
	for i, peers := range Distribute(2, 3, []PeerID{1, 2, 3, 4}, w.chance) {
		s := NewShard(fmt.Sprintf("s%d", i), peers, Initializing)
		c.Shards[ShardID(i)] = &s
	}
	w.state = &State{}
	for p := range PeerID(5) {
		w.do(Command{AddPeer: &AddPeer{ID: p + 1, URI: fmt.Sprintf("http://p%d", p+1)}})
	}
	w.do(Command{Create: &CreateCollection{Name: "c", Collection: c}})
	for range steps {
		if len(w.old) > 0 && w.chance.IntN(5) == 0 {
			w.do(w.old[w.chance.IntN(len(w.old))])
			continue
		}
		w.do(w.invent())
	}
}

func (w *walk) invent() Command {
	uuid := fmt.Sprintf("s%d", w.chance.IntN(2))
	s := w.state.Shard(uuid)
	p, term, version := w.peer(), s.Term, s.Version
	if w.chance.IntN(8) == 0 {
		term--
	}
	if w.chance.IntN(8) == 0 {
		version--
	}
	x := Transfer{ID: w.chance.Uint64N(3), Attempt: 1, To: p}
	if len(s.Transfers) > 0 && w.chance.IntN(8) > 0 {
		x = s.Transfers[w.chance.IntN(len(s.Transfers))]
	}
	r := Restore{ID: w.chance.Uint64N(3), Peer: p}
	if len(s.Restores) > 0 && w.chance.IntN(8) > 0 {
		r = s.Restores[w.chance.IntN(len(s.Restores))]
	}
	switch w.chance.IntN(23) {
	case 0, 1:
		return Command{Failed: []ReplicaFailed{{Shard: uuid, Term: term, Version: version, Peer: p, Successor: w.peer()}}}
	case 2:
		return Command{Claims: []ClaimPrimary{{Shard: uuid, Term: term, Peer: s.Primary}}}
	case 3, 4, 5:
		start := TransferStart{Shard: uuid, From: w.peer(), To: p, Sync: w.chance.IntN(3) > 0,
			Method: []string{WALDelta, StreamRecords, SnapshotMethod, ReshardingStreamRecords}[w.chance.IntN(4)]}
		if w.chance.IntN(2) == 0 {
			start.Version = &version
		}
		return Command{Start: &start}
	case 6:
		return Command{Stage: &TransferStage{Shard: uuid, ID: x.ID, Attempt: x.Attempt, Method: StreamRecords}}
	case 7, 8:
		return Command{Admit: &Admit{ID: x.ID, Attempt: x.Attempt, Shard: uuid, Term: term, Peer: x.To}}
	case 9:
		return Command{Finish: &TransferFinish{Shard: uuid, ID: x.ID, Attempt: x.Attempt}}
	case 10:
		return Command{Abort: &TransferAbort{Shard: uuid, ID: x.ID}}
	case 11:
		return Command{DropReplica: &DropReplica{Shard: uuid, Peer: p}}
	case 12, 13:
		state := []ReplicaState{Active, Active, Active, Dead, Listener, Partial, Recovery, ManualRecovery, ActiveRead, Initializing}[w.chance.IntN(10)]
		return Command{Replicas: []SetReplica{{Shard: uuid, Peer: p, State: state}}}
	case 14:
		if len(s.Replicas) > 1 && len(w.state.Shard("s0").Replicas) > 1 && len(w.state.Shard("s1").Replicas) > 1 {
			return Command{RemovePeer: &RemovePeer{ID: p, Force: w.chance.IntN(3) == 0}}
		}
		return Command{AddPeer: &AddPeer{ID: p, URI: fmt.Sprintf("http://p%d", p)}}
	case 16:
		return Command{Restore: &RestoreStart{Shard: uuid, Peer: p, Add: w.chance.IntN(8) == 0}}
	case 17:
		return Command{Decide: &RestoreDecide{Shard: uuid, ID: r.ID, Factor: w.chance.IntN(4)}}
	case 18, 19:
		return Command{Restored: &RestoreEnd{Shard: uuid, ID: r.ID, Abandon: w.chance.IntN(3) == 0}}
	}
	x2 := Copy{ID: w.chance.Uint64N(3)}
	if len(s.Copies) > 0 && w.chance.IntN(8) > 0 {
		x2 = s.Copies[w.chance.IntN(len(s.Copies))]
	}
	switch w.chance.IntN(4) {
	case 0:
		return Command{CopyStart: &CopyStart{Shard: uuid, Target: fmt.Sprintf("s%d", w.chance.IntN(2)), From: p}}
	case 1:
		return Command{CopyNext: &CopyNext{Shard: uuid, ID: x2.ID, Stage: x2.Stage + CopyStage(w.chance.IntN(3))}}
	case 2:
		return Command{CopyEnd: &CopyEnd{Shard: uuid, ID: x2.ID}}
	}
	if w.chance.IntN(10) == 0 {
		return Command{Reinit: &Reinit{Self: p, URI: "http://again"}}
	}
	return Command{AddPeer: &AddPeer{ID: p, URI: fmt.Sprintf("http://p%d", p)}}
}

func (w *walk) do(c Command) {
	if c.RemovePeer != nil { // a late copy may take the only replica that is left, as its force asks for: not here
		for _, uuid := range []string{"s0", "s1"} {
			if s := w.state.Shard(uuid); len(s.Replicas) < 2 {
				return
			}
		}
	}
	w.old = append(w.old, c)
	before, image := w.state, encode(w.t, w.state)
	next, err := w.state.Apply(w.state.Index+1, c)
	twin := w.twin.Apply(w.state.Index+1, c.Encode())
	if (err == nil) != (twin == nil) || err != nil && err.Error() != twin.Error() {
		w.t.Fatalf("%s: %v here, %v there", c.Encode(), err, twin)
	}
	if !bytes.Equal(image, encode(w.t, before)) {
		w.t.Fatalf("%s changed the old state", c.Encode())
	}
	if err != nil {
		return
	}
	w.state = next
	image = encode(w.t, next)
	if !bytes.Equal(image, w.twin.Image()) {
		w.t.Fatalf("%s:\n%s\n%s", c.Encode(), image, w.twin.Image())
	}
	if w.chance.IntN(10) == 0 {
		if err := w.twin.Restore(image); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, uuid := range []string{"s0", "s1"} {
		if s := next.Shard(uuid); s != nil {
			if fault := faultOf(before.Shard(uuid), s); fault != "" {
				w.t.Fatalf("%s: %s\nwas %s\nis  %s", c.Encode(), fault, encode(w.t, before.Shard(uuid)), encode(w.t, s))
			}
		}
	}
}

// faultOf tells what must not be of a shard, "" if all is well.
func faultOf(was, s *Shard) string {
	if len(s.InSync()) == 0 {
		return "nobody is in sync"
	}
	if !s.Replicas[s.Primary].InSync {
		return "the primary is not in sync"
	}
	receivers := map[PeerID]Transfer{}
	for _, x := range s.Transfers {
		if _, twice := receivers[x.To]; twice {
			return "two transfers to one replica"
		}
		receivers[x.To] = x
		if r, ok := s.Replicas[x.To]; !ok || r.InSync != x.Admitted || r.State != Partial && r.State != Recovery {
			return "a receiver that does not fit its transfer"
		}
		if from, ok := s.Replicas[x.From]; !x.Admitted && (!ok || !from.InSync) {
			return "a transfer without a sender"
		}
		if x.Admitted && (s.Primary == x.To || len(s.InSync()) == 1) {
			return "an admitted receiver that should have settled"
		}
	}
	for _, x := range s.Copies {
		if from := s.Replicas[x.From]; x.Stage < Complete && (x.From == 0 || !from.InSync) {
			return "a copy without a sender"
		}
	}
	restored := map[PeerID]bool{}
	for _, x := range s.Restores {
		r, ok := s.Replicas[x.Peer]
		_, receives := receivers[x.Peer]
		if !ok || r.State != ManualRecovery || restored[x.Peer] || receives {
			return "a restore over a replica that does not fit it"
		}
		if x.Decided && (!r.InSync || len(s.InSync()) > 1 || s.Primary != x.Peer || len(s.Transfers) > 0) {
			return "a restore is decided, and others count"
		}
		restored[x.Peer] = true
	}
	for p, r := range s.Replicas {
		if _, receives := receivers[p]; r.State.counts() && !r.InSync || r.InSync && !r.State.counts() && !receives && !restored[p] && !(s.HalfCopied && r.State == Partial) {
			return fmt.Sprintf("replica %d is %s, in sync: %v", p, r.State, r.InSync)
		}
	}
	if was == nil || was == s {
		return ""
	}
	if s.Term < was.Term || s.Version < was.Version {
		return "term or version fell"
	}
	if s.Primary != was.Primary && s.Term == was.Term {
		return "another primary in the same term"
	}
	if s.Version == was.Version && (s.Primary != was.Primary || !slices.Equal(s.InSync(), was.InSync())) {
		return "another in-sync set of the same version"
	}
	return ""
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// What other programs wrote, or a disk has damaged, is refused or done, without a crash.
func FuzzApply(f *testing.F) {
	s := NewShard("s", []PeerID{1, 2}, Active)
	base, err := (&State{}).Apply(1, Command{Create: &CreateCollection{Name: "c", Collection: Collection{UUID: "c", Shards: map[ShardID]*Shard{0: &s}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"failed":[{"shard":"s","term":1,"version":1,"peer":1,"successor":2}]}`))
	f.Add([]byte(`{"create":{"name":"d","collection":{"uuid":"d","shards":{"0":null}}}}`))
	f.Add([]byte(`{"create_key":{"collection":"c","uuid":"c","key":1,"shards":[{}]}}`))
	f.Add([]byte(`{"transfer_start":{"shard":"s","from":1,"to":1,"method":"wal_delta"}}`))
	f.Fuzz(func(t *testing.T, command []byte) {
		var m Machine
		m.state.Store(base)
		if m.Apply(2, command) == nil {
			if _, err := Decode(m.Image()); err != nil {
				t.Error(err)
			}
		}
		_, _ = Decode(command)
	})
}

// A thousand shards lose a peer by one command, and quickly.
func BenchmarkFailed1000(b *testing.B) {
	c := Collection{UUID: "c", Shards: map[ShardID]*Shard{}}
	var failed []ReplicaFailed
	for i := range 1000 {
		s := NewShard(fmt.Sprintf("s%04d", i), []PeerID{1, 2, 3}, Active)
		c.Shards[ShardID(i)] = &s
		failed = append(failed, ReplicaFailed{Shard: s.UUID, Term: order.Term(1), Version: 1, Peer: 1, Successor: 2})
	}
	s, err := (&State{}).Apply(1, Command{Create: &CreateCollection{Name: "c", Collection: c}})
	if err != nil {
		b.Fatal(err)
	}
	command := Command{Failed: failed}.Encode()
	for b.Loop() {
		var m Machine
		m.state.Store(s)
		if err := m.Apply(2, command); err != nil || m.State().Shard("s0999").Primary != 2 {
			b.Fatal(err)
		}
	}
}
