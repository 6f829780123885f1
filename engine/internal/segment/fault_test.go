package segment

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/task"
	"github.com/sextantdb/sextant/internal/vfs"
)

// TestBuildsFailWhole fails every call to the disk in turn: a build reports it, leaves no file under a temporary name that
// could be taken for a good one, and the state goes on unharmed.
func TestBuildsFailWhole(t *testing.T) {
	cfg := sextant.DefaultConfig()
	cfg.Optimizer.IndexingThreshold = new(uint64(1))
	schema := testSchema()
	schema.Fields["a"] = testFields[0].spec
	s := newTestShard(t, schema, cfg)
	disk := vfs.NewFaulty(&vfs.Mem{})
	s.fs = disk
	s.must(disk.MkdirAll(testDir))
	w := workload{rand.New(rand.NewPCG(1, 9)), 200}
	m := newModel(schema)
	for seq := uint64(1); seq <= 100; seq++ {
		u := w.update(testSchema())
		if _, ok := u.(sextant.Upsert); !ok {
			s.state.Skip(seq)
			continue
		}
		s.must(s.state.Apply(seq, u))
		m.apply(seq, u)
	}
	s.state.Freeze()
	v := s.state.Publish()
	defer v.Release()
	every := vfs.OpCreate | vfs.OpWrite | vfs.OpSync | vfs.OpRename | vfs.OpSyncDir | vfs.OpOpen
	for k := 1; ; k++ {
		before := disk.Calls(every)
		disk.FailAt(k, syscall.ENOSPC, every)
		meta, _, err := BuildSegment(context.Background(), disk, testDir, "x", v.Parts()[:1], v.Schema(), s.tuning,
			task.NewProgress("build"))
		failed := disk.Calls(every) >= before+k
		disk.Heal()
		if !failed {
			if err != nil || k < 20 {
				t.Fatalf("after %d calls: %v", k, err)
			}
			break
		}
		if err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("call %d: %v", k, err)
		}
		if err == nil { // closing what was only read may fail
			seg, err := Open(disk, testDir, meta)
			s.must(err)
			s.must(seg.Verify(context.Background()))
			seg.Release()
		}
		infos, err := disk.List(testDir)
		s.must(err)
		for _, info := range infos {
			if strings.HasPrefix(info.Name, "tmp-") {
				t.Fatalf("call %d left %s", k, info.Name)
			}
			s.must(disk.Remove(testDir + "/" + info.Name))
		}
		sameContent(t, w, v, m)
	}
}

func TestCancelledBuildsEnd(t *testing.T) {
	s, _, _ := recallShard(t, 2000, 8, true)
	defer s.state.Close()
	v := s.state.Publish()
	defer v.Release()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, _, err := BuildSegment(ctx, s.fs, testDir, "x", v.Parts()[:1], v.Schema(), s.tuning, task.NewProgress("build"))
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := v.Search(ctx, SearchRequest{Vector: sextant.Vector{Values: make([]float32, 8)}, Limit: 3}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func FuzzFooter(f *testing.F) {
	fs := &vfs.Mem{}
	if err := fs.MkdirAll(testDir); err != nil {
		f.Fatal(err)
	}
	w := newContainer(fs, testDir, "c")
	w.section("one", []byte("some bytes"))
	w.section("two", make([]byte, 100))
	ref, err := w.finish(MainFile)
	if err != nil {
		f.Fatal(err)
	}
	good, err := vfs.ReadFile(fs, testDir+"/c")
	if err != nil || int64(len(good)) != ref.Bytes {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		sections, end, crcs, err := readFooter("f", b)
		if err == nil && (end > int64(len(b)) || int64(len(crcs)/4) != (end+blockBytes-1)/blockBytes) {
			t.Fatal(end, len(crcs))
		}
		for _, s := range sections {
			_ = b[s.off : s.off+s.n]
		}
	})
}

func FuzzTombstones(f *testing.F) {
	fs := &vfs.Mem{}
	if err := fs.MkdirAll(testDir); err != nil {
		f.Fatal(err)
	}
	var set tombstones
	for row := range uint32(1000) {
		set.set(row*7%5000, 1)
	}
	if _, err := WriteTombstones(fs, testDir, "t", Tombstones{set}); err != nil {
		f.Fatal(err)
	}
	good, err := vfs.ReadFile(fs, testDir+"/t")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		if set, _, why := decodeTombs(b); why == "" && set.alive(100) != nil && set.dead == 0 {
			t.Fatal("dead rows that are not counted")
		}
	})
}
