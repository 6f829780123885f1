package engine

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/segment"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/wal"
)

// A base is how the state of one replica becomes that of another: what was applied at exactly one place, read from one view
// while updates go on. It travels as a head and then batches of points, each in the form in which it is stored. With all of
// them the receiver has the state at that place, and nothing needs to be applied again; see Intake.

// Base is the state of a shard at one place, for a replica that lacks it. It keeps files and log until it is closed, and is
// used by one goroutine.
type Base struct {
	s    *Shard
	view *segment.View
	feed *segment.Feed
	pin  *wal.Pin
	at   order.Pos
	head []byte
	sum  segment.Digest
	left uint64 // that feed is to give

	// While it is compared with what a receiver has:
	buckets *segment.Buckets // that differ
	sums    []uint64         // of all buckets
	differ  *segment.Differ
}

// baseHead is everything of a base but its points: a manifest without files, and how many points there are.
type baseHead struct {
	Points uint64    `json:"points"`
	State  *manifest `json:"state"`
}

// The head of a base is written as a manifest is, with another word at its begin, and deflated: the requests that it remembers are many
// and much alike.
const (
	headWord    = "sextant-base"
	headVersion = 2
	headName    = "the head of a base" // in errors
	headMost    = 256 << 20            // bytes, inflated
)

func (h *baseHead) encode() ([]byte, error) {
	var body bytes.Buffer
	w, err := flate.NewWriter(&body, flate.DefaultCompression)
	if err != nil {
		return nil, err
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := errors.Join(enc.Encode(h), w.Close()); err != nil {
		return nil, err
	}
	return summed(headWord, headVersion, body.Bytes()), nil
}

// readHead is the inverse of encode.
func readHead(b []byte) (h baseHead, err error) {
	body, at, err := openSummed(headName, headWord, headVersion, b)
	if err != nil {
		return h, err
	}
	r := flate.NewReader(bytes.NewReader(body))
	dec := json.NewDecoder(io.LimitReader(r, headMost))
	dec.DisallowUnknownFields()
	if err := errors.Join(dec.Decode(&h), r.Close()); err != nil {
		return h, corrupt(headName, at, "%v", err)
	}
	if h.State == nil || len(h.State.Segments) > 0 || h.State.Base != h.State.At {
		return h, corrupt(headName, at, "it describes no state")
	}
	if err := h.State.check(); err != nil {
		return h, corrupt(headName, at, "%v", err)
	}
	return h, nil
}

// OpenBase takes what is applied now. The log keeps everything behind it until Close, so that a reader of Shard.OpenLog from
// At().Seq+1 on, opened before that, finds all that the base lacks. A shard whose stored data are damaged, or whose writer was
// stopped, gives none.
func (s *Shard) OpenBase(ctx context.Context) (*Base, error) {
	if s.life.Err() != nil {
		return nil, errClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	pin, err := s.log.Pin(s.writer.place().Seq + 1) // before the place is chosen: what is behind must not go meanwhile
	if err != nil {
		return nil, fmt.Errorf("open a base: %w", err)
	}
	b := &Base{s: s, pin: pin}
	if err := b.capture(); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// capture takes everything as of one entry.
func (b *Base) capture() error {
	if err := b.s.usable(); err != nil {
		return err
	}
	m, err := b.s.describeBase(b)
	if err != nil {
		return err
	}
	b.pin.Move(b.at.Seq + 1)
	if b.head, err = (&baseHead{Points: b.view.Points(), State: m}).encode(); err != nil {
		return fmt.Errorf("open a base: %w", err)
	}
	b.feed, err = b.view.Feed()
	b.left = b.view.Points()
	return b.note(err)
}

func (s *Shard) describeBase(b *Base) (*manifest, error) {
	w := &s.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil { // in the middle of an entry
		return nil, w.broken
	}
	if b.view = s.views.Get(); b.view == nil {
		return nil, errClosed
	}
	b.at, b.sum = w.applied, w.state.Digest()
	past, evicted := w.requests.newest()
	return &manifest{
		UUID: s.keeper.manifest().UUID, Base: b.at, At: b.at, History: s.log.History().Cut(b.at.Seq), Requests: past, Evicted: evicted,
		Digest: b.sum.Ranges(), Schema: b.view.Schema(),
	}, nil
}

// note tells the shard of damage that the base met.
func (b *Base) note(err error) error {
	if err != nil && sextant.KindOf(err) == sextant.Corrupt {
		b.s.noteDamage(err)
	}
	return err
}

// At returns the last entry that the base contains.
func (b *Base) At() order.Pos { return b.at }

// Head returns everything but the points: what NewIntake begins with.
func (b *Base) Head() []byte { return b.head }

// Points returns how many points the base has.
func (b *Base) Points() uint64 { return b.view.Points() }

// Left returns how many points Next is still to give.
func (b *Base) Left() uint64 { return b.left }

// Next returns the next points in id order as one batch for Intake.Add: up to maxPoints, and from the second one on up to maxBytes.
// n is how many there are, 0 at the end. After an error nothing follows.
func (b *Base) Next(ctx context.Context, maxPoints, maxBytes int) (batch []byte, n int, err error) {
	if b.feed == nil {
		return nil, 0, sextant.Errorf(sextant.Precondition, "the base is being compared")
	}
	batch, n, err = b.feed.Next(ctx, maxPoints, maxBytes)
	b.left -= uint64(n)
	return batch, n, b.note(err)
}

// Close lets go of files and log. It may be called twice.
func (b *Base) Close() {
	b.pin.Close()
	if b.view != nil {
		b.view.Release()
		b.view = nil
	}
}
