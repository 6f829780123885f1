package consensus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant"
)

// waiting is an own proposal without an answer.
type waiting struct {
	id      proposalID
	command string
	data    []byte // an envelope; of a membership change, a pb.ConfChangeV2 around it
	change  bool
	askers  []chan outcome
}

type outcome struct {
	index uint64
	err   error
}

// Propose brings a command into the log and returns when it was applied here, with its index and what applying it here
// returned. It is applied once, however often it had to be sent. A command that equals one on its way shares its outcome.
func (m *Member) Propose(ctx context.Context, command []byte) (index uint64, err error) {
	return m.ask(ctx, command, func(data []byte) ([]byte, bool) { return data, false })
}

// AddPeer makes a peer a member, first one that listens, and applies a command, both or none.
func (m *Member) AddPeer(ctx context.Context, id uint64, command []byte) error {
	_, err := m.ask(ctx, command, func(data []byte) ([]byte, bool) { return changeOf(pb.ConfChangeAddLearnerNode, id, data), true })
	return err
}

// RemovePeer removes a member and applies a command, both or none.
func (m *Member) RemovePeer(ctx context.Context, id uint64, command []byte) error {
	_, err := m.ask(ctx, command, func(data []byte) ([]byte, bool) { return changeOf(pb.ConfChangeRemoveNode, id, data), true })
	return err
}

func changeOf(kind pb.ConfChangeType, id uint64, data []byte) []byte {
	b, err := proto.Marshal(&pb.ConfChangeV2{Changes: []*pb.ConfChangeSingle{{Type: &kind, NodeId: &id}}, Context: data})
	if err != nil {
		panic("consensus: a membership change has no form: " + err.Error()) // plain values only
	}
	return b
}

func (m *Member) ask(ctx context.Context, command []byte, wrap func([]byte) ([]byte, bool)) (uint64, error) {
	start := time.Now()
	answer := make(chan outcome, 1)
	m.box.put(func() { m.begin(string(command), wrap, answer) }, false)
	select {
	case o := <-answer:
		return o.index, o.err
	case <-m.life.Done():
		return 0, sextant.Errorf(sextant.Unavailable, "the node is stopping")
	case <-ctx.Done():
	}
	m.box.put(func() { m.forget(answer) }, false)
	took := time.Since(start).Round(100 * time.Millisecond)
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return 0, ctx.Err()
	}
	if m.Status().Leader == 0 {
		return 0, sextant.Errorf(sextant.Internal, "Failed to propose operation: leader is not established within %s", seconds(took))
	}
	return 0, sextant.Errorf(sextant.Internal, "Waiting for consensus operation commit failed. Timeout set at: %g seconds", took.Seconds())
}

func seconds(d time.Duration) string { return fmt.Sprintf("%gs", d.Seconds()) }

// begin sends a proposal on its way, or joins one that is.
func (m *Member) begin(command string, wrap func([]byte) ([]byte, bool), answer chan outcome) {
	if m.removed {
		answer <- outcome{err: sextant.Errorf(sextant.Internal, "this peer was removed from the cluster")}
		return
	}
	if w := m.equal[command]; w != nil {
		w.askers = append(w.askers, answer)
		return
	}
	m.number++
	w := &waiting{id: proposalID{m.opts.ID, m.opts.Life, m.number}, command: command, askers: []chan outcome{answer}}
	w.data, w.change = wrap(envelope(w.id, []byte(command)))
	m.open[m.number], m.equal[command] = w, w
	m.submit(w)
}

// forget ends the waiting of one that has lost patience. The proposal may still pass.
func (m *Member) forget(answer chan outcome) {
	for number, w := range m.open {
		if i := slices.Index(w.askers, answer); i >= 0 {
			if w.askers = slices.Delete(w.askers, i, i+1); len(w.askers) == 0 {
				m.answer(number, nil)
			}
			return
		}
	}
}

// submit hands a proposal to raft, which hands it to the leader.
func (m *Member) submit(w *waiting) {
	if m.leader == 0 {
		return // later
	}
	if w.change && m.role == raft.StateLeader {
		m.conf.put(w.data)
		m.conf.tick(m)
		return
	}
	kind := pb.EntryNormal
	if w.change {
		kind = pb.EntryConfChangeV2
	}
	msg := pb.MsgProp
	err := m.node.Step(&pb.Message{Type: &msg, From: &m.opts.ID, Entries: []*pb.Entry{{Type: &kind, Data: w.data}}})
	if err != nil && !errors.Is(err, raft.ErrProposalDropped) {
		m.log.Debug("a proposal was not taken", "err", err)
	}
}

// oldest bounds how many proposals are submitted again at a time.
const oldest = 64

// again submits what has no answer: a new leader has not heard of it, and an old one may have lost it.
func (m *Member) again(all bool) {
	numbers := slices.Sorted(maps.Keys(m.open))
	if !all {
		numbers = numbers[:min(len(numbers), oldest)]
	}
	for _, number := range numbers {
		m.submit(m.open[number])
	}
}

// answer ends a proposal.
func (m *Member) answer(number uint64, err error) {
	w := m.open[number]
	if w == nil {
		return
	}
	delete(m.open, number)
	delete(m.equal, w.command)
	for _, a := range w.askers {
		a <- outcome{m.applied, err}
	}
}

func (m *Member) failAll(err error) {
	for _, number := range slices.Sorted(maps.Keys(m.open)) {
		m.answer(number, err)
	}
	for _, r := range m.reads {
		r.tell(outcome{err: err})
	}
	m.reads = nil
}

// unwrap returns the command of an entry, and which proposal it is.
func unwrap(e *pb.Entry) (id proposalID, command []byte, ok bool) {
	data := e.GetData()
	if e.GetType() != pb.EntryNormal {
		change, err := readChange(e)
		if err != nil {
			return id, nil, false
		}
		data = change.GetContext()
	}
	if len(data) == 0 {
		return id, nil, false // raft's own
	}
	return openEnvelope(data)
}

// apply does one committed entry.
func (m *Member) apply(e *pb.Entry) error {
	id, command, ok := unwrap(e)
	index := e.GetIndex()
	var err error
	fresh := ok && m.window.add(id)
	if fresh && len(command) > 0 {
		err = m.opts.Machine.Apply(index, command)
		if kind := sextant.KindOf(err); err != nil && kind == sextant.Corrupt {
			return fmt.Errorf("consensus: entry %d cannot be applied: %w", index, err)
		}
	}
	if e.GetType() != pb.EntryNormal {
		change, changeErr := readChange(e)
		if changeErr != nil {
			return changeErr
		}
		if err != nil || ok && !fresh {
			// Refused, or done already: nobody comes or goes. That is a change of node 0; one that is empty would leave a joint
			// configuration, and raft panics when there is none.
			change = &pb.ConfChangeV2{Changes: []*pb.ConfChangeSingle{{Type: new(pb.ConfChangeAddLearnerNode), NodeId: new(uint64(0))}}}
		}
		m.store.conf = m.node.ApplyConfChange(change)
		m.conf.applied()
		m.notices = map[uint64]bool{}
	}
	m.applied, m.appliedAt = index, e.GetTerm()
	if fresh && id.Peer == m.opts.ID && id.Life == m.opts.Life {
		m.answer(id.Number, err)
	}
	if e.GetType() != pb.EntryNormal && !m.member(m.opts.ID) && len(m.store.conf.GetVoters()) > 0 {
		m.leave()
	}
	return nil
}

func readChange(e *pb.Entry) (*pb.ConfChangeV2, error) {
	change := &pb.ConfChangeV2{}
	if e.GetType() == pb.EntryConfChange {
		var old pb.ConfChange
		if err := proto.Unmarshal(e.GetData(), &old); err != nil {
			return nil, sextant.Errorf(sextant.Corrupt, "consensus: entry %d cannot be read: %w", e.GetIndex(), err)
		}
		return old.AsV2(), nil
	}
	if err := proto.Unmarshal(e.GetData(), change); err != nil {
		return nil, sextant.Errorf(sextant.Corrupt, "consensus: entry %d cannot be read: %w", e.GetIndex(), err)
	}
	return change, nil
}

// reading is a question for the leader's commit.
type reading struct {
	id     uint64
	answer chan outcome
}

// tell answers; one that asked several times is told once.
func (r *reading) tell(o outcome) {
	select {
	case r.answer <- o:
	default:
	}
}

// ReadIndex returns an index that holds everything committed before the call, as the leader confirms. It may be applied here
// later.
func (m *Member) ReadIndex(ctx context.Context) (uint64, error) {
	answer := make(chan outcome, 1)
	put := func() {
		m.readID++
		m.reads = append(m.reads, &reading{m.readID, answer})
		m.node.ReadIndex(binary.BigEndian.AppendUint64(nil, m.readID))
	}
	m.box.put(put, false)
	again := time.NewTicker(5 * m.opts.Tick)
	defer again.Stop()
	for {
		select {
		case o := <-answer:
			return o.index, o.err
		case <-again.C:
			m.box.put(put, false) // a question without a leader is lost
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-m.life.Done():
			return 0, sextant.Errorf(sextant.Unavailable, "the node is stopping")
		}
	}
}

func (m *Member) readable(r raft.ReadState) {
	if len(r.RequestCtx) != 8 {
		return
	}
	id := binary.BigEndian.Uint64(r.RequestCtx)
	m.reads = slices.DeleteFunc(m.reads, func(q *reading) bool {
		if q.id > id {
			return false
		}
		q.tell(outcome{index: r.Index}) // what answers a later question answers this one
		return true
	})
}

// quiet gives raft's own words to the log, below what people read.
type quiet struct{ log *slog.Logger }

func (q quiet) Debug(v ...any)            {}
func (q quiet) Debugf(f string, v ...any) {}
func (q quiet) Info(v ...any)             { q.log.Debug(fmt.Sprint(v...)) }
func (q quiet) Infof(f string, v ...any)  { q.log.Debug(fmt.Sprintf(f, v...)) }
func (q quiet) Warning(v ...any)          { q.log.Debug(fmt.Sprint(v...)) }
func (q quiet) Warningf(f string, v ...any) {
	q.log.Debug(fmt.Sprintf(f, v...))
}
func (q quiet) Error(v ...any)            { q.log.Error(fmt.Sprint(v...)) }
func (q quiet) Errorf(f string, v ...any) { q.log.Error(fmt.Sprintf(f, v...)) }
func (q quiet) Fatal(v ...any)            { panic(fmt.Sprint(v...)) }
func (q quiet) Fatalf(f string, v ...any) { panic(fmt.Sprintf(f, v...)) }
func (q quiet) Panic(v ...any)            { panic(fmt.Sprint(v...)) }
func (q quiet) Panicf(f string, v ...any) { panic(fmt.Sprintf(f, v...)) }
