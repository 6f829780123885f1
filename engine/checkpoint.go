package engine

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/sextantdb/sextant/engine/internal/segment"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/task"
)

// cut is the state at one seq, as a checkpoint stores it.
type cut struct {
	view     *segment.View
	at       order.Pos
	digest   segment.Digest
	requests []pastRequest
	evicted  []eviction
	frozen   []segment.SegmentID // heads to seal
	since    work
}

// freeze ends the head and takes the state as it is now.
func (s *Shard) freeze() cut {
	w := &s.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	if id := w.state.Freeze(); id != "" {
		w.frozen = append(w.frozen, id)
	}
	s.publish()
	past, evicted := w.requests.newest()
	return cut{
		view: s.views.Get(), at: w.applied, digest: w.state.Digest(), requests: past, evicted: evicted,
		frozen: slices.Clone(w.frozen), since: w.since,
	}
}

// Checkpoint puts everything that is committed now into files and returns the seq of the last entry in them. Updates go on
// meanwhile.
func (s *Shard) Checkpoint(ctx context.Context) (order.Seq, error) {
	if err := s.writer.await(ctx, s.log.Commit()); err != nil {
		return 0, err
	}
	at, err := s.checkpoint(ctx, task.NewProgress("checkpoint"))
	return at.Seq, err
}

// checkpoint moves what the heads hold into a sealed segment, stores the tombstones, and lets the manifest move on. When it
// fails the old manifest counts; the frozen heads stay readable in memory and in the log, for the next attempt.
func (s *Shard) checkpoint(ctx context.Context, p *task.Progress) (order.Pos, error) {
	k := &s.keeper
	k.edit.Lock()
	defer k.edit.Unlock()
	if s.life.Err() != nil {
		return order.Pos{}, errClosed
	}
	k.setSealing(true)
	defer k.setSealing(false)
	if at := k.manifest().At; s.writer.place() == at {
		return at, nil
	}
	c := s.freeze()
	defer c.view.Release()
	out, remap, err := s.seal(ctx, &c, p)
	if err != nil {
		return order.Pos{}, err
	}
	next, err := s.describe(&c, out)
	if err == nil {
		err = next.man.write(s.fs, s.dir)
	}
	if err != nil {
		abandon(out, err)
		return order.Pos{}, fmt.Errorf("checkpoint at %s: %w", c.at, err)
	}
	for i := range next.parts {
		next.parts[i].Sealed.Acquire()
	}
	err = s.swap(func(w *writer) error {
		w.frozen = slices.DeleteFunc(w.frozen, func(id segment.SegmentID) bool { return slices.Contains(c.frozen, id) })
		w.since.entries -= c.since.entries
		w.since.bytes -= c.since.bytes
		w.since.begun = time.Now()
		if remap == nil {
			return nil
		}
		return w.state.Replace(out, remap) // takes over the reference to out
	})
	k.publish(s, next)
	k.sealed()
	defer s.trimOthers() // and not whenever one is trimmed: two that cannot shrink would wake each other for ever
	s.slog.Debug("checkpoint", "seq", c.at.Seq, "segments", len(next.parts), "entries", c.since.entries)
	return c.at, errors.Join(err, s.trim())
}

// abandon gives up a segment, if there is one, because of an error. Its files stay if a manifest may name them: the next
// start knows.
func abandon(out *segment.Sealed, why error) {
	if out == nil {
		return
	}
	if !errors.Is(why, errDoubt) {
		out.Discard()
	}
	out.Release()
}

// seal writes the frozen heads as one segment, without the graphs: those follow in a build, the log shall not wait for them.
func (s *Shard) seal(ctx context.Context, c *cut, p *task.Progress) (*segment.Sealed, *segment.Remap, error) {
	if len(c.frozen) == 0 {
		return nil, nil, nil
	}
	var heads []segment.Part
	for _, part := range c.view.Parts() {
		if slices.Contains(c.frozen, part.ID) {
			heads = append(heads, part)
		}
	}
	tuning := *s.tuning.Load()
	tuning.IndexingThreshold = 0
	uuid := newUUID()
	meta, remap, err := segment.BuildSegment(ctx, s.fs, s.dir, uuid, heads, c.view.Schema(), tuning, p)
	if err != nil {
		s.leftovers(uuid)
		return nil, nil, fmt.Errorf("seal: %w", err)
	}
	if meta.Rows == 0 {
		return nil, remap, nil
	}
	out, err := segment.Open(s.fs, s.dir, meta)
	if err != nil {
		s.leftovers(uuid)
		return nil, nil, fmt.Errorf("seal: %w", err)
	}
	return out, remap, nil
}

// describe makes the manifest of a cut; out is what its heads became, if anything. The parts have no references yet.
func (s *Shard) describe(c *cut, out *segment.Sealed) (*durable, error) {
	old := s.keeper.current()
	m := *old.man
	m.At, m.History, m.Digest = c.at, s.log.History().Cut(c.at.Seq), c.digest.Ranges()
	m.Requests, m.Evicted, m.Schema, m.Config = c.requests, c.evicted, c.view.Schema(), s.config.Load()
	m.Segments = nil
	next := &durable{man: &m}
	for _, part := range c.view.Parts() {
		if part.Sealed == nil {
			continue
		}
		e, err := s.describeSegment(part, m.Schema, old, uint64(c.at.Seq))
		if err != nil {
			return nil, err
		}
		m.Segments = append(m.Segments, e)
		next.parts = append(next.parts, segment.Part{ID: part.ID, Sealed: part.Sealed, Tombs: part.Tombs})
	}
	if out != nil {
		m.Segments = append(m.Segments, segmentEntry{Meta: out.Meta()})
		next.parts = append(next.parts, segment.Part{ID: out.ID(), Sealed: out})
	}
	return next, nil
}

// describeSegment stores the tombstones of a segment, unless they are those that are stored.
func (s *Shard) describeSegment(part segment.Part, schema segment.Schema, old *durable, seq uint64) (segmentEntry, error) {
	part.Sealed.Detach(schema, *s.tuning.Load()) // indexes of fields that are gone
	e := segmentEntry{Meta: part.Sealed.Meta()}
	dead := part.Tombs.Dead()
	if dead == 0 {
		return e, nil
	}
	i := slices.IndexFunc(old.parts, func(p segment.Part) bool { return p.ID == part.ID })
	if i >= 0 && old.parts[i].Tombs.Dead() == dead { // rows die and stay dead
		e.Tombs = old.entry(part.ID).Tombs
		return e, nil
	}
	ref, err := segment.WriteTombstones(s.fs, s.dir, tombName(part.ID, seq), part.Tombs)
	if err != nil {
		return e, fmt.Errorf("store tombstones: %w", err)
	}
	e.Tombs = &ref
	return e, nil
}

func tombName(id segment.SegmentID, seq uint64) string { return fmt.Sprintf("%s-%d.tomb", id, seq) }

// swap changes the segments of the state and publishes the outcome at once.
func (s *Shard) swap(change func(w *writer) error) error {
	s.writer.mu.Lock()
	defer s.writer.mu.Unlock()
	err := change(&s.writer)
	s.publish()
	return err
}

// publish makes next, whose manifest is on disk, what the keeper goes by, and removes what only the manifest before named.
// The caller holds edit.
func (k *keeper) publish(s *Shard, next *durable) {
	k.mu.Lock()
	old := k.durable
	k.durable = next
	k.mu.Unlock()
	named := map[string]bool{}
	for _, f := range next.man.files() {
		named[f.Name] = true
	}
	for i := range old.man.Segments {
		e := &old.man.Segments[i]
		if t := e.Tombs; t != nil && !named[t.Name] {
			s.removeFile(t.Name)
		}
		if next.entry(segment.SegmentID(e.UUID)) != nil {
			for _, f := range e.Files { // derived ones that were replaced or dropped; who reads them has them mapped
				if !named[f.Name] {
					s.removeFile(f.Name)
				}
			}
			continue
		}
		for _, p := range old.parts {
			if p.ID == segment.SegmentID(e.UUID) {
				p.Sealed.Discard() // its files go with its last reader
			}
		}
	}
	old.release()
}

// removeFile removes a file that no manifest names; what stays is removed at the next start.
func (s *Shard) removeFile(name string) {
	if err := s.fs.Remove(path.Join(s.dir, name)); err != nil {
		s.slog.Warn("a file that is not needed any more stays", "file", name, "err", err)
	}
}

// current returns the state on disk.
func (k *keeper) current() *durable {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.durable
}

func (k *keeper) setSealing(on bool) {
	k.mu.Lock()
	k.sealing = on
	k.mu.Unlock()
	if !on {
		k.ended()
	}
}
