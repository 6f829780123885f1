package consensus

import (
	"encoding/binary"
	"errors"
	"slices"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/sextantdb/sextant"
)

// send hands messages to the transport.
func (m *Member) send(list []*pb.Message) {
	for _, msg := range list {
		b, err := proto.Marshal(msg)
		if err != nil {
			m.log.Error("a message of consensus has no form", "err", err)
			continue
		}
		m.opts.Transport.Send(msg.GetTo(), append([]byte{messageRaft}, b...))
		if msg.GetType() == pb.MsgSnap {
			m.node.ReportSnapshot(msg.GetTo(), raft.SnapshotFinish) // a lost one is noticed by the next heartbeat
		}
	}
}

// What the first byte of a message says.
const (
	messageRaft   byte = iota
	messageNotice      // "you are not a member", as of the log's index that follows (uvarint)
	messageWant        // asks for an image
	messageEmpty       // "I have forgotten what I acknowledged": the leader's term and the sender's life follow (uvarints)
)

// Step takes a message of another member. It does not wait.
func (m *Member) Step(from uint64, message []byte) {
	if len(message) == 0 {
		return
	}
	kind, body := message[0], message[1:]
	m.box.put(func() {
		switch kind {
		case messageNotice:
			if applied, n := binary.Uvarint(body); n > 0 {
				m.notice(from, applied)
			}
		case messageWant:
			m.give(from)
		case messageEmpty:
			m.renew(from, body)
		case messageRaft:
			msg := &pb.Message{}
			if err := proto.Unmarshal(body, msg); err != nil {
				m.log.Error("a message of consensus cannot be read", "from", from, "err", err)
				return
			}
			m.step(from, msg)
		}
	}, true)
}

func (m *Member) step(from uint64, msg *pb.Message) {
	if m.removed || msg.GetFrom() != from && msg.GetType() != pb.MsgProp {
		return
	}
	if t := msg.GetType(); (t == pb.MsgPreVote || t == pb.MsgVote || t == pb.MsgProp) && !m.member(from) && len(m.store.conf.GetVoters()) > 0 {
		m.opts.Transport.Send(from, binary.AppendUvarint([]byte{messageNotice}, m.applied))
		return
	}
	last, _ := m.store.LastIndex()
	if last > 0 && msg.GetType() == pb.MsgHeartbeat && msg.GetCommit() > last {
		if m.fault = m.lose(last, msg.GetCommit()); m.fault != nil {
			return
		}
		last = 0
	}
	if last == 0 && m.forgot(from, msg) {
		return
	}
	if msg.GetType() == pb.MsgProp && m.role == raft.StateLeader {
		rest := msg.Entries[:0:0]
		for _, e := range msg.Entries {
			if e.GetType() == pb.EntryNormal {
				rest = append(rest, e)
				continue
			}
			m.conf.put(e.GetData())
		}
		m.conf.tick(m)
		if len(rest) == 0 {
			return
		}
		msg.Entries = rest
	}
	if err := m.node.Step(msg); err != nil && !errors.Is(err, raft.ErrProposalDropped) {
		m.log.Debug("consensus message", "from", from, "err", err)
	}
}

// lose drops a log that is shorter than what this member has acknowledged: its directory is one of a while ago. What a leader
// says to be committed is never more than it has heard from the member itself, so a shorter log has lost something.
func (m *Member) lose(last, commit uint64) error {
	m.log.Error("the log of consensus is older than what this peer has acknowledged: was an old copy of its storage put back? It is dropped, and taken from the others",
		"last", last, "acknowledged", commit)
	if err := m.create(image{ID: m.opts.ID}); err != nil {
		return err
	}
	return m.boot()
}

// forgot looks at a message to a member that knows nothing. If it had been one before (reinit), the leader counts on entries
// that are gone, and must be told. Its voice in an election could bring back a state from before what it had acknowledged, unless
// it is for that leader, who has all that.
func (m *Member) forgot(from uint64, msg *pb.Message) bool {
	switch msg.GetType() {
	case pb.MsgVote, pb.MsgPreVote:
		return from != m.trusted
	case pb.MsgHeartbeat:
		if msg.GetCommit() > 0 {
			m.trusted = from
			b := binary.AppendUvarint([]byte{messageEmpty}, msg.GetTerm())
			m.opts.Transport.Send(from, binary.AppendUvarint(b, m.opts.Life))
			return true
		}
	default:
	}
	return false
}

// renew makes a member that has forgotten everything a new one: it goes and comes, once in a reign and life. Where nothing can be
// agreed without it, this member is elected anew instead, and then counts on nothing.
func (m *Member) renew(id uint64, body []byte) {
	term, n := binary.Uvarint(body)
	life, k := binary.Uvarint(body[max(0, n):])
	if n <= 0 || k <= 0 || m.role != raft.StateLeader || term != m.node.BasicStatus().GetTerm() || !m.member(id) || m.renewed[id] >= life {
		return
	}
	m.renewed[id] = life
	if v := m.store.conf.GetVoters(); len(v) == 2 && slices.Contains(v, id) {
		if m.fault = m.boot(); m.fault == nil {
			m.fault = m.node.Campaign()
		}
		return
	}
	m.conf.put(changeOf(pb.ConfChangeRemoveNode, id, nil))
	m.conf.put(changeOf(pb.ConfChangeAddLearnerNode, id, nil))
	m.conf.tick(m)
}

// Unreachable tells that messages to a member are lost now.
func (m *Member) Unreachable(id uint64) {
	m.box.put(func() { m.node.ReportUnreachable(id) }, true)
}

// member reports whether a peer is one, as applied here.
func (m *Member) member(id uint64) bool {
	return slices.Contains(m.store.conf.GetVoters(), id) || slices.Contains(m.store.conf.GetLearners(), id)
}

// notice counts the voters that say that this member is none any more. One that has applied less than this member knows less:
// it may not have heard yet that this member came.
func (m *Member) notice(from, applied uint64) {
	voters := m.store.conf.GetVoters()
	if applied <= m.applied || !slices.Contains(voters, from) || len(voters) < 2 {
		return
	}
	m.notices[from] = true
	if others := len(m.notices); 2*others > len(voters)-1 && !m.removed {
		m.leave()
	}
}

// leave ends the taking part of a member that was removed.
func (m *Member) leave() {
	m.removed = true
	m.log.Warn("this peer was removed from the cluster")
	m.failAll(sextant.Errorf(sextant.Internal, "this peer was removed from the cluster"))
	m.changed()
}

// RecoverImage asks the leader for its image, for the case that something is wrong here.
func (m *Member) RecoverImage() {
	m.box.put(func() {
		if m.leader != 0 && m.leader != m.opts.ID {
			m.opts.Transport.Send(m.leader, []byte{messageWant})
		}
	}, false)
}

func (m *Member) give(to uint64) {
	if m.role != raft.StateLeader || !m.member(to) {
		return
	}
	kind := pb.MsgSnap
	m.send([]*pb.Message{{Type: &kind, To: &to, From: &m.opts.ID, Term: new(m.node.BasicStatus().GetTerm()), Snapshot: m.snapshot()}})
}
