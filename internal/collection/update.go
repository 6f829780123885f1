package collection

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/topology"
)

// Update does one update on all shards that it concerns.
func (c *Collection) Update(ctx context.Context, u sextant.Update, w Write) (sextant.Receipt, error) {
	v := c.view.Load()
	if err := c.strictUpdate(v, u, w); err != nil {
		return sextant.Receipt{}, err
	}
	if err := v.checkUpdate(u); err != nil {
		return sextant.Receipt{}, err
	}
	return c.apply(ctx, v, u, w)
}

// UpdateBatch does updates in order until one fails. Strict mode judges all of them before any is done.
func (c *Collection) UpdateBatch(ctx context.Context, us []sextant.Update, w Write) ([]sextant.Receipt, error) {
	v := c.view.Load()
	for _, u := range us {
		if err := c.strictUpdate(v, u, w); err != nil {
			return nil, err
		}
	}
	receipts := make([]sextant.Receipt, 0, len(us))
	for _, u := range us {
		if err := v.checkUpdate(u); err != nil {
			return nil, err
		}
		receipt, err := c.apply(ctx, v, u, w)
		if err != nil {
			return nil, err
		}
		receipts = append(receipts, receipt)
	}
	return receipts, nil
}

// Each does an update of payload indexes or vector names on some shards. Strict mode was asked before.
func (c *Collection) Each(ctx context.Context, us map[topology.ShardID]sextant.Update, w Write) (sextant.Receipt, error) {
	parts := make([]part, 0, len(us))
	for _, id := range slices.Sorted(maps.Keys(us)) {
		parts = append(parts, part{id, us[id]})
	}
	return c.send(ctx, c.view.Load(), parts, w)
}

func (c *Collection) apply(ctx context.Context, v *View, u sextant.Update, w Write) (sextant.Receipt, error) {
	if w.Fallback != nil && len(w.Keys) > 0 && v.Gate != nil {
		limit := w.Default
		if w.Timeout != nil {
			limit = *w.Timeout
		}
		waiting, cancel := context.WithTimeout(ctx, limit)
		done, err := v.Gate(waiting, w.Keys[0])
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			err = sextant.Errorf(sextant.Timeout, "Timeout error: Update operation timed out, it was not done: its points are just moving to shard key %s", w.Keys[0])
		}
		if err != nil {
			return sextant.Receipt{}, err
		}
		defer done()
		v = c.view.Load()
	}
	rings, err := v.forWrite(w)
	if err != nil {
		return sextant.Receipt{}, err
	}
	var parts []part
	for _, ring := range rings {
		parts = append(parts, split(u, ring)...)
	}
	if err := c.payWrite(ctx, v, parts); err != nil {
		return sextant.Receipt{}, err
	}
	return c.send(ctx, v, parts, w)
}

// part is what one shard has to do of an update.
type part struct {
	shard  topology.ShardID
	update sextant.Update
}

// split gives every shard of the ring its part. What names points by a filter, or no points, goes to all.
func split(u sextant.Update, ring topology.Ring) []part {
	if ring.Len() == 1 {
		return []part{{ring.Shards()[0], u}}
	}
	switch u := u.(type) {
	case sextant.Upsert:
		return byPoint(u.Points, ring, func(p []sextant.Point) sextant.Update {
			return sextant.Upsert{Points: p, Mode: u.Mode, Filter: u.Filter}
		})
	case sextant.UpdateVectors:
		return byPoint(u.Points, ring, func(p []sextant.Point) sextant.Update {
			return sextant.UpdateVectors{Points: p, Filter: u.Filter}
		})
	case sextant.DeletePoints:
		return bySelector(u.Selector, ring, func(s sextant.Selector) sextant.Update { return sextant.DeletePoints{Selector: s} })
	case sextant.SetPayload:
		return bySelector(u.Selector, ring, func(s sextant.Selector) sextant.Update {
			return sextant.SetPayload{Selector: s, Payload: u.Payload, Key: u.Key}
		})
	case sextant.OverwritePayload:
		return bySelector(u.Selector, ring, func(s sextant.Selector) sextant.Update {
			return sextant.OverwritePayload{Selector: s, Payload: u.Payload}
		})
	case sextant.DeletePayload:
		return bySelector(u.Selector, ring, func(s sextant.Selector) sextant.Update {
			return sextant.DeletePayload{Selector: s, Keys: u.Keys}
		})
	case sextant.ClearPayload:
		return bySelector(u.Selector, ring, func(s sextant.Selector) sextant.Update { return sextant.ClearPayload{Selector: s} })
	case sextant.DeleteVectors:
		return bySelector(u.Selector, ring, func(s sextant.Selector) sextant.Update {
			return sextant.DeleteVectors{Selector: s, Names: u.Names}
		})
	}
	parts := make([]part, 0, ring.Len())
	for _, shard := range ring.Shards() {
		parts = append(parts, part{shard, u})
	}
	return parts
}

// group cuts a list by the owners of its elements, keeping their order; shards without elements are left out.
func group[T any](list []T, ring topology.Ring, id func(T) sextant.PointID, yield func(topology.ShardID, []T)) {
	byShard := map[topology.ShardID][]T{}
	for _, element := range list {
		shard := ring.Owner(id(element))
		byShard[shard] = append(byShard[shard], element)
	}
	for _, shard := range ring.Shards() {
		if mine := byShard[shard]; mine != nil {
			yield(shard, mine)
		}
	}
}

func byPoint(points []sextant.Point, ring topology.Ring, make func([]sextant.Point) sextant.Update) (parts []part) {
	group(points, ring, func(p sextant.Point) sextant.PointID { return p.ID }, func(shard topology.ShardID, mine []sextant.Point) {
		parts = append(parts, part{shard, make(mine)})
	})
	return parts
}

func bySelector(s sextant.Selector, ring topology.Ring, make func(sextant.Selector) sextant.Update) (parts []part) {
	if s.IDs == nil {
		for _, shard := range ring.Shards() {
			parts = append(parts, part{shard, make(s)})
		}
		return parts
	}
	group(s.IDs, ring, func(id sextant.PointID) sextant.PointID { return id }, func(shard topology.ShardID, mine []sextant.PointID) {
		parts = append(parts, part{shard, make(sextant.Selector{IDs: mine})})
	})
	if parts == nil && ring.Len() > 0 { // an empty list is an update like others: it gets a number
		parts = []part{{ring.Shards()[0], make(s)}}
	}
	return parts
}

// send runs all parts at the same time and makes one receipt of theirs.
func (c *Collection) send(ctx context.Context, v *View, parts []part, w Write) (sextant.Receipt, error) {
	limit := w.Default
	if w.Timeout != nil {
		limit = *w.Timeout
	}
	wait, impatient := w.Wait, w.Wait == sextant.Applied && limit <= 0
	if impatient { // not even a moment to wait for: it is logged, and told that it is not applied yet
		wait, limit = sextant.Committed, w.Default
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()

	begun := time.Now()
	receipts := make([]sextant.Receipt, len(parts))
	failures := make([]error, len(parts))
	do := func(i int) {
		shard, ok := v.Shards[parts[i].shard]
		if !ok {
			failures[i] = sextant.Errorf(sextant.Internal, "shard %d of collection %s is not here", parts[i].shard, c.name)
			return
		}
		receipts[i], failures[i] = shard.Update(ctx, parts[i].update, wait)
	}
	if len(parts) == 1 {
		do(0)
	} else {
		var all sync.WaitGroup
		for i := range parts {
			all.Go(func() { do(i) })
		}
		all.Wait()
	}
	out, err := combine(receipts, failures)
	if late := overdue(receipts, failures); late > 0 && w.Timeout == nil { // who named no time learns that it has passed
		text := fmt.Sprintf("Timeout error: Update operation timed out in %.2f seconds on %d out of %d shards.", time.Since(begun).Seconds(), late, len(parts))
		if err != nil {
			text += " First error captured: " + err.Error() // whether it was done is not known, or it was not
		}
		return sextant.Receipt{}, &sextant.Error{Kind: sextant.Timeout, Text: text, Err: err}
	}
	if err != nil && errors.Is(err, context.DeadlineExceeded) && sextant.KindOf(err) == sextant.Internal {
		err = sextant.Errorf(sextant.Timeout, "Timeout error: Operation 'Update' timed out after %s", seconds(limit))
	}
	if err == nil && impatient {
		out.Status = sextant.WaitTimeout
	}
	return out, err
}

// overdue counts the parts whose time has passed, if nothing else is wrong.
func overdue(receipts []sextant.Receipt, failures []error) (n int) {
	for i, err := range failures {
		switch {
		case err == nil && receipts[i].Status == sextant.WaitTimeout, isLate(err):
			n++
		case err != nil:
			return 0
		}
	}
	return n
}

func isLate(err error) bool {
	return sextant.KindOf(err) == sextant.Timeout || errors.Is(err, context.DeadlineExceeded) && sextant.KindOf(err) == sextant.Internal
}

// combine makes one answer of several: the largest number; what waited in vain counts more than what is completed, and
// that more than what is only acknowledged. If only some parts failed the error says how many.
func combine(receipts []sextant.Receipt, failures []error) (sextant.Receipt, error) {
	var out sextant.Receipt
	var first error
	failed := 0
	for i, r := range receipts {
		if failures[i] != nil {
			failed++
			if first == nil {
				first = failures[i]
			}
			continue
		}
		out.Seq = max(out.Seq, r.Seq)
		out.Status = max(out.Status, r.Status)
	}
	if failed == 0 {
		return out, nil
	}
	if failed == len(receipts) {
		// "It was not done" may be true of some shards only.
		open := slices.IndexFunc(failures, func(err error) bool { return errors.Is(err, sextant.ErrUnknown) })
		if open < 0 && sextant.KindOf(first) == sextant.Timeout { // no quorum: it may be kept later
			open = slices.IndexFunc(failures, func(err error) bool { return sextant.KindOf(err) == sextant.Internal })
		}
		if open >= 0 {
			first = failures[open]
		}
		return sextant.Receipt{}, first
	}
	err := &sextant.Error{Kind: sextant.KindOf(first), Err: first}
	var known *sextant.Error
	if errors.As(first, &known) {
		err.RetryAfter = known.RetryAfter
	}
	err.Text = sextant.Errorf(err.Kind, "%d out of %d shards failed to apply operation. First error captured: %s",
		failed, len(receipts), first).Error()
	return sextant.Receipt{}, err
}

// DefaultWriteTimeout is how long a write may take when nobody says.
const DefaultWriteTimeout = 60 * time.Second

// pointCount is the number of points that an update names; by filter it is 0.
func pointCount(u sextant.Update) int {
	switch u := u.(type) {
	case sextant.Upsert:
		return len(u.Points)
	case sextant.UpdateVectors:
		return len(u.Points)
	default:
		if s, ok := selector(u); ok {
			return len(s.IDs)
		}
	}
	return 0
}

// selector returns the points that an update is about, if it names them by a selector.
func selector(u sextant.Update) (sextant.Selector, bool) {
	switch u := u.(type) {
	case sextant.DeletePoints:
		return u.Selector, true
	case sextant.SetPayload:
		return u.Selector, true
	case sextant.OverwritePayload:
		return u.Selector, true
	case sextant.DeletePayload:
		return u.Selector, true
	case sextant.ClearPayload:
		return u.Selector, true
	case sextant.DeleteVectors:
		return u.Selector, true
	}
	return sextant.Selector{}, false
}
