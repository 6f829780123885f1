package document

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/sextantdb/sextant"
)

func TestCompact(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		got, err := Compact([]byte("x"), []byte(in))
		if err != nil || string(got) != "x"+want {
			t.Errorf("Compact(%s) = %s, %v; want %s", in, got, err, want)
		}
	}
	f(" { } ", "{}")
	f("\t[ 1 ,\r\n -2.50, 1E5 ] ", "[1,-2.50,1E5]")
	f(`{"b" : 1, "a": {"y":null ,"x":true}}`, `{"b":1,"a":{"y":null,"x":true}}`)
	f(`-9223372036854775808`, `-9223372036854775808`)
	f(`18446744073709551615`, `18446744073709551615`)
	f(`123456789012345678901234567890`, `123456789012345678901234567890`)
	f(`1e-400`, `1e-400`)
	f(`-0`, `-0`)
	f(`"\u0041\/\"\\\b\f\n\r\t\u001f\u00e9\ud83d\ude00é"`, `"A/\"\\\b\f\n\r\t\u001fé😀é"`)
	f(`{"a":1,"b":2,"\u0061":3}`, `{"a":3,"b":2}`)
	f(`{"a":1,"a":{"c":1,"c":[2]},"a":{"c":4,"c":5}}`, `{"a":{"c":5}}`)
	var many, want []string
	for i := range 40 {
		many = append(many, fmt.Sprintf(`"k%d":%d`, i%37, i))
		if i < 37 {
			want = append(want, fmt.Sprintf(`"k%d":%d`, i, i))
		}
	}
	want[0], want[1], want[2] = `"k0":37`, `"k1":38`, `"k2":39`
	f("{"+strings.Join(many, ",")+"}", "{"+strings.Join(want, ",")+"}")
	f(strings.Repeat("[", 128)+strings.Repeat("]", 128), strings.Repeat("[", 128)+strings.Repeat("]", 128))
}

func TestCompactErrorsNameThePlace(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		got, err := Compact([]byte("x"), []byte(in))
		if err == nil || err.Error() != want || sextant.KindOf(err) != sextant.Malformed || string(got) != "x" {
			t.Errorf("Compact(%s) = %q, %v; want %s", in, got, err, want)
		}
	}
	f("", "unexpected end of JSON, expected a value at line 1 column 1")
	f("{\n  \"a\": nul}", "expected a value at line 2 column 8")
	f(`{"a":1,}`, "expected a key in double quotes at line 1 column 8")
	f(`{"a" 1}`, "expected `:` at line 1 column 6")
	f(`{"a":1 "b":2}`, "expected `,` or `}` at line 1 column 8")
	f(`[1 2]`, "expected `,` or `]` at line 1 column 4")
	f(`[1,]`, "expected a value at line 1 column 4")
	f(`{} {}`, "unexpected characters after the value at line 1 column 4")
	f(`"a`, "unexpected end of JSON in a string at line 1 column 3")
	f("\"a\n\"", "control character in a string at line 1 column 3")
	f("\"\xff\"", "invalid UTF-8 in a string at line 1 column 3")
	f(`"\ud800"`, "invalid escape in a string at line 1 column 2")
	f(`"\ud800\u0041"`, "invalid escape in a string at line 1 column 2")
	f(`"\x"`, "invalid escape in a string at line 1 column 2")
	f(`01`, "invalid number at line 1 column 3")
	f(`1.`, "invalid number at line 1 column 3")
	f(`NaN`, "expected a value at line 1 column 1")
	f(`1e999`, "number out of range at line 1 column 6")
	f(strings.Repeat("9", 310), "number out of range at line 1 column 311")
	f(strings.Repeat(`{"a":`, 129), "nesting deeper than the limit of 128 levels at line 1 column 641")
}

// What encoding/json reads, Compact keeps; what it refuses, Compact refuses (it alone knows the depth limit and is
// stricter about UTF-8 and surrogates).
func FuzzCompact(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5,{"b":null}],"a":"\u00e9\n"}`, `[true,false]`, `"\ud83d\ude00"`, `{"a":{"a":{"a":1}}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := Compact(nil, in)
		var want any
		if jsonErr := json.Unmarshal(in, &want); (jsonErr != nil) && err == nil {
			t.Fatalf("accepted %q: %v", in, jsonErr)
		}
		if err != nil {
			return
		}
		var got any
		if err := json.Unmarshal(out, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q became %q", in, out)
		}
		again, err := Compact(nil, out)
		if err != nil || !bytes.Equal(again, out) {
			t.Fatalf("%q is not stable: %q", out, again)
		}
		if v := Parse(out); len(v.Raw()) != len(out) {
			t.Fatalf("%q is skipped as %q", out, v.Raw())
		}
	})
}

func FuzzString(f *testing.F) {
	f.Add("a\x00\"\\\n\u2028é")
	f.Fuzz(func(t *testing.T, s string) {
		s = strings.ToValidUTF8(s, "")
		quoted := AppendString(nil, s)
		out, err := Compact(nil, quoted)
		if err != nil || !bytes.Equal(out, quoted) {
			t.Fatalf("%q quoted as %s, compacted to %s, %v", s, quoted, out, err)
		}
		v := Parse(out)
		if v.String() != s || !v.Is(s) || v.Is(s+"x") || s != "" && v.Is(s[1:]) {
			t.Fatalf("%q read as %q", s, v.String())
		}
		plain, _ := json.Marshal(s)
		if out, err := Compact(nil, plain); err != nil || !bytes.Equal(out, quoted) {
			t.Fatalf("%s compacted to %s, %v", plain, out, err)
		}
	})
}

func BenchmarkCompact(b *testing.B) {
	in := []byte(`{"city": "Berlin", "price": 12.5, "count": 1234, "tags": ["red", "green"], "geo": {"lon": 13.4, "lat": 52.5}}`)
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	var buf []byte
	for b.Loop() {
		buf, _ = Compact(buf[:0], in)
	}
}
