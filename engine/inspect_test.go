package engine

import (
	"errors"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/vfs"
)

func TestInspectTellsWhatIsThere(t *testing.T) {
	mem, _ := restorable(t, 6, 3)
	noError(t, mem.MkdirAll("s/g2"))
	noError(t, vfs.WriteAtomic(mem, "s/g1/tmp-x", nil))
	var records []order.Seq
	r, err := Inspect(t.Context(), mem, "s", func(rec LogRecord) error { records = append(records, rec.Seq); return nil })
	noError(t, err)
	if r.Generation != 1 || !slices.Equal(r.Others, []string{"g2"}) || !slices.Equal(r.Leftovers, []string{"tmp-x"}) {
		t.Errorf("directories: %+v", r)
	}
	if r.UUID != "shard-6" || r.Checkpoint != (order.Pos{Seq: 6, Term: 2}) || len(r.Schema.Fields) != 1 {
		t.Errorf("manifest: %+v", r)
	}
	if !slices.Equal(records, []order.Seq{7, 8, 9}) || r.Log.Last != (order.Pos{Seq: 9, Term: 3}) || r.Log.Used != 5 {
		t.Errorf("log: %v, %+v", records, r.Log)
	}
	if len(r.Segments) != 2 || r.Segments[0].Rows != 50 || r.Segments[0].Dead != 2 || r.Segments[1].Dead != 0 {
		t.Errorf("segments: %+v", r.Segments)
	}
	if damage := r.Damage(); damage != nil {
		t.Errorf("damage: %v", damage)
	}
	stop := errors.New("enough")
	if _, err := Inspect(t.Context(), mem, "s", func(LogRecord) error { return stop }); err != stop {
		t.Errorf("stopped with %v", err)
	}
	if _, err := Inspect(t.Context(), mem, "elsewhere", nil); sextant.KindOf(err) != sextant.NotFound {
		t.Errorf("no shard: %v", err)
	}
}

// One changed byte in any stored file is found and named; in a derived one it is told, and no damage.
func TestInspectFindsDamage(t *testing.T) {
	mem, _ := restorable(t, 6, 3)
	r, err := Inspect(t.Context(), mem, "s", nil)
	noError(t, err)
	files := map[string]bool{"wal/00000000000000000007.log": false}
	for _, s := range r.Segments {
		for _, f := range s.Files {
			files[f.Name] = f.Derived
		}
	}
	for name, derived := range files {
		name = path.Join("s/g1", name)
		good, err := vfs.ReadFile(mem, name)
		noError(t, err)
		bad := slices.Clone(good)
		bad[len(bad)/2] ^= 1
		noError(t, vfs.WriteAtomic(mem, name, bad))
		r, err := Inspect(t.Context(), mem, "s", nil)
		noError(t, err)
		damage := r.Damage()
		if derived && len(damage) != 0 || !derived && (len(damage) != 1 || sextant.KindOf(damage[0]) != sextant.Corrupt ||
			!strings.Contains(damage[0].Error(), name)) {
			t.Errorf("%s: %v", name, damage)
		}
		told := 0
		for _, s := range r.Segments {
			for _, f := range s.Files {
				if f.Err != nil {
					told++
				}
			}
		}
		if derived && told != 1 {
			t.Errorf("%s: told %d times", name, told)
		}
		noError(t, vfs.WriteAtomic(mem, name, good))
	}
	noError(t, mem.RemoveAll("s/g1/wal"))
	r, err = Inspect(t.Context(), mem, "s", nil)
	noError(t, err)
	if damage := r.Damage(); len(damage) != 1 {
		t.Errorf("no log: %v", damage)
	}
}
