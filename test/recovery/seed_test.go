package recovery

import (
	"testing"
	"time"
)

// A delta between replicas that have no difference is a success, at once in the other direction too.
func TestEmptyDelta(t *testing.T) {
	t.Parallel()
	s := form(t, 2).begin(t, 1, 2)
	s.upsert(0, 0, 100, 100)
	s.replicate(0, 1, delta)
	if list, _ := s.moving(0); len(list) != 1 {
		t.Errorf("right after the answer, the asked peer lists %+v", list)
	}
	s.count(0, 0)
	s.replicate(1, 0, delta)
	s.count(1, 0)
	s.hosts(0, 1)
	s.hosts(1, 1)
	s.end(100)
}

// pausing are the seconds in which clients of the stories let the server alone; nothing is waited for.
func pausing(d time.Duration) { <-time.After(d) }

// lostOne is three peers that two clients write to, of which the last one was killed, has missed points, and runs again under other
// addresses.
func lostOne(t *testing.T, missed int) (s *tale, clients []*uploader) {
	s = form(t, 3, noIncoming, noOutgoing).begin(t, 1, 3)
	clients = []*uploader{s.upload(0, 100_000), s.upload(1, 200_000)}
	own := s.upload(2, 300_000)
	pausing(time.Second)
	s.Peer(2).Kill()
	own.stop()
	s.upsert(0, 0, missed, 5)
	s.becomes(2, "Dead", 0, 1)
	s.Restart(t, 2, true)
	s.until(look, "it answers", func() bool { _, err := s.Setup(2, s.name); return err == nil })
	return s, clients
}

func (s *tale) allHost() {
	for i := range s.N() {
		s.hosts(i, 1)
	}
}

// A peer is killed while three clients write, comes back with other addresses, and is brought back by hand.
func TestManualRecovery(t *testing.T) {
	t.Parallel()
	s, u := lostOne(t, 100)
	s.replicate(0, 2, delta)
	s.progress(0, -1, 10)
	s.count(0, 0)
	s.allHost()
	for _, u := range u {
		u.stop()
	}
	s.end(-1)
}

// Of five peers two are lost. One is brought back, and is the sender for the other.
func TestManualRecoveryInAChain(t *testing.T) {
	t.Parallel()
	s := form(t, 5, noIncoming, noOutgoing).begin(t, 1, 5)
	var u []*uploader
	for i := range s.N() {
		u = append(u, s.upload(i, (i+1)*100_000))
	}
	pausing(time.Second)
	s.Peer(4).Kill()
	u[4].stop()
	pausing(time.Second)
	s.Peer(3).Kill()
	u[3].stop()
	s.upsert(0, 0, 100, 5)
	s.Restart(t, 3, true)
	s.Restart(t, 4, true)
	for _, i := range []int{3, 4} {
		s.until(look, "it answers", func() bool { _, err := s.Setup(i, s.name); return err == nil })
	}
	s.replicate(0, 3, delta)
	s.progress(0, -1, 10)
	s.count(0, 0)
	u = append(u, s.upload(3, 600_000))
	pausing(time.Second)
	s.replicate(3, 4, delta)
	s.progress(3, -1, 10)
	s.count(3, 0)
	for _, u := range u {
		u.stop()
	}
	for i := range s.N() {
		s.hosts(i, 1)
	}
	s.end(-1)
}

// A recovery is aborted as soon as it is seen, and tried again.
func TestAbortAndRetry(t *testing.T) {
	t.Parallel()
	s, u := lostOne(t, 250)
	s.replicate(0, 2, delta)
	s.progress(0, -1, 1)
	s.must(0, "abort_transfer", s.between(0, 2))
	s.becomes(2, "Dead", 2, 0, 1)
	pausing(time.Second)
	if state := s.state(2, 2); state != "Dead" {
		t.Errorf("a second after the abort the receiver is %q", state)
	}
	s.replicate(0, 2, delta)
	s.progress(0, -1, 50) // all that was missed, though some of it has come
	s.count(0, 0)
	s.allHost()
	for _, u := range u {
		u.stop()
	}
	s.end(-1)
}

// A receiver that never had the shard cannot take a delta: the same transfer goes on by another method.
func TestFallback(t *testing.T) {
	t.Parallel()
	s := form(t, 3).begin(t, 3, 1)
	s.upsert(0, 0, 2500, 2500)
	v, err := s.Setup(0, s.name)
	if err != nil || len(v.Local) != 1 {
		t.Fatal(v, err)
	}
	f := s.by(0, 2, delta)
	f["shard_id"] = v.Local[0].Shard
	w := s.watch(0, 2, v.Local[0].Shard)
	s.must(0, "replicate_shard", f)
	s.method(0, stream)
	s.count(0, 0)
	s.hosts(2, 2)
	s.end(2500)
	w.stop(t, "", "Recovery", "Partial", "Active")
}

// Ten large requests were missed, more than the smallest log file holds.
func TestBigDifference(t *testing.T) {
	t.Parallel()
	s := form(t, 3, noIncoming, noOutgoing, "QDRANT__STORAGE__WAL__WAL_CAPACITY_MB=1").begin(t, 1, 3)
	s.upsert(0, 0, 100, 100)
	s.Peer(2).Kill()
	s.upsert(0, 100_000, 10_000, 1000)
	s.Restart(t, 2, true)
	s.until(look, "it answers", func() bool { _, err := s.Setup(2, s.name); return err == nil })
	s.replicate(0, 2, delta)
	s.count(0, 0)
	s.end(10_100)
}

// A stream that is aborted half way spoils nothing: a delta follows, and stays one.
func TestDeltaAfterAnAbortedStream(t *testing.T) {
	t.Parallel()
	s := form(t, 3, noIncoming, noOutgoing, "QDRANT_STAGING_SHARD_TRANSFER_DELAY_SEC=1").begin(t, 1, 3)
	s.upsert(0, 0, 1, 1)
	s.Peer(2).Kill()
	s.upsert(0, 1, 2000, 100)
	s.Restart(t, 2, false)
	s.until(look, "it answers", func() bool { _, err := s.Setup(2, s.name); return err == nil })
	s.replicate(0, 2, stream)
	s.count(0, 1)
	s.count(2, 1)
	s.upsert(0, 5000, 1, 1)
	if list, _ := s.moving(0); len(list) != 1 {
		t.Errorf("after a write, the transfers are %+v", list)
	}
	s.progress(0, 100, 1<<30)
	s.must(0, "abort_transfer", s.between(0, 2))
	s.count(0, 0)
	s.becomes(2, "Dead", 2)
	s.replicate(0, 2, delta)
	s.method(0, delta)
	s.count(0, 0)
	s.end(2002)
}
