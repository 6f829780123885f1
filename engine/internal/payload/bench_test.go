package payload

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/sextantdb/sextant"
)

func benchDoc(i int) sextant.Payload {
	return []byte(fmt.Sprintf(`{"city":"city %d","price":%d.5,"count":%d,"tags":["red","green"],"geo":{"lon":%d.25,"lat":52.5}}`,
		i%1000, i%977, i, i%180))
}

func BenchmarkMatch(b *testing.B) {
	src := &memory{docs: []sextant.Payload{benchDoc(7)}}
	for name, f := range map[string]*sextant.Filter{
		"keyword":   must(on("city", sextant.Match{Value: "city 7"})),
		"range":     must(on("count", sextant.Range{Gte: ptr(3.0)})),
		"any":       must(on("tags", sextant.MatchAny{Strings: []string{"blue", "green"}})),
		"last":      must(on("geo.lat", sextant.Range{Gte: ptr(3.0)})),
		"radius":    must(on("geo", sextant.GeoRadius{Center: sextant.GeoPoint{Lon: 7, Lat: 52}, Radius: 1e6})),
		"and":       must(on("city", sextant.Match{Value: "city 7"}), on("count", sextant.Range{Gte: ptr(3.0)})),
		"wildcard":  must(on("tags[]", sextant.Match{Value: "green"})),
		"empty":     must(sextant.IsEmpty{Key: sextant.MustPath("nothing")}),
		"must_not":  mustNot(on("city", sextant.Match{Value: "city 8"})),
		"substring": must(on("city", sextant.MatchText{Text: "ty 7"})),
	} {
		b.Run(name, func(b *testing.B) {
			m, err := Compile(f, src)
			if err != nil || !m.Match(0) {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				m.Match(0)
			}
		})
	}
}

func BenchmarkSelect(b *testing.B) {
	const n = 300_000
	src := &memory{fields: map[string]FieldIndex{}}
	for i := range n {
		src.docs = append(src.docs, benchDoc(i))
	}
	for key, typ := range map[string]sextant.FieldType{"city": "keyword", "price": "float", "count": "integer", "geo": "geo", "tags": "keyword"} {
		src = src.withSealed(key, typed(typ))
	}
	center := sextant.GeoPoint{Lon: 7, Lat: 52}
	for name, f := range map[string]*sextant.Filter{
		"keyword":       must(on("city", sextant.Match{Value: "city 7"})),
		"dense":         must(on("tags", sextant.Match{Value: "green"})),
		"range=1%":      must(on("count", sextant.Range{Lt: ptr(n * 0.01)})),
		"range=50%":     must(on("count", sextant.Range{Lt: ptr(n * 0.5)})),
		"range=95%":     must(on("count", sextant.Range{Lt: ptr(n * 0.95)})),
		"radius":        must(on("geo", sextant.GeoRadius{Center: center, Radius: 1e6})),
		"keyword+range": must(on("city", sextant.Match{Value: "city 7"}), on("price", sextant.Range{Gte: ptr(300.0)})),
		"keyword+scan":  must(on("city", sextant.Match{Value: "city 7"}), on("geo.lon", sextant.Range{Gte: ptr(30.0)})),
		"except":        must(on("city", sextant.MatchExcept{Strings: []string{"city 7"}})),
		"scan":          must(on("geo.lon", sextant.Range{Gte: ptr(30.0)})),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var sel Selection
			for b.Loop() {
				m, err := Compile(f, src)
				if err != nil {
					b.Fatal(err)
				}
				sel, _ = m.Select(context.Background(), nil)
			}
			b.ReportMetric(float64(sel.Count), "rows")
		})
	}
}

func BenchmarkBuild(b *testing.B) {
	const n = 100_000
	var docs []sextant.Payload
	for i := range n {
		docs = append(docs, benchDoc(i))
	}
	for key, typ := range map[string]sextant.FieldType{"city": "keyword", "count": "integer", "geo": "geo", "tags": "text"} {
		b.Run(string(typ), func(b *testing.B) {
			var file bytes.Buffer
			for b.Loop() {
				file.Reset()
				err := BuildField(sextant.MustPath(key), typed(typ), n, func(r uint32) sextant.Payload { return docs[r] }, &file)
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(file.Len())/n, "bytes/row")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
		})
		b.Run("head "+string(typ), func(b *testing.B) {
			var h *HeadField
			for b.Loop() {
				h = NewHeadField(sextant.MustPath(key), typed(typ))
				for i, p := range docs {
					h.Add(uint32(i), p)
				}
			}
			b.ReportMetric(float64(h.Bytes())/n, "bytes/row")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
		})
	}
}
