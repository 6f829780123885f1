package text

import (
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sextantdb/sextant"
)

func bm25(t *testing.T, options string) *BM25 {
	t.Helper()
	o, err := ParseBM25(json.RawMessage(options))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-5*math.Abs(b) }

// E4.1 of the specification.
func TestTokensHaveTheIndicesThatClientsCompute(t *testing.T) {
	for token, want := range map[string]uint32{"quick": 771291085, "brown": 741580288, "fox": 1621867415, "dog": 1312749093,
		"hello": 613153351, "world": 74040069, "run": 243905464, "пример": 1942114520, "a": 1009084850} {
		if got := tokenIndex(token); got != want {
			t.Errorf("%s: got %d, want %d", token, got, want)
		}
	}
}

// E4.2 of the specification.
func TestBM25Defaults(t *testing.T) {
	o := bm25(t, "")
	doc, query := BM25Document("The quick foxes are running", o), BM25Query("The quick foxes are running", o)
	want := []uint32{243905464, 771291085, 1621867415}
	if !slices.Equal(doc.Indices, want) || !slices.Equal(query.Indices, want) {
		t.Fatalf("got %v and %v, want %v", doc.Indices, query.Indices, want)
	}
	for i := range want {
		if !near(float64(doc.Values[i]), 1.678689) || query.Values[i] != 1 {
			t.Errorf("got weights %v and %v", doc.Values, query.Values)
		}
	}
	for _, empty := range []sextant.Vector{BM25Document("", o), BM25Query("the", o)} {
		if !reflect.DeepEqual(empty, sextant.Vector{Kind: sextant.Sparse, Indices: []uint32{}, Values: []float32{}}) {
			t.Errorf("got %+v", empty)
		}
	}
}

// E4.3 of the specification.
func TestBM25Ranking(t *testing.T) {
	o := bm25(t, `{"avg_len":3,"language":"none"}`)
	var docs []map[uint32]float32
	df := map[uint32]float64{}
	for _, s := range []string{"quick brown fox", "brown brown dog", "lazy dog sleeps"} {
		v := BM25Document(s, o)
		doc := map[uint32]float32{}
		for i, index := range v.Indices {
			doc[index] = v.Values[i]
			df[index]++
		}
		docs = append(docs, doc)
	}
	f := func(query string, withIDF bool, want ...float64) {
		t.Helper()
		q := BM25Query(query, o)
		for id, doc := range docs {
			score := 0.0
			for i, index := range q.Indices {
				weight := float64(q.Values[i])
				if withIDF {
					weight *= math.Log((3-df[index]+0.5)/(df[index]+0.5) + 1)
				}
				score += weight * float64(doc[index])
			}
			if !near(score, want[id]) {
				t.Errorf("%q: document %d scores %v, want %v", query, id+1, score, want[id])
			}
		}
	}
	f("brown dog", false, 1, 2.375, 1)
	f("brown dog", true, 0.470004, 1.116259, 0.470004)
	f("fox fox", true, 0.980829, 0, 0)
}

// E4.4 of the specification.
func TestBM25Weights(t *testing.T) {
	f := func(options string, tf, length int, want float64) {
		t.Helper()
		v := BM25Document(strings.Repeat("x ", tf)+strings.Repeat("y ", length-tf), bm25(t, options))
		at := slices.Index(v.Indices, tokenIndex("x"))
		if !near(float64(v.Values[at]), want) {
			t.Errorf("tf %d, length %d, %s: got %v, want %v", tf, length, options, v.Values[at], want)
		}
	}
	f(`{"language":"none"}`, 2, 4, 1.901418)
	f(`{"language":"none"}`, 1, 256, 1)
	f(`{"language":"none","avg_len":5}`, 3, 10, 1.294118)
	f(`{"language":"none","k":0}`, 3, 10, 1)
	f(`{"language":"none","b":0}`, 1, 10, 1)
}

func TestBM25Options(t *testing.T) {
	f := func(options string, want sextant.TextSpec) {
		t.Helper()
		if got := bm25(t, options).Text; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", options, got, want)
		}
	}
	english := []string{"english"}
	f(`null`, sextant.TextSpec{Tokenizer: Word, StopLanguages: english, Stemmer: "english"})
	f(`{"language":"de","other":1}`, sextant.TextSpec{Tokenizer: Word, StopLanguages: []string{"german"}, Stemmer: "german"})
	f(`{"language":"chinese","tokenizer":"multilingual"}`, sextant.TextSpec{Tokenizer: Multilingual, StopLanguages: []string{"chinese"}})
	f(`{"language":"tamil"}`, sextant.TextSpec{Tokenizer: Word, Stemmer: "tamil"})
	f(`{"language":"none","lowercase":false,"ascii_folding":true,"min_token_len":2,"max_token_len":9}`,
		sextant.TextSpec{Tokenizer: Word, KeepCase: true, ASCIIFolding: true, MinTokenLen: 2, MaxTokenLen: 9})
	f(`{"stopwords":{"languages":["en","english","fr"],"custom":["x"]},"stemmer":{"type":"none"}}`,
		sextant.TextSpec{Tokenizer: Word, StopLanguages: []string{"english", "french"}, StopCustom: []string{"x"}})
	f(`{"stopwords":"spanish","stemmer":{"type":"snowball","language":"da"}}`,
		sextant.TextSpec{Tokenizer: Word, StopLanguages: []string{"spanish"}, Stemmer: "danish"})
	f(`{"stopwords":{}}`, sextant.TextSpec{Tokenizer: Word, Stemmer: "english"})
}

func TestBadBM25OptionsAreRefused(t *testing.T) {
	f := func(options, want string) {
		t.Helper()
		_, err := ParseBM25(json.RawMessage(options))
		if sextant.KindOf(err) != sextant.WrongInput || !strings.Contains(err.Error(), "Invalid BM25 config: "+want) {
			t.Errorf("%s: got %v, want %q", options, err, want)
		}
	}
	f(`{"k":-1}`, "BM25 k1 must be finite and >= 0, got -1")
	f(`{"b":1.5}`, "BM25 b must be finite and in [0.0, 1.0], got 1.5")
	f(`{"avg_len":0}`, "BM25 avg_doc_len must be finite and > 0, got 0")
	f(`{"k":"x"}`, "")
	f(`[]`, "")
	f(`{"tokenizer":"char"}`, "unknown tokenizer")
	f(`{"stopwords":"klingon"}`, "unknown stopwords language `klingon`")
	f(`{"stopwords":7}`, "stopwords must be")
	f(`{"stemmer":{"type":"snowball"}}`, "stemmer must be")
	f(`{"stemmer":{"type":"snowball","language":"klingon"}}`, "unknown stemmer language `klingon`")
	f(`{"min_token_len":-1}`, "")
}
