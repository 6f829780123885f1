package consensus

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/vfs"
)

// journal is a machine that remembers what it was told; commands that begin with ! are refused.
type journal struct {
	mu   sync.Mutex
	list []string
}

func (j *journal) Apply(_ uint64, command []byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if command[0] == '!' {
		return sextant.Errorf(sextant.WrongInput, "refused: %s", command)
	}
	j.list = append(j.list, string(command))
	return nil
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.list)
}

func (j *journal) Image() (b []byte) {
	for _, c := range j.all() {
		b = append(append(b, c...), '\n')
	}
	return b
}

func (j *journal) Restore(image []byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.list = nil
	for len(image) > 0 {
		i := slices.Index(image, '\n')
		j.list = append(j.list, string(image[:i]))
		image = image[i+1:]
	}
	return nil
}

// group is some members with lanes between them that lose and delay.
type group struct {
	t       *testing.T
	rand    *rand.Rand
	loss    int // in percent
	twice   int // in percent
	direct  bool
	compact uint64
	mu      sync.Mutex
	members map[uint64]*peer
}

type peer struct {
	g       *group
	id      uint64
	life    uint64
	disk    *vfs.Mem
	machine *journal
	m       *Member
	cut     bool
}

func (p *peer) Send(to uint64, message []byte) {
	p.g.mu.Lock()
	if p.g.direct {
		if other := p.g.members[to]; other != nil {
			other.m.Step(p.id, message)
		}
		p.g.mu.Unlock()
		return
	}
	lost := p.g.rand.IntN(100) < p.g.loss || p.cut
	delay := time.Millisecond + time.Duration(p.g.rand.IntN(5e6)) // hardly ever two at once: a run can be repeated
	twice, later := p.g.rand.IntN(100) < p.g.twice, time.Duration(p.g.rand.IntN(300e6))
	p.g.mu.Unlock()
	if !lost {
		p.deliver(to, message, delay)
	}
	if twice {
		p.deliver(to, message, later)
	}
}

func (g *group) cut(p *peer, off bool) {
	g.mu.Lock()
	p.cut = off
	g.mu.Unlock()
}

func (p *peer) deliver(to uint64, message []byte, delay time.Duration) {
	time.AfterFunc(delay, func() {
		p.g.mu.Lock()
		other := p.g.members[to]
		var m *Member
		if other != nil && !other.cut {
			m = other.m
		}
		p.g.mu.Unlock()
		if m != nil {
			m.Step(p.id, message)
		}
	})
}

func (g *group) open(id uint64) *peer {
	g.t.Helper()
	g.mu.Lock()
	p := g.members[id]
	if p == nil {
		p = &peer{g: g, id: id, disk: new(vfs.Mem)}
		g.members[id] = p
	}
	g.mu.Unlock()
	p.life++
	machine := &journal{}
	m, err := Open(Options{FS: p.disk, Dir: "raft", ID: id, Life: p.life, Machine: machine, Transport: p, CompactEntries: g.compact})
	if err != nil {
		g.t.Fatal(err)
	}
	p.machine = machine
	g.mu.Lock()
	p.m = m
	g.mu.Unlock()
	return p
}

func (g *group) first() *peer {
	p := g.open(1)
	if err := p.m.Bootstrap([]byte("add 1")); err != nil {
		g.t.Fatal(err)
	}
	if err := p.m.Start(); err != nil {
		g.t.Fatal(err)
	}
	return p
}

func (g *group) join(via *peer, id uint64) *peer {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	p := g.open(id)
	if err := p.m.Join(); err != nil {
		g.t.Fatal(err)
	}
	if err := p.m.Start(); err != nil {
		g.t.Fatal(err)
	}
	if err := via.m.AddPeer(ctx, id, fmt.Appendf(nil, "add %d", id)); err != nil {
		g.t.Fatal(err)
	}
	return p
}

// voters waits until all know that so many vote: before, fewer deaths can be borne.
func (g *group) voters(n int) {
	g.t.Helper()
	for range 600 {
		know := 0
		for _, p := range g.members {
			if len(p.m.Status().Voters) == n {
				know++
			}
		}
		if know == len(g.members) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	g.t.Fatalf("there are not %d voters", n)
}

func (g *group) close() {
	for _, p := range g.members {
		if p.m != nil {
			_ = p.m.Close()
		}
	}
}

func (g *group) kill(p *peer) {
	g.mu.Lock()
	m := p.m
	p.m = nil
	g.mu.Unlock()
	p.disk = p.disk.Crash(rand.New(rand.NewPCG(p.life, p.id)))
	_ = m.Close()
}

func (g *group) settle(want int) {
	g.t.Helper()
	for range 600 {
		time.Sleep(100 * time.Millisecond)
		if g.agreed(want) {
			return
		}
	}
	for id, p := range g.members {
		if p.m != nil {
			g.t.Logf("%d: %d commands, %+v", id, len(p.machine.all()), p.m.Status())
		}
	}
	g.t.Fatalf("no agreement on %d commands", want)
}

func (g *group) agreed(want int) bool {
	var first []string
	for _, p := range g.members {
		if p.m == nil || p.m.Status().Removed {
			continue
		}
		all := p.machine.all()
		if first == nil {
			first = all
		}
		if len(all) != want || !slices.Equal(all, first) {
			return false
		}
	}
	return true
}

func TestMembersJoinAtOnceAndAgree(t *testing.T) {
	for _, loss := range []int{0, 10} {
		synctest.Test(t, func(t *testing.T) {
			g := &group{t: t, rand: rand.New(rand.NewPCG(1, uint64(loss))), loss: loss, members: map[uint64]*peer{}, compact: 16}
			defer g.close()
			p := g.first()
			var all sync.WaitGroup
			for id := uint64(2); id <= 5; id++ {
				all.Go(func() { g.join(p, id) })
			}
			start := time.Now()
			all.Wait()
			t.Logf("joined after %v", time.Since(start))
			g.settle(5)
			for id := uint64(1); id <= 5; id++ {
				for i := range 20 {
					all.Go(func() {
						ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
						defer cancel()
						if _, err := g.members[id].m.Propose(ctx, fmt.Appendf(nil, "%d from %d", i, id)); err != nil {
							t.Error(err)
						}
					})
				}
			}
			all.Wait()
			g.settle(105)
			g.voters(5)
			if s := p.m.Status(); len(s.Voters) != 5 || s.Leader == 0 {
				t.Errorf("%+v", s)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if _, err := g.members[3].m.Propose(ctx, []byte("!no")); sextant.KindOf(err) != sextant.WrongInput {
				t.Error(err)
			}
			if i, err := g.members[4].m.ReadIndex(ctx); err != nil || i < 100 {
				t.Error(i, err)
			}
		})
	}
}

func TestMembersDieAndComeBack(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			g := &group{t: t, rand: rand.New(rand.NewPCG(seed, 7)), loss: int(seed % 4), members: map[uint64]*peer{}, compact: 8}
			defer g.close()
			p := g.first()
			g.join(p, 2)
			g.join(p, 3)
			g.settle(3)
			g.voters(3)
			sent := 3
			chance := rand.New(rand.NewPCG(seed, 8))
			for round := range 12 {
				victim := g.members[1+chance.Uint64N(3)]
				g.kill(victim)
				for _, q := range g.members {
					if q.m == nil {
						continue
					}
					ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
					if _, err := q.m.Propose(ctx, fmt.Appendf(nil, "round %d at %d", round, q.id)); err != nil {
						t.Fatalf("seed %d, round %d, at %d: %v", seed, round, q.id, err)
					}
					cancel()
					sent++
				}
				g.open(victim.id)
				if err := victim.m.Start(); err != nil {
					t.Fatal(err)
				}
			}
			g.settle(sent)
		})
	}
}

func TestTheLeaderIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &group{t: t, rand: rand.New(rand.NewPCG(3, 3)), members: map[uint64]*peer{}, compact: 8}
		defer g.close()
		p := g.first()
		g.join(p, 2)
		g.join(p, 3)
		g.settle(3)
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := g.members[2].m.RemovePeer(ctx, 1, []byte("remove 1")); err != nil {
			t.Fatal(err)
		}
		if _, err := g.members[3].m.Propose(ctx, []byte("after")); err != nil {
			t.Fatal(err)
		}
		if !p.m.Status().Removed {
			time.Sleep(20 * time.Second)
		}
		if s := p.m.Status(); !s.Removed {
			t.Errorf("%+v", s)
		}
		g.settle(5)
	})
}

func TestReinit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &group{t: t, rand: rand.New(rand.NewPCG(4, 4)), members: map[uint64]*peer{}}
		defer g.close()
		p := g.first()
		g.join(p, 2)
		g.join(p, 3)
		g.settle(3)
		g.kill(g.members[2])
		g.kill(g.members[3])
		g.kill(p)
		delete(g.members, 2)
		delete(g.members, 3)
		p = g.open(1)
		if err := p.m.Reinit([]byte("alone")); err != nil {
			t.Fatal(err)
		}
		if err := p.m.Start(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := p.m.Propose(ctx, []byte("goes on")); err != nil {
			t.Fatal(err)
		}
		g.join(p, 4)
		g.settle(6)
	})
}
