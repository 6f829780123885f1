package consensus

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/vfs"
)

// words is a machine that strings commands together and refuses one.
type words struct{ text string }

func (w *words) Apply(_ uint64, c []byte) error {
	if string(c) == "no" {
		return errors.New("refused")
	}
	w.text += string(c) + " "
	return nil
}
func (w *words) Image() []byte          { return []byte(w.text) }
func (w *words) Restore(b []byte) error { w.text = string(b); return nil }

func open(t *testing.T, fs vfs.FS) (*Solo, *words) {
	t.Helper()
	w := &words{}
	s, err := OpenSolo(fs, "d/topology", w)
	if err != nil {
		t.Fatal(err)
	}
	return s, w
}

// What Propose returned for is there after a power loss; a refused command, or one that did not reach the disk, is not.
func TestProposedIsDurable(t *testing.T) {
	disk := &vfs.Mem{}
	if err := disk.MkdirAll("d"); err != nil {
		t.Fatal(err)
	}
	s, w := open(t, disk)
	for _, c := range []string{"a", "no", "b"} {
		if err := s.Propose(t.Context(), []byte(c)); (err != nil) != (c == "no") {
			t.Fatal(err)
		}
	}
	disk.SetSize(1)
	if err := s.Propose(t.Context(), []byte("c")); err == nil || w.text != "a b " {
		t.Errorf("on a full disk: %v, %q", err, w.text)
	}
	disk.SetSize(1 << 20)
	next := disk.Crash(rand.New(rand.NewPCG(1, 2)))
	s, w = open(t, next)
	if w.text != "a b " || s.index != 2 {
		t.Errorf("after the crash: %q, %d", w.text, s.index)
	}
}

// No flipped bit and no cut goes unnoticed.
func TestDamageIsSeen(t *testing.T) {
	good := encode(7, []byte("image"))
	if index, image, ok := decode(good); !ok || index != 7 || string(image) != "image" {
		t.Fatal("what was written cannot be read")
	}
	for bit := range len(good) * 8 {
		bad := []byte(string(good))
		bad[bit/8] ^= 1 << (bit % 8)
		if _, _, ok := decode(bad); ok {
			t.Errorf("bit %d flipped, not seen", bit)
		}
	}
	for n := range good {
		if _, _, ok := decode(good[:n]); ok {
			t.Errorf("cut to %d, not seen", n)
		}
	}
	disk := &vfs.Mem{}
	if err := vfs.WriteAtomic(disk, "topology", good[:9]); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSolo(disk, "topology", &words{}); sextant.KindOf(err) != sextant.Corrupt || !strings.Contains(err.Error(), "topology") {
		t.Error(err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(1, []byte("x")))
	f.Fuzz(func(t *testing.T, b []byte) { decode(b) })
}
