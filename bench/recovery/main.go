// Command recovery measures what it costs to bring a replica back, beside what it missed: time, bytes, and how much clients feel of it.
//
//	go run ./bench/recovery                          1 k to 1 M points missed, about ten minutes
//	go run ./bench/recovery -missed 1000,10000       less
//	go run ./bench/recovery -write docs/bench.md -svg docs/recovery.svg
//
// Three peers run on this machine, so that sender, receiver and clients share its processors and its disk. One is killed, points are
// written, it starts again, and is asked for when it answers. The time is from that question until all peers call it Active. A client
// goes on writing single points, a hundred a second, before and meanwhile.
package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sextantdb/sextant/bench/peers"
	"github.com/sextantdb/sextant/bench/table"
)

type options struct {
	missed []int
	copies []int
	stored int
	rounds int
	dim    int
	dir    string
	write  string
	svg    string
	note   string
}

func main() {
	o := options{}
	list := func(into *[]int) func(string) error {
		return func(text string) error {
			*into = nil
			for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' }) {
				n, err := strconv.Atoi(part)
				if err != nil || n < 1 {
					return fmt.Errorf("%q is no number of points", part)
				}
				*into = append(*into, n)
			}
			return nil
		}
	}
	o.missed, o.copies = []int{1000, 10_000, 100_000, 1_000_000}, []int{1000, 10_000, 100_000}
	flag.Func("missed", "points that are missed, a list (default 1000,10000,100000,1000000)", list(&o.missed))
	flag.Func("copies", "points that are missed when the log does not reach back, a list (default 1000,10000,100000)", list(&o.copies))
	flag.IntVar(&o.stored, "stored", 200_000, "points that are there before, when the log does not reach back")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds; the median counts. The largest number is measured once")
	flag.IntVar(&o.dim, "dim", 128, "numbers of a vector")
	flag.StringVar(&o.dir, "dir", os.TempDir(), "a directory on the disk to measure")
	flag.StringVar(&o.write, "write", "", "a file with the markers <!-- recovery --> and <!-- /recovery -->, between which the tables are kept")
	flag.StringVar(&o.svg, "svg", "", "a file for the figure")
	flag.StringVar(&o.note, "note", "", "something to say about the machine")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench/recovery:", err)
		os.Exit(1)
	}
}

// result is one recovery.
type result struct {
	points        int // missed
	entries       int // sent
	missed, sent  int // bytes: that the log takes for what was missed, of all calls between sender and receiver
	took          time.Duration
	before, while []time.Duration // of single writes
	methods       []string
}

// goal is how long a recovery of so many points may take: a second of probation, half a second, and the points.
func goal(points int) time.Duration {
	return 1500*time.Millisecond + time.Duration(points)*time.Second/20_000
}

func run(o options) error {
	var text bytes.Buffer
	out := io.MultiWriter(os.Stdout, &text)
	fmt.Fprintf(out, "%s, %s/%s, %d cpus, %s%s; median of %d rounds (of the most points: one), vectors of %d numbers, 100 points a request.\n\n", time.Now().UTC().Format(time.DateOnly),
		runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), o.note, o.rounds, o.dim)
	root, err := os.MkdirTemp(o.dir, "sextant-recovery-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	binary, err := peers.Build(root)
	if err != nil {
		return err
	}
	deltas, err := series(o, root, binary, o.missed, 0)
	if err != nil {
		return err
	}
	print(out, "missed points, by the log", deltas)
	var copies []result
	if len(o.copies) > 0 {
		if copies, err = series(o, root, binary, o.copies, o.stored); err != nil {
			return err
		}
		print(out, fmt.Sprintf("of %d points, by a copy", o.stored), copies)
	}
	if o.svg != "" {
		if err := os.WriteFile(o.svg, draw(deltas, copies), 0o644); err != nil {
			return err
		}
	}
	if o.write == "" {
		return nil
	}
	return table.Keep(o.write, "recovery", text.Bytes())
}

// series measures rows; with stored points the log does not reach back.
func series(o options, root, binary string, missed []int, stored int) (rows []result, err error) {
	for _, n := range missed {
		var all []result
		rounds := o.rounds
		if n == slices.Max(missed) && len(missed) > 1 {
			rounds = 1
		}
		for round := range rounds {
			dir, err := os.MkdirTemp(root, "round-")
			if err != nil {
				return nil, err
			}
			r, err := recovery(o, dir, binary, n, stored)
			if err != nil {
				return nil, fmt.Errorf("%d points, round %d: %w", n, round, err)
			}
			fmt.Fprintf(os.Stderr, "%d points missed, %d stored before: %v by %v, %d entries, %d bytes missed, %d sent, p99 %v before, %v meanwhile\n", n, stored, r.took.Round(time.Millisecond),
				r.methods, r.entries, r.missed, r.sent, table.Quantile(r.before, 0.99), table.Quantile(r.while, 0.99))
			all = append(all, r)
			if err := os.RemoveAll(dir); err != nil {
				return nil, err
			}
		}
		slices.SortFunc(all, func(a, b result) int { return cmp.Compare(a.took, b.took) })
		middle := all[len(all)/2]
		middle.before, middle.while = nil, nil
		for _, r := range all {
			middle.before, middle.while = append(middle.before, r.before...), append(middle.while, r.while...)
		}
		rows = append(rows, middle)
	}
	return rows, nil
}

func print(out io.Writer, what string, rows []result) {
	var t table.Table
	t.Add(what, "time", "goal", "points/s behind the probation", "entries", "MB missed", "MB sent", "sent : missed", "p99 of writes before", "meanwhile", "ratio")
	for _, r := range rows {
		before, while := table.Quantile(r.before, 0.99), table.Quantile(r.while, 0.99)
		t.Add(r.points, r.took, goal(r.points), float64(r.points)/max(r.took.Seconds()-1, 0.001), r.entries, float64(r.missed)/1e6, float64(r.sent)/1e6, fmt.Sprintf("×%.2f", float64(r.sent)/float64(r.missed)),
			before, while, fmt.Sprintf("×%.2f", while.Seconds()/before.Seconds()))
	}
	t.Print(out)
}

// world is three peers and a collection that all of them have.
type world struct {
	o     options
	peers []*peers.Peer
	ids   []uint64
	rng   *rand.Rand
}

const collection = "c"

func (w *world) close() {
	for _, p := range w.peers {
		p.Kill()
	}
}

// build starts three peers that bring nothing back by themselves.
func build(o options, dir, binary string, short bool) (w *world, err error) {
	w = &world{o: o, rng: rand.New(rand.NewPCG(1, 2))}
	env := []string{"SEXTANT__STORAGE__PERFORMANCE__INCOMING_SHARD_TRANSFERS_LIMIT=0", "SEXTANT__STORAGE__WAL__RETENTION_MB=8192"}
	if short {
		env = append(env[:1], "SEXTANT__STORAGE__WAL__RETENTION_MB=0", "SEXTANT__STORAGE__WAL__ABSENT_RETENTION_MB=0", "SEXTANT__STORAGE__WAL__WAL_CAPACITY_MB=1")
	}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	for i := range 3 {
		p, err := peers.Start(binary, filepath.Join(dir, fmt.Sprint("peer", i)), func(p *peers.Peer) []string {
			args := []string{"--uri", p.URI()}
			if i > 0 {
				args = append(args, "--bootstrap", w.peers[0].URI())
			}
			return args
		}, env...)
		if err != nil {
			return nil, err
		}
		w.peers = append(w.peers, p)
		if err := p.Ready(); err != nil {
			return nil, err
		}
	}
	if err := peers.Together(w.peers); err != nil {
		return nil, err
	}
	for _, p := range w.peers {
		var v struct {
			ID uint64 `json:"peer_id"`
		}
		if err := p.Call("GET", "/cluster", nil, &v); err != nil {
			return nil, err
		}
		w.ids = append(w.ids, v.ID)
	}
	body := fmt.Appendf(nil, `{"vectors":{"size":%d,"distance":"Cosine"},"shard_number":1,"replication_factor":3,"optimizers_config":{"indexing_threshold":0}}`, o.dim)
	if err := w.peers[0].Call("PUT", "/collections/"+collection+"?timeout=60", body, nil); err != nil {
		return nil, err
	}
	return w, w.until("Active", 0, 1, 2)
}

// until waits until peers say that the replica of the last peer is in a state.
func (w *world) until(state string, who ...int) error {
	for _, i := range who {
		if err := peers.Poll("the replica is "+state, func() bool { s, _ := w.state(i); return s == state }); err != nil {
			return err
		}
	}
	return nil
}

// state is the state of the replica of the last peer, as a peer says it, and the method of the transfer, if there is one.
func (w *world) state(i int) (state, method string) {
	var v struct {
		Local  []struct{ State string } `json:"local_shards"`
		Remote []struct {
			Peer  uint64 `json:"peer_id"`
			State string
		} `json:"remote_shards"`
		Moving []struct{ Method string } `json:"shard_transfers"`
	}
	if w.peers[i].Call("GET", "/collections/"+collection+"/cluster", nil, &v) != nil {
		return "", ""
	}
	for _, m := range v.Moving {
		method = m.Method
	}
	if i == 2 && len(v.Local) > 0 {
		return v.Local[0].State, method
	}
	for _, r := range v.Remote {
		if r.Peer == w.ids[2] {
			state = r.State
		}
	}
	return state, method
}

// points is the body of an upsert of points from, …, from+n-1.
func (w *world) points(rng *rand.Rand, from, n int) []byte {
	body := []byte(`{"points":[`)
	for id := from; id < from+n; id++ {
		if id > from {
			body = append(body, ',')
		}
		body = fmt.Appendf(body, `{"id":%d,"payload":{"n":%d},"vector":[`, id, id)
		for d := range w.o.dim {
			if d > 0 {
				body = append(body, ',')
			}
			body = strconv.AppendFloat(body, float64(rng.Float32()), 'f', 4, 32)
		}
		body = append(body, "]}"...)
	}
	return append(body, "]}"...)
}

// write upserts points, by 100 a request, four requests at a time.
func (w *world) write(from, n int) error {
	const batch, clients = 100, 4
	next := make(chan int)
	failed := make([]error, clients)
	var run sync.WaitGroup
	for k := range clients {
		rng := rand.New(rand.NewPCG(w.rng.Uint64(), uint64(k)))
		run.Go(func() {
			for at := range next {
				if failed[k] == nil {
					failed[k] = w.peers[k%2].Call("PUT", "/collections/"+collection+"/points?wait=true&timeout=60", w.points(rng, at, min(batch, from+n-at)), nil)
				}
			}
		})
	}
	for at := from; at < from+n; at += batch {
		next <- at
	}
	close(next)
	run.Wait()
	return errors.Join(failed...)
}

// log is what the log of the first peer's replica takes on disk, and its oldest and its newest file.
func (w *world) log() (bytes int, oldest, newest string, err error) {
	err = filepath.WalkDir(filepath.Join(w.peers[0].Dir, "storage", "collections"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".log" {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		bytes += int(info.Size())
		if oldest == "" || path < oldest {
			oldest = path
		}
		newest = max(newest, path)
		return nil
	})
	return bytes, oldest, newest, err
}

// weigh returns what the log takes for a point, of those written a hundred at once and of those written alone. It is asked of a log that is
// far from full: what a log that is cut has taken cannot be seen.
func (w *world) weigh() (many, alone float64, err error) {
	const manyPoints, alonePoints = 1000, 100
	empty, _, _, err := w.log()
	if err != nil {
		return 0, 0, err
	}
	if err := w.write(0, manyPoints); err != nil {
		return 0, 0, err
	}
	between, _, _, err := w.log()
	if err != nil {
		return 0, 0, err
	}
	rng := rand.New(rand.NewPCG(3, 3))
	for n := range alonePoints {
		if err := w.peers[0].Call("PUT", "/collections/"+collection+"/points?wait=true&timeout=60", w.points(rng, 1<<40+n, 1), nil); err != nil {
			return 0, 0, err
		}
	}
	end, _, _, err := w.log()
	return float64(between-empty) / manyPoints, float64(end-between) / alonePoints, err
}

// sent sums a counter of transfers over the peers that did not restart.
func (w *world) sent(what string) (sum int, err error) {
	for _, p := range w.peers[:2] {
		text, err := p.Text("/metrics")
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(text) {
			if rest, ok := strings.CutPrefix(line, "sextant_transfer_sent_"+what+"_total{"); ok {
				v, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' '):]), 64)
				if err != nil {
					return 0, err
				}
				sum += int(v)
			}
		}
	}
	return sum, nil
}

// foreground writes single points, a hundred a second, until it is ended.
type foreground struct {
	end  chan struct{}
	run  sync.WaitGroup
	took []time.Duration
	err  error
}

func (w *world) foreground() *foreground {
	f := &foreground{end: make(chan struct{})}
	rng := rand.New(rand.NewPCG(7, 7))
	f.run.Go(func() {
		every := time.NewTicker(10 * time.Millisecond)
		defer every.Stop()
		for n := 0; ; n++ {
			select {
			case <-f.end:
				return
			case <-every.C:
			}
			body := w.points(rng, 1<<40+n%1000, 1)
			begun := time.Now()
			if f.err = w.peers[0].Call("PUT", "/collections/"+collection+"/points?wait=true&timeout=60", body, nil); f.err != nil {
				return
			}
			f.took = append(f.took, time.Since(begun))
		}
	})
	return f
}

func (f *foreground) stop() ([]time.Duration, error) {
	close(f.end)
	f.run.Wait()
	return f.took, f.err
}

// before is how long writes are measured before a recovery.
const before = 4 * time.Second

// recovery has one peer miss points and brings it back.
func recovery(o options, dir, binary string, points, stored int) (r result, err error) {
	w, err := build(o, dir, binary, stored > 0)
	if err != nil {
		return r, err
	}
	defer w.close()
	r.points = points
	many, alone := 0.0, 0.0
	if stored > 0 {
		if many, alone, err = w.weigh(); err != nil {
			return r, err
		}
	}
	if err := w.write(0, stored); err != nil {
		return r, err
	}
	began, _, newest, err := w.log()
	if err != nil {
		return r, err
	}
	w.peers[2].Kill()
	if err := w.write(0, points); err != nil {
		return r, err
	}
	if stored > 0 {
		if err := w.forget(points, newest); err != nil {
			return r, err
		}
	}
	if err := w.until("Dead", 0, 1); err != nil {
		return r, err
	}
	if err := w.peers[2].Restart(); err != nil {
		return r, err
	}
	if err := w.until("Dead", 2); err != nil {
		return r, err
	}
	f := w.foreground()
	time.Sleep(before)
	if r.before, err = f.stop(); err != nil {
		return r, err
	}
	ended, _, _, err := w.log()
	if err != nil {
		return r, err
	}
	if r.missed = ended - began; stored > 0 { // the log was cut, and had the same points many times: they count once
		r.missed = int(many*float64(points) + alone*float64(len(r.before)))
	}
	err = w.bringBack(&r)
	return r, err
}

// bringBack has the first peer send what the last one missed.
func (w *world) bringBack(r *result) error {
	f := w.foreground()
	body, err := json.Marshal(map[string]any{"replicate_shard": map[string]any{"shard_id": 0, "from_peer_id": w.ids[0], "to_peer_id": w.ids[2], "method": "wal_delta"}})
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := w.peers[0].Call("POST", "/collections/"+collection+"/cluster?timeout=60", body, nil); err != nil {
		return err
	}
	for {
		state, method := w.state(0)
		if method != "" && !slices.Contains(r.methods, method) {
			r.methods = append(r.methods, method)
		}
		if state == "Active" {
			break
		}
		if state == "Dead" || time.Since(begun) > 20*time.Minute {
			return fmt.Errorf("after %v the replica is %s", time.Since(begun), state)
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := w.until("Active", 1, 2); err != nil {
		return err
	}
	r.took = time.Since(begun)
	if r.while, err = f.stop(); err != nil {
		return err
	}
	if r.entries, err = w.sent("entries"); err != nil {
		return err
	}
	r.sent, err = w.sent("bytes")
	return err
}

// forget writes the same points again until the logs do not reach back to where the last peer was.
func (w *world) forget(points int, newest string) error {
	for range 100 {
		for _, p := range w.peers[:2] {
			if err := p.Call("POST", "/collections/"+collection+"/snapshots?wait=true", []byte("{}"), nil); err != nil { // puts all into files
				return err
			}
		}
		if _, oldest, _, err := w.log(); err != nil || oldest > newest {
			return err
		}
		if err := w.write(0, min(points, 5000)); err != nil {
			return err
		}
	}
	return errors.New("the log is not cut")
}
