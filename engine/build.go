package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/segment"
	"github.com/sextantdb/sextant/internal/task"
)

// build is a job under way.
type build struct {
	job   job
	uuid  string // of the segment that results
	parts []segment.Part
	// threads are taken from the budget; 0 for work that is light and must not wait for others.
	threads int
	from    []BuildSource
	begun   time.Time
	task    *task.Task
}

// startBuilds starts what the planner says, as tasks. Each has its sources for itself until it ends.
func (k *keeper) startBuilds() {
	s := k.s
	off := s.config.Load().Optimizer.MaxOptimizationThreads
	k.mu.Lock()
	hot := time.Since(k.lastUse) < quiet
	rest := quietAfterOpen - time.Since(k.opened)
	onlyOwed := off != nil && *off == 0
	if !k.asked && rest > 0 {
		onlyOwed = true
		k.wakeIn(rest)
	}
	if pause := retryAfter - time.Since(k.failedAt); k.buildErr != nil && pause > 0 {
		k.wakeIn(pause)
		k.mu.Unlock()
		return
	}
	if hot {
		k.wakeIn(quiet)
	}
	k.mu.Unlock()
	limit := largestThreads(s.config.Load())
	list := k.candidates()
	for _, c := range list {
		// Planned work does not touch a segment with a build; what the schema owes does not wait for a graph.
		if needs := owed(c.needs); c.busy && !c.light && len(needs) > 0 {
			k.begin(job{name: indexBuild, sources: []segment.SegmentID{c.id}, needs: needs, always: true}, 0)
		}
	}
	jobs := k.plan(list, hot)
	if len(jobs) == 0 && !hot && !slices.ContainsFunc(list, func(c candidate) bool { return c.busy }) {
		k.mu.Lock()
		k.buildErr = nil // what failed is not wanted any more, or was done nevertheless
		k.mu.Unlock()
	}
	for _, j := range jobs {
		switch {
		case j.always:
			k.begin(j, 0)
		case onlyOwed || off != nil && k.running() >= int(*off):
		default:
			// While there is no thread for a build it is not begun: segments come and go, and the plan becomes a better one.
			if threads := s.opts.Budget.take(k, limit); threads > 0 {
				k.begin(j, threads)
			}
		}
	}
}

// largestThreads is how many threads one build may use.
func largestThreads(c *sextant.CollectionConfig) int {
	return indexingThreads(c.HNSW.MaxIndexingThreads, runtime.GOMAXPROCS(0))
}

// running counts the builds that use threads of the budget.
func (k *keeper) running() (n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, b := range k.builds {
		if b.threads > 0 {
			n++
		}
	}
	return n
}

// young returns the segments that came a short while ago; the caller holds mu.
func (k *keeper) young() map[segment.SegmentID]bool {
	now, born, young := time.Now(), map[segment.SegmentID]time.Time{}, map[segment.SegmentID]bool{}
	for _, p := range k.durable.parts {
		if since, known := k.born[p.ID]; known {
			born[p.ID] = since
		} else {
			born[p.ID] = now
		}
		young[p.ID] = now.Sub(born[p.ID]) < settling
	}
	k.born = born
	return young
}

// plan asks the planner for what fits on the disk: rows are copied only into half of what is free, indexes are always
// planned, and fail where they do not fit.
func (k *keeper) plan(list []candidate, hot bool) []job {
	s := k.s
	tuning := *s.tuning.Load()
	free, err := s.disk.reading(s)
	if err != nil || free >= diskScarce {
		return plan(list, &tuning, hot)
	}
	var files, live int64
	d := k.current()
	for i := range d.man.Segments {
		files += d.man.Segments[i].Meta.Bytes()
	}
	for i := range list {
		live += list[i].live()
	}
	tuning.MaxSegment = max(1, min(maxSegment(&tuning), int64(float64(free/2)*float64(live)/float64(max(1, files)))))
	return slices.DeleteFunc(plan(list, &tuning, hot), func(j job) bool {
		return j.needs == nil && s.buildNeeds(j, d) > free/2
	})
}

// begin starts one job with threads that were taken for it.
func (k *keeper) begin(j job, threads int) {
	if !k.tryBegin(j, threads) && threads > 0 {
		k.s.opts.Budget.give(threads)
	}
}

// tryBegin fails if the sources are gone since the plan was made, or the shard ends.
func (k *keeper) tryBegin(j job, threads int) bool {
	s := k.s
	b := &build{job: j, uuid: newUUID(), threads: threads, begun: time.Now()}
	if j.needs != nil {
		b.uuid = string(j.sources[0])
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped {
		return false
	}
	for i, p := range k.durable.parts {
		if slices.Contains(j.sources, p.ID) {
			p.Sealed.Acquire()
			b.parts = append(b.parts, p)
			rows := k.durable.man.Segments[i].Rows
			b.from = append(b.from, BuildSource{UUID: string(p.ID), Points: uint64(rows - p.Tombs.Dead())})
		}
	}
	if len(b.parts) < len(j.sources) { // gone since the plan was made
		for _, p := range b.parts {
			p.Sealed.Release()
		}
		return false
	}
	k.builds = append(k.builds, b)
	// The key is new: a build of the same segment that has just ended may still be on the board.
	b.task = s.opts.Board.Start(s.life, s.dir+"/"+newUUID(), func(ctx context.Context, p *task.Progress) error {
		err := s.build(ctx, b, p)
		for _, part := range b.parts {
			part.Sealed.Release()
		}
		k.finish(b, err)
		if threads > 0 {
			s.opts.Budget.give(threads)
		}
		return err
	})
	if errors.Is(b.task.Err(), task.ErrClosed) { // it was not started: the process ends
		for _, part := range b.parts {
			part.Sealed.Release()
		}
		k.builds = slices.DeleteFunc(k.builds, func(other *build) bool { return other == b })
		return false
	}
	return true
}

// finish notes how a build ended.
func (k *keeper) finish(b *build, err error) {
	k.mu.Lock()
	end := b.report()
	end.Ended = time.Now()
	if end.Progress != nil {
		end.Progress.Finished = end.Ended
	}
	k.builds = slices.DeleteFunc(k.builds, func(other *build) bool { return other == b })
	switch {
	case err == nil:
		end.State = "done"
		k.buildErr = nil
		for _, n := range b.job.needs {
			delete(k.fieldErrs, n.Of)
		}
	case k.stopped || errors.Is(err, context.Canceled):
		end.State, end.Text = "cancelled", err.Error()
	default:
		end.State, end.Text = "error", err.Error()
		k.buildErr, k.failedAt = err, time.Now()
		for _, n := range b.job.needs {
			if n.Kind == segment.FieldFile {
				k.fieldErrs[n.Of] = failure{err, k.failedAt}
			}
		}
		k.s.slog.Error("a build failed", "optimizer", b.job.name, "segment", b.uuid, "err", err)
	}
	k.past = append(k.past, end)
	if n := len(k.past) - pastBuilds; n > 0 {
		k.past = slices.Delete(k.past, 0, n)
	}
	k.mu.Unlock()
	k.ended()
}

const pastBuilds = 16

type failure struct {
	err error
	at  time.Time
}

// cancelBuilds ends all builds without waiting; what is still wanted is started anew.
func (k *keeper) cancelBuilds() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, b := range k.builds {
		b.task.Cancel(context.Canceled)
	}
}

// build does one job.
func (s *Shard) build(ctx context.Context, b *build, p *task.Progress) error {
	if err := s.roomFor(b); err != nil {
		return err
	}
	if b.job.needs != nil {
		return s.derive(ctx, b, p)
	}
	return s.merge(ctx, b, p)
}

// tuningFor returns the settings with the threads that a build may use.
func (s *Shard) tuningFor(b *build) segment.Tuning {
	t := *s.tuning.Load()
	t.Default.HNSW.MaxIndexingThreads = uint64(max(1, b.threads))
	t.Vectors = maps.Clone(t.Vectors)
	for name, v := range t.Vectors {
		v.HNSW.MaxIndexingThreads = t.Default.HNSW.MaxIndexingThreads
		t.Vectors[name] = v
	}
	return t
}

// roomFor refuses a build whose output could fill the disk.
func (s *Shard) roomFor(b *build) error {
	need := s.buildNeeds(b.job, s.keeper.current())
	space, err := s.fs.Free(s.dir)
	if err == nil && space.Free < need {
		return sextant.Errorf(sextant.Internal, "Not enough space available for optimization, needed: %d, available: %d", need, space.Free)
	}
	return nil
}

// merge writes the rows of several segments, or what is alive of one, as a new segment and puts it in their place. The
// sources are read as of a checkpoint; what died since is dead in the output.
func (s *Shard) merge(ctx context.Context, b *build, p *task.Progress) error {
	v := s.views.Get()
	if v == nil {
		return errClosed
	}
	schema := v.Schema()
	v.Release()
	meta, remap, err := segment.BuildSegment(ctx, s.fs, s.dir, b.uuid, b.parts, schema, s.tuningFor(b), p)
	if err != nil {
		s.leftovers(b.uuid)
		return fmt.Errorf("%s: %w", b.job.name, err)
	}
	var out *segment.Sealed
	if meta.Rows > 0 {
		if out, err = segment.Open(s.fs, s.dir, meta); err != nil {
			s.leftovers(b.uuid)
			return fmt.Errorf("%s: %w", b.job.name, err)
		}
	}
	if err := s.replace(out, remap); err != nil {
		abandon(out, err)
		return fmt.Errorf("%s: %w", b.job.name, err)
	}
	return nil
}

// replace puts a built segment in the place of its sources, on disk and for readers. It takes over the reference to out,
// unless it fails.
func (s *Shard) replace(out *segment.Sealed, remap *segment.Remap) error {
	k := &s.keeper
	k.edit.Lock()
	defer k.edit.Unlock()
	old := k.current()
	tombs, err := remap.Tombstones(old.parts)
	if err != nil {
		return err
	}
	m := *old.man
	m.Segments = nil
	next := &durable{man: &m}
	gone := remap.Sources()
	for i, part := range old.parts {
		if !slices.Contains(gone, part.ID) {
			m.Segments = append(m.Segments, old.man.Segments[i])
			next.parts = append(next.parts, part)
		}
	}
	if out != nil {
		e := segmentEntry{Meta: out.Meta()}
		if tombs.Dead() > 0 {
			ref, err := segment.WriteTombstones(s.fs, s.dir, tombName(out.ID(), uint64(m.At.Seq)), tombs)
			if err != nil {
				return fmt.Errorf("store tombstones: %w", err)
			}
			e.Tombs = &ref
		}
		m.Segments = append(m.Segments, e)
		next.parts = append(next.parts, segment.Part{ID: out.ID(), Sealed: out, Tombs: tombs})
	}
	if err := m.write(s.fs, s.dir); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	for _, p := range next.parts {
		p.Sealed.Acquire()
	}
	err = s.swap(func(w *writer) error { return w.state.Replace(out, remap) })
	k.publish(s, next)
	return err
}

// derive makes derived files of a segment and publishes them, on disk and for readers. The segment stays as it is.
func (s *Shard) derive(ctx context.Context, b *build, p *task.Progress) error {
	sealed := b.parts[0].Sealed
	var refs []segment.FileRef
	drop := func() {
		for _, ref := range refs {
			s.removeFile(ref.Name)
		}
	}
	for _, need := range b.job.needs {
		ref, err := segment.BuildDerived(ctx, sealed, need, s.tuningFor(b), p)
		if err != nil {
			drop()
			return fmt.Errorf("%s %s: %w", b.job.name, need.Kind, err)
		}
		refs = append(refs, ref)
	}
	if err := s.fs.SyncDir(s.dir); err != nil {
		drop()
		return fmt.Errorf("%s: %w", b.job.name, err)
	}
	return s.attach(sealed, refs)
}

func (s *Shard) attach(sealed *segment.Sealed, refs []segment.FileRef) error {
	k := &s.keeper
	k.edit.Lock()
	defer k.edit.Unlock()
	if _, err := sealed.Attach(refs...); err != nil {
		return err
	}
	old := k.current()
	if old.entry(sealed.ID()) == nil {
		return nil // it was replaced meanwhile and goes with its last reader
	}
	m := *old.man
	m.Segments = slices.Clone(old.man.Segments)
	next := &durable{man: &m, parts: slices.Clone(old.parts)}
	next.entry(sealed.ID()).Meta = sealed.Meta()
	if err := m.write(s.fs, s.dir); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	for _, p := range next.parts {
		p.Sealed.Acquire()
	}
	k.publish(s, next) // removes the files that the new ones replace
	return nil
}

// awaitField waits until all segments have an index of a field that was created, or it is dropped again, or making one has failed
// meanwhile: that is tried again, but may fail as long as the disk is full.
func (k *keeper) awaitField(ctx context.Context, key string) error {
	begun := time.Now()
	for {
		k.mu.Lock()
		changed, failed := k.changed, k.fieldErrs[key]
		k.mu.Unlock()
		missing := slices.ContainsFunc(k.candidates(), func(c candidate) bool {
			return slices.ContainsFunc(c.needs, func(n segment.Need) bool { return n.Kind == segment.FieldFile && n.Of == key })
		})
		if !missing {
			return nil
		}
		if failed.err != nil && !failed.at.Before(begun) {
			return sextant.Errorf(sextant.KindOf(failed.err), "the index of field %q could not be made; it is tried again: %w", key, failed.err)
		}
		k.wake()
		select {
		case <-changed:
		case <-k.s.life.Done():
			return errClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// candidates looks at the segments on disk.
func (k *keeper) candidates() []candidate {
	v := k.s.views.Get()
	if v == nil {
		return nil
	}
	defer v.Release()
	schema, tuning := v.Schema(), k.s.tuning.Load()
	k.mu.Lock()
	d := k.durable
	young := k.young()
	busy, light := map[segment.SegmentID]bool{}, map[segment.SegmentID]bool{}
	for _, b := range k.builds {
		for _, id := range b.job.sources {
			busy[id] = true
			light[id] = light[id] || b.threads == 0
		}
	}
	for _, p := range d.parts {
		p.Sealed.Acquire()
	}
	k.mu.Unlock()
	defer d.release()
	list := make([]candidate, 0, len(d.parts))
	for i, p := range d.parts {
		m := &d.man.Segments[i].Meta
		c := candidate{id: p.ID, rows: m.Rows, dead: p.Tombs.Dead(), bytes: m.Payload, busy: busy[p.ID], light: light[p.ID],
			young: young[p.ID]}
		for _, vm := range m.Vectors {
			c.bytes = max(c.bytes, vm.Bytes())
		}
		c.needs = p.Sealed.Needs(schema, *tuning)
		for _, n := range c.needs {
			c.built = c.built || slices.ContainsFunc(m.Files, func(f segment.FileRef) bool {
				return f.Kind == n.Kind && f.Of == n.Of && f.Seq == n.Seq && f.Config != n.Config
			})
		}
		list = append(list, c)
	}
	return list
}

// vacuumDue says whether so many more rows are dead than the last checkpoint knows that a build should take them out: it
// works from a checkpoint.
func (s *Shard) vacuumDue() bool {
	v := s.views.Get()
	if v == nil {
		return false
	}
	defer v.Release()
	tuning := s.tuning.Load()
	d := s.keeper.current()
	for _, now := range v.Parts() {
		i := slices.IndexFunc(d.parts, func(p segment.Part) bool { return p.ID == now.ID })
		if i < 0 {
			continue
		}
		if rows := d.man.Segments[i].Rows; wasteful(rows, now.Tombs.Dead(), tuning) && !wasteful(rows, d.parts[i].Tombs.Dead(), tuning) {
			return true
		}
	}
	return false
}
