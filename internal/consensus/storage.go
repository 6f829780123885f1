package consensus

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/vfs"
	"github.com/sextantdb/sextant/internal/wal"
)

// A member's directory:
//
//	IMAGE     the agreed state at an index, atomically replaced (see image)
//	VOTE      raft's term and vote
//	log<n>/   the log behind it; IMAGE says which one counts
const (
	imageFile = "IMAGE"
	voteFile  = "VOTE"
	logPrefix = "log"
)

// storage is a member's disk, as raft wants to see it. Its newest entries are in memory: the log is short, since the image
// replaces its front.
type storage struct {
	fs   vfs.FS
	dir  string
	log  *wal.Log
	base image // as on disk
	vote vote

	first   uint64 // index of entries[0]; the term of the one before is known
	before  uint64 // that term
	entries []*pb.Entry
	conf    *pb.ConfState // as applied
	now     func() *pb.Snapshot
}

// openStorage opens what a directory holds; nil if nothing was ever stored.
func openStorage(fsys vfs.FS, dir string) (*storage, error) {
	s := &storage{fs: fsys, dir: dir}
	found, err := readJSON(fsys, path.Join(dir, imageFile), &s.base)
	if err != nil || !found {
		return nil, err
	}
	if _, err := readJSON(fsys, path.Join(dir, voteFile), &s.vote); err != nil {
		return nil, err
	}
	if err := s.sweep(); err != nil {
		return nil, err
	}
	at := order.Pos{Seq: order.Seq(s.base.Index), Term: order.Term(s.base.Term)}
	s.log, err = wal.Open(fsys, s.logDir(s.base.Log), at, s.base.History, wal.Options{FileBytes: 4 << 20})
	if err != nil {
		return nil, fmt.Errorf("consensus: %w", err)
	}
	s.first, s.before = s.base.Index+1, s.base.Term
	s.conf = &pb.ConfState{Voters: s.base.Voters, Learners: s.base.Learners}
	if err := s.read(); err != nil {
		return nil, errors.Join(err, s.log.Close())
	}
	return s, nil
}

// read brings the entries behind the image into memory.
func (s *storage) read() error {
	last := s.log.Last().Seq
	if uint64(last) < s.first {
		return nil
	}
	r, err := s.log.Reader(order.Seq(s.first))
	if err != nil {
		return fmt.Errorf("consensus: %w", err)
	}
	defer r.Close()
	for r.At() <= last {
		records, err := r.Next(last, 1<<20)
		if err != nil || len(records) == 0 {
			return fmt.Errorf("consensus: the log ends at entry %d: %w", r.At(), errors.Join(err, errors.New("records are missing")))
		}
		for i := range records {
			e, err := entryOf(&records[i])
			if err != nil {
				return err
			}
			s.entries = append(s.entries, e)
		}
	}
	return nil
}

func (s *storage) logDir(n uint64) string {
	return path.Join(s.dir, logPrefix+strconv.FormatUint(n, 10))
}

// sweep removes logs that do not count.
func (s *storage) sweep() error {
	infos, err := s.fs.List(s.dir)
	if err != nil {
		return err
	}
	if err := s.fs.SyncDir(s.dir); err != nil { // IMAGE comes first
		return err
	}
	for _, info := range infos {
		if n, err := strconv.ParseUint(strings.TrimPrefix(info.Name, logPrefix), 10, 64); err == nil && info.Dir && n != s.base.Log {
			if err := s.fs.RemoveAll(path.Join(s.dir, info.Name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// createStorage makes an image, with an empty log behind it, what a directory holds.
func createStorage(fsys vfs.FS, dir string, m image) (*storage, error) {
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, err
	}
	s := &storage{fs: fsys, dir: dir}
	if _, err := readJSON(fsys, path.Join(dir, voteFile), &s.vote); err != nil {
		return nil, err
	}
	if err := s.replace(m); err != nil {
		return nil, err
	}
	return s, nil
}

// replace makes an image, with an empty log behind it, the state of the member.
func (s *storage) replace(m image) error {
	m.Log = s.base.Log + 1
	dir := s.logDir(m.Log)
	if err := s.fs.RemoveAll(dir); err != nil {
		return err
	}
	at := order.Pos{Seq: order.Seq(m.Index), Term: order.Term(m.Term)}
	m.History = nil
	if m.Index > 0 {
		m.History = order.History{{Term: at.Term, First: at.Seq}}
	}
	log, err := wal.Create(s.fs, dir, at, m.History, wal.Options{FileBytes: 4 << 20})
	if err != nil {
		return fmt.Errorf("consensus: %w", err)
	}
	if err := writeJSON(s.fs, path.Join(s.dir, imageFile), m); err != nil {
		return errors.Join(err, log.Close())
	}
	old, oldLog := s.log, s.base.Log
	s.log, s.base = log, m
	s.first, s.before, s.entries = m.Index+1, m.Term, nil
	s.conf = &pb.ConfState{Voters: m.Voters, Learners: m.Learners}
	if old != nil {
		err = errors.Join(old.Close(), s.fs.RemoveAll(s.logDir(oldLog)))
	}
	return err
}

// save stores entries and raft's state, durably before it returns where raft asks for it.
func (s *storage) save(ctx context.Context, h *pb.HardState, entries []*pb.Entry) error {
	if h != nil && (h.GetTerm() != s.vote.Term || h.GetVote() != s.vote.Vote) {
		v := vote{h.GetTerm(), h.GetVote()}
		if err := writeJSON(s.fs, path.Join(s.dir, voteFile), v); err != nil {
			return err
		}
		s.vote = v
	}
	if len(entries) > 0 {
		// What is known to be committed stands in the records that come now: after a crash no second membership change
		// may be forgotten, or a member could elect itself among those it remembers.
		if h != nil {
			s.log.SetCommit(min(order.Seq(h.GetCommit()), s.log.Last().Seq, order.Seq(entries[0].GetIndex()-1)))
		}
		if err := s.append(ctx, entries); err != nil {
			return err
		}
	}
	if h != nil {
		s.log.SetCommit(min(order.Seq(h.GetCommit()), s.log.Last().Seq))
	}
	return nil
}

func (s *storage) append(ctx context.Context, entries []*pb.Entry) error {
	for len(entries) > 0 && entries[0].GetIndex() < s.first {
		entries = entries[1:]
	}
	if len(entries) == 0 {
		return nil
	}
	from := entries[0].GetIndex()
	if from <= uint64(s.log.Last().Seq) {
		if err := s.log.Cut(ctx, order.Seq(from-1)); err != nil {
			return fmt.Errorf("consensus: %w", err)
		}
		s.entries = s.entries[: from-s.first : from-s.first]
	}
	records := make([]wal.Record, len(entries))
	for i, e := range entries {
		records[i] = wal.Record{Seq: order.Seq(e.GetIndex()), Term: order.Term(e.GetTerm()), Kind: wal.Effects,
			Body: append([]byte{byte(e.GetType())}, e.GetData()...)}
	}
	ticket, err := s.log.Append(ctx, records...)
	if err == nil {
		err = s.log.Sync(ctx, ticket)
	}
	if err != nil {
		return fmt.Errorf("consensus: %w", err)
	}
	s.entries = append(s.entries, entries...)
	return nil
}

func entryOf(r *wal.Record) (*pb.Entry, error) {
	if len(r.Body) == 0 {
		return nil, sextant.Errorf(sextant.Corrupt, "consensus: entry %d of the log is empty", r.Seq)
	}
	kind := pb.EntryType(r.Body[0])
	return &pb.Entry{Index: new(uint64(r.Seq)), Term: new(uint64(r.Term)), Type: &kind, Data: r.Body[1:]}, nil
}

// compact makes an image the front of the log. Some entries before it stay in memory, for members that are a little behind.
func (s *storage) compact(m image, keep uint64) error {
	m.Log = s.base.Log
	m.History = s.log.History().Cut(order.Seq(m.Index))
	if n := len(m.History); n > 64 {
		m.History = m.History[n-64:]
	}
	if err := writeJSON(s.fs, path.Join(s.dir, imageFile), m); err != nil {
		return err
	}
	s.base = m
	if first := m.Index + 1 - min(keep, m.Index); first > s.first {
		n := first - s.first
		s.before = s.entries[n-1].GetTerm()
		s.entries = append([]*pb.Entry(nil), s.entries[n:]...)
		s.first = first
	}
	return s.log.Trim(order.Seq(m.Index), 0)
}

func (s *storage) close() error { return s.log.Close() }

// InitialState implements raft.Storage, as do the following.
func (s *storage) InitialState() (*pb.HardState, *pb.ConfState, error) {
	commit := max(uint64(s.log.Commit()), s.base.Index)
	return &pb.HardState{Term: new(max(s.vote.Term, s.lastTerm())), Vote: new(s.voted()), Commit: &commit}, s.conf, nil
}

// voted is the vote of the present term: a vote file that is older than the log says nothing.
func (s *storage) voted() uint64 {
	if s.vote.Term < s.lastTerm() {
		return 0
	}
	return s.vote.Vote
}

func (s *storage) lastTerm() uint64 {
	if n := len(s.entries); n > 0 {
		return s.entries[n-1].GetTerm()
	}
	return s.before
}

func (s *storage) Entries(lo, hi, maxSize uint64) ([]*pb.Entry, error) {
	if lo < s.first {
		return nil, raft.ErrCompacted
	}
	if hi > s.first+uint64(len(s.entries)) {
		return nil, raft.ErrUnavailable
	}
	part := s.entries[lo-s.first : hi-s.first]
	size, n := uint64(0), 0
	for n < len(part) {
		if size += uint64(len(part[n].GetData()) + 24); size > maxSize && n > 0 {
			break
		}
		n++
	}
	return part[:n:n], nil
}

func (s *storage) Term(i uint64) (uint64, error) {
	switch {
	case i == s.first-1:
		return s.before, nil
	case i < s.first-1:
		return 0, raft.ErrCompacted
	case i >= s.first+uint64(len(s.entries)):
		return 0, raft.ErrUnavailable
	}
	return s.entries[i-s.first].GetTerm(), nil
}

func (s *storage) LastIndex() (uint64, error)  { return s.first + uint64(len(s.entries)) - 1, nil }
func (s *storage) FirstIndex() (uint64, error) { return s.first, nil }

// Snapshot is the state as applied now: it knows every member that the log has added.
func (s *storage) Snapshot() (*pb.Snapshot, error) { return s.now(), nil }
