package document

import "testing"

func BenchmarkSkip(b *testing.B) {
	docs := map[string][]byte{
		"small":  []byte(`{"city":"Berlin","price":12.5,"count":1234,"tags":["red","green"],"geo":{"lon":13.4,"lat":52.5}}`),
		"text":   []byte(`{"text":"A long passage of text, as documents have them when they are cut into pieces for retrieval by meaning; it goes on.","n":1}`),
		"nested": []byte(`{"a":{"b":[1,2,3,{"c":"d"}],"e":[[1.25,2.5],[3.125,4]]},"f":[true,false,null]}`),
	}
	for name, d := range docs {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(d)))
			for b.Loop() {
				if skip(d, 0) != len(d) {
					b.Fatal()
				}
			}
		})
		b.Run(name+"/find", func(b *testing.B) {
			b.SetBytes(int64(len(d)))
			for b.Loop() {
				if find(d, "zz") >= 0 {
					b.Fatal()
				}
			}
		})
	}
}
