package engine

import (
	"context"
	"errors"
	"fmt"
	"path"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/segment"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/task"
	"github.com/sextantdb/sextant/internal/vfs"
	"github.com/sextantdb/sextant/internal/wal"
)

// Intake is a generation that is filled aside with the state of another replica, while the present one goes on: its shard may be
// open, and is touched by nothing here before Adopt. It becomes the shard's by
//
//	NewIntake, Add for each batch, Complete; then the old shard is closed; Adopt; Open.
//
// One intake of a directory exists at a time, and while it does the shard is neither opened nor closed, but for Adopt: opening
// removes what CURRENT does not name. An Intake is used by one goroutine.
type Intake struct {
	fs   vfs.FS
	dir  string // of the shard
	own  string // of the generation
	opts Options

	generation uint64
	man        *manifest // as it will be
	points     uint64    // that there must be
	sum        segment.Digest

	state    *segment.State // nil once complete
	last     *sextant.PointID
	complete bool
	failed   error
	files    *arrival // nil: points come

	// Of a clone, while it is compared:
	cloned  bool
	kept    order.Seq     // what it was cloned with is the state at that entry
	view    *segment.View // as it is compared
	sums    []uint64      // of all buckets
	buckets *segment.Buckets
	lister  *segment.Lister
}

// NewIntake begins a generation with the head of a base. The directory is made if it is missing; what earlier intakes left behind
// is removed. Nothing is kept in memory but a part of the points that is as large as a head.
func NewIntake(dir string, head []byte, by Attempt, opts Options) (*Intake, error) {
	i, err := newIntake(dir, head, by, opts)
	if err != nil {
		return nil, err
	}
	schema := i.man.Schema
	schema.Fields = nil // indexed when it is sealed
	i.state = segment.NewState(schema, i.tuning(), nil, nil, uint64(i.man.At.Seq))
	return i, nil
}

func newIntake(dir string, head []byte, by Attempt, opts Options) (*Intake, error) {
	h, err := readHead(head)
	if err != nil {
		return nil, err
	}
	i := &Intake{dir: dir, opts: opts.fill(), man: h.State, points: h.Points}
	i.fs = i.opts.FS
	if i.sum, err = segment.ReadDigest(h.State.Digest); err != nil {
		return nil, fmt.Errorf("%s: %w", headName, err)
	}
	old, err := i.prepare()
	if err != nil {
		return nil, err
	}
	if err := i.begin(); err != nil {
		return nil, err
	}
	i.belong(i.man, old, by)
	return i, nil
}

// begin makes the directory of the generation.
func (i *Intake) begin() (err error) {
	if i.generation, err = nextGeneration(i.fs, i.dir); err != nil {
		return err
	}
	i.own = generationDir(i.dir, i.generation)
	if err := i.fs.MkdirAll(i.own); err != nil {
		return fmt.Errorf("fill a generation: %w", err)
	}
	return nil
}

// prepare makes the directory, removes what is half built in it, but for the generations to keep, and returns the settings that the
// shard was run with.
func (i *Intake) prepare(keep ...uint64) (*sextant.CollectionConfig, error) {
	if err := i.fs.MkdirAll(i.dir); err != nil {
		return nil, fmt.Errorf("fill a generation: %w", err)
	}
	current, err := readCurrent(i.fs, i.dir)
	switch kind := sextant.KindOf(err); {
	case err == nil || kind == sextant.NotFound: // without a CURRENT nothing there counts
	case kind == sextant.Corrupt: // nobody knows which one counts: all stay until the switch
		return nil, nil
	default:
		return nil, err
	}
	if err := removeOthers(i.fs, i.dir, append(keep, current)...); err != nil {
		return nil, fmt.Errorf("fill a generation: %w", err)
	}
	if current == 0 {
		return nil, nil
	}
	m, err := readManifest(i.fs, generationDir(i.dir, current))
	if err != nil {
		return nil, nil //nolint:nilerr // a damaged shard is what may be replaced
	}
	return m.Config, nil
}

// belong makes a manifest of another replica one of this shard.
func (i *Intake) belong(m *manifest, old *sextant.CollectionConfig, by Attempt) {
	m.ActiveThrough, m.Transfer, m.Restored = nil, &by, 0
	switch {
	case configured(i.opts.Config):
		m.Config = &i.opts.Config
	case old != nil:
		m.Config = old
	case m.Config == nil:
		c := sextant.DefaultConfig()
		m.Config = &c
	}
}

// tuning has no graphs made: the planner knows which are worth it once the shard is open.
func (i *Intake) tuning() segment.Tuning {
	t := segment.NewTuning(*i.man.Config)
	t.IndexingThreshold = 0
	return t
}

// At returns the place whose state the generation is, once complete.
func (i *Intake) At() order.Pos { return i.man.At }

// Add takes a batch of Base.Next and says how many points were in it. A batch that cannot be read changes nothing; after any other
// error the intake is good for Discard only.
func (i *Intake) Add(ctx context.Context, batch []byte) (n int, err error) {
	if err := i.filling(); err != nil {
		return 0, err
	}
	n, i.last, err = i.state.Take(batch, i.last, !i.cloned)
	if err != nil {
		return 0, i.fail(err)
	}
	if _, bytes := i.state.HeadSize(); bytes >= min(64, 2*int64(i.man.Config.WAL.CapacityMB))<<20 {
		err = i.seal(ctx)
	}
	return n, i.fail(err)
}

func (i *Intake) filling() error {
	switch {
	case i.failed != nil:
		return i.failed
	case i.files != nil:
		return sextant.Errorf(sextant.Precondition, "the generation is made of files")
	case i.state == nil:
		return sextant.Errorf(sextant.Precondition, "the generation is complete")
	}
	return nil
}

// fail remembers an error behind which the rows are not what they should be.
func (i *Intake) fail(err error) error {
	if err != nil && sextant.KindOf(err) != sextant.WrongInput {
		i.failed = err
	}
	return err
}

// seal writes what is in memory as a segment.
func (i *Intake) seal(ctx context.Context) error {
	if err := i.room(); err != nil {
		return err
	}
	id := i.state.Freeze()
	if id == "" {
		return nil
	}
	view := i.state.Publish()
	defer view.Release()
	var head []segment.Part
	for _, p := range view.Parts() {
		if p.ID == id {
			head = append(head, p)
		}
	}
	meta, remap, err := segment.BuildSegment(ctx, i.fs, i.own, newUUID(), head, i.man.Schema, i.tuning(), task.NewProgress("seal"))
	if err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	var out *segment.Sealed
	if meta.Rows > 0 {
		if out, err = segment.Open(i.fs, i.own, meta); err != nil {
			return fmt.Errorf("seal: %w", err)
		}
	}
	return i.state.Replace(out, remap)
}

// room ends an intake before the disk is so full that shards refuse updates.
func (i *Intake) room() error {
	space, err := i.fs.Free(i.own)
	if err != nil {
		return err
	}
	_, bytes := i.state.HeadSize()
	if need := uint64(bytes) + 2*i.man.Config.WAL.CapacityMB<<20; space.Free < need {
		return sextant.Errorf(sextant.Internal, "Not enough space available for a copy of the shard, needed: %d, available: %d", need, space.Free)
	}
	return nil
}

// Complete makes the generation durable, if it is what the head of the base said: as many points, of the same digest. It does not
// count before Adopt.
func (i *Intake) Complete(ctx context.Context) error {
	if i.complete {
		return nil
	}
	finish, err := i.finish, i.failed
	if i.files != nil {
		finish = i.finishFiles
	} else if err == nil {
		err = i.filling()
	}
	if err != nil {
		return err
	}
	if err := finish(ctx); err != nil {
		return i.fail(fmt.Errorf("complete generation %d at %s: %w", i.generation, i.man.At, err))
	}
	i.letGo()
	i.complete = true
	return nil
}

// letGo gives the state back.
func (i *Intake) letGo() {
	if i.view != nil {
		i.view.Release()
	}
	if i.state != nil {
		i.state.Close()
	}
	if i.files != nil && i.files.file != nil {
		_ = i.files.file.Close() // it is not whole
		i.files.file = nil
	}
	i.view, i.state, i.sums, i.buckets, i.lister = nil, nil, nil, nil, nil
}

func (i *Intake) finish(ctx context.Context) error {
	if err := i.seal(ctx); err != nil {
		return err
	}
	view := i.state.Publish()
	defer view.Release()
	if n := view.Points(); n != i.points {
		return sextant.Errorf(sextant.Internal, "%d points came of %d", n, i.points)
	}
	if err := i.compare(i.state.Digest()); err != nil {
		return err
	}
	for _, part := range view.Parts() {
		if part.Sealed == nil {
			continue // the empty head
		}
		if i.cloned {
			part.Sealed.Detach(i.man.Schema, segment.NewTuning(*i.man.Config)) // indexes of fields that are gone
		}
		e := segmentEntry{Meta: part.Sealed.Meta()}
		if part.Tombs.Dead() > 0 {
			ref, err := segment.WriteTombstones(i.fs, i.own, tombName(part.ID, uint64(i.man.At.Seq)), part.Tombs)
			if err != nil {
				return fmt.Errorf("store tombstones: %w", err)
			}
			e.Tombs = &ref
		}
		i.man.Segments = append(i.man.Segments, e)
	}
	return i.store()
}

// compare says how a digest differs from what it must be.
func (i *Intake) compare(d segment.Digest) error {
	if d == i.sum {
		return nil
	}
	var ranges []int
	for n := range d {
		if d[n] != i.sum[n] {
			ranges = append(ranges, n)
		}
	}
	return sextant.Errorf(sextant.Internal, "the digest is not that of the sender at %s: %d of %d ranges differ, the first is %d",
		i.man.At, len(ranges), len(d), ranges[0])
}

// recount compares the digest of the files with what the manifest says.
func (i *Intake) recount(ctx context.Context) error {
	s := &Shard{fs: i.fs, dir: i.own}
	d, err := openParts(s, i.man)
	if err != nil {
		return err
	}
	state := segment.NewState(i.man.Schema, i.tuning(), d.parts, &i.sum, uint64(i.man.At.Seq))
	defer state.Close()
	view := state.Publish()
	defer view.Release()
	counted, err := segment.Recount(ctx, view, nil)
	if err != nil {
		return err
	}
	return i.compare(counted)
}

// Discard removes the generation. An adopted one is left alone.
func (i *Intake) Discard() error {
	i.letGo()
	if i.own == "" {
		return nil
	}
	i.failed, i.complete = sextant.Errorf(sextant.Precondition, "the generation was discarded"), false
	return i.fs.RemoveAll(i.own)
}

// Adopt makes the complete generation the shard's, by one atomic switch, and removes the one before. The shard must be closed. The
// last term that it used is carried over. After an error the directory holds the one or the other, whole; Shard.Built tells which.
func (i *Intake) Adopt(ctx context.Context) error {
	if !i.complete {
		return sextant.Errorf(sextant.Precondition, "the generation is not complete")
	}
	lock, err := takeLock(i.fs, i.dir)
	if err != nil {
		return err
	}
	if err = i.adopt(ctx); err != nil {
		err = fmt.Errorf("adopt generation %d: %w", i.generation, err)
	}
	return errors.Join(err, lock.Close())
}

func (i *Intake) adopt(ctx context.Context) error {
	used, err := i.usedTerm()
	if err != nil {
		return err
	}
	if used > 0 {
		log, err := wal.Open(i.fs, path.Join(i.own, logDir), i.man.At, i.man.History, i.opts.logOptions())
		if err != nil {
			return err
		}
		if used > log.UsedTerm() {
			err = log.UseTerm(ctx, used)
		}
		if err := errors.Join(err, log.Close()); err != nil {
			return err
		}
	}
	if err := writeCurrent(i.fs, i.dir, i.generation); err != nil {
		return err
	}
	i.own = ""                                                      // not to be discarded any more
	if err := removeOthers(i.fs, i.dir, i.generation); err != nil { // the next start tries again
		i.opts.Log.Warn("the state before a transfer stays on disk", "dir", i.dir, "err", err)
	}
	return nil
}

// usedTerm returns the last term that the present generation used, as far as it can be read.
func (i *Intake) usedTerm() (order.Term, error) {
	current, err := readCurrent(i.fs, i.dir)
	if err == nil {
		used, err := wal.ReadUsedTerm(i.fs, path.Join(generationDir(i.dir, current), logDir))
		var damage *wal.CorruptError
		if errors.As(err, &damage) {
			return 0, nil
		}
		return used, err
	}
	switch sextant.KindOf(err) {
	case sextant.NotFound, sextant.Corrupt:
		return 0, nil
	}
	return 0, err
}

// Built returns the attempt of a transfer that built the shard's generation; zero if none did.
func (s *Shard) Built() Attempt {
	if by := s.keeper.manifest().Transfer; by != nil {
		return *by
	}
	return Attempt{}
}

// SetActiveThrough stores durably that the replica stopped being active behind an entry, nil: that it is active. Stands reports it.
func (s *Shard) SetActiveThrough(ctx context.Context, at *order.Seq) error {
	if s.life.Err() != nil {
		return errClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	k := &s.keeper
	k.edit.Lock()
	defer k.edit.Unlock()
	old := k.current()
	if a := old.man.ActiveThrough; a == nil && at == nil || a != nil && at != nil && *a == *at {
		return nil
	}
	m := *old.man
	if m.ActiveThrough = nil; at != nil {
		seq := *at
		m.ActiveThrough = &seq
	}
	if err := m.write(s.fs, s.dir); err != nil {
		return fmt.Errorf("store through which entry the replica was active: %w", err)
	}
	next := &durable{man: &m, parts: old.parts}
	for _, p := range next.parts {
		p.Sealed.Acquire()
	}
	k.publish(s, next)
	return nil
}
