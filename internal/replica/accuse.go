package replica

import (
	"context"
	"hash/fnv"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sextantdb/sextant/internal/topology"
)

// AccuserOptions are what an Accuser is made of.
type AccuserOptions struct {
	Self     topology.PeerID
	State    func() *topology.State
	Alive    func(topology.PeerID) bool
	Silence  func(topology.PeerID) time.Duration
	Hears    func(ctx context.Context, asked, about topology.PeerID) (bool, error)
	Proposer Proposer
}

// Accuser finds primaries that do not answer and has others named: at once when somebody waits for one, else when its peer has
// been silent for long. One peer's opinion must not depose a healthy primary: a second one is asked.
type Accuser struct {
	o    AccuserOptions
	life context.Context
	end  context.CancelFunc
	run  sync.WaitGroup

	mu       sync.Mutex
	suspects map[string]topology.PeerID // shards whose primary somebody waits for
	working  bool
}

const (
	lookEvery = 53 * time.Millisecond // not in step with idleTime: in a simulation, what happens at one instant has no order
	// idleTime is for how long a peer is silent before its shards get other primaries though nobody waits.
	idleTime = 3 * time.Second
	// downTime is the same for one that refuses connections.
	downTime = 300 * time.Millisecond
)

// NewAccuser starts an accuser. Close ends it.
func NewAccuser(o AccuserOptions) *Accuser {
	a := &Accuser{o: o, suspects: map[string]topology.PeerID{}}
	a.life, a.end = context.WithCancel(context.Background())
	a.run.Go(a.guard)
	return a
}

// Close ends it.
func (a *Accuser) Close() {
	a.end()
	a.run.Wait()
}

// Suspect tells that the primary of a shard did not answer.
func (a *Accuser) Suspect(shard string, primary topology.PeerID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if primary == a.o.Self || a.life.Err() != nil {
		return
	}
	a.suspects[shard] = primary
	if !a.working {
		a.working = true
		a.run.Go(a.work)
	}
}

// guard suspects the primaries on peers that have been silent for long.
func (a *Accuser) guard() {
	timer := time.NewTicker(idleTime / 6)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-a.life.Done():
			return
		}
		state := a.o.State()
		silent := map[topology.PeerID]bool{}
		for p := range state.Peers {
			silent[p] = p != a.o.Self && a.o.Silence(p) >= idleTime
		}
		for _, c := range state.Collections {
			for _, s := range c.Shards {
				if silent[s.Primary] {
					a.Suspect(s.UUID, s.Primary)
				}
			}
		}
	}
}

// work looks after the suspects until there are none.
func (a *Accuser) work() {
	since := map[topology.PeerID]time.Time{}
	for {
		a.mu.Lock()
		suspects := maps.Clone(a.suspects)
		a.mu.Unlock()
		state := a.o.State()
		byPeer := map[topology.PeerID][]string{}
		for shard, p := range suspects {
			if now := state.Shard(shard); now == nil || now.Primary != p || a.o.Alive(p) {
				a.clear(shard, p)
				continue
			}
			byPeer[p] = append(byPeer[p], shard)
		}
		for p := range since {
			if byPeer[p] == nil {
				delete(since, p)
			}
		}
		var command topology.Command
		for _, p := range slices.Sorted(maps.Keys(byPeer)) {
			if since[p].IsZero() {
				since[p] = time.Now()
			}
			if time.Since(since[p]) < downTime || a.o.Silence(p) < downTime {
				continue
			}
			slices.Sort(byPeer[p])
			list := a.accusations(state, p, byPeer[p])
			if len(list) == 0 { // nobody could follow it; who waits suspects it again
				for _, shard := range byPeer[p] {
					a.clear(shard, p)
				}
			} else if a.agree(state, p) {
				command.Failed = append(command.Failed, list...)
			}
		}
		if len(command.Failed) > 0 {
			ctx, cancel := context.WithTimeout(a.life, proposeTime)
			_ = a.o.Proposer.Propose(ctx, command) // it is repeated until the topology shows the effect
			cancel()
		}
		a.mu.Lock()
		if len(a.suspects) == 0 || a.life.Err() != nil {
			a.working = false
			a.mu.Unlock()
			return
		}
		a.mu.Unlock()
		select {
		case <-time.After(lookEvery):
		case <-a.life.Done():
		}
	}
}

func (a *Accuser) clear(shard string, p topology.PeerID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.suspects[shard] == p {
		delete(a.suspects, shard)
	}
}

// agree asks whether a second peer does not hear the suspect either. In a cluster of two there is none.
func (a *Accuser) agree(state *topology.State, suspect topology.PeerID) bool {
	var others []topology.PeerID
	for _, p := range slices.Sorted(maps.Keys(state.Peers)) {
		if p != a.o.Self && p != suspect && a.o.Alive(p) {
			others = append(others, p)
		}
	}
	if len(others) == 0 {
		return len(state.Peers) <= 2
	}
	ctx, cancel := context.WithTimeout(a.life, 470*time.Millisecond)
	defer cancel()
	opinions := make(chan bool, len(others))
	for _, p := range others {
		a.run.Go(func() {
			hears, err := a.o.Hears(ctx, p, suspect)
			opinions <- err == nil && !hears
		})
	}
	for range others {
		if <-opinions {
			return true
		}
	}
	return false
}

// accusations name a successor that is in sync and lives for each shard.
func (a *Accuser) accusations(state *topology.State, suspect topology.PeerID, shards []string) (list []topology.ReplicaFailed) {
	for _, uuid := range shards {
		s := state.Shard(uuid)
		if s == nil || s.Primary != suspect {
			continue
		}
		heir := a.heir(s, suspect)
		if heir != 0 {
			list = append(list, topology.ReplicaFailed{Shard: uuid, Term: s.Term, Version: s.Version, Peer: suspect, Successor: heir})
		}
	}
	return list
}

// heir is an in-sync replica that lives, Active before others. Shards differ in theirs, so that one peer's death does not make
// another one primary of everything; all peers name the same.
func (a *Accuser) heir(s *topology.Shard, suspect topology.PeerID) topology.PeerID {
	live := slices.DeleteFunc(s.InSync(), func(p topology.PeerID) bool { return p == suspect || !a.o.Alive(p) })
	active := slices.DeleteFunc(slices.Clone(live), func(p topology.PeerID) bool { return s.Replicas[p].State != topology.Active })
	if len(active) > 0 {
		live = active
	}
	if len(live) == 0 {
		return 0
	}
	h := fnv.New32a()
	h.Write([]byte(s.UUID))
	return live[int(h.Sum32()%uint32(len(live)))]
}
