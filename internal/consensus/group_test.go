package consensus

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/sextantdb/sextant/internal/vfs"
)

// TestEachCommandIsAppliedOnce proposes from everywhere over lanes that lose a fifth, double and reorder, while members die.
func TestEachCommandIsAppliedOnce(t *testing.T) {
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			g := &group{t: t, rand: rand.New(rand.NewPCG(seed, 20)), loss: 20, twice: 30, members: map[uint64]*peer{}, compact: 8}
			defer g.close()
			p := g.first()
			g.join(p, 2)
			g.join(p, 3)
			g.voters(3)
			chance := rand.New(rand.NewPCG(seed, 21))
			var mu sync.Mutex
			var done []string
			var all sync.WaitGroup
			for round := range 6 {
				for id := uint64(1); id <= 3; id++ {
					m := g.members[id].m
					for i := range 5 {
						all.Go(func() {
							ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
							defer cancel()
							command := fmt.Sprintf("%d of %d in round %d", i, id, round)
							if _, err := m.Propose(ctx, []byte(command)); err == nil {
								mu.Lock()
								done = append(done, command)
								mu.Unlock()
							}
						})
					}
				}
				time.Sleep(time.Duration(chance.IntN(100)) * time.Millisecond)
				victim := g.members[1+chance.Uint64N(3)]
				g.kill(victim)
				time.Sleep(time.Duration(chance.IntN(5000)) * time.Millisecond)
				g.open(victim.id)
				if err := victim.m.Start(); err != nil {
					t.Fatal(err)
				}
			}
			all.Wait()
			g.mu.Lock()
			g.loss = 0
			g.mu.Unlock()
			time.Sleep(time.Minute)
			have := p.machine.all()
			if !g.agreed(len(have)) {
				t.Fatalf("seed %d: they differ", seed)
			}
			slices.Sort(have)
			if once := slices.Compact(slices.Clone(have)); len(once) != len(have) {
				t.Fatalf("seed %d: a command was applied twice: %q", seed, have)
			}
			for _, c := range done {
				if _, found := slices.BinarySearch(have, c); !found {
					t.Fatalf("seed %d: %q was acknowledged and is lost", seed, c)
				}
			}
			if len(done) < 10 {
				t.Errorf("seed %d: only %d of 90 were acknowledged", seed, len(done))
			}
		})
	}
}

// TestOneThatWasAwayGetsAnImage cuts a member off until the log behind it is gone.
func TestOneThatWasAwayGetsAnImage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &group{t: t, rand: rand.New(rand.NewPCG(5, 5)), members: map[uint64]*peer{}, compact: 4}
		defer g.close()
		p := g.first()
		g.join(p, 2)
		away := g.join(p, 3)
		g.voters(3)
		g.kill(away)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for i := range 40 {
			if _, err := p.m.Propose(ctx, fmt.Append(nil, i)); err != nil {
				t.Fatal(err)
			}
		}
		g.open(3)
		if err := away.m.Start(); err != nil {
			t.Fatal(err)
		}
		g.settle(43)
		if s := away.m.Status(); !s.Voter || len(s.Voters) != 3 {
			t.Errorf("%+v", s)
		}
		g.kill(away) // what was installed is durable
		g.open(3)
		if err := away.m.Start(); err != nil {
			t.Fatal(err)
		}
		g.settle(43)
	})
}

// TestAVoterForgetsAndJoinsAgain is reinit with bootstrap: the id stays, the log is gone.
func TestAVoterForgetsAndJoinsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &group{t: t, rand: rand.New(rand.NewPCG(8, 8)), members: map[uint64]*peer{}}
		defer g.close()
		p := g.first()
		g.join(p, 2)
		again := g.join(p, 3)
		g.voters(3)
		g.kill(again)
		g.open(3)
		if err := again.m.Join(); err != nil {
			t.Fatal(err)
		}
		if err := again.m.Start(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := p.m.AddPeer(ctx, 3, []byte("again 3")); err != nil {
			t.Fatal(err)
		}
		g.settle(4)
		if _, err := again.m.Propose(ctx, []byte("it works")); err != nil {
			t.Fatal(err)
		}
		g.settle(5)
		if s := again.m.Status(); s.Restarts != 0 || s.Err != nil {
			t.Errorf("%+v", s)
		}
	})
}

// TestAnOldDirectoryIsPutBack: a voter has forgotten what it acknowledged after a copy was made of its directory, also with no third
// one to outvote it.
func TestAnOldDirectoryIsPutBack(t *testing.T) {
	for n := uint64(2); n <= 4; n++ {
		for compact := uint64(0); compact <= 4; compact += 4 {
			synctest.Test(t, func(t *testing.T) {
				g := &group{t: t, rand: rand.New(rand.NewPCG(10, n)), members: map[uint64]*peer{}, compact: compact}
				defer g.close()
				p := g.first()
				for id := uint64(2); id <= n; id++ {
					g.join(p, id)
				}
				g.voters(int(n))
				ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
				defer cancel()
				want := int(n)
				propose := func(by *peer, count int) {
					t.Helper()
					for range count {
						want++
						if _, err := by.m.Propose(ctx, fmt.Append(nil, want)); err != nil {
							t.Fatal(err)
						}
					}
					g.settle(want)
				}
				old := g.members[n]
				propose(p, 5)
				for round := range 3 {
					g.kill(old)
					chance := rand.New(rand.NewPCG(11, uint64(round)))
					copied := old.disk.Crash(chance)
					old.disk = old.disk.Crash(chance)
					g.open(n)
					if err := old.m.Start(); err != nil {
						t.Fatal(err)
					}
					time.Sleep(10 * time.Second)
					propose(old, 7)
					g.kill(old)
					old.disk = copied
					g.open(n)
					if err := old.m.Start(); err != nil {
						t.Fatal(err)
					}
					propose(p, 1)
					g.voters(int(n))
					propose(old, 2)
					if s := old.m.Status(); s.Err != nil || s.Restarts != 0 {
						t.Errorf("%d members, round %d: %+v", n, round, s)
					}
				}
			})
		}
	}
}

// TestALostVoterDeposesNobody brings back a member that had called elections for long, alone.
func TestALostVoterDeposesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &group{t: t, rand: rand.New(rand.NewPCG(6, 6)), members: map[uint64]*peer{}}
		defer g.close()
		p := g.first()
		g.join(p, 2)
		lost := g.join(p, 3)
		g.voters(3)
		before := p.m.Status()
		g.cut(lost, true)
		time.Sleep(time.Minute)
		if s := lost.m.Status(); s.Leader != 0 {
			t.Errorf("alone, it follows %d", s.Leader)
		}
		g.cut(lost, false)
		time.Sleep(10 * time.Second)
		if s := p.m.Status(); s.Leader != before.Leader || s.Term != before.Term {
			t.Errorf("before %+v, after %+v", before, s)
		}
		if s := lost.m.Status(); s.Leader != before.Leader {
			t.Errorf("%+v", s)
		}
	})
}

// TestANoticeFromBehindIsNotBelieved: a voter that has applied less may not have heard of the member yet.
func TestANoticeFromBehindIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &group{t: t, rand: rand.New(rand.NewPCG(9, 9)), members: map[uint64]*peer{}}
		defer g.close()
		p := g.first()
		q := g.join(p, 2)
		g.settle(2)
		time.Sleep(time.Second)
		q.m.Step(1, []byte{messageNotice, 1})
		time.Sleep(time.Second)
		if q.m.Status().Removed {
			t.Error("it left")
		}
		q.m.Step(1, []byte{messageNotice, 100})
		time.Sleep(time.Second)
		if !q.m.Status().Removed {
			t.Error("it stayed")
		}
	})
}

// TestIdleMembersLeaveTheDiskAlone counts the calls of a quiet minute.
func TestIdleMembersLeaveTheDiskAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.NewFaulty(new(vfs.Mem))
		m, _, err := alone(disk, 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Bootstrap([]byte("first")); err != nil {
			t.Fatal(err)
		}
		if err := m.Start(); err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		time.Sleep(time.Second)
		before := disk.Calls(vfs.OpChanges)
		time.Sleep(time.Minute)
		if n := disk.Calls(vfs.OpChanges) - before; n != 0 {
			t.Errorf("%d calls", n)
		}
	})
}

// TestARunCanBeRepeated elects and re-elects twice with the same source of chance: all that raft draws comes from crypto/rand.
func TestARunCanBeRepeated(t *testing.T) {
	run := func(seed uint64) (trace []string) {
		cryptotest.SetGlobalRandom(t, seed)
		synctest.Test(t, func(t *testing.T) {
			g := &group{t: t, rand: rand.New(rand.NewPCG(seed, 1)), members: map[uint64]*peer{}}
			defer g.close()
			p := g.first()
			for id := uint64(2); id <= 4; id++ {
				time.Sleep(time.Duration(id*1e6 + id)) // the test, too, does nothing at the instant of others
				g.join(p, id)
			}
			g.voters(4)
			start := time.Now()
			victim := p
			for range 5 {
				time.Sleep(5 * time.Second)
				g.cut(victim, true)
				time.Sleep(6 * time.Second)
				next := g.members[victim.id%4+1]
				s := next.m.Status()
				trace = append(trace, fmt.Sprint(time.Since(start), s.Leader, s.Term, s.Commit))
				g.cut(victim, false)
				if s.Leader != 0 {
					victim = g.members[s.Leader]
				}
			}
		})
		return trace
	}
	first, again := run(1), run(1)
	if !slices.Equal(first, again) {
		t.Errorf("\n%q\n%q", first, again)
	}
}

// BenchmarkPropose measures from a proposal until all three have applied it, in one process.
func BenchmarkPropose(b *testing.B) {
	g := &group{members: map[uint64]*peer{}, direct: true}
	ctx := context.Background()
	for id := uint64(1); id <= 3; id++ {
		p := &peer{g: g, id: id, disk: new(vfs.Mem), machine: &journal{}}
		m, err := Open(Options{FS: p.disk, Dir: "raft", ID: id, Life: 1, Machine: p.machine, Transport: p, CompactEntries: 1024})
		if err != nil {
			b.Fatal(err)
		}
		defer m.Close()
		g.mu.Lock()
		p.m, g.members[id] = m, p
		g.mu.Unlock()
		if id == 1 {
			err = m.Bootstrap([]byte("add 1"))
		} else {
			err = m.Join()
		}
		if err == nil {
			err = m.Start()
		}
		if err == nil && id > 1 {
			err = g.members[1].m.AddPeer(ctx, id, fmt.Appendf(nil, "add %d", id))
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	for len(g.members[1].m.Status().Voters) < 3 {
		time.Sleep(time.Millisecond)
	}
	i := 0
	for b.Loop() {
		i++
		index, err := g.members[1+uint64(i%3)].m.Propose(ctx, fmt.Append(nil, i))
		for id := uint64(1); id <= 3 && err == nil; id++ {
			err = g.members[id].m.Await(ctx, index)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
