package text

import (
	"strconv"
	"strings"
	"sync"
	"testing"
)

// The pairs are those of the Snowball project's own stemmers.
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
	f("greek", `καλημέρα>καλημερ άνθρωπος>ανθρωπ ανθρώπου>ανθρωπ άνθρωποι>ανθρωπ τρέχω>τρεχ τρέχουμε>τρεχ έτρεξαν>ετρεξ
		βιβλία>βιβλ βιβλίο>βιβλι βιβλίων>βιβλ μεγαλύτερος>μεγαλ ελληνικά>ελλην γράφεις>γραφ γραφικός>γραφικ
		παιδάκι>παιδ παιδάκια>παιδ διαβάζω>διαβαζ διαβάζοντας>διαβαζ κρέατα>κρε φως>φω Ευρωπαϊκή>ευρωπαηκ
		οικονομικές>οικονομικ γυναίκες>γυναικ μαμάδες>μαμ δημοκρατίσα>δημοκρατισ αρχόμενος>αρχομεν θα>θα
		ομιλία>ομιλ ομιλιών>ομιλ χάθηκα>χαθ πουκαμίσα>πουκαμισ ψωμί>ψωμ`)
	f("armenian", `աղոթում>աղոթ աղոթք>աղոթ աղոթքների>աղոթ բանաձևերից>բանաձև բանաձևով>բանաձև գրքեր>գրքեր գրքերի>գրքերի
		մարդկանց>մարդկ համալսարանում>համալս ուսանողների>ուսանող քաղաքում>քաղա ընկերություն>ընկերությ
		գեղեցիկ>գեղեց կարդալու>կարդ ես>ես խոսել>խոս`)
}

func TestEveryStemLanguageHasAStemmer(t *testing.T) {
	for language := range stemLanguages {
		if stemmers[language] == nil {
			t.Errorf("%s has none", language)
		}
	}
	if len(stemmers) != len(stemLanguages) {
		t.Errorf("%d stemmers for %d languages", len(stemmers), len(stemLanguages))
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
