package engine

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/segment"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/task"
	"github.com/sextantdb/sextant/internal/vfs"
)

// A replica that has a state of the same shard needs only what differs from the base. Its generation begins as a clone, by hard
// links, and both sides find out what to send, in messages of the caller's:
//
//	receiver                             sender
//	NewIntakeFromShard, Kept        →    Base.Since
//	Add                             ←    Base.Next                 which gives only what changed behind that entry
//	Ranges                          →    Base.Compare              unless there are none: then all is there
//	Sums of some of those ranges    →    Base.Buckets              until there are no more ranges
//	Select; List                    →    Base.Differing            until the list is at its end, and once more with nil
//	Delete, for each batch of it    ←
//	Add                             ←    Base.Next                 which gives only what differs now
//	Complete
//
// What changed needs no comparison. Whatever changes a point gives it the seq of its entry, and the receiver has applied the same
// entries up to the one that it kept (see sameOrder): a point of the base that is not newer was made by one of them and has not been
// changed since, so it is there, as it is here. Vector names and fields that came or went meanwhile change no point: a name that was made
// anew is another one by its seq, and what is stored of one that is gone is not seen. What is left for the comparison are the
// points that were deleted meanwhile, which the base has no trace of, all that a receiver has that is ahead of the base, and whatever is
// not as it should be.
//
// Points are told apart by (id, seq that changed them last). So a receiver whose points may be damaged takes a full base instead.

// NewIntakeFromShard begins a generation with what an open shard has applied, to be made the state of a base. The shard goes on. One
// that is of another uuid, or that applied what the sender did not, is refused with a Precondition error; only a full base helps.
func NewIntakeFromShard(ctx context.Context, old *Shard, head []byte, by Attempt, opts Options) (*Intake, error) {
	if err := old.usable(); err != nil {
		return nil, err
	}
	i, err := newIntake(path.Dir(old.dir), head, by, opts)
	if err != nil {
		return nil, err
	}
	if err := i.clone(ctx, old); err != nil {
		return nil, errors.Join(err, i.Discard())
	}
	return i, nil
}

func (i *Intake) clone(ctx context.Context, old *Shard) error {
	if _, err := old.checkpoint(ctx, task.NewProgress("checkpoint")); err != nil {
		return err
	}
	m, err := i.linkFiles(old)
	if err != nil {
		return fmt.Errorf("clone a generation: %w", err)
	}
	if err := sameOrder(m, i.man); err != nil {
		return err
	}
	have, err := openParts(&Shard{fs: i.fs, dir: i.own}, m)
	if err != nil {
		return err
	}
	schema := i.man.Schema
	schema.Fields = nil
	i.state = segment.NewState(schema, i.tuning(), have.parts, nil, uint64(i.man.At.Seq))
	i.cloned, i.kept = true, m.At.Seq
	return i.state.Recount(ctx) // the digest that is stored may be what is wrong here
}

// linkFiles gives the files of a shard's checkpoint names in the new generation. Tombstones are copied: more rows will die.
func (i *Intake) linkFiles(old *Shard) (*manifest, error) {
	old.keeper.edit.Lock() // the files stay
	defer old.keeper.edit.Unlock()
	m := *old.keeper.manifest()
	m.Segments = slices.Clone(m.Segments)
	for n := range m.Segments {
		e := &m.Segments[n]
		for _, f := range e.Files {
			if err := i.fs.Link(path.Join(old.dir, f.Name), path.Join(i.own, f.Name)); err != nil {
				return nil, err
			}
		}
		if e.Tombs != nil {
			b, err := vfs.ReadFile(i.fs, path.Join(old.dir, e.Tombs.Name))
			if err == nil {
				err = vfs.WriteAtomic(i.fs, path.Join(i.own, e.Tombs.Name), b)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return &m, nil
}

// sameOrder makes sure that equal seqs of two states are of equal entries.
func sameOrder(have, want *manifest) error {
	if have.UUID != want.UUID {
		return sextant.Errorf(sextant.Precondition, "the state here is of the shard %s, the base of %s", have.UUID, want.UUID)
	}
	met := have.History.Meet(have.At.Seq, want.History, want.At.Seq)
	if end := min(have.At.Seq, want.At.Seq); met.Seq != end {
		return sextant.Errorf(sextant.Precondition, "the state at %s and the base at %s have only the entries up to %d in common",
			have.At, want.At, met.Seq)
	}
	for name, slot := range want.Schema.Vectors {
		// Dropped here behind the base, it has no data any more, though its points look unchanged.
		if has, ok := have.Schema.Vectors[name]; slot.Seq <= uint64(have.At.Seq) && (!ok || has.Seq != slot.Seq) {
			return sextant.Errorf(sextant.Precondition, "the state at %s has lost the vector name %q of entry %d, which the base at %s has",
				have.At, name, slot.Seq, want.At)
		}
	}
	return nil
}

// Kept returns the last entry that was applied in what the generation was cloned from.
func (i *Intake) Kept() order.Seq { return i.kept }

// Ranges begins to compare what the generation has now with the base: it returns the ranges of the digest that differ.
func (i *Intake) Ranges() ([]uint16, error) {
	if err := i.comparable(); err != nil {
		return nil, err
	}
	i.last = nil // what differs is in order by itself
	d := i.state.Digest()
	return d.Differing(&i.sum), nil
}

func (i *Intake) comparable() error {
	if err := i.filling(); err != nil {
		return err
	}
	if !i.cloned {
		return sextant.Errorf(sextant.Precondition, "there is nothing to compare: the generation began empty")
	}
	return nil
}

// compareNow keeps the state as it is now, for sums and lists.
func (i *Intake) compareNow() error {
	if err := i.comparable(); err != nil {
		return err
	}
	if i.view == nil {
		i.view = i.state.Publish()
	}
	return nil
}

// Sums returns sums of the buckets of some ranges, each cut into 2^bits buckets, 8 bytes each: what Base.Buckets wants.
func (i *Intake) Sums(ctx context.Context, ranges []uint16, bits uint8) ([]byte, error) {
	if err := i.compareNow(); err != nil {
		return nil, err
	}
	if bits > segment.MaxBucketBits {
		return nil, sextant.Errorf(sextant.WrongInput, "ranges are cut into 2^%d buckets at most, not 2^%d", segment.MaxBucketBits, bits)
	}
	if i.sums == nil || i.buckets.Bits != bits {
		sums, err := i.view.Sums(ctx, bits)
		if err != nil {
			return nil, err
		}
		i.sums, i.buckets = sums, segment.NewBuckets(bits)
	}
	return segment.PickSums(i.sums, ranges, bits)
}

// Select adds to the buckets whose points are listed.
func (i *Intake) Select(buckets []uint32) error {
	if i.sums == nil || i.lister != nil {
		return sextant.Errorf(sextant.Precondition, "buckets are selected behind their sums and before the list")
	}
	for _, b := range buckets {
		if err := i.buckets.Add(b); err != nil {
			return err
		}
	}
	return nil
}

// List returns the next points of the selected buckets with their seqs, in at most maxBytes; nil at the end.
func (i *Intake) List(ctx context.Context, maxBytes int) ([]byte, error) {
	if err := i.compareNow(); err != nil {
		return nil, err
	}
	if i.lister == nil {
		if i.buckets == nil {
			i.buckets = segment.NewBuckets(0) // no range differs
		}
		var err error
		if i.lister, err = i.view.List(i.buckets); err != nil {
			return nil, i.fail(err)
		}
	}
	list, _, err := i.lister.Next(ctx, maxBytes)
	return list, i.fail(err)
}

// Delete removes the points of a batch of Base.Differing and says how many ids were in it.
func (i *Intake) Delete(batch []byte) (n int, err error) {
	if err := i.filling(); err != nil {
		return 0, err
	}
	n, err = i.state.Delete(batch)
	return n, i.fail(err)
}

// Since makes Next give only the points that changed behind an entry.
func (b *Base) Since(ctx context.Context, seq order.Seq) (err error) {
	b.feed, b.left, err = b.view.Since(ctx, uint64(seq))
	return b.note(err)
}

// Compare begins to compare with what a receiver has, in the ranges that differ, and says how fine their sums shall be. Until Differing
// was told the end of the list nothing may be read by Next, and behind it Next gives what differs.
func (b *Base) Compare(ranges []uint16) (bits uint8) {
	b.buckets = segment.NewBuckets(segment.BucketBits(b.Points(), len(ranges)))
	b.sums, b.differ, b.feed, b.left = nil, nil, nil, 0
	return b.buckets.Bits
}

// Buckets takes the sums of some ranges and returns the buckets that differ.
func (b *Base) Buckets(ctx context.Context, ranges []uint16, sums []byte) ([]uint32, error) {
	if b.buckets == nil || b.differ != nil {
		return nil, sextant.Errorf(sextant.Precondition, "sums are compared behind the ranges and before the list")
	}
	var err error
	if b.sums == nil {
		if b.sums, err = b.view.Sums(ctx, b.buckets.Bits); err != nil {
			return nil, b.note(err)
		}
	}
	list, err := segment.DifferingBuckets(b.sums, ranges, b.buckets.Bits, sums)
	for i := 0; i < len(list) && err == nil; i++ {
		err = b.buckets.Add(list[i])
	}
	return list, err
}

// Differing takes the next part of the receiver's list, nil at its end, and returns the ids that the receiver has to delete as a batch
// for Intake.Delete, nil if there are none.
func (b *Base) Differing(ctx context.Context, list []byte) (deletes []byte, err error) {
	if b.buckets == nil {
		return nil, sextant.Errorf(sextant.Precondition, "a list is compared behind the ranges")
	}
	if b.differ == nil {
		if b.differ, err = b.view.Differ(b.buckets); err != nil {
			return nil, b.note(err)
		}
	}
	if deletes, err = b.differ.Next(ctx, list); err != nil || list != nil {
		return deletes, b.note(err)
	}
	b.feed, b.left, err = b.differ.Feed()
	b.sums, b.buckets, b.differ = nil, nil, nil
	return nil, b.note(err)
}
