package payload

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sextantdb/sextant"
)

func english(spec sextant.TextSpec) sextant.FieldSpec {
	return sextant.FieldSpec{Type: sextant.TextField, Text: &spec}
}

// both runs a test on a head and on a sealed index of the field k.
func both(src *memory, key string, spec sextant.FieldSpec, f func(src *memory, index FieldIndex)) {
	for _, s := range []*memory{src.withHead(key, spec), src.withSealed(key, spec)} {
		f(s, s.fields[key])
	}
}

func TestTextIndex(t *testing.T) {
	base := segment(`{"k":"Running the Foxes"}`, `{"k":"the fox ran"}`, `{"k":["fast","run fox"]}`, `{"k":5}`)
	spec := english(sextant.TextSpec{StopLanguages: []string{"english"}, Stemmer: "english", Phrase: true})
	match := func(mode sextant.TextMode, text string) *sextant.Filter {
		return must(on("k", sextant.MatchText{Text: text, Mode: mode}))
	}
	both(base, "k", spec, func(src *memory, _ FieldIndex) {
		f := func(mode sextant.TextMode, text, want string) {
			t.Helper()
			if got := points(t, src, match(mode, text)); got != want {
				t.Errorf("%q in mode %d gives %q, want %q", text, mode, got, want)
			}
		}
		f(sextant.TextAll, "fox run", "1 3")
		f(sextant.TextAll, "the", "")
		f(sextant.TextAny, "ran cats", "2")
		f(sextant.TextAll, "fox unseen", "")
		f(sextant.TextPhrase, "run fox", "1 3")
		f(sextant.TextPhrase, "fox ran", "2")
		f(sextant.TextPhrase, "fast run", "")
		f(sextant.TextPhrase, "fox", "1 2 3")
		f(sextant.TextAny, "", "")
		if got := points(t, src, must(sextant.IsEmpty{Key: sextant.MustPath("k")})); got != "" {
			t.Errorf("empty: %q", got)
		}
	})
	spec.Text.Phrase = false
	both(base, "k", spec, func(src *memory, _ FieldIndex) {
		if got := points(t, src, match(sextant.TextPhrase, "run fox")); got != "" {
			t.Errorf("phrase without phrase matching: %q", got)
		}
	})
	if got := points(t, base, match(sextant.TextAll, "Fox")); got != "1" {
		t.Errorf("without index: %q", got)
	}
	prefix := english(sextant.TextSpec{Tokenizer: "prefix", MinTokenLen: 2, MaxTokenLen: 4})
	both(segment(`{"k":"Hello"}`), "k", prefix, func(src *memory, _ FieldIndex) {
		for text, want := range map[string]string{"HELLOX": "1", "h": "", "help": "", "he": "1", "hell": "1"} {
			if got := points(t, src, match(sextant.TextAll, text)); got != want {
				t.Errorf("prefix %q: %q, want %q", text, got, want)
			}
		}
	})
}

func facet(index FieldIndex, rows ...uint32) string {
	set := make([]uint64, 4)
	for _, r := range rows {
		set[r/64] |= 1 << (r % 64)
	}
	var out []string
	index.Facet(set, func(v any, n uint32) bool { out = append(out, fmt.Sprintf("%v:%d", v, n)); return true })
	return strings.Join(out, " ")
}

func TestFacets(t *testing.T) {
	docs := []string{`{"k":["a","b"]}`, `{"k":"a"}`, `{"k":"b"}`, `{"k":["c","c"]}`, `{"k":7}`, `{"k":[true,7,-1,"550E8400E29B41D4A716446655440000"]}`}
	f := func(typ sextant.FieldType, points uint32, all, some string) {
		t.Helper()
		both(segment(docs...), "k", typed(typ), func(src *memory, index FieldIndex) {
			extra := uint32(0)
			if h, ok := index.(*HeadField); ok {
				extra = h.Points() - uint32(len(slices.DeleteFunc(slices.Clone(h.sets[indexed]), func(r uint32) bool { return r >= 6 })))
			}
			if got := index.Points() - extra; got != points {
				t.Errorf("%s: %d points, want %d", typ, got, points)
			}
			if got := index.PointsIn([]uint64{1<<6 - 1, 0}); got != points {
				t.Errorf("%s: %d points in the segment, want %d", typ, got, points)
			}
			if got := facet(index, 0, 1, 2, 3, 4, 5); got != all {
				t.Errorf("%s: %s, want %s", typ, got, all)
			}
			if got := facet(index, 0, 3); got != some {
				t.Errorf("%s of two rows: %s, want %s", typ, got, some)
			}
			var values []string
			index.Values(func(v any, rows func(func(uint32) bool)) bool {
				n := 0
				rows(func(r uint32) bool {
					if r < 6 {
						n++
					}
					return true
				})
				values = append(values, fmt.Sprintf("%v:%d", v, n))
				return true
			})
			if got := strings.Join(values, " "); got != all {
				t.Errorf("%s values: %s, want %s", typ, got, all)
			}
		})
	}
	f(sextant.KeywordField, 5, "550E8400E29B41D4A716446655440000:1 a:2 b:2 c:1", "a:1 b:1 c:1")
	f(sextant.IntegerField, 2, "-1:1 7:2", "")
	f(sextant.BoolField, 1, "true:1", "")
	f(sextant.UUIDField, 1, "550e8400-e29b-41d4-a716-446655440000:1", "")
	f(sextant.FloatField, 2, "", "")
	f(sextant.TextField, 5, "", "")
}

func ordered(index FieldIndex, n uint32, desc bool, start *sextant.OrderStart) string {
	var out []string
	index.Ordered(desc, start, func(v sextant.OrderValue, row uint32) bool {
		if row < n {
			if v.IsFloat {
				out = append(out, fmt.Sprintf("%v@%d", v.Float, row))
			} else {
				out = append(out, fmt.Sprintf("%d@%d", v.Int, row))
			}
		}
		return true
	})
	return strings.Join(out, " ")
}

func TestOrder(t *testing.T) {
	src := segment(`{"k":3}`, `{"k":[1,3,3.0]}`, `{"k":-2.5}`, `{"k":"2024-05-01"}`, `{"k":2}`, `{}`, `{"k":"1969-12-31T23:59:59"}`)
	f := func(typ sextant.FieldType, desc bool, start *sextant.OrderStart, want string) {
		t.Helper()
		both(src, "k", typed(typ), func(_ *memory, index FieldIndex) {
			if got := ordered(index, 7, desc, start); got != want {
				t.Errorf("%T %s desc %v from %+v: %s, want %s", index, typ, desc, start, got, want)
			}
		})
	}
	f(sextant.IntegerField, false, nil, "1@1 2@4 3@0 3@1")
	f(sextant.IntegerField, true, nil, "3@0 3@1 2@4 1@1")
	f(sextant.IntegerField, false, &sextant.OrderStart{IsInt: true, Int: 2, Float: 2}, "2@4 3@0 3@1")
	f(sextant.IntegerField, false, &sextant.OrderStart{Float: 1.5}, "2@4 3@0 3@1")
	f(sextant.IntegerField, true, &sextant.OrderStart{Float: 2.5}, "2@4 1@1")
	f(sextant.FloatField, false, nil, "-2.5@2 1@1 2@4 3@0 3@1")
	f(sextant.FloatField, true, &sextant.OrderStart{IsInt: true, Int: 1, Float: 1}, "1@1 -2.5@2")
	f(sextant.FloatField, false, &sextant.OrderStart{Float: 2.5}, "3@0 3@1")
	f(sextant.DatetimeField, false, nil, "-1000000@6 1714521600000000@3")
	f(sextant.DatetimeField, true, &sextant.OrderStart{IsDatetime: true}, "-1000000@6")
	f(sextant.DatetimeField, false, &sextant.OrderStart{IsInt: true, Int: 5, Float: 5}, "1714521600000000@3")
	f(sextant.KeywordField, false, nil, "")
	f(sextant.BoolField, false, nil, "")
}

// Thousands of rows, so that heads have several sorted runs and sealed postings both forms, against a plain list.
func TestLargeFields(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(1, 2))}
	const n = 5000
	numbers := make([][]int64, n)
	src := &memory{fields: map[string]FieldIndex{}}
	for row := range numbers {
		for range 1 + d.IntN(2)*d.IntN(3) {
			numbers[row] = append(numbers[row], pick(d, int64(d.IntN(3)), int64(d.IntN(50)), d.Int64N(1<<40)-1<<39))
		}
		src.docs = append(src.docs, []byte(strings.ReplaceAll(fmt.Sprintf(`{"k":%v,"s":["x%d","y%d"]}`, numbers[row], numbers[row][0], row/10), " ", ",")))
	}
	both(src, "k", typed(sextant.IntegerField), func(src *memory, index FieldIndex) {
		for range 100 {
			lo, hi := float64(pick(d, -1<<20, d.IntN(50))), float64(pick(d, d.IntN(60), 1<<39))
			var want []uint32
			for row, list := range numbers {
				if slices.ContainsFunc(list, func(i int64) bool { return float64(i) >= lo && float64(i) < hi }) {
					want = append(want, uint32(row))
				}
			}
			if got := found(t, src, must(on("k", sextant.Range{Gte: &lo, Lt: &hi}))); !slices.Equal(got, want) {
				t.Fatalf("%T: [%v,%v) has %d rows, want %d", index, lo, hi, len(got), len(want))
			}
		}
		for _, desc := range []bool{false, true} {
			type item struct {
				v   int64
				row uint32
			}
			var got, want []item
			index.Ordered(desc, nil, func(v sextant.OrderValue, row uint32) bool {
				if row < n {
					got = append(got, item{v.Int, row})
				}
				return true
			})
			for row, list := range numbers {
				for _, v := range list {
					want = append(want, item{v, uint32(row)})
				}
			}
			slices.SortFunc(want, func(a, b item) int {
				by := cmp.Compare(a.v, b.v)
				if desc {
					by = -by
				}
				return cmp.Or(by, cmp.Compare(a.row, b.row))
			})
			if want = slices.Compact(want); !slices.Equal(got, want) {
				t.Fatalf("%T: order, desc %v, differs", index, desc)
			}
		}
	})
	both(src, "s", typed(sextant.KeywordField), func(src *memory, index FieldIndex) {
		for _, v := range []string{"x0", "x1", "x49", "x7", "y0", "y499", "y500", "x"} {
			var want []uint32
			for row := range numbers {
				if v == fmt.Sprintf("x%d", numbers[row][0]) || v == fmt.Sprintf("y%d", row/10) {
					want = append(want, uint32(row))
				}
			}
			m, err := Compile(must(on("s", sextant.Match{Value: v})), src)
			if err != nil {
				t.Fatal(err)
			}
			if got := found(t, src, must(on("s", sextant.Match{Value: v}))); !slices.Equal(got, want) {
				t.Fatalf("%T: %s has %d rows, want %d", index, v, len(got), len(want))
			}
			if e := m.Estimate(); int(e.Min) != len(want) || e.Min != e.Max || !e.Exact {
				t.Fatalf("%T: %s is estimated %+v, has %d rows", index, v, e, len(want))
			}
		}
		if got := found(t, src, must(on("s", sextant.MatchPrefix{Prefix: "y1"}))); len(got) != 10+100+1000 {
			t.Fatalf("%T: prefix y1 has %d rows", index, len(got))
		}
	})
}

func TestASealedGeoIndexFindsWhatAScanFinds(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(3, 4))}
	src := &memory{fields: map[string]FieldIndex{}}
	for range 3000 {
		p := fmt.Sprintf(`{"lon":%v,"lat":%v}`, d.Float64()*360-180, d.Float64()*180-90)
		if d.IntN(4) == 0 {
			p = fmt.Sprintf(`[%s,{"lon":%v,"lat":%v}]`, p, 13+d.NormFloat64()/10, 52+d.NormFloat64()/10)
		}
		src.docs = append(src.docs, []byte(`{"k":`+p+`}`))
	}
	both(src, "k", typed(sextant.GeoField), func(src *memory, _ FieldIndex) {
		for range 60 {
			center := pick(d, sextant.GeoPoint{Lon: 13, Lat: 52}, sextant.GeoPoint{Lon: d.Float64()*360 - 180, Lat: d.Float64()*180 - 90})
			found(t, src, must(on("k", pick[sextant.FieldTest](d,
				sextant.GeoRadius{Center: center, Radius: pick(d, 3e3, 3e4, 1e6, 5e6, 1.2e7, 2e7)},
				sextant.GeoBox{TopLeft: sextant.GeoPoint{Lon: center.Lon, Lat: 60}, BottomRight: sextant.GeoPoint{Lon: d.Float64()*360 - 180, Lat: center.Lat - 20}}))))
		}
	})
}

func TestAHeadIsReadWhileItGrows(t *testing.T) {
	const n = 3000
	docs := make([]sextant.Payload, n)
	for i := range docs {
		docs[i] = []byte(fmt.Sprintf(`{"s":"v%d","n":%d,"g":{"lon":%d,"lat":0}}`, i%7, i%100, i%90))
	}
	fields := map[string]*HeadField{
		"s": NewHeadField(sextant.MustPath("s"), typed(sextant.KeywordField)),
		"n": NewHeadField(sextant.MustPath("n"), typed(sextant.IntegerField)),
		"g": NewHeadField(sextant.MustPath("g"), typed(sextant.GeoField)),
	}
	var published atomic.Uint32
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for seen := uint32(0); seen < n; {
				seen = published.Load()
				src := &memory{docs: docs[:seen], fields: map[string]FieldIndex{}}
				for k, f := range fields {
					src.fields[k] = f
				}
				f := must(on("s", sextant.MatchPrefix{Prefix: "v"}), on("n", sextant.Range{Lt: ptr(50.0)}),
					on("g", sextant.GeoBox{TopLeft: sextant.GeoPoint{Lon: -1, Lat: 1}, BottomRight: sextant.GeoPoint{Lon: 91, Lat: -1}}))
				m, err := Compile(f, src)
				if err != nil {
					t.Error(err)
					return
				}
				sel, err := m.Select(context.Background(), nil)
				if want := seen/100*50 + min(seen%100, 50); err != nil || sel.Count != want {
					t.Errorf("%d of %d rows, want %d (%v)", sel.Count, seen, want, err)
					return
				}
				fields["n"].Ordered(false, nil, func(sextant.OrderValue, uint32) bool { return true })
				fields["s"].Facet(sel.Bits, func(any, uint32) bool { return true })
			}
		})
	}
	for i, p := range docs {
		for _, f := range fields {
			f.Add(uint32(i), p)
		}
		published.Store(uint32(i + 1))
	}
	readers.Wait()
}

func TestACancelledSelectFails(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	m, err := Compile(must(on("k", sextant.Match{Value: "a"})), segment(`{"k":"a"}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Select(ctx, nil); err != context.Canceled {
		t.Fatal(err)
	}
}

type failing struct{ after int }

func (f *failing) Write(b []byte) (int, error) {
	if f.after--; f.after < 0 {
		return 0, io.ErrShortWrite
	}
	return len(b), nil
}

func TestABuildStopsWhenItsWriterFails(t *testing.T) {
	for after := range 8 {
		asked := 0
		err := BuildField(sextant.MustPath("k"), typed(sextant.IntegerField), 10000, func(row uint32) sextant.Payload {
			asked++
			return []byte(fmt.Sprintf(`{"k":%d}`, row))
		}, &failing{after})
		if err == nil && after < 5 {
			t.Errorf("no error after %d writes", after)
		}
		if after < 2 && asked > after*4096 {
			t.Errorf("%d payloads read", asked)
		}
	}
}

func TestUnknownValuesAreRefused(t *testing.T) {
	for _, c := range []sextant.Condition{on("k", sextant.Match{Value: 1.5}), on("k", nil), sextant.Slice{}, sextant.IsNull{},
		sextant.Nested{Filter: must()}, nil} {
		if _, err := Compile(must(c), segment(`{}`)); err == nil {
			t.Errorf("%#v was compiled", c)
		}
	}
}

func TestDamagedFilesAreNoticed(t *testing.T) {
	var file bytes.Buffer
	spec := typed(sextant.KeywordField)
	err := BuildField(sextant.MustPath("k"), spec, 3, func(row uint32) sextant.Payload {
		return []byte(fmt.Sprintf(`{"k":"v%d"}`, row))
	}, &file)
	if err != nil {
		t.Fatal(err)
	}
	good := file.Bytes()
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		f, err := OpenField(spec, bad)
		if err == nil {
			err = f.Verify()
		}
		if sextant.KindOf(err) != sextant.Corrupt {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	for _, short := range [][]byte{nil, good[:10], good[:headerBytes], good[:len(good)-1], append(bytes.Clone(good), 0)} {
		if _, err := OpenField(spec, short); sextant.KindOf(err) != sextant.Corrupt {
			t.Fatalf("%d bytes: %v", len(short), err)
		}
	}
	if _, err := OpenField(typed(sextant.UUIDField), good); sextant.KindOf(err) != sextant.Corrupt {
		t.Fatalf("opened as another type: %v", err)
	}
	shifted := append(make([]byte, 1), good...)[1:] // not aligned in memory
	if f, err := OpenField(spec, shifted); err != nil || facet(f, 0, 1, 2) != "v0:1 v1:1 v2:1" {
		t.Fatalf("opened unaligned: %v", err)
	}
}

// A sealed index whose sections were damaged behind the back of the checksum finds nonsense, quietly.
func TestDamagedSectionsAreHarmless(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(5, 6))}
	for _, typ := range sextant.FieldTypes() {
		src := &memory{fields: map[string]FieldIndex{}}
		for range 200 {
			src.docs = append(src.docs, segment(d.doc()).docs[0])
		}
		var file bytes.Buffer
		err := BuildField(sextant.MustPath("k"), typed(typ), 200, func(r uint32) sextant.Payload { return src.docs[r] }, &file)
		if err != nil {
			t.Fatal(err)
		}
		for range 300 {
			bad := bytes.Clone(file.Bytes())
			for range 1 + d.IntN(4) {
				at := headerBytes + d.IntN(len(bad)-headerBytes)
				bad[at] = pick(d, 0, 0xff, byte(d.Uint32()))
			}
			index, err := OpenField(typed(typ), bad)
			if err != nil {
				t.Fatal(err)
			}
			src.fields["k"] = index
			for range 5 {
				m, err := Compile(must(on("k", d.test())), src)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := m.Select(context.Background(), nil); err != nil {
					t.Fatal(err)
				}
			}
			index.Ordered(d.IntN(2) == 0, nil, func(sextant.OrderValue, uint32) bool { return true })
			index.Values(func(_ any, rows func(func(uint32) bool)) bool { rows(func(uint32) bool { return true }); return true })
			index.Facet(make([]uint64, 4), func(any, uint32) bool { return true })
		}
	}
}

// Bytes behind a header that is sound, checksums included, may say anything.
func FuzzOpenField(f *testing.F) {
	docs := []sextant.Payload{[]byte(`{"k":[1,"a",{"lon":1,"lat":2},true]}`), []byte(`{"k":["2024-05-01","a b",null]}`), nil, []byte(`{"k":[1,2,"b"]}`)}
	for i, typ := range sextant.FieldTypes() {
		var file bytes.Buffer
		if err := BuildField(sextant.MustPath("k"), typed(typ), 4, func(r uint32) sextant.Payload { return docs[r] }, &file); err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), file.Bytes())
	}
	f.Fuzz(func(t *testing.T, typ uint8, data []byte) {
		types := sextant.FieldTypes()
		spec := typed(types[int(typ)%len(types)])
		if len(data) >= headerBytes { // so that what is behind the checks is reached
			copy(data, magic[:])
			binary.LittleEndian.PutUint32(data[8:], formatVersion)
			data[12] = typeCode(spec.Type)
			binary.LittleEndian.PutUint64(data[56:], uint64(len(data)))
			binary.LittleEndian.PutUint32(data[headerBytes-4:], crc32.Checksum(data[:headerBytes-4], castagnoli))
		}
		index, err := OpenField(spec, data)
		if err != nil {
			return
		}
		if index.(*sealed).n > 1<<20 {
			return
		}
		index.Verify()
		src := &memory{docs: docs, fields: map[string]FieldIndex{"k": index}}
		d := dice{rand.New(rand.NewPCG(1, 1))}
		for range 40 {
			m, err := Compile(must(on("k", d.test())), src)
			if err != nil {
				t.Fatal(err)
			}
			m.Estimate()
			if sel, err := m.Select(context.Background(), nil); err != nil || len(sel.Bits) != 1 || sel.Bits[0] >= 16 {
				t.Fatal(sel, err)
			}
		}
		steps := 0
		for _, desc := range []bool{false, true} {
			index.Ordered(desc, nil, func(sextant.OrderValue, uint32) bool { steps++; return steps < 1000 })
		}
		index.Values(func(_ any, rows func(func(uint32) bool)) bool {
			rows(func(uint32) bool { steps++; return steps < 1000 })
			return steps < 1000
		})
		index.Facet([]uint64{15}, func(any, uint32) bool { steps++; return steps < 1000 })
	})
}
