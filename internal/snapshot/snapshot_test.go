package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/vfs"
)

var blob = bytes.Repeat([]byte("0123456789abcdef"), partBytes/16*2+100)

func archive(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, "collection", map[string]int{"answer": 42})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"shards/0": blob} {
		err := w.Stream(name, func(w io.Writer) error { _, err := w.Write(data); return err })
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Stream("shards/1", func(w io.Writer) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestArchiveAndBack(t *testing.T) {
	data := archive(t)
	got := map[string][]byte{}
	m, names, err := Verify(bytes.NewReader(data), func(name string, r io.Reader) (err error) {
		got[name], err = io.ReadAll(r)
		return err
	})
	if err != nil || m.Kind != "collection" || string(m.Body) != `{"answer":42}` || strings.Join(names, " ") != "shards/0 shards/1" {
		t.Fatal(err, m, names)
	}
	if !bytes.Equal(got["shards/0"], blob) || len(got["shards/1"]) != 0 {
		t.Error("streams came back changed")
	}
}

// A cut, a flipped byte, another tar, no tar at all: always an error of the request, never a half archive.
func TestDamagedArchivesAreRefused(t *testing.T) {
	data := archive(t)
	check := func(what string, b []byte) {
		t.Helper()
		if _, _, err := Verify(bytes.NewReader(b), nil); sextant.KindOf(err) != sextant.BadRequest {
			t.Errorf("%s: %v", what, err)
		}
	}
	for at := 0; at < len(data)-1100; at += len(data)/97 + 1 {
		check("cut", data[:at])
	}
	check("flipped", flip(data, 3000+partBytes/2))
	check("manifest", flip(data, 520))
	check("text", []byte(strings.Repeat("this is not an archive ", 100)))
	check("empty", nil)
}

func flip(data []byte, at int) []byte {
	b := bytes.Clone(data)
	b[at] ^= 4
	return b
}

func FuzzVerify(f *testing.F) {
	f.Add(archive(f)[:4096])
	f.Fuzz(func(t *testing.T, b []byte) { Verify(bytes.NewReader(b), nil) })
}

// The file appears whole, with its checksum, or not at all; two of one second have two names.
func TestStore(t *testing.T) {
	disk := &vfs.Mem{}
	s := &Store{FS: disk, Dir: "/snapshots", Temp: "/snapshots/tmp"}
	now := time.Date(2022, 8, 4, 10, 49, 10, 0, time.UTC)
	write := func(w io.Writer) error { _, err := io.WriteString(w, "data"); return err }
	a, err := s.Create("c", "c-1", now, write)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Create("c", "c-1", now, write)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("data"))
	want := Info{Name: "c-1-2022-08-04-10-49-10.snapshot", Created: now, Size: 4, Checksum: hex.EncodeToString(sum[:])}
	if a != want || b.Name != "c-1-2022-08-04-10-49-10-1.snapshot" || b.Created != now {
		t.Errorf("%+v\n%+v", a, b)
	}
	if list, err := s.List("c"); err != nil || len(list) != 2 || list[0] != b && list[0] != a {
		t.Errorf("%+v %v", list, err)
	}
	info, f, err := s.Open("c", a.Name)
	if err != nil || info != a {
		t.Fatal(info, err)
	}
	f.Close()
	boom := errors.New("boom")
	if _, err := s.Create("c", "c-1", now.Add(time.Second), func(w io.Writer) error { write(w); return boom }); !errors.Is(err, boom) {
		t.Error(err)
	}
	for _, name := range []string{"none.snapshot", "../c/" + a.Name, "..", a.Name + ".checksum", ""} {
		if err := s.Delete("c", name); sextant.KindOf(err) != sextant.NotFound || err.Error() != "Snapshot "+name+" not found" {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{a.Name, b.Name} {
		if err := s.Delete("c", name); err != nil {
			t.Error(err)
		}
	}
	for _, dir := range []string{"/snapshots/c", "/snapshots/tmp"} {
		if left, _ := disk.List(dir); len(left) > 0 {
			t.Errorf("left in %s: %v", dir, left)
		}
	}
}

// On a disk that fails at any call a snapshot is there and whole, or not there.
func TestStoreOnFailingDisk(t *testing.T) {
	for size := int64(0); size < 80; size += 7 {
		disk := &vfs.Mem{}
		disk.SetSize(size)
		s := &Store{FS: disk, Dir: "/s", Temp: "/s/tmp"}
		_, err := s.Create("c", "c", time.Unix(0, 0), func(w io.Writer) error { _, err := w.Write(make([]byte, 10)); return err })
		list, _ := s.List("c")
		if (err == nil) != (len(list) == 1) {
			t.Errorf("size %d: %v, %v", size, err, list)
		}
		if left, _ := disk.List("/s/tmp"); len(left) > 0 {
			t.Errorf("size %d: left %v", size, left)
		}
	}
}

func TestLocations(t *testing.T) {
	f := func(s string, want Location, text string) {
		t.Helper()
		got, err := ParseLocation(s)
		if got != want || (err == nil) != (text == "") || err != nil && err.Error() != text {
			t.Errorf("%s: %+v %v", s, got, err)
		}
	}
	f("http://h/x", Location{URL: "http://h/x"}, "")
	f("file:///a/../b", Location{File: "/b"}, "")
	f("file://localhost/b", Location{File: "/b"}, "")
	f("file://b", Location{}, "Invalid snapshot URI, file path must be absolute or on localhost")
	f("x.snapshot", Location{Name: "x.snapshot"}, "")
	f("ftp://h/x", Location{}, "URL ftp://h/x with scheme ftp is not supported")
	if !Inside("/a", "/a/b/c") || Inside("/a", "/ab") || Inside("/a", "/a/../c") || Inside("/a", "/") {
		t.Error("Inside")
	}
}

func TestFetch(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Api-Key") != "k" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		io.WriteString(w, "data")
	}))
	defer server.Close()
	var b strings.Builder
	if err := Fetch(t.Context(), server.Client(), server.URL, "k", &b); err != nil || b.String() != "data" {
		t.Error(err, b.String())
	}
	if err := Fetch(t.Context(), server.Client(), server.URL, "", &b); sextant.KindOf(err) != sextant.BadRequest {
		t.Error(err)
	}
}
