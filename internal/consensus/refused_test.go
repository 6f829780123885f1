package consensus

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sextantdb/sextant"
)

// A change of members whose command is refused changes nobody, and all go on, also when they meet it again after a restart.
func TestRefusedChangesOfMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &group{t: t, rand: rand.New(rand.NewPCG(7, 7)), members: map[uint64]*peer{}, compact: 1000}
		defer g.close()
		p := g.first()
		g.join(p, 2)
		g.join(p, 3)
		g.voters(3)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for _, id := range []uint64{1, 2} {
			if err := g.members[id].m.AddPeer(ctx, 4, []byte("!in use")); sextant.KindOf(err) != sextant.WrongInput {
				t.Errorf("by %d: %v", id, err)
			}
			if err := g.members[id].m.RemovePeer(ctx, 3, []byte("!has shards")); sextant.KindOf(err) != sextant.WrongInput {
				t.Errorf("by %d: %v", id, err)
			}
		}
		if _, err := p.m.Propose(ctx, []byte("after")); err != nil {
			t.Fatal(err)
		}
		g.settle(4)
		for id := uint64(1); id <= 3; id++ {
			g.kill(g.members[id])
		}
		for id := uint64(1); id <= 3; id++ {
			if err := g.open(id).m.Start(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := g.members[3].m.Propose(ctx, []byte("later")); err != nil {
			t.Fatal(err)
		}
		g.settle(5)
		for id := uint64(1); id <= 3; id++ {
			if s := g.members[id].m.Status(); len(s.Voters) != 3 || len(s.Learners) != 0 || s.Err != nil {
				t.Errorf("%d: %+v", id, s)
			}
		}
	})
}
