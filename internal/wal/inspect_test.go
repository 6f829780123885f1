package wal

import (
	"errors"
	"path"
	"testing"

	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/vfs"
)

// Inspect tells of a log what Open would, and leaves it as it is.
func TestInspectReadsWithoutChanging(t *testing.T) {
	mem := &vfs.Mem{}
	l := create(t, mem, Options{FileBytes: 500})
	put(t, l, 1, 9, 1)
	put(t, l, 10, 12, 3)
	l.SetCommit(12)
	ok(t, l.UseTerm(t.Context(), 3))
	ok(t, l.Close())

	var seqs []order.Seq
	rep, err := Inspect(mem, "/wal", func(r Record) error {
		same(t, string(r.Body), text(int(r.Seq), int(r.Term)))
		seqs = append(seqs, r.Seq)
		return nil
	})
	ok(t, err)
	same(t, len(seqs), 12)
	same(t, rep.Last, order.Pos{Seq: 12, Term: 3})
	same(t, rep.Commit, order.Seq(12))
	same(t, rep.Used, order.Term(3))
	records := 0
	for _, f := range rep.Files {
		records += f.Records
		if f.Torn || f.Damage != nil || f.Good != f.Bytes {
			t.Errorf("file %+v", f)
		}
	}
	same(t, records, 12)

	// A last record of which only a part reached the disk.
	last := path.Join("/wal", rep.Files[len(rep.Files)-1].Name)
	torn := record(13, 3, text(13, 3))
	f, err := mem.OpenAppend(last)
	ok(t, err)
	_, err = f.Write(torn.appendTo(nil)[:50])
	ok(t, err)
	ok(t, f.Close())
	before, err := vfs.ReadFile(mem, last)
	ok(t, err)
	rep, err = Inspect(mem, "/wal", nil)
	ok(t, err)
	tail := rep.Files[len(rep.Files)-1]
	if !tail.Torn || tail.Damage != nil || tail.Bytes-tail.Good != 50 || rep.Last.Seq != 12 {
		t.Errorf("torn tail: %+v, last %s", tail, rep.Last)
	}
	after, err := vfs.ReadFile(mem, last)
	ok(t, err)
	same(t, after, before)
}

// Damage in the middle is named; records behind it are counted but not handed out.
func TestInspectGoesPastDamage(t *testing.T) {
	mem := &vfs.Mem{}
	l := create(t, mem, Options{FileBytes: 500})
	put(t, l, 1, 12, 1)
	ok(t, l.Close())
	rep, err := Inspect(mem, "/wal", nil)
	ok(t, err)
	if len(rep.Files) < 3 {
		t.Fatalf("the test needs several files, got %+v", rep.Files)
	}
	name := path.Join("/wal", rep.Files[1].Name)
	b, err := vfs.ReadFile(mem, name)
	ok(t, err)
	b[len(b)-10] ^= 1
	ok(t, vfs.WriteAtomic(mem, name, b))

	var last order.Seq
	rep, err = Inspect(mem, "/wal", func(r Record) error { last = r.Seq; return nil })
	ok(t, err)
	var damage *CorruptError
	if !errors.As(rep.Files[1].Damage, &damage) || damage.File != name || rep.Files[2].Damage != nil {
		t.Errorf("files %+v", rep.Files)
	}
	same(t, rep.Last.Seq, last)
	if want := rep.Files[2].Base.Seq - 1; last != want {
		t.Errorf("read through %d, want %d", last, want)
	}
	_, err = Open(mem, "/wal", order.Pos{}, nil, Options{})
	if !errors.As(err, &damage) {
		t.Errorf("Open says %v", err)
	}
}
