package transfer

import (
	"context"
	"fmt"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/wal"
)

// PointsSource is the shard that points are copied from. What it reads is applied.
type PointsSource interface {
	Stands() order.Stands
	OpenLog(from order.Seq) (*wal.Reader, error)
	Scroll(ctx context.Context, s sextant.Scroll) ([]sextant.Record, *sextant.PointID, error)
	Count(ctx context.Context, f *sextant.Filter, exact bool) (uint64, error)
}

// PointsJob copies points of one shard to another, which orders them as it does every write. A point is always copied as it is now:
// first all of them, then those that an entry of the source's log has touched since. So the last copy of a point is not older
// than its last change; what does not match, or is not there any more, is taken away.
type PointsJob struct {
	Source PointsSource
	Filter *sextant.Filter // nil: all points
	// Touched returns the points that an entry is about.
	Touched func(r wal.Record) ([]sextant.PointID, error)
	// Put has the target do an update, and returns when it is committed.
	Put func(ctx context.Context, u sextant.Update) error
	// Wipe says that the target has points of an earlier copy, which may be no more.
	Wipe bool
	// Fence returns when no client's write that is meant for the target goes to the source any more.
	Fence func(ctx context.Context) error
	// Barrier returns a seq of the source that holds everything that was acknowledged before.
	Barrier func(ctx context.Context) (order.Seq, error)
	// Finish makes the target what clients use.
	Finish   func(ctx context.Context) error
	Progress *Progress
	Delay    time.Duration // before each batch, for tests

	log  *wal.Reader
	at   order.Seq                    // of the source: what is up to there has been looked at
	sent map[sextant.PointID]struct{} // what the target has
}

const (
	pointsBatch = 500
	levelPause  = 5 * time.Millisecond
)

// CopyPoints does the job. After an error the target may have some of the points.
func CopyPoints(ctx context.Context, j PointsJob) (err error) {
	j.Progress.Stage("proxifying")
	j.sent = map[sextant.PointID]struct{}{}
	j.at = j.Source.Stands().Applied.Seq // before anything is read
	if j.log, err = j.Source.OpenLog(j.at + 1); err != nil {
		return fmt.Errorf("keep the log: %w", err)
	}
	defer j.log.Close()
	if j.Wipe {
		if err := j.Put(ctx, sextant.DeletePoints{Selector: sextant.Selector{Filter: &sextant.Filter{}}}); err != nil {
			return fmt.Errorf("take away what an earlier copy has left: %w", err)
		}
	}
	if err := j.all(ctx); err != nil {
		return err
	}
	j.Progress.Stage("flushing queue")
	if err := j.follow(ctx, j.Source.Stands().Applied.Seq); err != nil {
		return err
	}
	j.Progress.Stage("waiting consensus")
	if err := j.Fence(ctx); err != nil {
		return fmt.Errorf("have writes wait: %w", err)
	}
	end, err := j.Barrier(ctx)
	if err != nil {
		return fmt.Errorf("find the end of the source: %w", err)
	}
	if err := j.follow(ctx, end); err != nil {
		return err
	}
	j.Progress.Stage("finalizing")
	return j.Finish(ctx)
}

// all copies what matches, in parts.
func (j *PointsJob) all(ctx context.Context) error {
	total, err := j.Source.Count(ctx, j.Filter, false)
	if err != nil {
		return fmt.Errorf("count points: %w", err)
	}
	j.Progress.Stage("transferring")
	j.Progress.copying(0, total)
	size := pointsBatch
	if j.Delay > 0 {
		size = delayPoints
	}
	scroll := everything(j.Filter, size)
	for {
		records, next, err := j.Source.Scroll(ctx, scroll)
		if err != nil {
			return fmt.Errorf("read points: %w", err)
		}
		if err := pause(ctx, j.Delay); err != nil {
			return err
		}
		if err := j.upsert(ctx, records); err != nil {
			return err
		}
		j.Progress.add(uint64(len(records)), 0)
		if next == nil {
			return nil
		}
		scroll.Offset = next
	}
}

func everything(f *sextant.Filter, limit int) sextant.Scroll {
	return sextant.Scroll{Filter: f, Limit: limit, WithPayload: sextant.PayloadSelector{All: true}, WithVector: sextant.VectorSelector{All: true}}
}

func (j *PointsJob) upsert(ctx context.Context, records []sextant.Record) error {
	if len(records) == 0 {
		return nil
	}
	points := make([]sextant.Point, len(records))
	for i, r := range records {
		points[i] = sextant.Point{ID: r.ID, Vectors: r.Vectors, Payload: r.Payload}
		j.sent[r.ID] = struct{}{}
	}
	if err := j.Put(ctx, sextant.Upsert{Points: points}); err != nil {
		return fmt.Errorf("send points: %w", err)
	}
	return nil
}

// follow copies what entries up to a seq have touched, once they are applied here.
func (j *PointsJob) follow(ctx context.Context, end order.Seq) error {
	for j.at < end {
		records, err := j.log.Next(j.Source.Stands().Applied.Seq, batchBytes)
		if err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		if len(records) == 0 {
			if err := pause(ctx, levelPause); err != nil {
				return err
			}
			continue
		}
		var ids []sextant.PointID
		for _, r := range records {
			touched, err := j.Touched(r)
			if err != nil {
				return fmt.Errorf("entry %d: %w", r.Seq, err)
			}
			ids = append(ids, touched...)
		}
		for len(ids) > 0 {
			n := min(len(ids), pointsBatch)
			if err := j.renew(ctx, ids[:n]); err != nil {
				return err
			}
			ids = ids[n:]
		}
		j.at = records[len(records)-1].Seq
		j.Progress.reach(j.at, j.Source.Stands().Commit, 0)
	}
	return nil
}

// renew makes some points in the target what they are in the source.
func (j *PointsJob) renew(ctx context.Context, ids []sextant.PointID) error {
	f := &sextant.Filter{Must: []sextant.Condition{sextant.HasID{IDs: ids}}}
	if j.Filter != nil {
		f.Must = append(f.Must, j.Filter)
	}
	records, _, err := j.Source.Scroll(ctx, everything(f, len(ids)))
	if err != nil {
		return fmt.Errorf("read points: %w", err)
	}
	if err := j.upsert(ctx, records); err != nil {
		return err
	}
	found := make(map[sextant.PointID]bool, len(records))
	for _, r := range records {
		found[r.ID] = true
	}
	var gone []sextant.PointID
	for _, id := range ids {
		if _, has := j.sent[id]; has && !found[id] {
			gone = append(gone, id)
			delete(j.sent, id)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	if err := j.Put(ctx, sextant.DeletePoints{Selector: sextant.Selector{IDs: gone}}); err != nil {
		return fmt.Errorf("take points away: %w", err)
	}
	return nil
}
