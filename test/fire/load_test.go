package fire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sextantdb/sextant/test/history"
)

// set is a collection and what is known of it.
type set struct {
	name   string
	factor int
	uuids  []string // of directories
	book   history.Book
}

func newSet(w *world, name string, shards, factor int) *set {
	before := w.directories()
	w.c.Create(w.t, name, shards, factor)
	s := &set{name: name, factor: factor}
	for dir := range w.directories() {
		if !before[dir] {
			s.uuids = append(s.uuids, dir)
		}
	}
	for _, field := range []string{"w", "g"} {
		w.c.Must(w.t, 0, "PUT", "/collections/"+name+"/index?wait=true", map[string]any{"field_name": field, "field_schema": "integer"}, nil)
	}
	return s
}

// directories are those of collections on the first peer.
func (w *world) directories() map[string]bool {
	names := map[string]bool{}
	list, _ := os.ReadDir(filepath.Join(w.c.Peer(0).Dir, "storage", "collections")) // none before the first
	for _, d := range list {
		names[d.Name()] = true
	}
	return names
}

const (
	writersEach = 4 // of a set
	groups      = 4 // of points of a writer
	groupSize   = 10
	limit       = 10 // seconds that a request asks for
	pointsOf    = groups * groupSize
)

// load is the clients.
type load struct {
	w   *world
	end atomic.Bool
	run sync.WaitGroup
}

func startLoad(w *world) *load {
	l := &load{w: w}
	for i, s := range w.sets {
		for k := range writersEach {
			l.run.Go(func() { l.write(s, k, rand.New(rand.NewPCG(*seed, uint64(100*i+k+10)))) })
		}
		l.run.Go(func() { l.read(s, rand.New(rand.NewPCG(*seed, uint64(100*i+90)))) })
	}
	return l
}

func (l *load) stop() {
	l.end.Store(true)
	l.run.Wait()
}

// pick chooses a peer: one that is well, or, rarely, any whose process runs.
func (l *load) pick(rng *rand.Rand, any bool) (peer int, well bool) {
	for range 100 {
		peer = rng.IntN(l.w.n)
		switch l.w.state[peer].get() {
		case isWell:
			return peer, true
		case isUnwell:
			if any {
				return peer, false
			}
		}
	}
	<-time.After(5 * time.Millisecond)
	return peer, false
}

// write is a client that writes points of its own, one request at a time. The first of a set only asks peers that are well, so
// that its waiting is not of its own making.
func (l *load) write(s *set, k int, rng *rand.Rand) {
	base := uint64(k * 1000)
	value := int64(0)
	last := time.Now()
	for !l.end.Load() {
		peer, _ := l.pick(rng, k > 0 && rng.IntN(4) == 0)
		value++
		path := "/collections/" + s.name + "/points"
		flags := fmt.Sprintf("?wait=%t&timeout=%d", rng.IntN(3) > 0, limit)
		var ids []uint64
		wrote := value
		method, what := "POST", ""
		var body any
		id := base + uint64(rng.IntN(pointsOf))
		group := int(id-base) / groupSize
		switch x := rng.IntN(20); {
		case x < 12:
			what, method = "upsert", "PUT"
			var points []any
			for i := range 1 + rng.IntN(4) {
				id := base + (id-base+uint64(i)*7)%pointsOf
				ids = append(ids, id)
				points = append(points, map[string]any{"id": id, "vector": []int64{value, int64(k)},
					"payload": map[string]any{"v": value, "w": k, "g": int(id-base) / groupSize}})
			}
			body = map[string]any{"points": points}
		case x < 16 && s.book.Certain(id):
			what, path, ids = "set payload", path+"/payload", []uint64{id}
			body = map[string]any{"points": ids, "payload": map[string]any{"v": value}}
		case x < 19:
			what, path, ids, wrote = "delete", path+"/delete", []uint64{id}, 0
			body = map[string]any{"points": ids}
		default:
			what, path, wrote = "delete by filter", path+"/delete", 0
			for i := range groupSize {
				ids = append(ids, base+uint64(group*groupSize+i))
			}
			body = map[string]any{"filter": map[string]any{"must": []any{
				map[string]any{"key": "w", "match": map[string]any{"value": k}}, map[string]any{"key": "g", "match": map[string]any{"value": group}}}}}
		}
		for _, id := range ids {
			s.book.Write(id, wrote)
		}
		changes := l.w.state[peer].was.Load()
		status, err := l.w.c.Call(peer, method, path+flags, body, nil)
		if l.w.state[peer].was.Load() != changes { // it waited for a peer that was lost, which is nobody else's fault
			last = time.Now()
		}
		outcome := history.Acknowledged
		if err != nil {
			outcome = history.Unknown
			l.w.tally.failed(what, status, err)
		}
		for _, id := range ids {
			s.book.End(id, wrote, outcome)
		}
		if err != nil {
			continue
		}
		l.w.tally.wrote(what)
		if k == 0 {
			l.w.tally.stall(&l.w.tally.writeStalls, s.name, last)
			last = time.Now()
		}
		if rng.IntN(10) == 0 {
			l.confirm(s, id, rng)
		}
	}
}

type record struct {
	ID      uint64
	Vector  []float64
	Payload struct{ V, W, G int64 }
}

// confirm reads a point of the client's own with all guarantees: it must be what was acknowledged.
func (l *load) confirm(s *set, id uint64, rng *rand.Rand) {
	peer, _ := l.pick(rng, false)
	var found []record
	if _, err := l.w.c.Linearizable(peer, "POST", "/collections/"+s.name+"/points?timeout=5", map[string]any{"ids": []uint64{id}, "with_vector": true, "with_payload": true}, &found); err != nil {
		l.w.tally.count("linearizable reads that failed")
		return
	}
	l.w.tally.count("linearizable reads")
	got := int64(0)
	if len(found) > 0 {
		got = found[0].Payload.V
	}
	if why := s.book.Now(id, got); why != "" {
		l.w.tally.bad(fmt.Sprintf("linearizable read through peer %d of %s: %s", peer, s.name, why))
	}
}

// read is a client that reads, of peers that are well, and looks for what nobody wrote.
func (l *load) read(s *set, rng *rand.Rand) {
	last := time.Now()
	for !l.end.Load() {
		peer, well := l.pick(rng, false)
		if !well {
			continue
		}
		k := rng.IntN(writersEach)
		mine := map[string]any{"must": []any{map[string]any{"key": "w", "match": map[string]any{"value": k}}}}
		changes := l.w.state[peer].was.Load()
		var err error
		var found []record
		switch rng.IntN(3) {
		case 0:
			_, err = l.w.c.Call(peer, "POST", "/collections/"+s.name+"/points/count", map[string]any{"exact": true}, nil)
		case 1:
			_, err = l.w.c.Call(peer, "POST", "/collections/"+s.name+"/points", map[string]any{"ids": []int{k * 1000, k*1000 + 7}, "with_vector": true, "with_payload": true}, &found)
		default:
			var page struct{ Points []record }
			_, err = l.w.c.Call(peer, "POST", "/collections/"+s.name+"/points/scroll", map[string]any{"limit": 1000, "filter": mine, "with_vector": true, "with_payload": true}, &page)
			found = page.Points
		}
		same := l.w.state[peer].was.Load() == changes
		if !same {
			last = time.Now()
		}
		if err != nil {
			l.w.tally.readFailed(s.name, same, err)
			continue
		}
		l.w.tally.count("reads")
		l.w.tally.stall(&l.w.tally.readStalls, s.name, last)
		last = time.Now()
		l.look(s, peer, found)
	}
}

func (l *load) look(s *set, peer int, found []record) {
	seen := map[uint64]bool{}
	for _, p := range found {
		if seen[p.ID] {
			l.w.tally.bad(fmt.Sprintf("a read through peer %d of %s shows point %d twice", peer, s.name, p.ID))
		}
		seen[p.ID] = true
		if !s.book.Seen(p.ID, p.Payload.V) || len(p.Vector) != 2 || int64(p.Vector[0]) > p.Payload.V || p.Payload.W != int64(p.ID/1000) {
			l.w.tally.bad(fmt.Sprintf("a read through peer %d of %s shows what nobody wrote: %+v", peer, s.name, p))
		}
	}
}

// judge compares what each peer answers now with the others, and with what clients were told.
func (w *world) judge() {
	for _, s := range w.sets {
		var first json.RawMessage
		for i := range w.n {
			got, err := w.c.Scroll(i, s.name)
			if err != nil {
				w.tally.bad(fmt.Sprintf("peer %d cannot scroll %s: %v", i, s.name, err))
				continue
			}
			if first == nil {
				first = got
			}
			if !bytes.Equal(first, got) {
				w.tally.divergent++
				w.tally.bad(fmt.Sprintf("peer %d answers another content of %s than peer 0:\n%.3000s\n%.3000s", i, s.name, first, got))
			}
		}
		var page struct{ Points []record }
		if err := json.Unmarshal(first, &page); err != nil {
			w.tally.bad(err.Error())
			continue
		}
		values := map[uint64]history.Value{}
		for _, p := range page.Points {
			values[p.ID] = p.Payload.V
		}
		v := s.book.Judge(values)
		w.tally.lost += len(v.Lost)
		w.tally.invented += len(v.Invented)
		w.tally.late += len(v.Late)
		for _, wrong := range v.Wrong() {
			w.tally.bad(s.name + ": " + wrong)
		}
		for _, late := range v.Late {
			w.t.Log("a write came after the end of its request: ", s.name, late)
		}
		w.tally.acked += s.book.Acked()
	}
	w.same()
	for _, wrong := range w.tally.wrong {
		w.t.Error(wrong)
	}
}

// same compares the digests that replicas keep: it asks the primaries to prove their followers equal, and reads what came of it.
func (w *world) same() {
	for name, shards := range w.c.AllShards(0) {
		for _, s := range shards {
			for _, r := range s.Replicas {
				if r.State != "Active" || !r.InSync {
					w.tally.bad(fmt.Sprintf("%s shard %d: replica on %d is %s, in sync: %t", name, s.ID, r.Peer, r.State, r.InSync))
				}
			}
		}
	}
}
