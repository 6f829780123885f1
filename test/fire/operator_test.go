package fire

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sextantdb/sextant/test/process"
)

// startOperator copies and moves shards, aborts that and drops replicas, as a user would, until life ends. Refusals are of no
// interest: what it asks for may have become impossible meanwhile.
func startOperator(w *world, life context.Context) *sync.WaitGroup {
	run := &sync.WaitGroup{}
	run.Go(func() {
		rng := rand.New(rand.NewPCG(*seed, 3))
		for {
			select {
			case <-time.After(time.Duration(200+rng.IntN(2500)) * time.Millisecond):
			case <-life.Done():
				return
			}
			asked := rng.IntN(w.n)
			s := w.sets[rng.IntN(len(w.sets))]
			if w.state[asked].get() == isWell {
				w.operate(rng, asked, s)
			}
		}
	})
	return run
}

func (w *world) operate(rng *rand.Rand, asked int, s *set) {
	v, err := w.c.Setup(asked, s.name)
	if err != nil || len(v.Local)+len(v.Remote) == 0 {
		return
	}
	var peers []uint64
	for i := range w.n {
		if id := w.c.View(i).Peer; id != 0 {
			peers = append(peers, id)
		}
	}
	all := append(v.Local, v.Remote...)
	shard := all[rng.IntN(len(all))].Shard
	var replicas []process.Hosted
	var active []uint64
	for _, r := range all {
		if r.Shard == shard {
			replicas = append(replicas, r)
			if r.State == "Active" {
				active = append(active, r.Peer)
			}
		}
	}
	send := func(what string, body map[string]any) {
		body["shard_id"] = shard
		_, err := w.c.Call(asked, "POST", "/collections/"+s.name+"/cluster?timeout=5", map[string]any{what: body}, nil)
		if m, ok := body["method"].(string); ok {
			what += " " + m
		}
		w.tally.operated(what, err)
	}
	for _, m := range v.Moving {
		if m.Shard == shard && rng.IntN(2) == 0 {
			send("abort_transfer", map[string]any{"from_peer_id": m.From, "to_peer_id": m.To})
			return
		}
	}
	if len(active) == 0 || len(peers) < 2 {
		return
	}
	from, to := active[rng.IntN(len(active))], peers[rng.IntN(len(peers))]
	if from == to {
		return
	}
	here := false
	for _, r := range replicas {
		here = here || r.Peer == to
	}
	method := []string{"wal_delta", "stream_records", "snapshot"}[rng.IntN(3)]
	switch {
	case len(replicas) > s.factor && len(active) > s.factor:
		send("drop_replica", map[string]any{"peer_id": from})
	case !here && len(replicas) >= s.factor && rng.IntN(2) == 0:
		send("move_shard", map[string]any{"from_peer_id": from, "to_peer_id": to, "method": method})
	default:
		send("replicate_shard", map[string]any{"from_peer_id": from, "to_peer_id": to, "method": method})
	}
}
