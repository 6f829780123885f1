// Package sim runs a whole cluster in one process under virtual time: real nodes, each on a disk in memory, on one simulated
// network, with clients and faults, all decided by one seed.
//
// Shapes: a World has machines (Peer), a Net and a driver. The driver waits until every goroutine is blocked (synctest.Wait),
// judges the cluster from inside (check.go), and then has exactly one event happen: a message arrives, a connection breaks, a
// machine dies, a fault begins or ends. Between two events only timers of the nodes and of clients run. What several
// goroutines sent in one step is put into an order of its own before it gets a time. A random story is in story.go, scripts
// are in the tests.
// What is repeated by a seed: every decision of the network, the disks, the faults and the clients, and with them, on one
// processor, the whole run. What is free: the order of goroutines within a step and of timers at one instant, the choice
// among ready channels and the order of maps, which the runtime decides. A run that depends on those is not repeated exactly;
// TestASeedIsRepeated looks for that.
// Errors: the first broken invariant ends a World; Run tells it.
// Concurrency: a World belongs to the goroutine that runs it, inside of a synctest bubble.
package sim

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"maps"
	"math/rand/v2"
	"path"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/sextantdb/sextant/internal/auth"
	"github.com/sextantdb/sextant/internal/config"
	"github.com/sextantdb/sextant/internal/node"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/vfs"
)

// Options are what a World is made of.
type Options struct {
	Seed     uint64
	Machines int
	Wrong    []string               // rules of replication that are switched off
	Settings func(c *config.Config) // changes the settings of all nodes; nil: none
	Log      slog.Handler           // of all nodes; nil: silent
}

// World is a simulated cluster.
type World struct {
	o     Options
	seed  uint64
	rand  *rand.Rand // of the driver
	net   *Net
	peers []*Peer
	began time.Time

	agenda   []event       // what the driver will do, in the order of time
	laneTime time.Duration // after how long in a cut a connection breaks
	pause    time.Duration // of a client between two operations, at most
	calm     time.Duration // between two misfortunes, at most
	spared   []bool        // misfortunes that do not happen
	checker  checker
	history  history
	quiet    bool // it is being taken down: nothing is judged

	steps, messages, calls uint64
	swept                  uint64   // steps when garbage was collected last
	lines                  []string // the last of the trace
	digest                 uint64   // of the whole trace

	mu     sync.Mutex
	counts map[string]uint64
	broken error // the first thing that was found to be wrong
}

// stopped is what the driver panics with when something is wrong.
type stopped struct{ err error }

// Outcome is what came of a World.
type Outcome struct {
	Err                    error // what was found to be wrong
	Digest                 uint64
	Lines                  []string // the end of the trace
	Virtual                time.Duration
	Steps, Messages, Calls uint64
	Counts                 map[string]uint64
	History                []operation
}

// Run makes a world, has a story happen in it, and takes it down. It is called in a synctest bubble.
func Run(o Options, story func(w *World)) Outcome {
	// One processor, and no collection of garbage within a step: its goroutines take turns in the same order every time.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 30))
	w := &World{o: o, seed: o.Seed, rand: rand.New(rand.NewPCG(o.Seed, 1)), began: time.Now(), counts: map[string]uint64{}, laneTime: 6 * time.Second, pause: 120 * time.Millisecond}
	w.net = newNet(w)
	w.checker.init(w)
	w.history.init(w)
	for i := range o.Machines {
		w.peers = append(w.peers, &Peer{w: w, i: i, mem: &vfs.Mem{}, uri: address(i, 0)})
	}
	err := w.guard(func() { story(w) })
	virtual := time.Since(w.began)
	w.takeDown()
	return Outcome{Err: err, Digest: w.digest, Lines: w.lines, Virtual: virtual, Steps: w.steps, Messages: w.messages, Calls: w.calls,
		Counts: maps.Clone(w.counts), History: w.history.all}
}

// guard turns a stop of the driver into an error.
func (w *World) guard(f func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			s, ok := r.(stopped)
			if !ok {
				panic(r)
			}
			err = s.err
		}
	}()
	f()
	return nil
}

func address(machine, move int) string { return fmt.Sprintf("http://peer%d-%d:6335", machine, move) }

// fail notes that something is wrong; the driver stops at its next turn.
func (w *World) fail(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken == nil && !w.quiet {
		w.broken = fmt.Errorf(format, args...)
	}
}

func (w *World) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.broken
}

// count counts something that happened, by its name.
func (w *World) count(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[what]++
}

const linesKept = 100000

// trace notes what the driver does. Only the driver calls it.
func (w *World) trace(format string, args ...any) {
	if w.quiet {
		return
	}
	line := fmt.Sprintf("%-14v ", time.Since(w.began)) + fmt.Sprintf(format, args...)
	w.digest = hash(w.digest, line, 0)
	if w.lines = append(w.lines, line); len(w.lines) > 2*linesKept {
		w.lines = slices.Clone(w.lines[linesKept:])
	}
	if w.o.Log != nil {
		slog.New(w.o.Log).Debug(line)
	}
}

// hash mixes a number, a text and a number.
func hash(a uint64, text string, b uint64) uint64 {
	h := fnv.New64a()
	for i := range 8 {
		h.Write([]byte{byte(a >> (8 * i)), byte(b >> (8 * i))})
	}
	h.Write([]byte(text))
	x := h.Sum64()
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// span draws a duration.
func (w *World) span(from, to time.Duration) time.Duration {
	return from + time.Duration(w.rand.Int64N(int64(to-from)))
}

// at has the driver do something later.
func (w *World) at(at time.Time, what string, do func()) {
	i, _ := slices.BinarySearchFunc(w.agenda, at, func(e event, at time.Time) int {
		if e.at.After(at) {
			return 1
		}
		return -1
	})
	w.agenda = slices.Insert(w.agenda, i, event{at, what, do})
}

// in is at, from now on.
func (w *World) in(d time.Duration, what string, do func()) { w.at(time.Now().Add(d), what, do) }

// pump has events happen until a time, or until something is done, and reports whether that is.
func (w *World) pump(until time.Time, done func() bool) bool {
	for {
		synctest.Wait()
		if w.steps >= w.swept+4000 {
			w.swept = w.steps
			runtime.GC()
		}
		w.net.gather()
		if !w.quiet {
			w.checker.check()
			if err := w.failure(); err != nil {
				panic(stopped{err})
			}
		}
		if done != nil && done() {
			return true
		}
		next := w.net.next()
		if len(w.agenda) > 0 && (next.do == nil || !w.agenda[0].at.After(next.at)) {
			next = w.agenda[0]
		}
		now := time.Now()
		if next.do != nil && !next.at.After(now) {
			if len(w.agenda) > 0 && next.what != "" {
				w.agenda = w.agenda[1:]
				w.trace("%s", next.what)
			}
			w.steps++
			next.do()
			continue
		}
		if !now.Before(until) {
			return false
		}
		if next.do == nil || next.at.After(until) {
			next.at = until
		}
		timer := time.NewTimer(next.at.Sub(now))
		select {
		case <-timer.C:
		case <-w.net.wake:
		}
		timer.Stop()
	}
}

// sleep has events happen for a while.
func (w *World) sleep(d time.Duration) { w.pump(time.Now().Add(d), nil) }

// await has events happen until something is true, at most for a while; else the world has failed.
func (w *World) await(d time.Duration, what string, ready func() bool) {
	if !w.pump(time.Now().Add(d), ready) {
		w.fail("not within %v: %s", d, what)
		panic(stopped{w.failure()})
	}
}

// do has something done in a goroutine while events happen, and returns when it is done.
func (w *World) do(what string, f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	w.await(10*time.Minute, what, func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
}

// takeDown ends everything that runs in the bubble.
func (w *World) takeDown() {
	w.quiet = true
	w.history.stop()
	w.agenda = nil
	for _, p := range w.peers {
		p.pull()
	}
	w.pump(time.Now().Add(10*time.Minute), func() bool {
		return w.history.idle() && !slices.ContainsFunc(w.peers, func(p *Peer) bool { return p.ending() > 0 })
	})
}

// Peer is a machine: a disk, an address, and the process that runs on it, if one does.
type Peer struct {
	w    *World
	i    int
	mem  *vfs.Mem
	uri  string
	move int             // how often the address has changed
	id   topology.PeerID // 0: not known yet; guarded by the net's lock, as end is
	life atomic.Int64    // rises with every process that begins or ends
	disk *disk           // of the process that runs; nil: none does
	end  *end
	lost map[string]bool // shards whose files were lost on purpose

	mu     sync.Mutex
	n      *node.Node // nil: none, or it is starting still
	failed error      // why the last start failed
	cancel context.CancelFunc
	going  int // lives that have not ended yet
}

// up reports whether a process runs, or starts.
func (p *Peer) up() bool { return p.disk != nil }

// node returns the node that can be asked, nil if there is none.
func (p *Peer) node() *node.Node {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

func (p *Peer) ending() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.going
}

// settings are those of all nodes, before a story changes them.
func settings() config.Config {
	c := config.Default()
	c.Cluster.Enabled = true
	c.Storage.StoragePath, c.Storage.SnapshotsPath = "/data", "/snapshots"
	c.Storage.WAL.CapacityMB = 1
	c.Cluster.Consensus.CompactWALEntries = 64
	c.Cluster.Consensus.BootstrapTimeoutSec = 600
	return c
}

// start has a process begin on a machine. It goes on in the background.
func (p *Peer) start() {
	w := p.w
	life := int(p.life.Add(1))
	p.disk = newDisk(w, p.mem)
	w.trace("machine %d starts, life %d, at %s", p.i, life, p.uri)
	c := settings()
	if w.o.Settings != nil {
		w.o.Settings(&c)
	}
	log := slog.New(slog.DiscardHandler)
	if w.o.Log != nil {
		log = slog.New(w.o.Log).With("on", p.i, "life", life)
	}
	o := node.Options{Settings: c, FS: p.disk, Log: log, Version: "1.19.0", Cluster: node.ClusterOptions{URI: p.uri,
		Seed: hash(w.seed, "life", uint64(p.i*1000+life)) | 1, Connect: w.net.connect(p, p.uri), Wrong: w.o.Wrong}}
	if p.i > 0 {
		o.Cluster.Bootstrap = w.peers[0].uri
	} else if p.move > 0 && len(w.peers) > 1 { // all may have moved, so that nobody finds anybody without a word of the operator
		o.Cluster.Bootstrap = w.peers[1].uri
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.mu.Lock()
	p.cancel, p.failed = cancel, nil
	p.going++
	p.mu.Unlock()
	go func() {
		n, err := node.Open(ctx, o)
		p.mu.Lock()
		defer p.mu.Unlock()
		if int(p.life.Load()) == life && ctx.Err() == nil {
			p.n, p.failed = n, err
			if err == nil {
				return
			}
			p.failed = errors.Join(err, errors.New("it did not start"))
		}
		if n != nil {
			go p.close(n)
			return
		}
		p.going--
	}()
}

func (p *Peer) close(n *node.Node) {
	_ = n.Close(context.Background()) // its disk may be gone
	p.mu.Lock()
	defer p.mu.Unlock()
	p.going--
}

// tend starts a process again that ended by itself, as a supervisor does.
func (p *Peer) tend() {
	p.mu.Lock()
	failed := p.failed
	p.failed = nil
	p.mu.Unlock()
	if failed == nil || p.disk == nil {
		return
	}
	p.w.trace("machine %d did not start: %v", p.i, failed)
	p.w.count("starts that failed")
	p.mem = p.disk.end(nil)
	p.mem.SetSize(1 << 40) // somebody looks after it
	p.disk = nil
	p.w.in(time.Second, fmt.Sprintf("machine %d tries to start again", p.i), func() {
		if !p.up() {
			p.start()
		}
	})
}

// drop ends the process of a machine at once. What the next one finds on the disk is all that was written, or, after a loss of
// power, all that was synced and some of the rest.
func (p *Peer) drop(power bool) {
	if p.disk == nil {
		return
	}
	w := p.w
	what := "process"
	if power {
		what = "power"
	}
	w.trace("machine %d loses its %s", p.i, what)
	w.count("losses of " + what)
	var chance *rand.Rand
	if power {
		chance = w.rand
	}
	p.mem = p.disk.end(chance)
	p.disk = nil
	p.mem.SetSize(1 << 40)
	p.leave(power)
}

// stop ends the process of a machine in peace; it returns when that is done.
func (p *Peer) stop() {
	if p.disk == nil {
		return
	}
	p.w.trace("machine %d stops", p.i)
	p.w.count("stops in peace")
	n := p.node()
	if n == nil {
		p.drop(false)
		return
	}
	p.mu.Lock()
	p.n = nil
	p.mu.Unlock()
	p.life.Add(1) // what clients hear from now on is not trusted
	p.w.do("stop", func() { p.close(n) })
	if p.disk != nil {
		p.mem = p.disk.end(nil)
		p.disk = nil
	}
}

// leave takes a process off the network and has it end in the background.
func (p *Peer) leave(silent bool) {
	p.life.Add(1)
	if p.end != nil {
		p.w.net.kill(p.end, silent)
		p.end = nil
	}
	p.mu.Lock()
	n, cancel := p.n, p.cancel
	p.n = nil
	p.mu.Unlock()
	cancel()
	if n != nil {
		go p.close(n)
	}
}

// pull is drop without anything that is noted.
func (p *Peer) pull() {
	if p.disk == nil {
		return
	}
	p.disk.end(nil)
	p.disk = nil
	p.leave(false)
}

// wipe removes a path from the disk of a machine that is down.
func (p *Peer) wipe(name string) error {
	return p.mem.RemoveAll(path.Join("/data", name))
}

// all are the rights of everybody here.
var all = auth.All()
