package engine

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/segment"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/task"
)

// durable is the state on disk: the manifest and the segments that it names, with the tombstones that it names. It is
// replaced as a whole; each part holds a reference to its segment.
type durable struct {
	man   *manifest
	parts []segment.Part
}

func (d *durable) release() {
	for _, p := range d.parts {
		p.Sealed.Release()
	}
}

// entry returns what the manifest says of a segment, or nil.
func (d *durable) entry(id segment.SegmentID) *segmentEntry {
	i := slices.IndexFunc(d.man.Segments, func(e segmentEntry) bool { return e.UUID == string(id) })
	if i < 0 {
		return nil
	}
	return &d.man.Segments[i]
}

// keeper keeps the files of a shard: it decides when a checkpoint or a build is due and has them done. Its loop is a
// goroutine that exists only while there is something to decide; builds are tasks.
type keeper struct {
	s *Shard

	// edit is held by whoever replaces the manifest, from the moment that decides its content until it is durable and the
	// state agrees with it. It is held during I/O; neither readers nor the writer ever want it.
	edit task.Gate

	overfull atomic.Bool // heads cannot be sealed and are so large that no update is taken

	mu      sync.Mutex // guards all below; nothing else is locked inside
	durable *durable
	changed chan struct{} // closed and renewed when a checkpoint or build ends
	awake   bool          // the loop runs
	again   bool          // something happened since it looked
	stopped bool
	timer   *time.Timer // wakes it later, at timerAt
	timerAt time.Time
	idle    sync.WaitGroup

	sealing  bool
	sealNow  bool // somebody wants the head sealed whatever its size
	sealErr  error
	buildErr error

	sealFailedAt, failedAt time.Time // of sealErr and of buildErr

	opened  time.Time
	lastUse time.Time                       // when entries were applied last
	asked   bool                            // updates or triggers came since the shard was opened
	absent  order.Seq                       // the first entry that a replica which is away lacks
	trimNow bool                            // the log may drop something without a checkpoint
	builds  []*build                        // running
	born    map[segment.SegmentID]time.Time // when the planner first saw a segment
	past    []Build                         // the last that ended, oldest first
	// fieldErrs tells by field key of builds that failed to make its index.
	fieldErrs map[string]failure
}

const (
	quietAfterOpen = time.Minute            // then pending builds start by themselves
	quiet          = 500 * time.Millisecond // without updates, after which segments are put in order
	patience       = 5 * time.Second        // how long a head that should be indexed waits for quiet
	retryAfter     = 5 * time.Second        // a failed checkpoint or build
	settling       = 30 * time.Second       // how long a segment may wait, while updates come in, for others to be merged with
)

// start lets the keeper work.
func (k *keeper) start(s *Shard) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.s, k.changed, k.opened, k.fieldErrs = s, make(chan struct{}), time.Now(), map[string]failure{}
	k.wakeIn(quietAfterOpen)
	k.wakeLocked()
}

// stop ends the loop and all builds and waits for them. end cancels what they do.
func (k *keeper) stop(end context.CancelFunc) {
	k.mu.Lock()
	k.stopped = true
	if k.timer != nil {
		k.timer.Stop()
	}
	builds := slices.Clone(k.builds)
	k.mu.Unlock()
	end()
	k.idle.Wait()
	for _, b := range builds {
		<-b.task.Done()
	}
}

// manifest returns the manifest on disk. It is not changed by anybody.
func (k *keeper) manifest() *manifest { return k.current().man }

// wake lets the loop look at the shard.
func (k *keeper) wake() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.wakeLocked()
}

func (k *keeper) wakeLocked() {
	k.again = true
	if !k.awake && !k.stopped {
		k.awake = true
		k.idle.Go(k.run)
	}
}

// wakeIn lets the loop look again after a while, or earlier if it was to look earlier: then whoever still waits says so again. The
// caller holds mu.
func (k *keeper) wakeIn(d time.Duration) {
	if k.stopped {
		return
	}
	at := time.Now().Add(d)
	if k.timer != nil {
		if !at.Before(k.timerAt) {
			return
		}
		k.timer.Stop()
	}
	k.timer, k.timerAt = time.AfterFunc(d, k.wake), at
}

// ended tells everybody who waits that a checkpoint or build has ended.
func (k *keeper) ended() {
	k.mu.Lock()
	defer k.mu.Unlock()
	close(k.changed)
	k.changed = make(chan struct{})
	k.wakeLocked()
}

// applied is told after each batch of entries.
func (k *keeper) applied() {
	s := k.s
	h := s.head()
	k.mu.Lock()
	k.lastUse = time.Now()
	due := h.sealDue() || !k.asked
	k.asked = true
	if k.sealErr != nil && h.since.bytes >= 4*h.limit {
		k.overfull.Store(true)
	}
	k.wakeIn(quiet)
	if due {
		k.wakeLocked()
	}
	k.mu.Unlock()
	if other := s.opts.Budget.hold(s, h.bytes); other != nil {
		other.keeper.sealSoon()
	}
}

func (k *keeper) overfullError() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return sextant.Errorf(sextant.Internal, "No updates are taken until what is in memory can be stored: %v", k.sealErr)
}

// sealed is told after each checkpoint.
func (k *keeper) sealed() {
	k.overfull.Store(false)
	if other := k.s.opts.Budget.hold(k.s, k.s.head().bytes); other != nil && other != k.s {
		other.keeper.sealSoon()
	}
}

// throttle holds the writer back while a head is sealed and the next one is full as well.
func (k *keeper) throttle(ctx context.Context) {
	for {
		h := k.s.head()
		k.mu.Lock()
		sealing, changed := k.sealing, k.changed
		k.mu.Unlock()
		if !sealing || h.since.bytes < 2*h.limit {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// sealSoon has the head sealed whatever its size.
func (k *keeper) sealSoon() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sealNow = true
	k.wakeLocked()
}

// Trigger forgets past failures of builds and has whatever is left to do done now.
func (s *Shard) Trigger() {
	k := &s.keeper
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked, k.buildErr = true, nil
	k.wakeLocked()
}

// run is the loop.
func (k *keeper) run() {
	for {
		k.mu.Lock()
		if k.stopped || !k.again {
			k.awake = false
			k.mu.Unlock()
			return
		}
		k.again = false
		if k.timer != nil {
			k.timer.Stop()
			k.timer = nil
		}
		k.mu.Unlock()
		k.sealIfDue()
		k.trimIfDue()
		k.startBuilds()
	}
}

// sealIfDue makes a checkpoint if it is time for one.
func (k *keeper) sealIfDue() {
	s := k.s
	h := s.head()
	vacuum := s.vacuumDue()
	k.mu.Lock()
	calm := time.Since(k.lastUse)
	due := k.sealNow || h.sealDue()
	if !due && (h.indexDue || vacuum) {
		if due = calm >= quiet || time.Since(h.since.begun) >= patience; !due {
			k.wakeIn(quiet - calm)
		}
	} else if !due {
		k.sealErr = nil // somebody else has sealed it
	}
	if pause := retryAfter - time.Since(k.sealFailedAt); due && k.sealErr != nil && pause > 0 {
		due = false
		k.wakeIn(pause)
	}
	k.mu.Unlock()
	if !due {
		return
	}
	_, err := s.checkpoint(s.life, task.NewProgress("checkpoint"))
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sealNow = k.sealNow && err != nil // to be tried again
	if s.life.Err() != nil {
		return
	}
	k.sealErr = err
	if err != nil {
		s.slog.Error("the head cannot be sealed; its entries stay in the log", "err", err)
		k.sealFailedAt = time.Now()
	}
}

// head is what a checkpoint would seal, and when it should.
type head struct {
	bytes    int64 // in memory
	since    work
	limit    int64 // bytes of log from which it is sealed
	indexDue bool  // it holds as much as a segment with a graph
}

// leastSeal is the least log that is worth a segment.
const leastSeal = 64 << 10

// sealEntries is how many entries a start may have to apply.
const sealEntries = 100_000

func (h head) sealDue() bool { return h.since.bytes >= h.limit || h.since.entries >= sealEntries }

// head looks at the head.
func (s *Shard) head() (h head) {
	cfg := s.config.Load()
	h.limit = int64(min(64, 2*cfg.WAL.CapacityMB)) << 20
	if free := s.disk.free.Load(); free > 0 { // as space shrinks, what must be sealed shrinks with it
		h.limit = min(h.limit, max(int64(free/8), leastSeal))
	}
	tuning := s.tuning.Load()
	w := &s.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	rows, bytes := w.state.HeadSize()
	h.bytes, h.since = bytes, w.since
	for name, slot := range w.state.Schema().Vectors {
		if slot.Spec.Kind == sextant.Dense && tuning.IndexingThreshold > 0 && tuning.Vector(name).HNSW.M > 0 {
			h.indexDue = h.indexDue || int64(rows)*rowBytes(slot.Spec) >= tuning.IndexingThreshold
		}
	}
	return h
}

// rowBytes is the size of a dense vector as thresholds count it.
func rowBytes(v sextant.VectorSpec) int64 {
	switch v.Datatype {
	case sextant.Float16:
		return 2 * int64(v.Dim)
	case sextant.Uint8, sextant.Turbo4:
		return int64(v.Dim)
	}
	return 4 * int64(v.Dim)
}

// leftovers removes the files of a build that failed.
func (s *Shard) leftovers(uuid string) {
	infos, err := s.fs.List(s.dir)
	for _, info := range infos {
		if strings.HasPrefix(info.Name, uuid) || strings.HasPrefix(info.Name, "tmp-"+uuid) {
			s.removeFile(info.Name)
		}
	}
	if err != nil { // the next start removes them
		s.slog.Warn("files of a failed build stay", "segment", uuid, "err", err)
	}
}
