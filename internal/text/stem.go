package text

import (
	"strings"
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

// stemmers holds them by language. English is Porter2. Greek and Armenian are of the protocol but not of the library.
var stemmers = map[string]stemmer{
	"arabic": snowball(arabic.Stem), "danish": snowball(danish.Stem),
	"dutch": snowball(dutch.Stem), "english": snowball(english.Stem), "finnish": snowball(finnish.Stem),
	"french": snowball(french.Stem), "german": snowball(german.Stem),
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
