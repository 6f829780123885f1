package topology

import (
	"math/rand/v2"
	"slices"
)

// Plan is where the replicas of new shards go: for each shard the peers, its primary first.
type Plan [][]PeerID

// Distribute places shards on peers: for each shard in turn, as many times as the factor says, the peer that has the fewest
// replicas of this plan and none of this shard; ties are broken by chance. The factor is capped by the number of peers. Primaries are
// spread evenly, too.
func Distribute(shards, factor int, peers []PeerID, chance *rand.Rand) Plan {
	count := map[PeerID]int{}
	leads := map[PeerID]int{}
	plan := make(Plan, shards)
	for i := range plan {
		var chosen []PeerID
		for range min(factor, len(peers)) {
			var best []PeerID
			for _, p := range peers {
				if slices.Contains(chosen, p) {
					continue
				}
				switch {
				case len(best) == 0 || count[p] < count[best[0]]:
					best = []PeerID{p}
				case count[p] == count[best[0]]:
					best = append(best, p)
				}
			}
			p := best[chance.IntN(len(best))]
			count[p]++
			chosen = append(chosen, p)
		}
		if len(chosen) > 0 {
			first := slices.MinFunc(chosen, func(a, b PeerID) int { return leads[a] - leads[b] })
			leads[first]++
			at := slices.Index(chosen, first)
			chosen[0], chosen[at] = chosen[at], chosen[0]
		}
		plan[i] = chosen
	}
	return plan
}

// Deal places shards on chosen peers, shuffled and dealt in turn.
func Deal(shards, factor int, peers []PeerID, chance *rand.Rand) Plan {
	deck := slices.Clone(peers)
	chance.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
	plan := make(Plan, shards)
	at := 0
	for i := range plan {
		for range min(factor, len(deck)) {
			plan[i] = append(plan[i], deck[at%len(deck)])
			at++
		}
	}
	return plan
}

// NewShard makes a shard with empty replicas, all in sync since nothing is written yet.
func NewShard(uuid string, peers []PeerID, state ReplicaState) Shard {
	s := Shard{UUID: uuid, Term: 1, Version: 1, Replicas: map[PeerID]Replica{}}
	for _, p := range peers {
		s.Replicas[p] = Replica{State: state, InSync: true}
	}
	if len(peers) > 0 {
		s.Primary = peers[0]
	}
	return s
}
