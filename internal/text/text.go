// Package text cuts text into tokens for full-text indexes and for BM25 vectors.
//
// Shapes: a token is a non-empty string; its position is the place of its word in one text, counted from 0 after stop
// words and words of refused length are gone. The prefixes of one word share its position.
// Pipeline of a piece, in this order: ASCII folding, lower case, stop words, stemming, length.
// Errors: sextant.WrongInput for a specification that names an unknown tokenizer or language; texts never fail.
// Concurrency: an Analyzer is immutable; any number of goroutines may share it.
// Sources: Unicode UAX #29; the Snowball stemmers (snowballstem.org); Robertson, Zaragoza 2009 (BM25).
package text

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sextantdb/sextant"
)

// Analyzer turns texts and queries into tokens as one TextSpec says.
type Analyzer struct {
	tokenizer string
	min, max  int // characters; max 0: none
	lower     bool
	fold      bool
	stop      stopSet
	stem      stemmer // nil: none
}

// Names of the tokenizers.
const (
	Word         = "word"
	Whitespace   = "whitespace"
	Prefix       = "prefix"
	Multilingual = "multilingual"
)

// longestPrefix stands for no maximum of prefixes: a word of a million characters must not become as many tokens. Queries
// are cut to it too, so only words that differ after so many characters are taken for equal.
const longestPrefix = 256

// New returns the analyzer of spec. The empty tokenizer is Word.
func New(spec sextant.TextSpec) (*Analyzer, error) {
	a := &Analyzer{tokenizer: spec.Tokenizer, min: spec.MinTokenLen, max: spec.MaxTokenLen,
		lower: !spec.KeepCase, fold: spec.ASCIIFolding}
	switch spec.Tokenizer {
	case "":
		a.tokenizer = Word
	case Word, Whitespace, Multilingual:
	case Prefix:
		if a.max == 0 {
			a.max = longestPrefix
		}
	default:
		return nil, sextant.Errorf(sextant.WrongInput, "unknown tokenizer %q, expected one of prefix, whitespace, word, multilingual",
			spec.Tokenizer)
	}
	for _, language := range spec.StopLanguages {
		words := stopWords(language)
		if words == nil {
			return nil, sextant.Errorf(sextant.WrongInput, "no stop words are known for the language %q", language)
		}
		a.stop.sets = append(a.stop.sets, words)
	}
	if len(spec.StopCustom) > 0 {
		custom := make(map[string]struct{}, len(spec.StopCustom))
		for _, word := range spec.StopCustom {
			if a.lower {
				word = toLower(word)
			}
			custom[word] = struct{}{}
		}
		a.stop.sets = append(a.stop.sets, custom)
	}
	if spec.Stemmer != "" {
		if a.stem = stemmers[spec.Stemmer]; a.stem == nil {
			if _, known := stemLanguages[spec.Stemmer]; known {
				return nil, sextant.Errorf(sextant.NotImplemented, "the stemmer for %q is not supported by this version", spec.Stemmer)
			}
			return nil, sextant.Errorf(sextant.WrongInput, "no stemmer is known for the language %q", spec.Stemmer)
		}
	}
	return a, nil
}

// Document yields the tokens that s is found by, in order, with repeats.
func (a *Analyzer) Document(s string, yield func(token string, position int)) {
	position := 0
	switch a.tokenizer {
	case Prefix:
		a.words(s, func(piece string) {
			if piece = a.normal(piece); a.stop.has(piece) {
				return
			}
			if piece = a.stemmed(piece); eachPrefix(piece, max(a.min, 1), a.max, func(p string) { yield(p, position) }) {
				position++
			}
		})
	case Multilingual:
		segments(s, true, func(piece string, unspaced, more bool) {
			if piece, ok := a.token(piece, unspaced); ok {
				yield(piece, position)
				if !more {
					position++
				}
			}
		})
	default:
		a.words(s, func(piece string) {
			if piece, ok := a.token(piece, false); ok {
				yield(piece, position)
				position++
			}
		})
	}
}

// Query returns the tokens of a query in order, with repeats.
func (a *Analyzer) Query(s string) []string {
	var tokens []string
	switch a.tokenizer {
	case Prefix:
		a.words(s, func(piece string) {
			piece = a.stemmed(a.normal(piece))
			if n := utf8.RuneCountInString(piece); n == 0 || n < a.min {
				return
			} else if a.max > 0 && n > a.max {
				piece = piece[:byteLen(piece, a.max)]
			}
			tokens = append(tokens, piece)
		})
	case Multilingual:
		segments(s, false, func(piece string, unspaced, _ bool) {
			if piece, ok := a.token(piece, unspaced); ok {
				tokens = append(tokens, piece)
			}
		})
	default:
		a.words(s, func(piece string) {
			if piece, ok := a.token(piece, false); ok {
				tokens = append(tokens, piece)
			}
		})
	}
	return tokens
}

// words yields the pieces of s before the pipeline.
func (a *Analyzer) words(s string, yield func(piece string)) {
	inside := isAlphanumeric
	if a.tokenizer == Whitespace {
		inside = isNotSpace
	}
	start := -1
	for i, r := range s {
		switch in := inside(r); {
		case in && start < 0:
			start = i
		case !in && start >= 0:
			yield(s[start:i])
			start = -1
		}
	}
	if start >= 0 {
		yield(s[start:])
	}
}

// token sends a piece through the pipeline; ok is false when it is dropped. Parts of unspaced runs are not words: they
// are neither stemmed nor measured.
func (a *Analyzer) token(piece string, unspaced bool) (token string, ok bool) {
	piece = a.normal(piece)
	if a.stop.has(piece) {
		return "", false
	}
	if unspaced {
		return piece, piece != ""
	}
	piece = a.stemmed(piece)
	if piece == "" {
		return "", false
	}
	if a.min > 1 || a.max > 0 {
		if n := utf8.RuneCountInString(piece); n < a.min || a.max > 0 && n > a.max {
			return "", false
		}
	}
	return piece, true
}

// normal folds and lowers.
func (a *Analyzer) normal(piece string) string {
	if a.fold {
		piece = foldASCII(piece)
	}
	if a.lower {
		piece = toLower(piece)
	}
	return piece
}

// stemmed leaves very long pieces alone: they are no words, and stemmers take quadratic time.
func (a *Analyzer) stemmed(piece string) string {
	if a.stem == nil || len(piece) > 512 {
		return piece
	}
	return a.stem(piece)
}

// isAlphanumeric tells characters of words. Other_Alphabetic are the vowel signs without which words of Indic scripts
// would fall apart.
func isAlphanumeric(r rune) bool {
	if r < utf8.RuneSelf {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
	}
	if r == utf8.RuneError {
		return false
	}
	return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.Is(unicode.Other_Alphabetic, r)
}

func isNotSpace(r rune) bool { return !unicode.IsSpace(r) }

// toLower is strings.ToLower with the Greek rule that a sigma at the end of a word is written ς.
func toLower(s string) string {
	low := strings.ToLower(s)
	if strings.HasSuffix(s, "Σ") && len(s) > len("Σ") && strings.HasSuffix(low, "σ") {
		low = low[:len(low)-len("σ")] + "ς"
	}
	return low
}

// eachPrefix yields the prefixes of s of min to max characters (0: all) and reports whether there was one.
func eachPrefix(s string, min, max int, yield func(prefix string)) bool {
	n, any := 0, false
	for i := 0; i < len(s); {
		_, size := utf8.DecodeRuneInString(s[i:])
		i += size
		n++
		if max > 0 && n > max {
			break
		}
		if n >= min {
			yield(s[:i])
			any = true
		}
	}
	return any
}

// byteLen returns how many bytes the first n characters of s take; s has at least as many.
func byteLen(s string, n int) int {
	for i := range s {
		if n == 0 {
			return i
		}
		n--
	}
	return len(s)
}
