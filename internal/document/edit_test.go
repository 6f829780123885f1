package document

import (
	"testing"

	"github.com/sextantdb/sextant"
)

func TestMerge(t *testing.T) {
	f := func(old, patch, key, want string) {
		t.Helper()
		var path sextant.Path
		if key != "" {
			path = sextant.MustPath(key)
		}
		if got := Merge([]byte(old), []byte(patch), path); string(got) != want {
			t.Errorf("%s + %s at %q: %s, want %s", old, patch, key, got, want)
		}
	}
	f(``, `{"a":1}`, "", `{"a":1}`)
	f(`{"a":1,"b":{"x":1,"y":2}}`, `{"b":{"z":3},"c":[]}`, "", `{"a":1,"b":{"z":3},"c":[]}`)
	f(`{"a":1,"b":2,"c":3}`, `{"b":null,"x":null}`, "", `{"a":1,"c":3}`)
	f(`{"a":1}`, `{"a":null}`, "", `{}`)
	f(`{"a":1}`, ``, "", `{"a":1}`)
	f(`{}`, `{"x":1}`, "a.b", `{"a":{"b":{"x":1}}}`)
	f(`{"a":5,"c":1}`, `{"x":1}`, "a", `{"a":{"x":1},"c":1}`)
	f(`{"a":5}`, `{"x":1}`, "a.b", `{"a":{"b":{"x":1}}}`)
	f(`{"a":{"b":{"x":1,"y":2}}}`, `{"y":null,"z":{"q":null}}`, "a.b", `{"a":{"b":{"x":1,"z":{"q":null}}}}`)
	f(`{"a":[{"x":1},5,{}]}`, `{"y":2}`, "a[]", `{"a":[{"x":1,"y":2},{"y":2},{"y":2}]}`)
	f(`{"a":[{"x":1},5,{}]}`, `{"y":2}`, "a[1]", `{"a":[{"x":1},{"y":2},{}]}`)
	f(`{"a":[{"x":1}]}`, `{"y":2}`, "a[2]", `{"a":[{"x":1}]}`)
	f(`{"a":[{"b":1}]}`, `{"y":2}`, "a[].b.c", `{"a":[{"b":{"c":{"y":2}}}]}`)
	f(`{"a":1}`, `{"y":2}`, "a[]", `{"a":1}`)
	f(`{"a":1}`, `{"y":2}`, "b[0]", `{"a":1}`)
	f(`{"a":1}`, `{"y":2}`, "a.b[]", `{"a":1}`)
	f(`{"a":1}`, `{"y":2}`, `"q.r"`, `{"a":1,"q.r":{"y":2}}`)
	f(`{"a":1}`, `{}`, `b`, `{"a":1,"b":{}}`)
	f(`{"k3":"old","k19":0}`, `{"k0":0,"k1":1,"k2":2,"k3":3,"k4":4,"k5":5,"k6":6,"k7":7,"k8":8,"k9":9,"k10":10,"k11":11,"k12":12,"k13":13,"k14":14,"k15":15,"k16":16,"k19":null}`, "",
		`{"k3":3,"k0":0,"k1":1,"k2":2,"k4":4,"k5":5,"k6":6,"k7":7,"k8":8,"k9":9,"k10":10,"k11":11,"k12":12,"k13":13,"k14":14,"k15":15,"k16":16}`)
}

func TestDelete(t *testing.T) {
	f := func(old, want string, keys ...string) {
		t.Helper()
		var paths []sextant.Path
		for _, k := range keys {
			paths = append(paths, sextant.MustPath(k))
		}
		if got := Delete([]byte(old), paths); string(got) != want {
			t.Errorf("%s - %q: %s, want %s", old, keys, got, want)
		}
	}
	f(``, `{}`, "a")
	f(`{"a":1}`, `{"a":1}`)
	f(`{"a":1,"b":2,"c":3}`, `{"b":2}`, "a", "c", "d")
	f(`{"a":{"b":1,"c":2}}`, `{"a":{"c":2}}`, "a.b", "a.x.y")
	f(`{"a":[1,2,3,4]}`, `{"a":[1,2,3,4]}`, "a[3]")
	f(`{"a":[1,2,3,4]}`, `{"a":[]}`, "a[]")
	f(`{"a":[{"b":1,"c":1},{"b":2},3]}`, `{"a":[{"c":1},{},3]}`, "a[].b")
	f(`{"a":[{"b":1,"c":1},{"b":2},3]}`, `{"a":[{"b":1,"c":1},{},3]}`, "a[1].b", "a[9].b")
	f(`{"a":[{"b":1}]}`, `{"a":[{"b":1}]}`, "a.b")
	f(`{"x y":1,"a":2}`, `{"a":2}`, `"x y"`)
}

func TestProject(t *testing.T) {
	f := func(doc string, include bool, want string, keys ...string) {
		t.Helper()
		paths := []sextant.Path{}
		for _, k := range keys {
			paths = append(paths, sextant.MustPath(k))
		}
		sel := sextant.PayloadSelector{Include: paths}
		if !include {
			sel = sextant.PayloadSelector{Exclude: paths}
		}
		if got := Project([]byte(doc), sel); string(got) != want {
			t.Errorf("%s, include %v %q: %s, want %s", doc, include, keys, got, want)
		}
	}
	const doc = `{"a":[{"b":1,"c":2},{"c":3},4],"d":{"e":5,"f":[6]},"g":7}`
	f(doc, true, `{}`)
	f(doc, true, `{"g":7}`, "g")
	f(doc, true, `{"g":7}`, "g", "nowhere")
	f(doc, true, `{"g":7}`, "g.h")
	f(doc, true, `{"a":[],"d":{"e":5}}`, "a.b", "d.e")
	f(`{"a":[{"b":1}]}`, true, `{"a":[]}`, "a.b")
	f(doc, true, `{"a":[{"b":1},{},4]}`, "a[].b")
	f(doc, true, `{"a":[]}`, "a[0]")
	f(doc, true, `{"a":[{"b":1,"c":2},{"c":3},4]}`, "a[]")
	f(doc, true, `{"d":{}}`, "d.x")
	f(doc, true, `{"d":{"e":5,"f":[6]}}`, "d.e", "d")
	f(doc, true, `{"d":{"f":[6]}}`, "d.f[]")
	f(doc, false, doc)
	f(doc, false, `{"d":{"e":5,"f":[6]},"g":7}`, "a")
	f(doc, false, `{"a":[{"b":1},{},4],"d":{"e":5,"f":[]},"g":7}`, "a[].c", "d.f[]")
	f(doc, false, doc, "a.b", "a[0]", "a[1].c", "g.h", "x")
	if got := Project(nil, sextant.PayloadSelector{All: true}); string(got) != "{}" {
		t.Errorf("all of nothing: %q", got)
	}
	if got := Project([]byte(doc), sextant.PayloadSelector{}); got != nil {
		t.Errorf("none: %q", got)
	}
	if got := Project([]byte(doc), sextant.PayloadSelector{All: true}); string(got) != doc {
		t.Errorf("all: %q", got)
	}
}
