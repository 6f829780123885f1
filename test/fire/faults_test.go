package fire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sextantdb/sextant/test/process"
)

// fault is something bad that happens to some peers and is over after a while.
type fault struct {
	kind string
	// who chooses whom it strikes; none: it is not possible now.
	who   func(f *fire) []int
	begin func(f *fire, who []int)
	end   func(f *fire, who []int)
	state int32 // of whom it strikes
}

// fire is what the faults need.
type fire struct {
	*world
	rng *rand.Rand
}

func (f *fire) anybody() []int { return []int{f.rng.IntN(f.n)} }

// majority are so many that the others can agree on nothing.
func (f *fire) majority() []int { return f.rng.Perm(f.n)[:f.n/2+1] }

func (f *fire) everybody() []int { return f.c.Others(-1) }

func (f *fire) leader() []int {
	for i := range f.n {
		if k := f.c.Number(f.c.Leader(i)); k >= 0 {
			return []int{k}
		}
	}
	return nil
}

// primary is a peer that leads a shard.
func (f *fire) primary() []int {
	s := f.sets[f.rng.IntN(len(f.sets))]
	for _, shard := range f.c.Shards(f.rng.IntN(f.n), s.name) {
		for _, r := range shard.Replicas {
			if k := f.c.Number(r.Peer); r.Primary && k >= 0 && f.rng.IntN(2) == 0 {
				return []int{k}
			}
		}
	}
	return nil
}

// moving is an end of a transfer that is going on.
func (f *fire) moving() []int {
	for limit := time.Now().Add(3 * time.Second); time.Now().Before(limit); <-time.After(20 * time.Millisecond) {
		for _, s := range f.sets {
			v, err := f.c.Setup(f.rng.IntN(f.n), s.name)
			if err != nil || len(v.Moving) == 0 {
				continue
			}
			m := v.Moving[f.rng.IntN(len(v.Moving))]
			if k := f.c.Number([]uint64{m.From, m.To}[f.rng.IntN(2)]); k >= 0 {
				return []int{k}
			}
		}
	}
	return nil
}

// spare is a peer without which every shard still has two replicas in sync: what is on its disk may be lost.
func (f *fire) spare() []int { return f.spareIs(f.rng.IntN(f.n)) }

func (f *fire) spareIs(who int) []int {
	id := f.c.View(who).Peer
	for _, s := range f.sets {
		shards := f.c.Shards((who+1)%f.n, s.name)
		if len(shards) == 0 || id == 0 {
			return nil
		}
		for _, shard := range shards {
			others, here := 0, false
			for _, r := range shard.Replicas {
				if r.Peer == id {
					here = true
				} else if r.InSync && r.State == "Active" && f.c.Number(r.Peer) >= 0 {
					others++
				}
			}
			if here && others < 2 && s.factor > 2 {
				return nil
			}
		}
	}
	return []int{who}
}

// anyShard is the directory of a shard of the collection that is everywhere; "" if there is none.
func (f *fire) anyShard(who int) string {
	var list []string
	for _, uuid := range f.sets[0].uuids {
		dir := filepath.Join(f.c.Peer(who).Dir, "storage", "collections", uuid)
		found, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, d := range found {
			if d.IsDir() {
				list = append(list, filepath.Join(dir, d.Name()))
			}
		}
	}
	if len(list) == 0 {
		return ""
	}
	return list[f.rng.IntN(len(list))]
}

func (f *fire) remove(dir string) {
	if dir == "" {
		return
	}
	if err := os.RemoveAll(dir); err != nil {
		f.t.Error(err)
	}
}

func (f *fire) copy(from, to string) {
	if from == "" {
		return
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		f.t.Error(err)
	}
}

func kill(f *fire, who []int) {
	for _, i := range who {
		f.c.Peer(i).Kill()
	}
}

// again starts peers in any order and waits until they answer.
func again(f *fire, who []int) {
	for _, k := range f.rng.Perm(len(who)) {
		f.c.Restart(f.t, who[k], false)
	}
	for _, i := range who {
		process.Until(f.t, fmt.Sprintf("peer %d answers again", i), func() bool {
			f.c.Alive(f.t)
			return f.c.View(i).Peer != 0
		})
	}
}

func pause(f *fire, who []int) {
	for _, i := range who {
		f.c.Peer(i).Pause(f.t)
	}
}

func resume(f *fire, who []int) {
	for _, i := range who {
		f.c.Peer(i).Resume(f.t)
	}
}

// link cuts or heals what peers send to the others (out) and what comes from them (in).
func link(out, in, lost bool) func(f *fire, who []int) {
	return func(f *fire, who []int) {
		for _, a := range who {
			for _, b := range f.c.Others(a) {
				if slices.Contains(who, b) {
					continue // they hear each other
				}
				if out {
					f.c.Net.Lose(a, b, lost)
				}
				if in {
					f.c.Net.Lose(b, a, lost)
				}
			}
		}
	}
}

// stutter stops a process for a moment again and again while the fault lasts.
var stutters sync.Map

func stutter(f *fire, who []int) {
	end := make(chan struct{})
	var run sync.WaitGroup
	run.Go(func() {
		for {
			pause(f, who)
			<-time.After(80 * time.Millisecond)
			resume(f, who)
			select {
			case <-time.After(20 * time.Millisecond):
			case <-end:
				return
			}
		}
	})
	stutters.Store(who[0], func() { close(end); run.Wait() })
}

func steady(_ *fire, who []int) {
	if stop, ok := stutters.LoadAndDelete(who[0]); ok {
		stop.(func())()
	}
}

// filler is what takes the room on a disk.
func (w *world) filler() string { return filepath.Join(filepath.Dir(w.c.Dirs[w.disk]), "filler") }

func fill(f *fire, _ []int) {
	file, err := os.Create(f.filler())
	if err != nil {
		f.t.Error(err)
		return
	}
	defer file.Close()
	for size := 1 << 20; size >= 512; size /= 2 {
		for err = nil; err == nil; {
			_, err = file.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, io.ErrShortWrite) {
			f.t.Error(err)
			return
		}
	}
}

func empty(f *fire, _ []int) {
	if err := os.Remove(f.filler()); err != nil {
		f.t.Error(err)
	}
}

func (w *world) kinds() []fault {
	nothing := func(*fire, []int) {}
	list := []fault{
		{"kill anybody", (*fire).anybody, kill, again, isDown},
		{"kill the leader of consensus", (*fire).leader, kill, again, isDown},
		{"kill a primary", (*fire).primary, kill, again, isDown},
		{"kill an end of a transfer", (*fire).moving, kill, again, isDown},
		{"kill a majority", (*fire).majority, kill, again, isDown},
		{"kill everybody", (*fire).everybody, kill, again, isDown},
		{"kill twice", (*fire).anybody, func(f *fire, who []int) { kill(f, who); f.c.Restart(f.t, who[0], false); kill(f, who) }, again, isDown},
		{"stop and start anybody", (*fire).anybody, func(f *fire, who []int) { f.c.Peer(who[0]).Stop(f.t, 20*time.Second) }, again, isDown},
		{"hang anybody", (*fire).anybody, pause, resume, isDown},
		{"hang a primary", (*fire).primary, pause, resume, isDown},
		{"hang an end of a transfer", (*fire).moving, pause, resume, isDown},
		{"hang everybody", (*fire).everybody, pause, resume, isDown},
		{"stutter", (*fire).anybody, stutter, steady, isUnwell},
		{"cut off anybody", (*fire).anybody, link(true, true, true), link(true, true, false), isUnwell},
		{"cut off a primary", (*fire).primary, link(true, true, true), link(true, true, false), isUnwell},
		{"unheard", (*fire).anybody, link(true, false, true), link(true, false, false), isUnwell},
		{"deaf", (*fire).anybody, link(false, true, true), link(false, true, false), isUnwell},
		{"cut between two", func(f *fire) []int { return f.rng.Perm(f.n)[:2] }, func(f *fire, who []int) {
			f.c.Net.Lose(who[0], who[1], true)
			f.c.Net.Lose(who[1], who[0], true)
		}, func(f *fire, who []int) {
			f.c.Net.Lose(who[0], who[1], false)
			f.c.Net.Lose(who[1], who[0], false)
		}, isWell},
		{"flicker", (*fire).anybody, func(f *fire, who []int) {
			for range 10 {
				link(true, true, true)(f, who)
				<-time.After(time.Duration(f.rng.IntN(200)) * time.Millisecond)
				link(true, true, false)(f, who)
				<-time.After(time.Duration(f.rng.IntN(200)) * time.Millisecond)
			}
		}, nothing, isUnwell},
	}
	list = append(list, fault{"lose the files of a shard", (*fire).spare, func(f *fire, who []int) {
		kill(f, who)
		f.remove(f.anyShard(who[0]))
	}, again, isDown}, fault{"an old disk", (*fire).spare, func(f *fire, who []int) {
		// A shard is as it was some seconds ago, and so is what it promised since.
		kill(f, who)
		dir := f.anyShard(who[0])
		copied := filepath.Join(f.t.TempDir(), "old")
		f.copy(dir, copied)
		again(f, who)
		<-time.After(time.Duration(500+f.rng.IntN(3000)) * time.Millisecond)
		if !slices.Equal(f.spareIs(who[0]), who) {
			kill(f, who) // what it has is needed now
			return
		}
		kill(f, who)
		f.remove(dir)
		if dir != "" {
			f.copy(copied, dir)
		}
	}, again, isDown})
	if w.c.Net.Slow(0, true) {
		w.c.Net.Slow(0, false)
		slow := func(slow bool) func(f *fire, who []int) {
			return func(f *fire, who []int) {
				if !f.c.Net.Slow(who[0], slow) {
					f.t.Error("the network cannot be made slow or fast again")
				}
			}
		}
		list = append(list, fault{"slow network", (*fire).anybody, slow(true), slow(false), isUnwell})
	}
	if w.disk >= 0 {
		here := func(f *fire) []int { return []int{f.disk} }
		list = append(list, fault{"full disk", here, fill, empty, isUnwell},
			fault{"full disk and killed", here, func(f *fire, who []int) { fill(f, who); kill(f, who) }, func(f *fire, who []int) { empty(f, who); again(f, who) }, isDown})
	}
	if *kinds != "" {
		list = slices.DeleteFunc(list, func(x fault) bool { return !slices.Contains(strings.Split(*kinds, ","), x.kind) })
	}
	return list
}

// faults makes one fault after another until life ends, sometimes a second one while the first lasts.
func (w *world) faults(life context.Context) {
	f := &fire{world: w, rng: rand.New(rand.NewPCG(*seed, 2))}
	list := w.kinds()
	rest := func(ms int) {
		select {
		case <-time.After(time.Duration(f.rng.IntN(ms)) * time.Millisecond):
		case <-life.Done():
		}
	}
	for n := 0; life.Err() == nil && len(list) > 0 && len(w.tally.wrong) == 0; n++ {
		x := list[f.rng.IntN(len(list))]
		if n < len(list) {
			x = list[(n+int(*seed%uint64(len(list))))%len(list)] // everything once before chance takes over
		}
		who := x.who(f)
		if len(who) == 0 {
			continue
		}
		mark := func(state int32) {
			for _, i := range who {
				w.state[i].set(state)
			}
		}
		w.c.Alive(w.t)
		w.t.Logf("%s: %s: peers %v", time.Now().Format("15:04:05.000"), x.kind, who)
		w.tally.fault(x.kind)
		mark(x.state)
		x.begin(f, who)
		rest(5000)
		x.end(f, who)
		mark(isWell)
		rest(3000)
	}
}

// heal ends whatever may still last; every fault ends by itself, so this is for those that failed.
func (w *world) heal() {
	f := &fire{world: w, rng: rand.New(rand.NewPCG(*seed, 4))}
	link(true, true, false)(f, nil)
	w.tally.fault("no fault any more")
	w.tally.mu.Lock()
	delete(w.tally.faults, "no fault any more")
	w.tally.mu.Unlock()
}
