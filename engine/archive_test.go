package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/segment"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/task"
	"github.com/sextantdb/sextant/internal/vfs"
	"github.com/sextantdb/sextant/internal/wal"
)

// makeGeneration makes a whole generation, log included, of two real segments, of which one has dead rows. Its last three
// entries are the only ones that left something.
func makeGeneration(t testing.TB, fsys vfs.FS, dir string, last uint64) *manifest {
	t.Helper()
	schema := segment.NewSchema(sextant.Schema{
		Vectors: map[string]sextant.VectorSpec{"": {Kind: sextant.Dense, Dim: 4, Distance: sextant.Dot}},
		Fields:  map[string]sextant.FieldSpec{"city": {Type: sextant.KeywordField}},
	})
	tuning := segment.NewTuning(sextant.DefaultConfig())
	noError(t, fsys.MkdirAll(dir))
	state := segment.NewState(schema, tuning, nil, nil, last-3)
	m := &manifest{UUID: fmt.Sprint("shard-", last), Schema: schema, History: order.History{{Term: 2, First: 1}},
		At: order.Pos{Seq: order.Seq(last), Term: 2}}
	for n := range 2 {
		var points []sextant.Point
		for i := range 50 {
			points = append(points, sextant.Point{
				ID:      sextant.PointID{Lo: uint64(100*n + i)},
				Vectors: []sextant.NamedVector{{Vector: sextant.Vector{Values: []float32{1, 2, float32(i), float32(last)}}}},
				Payload: sextant.Payload(fmt.Sprintf(`{"city":"c%d"}`, i%3)),
			})
		}
		noError(t, state.Apply(last-2+uint64(n), sextant.Upsert{Points: points}))
		state.Freeze()
		v := state.Publish()
		parts := v.Parts()
		meta, remap, err := segment.BuildSegment(t.Context(), fsys, dir, fmt.Sprintf("seg%d-%d", last, n), parts[n:n+1], schema,
			tuning, task.NewProgress("build"))
		noError(t, err)
		sealed, err := segment.Open(fsys, dir, meta)
		noError(t, err)
		noError(t, state.Replace(sealed, remap))
		v.Release()
	}
	noError(t, state.Apply(last, sextant.DeletePoints{Selector: sextant.Selector{IDs: []sextant.PointID{{Lo: 3}, {Lo: 7}}}}))
	v := state.Publish()
	defer state.Close()
	defer v.Release()
	for _, p := range v.Parts() {
		if p.Sealed == nil {
			continue
		}
		e := segmentEntry{Meta: p.Sealed.Meta()}
		if p.Tombs.Dead() > 0 {
			ref, err := segment.WriteTombstones(fsys, dir, e.UUID+".tomb", p.Tombs)
			noError(t, err)
			e.Tombs = &ref
		}
		m.Segments = append(m.Segments, e)
	}
	if len(m.Segments) != 2 || len(m.files()) < 5 {
		t.Fatalf("the test's generation is too simple: %+v", m.Segments)
	}
	digest := state.Digest()
	m.Digest = digest.Ranges()
	noError(t, m.write(fsys, dir))
	l, err := wal.Create(fsys, path.Join(dir, logDir), m.At, m.History, wal.Options{})
	noError(t, err)
	noError(t, l.Close())
	return m
}

func archiveOf(t testing.TB, fsys vfs.FS, dir string, m *manifest) []byte {
	t.Helper()
	var b bytes.Buffer
	noError(t, writeArchive(t.Context(), &b, fsys, dir, m))
	return b.Bytes()
}

// unpack reads an archive into a fresh directory.
func unpack(t testing.TB, archive []byte) (*manifest, *vfs.Mem, error) {
	mem := &vfs.Mem{}
	noError(t, mem.MkdirAll("new"))
	m, err := readArchive(t.Context(), bytes.NewReader(archive), mem, "new")
	return m, mem, err
}

func contents(t testing.TB, fsys vfs.FS, dir string) map[string]string {
	t.Helper()
	infos, err := fsys.List(dir)
	noError(t, err)
	out := map[string]string{}
	for _, info := range infos {
		if !info.Dir {
			b, err := vfs.ReadFile(fsys, path.Join(dir, info.Name))
			noError(t, err)
			out[info.Name] = string(b)
		}
	}
	return out
}

func TestAnArchiveHoldsAGeneration(t *testing.T) {
	mem := &vfs.Mem{}
	m := makeGeneration(t, mem, "g", 9)
	noError(t, vfs.WriteAtomic(mem, "g/leftover", []byte("x")))
	archive := archiveOf(t, mem, "g", m)
	got, disk, err := unpack(t, archive)
	noError(t, err)
	if !reflect.DeepEqual(got, m) {
		t.Errorf("manifest\n%+v, want\n%+v", got, m)
	}
	want := contents(t, mem, "g")
	delete(want, "leftover")
	if have := contents(t, disk, "new"); !reflect.DeepEqual(have, want) {
		t.Errorf("files differ")
	}
	noError(t, tryOpen(disk, "new", got))
	if again := archiveOf(t, disk, "new", got); !bytes.Equal(again, archive) {
		t.Error("the archive of an unpacked archive is another one")
	}
	r := rand.New(rand.NewPCG(1, 1))
	if have := contents(t, disk.Crash(r), "new"); !reflect.DeepEqual(have, want) {
		t.Error("after a power loss files differ")
	}
}

// No damage of an archive passes: either it is in bytes that mean nothing, or the archive is refused as wrong input.
func TestADamagedArchiveIsRefused(t *testing.T) {
	mem := &vfs.Mem{}
	m := makeGeneration(t, mem, "g", 9)
	archive := archiveOf(t, mem, "g", m)
	want := contents(t, mem, "g")
	harmless := 0
	for i := 0; i < len(archive); i += 1 + i%29 {
		b := slices.Clone(archive)
		b[i] ^= 1 << (i % 8)
		_, disk, err := unpack(t, b)
		switch {
		case err != nil && sextant.KindOf(err) != sextant.WrongInput:
			t.Fatalf("byte %d: %v", i, err)
		case err == nil && !reflect.DeepEqual(contents(t, disk, "new"), want):
			t.Fatalf("byte %d: other files, no error", i)
		case err == nil:
			harmless++
		default:
			if _, err := disk.Stat("new/MANIFEST"); err == nil {
				t.Fatalf("byte %d: refused, and left a manifest", i)
			}
		}
	}
	if harmless > len(archive)/20/2 {
		t.Errorf("%d changes were harmless", harmless)
	}
	files := m.files()
	tail := 1024 + 512 // marks of the end, and what fills the last file's block
	if last := files[len(files)-1]; last.Bytes%512 == 0 {
		tail -= 512
	}
	for i := 0; i < len(archive)-tail; i += 1 + i%97 {
		if _, _, err := unpack(t, archive[:i]); sextant.KindOf(err) != sextant.WrongInput {
			t.Fatalf("cut at %d of %d: %v", i, len(archive), err)
		}
	}
}

func TestWhatIsNoArchiveIsRefused(t *testing.T) {
	mem := &vfs.Mem{}
	m := makeGeneration(t, mem, "g", 9)
	type member struct {
		head tar.Header
		body string
	}
	var members []member
	for in := tar.NewReader(bytes.NewReader(archiveOf(t, mem, "g", m))); ; {
		head, err := in.Next()
		if err == io.EOF {
			break
		}
		noError(t, err)
		body, err := io.ReadAll(in)
		noError(t, err)
		members = append(members, member{tar.Header{Typeflag: tar.TypeReg, Name: head.Name, Size: head.Size, Mode: head.Mode}, string(body)})
	}
	f := func(what string, change func([]member) []member) {
		t.Helper()
		var b bytes.Buffer
		out := tar.NewWriter(&b)
		for _, m := range change(slices.Clone(members)) {
			noError(t, out.WriteHeader(&m.head))
			_, err := io.WriteString(out, m.body)
			noError(t, err)
		}
		noError(t, out.Close())
		_, disk, err := unpack(t, b.Bytes())
		if what == "as it is" {
			noError(t, err)
			return
		}
		if sextant.KindOf(err) != sextant.WrongInput || !strings.HasPrefix(err.Error(), "Snapshot is not a valid shard snapshot: ") {
			t.Errorf("%s: %v", what, err)
		}
		infos, err := disk.List("/")
		noError(t, err)
		if len(infos) != 1 {
			t.Errorf("%s: wrote outside: %v", what, infos)
		}
	}
	file := func(name, body string) member {
		return member{tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(body)), Mode: 0o644}, body}
	}
	f("as it is", func(l []member) []member { return l })
	f("no manifest", func(l []member) []member { return l[1:] })
	f("nothing", func([]member) []member { return nil })
	f("another order", func(l []member) []member { l[1], l[2] = l[2], l[1]; return l })
	f("a file less", func(l []member) []member { return l[:len(l)-1] })
	f("a file more", func(l []member) []member { return append(l, file("more", "x")) })
	f("a way out", func(l []member) []member { l[1].head.Name = "../../" + l[1].head.Name; return l })
	f("an absolute name", func(l []member) []member { l[1].head.Name = "/" + l[1].head.Name; return l })
	f("a longer file", func(l []member) []member { l[1].body += "x"; l[1].head.Size++; return l })
	f("a link", func(l []member) []member {
		l[1] = member{head: tar.Header{Typeflag: tar.TypeSymlink, Name: l[1].head.Name, Linkname: "/etc/passwd"}}
		return l
	})
	f("a manifest that leads out", func(l []member) []member {
		evil := strings.Replace(l[0].body, `"name":"seg9-0.seg"`, `"name":"../x.seg"`, 1)
		return append([]member{file(manifestFile, evil)}, l[1:]...)
	})
	if _, _, err := unpack(t, []byte("hello")); sextant.KindOf(err) != sextant.WrongInput {
		t.Errorf("text: %v", err)
	}
}

// Damage on the sender's disk ends the archive; it does not travel.
func TestDamageIsNotArchived(t *testing.T) {
	mem := &vfs.Mem{}
	m := makeGeneration(t, mem, "g", 9)
	for _, ref := range m.files() {
		name := path.Join("g", ref.Name)
		good, err := vfs.ReadFile(mem, name)
		noError(t, err)
		for _, bad := range [][]byte{append(slices.Clone(good[:len(good)/2]), append([]byte{good[len(good)/2] ^ 1}, good[len(good)/2+1:]...)...),
			good[:len(good)-1]} {
			noError(t, vfs.WriteAtomic(mem, name, bad))
			err = writeArchive(t.Context(), io.Discard, mem, "g", m)
			if sextant.KindOf(err) != sextant.Corrupt || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v", name, err)
			}
		}
		noError(t, vfs.WriteAtomic(mem, name, good))
	}
}

func TestErrorsOfOthersAreNotTheArchives(t *testing.T) {
	mem := &vfs.Mem{}
	m := makeGeneration(t, mem, "g", 9)
	archive := archiveOf(t, mem, "g", m)
	noError(t, mem.MkdirAll("new"))

	gone := errors.New("connection lost")
	for _, at := range []int{0, 100, 600, len(archive) / 2} {
		r := io.MultiReader(bytes.NewReader(archive[:at]), failingReader{gone})
		if _, err := readArchive(t.Context(), r, mem, "new"); !errors.Is(err, gone) || sextant.KindOf(err) != sextant.Internal {
			t.Errorf("source fails at %d: %v", at, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := readArchive(ctx, bytes.NewReader(archive), mem, "new"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := writeArchive(ctx, io.Discard, mem, "g", m); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	mem.SetSize(10)
	if _, err := readArchive(t.Context(), bytes.NewReader(archive), mem, "new"); err == nil || !strings.Contains(err.Error(), "Not enough space") {
		t.Errorf("no room: %v", err)
	}
	mem.SetSize(1 << 30)
	disk := vfs.NewFaulty(mem)
	for k := 1; ; k++ {
		noError(t, mem.RemoveAll("new"))
		noError(t, mem.MkdirAll("new"))
		before := disk.Calls(vfs.OpChanges)
		disk.FailAt(k, syscall.EIO, vfs.OpChanges)
		_, err := readArchive(t.Context(), bytes.NewReader(archive), disk, "new")
		disk.Heal()
		if disk.Calls(vfs.OpChanges)-before < k {
			noError(t, err)
			break
		}
		if !errors.Is(err, syscall.EIO) {
			t.Fatalf("call %d: %v", k, err)
		}
	}
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

// What is pinned stays readable while the generation goes on without it.
func TestPinnedFilesStay(t *testing.T) {
	mem := &vfs.Mem{}
	m := makeGeneration(t, mem, "g", 9)
	want := archiveOf(t, mem, "g", m)
	a, err := pinFiles(mem, "g", m)
	noError(t, err)
	b, err := pinFiles(mem, "g", m)
	noError(t, err)
	for _, ref := range m.files() {
		noError(t, mem.Remove(path.Join("g", ref.Name)))
	}
	if got := archiveOf(t, mem, a, m); !bytes.Equal(got, want) {
		t.Error("the first archive differs")
	}
	noError(t, mem.RemoveAll(a))
	if got := archiveOf(t, mem, b, m); !bytes.Equal(got, want) {
		t.Error("the second archive differs")
	}
	if _, err := pinFiles(mem, "g", m); err == nil {
		t.Error("pinned files that are gone")
	}
	noError(t, m.removeLeftovers(mem, "g"))
	if _, err := mem.Stat(b); err == nil {
		t.Error("a pin outlives a restart")
	}
}
