package wal

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/vfs"
)

// model is what a log must hold, told from the calls alone.
type model struct {
	l       *Log
	records []Record // records[i] has seq i+1; all that was appended and not cut since
	durable int      // of these were acknowledged
	floor   int      // a cut that did not return may have taken what is above
	commit  order.Seq
	noted   order.Seq // survives the end of the process
	used    order.Term
	begins  order.Seq // the log may have been trimmed up to before here
	at      order.Pos // a checkpoint
}

func (m *model) term() order.Term {
	if len(m.records) == 0 {
		return 1
	}
	return m.records[len(m.records)-1].Term
}

func (m *model) history(last int) (h order.History) {
	for _, r := range m.records[:last] {
		h = h.Extend(order.Pos{Seq: r.Seq, Term: r.Term})
	}
	return h
}

var errCrash = errors.New("the power is gone")

// step does one random thing to the log and to the model; an error is that of the disk.
func (m *model) step(t *testing.T, r *rand.Rand) error {
	switch k := r.IntN(20); {
	case k < 10:
		term := m.term()
		if r.IntN(8) == 0 {
			term++
		}
		var batch []Record
		for range 1 + r.IntN(4) {
			seq := len(m.records) + len(batch) + 1
			body := make([]byte, r.IntN(1+r.IntN(3000)))
			for i := range body {
				body[i] = byte(seq)
			}
			batch = append(batch, Record{Seq: order.Seq(seq), Term: term, Kind: Effects, Body: body})
		}
		m.records = append(m.records, batch...)
		ticket, err := m.l.Append(t.Context(), batch...)
		if err != nil {
			return err
		}
		if r.IntN(3) > 0 {
			if err := m.l.Sync(t.Context(), ticket); err != nil {
				return err
			}
			m.durable = len(m.records)
		}
	case k < 13:
		if m.durable > int(m.commit) {
			m.commit += order.Seq(1 + r.IntN(m.durable-int(m.commit)))
			m.l.SetCommit(m.commit)
		}
	case k < 15:
		if err := m.l.Note(); err != nil {
			return err
		}
		m.noted = m.commit
		if m.l.Durable() == m.l.Last().Seq {
			m.durable = len(m.records)
		}
	case k < 16:
		if n := len(m.records); n > int(m.commit) {
			after := int(m.commit) + r.IntN(n-int(m.commit))
			m.floor, m.noted = after, 0 // a note may stand in what is cut
			err := m.l.Cut(t.Context(), order.Seq(after))
			if err != nil {
				return err
			}
			m.records, m.durable, m.floor = m.records[:after], after, 1<<30
		}
	case k < 17:
		m.used++
		return m.l.UseTerm(t.Context(), m.used)
	case k < 19:
		if m.commit > 0 {
			m.at = order.Pos{Seq: m.commit, Term: m.records[m.commit-1].Term}
			m.begins = m.commit + 1
			return m.l.Trim(m.commit, 0)
		}
	default:
		if err := m.l.Close(); err != nil {
			return err
		}
		m.durable = len(m.records)
		next, err := Open(m.l.fs, "/wal", m.at, m.history(int(m.at.Seq)), Options{FileBytes: 5000})
		if err != nil {
			return err
		}
		if next.Commit() != m.commit {
			t.Fatalf("commit %d after a clean end, want %d", next.Commit(), m.commit)
		}
		m.l = next
	}
	return nil
}

// check compares a log that was just opened with the model, and makes the model what is there.
func (m *model) check(killed bool, used order.Term) error {
	last := int(m.l.Last().Seq)
	if last < min(m.durable, m.floor) || last > len(m.records) {
		return fmt.Errorf("ends at %d; %d of %d are durable, floor %d", last, m.durable, len(m.records), m.floor)
	}
	if c := m.l.Commit(); c > m.commit || c < m.at.Seq || killed && c < m.noted {
		return fmt.Errorf("commit %d; told %d, noted %d, checkpoint %s", c, m.commit, m.noted, m.at)
	}
	if got, want := fmt.Sprint(m.l.History()), fmt.Sprint(m.history(last)); got != want {
		return fmt.Errorf("history %s, want %s", got, want)
	}
	if u := m.l.UsedTerm(); u != used && u != m.used {
		return fmt.Errorf("used term %d, want %d or %d", u, used, m.used)
	}
	if m.l.First() > m.begins {
		return fmt.Errorf("begins at %d, must at %d", m.l.First(), m.begins)
	}
	r, err := m.l.Reader(m.l.First())
	if err != nil {
		return err
	}
	defer r.Close()
	for seq := int(m.l.First()); seq <= last; {
		records, err := r.Next(1<<60, 2000)
		if err != nil {
			return err
		}
		for _, got := range records {
			if want := m.records[seq-1]; got.Seq != want.Seq || got.Term != want.Term || string(got.Body) != string(want.Body) {
				return fmt.Errorf("record %d differs", seq)
			}
			seq++
		}
	}
	m.records, m.durable, m.floor = m.records[:last], last, 1<<30
	m.commit = m.l.Commit()
	m.noted = 0
	m.used = m.l.UsedTerm()
	return nil
}

// Random calls, power or process lost at a random call to the disk, over and over on the same log: whatever was
// acknowledged is there, nothing else is, and an unreturned call has happened in part or not at all.
func TestALogSurvivesCrashesAtAnyCall(t *testing.T) {
	rounds := 1500
	if testing.Short() {
		rounds = 200
	}
	for seed := range uint64(rounds) {
		r := rand.New(rand.NewPCG(seed, 11))
		disk := vfs.NewFaulty(&vfs.Mem{})
		m := &model{l: create(t, disk, Options{FileBytes: 5000}), floor: 1 << 30, begins: 1}
		for life := range 6 {
			var used order.Term
			disk.FailFrom(1+r.IntN(60), errCrash, vfs.OpChanges)
			for {
				used = m.used
				if err := m.step(t, r); errors.Is(err, errCrash) {
					break
				} else if err != nil {
					t.Fatalf("seed %d, life %d: %v", seed, life, err)
				}
			}
			mem := disk.FS.(*vfs.Mem)
			killed := r.IntN(2) == 0
			if killed {
				mem = mem.Kill()
			} else {
				mem = mem.Crash(r)
			}
			disk = vfs.NewFaulty(mem)
			var err error
			if m.l, err = Open(disk, "/wal", m.at, m.history(int(m.at.Seq)), Options{FileBytes: 5000}); err != nil {
				t.Fatalf("seed %d, life %d: %v", seed, life, err)
			}
			if err := m.check(killed, used); err != nil {
				t.Fatalf("seed %d, life %d: %v", seed, life, err)
			}
		}
	}
}

// A write that fails, once, at any call: the log goes on, or refuses until it is opened anew; either way it holds what it
// acknowledged.
func TestALogSurvivesAFailureOfAnyCall(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 12))
		disk := vfs.NewFaulty(&vfs.Mem{})
		m := &model{l: create(t, disk, Options{FileBytes: 5000}), floor: 1 << 30, begins: 1}
		for life := range 6 {
			disk.FailAt(1+r.IntN(40), syscall.ENOSPC, vfs.OpChanges)
			var used order.Term
			for range 40 {
				used = m.used
				err := m.step(t, r)
				if err == nil {
					continue
				}
				if !errors.Is(err, syscall.ENOSPC) {
					t.Fatalf("seed %d, life %d: %v", seed, life, err)
				}
				break
			}
			_ = m.l.Close()
			disk.Heal()
			mem := disk.FS.(*vfs.Mem).Kill()
			disk = vfs.NewFaulty(mem)
			var err error
			if m.l, err = Open(disk, "/wal", m.at, m.history(int(m.at.Seq)), Options{FileBytes: 5000}); err != nil {
				t.Fatalf("seed %d, life %d: %v", seed, life, err)
			}
			if err := m.check(false, used); err != nil {
				t.Fatalf("seed %d, life %d: %v", seed, life, err)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	r := record(7, 2, "some body")
	f.Add(r.appendTo(nil))
	note := Record{Kind: commitNote, Seq: 7, Commit: 7}
	f.Add(note.appendTo(nil))
	f.Add(make([]byte, 200))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, n, err := decode(b)
		if err != nil {
			return
		}
		if n > len(b) || n%recordAlign != 0 || n != r.size() {
			t.Fatalf("length %d of %d", n, len(b))
		}
		again, _, err := decode(r.appendTo(nil))
		if err != nil || again.Seq != r.Seq || again.Term != r.Term || again.ID != r.ID || again.Kind != r.Kind ||
			again.Commit != r.Commit || again.Durable != r.Durable || string(again.Body) != string(r.Body) {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}

// Whatever bytes a file holds, Open refuses it or gives records that follow each other.
func FuzzOpen(f *testing.F) {
	disk := &vfs.Mem{}
	l, err := Create(disk, "/wal", order.Pos{}, nil, Options{})
	if err != nil {
		f.Fatal(err)
	}
	for seq := 1; seq < 4; seq++ {
		ticket, _ := l.Append(f.Context(), record(seq, 1, text(seq, 1)))
		if err := l.Sync(f.Context(), ticket); err != nil {
			f.Fatal(err)
		}
	}
	data, err := vfs.ReadFile(disk, "/wal/"+fileName(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:200])
	f.Fuzz(func(t *testing.T, b []byte) {
		disk := &vfs.Mem{}
		ok(t, disk.MkdirAll("/wal"))
		ok(t, vfs.WriteAtomic(disk, "/wal/"+fileName(1), b))
		l, err := Open(disk, "/wal", order.Pos{}, nil, Options{})
		if err != nil {
			return
		}
		r, err := l.Reader(1)
		ok(t, err)
		for seq := order.Seq(1); seq <= l.Last().Seq; {
			records, err := r.Next(1<<60, 100)
			ok(t, err)
			seq += order.Seq(len(records))
		}
	})
}
