package text

import (
	"embed"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/blevesearch/snowballstem"
	"github.com/blevesearch/snowballstem/arabic"
	"github.com/blevesearch/snowballstem/danish"
	"github.com/blevesearch/snowballstem/dutch"
	"github.com/blevesearch/snowballstem/english"
	"github.com/blevesearch/snowballstem/finnish"
	"github.com/blevesearch/snowballstem/french"
	"github.com/blevesearch/snowballstem/german"
	"github.com/blevesearch/snowballstem/hungarian"
	"github.com/blevesearch/snowballstem/italian"
	"github.com/blevesearch/snowballstem/norwegian"
	"github.com/blevesearch/snowballstem/portuguese"
	"github.com/blevesearch/snowballstem/romanian"
	"github.com/blevesearch/snowballstem/russian"
	"github.com/blevesearch/snowballstem/spanish"
	"github.com/blevesearch/snowballstem/swedish"
	"github.com/blevesearch/snowballstem/tamil"
	"github.com/blevesearch/snowballstem/turkish"
)

// stemmer cuts a word to the part that its forms share.
type stemmer func(word string) string

// stemmers holds them by language. English is Porter2.
var stemmers = map[string]stemmer{
	"arabic": snowball(arabic.Stem), "armenian": remembered(stemArmenian), "danish": snowball(danish.Stem),
	"dutch": snowball(dutch.Stem), "english": snowball(english.Stem), "finnish": snowball(finnish.Stem),
	"french": snowball(french.Stem), "german": snowball(german.Stem), "greek": remembered(stemGreek),
	"hungarian": snowball(hungarian.Stem), "italian": snowball(italian.Stem), "norwegian": snowball(norwegian.Stem),
	"portuguese": snowball(portuguese.Stem), "romanian": snowball(romanian.Stem), "russian": snowball(russian.Stem),
	"spanish": snowball(spanish.Stem), "swedish": snowball(swedish.Stem), "tamil": snowball(tamil.Stem),
	"turkish": snowball(turkish.Stem),
}

func snowball(stem func(*snowballstem.Env) bool) stemmer {
	return remembered(func(word string) string {
		env := snowballstem.NewEnv(word)
		stem(env)
		return env.Current()
	})
}

// remembered puts a cache before a stemmer: a stemmer takes about a microsecond per word, and texts are made of few words.
// Each place holds the word that came last; readers and writers need no lock.
func remembered(stem stemmer) stemmer {
	type pair struct{ word, stem string }
	var places [4096]atomic.Pointer[pair]
	return func(word string) string {
		if len(word) > 32 {
			return stem(word)
		}
		place := &places[murmur3(word)%uint32(len(places))]
		if p := place.Load(); p != nil && p.word == word {
			return p.stem
		}
		p := &pair{word: strings.Clone(word)} // word may be a part of a large text
		p.stem = stem(p.word)
		place.Store(p)
		return p.stem
	}
}

// Rules of the stemmers that the library lacks.
//
//go:embed stem/*.txt
var stemFiles embed.FS

// ruleLines reads a file of rules: a rule per line, in words. Lines that are indented by four spaces go on with the rule
// before them, lines that begin with # are remarks.
func ruleLines(file string) (rules [][]string) {
	data, err := stemFiles.ReadFile("stem/" + file)
	if err != nil {
		panic(err) // the file is part of the program
	}
	for line := range strings.Lines(string(data)) {
		switch words := strings.Fields(line); {
		case len(words) == 0 || words[0] == "#":
		case strings.HasPrefix(line, "    "):
			rules[len(rules)-1] = append(rules[len(rules)-1], words...)
		default:
			rules = append(rules, words)
		}
	}
	return rules
}

// suffixes is a set of word ends.
type suffixes struct {
	set     map[string]struct{}
	longest int // bytes
}

func newSuffixes(words []string) suffixes {
	s := suffixes{set: make(map[string]struct{}, len(words))}
	for _, word := range words {
		s.set[word] = struct{}{}
		s.longest = max(s.longest, len(word))
	}
	return s
}

// find returns where the longest suffix of word that begins at from or later begins, -1 if there is none.
func (s suffixes) find(word string, from int) int {
	for i := max(from, len(word)-s.longest); i < len(word); i++ {
		if _, ok := s.set[word[i:]]; ok {
			return i
		}
	}
	return -1
}

var armenianSuffixes = sync.OnceValue(func() (kinds []suffixes) {
	for _, rule := range ruleLines("armenian.txt") {
		kinds = append(kinds, newSuffixes(rule[1:]))
	}
	return kinds
})

// stemArmenian cuts an ending in R2, then a suffix of a verb, of an adjective and of a noun in RV. RV is what follows the
// first vowel. R2 is what follows the second time that a vowel is followed by another letter.
func stemArmenian(word string) string {
	rv, r2 := len(word), len(word)
	turns := 0 // from other letters to vowels and back
	for i, r := range word {
		if vowel := strings.ContainsRune("աէիօւեոը", r); vowel == (turns%2 == 0) {
			end := i + len(string(r))
			if turns++; turns == 1 {
				rv = end
			} else if turns == 4 {
				r2 = end
				break
			}
		}
	}
	for kind, s := range armenianSuffixes() {
		if at := s.find(word, rv); at >= 0 && (kind > 0 || at >= r2) {
			word = word[:at]
		}
	}
	return word
}
