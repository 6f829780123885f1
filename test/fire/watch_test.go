package fire

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// watch measures how long replicas take to come back: from when they were lost, or from when their peer was well again, until
// they are active.
type watch struct {
	end atomic.Bool
	run sync.WaitGroup
}

func startWatch(w *world) *watch {
	v := &watch{}
	v.run.Go(func() {
		lost := map[string]time.Time{}
		for !v.end.Load() {
			<-time.After(100 * time.Millisecond)
			number := map[uint64]int{}
			for i := range w.n {
				if w.state[i].get() == isWell {
					number[w.c.View(i).Peer] = i
				}
			}
			for i := range w.n {
				if w.state[i].get() == isWell {
					v.look(w, i, number, lost)
					break
				}
			}
		}
	})
	return v
}

func (v *watch) look(w *world, asked int, number map[uint64]int, lost map[string]time.Time) {
	for _, s := range w.sets {
		setup, err := w.c.Setup(asked, s.name)
		if err != nil {
			continue
		}
		for _, r := range append(setup.Local, setup.Remote...) {
			key := fmt.Sprintf("%s shard %d on %d", s.name, r.Shard, r.Peer)
			_, well := number[r.Peer]
			switch since, away := lost[key]; {
			case r.State == "Active":
				if away {
					took := time.Since(since)
					w.tally.recovered(key, took)
					if took > 20*time.Second {
						w.t.Logf("%s: %s is active again after %v", time.Now().Format("15:04:05.000"), key, took.Round(time.Millisecond))
					}
				}
				delete(lost, key)
			case !away, !well: // its time begins when its peer is well
				lost[key] = time.Now()
			}
		}
	}
}

func (v *watch) stop() {
	v.end.Store(true)
	v.run.Wait()
}
