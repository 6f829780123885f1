// Package transfer brings a replica back: it gives the receiver a base in one of three ways, then what it missed, and has the
// primary admit it. This is the sender's side, one script from top to bottom; proof and finish are the primary's (package
// replica).
//
// Shapes: a Job is one attempt of one transfer. Its Source is the shard here, its Target the receiver behind calls.
// Units: progress counts entries, or points while they are copied.
// Errors: ErrRestarted when the attempt ended by choosing another method; a context's error when it was cancelled, which is no
// failure; anything else is a failure of the transfer.
// Concurrency: Run is called once for a Job; a Progress may be read from any goroutine.
// Sources: log matching (Ongaro, 2014); recovery by sequence numbers as in Elasticsearch; state transfer of PacificA (Lin et
// al., 2008).
package transfer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/wal"
)

// Ref names the task that works on an attempt of a transfer. The receiver ignores what carries another one.
type Ref struct {
	ID, Attempt uint64
	Task        uint64 // differs from task to task
}

// Standing is where a receiver is.
type Standing struct {
	// Complete says that it has a generation that is equal to the state at Applied, of the shard UUID.
	Complete bool      `json:"complete"`
	UUID     string    `json:"uuid"`
	Applied  order.Pos `json:"applied"`
	// Through is what it had applied when it left the in-sync set; the work of a transfer is counted from there.
	Through order.Seq `json:"through"`
	// ID and Attempt name what built its generation; zero for one that was not copied.
	ID      uint64 `json:"id"`
	Attempt uint64 `json:"attempt"`
	// Differs says that its state was found to be another one than its place in the log says.
	Differs bool `json:"differs"`
}

// Source is the sender's shard.
type Source interface {
	Stands() order.Stands
	// OpenLog returns a reader of the log from an entry on; until it is closed, the log is kept from there.
	OpenLog(from order.Seq) (*wal.Reader, error)
	// OpenBase keeps the state at one seq for being copied, and the log behind it.
	OpenBase(ctx context.Context) (Base, error)
	// OpenFiles keeps the files of a checkpoint that is not older than the call.
	OpenFiles(ctx context.Context) (Files, error)
}

// Files are the files of a checkpoint.
type Files interface {
	At() order.Pos
	Head() []byte
	// Send writes files, one behind the other.
	Send(ctx context.Context, w io.Writer, names []string) error
	Close()
}

// Base is the state of a shard at one seq.
type Base interface {
	At() order.Pos
	Head() []byte
	Points() uint64
	// Next returns the next points in binary form, none at the end.
	Next(ctx context.Context, maxPoints, maxBytes int) (batch []byte, points int, err error)
	// Left says how many points Next is still to give.
	Left() uint64
	// Since makes Next give only the points that changed behind an entry.
	Since(ctx context.Context, seq order.Seq) error
	// Compare, Buckets and Differing find out, step by step, what else a receiver lacks that has a state of the shard; see package
	// engine. Behind them Next gives only that.
	Compare(ranges []uint16) (bits uint8)
	Buckets(ctx context.Context, ranges []uint16, sums []byte) ([]uint32, error)
	Differing(ctx context.Context, list []byte) (deletes []byte, err error)
	Close()
}

// Target is the receiver. Its calls may be lost and may come twice.
type Target interface {
	// Stand returns where the receiver is, once it knows of the attempt.
	Stand(ctx context.Context, r Ref) (Standing, error)
	// Begin begins a generation aside, from the head of a base. With keep it begins as a clone of what the receiver has applied,
	// up to the entry kept, if that is of use: cloned says so.
	Begin(ctx context.Context, r Ref, head []byte, keep bool) (kept order.Seq, cloned bool, err error)
	// BeginFiles begins one from the head of a checkpoint's files, and returns the names of those that are to be sent: what came of
	// an earlier try, or is here for another reason, is not.
	BeginFiles(ctx context.Context, r Ref, head []byte) (missing []string, err error)
	// Step fills it. Steps are numbered from 1; one that comes twice is answered as before.
	Step(ctx context.Context, r Ref, number uint64, s Step) (reply []byte, err error)
	// Complete makes the generation durable and puts it into the place of what was there.
	Complete(ctx context.Context, r Ref) error
	// Feed brings committed entries, and returns when they are applied.
	Feed(ctx context.Context, r Ref, prev order.Pos, records []wal.Record) error
}

// Step is one step of filling a generation. Numbers in bodies are little-endian.
type Step struct {
	Kind StepKind
	Body []byte
}

// StepKind says what a step's body is, and what is replied.
type StepKind byte

const (
	Points  StepKind = 1 + iota // a batch of a base; the reply is empty
	Parts                       // the next bytes of the files that are missing; empty
	Ranges                      // nothing; the ranges, of 2 bytes each, in which the clone is not what the base is
	Sums                        // a byte of bits, then ranges of 2 bytes; their sums
	Buckets                     // buckets of 4 bytes each, to be listed; empty
	List                        // nothing; the next points with their seqs, empty at the end
	Delete                      // ids; empty
)

// Job is one attempt.
type Job struct {
	Ref      // its Task is given anew for each try
	NextTask func() uint64
	Shard    string // its uuid
	Method   string
	Fallback string // taken when Method is a delta that cannot be
	Source   Source
	Target   Target
	// Admit asks the primary that the topology names now to count the receiver, whose log ends at a place.
	Admit func(ctx context.Context, r Ref, at order.Seq) error
	// Restart has the attempt be followed by another one, of another method.
	Restart func(ctx context.Context, method string) error
	// Listed says whether the topology has the attempt, and whether its receiver is admitted.
	Listed func() (listed, admitted bool)
	// Moved returns a channel that is closed at the next change of the topology.
	Moved    func() <-chan struct{}
	Progress *Progress
	// Delay is a pause before each batch of points, for tests.
	Delay time.Duration
}

// ErrRestarted says that the attempt was ended in favour of another method.
var ErrRestarted = errors.New("the transfer was restarted with another method")

// Refusal is why a receiver cannot be brought back by a delta.
type Refusal string

const (
	NoBase    Refusal = "no base"       // it has no complete generation of this shard
	Truncated Refusal = "log truncated" // the sender's log begins behind what it has
	Diverged  Refusal = "diverged"      // it has what the sender does not
)

func (r Refusal) Error() string { return string(r) }

// decide says where a delta begins, or why there is none. The log of the sender, if it reaches back, is kept by the caller.
func decide(s Standing, uuid string, own order.Stands) error {
	term, known := own.History.TermAt(s.Applied.Seq)
	switch {
	case !s.Complete || s.UUID != uuid:
		return NoBase
	case s.Differs, s.Applied.Seq > own.Last.Seq:
		return Diverged
	case s.Applied.Seq < own.Base.Seq || !known:
		return Truncated
	case term != s.Applied.Term:
		return Diverged
	}
	return nil
}

const (
	batchBytes  = 1 << 20
	batchPoints = 1000
	delayPoints = 100     // of a batch that is delayed
	partBytes   = 1 << 20 // of files
)

// tries is how often a step that failed is begun anew, with pauses of 1 s, 2 s, …
const tries = 3

// Run does the attempt, from the question where the receiver stands until the topology does not list it any more. After an
// error, other than ErrRestarted and the end of ctx, it is the caller's to abort the transfer.
func Run(ctx context.Context, j Job) error {
	for try := 1; ; try++ {
		err := j.run(ctx)
		if err == nil || ctx.Err() != nil || errors.Is(err, ErrRestarted) || try == tries || errors.As(err, new(Refusal)) {
			return err
		}
		j.Progress.failed(err)
		select {
		case <-time.After(time.Duration(try) * time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (j *Job) run(ctx context.Context) error {
	j.Task = j.NextTask() // what an earlier try left with the receiver is not gone on with: it is of another seq
	j.Progress.Stage("proxifying")
	s, err := j.Target.Stand(ctx, j.Ref)
	if err != nil {
		return fmt.Errorf("ask the receiver where it stands: %w", err)
	}
	built := s.Complete && s.ID == j.ID && s.Attempt == j.Attempt
	switch {
	case built || j.Method == topology.WALDelta:
		if s.Differs && built {
			s.Differs = false // what was found to differ is what was there before
		}
		return j.delta(ctx, s)
	case j.Method == topology.SnapshotMethod:
		return j.copyFiles(ctx)
	}
	keep := s.Complete && s.UUID == j.Shard && !s.Differs
	return j.stream(ctx, keep)
}

// delta sends what the receiver missed, from its own state on.
func (j *Job) delta(ctx context.Context, s Standing) error {
	err := decide(s, j.Shard, j.Source.Stands())
	var log *wal.Reader
	if err == nil {
		if log, err = j.Source.OpenLog(s.Applied.Seq + 1); err != nil {
			err = Truncated
		}
	}
	if err != nil {
		return j.fallBack(ctx, err)
	}
	j.Progress.count(min(s.Through, s.Applied.Seq), s.Applied.Seq, j.Source.Stands().Commit)
	return j.follow(ctx, log, s.Applied, "transferring")
}

// fallBack gives up the method, or the transfer.
func (j *Job) fallBack(ctx context.Context, why error) error {
	if j.Method != topology.WALDelta || j.Fallback == topology.WALDelta {
		return why
	}
	j.Progress.failed(why)
	if err := j.Restart(ctx, j.Fallback); err != nil {
		return fmt.Errorf("the delta cannot be (%w), and the restart as %s failed: %w", why, j.Fallback, err)
	}
	return ErrRestarted
}

// stream sends the points, as of one seq; with keep only those that the receiver does not have already: first what changed behind
// the entry up to which it has everything, then what a comparison still finds.
func (j *Job) stream(ctx context.Context, keep bool) error {
	base, err := j.Source.OpenBase(ctx)
	if err != nil {
		return fmt.Errorf("keep a state for being copied: %w", err)
	}
	defer base.Close()
	at := base.At()
	j.Progress.Stage("transferring")
	j.Progress.copying(0, base.Points())
	kept, cloned, err := j.Target.Begin(ctx, j.Ref, base.Head(), keep)
	if err != nil {
		return fmt.Errorf("begin a copy: %w", err)
	}
	steps := &steps{j: j}
	if cloned {
		if err := base.Since(ctx, kept); err != nil {
			return fmt.Errorf("look for what changed behind entry %d: %w", kept, err)
		}
	}
	if err := j.points(ctx, base, steps); err != nil {
		return err
	}
	if cloned {
		if err := j.compare(ctx, base, steps); err != nil {
			return err
		}
		if err := j.points(ctx, base, steps); err != nil {
			return err
		}
	}
	return j.opened(ctx, at)
}

// points sends what a base is to give.
func (j *Job) points(ctx context.Context, base Base, steps *steps) error {
	j.Progress.copying(base.Points()-base.Left(), base.Points())
	size := batchPoints
	if j.Delay > 0 {
		size = delayPoints
	}
	for {
		batch, n, err := base.Next(ctx, size, batchBytes)
		if err != nil {
			return fmt.Errorf("read points: %w", err)
		}
		if n == 0 {
			return nil
		}
		if err := pause(ctx, j.Delay); err != nil {
			return err
		}
		begun := time.Now()
		if _, err := steps.do(ctx, Points, batch); err != nil {
			return fmt.Errorf("send points: %w", err)
		}
		j.Progress.add(uint64(n), 0)
		if err := j.yield(ctx, begun); err != nil {
			return err
		}
	}
}

// steps numbers the steps of one copy.
type steps struct {
	j      *Job
	number uint64
}

func (s *steps) do(ctx context.Context, kind StepKind, body []byte) ([]byte, error) {
	s.number++
	reply, err := s.j.Target.Step(ctx, s.j.Ref, s.number, Step{kind, body})
	s.j.Progress.add(0, len(body)+len(reply))
	return reply, err
}

const (
	comparedSums    = 1 << 20 // bytes of one step
	comparedBuckets = 1 << 16 // of one step
)

// compare finds out what the receiver still lacks, and has it delete what it should not have.
func (j *Job) compare(ctx context.Context, base Base, s *steps) error {
	reply, err := s.do(ctx, Ranges, nil)
	if err != nil {
		return fmt.Errorf("ask for what differs: %w", err)
	}
	if len(reply) == 0 {
		return nil
	}
	if len(reply)%2 != 0 {
		return sextant.Errorf(sextant.Corrupt, "the ranges that differ cannot be read: %d bytes", len(reply))
	}
	var ranges []uint16
	for ; len(reply) > 0; reply = reply[2:] {
		ranges = append(ranges, binary.LittleEndian.Uint16(reply))
	}
	bits := base.Compare(ranges)
	for part := range slices.Chunk(ranges, max(1, comparedSums/8>>bits)) {
		body := []byte{bits}
		for _, r := range part {
			body = binary.LittleEndian.AppendUint16(body, r)
		}
		sums, err := s.do(ctx, Sums, body)
		if err != nil {
			return fmt.Errorf("ask for sums: %w", err)
		}
		buckets, err := base.Buckets(ctx, part, sums)
		if err != nil {
			return fmt.Errorf("compare sums: %w", err)
		}
		for some := range slices.Chunk(buckets, comparedBuckets) {
			body = body[:0]
			for _, b := range some {
				body = binary.LittleEndian.AppendUint32(body, b)
			}
			if _, err := s.do(ctx, Buckets, body); err != nil {
				return fmt.Errorf("name what differs: %w", err)
			}
		}
	}
	for {
		list, err := s.do(ctx, List, nil)
		if err != nil {
			return fmt.Errorf("ask what the receiver has: %w", err)
		}
		if len(list) == 0 {
			list = nil
		}
		deletes, err := base.Differing(ctx, list)
		if err != nil {
			return fmt.Errorf("compare what the receiver has: %w", err)
		}
		if deletes != nil {
			if _, err := s.do(ctx, Delete, deletes); err != nil {
				return fmt.Errorf("delete what is gone: %w", err)
			}
		}
		if list == nil {
			return nil
		}
	}
}

// copyFiles sends the files of a checkpoint.
func (j *Job) copyFiles(ctx context.Context) error {
	keep, err := j.Source.OpenLog(j.Source.Stands().Applied.Seq + 1)
	if err != nil {
		return fmt.Errorf("keep the log: %w", err)
	}
	defer keep.Close()
	j.Progress.Stage("creating snapshot")
	files, err := j.Source.OpenFiles(ctx)
	if err != nil {
		return err
	}
	defer files.Close()
	missing, err := j.Target.BeginFiles(ctx, j.Ref, files.Head())
	if err != nil {
		return fmt.Errorf("begin a copy of files: %w", err)
	}
	j.Progress.Stage("transferring")
	out := &parts{steps: steps{j: j}, ctx: ctx}
	if err = files.Send(ctx, out, missing); err == nil {
		err = out.flush()
	}
	if err != nil {
		return fmt.Errorf("send files: %w", err)
	}
	return j.opened(ctx, files.At())
}

// parts sends what is written to it in pieces.
type parts struct {
	steps
	ctx context.Context
	buf []byte
}

func (p *parts) Write(b []byte) (int, error) {
	p.buf = append(p.buf, b...)
	for len(p.buf) >= partBytes {
		if err := p.send(partBytes); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

func (p *parts) send(n int) error {
	begun := time.Now()
	if _, err := p.do(p.ctx, Parts, p.buf[:n]); err != nil {
		return err
	}
	p.buf = append(p.buf[:0], p.buf[n:]...)
	return p.j.yield(p.ctx, begun)
}

func (p *parts) flush() error {
	if len(p.buf) == 0 {
		return nil
	}
	return p.send(len(p.buf))
}

// opened has the receiver take its new generation, which stands at a place, and goes on with what came since.
func (j *Job) opened(ctx context.Context, at order.Pos) error {
	j.Progress.Stage("recovering")
	log, err := j.Source.OpenLog(at.Seq + 1)
	if err != nil {
		return fmt.Errorf("open the log behind the copy: %w", err)
	}
	if err := j.Target.Complete(ctx, j.Ref); err != nil {
		return errors.Join(fmt.Errorf("open the copy: %w", err), log.Close())
	}
	return j.follow(ctx, log, at, "flushing queue")
}

// follow sends committed entries from a place on, has the receiver admitted when little is missing, and stays until the
// transfer is over.
func (j *Job) follow(ctx context.Context, log *wal.Reader, at order.Pos, stage string) (err error) {
	defer func() { err = errors.Join(err, log.Close()) }()
	j.Progress.Stage(stage)
	for {
		moved := j.Moved()
		listed, admitted := j.Listed()
		if !listed {
			return nil
		}
		if admitted {
			return j.watch(ctx)
		}
		commit := j.Source.Stands().Commit
		begun := time.Now()
		records, err := log.Next(commit, batchBytes)
		if err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		if len(records) > 0 {
			bytes := 0
			for i := range records {
				bytes += len(records[i].Body)
			}
			if err := j.Target.Feed(ctx, j.Ref, at, records); err != nil {
				return fmt.Errorf("send entries: %w", err)
			}
			last := records[len(records)-1]
			at = order.Pos{Seq: last.Seq, Term: last.Term}
			j.Progress.reach(at.Seq, j.Source.Stands().Commit, bytes)
		}
		if at.Seq < commit {
			if err := j.yield(ctx, begun); err != nil {
				return err
			}
			continue
		}
		j.Progress.Stage("waiting consensus")
		wait := admissionPause
		if err := j.Admit(ctx, j.Ref, at.Seq); err != nil {
			wait = refusedPause // by one who is not in office, or has not heard of the attempt: soon somebody will be, and will have
		}
		select {
		case <-moved:
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

const (
	admissionPause = 300 * time.Millisecond // until the primary is asked again, since it may be another one
	refusedPause   = 50 * time.Millisecond
	watchPause     = 200 * time.Millisecond
)

// watch shows how the receiver follows the primary, until the transfer is over.
func (j *Job) watch(ctx context.Context) error {
	j.Progress.Stage("finalizing")
	for {
		moved := j.Moved()
		if listed, _ := j.Listed(); !listed {
			return nil
		}
		if s, err := j.Target.Stand(ctx, j.Ref); err == nil {
			j.Progress.reach(s.Applied.Seq, j.Source.Stands().Commit, 0)
		}
		select {
		case <-moved:
		case <-time.After(watchPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// yield leaves the disk and the wire to clients for as long as a batch took, while there are any: recovery takes half at most.
func (j *Job) yield(ctx context.Context, begun time.Time) error {
	now := j.Source.Stands().Last.Seq
	busy := j.Progress.busy(now)
	if !busy {
		return ctx.Err()
	}
	return pause(ctx, min(time.Since(begun), 100*time.Millisecond))
}
