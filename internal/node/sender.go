package node

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/replica"
	"github.com/sextantdb/sextant/internal/task"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/transfer"
	"github.com/sextantdb/sextant/internal/wal"
)

// attempt is a transfer whose sender is this node, in one of its attempts.
type attempt struct {
	uuid string
	topology.Transfer
}

// taskKey names the task of an attempt; all of a transfer begin alike.
func (a attempt) taskKey() string { return a.prefix() + strconv.FormatUint(a.Attempt, 10) }
func (a attempt) prefix() string  { return fmt.Sprintf("transfer %s %d.", a.uuid, a.ID) }

// send has a task for each transfer that this node is the sender of, and none for any other.
func (c *cluster) send(state *topology.State) {
	wanted := map[string]bool{}
	for _, s := range c.slots() {
		shard := state.Shard(s.uuid)
		if shard == nil || len(shard.Transfers) == 0 || c.hub.Local(s.uuid) == nil {
			continue
		}
		for _, t := range shard.Transfers {
			a := attempt{s.uuid, t}
			if t.From != c.n.peer || c.isOrphan(a) {
				continue
			}
			wanted[a.taskKey()] = true
			if running := c.board.Running(a.prefix()); len(running) == 0 {
				c.board.Start(c.n.life, a.taskKey(), func(ctx context.Context, p *task.Progress) error { return c.deliver(ctx, s, a, p) })
			}
		}
	}
	for _, running := range c.board.Running("transfer ") {
		if !wanted[running.Key] {
			c.board.Cancel(running.Key, errOver)
		}
	}
}

// errOver ends the task of an attempt that is not listed any more.
var errOver = errors.New("the attempt is over")

// abortPause is how long a proposal to abort may take to show an effect until it is repeated.
const abortPause = time.Second

// deliver is the task of an attempt.
func (c *cluster) deliver(ctx context.Context, s *slot, a attempt, p *task.Progress) error {
	progress := transfer.NewProgress(p)
	c.track(a, progress)
	defer c.poke()
	defer c.untrack(a)
	own, ok := s.current().(*engineShard)
	if !ok {
		return c.giveUp(ctx, a, sextant404(s))
	}
	job := transfer.Job{Ref: transfer.Ref{ID: a.ID, Attempt: a.Attempt}, NextTask: func() uint64 { return c.life<<20 + c.numbers.Add(1) }, Shard: a.uuid, Method: a.Method, Fallback: c.fallback(),
		Source: source{own.Shard}, Target: target{c, a.To, a.uuid}, Progress: progress, Moved: c.n.machine.Watch, Delay: stagingDelay(),
		Admit: func(ctx context.Context, r transfer.Ref, at order.Seq) error {
			return c.askAdmission(ctx, a.uuid, r, at)
		},
		Restart: func(ctx context.Context, method string) error {
			return c.Propose(ctx, topology.Command{Stage: &topology.TransferStage{Shard: a.uuid, ID: a.ID, Attempt: a.Attempt, Method: method}})
		},
		Listed: func() (listed, admitted bool) {
			if shard := c.n.machine.State().Shard(a.uuid); shard != nil {
				if t := shard.Transfer(a.ID); t != nil && t.Attempt == a.Attempt && t.From == a.From {
					return true, t.Admitted
				}
			}
			return false, false
		}}
	c.n.log.Info("a transfer begins", "shard", a.uuid, "id", a.ID, "attempt", a.Attempt, "method", a.Method, "to", a.To)
	err := transfer.Run(ctx, job)
	switch {
	case errors.Is(err, transfer.ErrRestarted):
		c.event(a.uuid, "transfer %d to peer %d goes on as %s: %s", a.ID, a.To, job.Fallback, progress.Sight().Failure)
		return nil
	case err != nil && ctx.Err() == nil:
		return c.giveUp(ctx, a, err)
	}
	sight := progress.Sight()
	c.n.log.Info("a transfer is over", "shard", a.uuid, "id", a.ID, "attempt", a.Attempt, "to", a.To, "done", sight.Done, "bytes", sight.Bytes,
		"took", time.Since(sight.Started).Round(time.Millisecond))
	return err
}

// giveUp aborts a transfer, again and again until that is known.
func (c *cluster) giveUp(ctx context.Context, a attempt, why error) error {
	c.event(a.uuid, "transfer %d to peer %d failed in attempt %d: %v", a.ID, a.To, a.Attempt, why)
	for ctx.Err() == nil {
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := c.Propose(try, topology.Command{Abort: &topology.TransferAbort{Shard: a.uuid, ID: a.ID, Reason: "transmission failed: " + why.Error()}})
		cancel()
		if err == nil {
			break
		}
		select {
		case <-time.After(abortPause):
		case <-ctx.Done():
		}
	}
	return why
}

// stagingDelay is a pause before each batch of points, for tests of slow transfers.
func stagingDelay() time.Duration {
	seconds, err := strconv.ParseFloat(os.Getenv("QDRANT_STAGING_SHARD_TRANSFER_DELAY_SEC"), 64)
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(seconds * float64(time.Second))
}

func (c *cluster) track(a attempt, p *transfer.Progress) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sending[a.prefix()] = p
}

func (c *cluster) untrack(a attempt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.sending, a.prefix())
}

// progressOf returns how far a transfer is, by its attempt's prefix, if it has a task here.
func (c *cluster) progressOf(key string) *transfer.Progress {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sending[key]
}

// orphans notes the transfers that an earlier life of this process took part in, as of what consensus had committed when this one
// began: each is aborted, but one whose receiver needs no sender any more.
func (c *cluster) orphans() {
	state := c.n.machine.State()
	c.copiesFrom.Store(state.Transfers)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, info := range state.Collections {
		for _, shard := range info.Shards {
			for _, t := range shard.Transfers {
				if t.From == c.n.peer && !t.Admitted || t.To == c.n.peer {
					c.orphaned[attempt{shard.UUID, t}.prefix()] = topology.TransferAbort{Shard: shard.UUID, ID: t.ID, Reason: "Source or target peer restarted"}
				}
			}
		}
	}
}

func (c *cluster) isOrphan(a attempt) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, orphan := c.orphaned[a.prefix()]
	return orphan
}

// abandon proposes to abort what earlier lives left behind, until the topology does not list it any more.
func (c *cluster) abandon(state *topology.State) {
	c.mu.Lock()
	var aborts []topology.TransferAbort
	for _, key := range slices.Sorted(maps.Keys(c.orphaned)) {
		t := c.orphaned[key]
		if shard := state.Shard(t.Shard); shard == nil || shard.Transfer(t.ID) == nil {
			delete(c.orphaned, key)
		} else {
			aborts = append(aborts, t)
		}
	}
	c.mu.Unlock()
	if len(aborts) == 0 || c.busyWith("abandon") {
		return
	}
	c.run.Go(func() {
		defer c.done("abandon")
		for _, t := range aborts {
			ctx, cancel := context.WithTimeout(c.n.life, 5*time.Second)
			err := c.Propose(ctx, topology.Command{Abort: &t})
			cancel()
			if err != nil {
				return // proposed again by a later pass
			}
		}
	})
}

// source is a shard as the sender's side sees it.
type source struct{ *engine.Shard }

func (s source) OpenBase(ctx context.Context) (transfer.Base, error) { return s.Shard.OpenBase(ctx) }

func (s source) OpenFiles(ctx context.Context) (transfer.Files, error) {
	return s.Shard.OpenFiles(ctx)
}

// target is a receiver behind calls.
type target struct {
	c    *cluster
	to   topology.PeerID
	uuid string
}

const (
	// standTime is how long a receiver may take to hear of a transfer and to make room for it.
	standTime = time.Minute
	feedTime  = time.Minute
	// beginTime is how long it may take to keep what it has for being completed.
	beginTime = 5 * time.Minute
	// openTime is how long it may take to open what it got.
	openTime = 15 * time.Minute
	// deadTime is how long a receiver may be silent while a call is under way.
	deadTime = 5 * time.Second
)

// call calls the receiver, and gives up early if it is gone.
func (t target) call(ctx context.Context, method string, limit time.Duration, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	over := make(chan struct{})
	defer close(over)
	t.c.run.Go(func() {
		for {
			select {
			case <-over:
				return
			case <-time.After(time.Second):
				if t.c.hub.Silence(t.to) > deadTime {
					cancel()
				}
			}
		}
	})
	reply, err := peers{t.c}.call(ctx, t.to, method, t.uuid, body)
	if s := t.c.slot(t.uuid); s != nil {
		s.sent.bytes.Add(uint64(len(body) + len(reply)))
	}
	return reply, err
}

func appendRef(dst []byte, r transfer.Ref) []byte {
	for _, v := range []uint64{r.ID, r.Attempt, r.Task} {
		dst = binary.AppendUvarint(dst, v)
	}
	return dst
}

// Stand implements transfer.Target, as do the following.
func (t target) Stand(ctx context.Context, r transfer.Ref) (transfer.Standing, error) {
	var s transfer.Standing
	b, err := t.call(ctx, callStand, standTime, appendRef(nil, r))
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	return s, err
}

func (t target) Begin(ctx context.Context, r transfer.Ref, head []byte, keep bool) (kept order.Seq, cloned bool, err error) {
	how := beginEmpty
	if keep {
		how = beginClone
	}
	reply, err := t.call(ctx, callBegin, beginTime, append(append(appendRef(nil, r), how), head...))
	if err != nil || len(reply) == 0 {
		return 0, false, err
	}
	seq, n := binary.Uvarint(reply)
	if n != len(reply) {
		return 0, false, sextant.Errorf(sextant.Corrupt, "what peer %d has kept cannot be read", t.to)
	}
	return order.Seq(seq), true, nil
}

func (t target) BeginFiles(ctx context.Context, r transfer.Ref, head []byte) (missing []string, err error) {
	b, err := t.call(ctx, callBegin, beginTime, append(append(appendRef(nil, r), beginFiles), head...))
	if err == nil {
		err = json.Unmarshal(b, &missing)
	}
	return missing, err
}

func (t target) Step(ctx context.Context, r transfer.Ref, number uint64, s transfer.Step) ([]byte, error) {
	body := binary.AppendUvarint(appendRef(make([]byte, 0, len(s.Body)+40), r), number)
	return t.call(ctx, callStep, feedTime, append(append(body, byte(s.Kind)), s.Body...))
}

func (t target) Complete(ctx context.Context, r transfer.Ref) error {
	_, err := t.call(ctx, callComplete, openTime, appendRef(nil, r))
	return err
}

func (t target) Feed(ctx context.Context, r transfer.Ref, prev order.Pos, records []wal.Record) error {
	_, err := t.call(ctx, callFeed, feedTime, replica.AppendFeed(nil, replica.Feed{ID: r.ID, Attempt: r.Attempt, Prev: prev, Records: records}))
	if s := t.c.slot(t.uuid); s != nil {
		s.sent.entries.Add(uint64(len(records)))
	}
	return err
}

// askAdmission asks the primary that the topology names now.
func (c *cluster) askAdmission(ctx context.Context, uuid string, r transfer.Ref, at order.Seq) error {
	shard := c.n.machine.State().Shard(uuid)
	if shard == nil {
		return sextant.Errorf(sextant.NotFound, "the shard does not exist any more")
	}
	if shard.Primary == c.n.peer {
		local := c.hub.Local(uuid)
		if local == nil {
			return &replica.NotPrimary{Term: shard.Term, Primary: shard.Primary, Why: "the replica is not open yet"}
		}
		return local.Admit(ctx, r.ID, r.Attempt, at)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := peers{c}.call(ctx, shard.Primary, callAdmit, uuid, binary.AppendUvarint(appendRef(nil, r), uint64(at)))
	return err
}

// comment is what a list shows of a transfer that has a task here.
func (c *cluster) comment(uuid string, t topology.Transfer) string {
	return c.commentOf(attempt{uuid, t}.prefix())
}

func (c *cluster) commentOf(key string) string {
	if p := c.progressOf(key); p != nil {
		return strings.ToValidUTF8(p.Comment(), "?")
	}
	return ""
}
