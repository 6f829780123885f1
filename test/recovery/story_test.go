package recovery

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A peer that was away is brought back by what it missed, without anybody asking.
func TestAReplicaComesBackByItself(t *testing.T) {
	t.Parallel()
	s := form(t, 3).begin(t, 1, 3)
	s.upsert(0, 0, 200, 100)
	s.Peer(2).Kill()
	s.upsert(0, 1000, 60, 3)
	s.becomes(2, "Dead", 0, 1)
	w := s.watch(0, 2, 0)
	s.Restart(t, 2, true)
	s.becomes(2, "Active", 0, 1, 2)
	s.end(260)
	w.stop(t, "Dead", "Recovery", "Partial", "Active")
	if !slices.Equal(w.methods, []string{delta}) {
		t.Errorf("it was brought back by %v", w.methods)
	}
	// 20 writes, and what a take-over or an audit may have logged
	if entries, bytes := s.sent(); entries < 20 || entries > 25 || bytes < 60*100 || bytes > 60*1000 {
		t.Errorf("%d entries and %d bytes were sent for 60 points in 20 writes", entries, bytes)
	}
}

// With limits of 0 it waits for somebody to ask.
func TestNothingComesBackByItselfWithLimitsOfZero(t *testing.T) {
	t.Parallel()
	for _, limit := range []string{noIncoming, noOutgoing} {
		s := form(t, 3, limit).begin(t, 1, 3)
		s.Peer(2).Kill()
		s.upsert(0, 0, 20, 5)
		s.Restart(t, 2, true)
		s.until(look, "it answers", func() bool { _, err := s.Setup(2, s.name); return err == nil })
		for range 20 {
			if list, _ := s.moving(0); len(list) > 0 || s.state(0, 2) != "Dead" {
				t.Errorf("with %s: %s", limit, s.picture())
			}
			pausing(often)
		}
		s.heal()
		s.end(20)
	}
}

// Whatever a disk has lost or spoils, the replica comes back from the others.
func TestADiskThatLost(t *testing.T) {
	for name, lose := range map[string]func(s *tale, peer int){
		"everything": func(s *tale, peer int) { s.remove(filepath.Join(s.Peer(peer).Dir, "storage", "collections")) },
		"a_shard":    func(s *tale, peer int) { s.remove(s.directories(peer, "0")[0]) },
		"CURRENT":    func(s *tale, peer int) { s.remove(s.file(peer, "CURRENT")) },
		"a_manifest": func(s *tale, peer int) { s.flip(s.file(peer, "g*/MANIFEST")) },
		"a_segment":  func(s *tale, peer int) { s.flip(s.file(peer, "g*/*.seg")) },
		"the_log":    func(s *tale, peer int) { s.flip(s.file(peer, "g*/wal/*")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := form(t, 3).begin(t, 1, 3)
			s.upsert(0, 0, 2000, 500)
			s.seal(2)
			s.upsert(0, 2000, 100, 10)
			s.Peer(2).Kill()
			lose(s, 2)
			s.upsert(0, 5000, 60, 3)
			s.Restart(t, 2, true)
			s.becomes(2, "Active", 0, 1, 2)
			s.end(2160)
		})
	}
}

// A disk has lost the newest entries of a log, which were acknowledged, and nobody wrote while its peer was away: the replica is in
// sync for everybody, and leads or follows. It must not stay so, nor make the others forget.
func TestALogThatLostItsEnd(t *testing.T) {
	for _, role := range []string{"primary", "follower", "everybody_but_one"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			s := form(t, 3).begin(t, 1, 3)
			s.upsert(0, 0, 500, 10)
			r := s.roles()
			lost := map[string][]int{"primary": {r.primary}, "follower": {r.sender}, "everybody_but_one": {r.primary, r.sender}}[role]
			for _, i := range lost {
				s.Peer(i).Kill()
				log := s.files(i, "g*/wal/*")
				info, err := os.Stat(log[len(log)-1])
				if err != nil {
					t.Fatal(err)
				}
				if err := os.Truncate(log[len(log)-1], info.Size()*2/3); err != nil {
					t.Fatal(err)
				}
			}
			for _, i := range lost {
				s.Restart(t, i, false)
			}
			s.until(look, "writes go on", func() bool {
				_, err := s.Call(r.receiver, "PUT", "/collections/"+s.name+"/points?wait=true&timeout=10", s.points(10_000, 3), nil)
				return err == nil
			})
			s.shouts = true // what a disk has lost is told
			s.end(503)
		})
	}
}

func (s *tale) remove(path string) {
	s.t.Helper()
	if err := os.RemoveAll(path); err != nil {
		s.t.Fatal(err)
	}
}

// files finds files of the first shard on a peer's disk.
func (s *tale) files(peer int, pattern string) []string {
	s.t.Helper()
	var all []string
	for _, dir := range s.directories(peer, "0") {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, found...)
	}
	return all
}

func (s *tale) file(peer int, pattern string) string {
	s.t.Helper()
	all := s.files(peer, pattern)
	if len(all) == 0 {
		s.t.Fatalf("there is no %s in %v", pattern, s.directories(peer, "0"))
	}
	return all[0]
}

// The log of the others does not reach back: the same transfer goes on as a copy.
func TestALogThatDoesNotReachBack(t *testing.T) {
	t.Parallel()
	s := form(t, 3, "QDRANT__STORAGE__WAL__WAL_CAPACITY_MB=1", "QDRANT__STORAGE__WAL__RETENTION_MB=0", "QDRANT__STORAGE__WAL__ABSENT_RETENTION_MB=0").begin(t, 1, 3)
	s.upsert(0, 0, 100, 100)
	began := s.files(0, "g*/wal/*")
	s.Peer(2).Kill()
	for k := 0; ; k++ {
		s.upsert(0, 1000+k%10*1000, 1000, 1000)
		s.seal(0)
		s.seal(1)
		if now := s.files(0, "g*/wal/*"); len(now) > 0 && now[0] != began[0] && s.files(1, "g*/wal/*")[0] != began[0] {
			break
		}
	}
	w := s.watch(0, 2, 0)
	s.Restart(t, 2, true)
	s.becomes(2, "Active", 0, 1, 2)
	s.end(-1)
	w.stop(t, "Dead", "Recovery", "Partial", "Active")
	if !slices.Equal(w.methods, []string{delta, stream}) {
		t.Errorf("it was brought back by %v", w.methods)
	}
}

// Every method, between every kind of replicas, while clients write through all peers: the primary sends, a follower sends to a
// follower, the primary receives (and is primary no more).
func TestEveryMethodBetweenAnyTwo(t *testing.T) {
	for _, method := range []string{delta, stream, files} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			c := form(t, 3, noIncoming, noOutgoing)
			for _, kind := range []string{"primary_sends", "followers", "primary_receives"} {
				s := c.begin(t, 1, 3)
				s.upsert(0, 0, 1500, 500)
				var u []*uploader
				for i := range s.N() {
					u = append(u, s.upload(i, (i+1)*100_000))
				}
				r := s.roles()
				from, to := r.sender, r.receiver
				switch kind {
				case "primary_sends":
					from = r.primary
				case "primary_receives":
					to = r.primary
				}
				if kind != "primary_receives" {
					s.strand(from, to, 20)
				}
				s.replicate(from, to, method)
				s.progress(from, -1, 1)
				s.count(from, 0)
				for _, u := range u {
					u.stop()
				}
				if p := s.primary(0); p != map[string]int{"primary_sends": from, "followers": r.primary, "primary_receives": from}[kind] {
					t.Errorf("%s: the primary was peer %d, then peer %d", kind, r.primary, p)
				}
				s.end(-1)
				s.drop()
			}
		})
	}
}

// A peer that never had the shard gets it by any method, and is a replica like the others: what is written then is on it too.
func TestAReplicaMoreByEveryMethod(t *testing.T) {
	t.Parallel()
	c := form(t, 3)
	for _, method := range []string{stream, files, delta} {
		s := c.begin(t, 1, 1)
		from := s.primary(0)
		to := s.Others(from)[0]
		s.upsert(0, 0, 3000, 1000)
		s.Must(t, 0, "POST", "/collections/"+s.name+"/points/delete?wait=true", map[string]any{"points": []int{1, 5, 2999}}, nil)
		s.Must(t, 0, "PUT", "/collections/"+s.name+"/index?wait=true", map[string]any{"field_name": "city", "field_schema": "keyword"}, nil)
		s.replicate(from, to, method)
		s.count(from, 0)
		s.upsert(to, 10_000, 20, 5)
		s.end(3017)
		s.Peer(from).Pause(t) // the new one answers alone
		s.until(look, "the new replica answers", func() bool {
			var n struct{ Count int }
			_, err := s.Call(to, "POST", "/collections/"+s.name+"/points/count", fields{"exact": true, "filter": fields{"must_not": []any{fields{"key": "city", "match": fields{"value": "Nowhere"}}}}}, &n)
			return err == nil && n.Count == 3017
		})
		s.Peer(from).Resume(t)
		s.drop()
	}
}

// One transfer per replica at a time: whoever is part of one is refused for another, and told of which.
func TestASecondTransferIsRefused(t *testing.T) {
	t.Parallel()
	s := form(t, 4, noIncoming, noOutgoing, slowStream).begin(t, 1, 3)
	s.upsert(0, 0, 1000, 500) // a stream of 4 s
	r := s.newcomer()
	other := slices.DeleteFunc(s.Others(r.primary), func(i int) bool { return i == r.sender || i == r.receiver })[0]
	s.replicate(r.sender, r.receiver, stream)
	want := fmt.Sprintf("Bad request: Shard 0 is already involved in transfer %d -> %d", s.ids[r.sender], s.ids[r.receiver])
	for _, second := range [][2]int{{r.sender, r.receiver}, {other, r.receiver}, {r.sender, other}, {other, r.sender}} {
		if status, text := s.ask(r.sender, "replicate_shard", s.by(second[0], second[1], stream)); status != http.StatusBadRequest || text != want {
			t.Errorf("%v: %d %q", second, status, text)
		}
	}
	s.replicate(r.primary, other, delta) // nobody of these takes part in the other one
	s.count(r.primary, 0)
	s.end(1000)
}

// A move takes the replica from the sender when the receiver has it, data and all; one that is aborted leaves nothing behind.
func TestMove(t *testing.T) {
	t.Parallel()
	s := form(t, 3, noIncoming, noOutgoing, slowStream).begin(t, 1, 1)
	s.upsert(0, 0, 1000, 500) // a stream of 4 s
	from := s.primary(0)
	to := s.Others(from)[1]
	u := s.upload(s.Others(from)[0], 10_000)
	s.must(from, "move_shard", s.by(from, to, stream))
	s.progress(from, 100, 1<<30)
	s.must(from, "abort_transfer", s.between(from, to))
	s.becomes(to, "", 0, 1, 2)
	s.becomes(from, "Active", 0, 1, 2)
	s.until(look, "what an aborted move had brought is deleted", func() bool { return len(s.directories(to, "0")) == 0 })
	for _, method := range []string{stream, files, delta} {
		s.must(from, "move_shard", s.by(from, to, method))
		if list, _ := s.moving(from); len(list) != 1 || list[0].Sync {
			t.Errorf("a move is shown as %+v", list)
		}
		s.count(from, 0)
		s.becomes(from, "", 0, 1, 2)
		s.becomes(to, "Active", 0, 1, 2)
		s.until(look, "the sender's data are deleted", func() bool { return len(s.directories(from, "0")) == 0 })
		if p := s.primary(0); p != to {
			t.Errorf("after a move to peer %d the primary is peer %d", to, p)
		}
		from, to = to, from
	}
	u.stop()
	s.end(-1)
}

// A replica is dropped while it is being sent or filled.
func TestDropDuringATransfer(t *testing.T) {
	for _, end := range []string{"receiver", "sender"} {
		for _, admitted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s_admitted_%t", end, admitted), func(t *testing.T) { t.Parallel(); dropOne(t, end, admitted) })
		}
	}
}

func dropOne(t *testing.T, end string, admitted bool) {
	s := form(t, 3, noIncoming, noOutgoing, slowStream, longProof).begin(t, 1, 2)
	n := 2000 // a stream of 8 s
	if admitted {
		n = 300
	}
	s.upsert(0, 0, n, 500)
	r := s.newcomer()
	s.replicate(r.sender, r.receiver, stream)
	if admitted {
		s.admitted(0, r.receiver)
	} else {
		s.progress(r.sender, 100, 1<<30)
	}
	who := r.receiver
	if end == "sender" {
		who = r.sender
	}
	s.must(r.primary, "drop_replica", fields{"shard_id": 0, "peer_id": s.ids[who]})
	s.becomes(who, "", 0, 1, 2)
	switch {
	case end == "receiver":
		s.count(r.sender, 0)
	case admitted: // the sender is not needed any more
		s.becomes(r.receiver, "Active", 0, 1, 2)
	default:
		s.count(r.sender, 0)
		s.becomes(r.receiver, "Dead", 0, 1, 2)
		s.replicate(r.primary, r.receiver, files)
		s.count(r.primary, 0)
	}
	s.until(look, "the data of a dropped replica are deleted", func() bool { return len(s.directories(who, "0")) == 0 })
	s.replicate(r.primary, who, files)
	s.count(r.primary, 0)
	s.end(n)
	s.drop()
	for i := range s.N() {
		s.until(look, "the data of a dropped collection are deleted", func() bool { return len(s.directories(i, "0")) == 0 })
	}
}

// A replica is dropped while its peer is away: what it had is deleted when the peer is back, and it may be filled anew.
func TestDropWhileAPeerIsAway(t *testing.T) {
	t.Parallel()
	s := form(t, 3, noIncoming, noOutgoing).begin(t, 1, 3)
	s.upsert(0, 0, 300, 300)
	r := s.roles()
	s.Peer(r.receiver).Kill()
	s.must(r.sender, "drop_replica", fields{"shard_id": 0, "peer_id": s.ids[r.receiver]})
	s.becomes(r.receiver, "", r.primary, r.sender)
	s.Restart(t, r.receiver, true)
	s.becomes(r.receiver, "", 0, 1, 2)
	gone := func() bool { return len(s.directories(r.receiver, "0*")) == 0 }
	s.until(look, "the data of a dropped replica are deleted", gone)
	s.replicate(r.sender, r.receiver, stream)
	s.count(r.sender, 0)
	s.end(300)

	// The process ends when it has heard that its replica was dropped, and has deleted nothing yet.
	collection := filepath.Dir(s.directories(r.receiver, "0")[0])
	kept := t.TempDir()
	s.Peer(r.receiver).Pause(t)
	if err := os.CopyFS(kept, os.DirFS(collection)); err != nil {
		t.Fatal(err)
	}
	s.Peer(r.receiver).Resume(t)
	s.must(r.sender, "drop_replica", fields{"shard_id": 0, "peer_id": s.ids[r.receiver]})
	s.becomes(r.receiver, "", 0, 1, 2)
	s.until(look, "the data of a dropped replica are deleted", gone)
	s.Peer(r.receiver).Kill()
	if err := os.CopyFS(collection, os.DirFS(kept)); err != nil {
		t.Fatal(err)
	}
	s.Restart(t, r.receiver, false)
	s.until(look, "the data of a dropped replica are deleted", gone)
	s.replicate(r.sender, r.receiver, delta)
	s.count(r.sender, 0)
	s.end(300)
}

// A transfer is restarted by another method. For those who look it is one transfer all the time, and its receiver is never Dead.
func TestRestartOfATransfer(t *testing.T) {
	t.Parallel()
	s := form(t, 3, noIncoming, noOutgoing, slowStream, longProof).begin(t, 1, 3)
	r := s.roles()
	s.strand(r.sender, r.receiver, 20)
	s.upsert(0, 0, 2000, 500) // a stream of 8 s
	w := s.watch(r.primary, r.receiver, 0)
	s.replicate(r.sender, r.receiver, stream)
	s.progress(r.sender, 100, 1<<30)
	same := s.by(r.sender, r.receiver, stream)
	if status, text := s.ask(r.sender, "restart_transfer", same); status != http.StatusBadRequest || text != fmt.Sprintf(
		"Bad request: Cannot restart transfer for shard 0 from %d to %d, its configuration did not change", s.ids[r.sender], s.ids[r.receiver]) {
		t.Errorf("restart by the same method: %d %q", status, text)
	}
	s.must(r.sender, "restart_transfer", s.by(r.sender, r.receiver, files))
	s.admitted(r.sender, r.receiver)
	if status, text := s.ask(r.sender, "restart_transfer", s.by(r.sender, r.receiver, delta)); status != http.StatusBadRequest || !strings.HasPrefix(text, "Bad request: ") {
		t.Errorf("restart behind the admission: %d %q", status, text)
	}
	s.count(r.sender, 0)
	s.end(2020)
	w.stop(t, "Dead", "Partial", "Recovery", "Partial", "Active")
	if !slices.Equal(w.methods, []string{stream, files}) {
		t.Errorf("methods were %v", w.methods)
	}

	s.strand(r.sender, r.receiver, 20)
	s.upsert(0, 0, 2000, 500)
	w = s.watch(r.primary, r.receiver, 0)
	s.replicate(r.sender, r.receiver, stream)
	s.progress(r.sender, 100, 1<<30)
	s.must(r.primary, "restart_transfer", s.by(r.sender, r.receiver, delta)) // asked of another peer
	s.count(r.sender, 0)
	s.end(2020)
	w.stop(t, "Dead", "Partial", "Recovery", "Partial", "Active")
}

// A collection is dropped, and another one made by its name, while a replica of the first one is being filled.
func TestAnotherCollectionOfTheSameName(t *testing.T) {
	t.Parallel()
	s := form(t, 3, slowStream).begin(t, 1, 2)
	s.upsert(0, 0, 2000, 500) // a stream of 8 s
	r := s.newcomer()
	s.replicate(r.sender, r.receiver, stream)
	s.progress(r.sender, 100, 1<<30)
	s.drop()
	s.create(3)
	s.upsert(0, 0, 30, 10)
	for i := range s.N() {
		s.count(i, 0)
		s.until(look, "the data of the dropped collection are deleted", func() bool { return len(s.directories(i, "0")) == 1 })
	}
	s.replicate(r.sender, r.receiver, delta)
	s.count(r.sender, 0)
	s.end(30)
}

// A peer is removed with force while it sends or receives.
func TestAPeerIsRemovedDuringATransfer(t *testing.T) {
	for _, end := range []string{"receiver", "sender"} {
		for _, killed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s_killed_%t", end, killed), func(t *testing.T) {
				t.Parallel()
				s := form(t, 4, noIncoming, noOutgoing, slowStream).begin(t, 1, 3)
				s.upsert(0, 0, 2000, 500) // a stream of 8 s
				r := s.newcomer()
				s.replicate(r.sender, r.receiver, stream)
				s.progress(r.sender, 100, 1<<30)
				who := r.receiver
				if end == "sender" {
					who = r.sender
				}
				asked := s.Others(who)[0]
				if killed {
					s.Peer(who).Kill()
				}
				s.Must(t, asked, "DELETE", fmt.Sprintf("/cluster/peer/%d?force=true&timeout=30", s.ids[who]), nil, nil)
				s.gone = []int{who}
				s.Peer(who).Kill()
				for _, i := range s.Others(who) {
					s.count(i, 0)
					s.becomes(who, "", i)
				}
				if end == "sender" {
					s.becomes(r.receiver, "Dead", s.Others(who)...)
					s.replicate(r.primary, r.receiver, files)
					s.count(r.primary, 0)
				}
				s.upsert(asked, 10_000, 10, 1)
				s.end(2010)
			})
		}
	}
}

// An abort and the finish meet: consensus orders them, and all agree on which was first. A client that is told that there is no
// such transfer finds the replica Active.
func TestAbortCrossesFinish(t *testing.T) {
	t.Parallel()
	s := form(t, 3, noIncoming, noOutgoing, "QDRANT__CLUSTER__TRANSFER_PROBATION_MS=50").begin(t, 1, 3)
	s.upsert(0, 0, 50, 50)
	r := s.roles()
	ends := map[string]int{}
	for k := range 24 {
		s.replicate(r.sender, r.receiver, []string{delta, stream, files}[k%3])
		pausing(time.Duration(40+10*k) * time.Millisecond)
		asked := []int{r.sender, r.receiver, r.primary}[k/3%3]
		status, text := s.ask(asked, "abort_transfer", s.between(r.sender, r.receiver))
		for i := range s.N() {
			s.count(i, 0)
		}
		state := s.state(r.primary, r.receiver)
		s.becomes(r.receiver, state, 0, 1, 2)
		switch {
		case status == http.StatusOK && (state == "Dead" || state == "Active"):
		case status == http.StatusNotFound && state == "Active" && text == fmt.Sprintf("Not found: Shard transfer %d -> %d for collection %s:0 does not exist",
			s.ids[r.sender], s.ids[r.receiver], s.name):
		default:
			t.Errorf("the abort was answered %d %q, the receiver is %q", status, text, state)
		}
		ends[fmt.Sprint(status, " ", state)]++
		s.upsert(r.primary, 1000+k, 1, 1)
	}
	t.Log(ends)
	s.heal()
	s.end(74)
}

// What is refused, and how.
func TestRefusals(t *testing.T) {
	t.Parallel()
	s := form(t, 3, noIncoming, noOutgoing).begin(t, 1, 2)
	s.upsert(0, 0, 20, 20)
	r := roles{primary: s.primary(0), sender: -1, receiver: -1}
	for i := range s.N() {
		switch {
		case i == r.primary:
		case s.state(0, i) != "":
			r.sender = i
		default:
			r.receiver = i // has no replica
		}
	}
	from, to := s.ids[r.sender], s.ids[r.receiver]
	unknown := uint64(12345)
	with := func(from, to any) fields {
		return fields{"shard_id": 0, "from_peer_id": from, "to_peer_id": to, "method": delta}
	}
	noShard := with(from, to)
	noShard["shard_id"] = 7
	badMethod := with(from, to)
	badMethod["method"] = "by_hand"
	noTransfer := fmt.Sprintf("Not found: Shard transfer %d -> %d for collection %s:0 does not exist", from, to, s.name)
	noMethod := s.between(r.sender, r.receiver)
	for _, x := range []struct {
		operation string
		body      fields
		status    int
		text      string // a prefix
	}{
		{"replicate_shard", noShard, 400, "Bad request: Shard 7 of " + s.name + " does not exist"},
		{"move_shard", noShard, 400, "Bad request: Shard 7 of " + s.name + " does not exist"},
		{"replicate_shard", with(unknown, to), 400, "Bad request: Peer 12345 does not exist"},
		{"replicate_shard", with(from, unknown), 400, "Bad request: Peer 12345 does not exist"},
		{"replicate_shard", with(from, from), 422, ""},
		{"move_shard", with(from, from), 422, ""},
		{"replicate_shard", with(to, from), 400, fmt.Sprintf("Bad request: Shard 0 is not active on peer %d", to)},
		{"replicate_shard", badMethod, 400, "Format error in JSON body: "},
		{"replicate_shard", fields{"shard_id": 0, "from_peer_id": from}, 400, "Format error in JSON body: "},
		{"replicate_shard", s.by(r.sender, r.receiver, "resharding_stream_records"), 400, "Bad request: Target shard is not set for resharding transfer"},
		{"abort_transfer", s.between(r.sender, r.receiver), 404, noTransfer},
		{"restart_transfer", with(from, to), 404, noTransfer},
		{"restart_transfer", noMethod, 400, "Format error in JSON body: "},
		{"drop_replica", fields{"shard_id": 7, "peer_id": from}, 400, "Bad request: Shard 7 of " + s.name + " does not exist"},
		{"drop_replica", fields{"shard_id": 0, "peer_id": unknown}, 400, "Bad request: Peer 12345 does not exist"},
		{"drop_replica", fields{"shard_id": 0, "peer_id": to}, 400, fmt.Sprintf("Bad request: Peer %d has no replica of shard 0", to)},
		{"heal_everything", fields{}, 400, "Format error in JSON body: "},
	} {
		for i := range s.N() {
			if status, text := s.ask(i, x.operation, x.body); status != x.status || !strings.HasPrefix(text, x.text) {
				t.Errorf("%s %v at peer %d: %d %q, not %d %q", x.operation, x.body, i, status, text, x.status, x.text)
			}
		}
	}
	if status, text := s.post(0, "/collections/nothing/cluster", fields{"replicate_shard": with(from, to)}); status != 404 || text != "Not found: Collection `nothing` doesn't exist!" {
		t.Errorf("%d %q", status, text)
	}
	if status, text := s.post(0, "/collections/"+s.name+"/cluster?timeout=0", fields{"replicate_shard": with(from, to)}); status < 400 || status >= 500 {
		t.Errorf("a timeout of 0: %d %q", status, text)
	}
	s.must(0, "drop_replica", fields{"shard_id": 0, "peer_id": from})
	if status, text := s.ask(0, "drop_replica", fields{"shard_id": 0, "peer_id": s.ids[r.primary]}); status != 400 ||
		text != fmt.Sprintf("Bad request: Shard 0 must have at least one active replica after removing %d", s.ids[r.primary]) {
		t.Errorf("the last replica is dropped: %d %q", status, text)
	}
	s.end(20)
}
