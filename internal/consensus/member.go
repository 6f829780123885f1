package consensus

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/vfs"
)

// Transport carries messages to other members. Send never blocks and may lose.
type Transport interface {
	Send(to uint64, message []byte)
}

// Options are what a Member is made of.
type Options struct {
	FS        vfs.FS
	Dir       string
	ID        uint64 // 1 … 2^53-1
	Life      uint64 // of this process; rises from start to start
	Machine   Machine
	Transport Transport
	Log       *slog.Logger // nil: silent
	Changed   func()       // called after commands were applied; must not wait

	Tick           time.Duration // 0: 100 ms
	HeartbeatTicks int           // 0: 2
	ElectionTicks  int           // 0: 10, so that a dead leader is replaced within 2 s
	CompactEntries uint64        // how many entries may be applied before an image replaces them; 0: never
}

// Member is one voice of many in the consensus.
type Member struct {
	opts Options
	log  *slog.Logger
	life context.Context
	end  context.CancelFunc
	run  sync.WaitGroup
	box  mailbox
	now  atomic.Pointer[Status]

	// All below belongs to the loop.
	store     *storage
	node      *raft.RawNode
	applied   uint64
	appliedAt uint64 // its term
	window    window
	open      map[uint64]*waiting // own proposals without an answer, by number
	equal     map[string]*waiting // the same, by command
	number    uint64
	reads     []*reading
	readID    uint64
	conf      confQueue
	leader    uint64
	role      raft.StateType
	notices   map[uint64]bool // members that say that this one is none
	removed   bool
	trusted   uint64            // the leader that has what this member has forgotten
	fault     error             // of the last message; it ends the loop
	renewed   map[uint64]uint64 // in this reign: the lives of members that had forgotten everything
	ticks     int
	restarts  int

	mu    sync.Mutex
	moved chan struct{} // closed when something was applied; nil: nobody waits
}

// Status is what a member knows of the consensus.
type Status struct {
	Term, Commit, Applied, Last uint64
	Leader                      uint64 // 0: unknown
	Role                        string // Follower, Candidate, Leader, PreCandidate
	Voter                       bool
	Voters, Learners            []uint64
	Pending                     uint64 // committed and not applied
	Removed                     bool
	Err                         error // why the loop stands still
	Restarts                    int
	RetryIn                     time.Duration
	Updated                     time.Time
}

// Open reads what a directory holds. Before Start, a fresh member is told how to begin.
func Open(o Options) (*Member, error) {
	o.Tick, o.HeartbeatTicks, o.ElectionTicks = cmp.Or(o.Tick, 100*time.Millisecond), cmp.Or(o.HeartbeatTicks, 2), cmp.Or(o.ElectionTicks, 10)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Changed == nil {
		o.Changed = func() {}
	}
	m := &Member{opts: o, log: o.Log, open: map[uint64]*waiting{}, equal: map[string]*waiting{}, notices: map[uint64]bool{}}
	m.box.init()
	m.life, m.end = context.WithCancel(context.Background())
	var err error
	if m.store, err = openStorage(o.FS, o.Dir); err != nil {
		return nil, err
	}
	if m.store != nil {
		if m.store.base.ID != o.ID {
			return nil, errors.Join(sextant.Errorf(sextant.Internal, "the consensus state in %s is that of peer %d, this is peer %d", o.Dir, m.store.base.ID, o.ID), m.store.close())
		}
		if err := m.load(); err != nil {
			return nil, errors.Join(err, m.store.close())
		}
	}
	m.publish()
	return m, nil
}

// Fresh reports whether no consensus was ever part of here.
func (m *Member) Fresh() bool { return m.store == nil }

// load makes the machine what the image says. The log is applied as far as it is known to be committed, so that a start knows
// what exists before it hears of others.
func (m *Member) load() error {
	b := &m.store.base
	m.window = b.Window
	if m.window == nil {
		m.window = window{}
	}
	m.applied, m.appliedAt = b.Index, b.Term
	m.removed = len(b.Voters) > 0 && !m.member(m.opts.ID)
	if len(b.Machine) > 0 {
		return m.opts.Machine.Restore(b.Machine)
	}
	return nil
}

// Bootstrap begins a new consensus with this member as its only voter, and a first command.
func (m *Member) Bootstrap(command []byte) error {
	if err := m.opts.Machine.Apply(1, command); err != nil {
		return err
	}
	return m.create(image{ID: m.opts.ID, Index: 1, Term: 1, Voters: []uint64{m.opts.ID}, Machine: m.opts.Machine.Image()})
}

// Join makes this member one that knows nothing and waits for the leader of others.
func (m *Member) Join() error {
	return m.create(image{ID: m.opts.ID})
}

func (m *Member) create(b image) (err error) {
	if m.store != nil {
		err = m.store.replace(b)
	} else {
		m.store, err = createStorage(m.opts.FS, m.opts.Dir, b)
	}
	if err != nil {
		return err
	}
	if err := m.load(); err != nil {
		return err
	}
	m.publish()
	return nil
}

// Reinit makes this member the only voter of what it knows, and applies a command that tells the machine. What is committed and
// was not applied is forgotten. It is called before Start.
func (m *Member) Reinit(command []byte) error {
	if err := m.catchUp(); err != nil {
		return err
	}
	index, term := m.applied+1, max(m.store.vote.Term, m.store.lastTerm())+1
	if err := m.opts.Machine.Apply(index, command); err != nil {
		return err
	}
	return m.create(image{ID: m.opts.ID, Index: index, Term: term, Voters: []uint64{m.opts.ID}, Window: m.window, Machine: m.opts.Machine.Image()})
}

// catchUp applies what the log knows to be committed, without raft; membership is not followed.
func (m *Member) catchUp() error {
	commit := uint64(m.store.log.Commit())
	for _, e := range m.store.entries {
		if i := e.GetIndex(); i > m.applied && i <= commit {
			if id, command, ok := unwrap(e); ok && m.window.add(id) && len(command) > 0 {
				_ = m.opts.Machine.Apply(i, command) // a user's error was one before
			}
			m.applied, m.appliedAt = i, e.GetTerm()
		}
	}
	return nil
}

// Written calls f with each command that the log holds behind the image, agreed on or not, before Start: what a member that does
// not hear the others yet may guess from. Only the others know what is committed of it.
func (m *Member) Written(f func(index uint64, command []byte)) {
	if m.store == nil {
		return
	}
	for _, e := range m.store.entries {
		if _, command, ok := unwrap(e); ok && e.GetIndex() > m.applied && len(command) > 0 {
			f(e.GetIndex(), command)
		}
	}
}

// Start begins to take part.
func (m *Member) Start() error {
	if m.store == nil {
		return sextant.Errorf(sextant.Internal, "consensus: neither begun nor joined")
	}
	if err := m.boot(); err != nil {
		return err
	}
	m.run.Go(m.work)
	return nil
}

// boot makes raft out of the storage.
func (m *Member) boot() error {
	m.store.now = m.snapshot
	node, err := raft.NewRawNode(&raft.Config{
		ID: m.opts.ID, ElectionTick: m.opts.ElectionTicks, HeartbeatTick: m.opts.HeartbeatTicks, Storage: m.store, Applied: m.applied,
		MaxSizePerMsg: 1 << 20, MaxCommittedSizePerReady: 4 << 20, MaxInflightMsgs: 256, MaxUncommittedEntriesSize: 1 << 30,
		CheckQuorum: true, PreVote: true, Logger: quiet{m.log},
	})
	if err != nil {
		return fmt.Errorf("consensus: %w", err)
	}
	m.node = node
	m.leader, m.role, m.conf = raft.None, raft.StateFollower, confQueue{}
	if v := m.store.conf.GetVoters(); len(v) == 1 && v[0] == m.opts.ID {
		return node.Campaign() // there is nobody to wait for
	}
	return nil
}

// Close ends the taking part; proposals without an answer fail.
func (m *Member) Close() error {
	m.end()
	m.run.Wait()
	if m.store == nil {
		return nil
	}
	return errors.Join(m.store.log.Note(), m.store.close())
}

const (
	firstPause = time.Second
	longPause  = 300 * time.Second
)

// work runs the loop; after a failure of the disk it begins anew, with ever longer pauses.
func (m *Member) work() {
	pause := firstPause
	for {
		began := time.Now()
		err := guarded(m.loop)
		if m.life.Err() != nil {
			m.failAll(sextant.Errorf(sextant.Unavailable, "the node is stopping"))
			return
		}
		if time.Since(began) > longPause {
			pause, m.restarts = firstPause, 0
		}
		for {
			m.restarts++
			s := *m.now.Load()
			s.Err, s.Restarts, s.RetryIn = err, m.restarts, pause
			m.now.Store(&s)
			m.log.Error("consensus stands still", "err", err, "retry", pause)
			select {
			case <-time.After(pause):
			case <-m.life.Done():
				m.failAll(sextant.Errorf(sextant.Unavailable, "the node is stopping"))
				return
			}
			pause = min(2*pause, longPause)
			if err = guarded(m.reopen); err == nil {
				break
			}
		}
	}
}

// guarded makes an error of raft's panics, which say that the log cannot be what it was: data goes on being served.
func guarded(do func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = sextant.Errorf(sextant.Internal, "consensus: %v", r)
		}
	}()
	return do()
}

func (m *Member) reopen() error {
	closing := m.store.close()
	store, err := openStorage(m.opts.FS, m.opts.Dir)
	if err == nil && store == nil {
		err = sextant.Errorf(sextant.Corrupt, "consensus: %s is gone from %s", imageFile, m.opts.Dir)
	}
	if err != nil {
		return errors.Join(err, closing)
	}
	m.store = store
	if h, ok := m.opts.Machine.(holder); ok {
		h.Hold()
	}
	if err := m.load(); err != nil {
		return err
	}
	return m.boot()
}

// holder is a Machine that shows nothing older than what it shows now while everything is applied to it anew.
type holder interface{ Hold() }

// ticksAtOnce bounds the time that passes at once for a process that did not run.
const ticksAtOnce = 2

// phase sets this member's ticks apart from those of others that start at the same moment: what happens at one instant has no
// order, and a simulated run could not be repeated.
func (m *Member) phase() time.Duration {
	h := m.opts.ID*0x9e3779b97f4a7c15 + m.opts.Life*0xbf58476d1ce4e5b9
	return time.Duration((h >> 11) % uint64(m.opts.Tick))
}

// loop steps raft by whatever comes, and does at once what it wants done. It returns when the disk fails, or at the end.
func (m *Member) loop() error {
	timer := time.AfterFunc(m.opts.Tick+m.phase(), m.box.tick)
	defer func() { timer.Stop() }()
	for {
		if err := m.ready(); err != nil {
			return err
		}
		items, ticks, closed := m.box.take(m.life)
		if closed {
			return nil
		}
		for _, do := range items {
			if do(); m.fault != nil {
				err := m.fault
				m.fault = nil
				return err
			}
		}
		for range min(ticks, ticksAtOnce) {
			m.tick()
		}
		if ticks > 0 {
			timer.Reset(m.opts.Tick)
		}
	}
}

// ready saves, sends and applies until raft wants nothing more.
func (m *Member) ready() error {
	moved := false
	for m.members(); m.node.HasReady(); m.members() {
		rd := m.node.Ready()
		if rd.SoftState != nil {
			m.turn(rd.SoftState)
		}
		if rd.Snapshot != nil && !raft.IsEmptySnap(rd.Snapshot) {
			if err := m.install(rd.Snapshot); err != nil {
				return err
			}
			moved = true
		}
		if err := m.store.save(m.life, rd.HardState, rd.Entries); err != nil {
			return err
		}
		m.send(rd.Messages)
		for _, e := range rd.CommittedEntries {
			if err := m.apply(e); err != nil {
				return err
			}
			moved = true
		}
		for _, r := range rd.ReadStates {
			m.readable(r)
		}
		m.node.Advance(rd)
	}
	if moved {
		if err := m.compact(); err != nil {
			return err
		}
		if err := m.store.log.Note(); err != nil {
			return err
		}
		m.changed()
	}
	m.publish()
	return nil
}

// changed tells those who wait that something was applied.
func (m *Member) changed() {
	m.publish()
	m.mu.Lock()
	if m.moved != nil {
		close(m.moved)
		m.moved = nil
	}
	m.mu.Unlock()
	m.opts.Changed()
}

// turn takes note of a new leader or role.
func (m *Member) turn(s *raft.SoftState) {
	before := m.leader
	m.leader, m.role = s.Lead, s.RaftState
	if m.leader != before {
		m.log.Info("consensus leader", "leader", m.leader, "role", m.role.String())
		m.conf.turn(m)
		m.renewed = map[uint64]uint64{}
		m.again(true)
	}
}

func (m *Member) tick() {
	m.ticks++
	if !m.removed || m.role == raft.StateLeader { // a leader that has left tells the others for a while
		m.node.Tick()
	}
	if m.ticks%10 == 0 {
		m.again(false)
	}
	m.conf.tick(m)
}

// snapshot is the state as applied, in raft's form.
func (m *Member) snapshot() *pb.Snapshot {
	b := m.image()
	data, err := json.Marshal(b)
	if err != nil {
		panic("consensus: the image has no form: " + err.Error()) // plain values only
	}
	return &pb.Snapshot{Data: data, Metadata: &pb.SnapshotMetadata{Index: &b.Index, Term: &b.Term,
		ConfState: proto.Clone(m.store.conf).(*pb.ConfState)}}
}

func (m *Member) image() image {
	return image{ID: m.opts.ID, Index: m.applied, Term: m.appliedAt, Voters: m.store.conf.GetVoters(), Learners: m.store.conf.GetLearners(),
		Window: m.window, Machine: m.opts.Machine.Image()}
}

// install makes a leader's image the state here: on disk before anything is told.
func (m *Member) install(s *pb.Snapshot) error {
	var b image
	if err := json.Unmarshal(s.GetData(), &b); err != nil {
		return sextant.Errorf(sextant.Corrupt, "consensus: the leader's image cannot be read: %w", err)
	}
	b.ID = m.opts.ID
	b.Index, b.Term = s.GetMetadata().GetIndex(), s.GetMetadata().GetTerm()
	b.Voters, b.Learners = s.GetMetadata().GetConfState().GetVoters(), s.GetMetadata().GetConfState().GetLearners()
	if err := m.store.replace(b); err != nil {
		return err
	}
	if err := m.load(); err != nil {
		return err
	}
	m.log.Info("an image was installed", "index", b.Index)
	for number, w := range m.open {
		if m.window.has(w.id) {
			m.answer(number, nil)
		}
	}
	return nil
}

// compact replaces the front of the log by an image.
func (m *Member) compact() error {
	if n := m.opts.CompactEntries; n == 0 || m.applied < m.store.base.Index+n {
		return nil
	}
	return m.store.compact(m.image(), m.opts.CompactEntries)
}

func (m *Member) publish() {
	s := &Status{Updated: time.Now(), Applied: m.applied, Removed: m.removed, Restarts: m.restarts}
	if m.store != nil {
		s.Voters, s.Learners = slices.Clone(m.store.conf.GetVoters()), slices.Clone(m.store.conf.GetLearners())
		s.Last, _ = m.store.LastIndex()
		s.Voter = slices.Contains(s.Voters, m.opts.ID)
	}
	if m.node != nil {
		b := m.node.BasicStatus()
		s.Term, s.Commit, s.Leader = b.GetTerm(), b.GetCommit(), b.Lead
		s.Role = map[raft.StateType]string{raft.StateFollower: "Follower", raft.StateCandidate: "Candidate",
			raft.StateLeader: "Leader", raft.StatePreCandidate: "PreCandidate"}[b.RaftState]
		s.Pending = s.Commit - min(s.Commit, s.Applied)
	}
	m.now.Store(s)
}

// Status returns what is known of the consensus.
func (m *Member) Status() Status { return *m.now.Load() }

// Await returns when the log is applied up to an index.
func (m *Member) Await(ctx context.Context, index uint64) error {
	for {
		m.mu.Lock()
		if m.moved == nil {
			m.moved = make(chan struct{})
		}
		moved := m.moved
		m.mu.Unlock()
		if m.Status().Applied >= index {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		case <-m.life.Done():
			return sextant.Errorf(sextant.Unavailable, "the node is stopping")
		}
	}
}
