package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/segment"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/task"
	"github.com/sextantdb/sextant/internal/vfs"
	"github.com/sextantdb/sextant/internal/wal"
)

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sample is a manifest with something everywhere.
func sample(uuid string) *manifest {
	active := order.Seq(0)
	cfg := sextant.DefaultConfig()
	cfg.Params.Vectors.Map = map[string]sextant.VectorParams{"": {Size: 3, Distance: sextant.Dot}}
	return &manifest{
		UUID: uuid, Base: order.Pos{Seq: 3, Term: 1}, At: order.Pos{Seq: 1 << 60, Term: 4},
		History:       order.History{{Term: 1, First: 1}, {Term: 4, First: 9}},
		ActiveThrough: &active,
		Requests:      []pastRequest{{ID: wal.RequestID{Peer: 1, Life: 2, Number: 1<<64 - 1}, Seq: 7}},
		Transfer:      &Attempt{Transfer: 5, Attempt: 2},
		Digest:        []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10},
		Schema: segment.Schema{
			Vectors: map[string]segment.VectorSlot{"": {Spec: sextant.VectorSpec{Kind: sextant.Dense, Dim: 3}, Seq: 2}},
			Fields: map[string]segment.FieldSlot{"a.b": {Seq: 8, Spec: sextant.FieldSpec{
				Type: sextant.KeywordField, Params: json.RawMessage(`{"type":"keyword","x":"<&>\u2028"}`)}}},
		},
		Segments: []segmentEntry{{
			Meta: segment.Meta{UUID: "s1", Rows: 3, MinSeq: 1, MaxSeq: 5, Files: []segment.FileRef{
				{Kind: segment.MainFile, Name: "s1.seg", Bytes: 5, CRC: 7},
				{Kind: segment.GraphFile, Of: "", Name: "s1-graph.idx", Config: "m=16", Bytes: 6}}},
			Tombs: &segment.FileRef{Kind: segment.TombFile, Name: "s1-9.tomb", Bytes: 1},
		}, {Meta: segment.Meta{UUID: "s2", Rows: 1}}},
		Config: &cfg,
	}
}

func TestAManifestComesBack(t *testing.T) {
	mem := &vfs.Mem{}
	noError(t, mem.MkdirAll("g"))
	for _, m := range []*manifest{sample("u"), {UUID: "empty"}} {
		noError(t, m.write(mem, "g"))
		got, err := readManifest(mem, "g")
		noError(t, err)
		if !reflect.DeepEqual(got, m) {
			t.Errorf("read\n%+v, wrote\n%+v", got, m)
		}
	}
}

func TestADamagedManifestIsRefused(t *testing.T) {
	good, err := sample("u").encode()
	noError(t, err)
	f := func(what string, b []byte) {
		t.Helper()
		m, err := decodeManifest("g1/MANIFEST", b)
		if m != nil || sextant.KindOf(err) != sextant.Corrupt || !strings.HasPrefix(err.Error(), "g1/MANIFEST is damaged at byte ") {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range good {
		b := slices.Clone(good)
		b[i] ^= 1 << (i % 8)
		f(fmt.Sprint("byte ", i), b)
		f(fmt.Sprint("cut at ", i), good[:i])
	}
	f("something behind", append(slices.Clone(good), ' '))
}

func TestAnUnknownFormatIsNotDamage(t *testing.T) {
	head, body := "sextant-manifest 2 3 ", "{}\n"
	b := fmt.Sprintf("%s%08x\n%s", head, crc32.Checksum([]byte(head+body), castagnoli), body)
	_, err := decodeManifest("MANIFEST", []byte(b))
	if err == nil || sextant.KindOf(err) == sextant.Corrupt || !strings.Contains(err.Error(), "format version 2") {
		t.Errorf("format 2: %v", err)
	}
}

// What cannot be is neither written nor read.
func TestImpossibleManifests(t *testing.T) {
	f := func(what string, change func(m *manifest)) {
		t.Helper()
		m := sample("u")
		change(m)
		if _, err := m.encode(); err == nil {
			t.Errorf("%s was written", what)
		}
		var body bytes.Buffer
		noError(t, json.NewEncoder(&body).Encode(m))
		head := fmt.Sprintf("sextant-manifest 1 %d ", body.Len())
		sum := crc32.Checksum(append([]byte(head), body.Bytes()...), castagnoli)
		if _, err := decodeManifest("m", fmt.Appendf(nil, "%s%08x\n%s", head, sum, body.Bytes())); sextant.KindOf(err) != sextant.Corrupt {
			t.Errorf("%s was read: %v", what, err)
		}
	}
	f("no uuid", func(m *manifest) { m.UUID = "" })
	f("a history that falls", func(m *manifest) { m.History[0].Term = 9 })
	f("a checkpoint of another term", func(m *manifest) { m.At.Term = 1 })
	f("a history behind the checkpoint", func(m *manifest) { m.At = order.Pos{Seq: 8, Term: 1} })
	f("a base behind the checkpoint", func(m *manifest) { m.Base.Seq = 1<<60 + 1 })
	f("a base of another term", func(m *manifest) { m.Base.Term = 4 })
	f("a segment twice", func(m *manifest) { m.Segments[1].UUID = "s1" })
	f("a segment without rows", func(m *manifest) { m.Segments[1].Rows = 0 })
	f("a file twice", func(m *manifest) { m.Segments[0].Tombs.Name = "s1.seg" })
	for _, name := range []string{"", ".", "..", "../x", "a/b", "/a", `a\b`, ".hidden", "wal", "MANIFEST", "x.tmp", "a b", strings.Repeat("x", 201)} {
		f("file "+name, func(m *manifest) { m.Segments[0].Files[1].Name = name })
	}
}

// Whichever call fails, and whenever the power ends, the generation is what it was or what it shall be.
func TestAManifestIsReplacedAsAWhole(t *testing.T) {
	for k := 1; ; k++ {
		r := rand.New(rand.NewPCG(uint64(k), 1))
		mem := &vfs.Mem{}
		noError(t, mem.MkdirAll("g"))
		noError(t, sample("old").write(mem, "g"))
		disk := vfs.NewFaulty(mem)
		disk.FailAt(k, errors.New("no"), vfs.OpChanges)
		before := disk.Calls(vfs.OpChanges)
		err := sample("new").write(disk, "g")
		got, readErr := readManifest(mem, "g")
		noError(t, readErr)
		if err == nil && got.UUID != "new" || got.UUID != "old" && got.UUID != "new" {
			t.Fatalf("call %d failed (%v): generation %s", k, err, got.UUID)
		}
		after, crashErr := readManifest(mem.Crash(r), "g")
		noError(t, crashErr)
		if err == nil && after.UUID != "new" || after.UUID != "old" && after.UUID != "new" {
			t.Fatalf("call %d failed (%v), then the power: generation %s", k, err, after.UUID)
		}
		if disk.Calls(vfs.OpChanges)-before < k {
			return
		}
	}
}

func TestOnlyWhatTheManifestNamesStays(t *testing.T) {
	mem := &vfs.Mem{}
	m := sample("u")
	for _, dir := range []string{"g/wal", "g/pin-1"} {
		noError(t, mem.MkdirAll(dir))
	}
	for _, name := range []string{"s1.seg", "s1-graph.idx", "s1-9.tomb", "s1-8.tomb", "tmp-s2.seg", "MANIFEST.tmp", "wal/1.log", "pin-1/x"} {
		noError(t, vfs.WriteAtomic(mem, path.Join("g", name), nil))
	}
	noError(t, m.write(mem, "g"))
	noError(t, m.removeLeftovers(mem, "g"))
	infos, err := mem.List("g")
	noError(t, err)
	var names []string
	for _, info := range infos {
		names = append(names, info.Name)
	}
	if want := []string{"MANIFEST", "s1-9.tomb", "s1-graph.idx", "s1.seg", "wal"}; !slices.Equal(names, want) {
		t.Errorf("left: %v, want %v", names, want)
	}
	if _, err := mem.Stat("g/wal/1.log"); err != nil {
		t.Error(err)
	}
}

func FuzzDecodeManifest(f *testing.F) {
	b, err := sample("u").encode()
	noError(f, err)
	f.Add(b[bytes.IndexByte(b, '\n')+1:])
	f.Fuzz(func(t *testing.T, body []byte) {
		head := fmt.Sprintf("sextant-manifest 1 %d ", len(body))
		sum := crc32.Checksum(append([]byte(head), body...), castagnoli)
		m, err := decodeManifest("m", fmt.Appendf(nil, "%s%08x\n%s", head, sum, body))
		if err == nil {
			if _, err := m.encode(); err != nil {
				t.Fatalf("read but not written again: %v", err)
			}
		}
	})
}

// A digest that is not the sum of the rows is found by a scrub, however sound the files are.
func TestAScrubRecountsTheDigest(t *testing.T) {
	disk := &vfs.Mem{}
	s := create(t, disk, Options{})
	update(t, s, sextant.Upsert{Points: randomPoints(rand.New(rand.NewPCG(1, 1)), 0, 50)})
	_, err := s.Checkpoint(t.Context())
	ok(t, err)
	m := *s.keeper.manifest()
	ok(t, s.Scrub(t.Context(), 1, task.NewProgress("scrub")))
	ok(t, s.Close())
	m.Digest = slices.Clone(m.Digest)
	m.Digest[5]++
	ok(t, m.write(disk, "/shard/g1"))
	s = reopen(t, disk, Options{})
	err = s.Scrub(t.Context(), 1, task.NewProgress("scrub"))
	if sextant.KindOf(err) != sextant.Corrupt || !strings.Contains(err.Error(), "differs in 1 ranges") || s.Damage() == nil {
		t.Fatal(err)
	}
	if _, err := s.Update(t.Context(), sextant.Upsert{Points: randomPoints(rand.New(rand.NewPCG(1, 1)), 0, 1)}, sextant.Applied); sextant.KindOf(err) != sextant.Corrupt {
		t.Fatal(err)
	}
	ok(t, s.Close())
}

// A clone goes by its rows, not by what its shard took for their digest: else it could look complete and lack points.
func TestACloneRecountsTheDigest(t *testing.T) {
	points := sextant.Upsert{Points: randomPoints(rand.New(rand.NewPCG(1, 1)), 0, 50)}
	from, to := &vfs.Mem{}, &vfs.Mem{}
	sender, old := create(t, from, Options{UUID: "u"}), create(t, to, Options{UUID: "u"})
	update(t, sender, points)
	update(t, old, sextant.Upsert{Points: points.Points[:40]})
	_, err := old.Checkpoint(t.Context())
	ok(t, err)
	m := *old.keeper.manifest()
	ok(t, old.Close())
	b, err := sender.OpenBase(t.Context())
	ok(t, err)
	m.Digest = b.sum.Ranges()
	ok(t, m.write(to, "/shard/g1"))
	old = reopen(t, to, Options{})
	in, err := NewIntakeFromShard(t.Context(), old, b.Head(), Attempt{1, 1}, Options{FS: to})
	ok(t, err)
	if ranges, err := in.Ranges(); err != nil || len(ranges) == 0 {
		t.Fatalf("%d ranges differ, %v", len(ranges), err)
	}
	if err := in.Complete(t.Context()); err == nil {
		t.Fatal("complete without the points that are missing")
	}
	ok(t, in.Discard())
	b.Close()
	ok(t, old.Close())
	ok(t, sender.Close())
}
