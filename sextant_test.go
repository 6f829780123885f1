package sextant

import (
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
)

func TestUUIDsAreReadInEverySpelling(t *testing.T) {
	const want = "936da01f-9abd-4d9d-80c7-02af85c822a8"
	for _, s := range []string{want, strings.ToUpper(want), strings.ReplaceAll(want, "-", ""), "urn:uuid:" + want, "{" + want + "}"} {
		id, ok := ParseUUID(s)
		if !ok || id.String() != want {
			t.Errorf("ParseUUID(%q) = %v, %v", s, id, ok)
		}
	}
	for _, s := range []string{"", "1", want[1:], want + "0", "936da01f-9abd-4d9d-80c7-02af85c822ag", "936da01f+9abd-4d9d-80c7-02af85c822a8", "{" + want} {
		if _, ok := ParseUUID(s); ok {
			t.Errorf("ParseUUID(%q) succeeded", s)
		}
	}
}

func TestPointIDsAreOrderedNumbersFirst(t *testing.T) {
	ids := []PointID{}
	for _, s := range []string{"00000000-0000-0000-0000-000000000001", "10", "18446744073709551615", "3", "ffffffff-0000-0000-0000-000000000000", "0"} {
		id, ok := ParsePointID(s)
		if !ok {
			t.Fatal(s)
		}
		ids = append(ids, id)
	}
	slices.SortFunc(ids, PointID.Compare)
	got, _ := json.Marshal(ids)
	const want = `[0,3,10,18446744073709551615,"00000000-0000-0000-0000-000000000001","ffffffff-0000-0000-0000-000000000000"]`
	if string(got) != want {
		t.Errorf("got %s", got)
	}
}

func TestPathsPrintAsTheyAreRead(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		p, err := ParsePath(in)
		if err != nil || p.String() != want {
			t.Errorf("ParsePath(%q) = %q, %v; want %q", in, p, err, want)
		}
	}
	f("a", "a")
	f("a.b[].c[12]", "a.b[].c[12]")
	f(`"my key"."a.b"[0]`, `"my key"."a.b"[0]`)
	f(`"plain"`, "plain")
	f("größe-1_x.名前", "größe-1_x.名前")
	f(`""`, `""`)
	for _, bad := range []string{"", ".", "a..b", "a.", ".a", "a[", "a[x]", "a[-1]", "a[+1]", "[0]", "a b", `"a`, `"a"b`, `"a\"b"`, "a[]b"} {
		if p, err := ParsePath(bad); err == nil || KindOf(err) != Malformed {
			t.Errorf("ParsePath(%q) = %q, %v", bad, p, err)
		}
	}
}

func TestErrorsKeepKindAndCause(t *testing.T) {
	err := Errorf(Corrupt, "file %s: %w", "x", fs.ErrNotExist)
	wrapped := errors.Join(errors.New("outer"), err)
	if KindOf(wrapped) != Corrupt || !errors.Is(wrapped, fs.ErrNotExist) || err.Error() != "file x: file does not exist" {
		t.Errorf("got %v, kind %v", err, KindOf(wrapped))
	}
	if KindOf(errors.New("plain")) != Internal {
		t.Error("a plain error is not Internal")
	}
	for _, k := range Kinds() {
		if k.String() == "" {
			t.Errorf("kind %d has no name", k)
		}
	}
}

func TestVectorsConfigKeepsItsForm(t *testing.T) {
	for _, in := range []string{
		`{"size":4,"distance":"Dot"}`,
		`{"":{"size":4,"distance":"Dot"}}`,
		`{"size":{"size":4,"distance":"Cosine"},"distance":{"size":3,"distance":"Dot"}}`,
		`{}`,
	} {
		var c VectorsConfig
		if err := json.Unmarshal([]byte(in), &c); err != nil {
			t.Fatal(in, err)
		}
		var a, b any
		out, _ := json.Marshal(c)
		_ = json.Unmarshal(out, &a)
		_ = json.Unmarshal([]byte(in), &b)
		if x, _ := json.Marshal(a); string(x) != func() string { y, _ := json.Marshal(b); return string(y) }() {
			t.Errorf("%s came back as %s", in, out)
		}
	}
}

func TestSortSparseFindsDoubledIndices(t *testing.T) {
	indices, values := []uint32{7, 1, 3}, []float32{70, 10, 30}
	if !SortSparse(indices, values) || !slices.Equal(indices, []uint32{1, 3, 7}) || !slices.Equal(values, []float32{10, 30, 70}) {
		t.Errorf("got %v %v", indices, values)
	}
	if SortSparse([]uint32{2, 1, 2}, []float32{1, 2, 3}) || SortSparse([]uint32{1, 1}, []float32{1, 2}) {
		t.Error("doubled indices were not noticed")
	}
}

func FuzzParsePath(f *testing.F) {
	f.Add(`a."b c"[3].d[]`)
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePath(s)
		if err != nil {
			return
		}
		again, err := ParsePath(p.String())
		if err != nil || !slices.Equal(again.Steps, p.Steps) {
			t.Errorf("%q printed as %q read back as %v, %v", s, p.String(), again, err)
		}
	})
}
