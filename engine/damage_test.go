package engine_test

import (
	"bytes"
	"context"
	"io"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine"
	"github.com/sextantdb/sextant/internal/vfs"
	"github.com/sextantdb/sextant/internal/wal"
)

// image is all files of a disk.
type image map[string][]byte

func imageOf(t *testing.T, fsys vfs.FS, dir string) image {
	t.Helper()
	all := image{}
	infos, err := fsys.List(dir)
	must(t, err)
	for _, info := range infos {
		name := path.Join(dir, info.Name)
		if info.Dir {
			maps.Copy(all, imageOf(t, fsys, name))
			continue
		}
		b, err := vfs.ReadFile(fsys, name)
		must(t, err)
		all[name] = b
	}
	return all
}

// disk makes a disk with the files.
func (m image) disk(t *testing.T) *vfs.Mem {
	t.Helper()
	disk := &vfs.Mem{}
	for name, b := range m {
		must(t, disk.MkdirAll(path.Dir(name)))
		must(t, vfs.WriteAtomic(disk, name, b))
	}
	return disk
}

// victim is a closed shard with every kind of file that there is.
type victim struct {
	files   image
	model   *model
	log     []wal.Record
	derived map[string]bool // by name: can be made anew
	kinds   map[string]bool
}

func newVictim(t *testing.T) *victim {
	g := newSaga(t, 1)
	g.ids = 150
	cfg := sextant.DefaultConfig()
	cfg.WAL = sextant.WALConfig{CapacityMB: 1, RetainClosed: 1}
	cfg.Optimizer.IndexingThreshold = new(uint64)
	*cfg.Optimizer.IndexingThreshold = 1
	s, err := engine.Create(shardDir, startSchema(), engine.Options{FS: g.disk, Config: cfg})
	must(t, err)
	must(t, s.UseTerm(context.Background(), 1))
	for _, key := range slices.Sorted(maps.Keys(fieldNames)) {
		must(t, g.send(s, sextant.CreateField{Key: sextant.MustPath(key), Spec: fieldNames[key]}, sextant.Applied))
	}
	steps := func(n int) {
		for range n {
			must(t, g.send(s, g.update(startSchema()), sextant.Applied))
		}
	}
	steps(40)
	pad := sextant.Payload(`{"pad":"` + strings.Repeat("x", 400<<10) + `"}`)
	for range 3 { // a second file of the log
		must(t, g.send(s, sextant.Upsert{Points: []sextant.Point{{ID: g.id(), Payload: pad}}}, sextant.Applied))
	}
	steps(20)
	_, err = s.Checkpoint(context.Background())
	must(t, err)
	time.Sleep(time.Minute) // graphs are built
	steps(20)
	_, err = s.Checkpoint(context.Background())
	must(t, err)
	time.Sleep(time.Minute)
	must(t, g.send(s, sextant.DeletePoints{Selector: sextant.Selector{IDs: g.someIDs()}}, sextant.Applied))
	_, err = s.Checkpoint(context.Background())
	must(t, err)
	steps(10) // stay in the log
	g.agrees(s)
	v := &victim{derived: map[string]bool{}, kinds: map[string]bool{}}
	v.log, err = readLog(s)
	must(t, err)
	must(t, s.Close())
	must(t, g.settle().Close())
	v.model, v.files = g.base, imageOf(t, g.disk, shardDir)
	delete(v.files, path.Join(shardDir, "LOCK"))
	report, err := engine.Inspect(context.Background(), g.disk, shardDir, nil)
	must(t, err)
	for _, seg := range report.Segments {
		for _, f := range seg.Files {
			v.derived[f.Name] = f.Derived
			v.kinds[f.Kind] = true
		}
	}
	return v
}

// readLog returns all entries that a shard has.
func readLog(s *engine.Shard) (all []wal.Record, err error) {
	r, err := s.OpenLog(1)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for {
		records, err := r.Next(s.Stands().Last.Seq, 1<<20)
		if err != nil || len(records) == 0 {
			return all, err
		}
		all = append(all, records...)
	}
}

// suffer opens the shard with one damaged file and reads everything: whatever is answered is right. Damage of a stored
// file is told as such, by the file's name, and if the shard cannot be opened nothing is changed; a derived one is made
// anew. It says whether the damage was told.
func (v *victim) suffer(t *testing.T, name string, damaged image, seed uint64) (told bool) {
	t.Helper()
	disk := damaged.disk(t)
	blames := func(err error) bool {
		return sextant.KindOf(err) == sextant.Corrupt && strings.Contains(err.Error(), path.Base(name))
	}
	s, err := engine.Open(shardDir, engine.Options{FS: disk})
	if err != nil {
		if !blames(err) || v.derived[path.Base(name)] {
			t.Fatalf("open with a damaged %s: %v", name, err)
		}
		after := imageOf(t, disk, shardDir)
		delete(after, path.Join(shardDir, "LOCK"))
		if !maps.EqualFunc(after, damaged, bytes.Equal) {
			t.Fatalf("open with a damaged %s changed files", name)
		}
		return true
	}
	ask := func() {
		t.Helper()
		for _, err := range []error{contents(s, v.model), answers(s, v.model, newWorkload(seed, 150))} {
			if err != nil && (!blames(err) || v.derived[path.Base(name)]) {
				t.Fatalf("with a damaged %s: %v", name, err)
			}
			told = told || err != nil
		}
	}
	ask()
	log, err := readLog(s)
	if err == nil && !reflect.DeepEqual(log, v.log) || err != nil && !strings.Contains(err.Error(), path.Base(name)) {
		t.Fatalf("with a damaged %s, the log has %d entries, %v", name, len(log), err)
	}
	told = told || err != nil
	if _, err := s.Snapshot(context.Background(), io.Discard); err != nil {
		if !blames(err) {
			t.Fatalf("snapshot with a damaged %s: %v", name, err)
		}
		told = true
	}
	time.Sleep(2 * time.Minute)
	ask()
	if _, err := s.Snapshot(context.Background(), io.Discard); err != nil && (!blames(err) || v.derived[path.Base(name)]) {
		t.Fatalf("snapshot with a damaged %s: %v", name, err)
	}
	must(t, s.Close())
	if strings.Contains(name, "/wal/") {
		return told
	}
	report, err := engine.Inspect(context.Background(), disk, shardDir, nil)
	must(t, err)
	_, gone := disk.Stat(name) // a stored file may be merged into another while its damage is where nothing is stored
	if healed := len(report.Damage()) == 0; told && healed != (v.derived[path.Base(name)] || gone != nil) {
		t.Fatalf("left behind after damage of %s: %v", name, report.Damage())
	}
	return told
}

// One flipped bit, in any file, never makes a wrong answer; nor does a file that is short or gone.
func TestDamageIsNeverAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVictim(t)
		if len(v.kinds) < 6 {
			t.Errorf("only these kinds of files are there: %v", v.kinds)
		}
		for _, name := range slices.Sorted(maps.Keys(v.files)) {
			w := newWorkload(max(1, *seedFlag), 1)
			b := v.files[name]
			told, tries := 0, 6**runsFlag
			try := func(damage []byte) {
				damaged := maps.Clone(v.files)
				damaged[name] = damage
				if damage == nil {
					delete(damaged, name)
				}
				if v.suffer(t, name, damaged, w.Uint64()) {
					told++
				}
			}
			for i := range tries {
				at := w.IntN(len(b))
				switch i % 4 {
				case 0:
					at = w.IntN(min(len(b), 100))
				case 1:
					at = len(b) - 1 - w.IntN(min(len(b), 100))
				case 2:
					at = len(b) - 1 - w.IntN(min(len(b), 8<<10)) // of a log: behind the checkpoint
				}
				flipped := bytes.Clone(b)
				flipped[at] ^= 1 << w.IntN(8)
				try(flipped)
			}
			if !strings.Contains(name, "/wal/") && path.Base(name) != "CURRENT" { // without CURRENT there is no shard
				try(b[:w.IntN(len(b))])
				try(nil)
				tries += 2
			}
			t.Logf("%d of %d times damage was told: %s", told, tries, path.Base(name))
		}
	})
}
