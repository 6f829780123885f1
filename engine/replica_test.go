package engine

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/vfs"
	"github.com/sextantdb/sextant/internal/wal"
)

// leader gives the order to some replicas, as a primary would, without any of its care.
type leader struct {
	term order.Term
	last order.Pos
}

func (l *leader) log(t *testing.T, kind wal.Kind, body []byte, to ...*Shard) {
	t.Helper()
	next := order.Pos{Seq: l.last.Seq + 1, Term: l.term}
	for _, s := range to {
		ok(t, s.Append(t.Context(), l.last, []wal.Record{{Seq: next.Seq, Term: next.Term, Kind: kind, Body: body, ID: wal.RequestID{Peer: 1, Life: 1, Number: uint64(next.Seq)}}}))
	}
	l.last = next
}

func (l *leader) update(t *testing.T, u sextant.Update, to ...*Shard) {
	t.Helper()
	body, err := to[0].Resolve(t.Context(), u)
	ok(t, err)
	l.log(t, wal.Effects, body, to...)
}

func applyAll(t *testing.T, commit order.Seq, to ...*Shard) {
	t.Helper()
	for _, s := range to {
		at, err := s.Apply(t.Context(), commit, nil)
		ok(t, err)
		if at.Seq != commit {
			t.Fatalf("applied %d of %d", at.Seq, commit)
		}
	}
}

func equal(t *testing.T, a, b *Shard) {
	t.Helper()
	da, at := a.Digest()
	db, bt := b.Digest()
	if at != bt || !bytes.Equal(da, db) {
		t.Fatalf("digests at %s and %s differ", at, bt)
	}
}

// Two replicas that append the same and apply up to the same commit are equal, whatever else they did: appended twice, a
// tail cut, checkpoints, restarts.
func TestReplicasFollowOneOrder(t *testing.T) {
	manual := Options{ManualApply: true}
	r := rand.New(rand.NewPCG(1, 9))
	diskA, diskB := &vfs.Mem{}, &vfs.Mem{}
	a, b := create(t, diskA, manual), create(t, diskB, manual)
	if _, err := a.Update(t.Context(), sextant.Upsert{Points: randomPoints(r, 0, 1)}, sextant.Applied); sextant.KindOf(err) != sextant.Precondition {
		t.Fatalf("an update of its own: %v", err)
	}
	ok(t, a.UseTerm(t.Context(), 1))
	l := &leader{term: 1}
	for i := range 20 {
		l.update(t, sextant.Upsert{Points: randomPoints(r, i*5, 10)}, a, b)
	}
	if a.Stands().Applied.Seq != 0 {
		t.Fatal("applied without a commit")
	}
	applyAll(t, 15, a, b)
	equal(t, a, b)

	// An update by filter waits for everything before it; so the commit must come first.
	applyAll(t, l.last.Seq, a, b)
	even := &sextant.Filter{Must: []sextant.Condition{sextant.Field{Key: sextant.MustPath("even"), Test: sextant.Match{Value: true}}}}
	l.update(t, sextant.DeletePoints{Selector: sextant.Selector{Filter: even}}, a, b)
	_, err := b.Checkpoint(t.Context())
	ok(t, err)
	l.log(t, wal.Mark, nil, a, b)
	applyAll(t, l.last.Seq, a, b)
	equal(t, a, b)
	if seq, _, known, _ := b.Logged(wal.RequestID{Peer: 1, Life: 1, Number: 7}); seq != 7 || !known {
		t.Fatalf("request 7 is at %d", seq)
	}

	// B alone hears three entries more of a primary that is lost; A becomes primary.
	old := *l
	for range 3 {
		old.update(t, sextant.Upsert{Points: randomPoints(r, 500, 10)}, b)
	}
	ok(t, a.UseTerm(t.Context(), 2))
	l.term = 2
	before := l.last
	l.log(t, wal.Noop, nil, a)
	l.update(t, sextant.Upsert{Points: randomPoints(r, 300, 10)}, a)
	reader, err := a.OpenLog(before.Seq - 4)
	ok(t, err)
	records, err := reader.Next(l.last.Seq, 1<<20)
	ok(t, err)
	from := order.Pos{Seq: before.Seq - 5, Term: 1}
	ok(t, b.Append(t.Context(), from, records)) // part of it heard before, then another term
	ok(t, b.Append(t.Context(), from, records))
	ok(t, b.Append(t.Context(), from, records[:2]))
	ok(t, reader.Close())
	if s := b.Stands(); s.Last != l.last || len(s.History) != 2 {
		t.Fatalf("b stands %+v", s)
	}
	if err := b.Append(t.Context(), order.Pos{Seq: l.last.Seq, Term: 1}, nil); sextant.KindOf(err) != sextant.Precondition {
		t.Fatalf("another term at the same place: %v", err)
	}
	conflict := []wal.Record{{Seq: 3, Term: 9, Kind: wal.Noop}}
	if err := b.Append(t.Context(), order.Pos{Seq: 2, Term: 1}, conflict); err == nil {
		t.Fatal("a committed entry was cut")
	}
	applyAll(t, l.last.Seq, a, b)
	equal(t, a, b)

	// After the end of the process everything applied is applied again; what was not committed is not.
	l.update(t, sextant.Upsert{Points: randomPoints(r, 600, 10)}, a, b)
	a, b = reopen(t, diskA.Kill(), manual), reopen(t, diskB.Kill(), manual)
	for _, s := range []*Shard{a, b} {
		if st := s.Stands(); st.Applied.Seq != l.last.Seq-1 || st.Last != l.last || st.Commit != l.last.Seq-1 {
			t.Fatalf("stands %+v, last %s", st, l.last)
		}
	}
	if st := a.Stands(); st.UsedTerm != 2 {
		t.Fatalf("used term %d", st.UsedTerm)
	}
	equal(t, a, b)
	applyAll(t, l.last.Seq, a, b)
	equal(t, a, b)
	ok(t, a.Close())
	ok(t, b.Close())
}

// A shard without points has a digest at a mark as any other: else the receiver of an empty shard could never be proven equal.
func TestMarkOfAnEmptyShard(t *testing.T) {
	s := create(t, &vfs.Mem{}, Options{ManualApply: true})
	ok(t, s.UseTerm(t.Context(), 1))
	l := &leader{term: 1}
	l.log(t, wal.Mark, nil, s)
	marks := 0
	_, err := s.Apply(t.Context(), l.last.Seq, func(o order.Outcome) {
		if o.Digest != nil {
			marks++
		}
	})
	ok(t, err)
	if marks != 1 {
		t.Errorf("%d digests", marks)
	}
}
