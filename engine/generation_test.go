package engine

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/vfs"
)

// generations makes a shard directory with generations 1 and 2, of which the first one counts.
func generations(t *testing.T) *vfs.Mem {
	t.Helper()
	mem := &vfs.Mem{}
	for n := range uint64(2) {
		dir := generationDir("s", n+1)
		noError(t, mem.MkdirAll(dir))
		noError(t, sample("u").write(mem, dir))
	}
	noError(t, writeCurrent(mem, "s", 1))
	return mem
}

func TestGenerations(t *testing.T) {
	mem := generations(t)
	for _, name := range []string{"s/gx", "s/g03", "s/other"} {
		noError(t, mem.MkdirAll(name))
	}
	if n, err := readCurrent(mem, "s"); n != 1 || err != nil {
		t.Errorf("current generation %d, %v", n, err)
	}
	if n, err := nextGeneration(mem, "s"); n != 3 || err != nil {
		t.Errorf("next generation %d, %v", n, err)
	}
	noError(t, writeCurrent(mem, "s", 2))
	noError(t, removeOthers(mem, "s", 2))
	if n, err := readCurrent(mem, "s"); n != 2 || err != nil {
		t.Errorf("current generation %d, %v", n, err)
	}
	infos, err := mem.List("s")
	noError(t, err)
	var names []string
	for _, info := range infos {
		names = append(names, info.Name)
	}
	if want := []string{"CURRENT", "g03", "g2", "gx", "other"}; !slices.Equal(names, want) {
		t.Errorf("left: %v, want %v", names, want)
	}
}

func TestAGenerationWithoutManifestNeverCounts(t *testing.T) {
	mem := generations(t)
	noError(t, mem.MkdirAll("s/g3"))
	if err := writeCurrent(mem, "s", 3); err == nil {
		t.Error("switched to an empty directory")
	}
	if n, err := readCurrent(mem, "s"); n != 1 || err != nil {
		t.Errorf("current generation %d, %v", n, err)
	}
}

func TestADamagedPointerIsRefused(t *testing.T) {
	mem := generations(t)
	good, err := vfs.ReadFile(mem, "s/CURRENT")
	noError(t, err)
	for i := range len(good) + 1 {
		b := slices.Clone(good)
		if i < len(b) {
			b[i] ^= 4
		} else {
			b = append(b, '\n')
		}
		noError(t, vfs.WriteAtomic(mem, "s/CURRENT", b))
		if n, err := readCurrent(mem, "s"); sextant.KindOf(err) != sextant.Corrupt {
			t.Errorf("byte %d differs: generation %d, %v", i, n, err)
		}
	}
	noError(t, mem.Remove("s/CURRENT"))
	if _, err := readCurrent(mem, "s"); sextant.KindOf(err) != sextant.NotFound {
		t.Errorf("missing: %v", err)
	}
}

func TestTheSwitchIsAtomic(t *testing.T) {
	for k := 1; ; k++ {
		r := rand.New(rand.NewPCG(uint64(k), 1))
		mem := generations(t)
		disk := vfs.NewFaulty(mem)
		disk.FailAt(k, errors.New("no"), vfs.OpChanges)
		err := writeCurrent(disk, "s", 2)
		if err == nil {
			err = removeOthers(disk, "s", 2)
		}
		for _, fsys := range []vfs.FS{mem.Kill(), mem.Crash(r)} {
			n, readErr := readCurrent(fsys, "s")
			noError(t, readErr)
			if err == nil && n != 2 {
				t.Fatalf("call %d: no error, generation %d", k, n)
			}
			if _, readErr := readManifest(fsys, generationDir("s", n)); readErr != nil {
				t.Fatalf("call %d (%v): generation %d counts: %v", k, err, n, readErr)
			}
		}
		if disk.Calls(vfs.OpChanges) < k {
			return
		}
	}
}
