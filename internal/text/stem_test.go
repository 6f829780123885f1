package text

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/sextantdb/sextant"
)

// Stems as the published algorithms give them.
func TestStems(t *testing.T) {
	f := func(language, pairs string) {
		t.Helper()
		for _, pair := range strings.Fields(pairs) {
			word, want, _ := strings.Cut(pair, ">")
			if got := stemmers[language](toLower(word)); got != want {
				t.Errorf("%s %s: got %q, want %q", language, word, got, want)
			}
		}
	}
	f("english", `running>run foxes>fox generously>generous skies>sky`)
	f("german", `katzen>katz häuser>haus`)
	f("french", `continuellement>continuel chevaux>cheval`)
	f("russian", `важнейшими>важн`)
	f("spanish", `ciudades>ciudad`)
}

// What the protocol names and this version lacks is refused by name, never silently left out.
func TestStemmersThatAreMissingAreNamed(t *testing.T) {
	for language := range stemLanguages {
		_, err := New(sextant.TextSpec{Tokenizer: "word", Stemmer: language})
		missing := language == "greek" || language == "armenian"
		if missing != (sextant.KindOf(err) == sextant.NotImplemented) || !missing && err != nil {
			t.Errorf("%s: %v", language, err)
		}
	}
	for language := range stemmers {
		if _, ok := stemLanguages[language]; !ok {
			t.Errorf("the stemmer for %s cannot be asked for", language)
		}
	}
}

func FuzzStemmersAcceptAnyWord(f *testing.F) {
	for _, word := range []string{"", "a", "ισα", "ουν", "running", "աղոթքների", "يكتبون", "\xff", "évidemment", "கள்"} {
		f.Add(word)
	}
	f.Fuzz(func(t *testing.T, word string) {
		for _, stem := range stemmers {
			stem(word)
		}
	})
}

func TestStemmersMayBeShared(t *testing.T) {
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 20000 {
				word := "wax" + strconv.Itoa(i%6000) + "s"
				if got := stemmers["english"](word); got != word[:len(word)-1] {
					t.Errorf("%s: got %q", word, got)
					return
				}
			}
		})
	}
	all.Wait()
}
