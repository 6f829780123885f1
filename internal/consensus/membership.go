package consensus

import (
	"bytes"
	"slices"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// confQueue is the leader's line of membership changes. One is under way at a time: raft replaces a second one silently by an
// empty entry.
type confQueue struct {
	line  [][]byte
	busy  bool
	since int    // ticks
	from  uint64 // the reign's first entry: changes before it may not be applied yet
}

// patience is how many ticks a change may take before it is submitted again.
const patience = 10

func (q *confQueue) put(data []byte) {
	if !slices.ContainsFunc(q.line, func(b []byte) bool { return bytes.Equal(b, data) }) {
		q.line = append(q.line, data)
	}
}

// turn begins anew under another leader; what was in line is proposed again by those who want it.
func (q *confQueue) turn(m *Member) {
	last, _ := m.store.LastIndex()
	*q = confQueue{from: last}
}

// applied tells that a change has passed.
func (q *confQueue) applied() { q.busy = false }

// tick proposes the next change, if it is time.
func (q *confQueue) tick(m *Member) {
	if m.role != raft.StateLeader {
		q.line, q.busy = nil, false
		return
	}
	if q.busy && m.ticks-q.since < patience || m.applied < q.from {
		return
	}
	q.busy = false
	for len(q.line) > 0 && !q.busy {
		data := q.line[0]
		q.line = q.line[1:]
		q.propose(m, data)
	}
}

// propose brings one change into the log. Whoever is a member already is not added again: that would take the vote of a voter;
// only the command is of interest then.
func (q *confQueue) propose(m *Member, data []byte) {
	change := &pb.ConfChangeV2{}
	if err := proto.Unmarshal(data, change); err != nil || len(change.Changes) != 1 {
		return
	}
	if id, _, ok := openEnvelope(change.GetContext()); ok && m.window.has(id) {
		return
	}
	single := change.Changes[0]
	known := m.member(single.GetNodeId())
	if single.GetType() == pb.ConfChangeAddLearnerNode && known || single.GetType() == pb.ConfChangeRemoveNode && !known {
		if err := m.node.Propose(change.GetContext()); err != nil {
			m.log.Debug("a proposal was not taken", "err", err)
		}
		return
	}
	if err := m.node.ProposeConfChange(change); err != nil {
		m.log.Debug("a membership change was not taken", "err", err)
		return
	}
	q.busy, q.since = true, m.ticks
}

// members makes a learner that has everything a voter.
func (m *Member) members() {
	q := &m.conf
	if m.role != raft.StateLeader || q.busy || len(q.line) > 0 || m.applied < q.from || len(m.store.conf.GetLearners()) == 0 {
		return
	}
	last, _ := m.store.LastIndex()
	if m.applied < last {
		return
	}
	status := m.node.Status()
	for _, id := range slices.Sorted(slices.Values(m.store.conf.GetLearners())) {
		if p, ok := status.Progress[id]; ok && p.Match >= last && p.RecentActive {
			kind := pb.ConfChangeAddNode
			if err := m.node.ProposeConfChange(&pb.ConfChangeV2{Changes: []*pb.ConfChangeSingle{{Type: &kind, NodeId: &id}}}); err == nil {
				q.busy, q.since = true, m.ticks
			}
			return
		}
	}
}
