package segment

import (
	"context"
	"math/rand/v2"
	"path"
	"strings"
	"testing"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/task"
	"github.com/sextantdb/sextant/internal/vfs"
)

// flip changes one bit of a file.
func flip(t *testing.T, fs vfs.FS, name string, at int64) {
	t.Helper()
	b, err := vfs.ReadFile(fs, name)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 1 << (at % 8)
	if err := vfs.WriteAtomic(fs, name, b); err != nil {
		t.Fatal(err)
	}
}

// TestFlippedBitsAreFound flips bits everywhere in every kind of file: no read may give a wrong answer. Damage of stored
// data is an error that names the file, derived data is dropped and asked for again.
func TestFlippedBitsAreFound(t *testing.T) {
	cfg := sextant.DefaultConfig()
	cfg.Optimizer.IndexingThreshold = new(uint64(1))
	schema := testSchema()
	for _, f := range testFields {
		schema.Fields[f.key] = f.spec
	}
	s := newTestShard(t, schema, cfg)
	w := workload{rand.New(rand.NewPCG(9, 9)), 3000}
	m := newModel(schema)
	for seq := uint64(1); seq <= 400; seq++ {
		u := w.update(testSchema())
		if upsert, ok := u.(sextant.Upsert); ok {
			s.must(s.state.Apply(seq, upsert))
			m.apply(seq, upsert)
		} else {
			s.state.Skip(seq)
		}
	}
	s.seal()
	v := s.state.Publish()
	meta := v.pieces[0].sealed.Meta()
	v.Release()
	kinds := map[Kind]bool{}
	for _, ref := range meta.Files {
		kinds[ref.Kind] = true
		for range 10 {
			at := w.Int64N(ref.Bytes)
			if w.IntN(4) == 0 {
				at = ref.Bytes - 1 - w.Int64N(min(ref.Bytes, 200))
			}
			name := path.Join(testDir, ref.Name)
			flip(t, s.fs, name, at)
			damagedReads(t, s, w, m, meta, ref)
			flip(t, s.fs, name, at)
		}
	}
	if len(kinds) != 5 {
		t.Errorf("only these kinds were there: %v", kinds)
	}
}

func damagedReads(t *testing.T, s *testShard, w workload, m *model, meta Meta, ref FileRef) {
	t.Helper()
	derived := ref.Kind != MainFile && ref.Kind != VectorFile
	named := func(err error) bool {
		return sextant.KindOf(err) == sextant.Corrupt && strings.Contains(err.Error(), ref.Name)
	}
	seg, err := Open(s.fs, testDir, meta)
	if err != nil {
		if derived || !named(err) {
			t.Fatalf("%s: %v", ref.Name, err)
		}
		return
	}
	schema := NewSchema(m.schema)
	state := NewState(schema, s.tuning, []Part{{ID: seg.ID(), Sealed: seg}}, nil, 1000)
	defer state.Close()
	v := state.Publish()
	defer v.Release()
	got, _, err := v.Scroll(context.Background(), everything)
	if err == nil && !sameRecords(got, m.all()) {
		t.Fatalf("%s: wrong content", ref.Name)
	}
	found := err != nil && named(err)
	for _, f := range testFilters(w) {
		n, err := v.Count(context.Background(), f.filter, true)
		want := uint64(0)
		for id, p := range m.points {
			if f.test(id, p) {
				want++
			}
		}
		if err != nil && (derived || !named(err)) || err == nil && n != want {
			t.Fatalf("%s: counted %d (%v), want %d", ref.Name, n, err, want)
		}
		found = found || err != nil
	}
	for name, spec := range m.schema.Vectors {
		q := SearchRequest{Using: name, Vector: w.vector(spec), Limit: 5}
		if _, err := v.Search(context.Background(), q); err != nil && (derived || !named(err)) {
			t.Fatalf("%s: %v", ref.Name, err)
		}
	}
	err = seg.Verify(context.Background())
	switch {
	case !derived && !found && !named(err):
		t.Fatalf("%s: damage was not found: %v", ref.Name, err)
	case derived && err != nil:
		t.Fatalf("%s: %v", ref.Name, err)
	case derived:
		repaired(t, seg, schema, s.tuning, ref)
	}
}

// repaired builds what the segment asks for.
func repaired(t *testing.T, seg *Sealed, schema Schema, tuning Tuning, ref FileRef) {
	t.Helper()
	needs := seg.Needs(schema, tuning)
	if len(needs) != 1 || needs[0].Kind != ref.Kind || needs[0].Of != ref.Of {
		t.Fatalf("%s: needs are %v", ref.Name, needs)
	}
	// Beside the damaged one, so that the other rounds of the test find it again.
	aside := &Sealed{fs: &vfs.Mem{}, dir: testDir, meta: seg.meta, slots: seg.slots, pay: seg.pay}
	aside.derived.Store(seg.derived.Load())
	if err := aside.fs.MkdirAll(testDir); err != nil {
		t.Fatal(err)
	}
	built, err := BuildDerived(context.Background(), aside, needs[0], tuning, task.NewProgress("repair"))
	if err != nil {
		t.Fatal(err)
	}
	if built.Name != ref.Name || built.Bytes != ref.Bytes && ref.Kind != GraphFile {
		t.Fatalf("built %+v, was %+v", built, ref)
	}
}

func TestDamagedTombstonesAreFound(t *testing.T) {
	fs := &vfs.Mem{}
	var set tombstones
	r := rand.New(rand.NewPCG(3, 3))
	for range 3000 {
		set.set(uint32(r.IntN(20000)), 1)
		set.set(uint32(1_000_000+r.IntN(5_000_000)), 1)
	}
	if err := fs.MkdirAll(testDir); err != nil {
		t.Fatal(err)
	}
	ref, err := WriteTombstones(fs, testDir, "tomb", Tombstones{set})
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadTombstones(fs, testDir, ref)
	if err != nil || got.Dead() != set.dead {
		t.Fatal(got.Dead(), err)
	}
	got.set.since(&set, func(row uint32) { t.Fatalf("row %d was not dead", row) })
	set.since(&got.set, func(row uint32) { t.Fatalf("row %d was dead", row) })
	for range 200 {
		at := r.Int64N(ref.Bytes)
		flip(t, fs, path.Join(testDir, "tomb"), at)
		if _, err := ReadTombstones(fs, testDir, ref); sextant.KindOf(err) != sextant.Corrupt {
			t.Fatalf("byte %d: %v", at, err)
		}
		flip(t, fs, path.Join(testDir, "tomb"), at)
	}
}

func TestDamagedVectorFileIsNamed(t *testing.T) {
	const dim, n = 1024, 1100 // large enough for a file of its own
	spec := sextant.VectorSpec{Dim: dim, Distance: sextant.Dot}
	schema := sextant.Schema{Vectors: map[string]sextant.VectorSpec{"": spec}}
	s := newTestShard(t, schema, sextant.DefaultConfig())
	r := rand.New(rand.NewPCG(1, 1))
	s.must(s.state.Apply(1, benchBatch(r, 0, n, dim)))
	s.seal()
	v := s.state.Publish()
	meta := v.pieces[0].sealed.Meta()
	v.Release()
	if len(meta.Files) != 2 || meta.Files[0].Kind != VectorFile && meta.Files[1].Kind != VectorFile {
		t.Fatal(meta.Files)
	}
	for _, ref := range meta.Files {
		if ref.Kind != VectorFile {
			continue
		}
		for range 20 {
			at := 4096 + r.Int64N(n*dim*4)
			flip(t, s.fs, path.Join(testDir, ref.Name), at)
			seg, err := Open(s.fs, testDir, meta)
			s.must(err)
			state := NewState(NewSchema(schema), s.tuning, []Part{{ID: seg.ID(), Sealed: seg}}, nil, 1)
			view := state.Publish()
			row := uint64((at - 4096) / (dim * 4))
			_, err = view.Search(context.Background(), SearchRequest{Vector: sextant.Vector{Values: make([]float32, dim)}, Limit: 3})
			_, again := view.Retrieve([]sextant.PointID{sextant.NumID(row)}, sextant.PayloadSelector{}, sextant.VectorSelector{All: true})
			for _, err := range []error{err, again, seg.Verify(context.Background())} {
				if sextant.KindOf(err) != sextant.Corrupt || !strings.Contains(err.Error(), ref.Name) {
					t.Fatalf("byte %d: %v", at, err)
				}
			}
			view.Release()
			state.Close()
			flip(t, s.fs, path.Join(testDir, ref.Name), at)
		}
	}
}
