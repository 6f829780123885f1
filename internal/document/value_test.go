package document

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sextantdb/sextant"
)

func values(doc, path string) string {
	var got []string
	Walk([]byte(doc), sextant.MustPath(path), func(v Value) bool {
		got = append(got, string(v.Raw()))
		return true
	})
	return strings.Join(got, " ")
}

func TestWalk(t *testing.T) {
	f := func(doc, path, want string) {
		t.Helper()
		if got := values(doc, path); got != want {
			t.Errorf("%s of %s: %q, want %q", path, doc, got, want)
		}
		if !strings.Contains(path, "[]") {
			if got := string(Find([]byte(doc), sextant.MustPath(path)).Raw()); got != want {
				t.Errorf("Find %s of %s: %q, want %q", path, doc, got, want)
			}
		}
	}
	f(`{"a":{"b":1}}`, "a.b", "1")
	f(`{"a":[{"b":1},{"b":[2,3]}]}`, "a.b", "")
	f(`{"a":[{"b":1},{"b":[2,3]}]}`, "a[].b", "1 [2,3]")
	f(`{"a":[{"b":1},{"b":[2,3]}]}`, "a[].b[]", "2 3")
	f(`{"a":[{"b":1},{"b":[2,3]}]}`, "a[1].b", "[2,3]")
	f(`{"a":[{"b":1},{"b":[2,3]}]}`, "a[2].b", "")
	f(`{"a":[[],[1,"],}"],{}]}`, "a[][]", `1 "],}"`)
	f(`{"a.b":1}`, "a.b", "")
	f(`{"a.b":1}`, `"a.b"`, "1")
	f(`{"a":null}`, "a", "null")
	f(`{"a":null}`, "a[]", "")
	f(`{"a":null}`, "a.b", "")
	f(`{"a":[]}`, "a[]", "")
	f(`{"x\ny":"v"}`, "\"x\ny\"", `"v"`)
	f(`{"ab":1,"a":2,"b":{"a":3}}`, "a", "2")
	f("", "a", "")
	f("{}", "a", "")
}

func TestWalkStops(t *testing.T) {
	n := 0
	Walk([]byte(`{"a":[1,2,3]}`), sextant.MustPath("a[]"), func(Value) bool { n++; return n < 2 })
	if n != 2 {
		t.Fatalf("saw %d values", n)
	}
}

func TestNum(t *testing.T) {
	f := func(in string, want string) {
		t.Helper()
		n, ok := Parse([]byte(in)).Num()
		if got := fmt.Sprintf("%v %v %v %v %v", n.Float, n.Int, n.IsInt, n.Digits, ok); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	f("5", "5 5 true true true")
	f("-5", "-5 -5 true true true")
	f("5.0", "5 5 true false true")
	f("5e2", "500 500 true false true")
	f("5.5", "5.5 0 false false true")
	f("9223372036854775807", "9.223372036854776e+18 9223372036854775807 true true true")
	f("9223372036854775808", "9.223372036854776e+18 0 false true true")
	f("9.3e18", "9.3e+18 0 false false true")
	f("-9223372036854775808", "-9.223372036854776e+18 -9223372036854775808 true true true")
	f("-9223372036854775809", "-9.223372036854776e+18 0 false true true")
	f("18446744073709551615", "1.8446744073709552e+19 0 false true true")
	f("99999999999999999999", "1e+20 0 false true true")
	f(`"5"`, "0 0 false false false")
	f("true", "0 0 false false false")
}

func TestNothingPanicsOnDamagedDocuments(t *testing.T) {
	const doc = `{"a":[1,{"b":"x\"y\u00e9"},[null]],"c":{"d":true,"a":-1.5e3}}`
	paths := []string{"a", "a[]", "a[1].b", "a[].b", "c.d", "c.a", "a[2][0]"}
	for i := range len(doc) {
		for _, c := range []byte("{}[]\",:\\n1 \x00\xff") {
			b := []byte(doc)
			b[i] = c
			exercise(b, paths)
		}
		exercise([]byte(doc[:i]), paths)
	}
}

func FuzzDamagedDocument(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":"x"}],"c":{"d":true}}`), "a[].b")
	f.Fuzz(func(t *testing.T, doc []byte, path string) {
		if _, err := sextant.ParsePath(path); err == nil {
			exercise(doc, []string{path})
		}
	})
}

func exercise(doc []byte, paths []string) {
	for _, p := range paths {
		path := sextant.MustPath(p)
		Walk(doc, path, func(v Value) bool {
			v.Num()
			v.Text(nil)
			v.Len()
			v.Is("x\"y")
			v.Members(func(k, _ Value) bool { k.Text(nil); return true })
			return true
		})
		Find(doc, path)
		Merge(doc, []byte(`{"b":null,"z":1}`), path)
		Merge(doc, doc, path)
		Delete(doc, []sextant.Path{path})
		Project(doc, sextant.PayloadSelector{Include: []sextant.Path{path}})
		Project(doc, sextant.PayloadSelector{Exclude: []sextant.Path{path}})
	}
}

func BenchmarkFind(b *testing.B) {
	doc := []byte(`{"city":"Berlin","price":12.5,"count":1234,"tags":["red","green"],"geo":{"lon":13.4,"lat":52.5},"last":7}`)
	path := sextant.MustPath("last")
	b.ReportAllocs()
	for b.Loop() {
		Find(doc, path).Num()
	}
}
