package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sextantdb/sextant"
)

var documents = []string{`{}`, `[]`, `null`, `true`, `false`, `"a"`, `1`, ` { "a" : [ 1 , 2.5e3 , "x" ] , "b" : null } `, `{"a":1,}`, `[1,]`,
	`[,1]`, `{"a"}`, `{"a":}`, `{a:1}`, `[1 2]`, `"\u00e9\n\ud83d\ude00"`, `"\ud83d"`, `"\udc00\ud83d"`, `"\x"`, "\"\x01\"", "\"\xff\"", "\"é\"",
	"\"\xed\xa0\x80\"", `nul`, `truE`, `[[[]]]`, `{"a":{"b":{}}}`, ``, ` `, `[`, `{`, `"`, `{"a":1}x`, `1 2`, "[1,\n2,\t3\r]", "\xef\xbb\xbf[]",
	`{"points":[{"id":1,"vector":[0.1,-2e-3],"payload":{"k":"v"}}]}`}

// sameVerdict checks that the scanner accepts exactly what an independent parser accepts.
func sameVerdict(t *testing.T, body []byte) {
	t.Helper()
	if bytes.Count(body, []byte("["))+bytes.Count(body, []byte("{")) > maxDepth {
		return
	}
	d := jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowDuplicateNames(true))
	_, err := d.ReadValue()
	if err == nil {
		_, more := d.ReadToken()
		if more == nil || more.Error() != "EOF" {
			err = fmt.Errorf("more than one value")
		}
	}
	s := &scanner{b: body}
	s.skip()
	s.end()
	if (s.err == nil) != (err == nil) {
		t.Fatalf("%q: scanner says %v, jsontext says %v", body, s.err, err)
	}
}

func TestScannerAcceptsExactlyJSON(t *testing.T) {
	for _, d := range documents {
		sameVerdict(t, []byte(d))
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 30_000 { // every document with a few bytes changed
		b := []byte(documents[r.IntN(len(documents))])
		for range r.IntN(3) {
			if len(b) > 0 {
				b[r.IntN(len(b))] = "{}[]\",:0123456789.eE+- \\utfnax"[r.IntN(30)]
			}
		}
		sameVerdict(t, b)
	}
}

func FuzzScanner(f *testing.F) {
	for _, d := range documents {
		f.Add([]byte(d))
	}
	f.Fuzz(func(t *testing.T, body []byte) { sameVerdict(t, body) })
}

// readers are all decoders of bodies.
var readers = []func(*scanner){
	func(s *scanner) { s.upsert() }, func(s *scanner) { s.updateVectors() }, func(s *scanner) { s.deleteVectors() },
	func(s *scanner) { s.setPayload() }, func(s *scanner) { s.deletePayload() }, func(s *scanner) { s.deletePoints() },
	func(s *scanner) { s.updateBatch() }, func(s *scanner) { s.queryRequest() }, func(s *scanner) { s.legacySearch() },
	func(s *scanner) { s.searchBatch(s.queryRequest) }, func(s *scanner) { s.scrollRequest() }, func(s *scanner) { s.retrieveRequest() },
	func(s *scanner) { s.countRequest() }, func(s *scanner) { s.createCollection() }, func(s *scanner) { s.patchCollection() },
	func(s *scanner) { s.createIndex() }, func(s *scanner) { s.vectorSchema() }, func(s *scanner) { s.aliasActions() },
	func(s *scanner) { s.recovery() },
}

// neverAcceptsBroken checks that no decoder panics, and that what one accepts, or refuses only for its values, is JSON.
func neverAcceptsBroken(t *testing.T, which int, body []byte) {
	t.Helper()
	s := &scanner{b: body}
	readers[which%len(readers)](s)
	err := s.finish()
	if s.depth != 0 && s.err == nil || len(s.path) != 0 && s.err == nil {
		t.Fatalf("%d %q: depth %d, path %v", which, body, s.depth, s.path)
	}
	if sextant.KindOf(err) == sextant.Malformed && err != nil {
		return
	}
	v := jsontext.Value(body)
	if !v.IsValid(jsontext.AllowDuplicateNames(true)) {
		t.Fatalf("%d %q is no JSON, but: %v", which, body, err)
	}
}

// seeds are accepted bodies for FuzzBodies, by decoder.
func seeds() (list []struct {
	which int
	body  string
}) {
	add := func(which int, bodies ...string) {
		for _, b := range bodies {
			list = append(list, struct {
				which int
				body  string
			}{which, b})
		}
	}
	add(0, `{"points":[{"id":1,"vector":{"a":[0.1],"m":[[1,2],[3,4]],"s":{"indices":[1],"values":[2]}},"payload":{"k":[1,"x",null,{}]}}]}`,
		`{"batch":{"ids":[1,"936da01f-9abd-4d9d-80c7-02af85c822a8"],"vectors":{"a":[[1],[2]]},"payloads":[{},null]},"update_mode":"insert_only"}`)
	add(5, `{"filter":{"must":[{"key":"a.b[]","match":{"any":["x"]}},{"is_empty":{"key":"k"}},{"nested":{"key":"a","filter":{}}},{"slice":{"total":2,"index":1}}],"should":{"has_id":[1]},"min_should":{"conditions":[],"min_count":1}}}`)
	add(7, `{"query":{"nearest":[1,2]},"params":{"hnsw_ef":3,"quantization":{"oversampling":2}},"with_payload":{"include":["a"]},"prefetch":[]}`,
		`{"query":{"recommend":{"positive":[1]}},"filter":{"must":{"key":"k","range":{"gt":"2014-01-01"}}}}`)
	add(13, `{"vectors":{"size":4,"distance":"Dot"},"quantization_config":{"scalar":{"type":"int8"}},"metadata":{"a":1}}`)
	add(15, `{"field_name":"a","field_schema":{"type":"text","stopwords":"english","stemmer":{"type":"none"}}}`)
	add(6, `{"operations":[{"delete":{"points":[1]}},{"set_payload":{"payload":{},"points":[1]}}]}`)
	return list
}

func TestNoDecoderAcceptsBrokenBodies(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	all := seeds()
	for range 60_000 {
		seed := all[r.IntN(len(all))]
		b := []byte(seed.body)
		for range 1 + r.IntN(3) {
			i := r.IntN(len(b))
			switch r.IntN(3) {
			case 0:
				b[i] = "{}[]\",:0123456789.eE+- \\utfnax"[r.IntN(30)]
			case 1:
				b = append(b[:i], b[i+1:]...)
			case 2:
				j := r.IntN(len(b))
				b = append(b[:i], append(bytes.Clone(b[min(i, j):max(i, j)]), b[i:]...)...)
			}
			if len(b) == 0 {
				break
			}
		}
		which := seed.which
		if r.IntN(4) == 0 {
			which = r.IntN(len(readers))
		}
		neverAcceptsBroken(t, which, b)
	}
}

func FuzzBodies(f *testing.F) {
	for _, seed := range seeds() {
		f.Add(seed.which, []byte(seed.body))
	}
	f.Fuzz(func(t *testing.T, which int, body []byte) {
		if which >= 0 {
			neverAcceptsBroken(t, which, body)
		}
	})
}

// Strings come out as encoding/json reads them.
func TestStringsAreUnescaped(t *testing.T) {
	for _, text := range []string{`"abc"`, `""`, `"a\"b\\c\/d\b\f\n\r\t"`, `"\u0041\u00e9\u20ac"`, `"\ud83d\ude00x"`, `"plain é then \n escape"`, `"日本"`} {
		var want string
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		s := &scanner{b: []byte(text)}
		if got := s.str(); got != want || s.err != nil {
			t.Errorf("%s: %q, %v; want %q", text, got, s.err, want)
		}
	}
}

func TestDeepNestingIsRefusedClearly(t *testing.T) {
	deep := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	filter := strings.Repeat(`{"must":`, 10_000) + `{}` + strings.Repeat(`}`, 10_000)
	payload := `{"points":[{"id":1,"vector":[1],"payload":{"a":` + deep + `}}]}`
	for name, f := range map[string]func(*scanner){
		deep:                            func(s *scanner) { s.skip() },
		`{"filter":` + filter + `}`:     func(s *scanner) { s.scrollRequest() },
		`{"query":{"x":` + deep + `}}`:  func(s *scanner) { s.queryRequest() },
		`{"prefetch":` + deep + `}`:     func(s *scanner) { s.queryRequest() },
		payload:                         func(s *scanner) { s.upsert() },
		strings.Repeat(`{"a":`, 10_000): func(s *scanner) { s.skip() },
	} {
		s := &scanner{b: []byte(name)}
		f(s)
		err := s.finish()
		if sextant.KindOf(err) != sextant.Malformed || !strings.Contains(err.Error(), "128") {
			t.Errorf("%.30s…: %v", name, err)
		}
	}
}

// pointBody is the shape of an upsert for encoding/json, the oracle.
type pointBody struct {
	Points []struct {
		ID      uint64          `json:"id"`
		Vector  []float32       `json:"vector"`
		Payload json.RawMessage `json:"payload"`
	} `json:"points"`
}

// randomBody makes an upsert with floats in many spellings.
func randomBody(r *rand.Rand, points, dim int, long bool) []byte {
	var b bytes.Buffer
	b.WriteString(`{"points":[`)
	for i := range points {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":%d,"vector":[`, i)
		for j := range dim {
			if j > 0 {
				b.WriteByte(',')
			}
			if long {
				fmt.Fprint(&b, float64(float32(r.NormFloat64()/20)))
			} else {
				fmt.Fprint(&b, float32(r.NormFloat64()/20))
			}
		}
		fmt.Fprintf(&b, `],"payload":{"title":"point %d","rank":%d,"tags":["a","b"]}}`, i, i)
	}
	b.WriteString("]}")
	return b.Bytes()
}

func TestUpsertReadsWhatEncodingJSONReads(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, long := range []bool{false, true} {
		body := randomBody(r, 300, 33, long)
		var want pointBody
		if err := json.Unmarshal(body, &want); err != nil {
			t.Fatal(err)
		}
		s := &scanner{b: body}
		c := s.upsert()
		if err := s.finish(); err != nil {
			t.Fatal(err)
		}
		points := c.updates[0].(sextant.Upsert).Points
		if len(points) != len(want.Points) {
			t.Fatalf("%d points, want %d", len(points), len(want.Points))
		}
		for i, p := range points {
			w := want.Points[i]
			got := p.Vectors[0]
			if p.ID != sextant.NumID(w.ID) || got.Kind != sextant.Dense || fmt.Sprint(got.Values) != fmt.Sprint(w.Vector) ||
				string(p.Payload) != string(w.Payload) {
				t.Fatalf("point %d: %v %v %s, want %v", i, p.ID, got.Values, p.Payload, w)
			}
		}
	}
}

func BenchmarkUpsert(b *testing.B) {
	for _, long := range []bool{false, true} {
		body := randomBody(rand.New(rand.NewPCG(7, 8)), 1000, 768, long)
		b.Run(fmt.Sprintf("decoder=own/digits17=%v", long), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				s := &scanner{b: body}
				s.upsert()
				if err := s.finish(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("decoder=encodingjson/digits17=%v", long), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				var p pointBody
				if err := json.Unmarshal(body, &p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
