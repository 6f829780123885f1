package segment

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/task"
	"github.com/sextantdb/sextant/internal/vfs"
)

const testDir = "shard"

// testShard does with a State what an engine does: seals, merges, checkpoints and opens it again.
type testShard struct {
	t      testing.TB
	fs     vfs.FS
	state  *State
	tuning Tuning
	built  int
	// held is the view of a checkpoint whose build is not finished yet.
	pending func()
}

func newTestShard(t testing.TB, schema sextant.Schema, cfg sextant.CollectionConfig) *testShard {
	s := &testShard{t: t, fs: &vfs.Mem{}, tuning: NewTuning(cfg)}
	if err := s.fs.MkdirAll(testDir); err != nil {
		t.Fatal(err)
	}
	s.state = NewState(NewSchema(schema), s.tuning, nil, nil, 0)
	return s
}

func (s *testShard) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// begin starts a build of those segments of the present view that pick chooses; finish publishes it. Entries may be
// applied between the two.
func (s *testShard) begin(pick func(p Part) bool) {
	v := s.state.Publish()
	var sources []Part
	for i, p := range v.Parts() {
		if i < len(v.pieces)-1 && pick(p) { // the last is the head
			sources = append(sources, p)
		}
	}
	if len(sources) == 0 {
		v.Release()
		return
	}
	s.built++
	uuid := fmt.Sprintf("s%d", s.built)
	meta, remap, err := BuildSegment(context.Background(), s.fs, testDir, uuid, sources, v.Schema(), s.tuning,
		task.NewProgress("build"))
	s.must(err)
	s.pending = func() {
		var out *Sealed
		if meta.Rows > 0 {
			out, err = Open(s.fs, testDir, meta)
			s.must(err)
			if needs := out.Needs(v.Schema(), s.tuning); len(needs) > 0 {
				s.t.Fatalf("a fresh segment needs %v", needs)
			}
		}
		for _, p := range sources {
			if p.Sealed != nil {
				p.Sealed.Discard()
			}
		}
		s.must(s.state.Replace(out, remap))
		v.Release()
	}
}

func (s *testShard) finish() {
	if s.pending != nil {
		s.pending()
		s.pending = nil
	}
}

// seal turns all frozen heads, and the head, into one sealed segment.
func (s *testShard) seal() {
	s.finish()
	s.state.Freeze()
	s.begin(func(p Part) bool { return p.Sealed == nil })
	s.finish()
}

// reopen goes through files, as a restart from a checkpoint does.
func (s *testShard) reopen() {
	s.seal()
	v := s.state.Publish()
	var parts []Part
	for _, p := range v.Parts() {
		if p.Sealed == nil {
			continue
		}
		ref, err := WriteTombstones(s.fs, testDir, "tomb-"+string(p.ID), p.Tombs)
		s.must(err)
		tombs, err := ReadTombstones(s.fs, testDir, ref)
		s.must(err)
		seg, err := Open(s.fs, testDir, p.Sealed.Meta())
		s.must(err)
		s.must(seg.Warm(context.Background(), s.tuning))
		parts = append(parts, Part{ID: p.ID, Sealed: seg, Tombs: tombs})
	}
	digest, err := ReadDigest(digestBytes(s.state.Digest()))
	s.must(err)
	next := NewState(s.state.Schema(), s.tuning, parts, &digest, s.state.Seq())
	v.Release()
	s.state.Close()
	s.state = next
}

func digestBytes(d Digest) []byte { return d.Ranges() }

// TestShardEqualsModel runs every kind of update, with seals, merges, half-done builds and restarts between them.
func TestShardEqualsModel(t *testing.T) {
	for seed := range uint64(6) {
		w := workload{rand.New(rand.NewPCG(seed, 2)), 20 + int(seed)*60}
		cfg := sextant.DefaultConfig()
		if seed%2 == 0 { // every segment gets graphs and codes
			cfg.Optimizer.IndexingThreshold = new(uint64(1))
		}
		s := newTestShard(t, testSchema(), cfg)
		m := newModel(testSchema())
		for seq := uint64(1); seq <= 250; seq++ {
			u := w.update(m.schema)
			if err := s.state.Apply(seq, u); sextant.KindOf(err) == sextant.Corrupt {
				t.Fatal(err)
			}
			m.apply(seq, u)
			switch w.IntN(60) {
			case 0:
				s.seal()
			case 1, 2:
				s.finish()
				s.state.Freeze()
				s.begin(func(p Part) bool { return p.Sealed == nil })
			case 3, 4:
				s.finish()
				s.begin(func(p Part) bool { return w.IntN(2) == 0 })
			case 5:
				s.finish()
			case 6:
				s.reopen()
			case 7, 8, 9, 10:
				v := s.state.Publish()
				sameContent(t, w, v, m)
				v.Release()
			}
			if s.state.Digest() != m.digest() {
				t.Fatalf("seed %d seq %d: digests differ", seed, seq)
			}
		}
		s.reopen()
		v := s.state.Publish()
		sameContent(t, w, v, m)
		if d, err := Recount(context.Background(), v, nil); err != nil || d != m.digest() {
			t.Fatal("recounted digest differs", err)
		}
		v.Release()
		s.state.Close()
	}
}
