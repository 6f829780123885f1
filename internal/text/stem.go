package text

import (
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
	"arabic": snowball(arabic.Stem), "danish": snowball(danish.Stem), "dutch": snowball(dutch.Stem),
	"english": snowball(english.Stem), "finnish": snowball(finnish.Stem), "french": snowball(french.Stem),
	"german": snowball(german.Stem), "hungarian": snowball(hungarian.Stem), "italian": snowball(italian.Stem),
	"norwegian": snowball(norwegian.Stem), "portuguese": snowball(portuguese.Stem), "romanian": snowball(romanian.Stem),
	"russian": snowball(russian.Stem), "spanish": snowball(spanish.Stem), "swedish": snowball(swedish.Stem),
	"tamil": snowball(tamil.Stem), "turkish": snowball(turkish.Stem),
}

func snowball(stem func(*snowballstem.Env) bool) stemmer {
	return func(word string) string {
		env := snowballstem.NewEnv(word)
		stem(env)
		return env.Current()
	}
}
