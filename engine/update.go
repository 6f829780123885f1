package engine

import (
	"context"
	"errors"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/segment"
	"github.com/sextantdb/sextant/internal/codec"
	"github.com/sextantdb/sextant/internal/order"
)

// Update logs and applies one update of a shard that is alone. With sextant.Committed it returns when the update is durable,
// with sextant.Applied when reads see it. Everything that the schema can refuse is refused before the log, whatever is waited
// for. When the deadline of ctx passes after the update was accepted, the receipt says WaitTimeout and the update is applied
// later; when ctx is cancelled, its outcome is not known.
func (s *Shard) Update(ctx context.Context, u sextant.Update, wait sextant.Wait) (sextant.Receipt, error) {
	if s.opts.ManualApply {
		return sextant.Receipt{}, sextant.Errorf(sextant.Precondition, "the order of this shard is given by its primary")
	}
	if err := s.usable(); err != nil {
		return sextant.Receipt{}, err
	}
	if s.keeper.overfull.Load() {
		return sextant.Receipt{}, s.keeper.overfullError()
	}
	r, err := s.request(ctx, u)
	if err != nil {
		return sextant.Receipt{}, err
	}
	if err := s.disk.check(s); err != nil {
		return sextant.Receipt{}, err
	}
	if err := s.queue.submit(ctx, r); err != nil {
		return sextant.Receipt{}, err
	}
	receipt, err := r.await(ctx, wait)
	if field, ok := u.(sextant.CreateField); ok && err == nil && receipt.Status == sextant.Completed {
		err = s.keeper.awaitField(ctx, field.Key.String())
		if errors.Is(err, context.DeadlineExceeded) {
			receipt.Status, err = sextant.WaitTimeout, nil
		}
	}
	return receipt, err
}

// request checks an update and turns it into effects, if those depend on nothing stored. What the newest view refuses is held
// against the entries that are logged and not yet applied, too: a change of the schema among them was acknowledged before.
func (s *Shard) request(ctx context.Context, u sextant.Update) (*request, error) {
	logged := s.log.Commit()
	r, seen, err := s.prepare(ctx, u)
	if err == nil || !userError(err) || seen >= logged || s.writer.await(ctx, logged) != nil {
		return r, err
	}
	r, _, err = s.prepare(ctx, u)
	return r, err
}

// prepare does that with the newest view, whose seq it returns.
func (s *Shard) prepare(ctx context.Context, u sextant.Update) (*request, order.Seq, error) {
	v := s.views.Get()
	if v == nil {
		return nil, 0, errClosed
	}
	defer v.Release()
	seen := order.Seq(v.Seq)
	if err := check(v.Schema(), u); err != nil {
		return nil, seen, err
	}
	if segment.Depends(u) {
		return &request{update: u, dependent: true}, seen, nil
	}
	effects, err := v.Resolve(ctx, u)
	if err != nil {
		return nil, seen, err
	}
	return &request{update: effects, body: codec.AppendUpdate(nil, effects)}, seen, nil
}

// await waits for the step that the caller wants.
func (r *request) await(ctx context.Context, wait sextant.Wait) (sextant.Receipt, error) {
	select {
	case <-r.logged:
	case <-ctx.Done():
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return sextant.Receipt{}, ctx.Err()
		}
		<-r.logged // to be able to say that it will be applied
	}
	if r.refused {
		return sextant.Receipt{}, r.err
	}
	receipt := sextant.Receipt{Seq: uint64(r.pos.Seq), Status: sextant.Acknowledged}
	if wait == sextant.Committed {
		return receipt, nil
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		select {
		case <-r.done:
		default:
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return sextant.Receipt{}, ctx.Err()
			}
			receipt.Status = sextant.WaitTimeout
			return receipt, nil
		}
	}
	if r.err != nil {
		return sextant.Receipt{Seq: receipt.Seq}, r.err
	}
	receipt.Status = sextant.Completed
	return receipt, nil
}
