package text

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/sextantdb/sextant"
)

func analyzer(t testing.TB, spec sextant.TextSpec) *Analyzer {
	t.Helper()
	a, err := New(spec)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// document renders the tokens of s as "token@position".
func document(a *Analyzer, s string) string {
	var b []string
	a.Document(s, func(token string, position int) { b = append(b, fmt.Sprintf("%s@%d", token, position)) })
	return strings.Join(b, " ")
}

func TestWordsAreCutFoldedLoweredStoppedStemmedAndMeasuredInThisOrder(t *testing.T) {
	f := func(spec sextant.TextSpec, s, want string) {
		t.Helper()
		if got := document(analyzer(t, spec), s); got != want {
			t.Errorf("%+v on %q: got %q, want %q", spec, s, got, want)
		}
	}
	english := sextant.TextSpec{Tokenizer: Word, StopLanguages: []string{"english"}, Stemmer: "english"}
	f(sextant.TextSpec{}, "Hello, wörld_foo-bar 42!", "hello@0 wörld@1 foo@2 bar@3 42@4")
	f(sextant.TextSpec{KeepCase: true}, "Hello WORLD", "Hello@0 WORLD@1")
	f(sextant.TextSpec{Tokenizer: Whitespace}, " Hello,  world\u00a0a.b\n", "hello,@0 world@1 a.b@2")
	f(sextant.TextSpec{}, "हिन्दी", "हिन@0 दी@1") // vowel signs stay, the virama separates
	f(sextant.TextSpec{}, "a\xffb", "a@0 b@1")
	f(sextant.TextSpec{}, "", "")
	f(english, "Running the Foxes", "run@0 fox@1")
	f(english, "the fox ran", "fox@0 ran@1")
	f(english, "I don't run", "run@0")
	f(sextant.TextSpec{MinTokenLen: 2, MaxTokenLen: 3}, "a ab äöü abcd", "ab@0 äöü@1")
	f(sextant.TextSpec{StopCustom: []string{"Fox"}}, "the FOX runs", "the@0 runs@1")
	f(sextant.TextSpec{StopCustom: []string{"Fox"}, KeepCase: true}, "fox Fox", "fox@0")
	f(sextant.TextSpec{ASCIIFolding: true, StopCustom: []string{"etre"}}, "Être Straße Ærø", "strasse@0 aero@1")
	f(sextant.TextSpec{Stemmer: "english", MaxTokenLen: 3}, "running runner", "run@0") // the stem is measured
	f(sextant.TextSpec{}, "ΟΔΟΣ Σ", "οδος@0 σ@1")
}

// E4.7 of the specification.
func TestPrefixesOfDocumentsAndCutQueries(t *testing.T) {
	a := analyzer(t, sextant.TextSpec{Tokenizer: Prefix, MinTokenLen: 2, MaxTokenLen: 4})
	if got, want := document(a, "Hello a öäü"), "he@0 hel@0 hell@0 öä@1 öäü@1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	f := func(s string, want ...string) {
		t.Helper()
		if got := a.Query(s); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
	f("HELLOX", "hell")
	f("h")
	f("help", "help")
	f("he öäüß", "he", "öäüß")

	a = analyzer(t, sextant.TextSpec{Tokenizer: Prefix, StopLanguages: []string{"english"}})
	if got, want := document(a, "the cat"), "c@0 ca@0 cat@0"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	long := strings.Repeat("x", 10000)
	if n := strings.Count(document(a, long), "@"); n != longestPrefix {
		t.Errorf("a long word has %d prefixes", n)
	}
	f(long, long[:longestPrefix])
	f("the cat", "the", "cat") // a query keeps stop words: they may be the start of a longer word
}

// E4.5 of the specification, with the meaning of the three text tests spelt out.
func TestTextMatching(t *testing.T) {
	a := analyzer(t, sextant.TextSpec{Tokenizer: Word, StopLanguages: []string{"english"}, Stemmer: "english"})
	docs := [][]string{1: {"Running the Foxes"}, 2: {"the fox ran"}, 3: {"fast", "run fox"}}
	match := func(mode sextant.TextMode, query string) (ids []int) {
		tokens := a.Query(query)
		for id, elements := range docs {
			found := map[string]bool{}
			phrase := false
			for _, element := range elements {
				var sequence []string
				a.Document(element, func(token string, _ int) { found[token] = true; sequence = append(sequence, token) })
				phrase = phrase || len(tokens) > 0 && strings.Contains(" "+strings.Join(sequence, " ")+" ", " "+strings.Join(tokens, " ")+" ")
			}
			n := 0
			for _, token := range tokens {
				if found[token] {
					n++
				}
			}
			if mode == sextant.TextAll && len(tokens) > 0 && n == len(tokens) || mode == sextant.TextAny && n > 0 || mode == sextant.TextPhrase && phrase {
				ids = append(ids, id)
			}
		}
		return ids
	}
	f := func(mode sextant.TextMode, query string, want ...int) {
		t.Helper()
		if got := match(mode, query); !reflect.DeepEqual(got, want) {
			t.Errorf("%d %q: got %v, want %v", mode, query, got, want)
		}
	}
	f(sextant.TextAll, "fox run", 1, 3)
	f(sextant.TextAll, "the")
	f(sextant.TextAny, "ran cats", 2)
	f(sextant.TextAll, "fox unseen")
	f(sextant.TextPhrase, "run fox", 1, 3)
	f(sextant.TextPhrase, "fox ran", 2)
	f(sextant.TextPhrase, "fast run")
}

func TestMultilingualCutsUnspacedScriptsIntoPairs(t *testing.T) {
	a := analyzer(t, sextant.TextSpec{Tokenizer: Multilingual, Stemmer: "english", MinTokenLen: 3, StopLanguages: []string{"english"}})
	f := func(s, doc string, query ...string) {
		t.Helper()
		if got := document(a, s); got != doc {
			t.Errorf("%q: got document %q, want %q", s, got, doc)
		}
		if got := a.Query(s); !reflect.DeepEqual(got, query) {
			t.Errorf("%q: got query %q, want %q", s, got, query)
		}
	}
	f("Running, don't! 42 go", "run@0", "run")
	f("東京都 tower", "東@0 東京@0 京@1 都@1 京都@1 tower@2", "東京", "京都", "tower")
	f("東", "東@0", "東")
	f("カーソル。", "カ@0 カー@0 ー@1 ーソ@1 ソ@2 ル@2 ソル@2", "カー", "ーソ", "ソル")
	f("한국어 검색어", "한국어@0 검색어@1", "한국어", "검색어")
	f("ภาษา", "ภ@0 ภา@0 า@1 าษ@1 ษ@2 า@2 ษา@2", "ภา", "าษ", "ษา")
	f("!?", "")
}

func TestUnknownNamesAreRefused(t *testing.T) {
	for _, spec := range []sextant.TextSpec{{Tokenizer: "char"}, {StopLanguages: []string{"klingon"}},
		{StopLanguages: []string{"../stop/english"}}, {Stemmer: "klingon"}} {
		if _, err := New(spec); sextant.KindOf(err) != sextant.WrongInput {
			t.Errorf("%+v: got error %v", spec, err)
		}
	}
}

func TestFoldingGivesASCIIForLatin(t *testing.T) {
	f := func(s, want string) {
		t.Helper()
		if got := foldASCII(s); got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
	f("plain", "plain")
	f("éÉñçãoÅ", "eEncaoA")
	f("ßẞÆæŒœØøÞþÐðŁłĐđı", "ssSSAEaeOEoeOoTHthDdLlDdi")
	f("ﬁﬀ ＡＢ①⑳²₃❿", "fiff AB1202310")
	f("“x” ‘y’ — «z»", `"x" 'y' - "z"`)
	f("Việt Nǆ ǼỸ", "Viet Ndz AEY")
	f("русский йё 日本 ½Ⅷ e\u0301", "русский йё 日本 ½Ⅷ e\u0301")
	seen := map[rune]bool{}
	for to, from := range foldGroups {
		for _, r := range from {
			if seen[r] {
				t.Errorf("%c is folded twice, once to %q", r, to)
			}
			seen[r] = true
		}
	}
}

func FuzzAnalyzersAcceptAnyText(f *testing.F) {
	f.Add("Hello wörld 東京 ภาษา\xff")
	var all []*Analyzer
	for _, tokenizer := range []string{Word, Whitespace, Prefix, Multilingual} {
		all = append(all, analyzer(f, sextant.TextSpec{Tokenizer: tokenizer, ASCIIFolding: true, Stemmer: "english",
			StopLanguages: []string{"english"}, MinTokenLen: 2, MaxTokenLen: 6}))
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, a := range all {
			last := -1
			a.Document(s, func(token string, position int) {
				if token == "" || position < last || position > last+1 {
					t.Fatalf("token %q at %d after %d", token, position, last)
				}
				last = position
			})
			for _, token := range a.Query(s) {
				if token == "" {
					t.Fatal("empty token")
				}
			}
		}
	})
}

func BenchmarkDocument(b *testing.B) {
	s := strings.Repeat("The quick brown Foxes were running over lazy dogs, naïvely. ", 20)
	for name, spec := range map[string]sextant.TextSpec{
		"plain":        {},
		"english":      {StopLanguages: []string{"english"}, Stemmer: "english", ASCIIFolding: true},
		"multilingual": {Tokenizer: Multilingual},
		"prefix":       {Tokenizer: Prefix, MinTokenLen: 2, MaxTokenLen: 8},
	} {
		a := analyzer(b, spec)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(s)))
			for b.Loop() {
				a.Document(s, func(string, int) {})
			}
		})
	}
}
