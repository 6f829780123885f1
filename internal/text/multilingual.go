package text

import (
	"unicode"
	"unicode/utf8"

	"github.com/clipperhouse/uax29/v2/words"
)

// segments cuts s into words by UAX #29 and drops those without any letter. Scripts that are written without spaces
// (Chinese, Japanese, Thai, Lao, Khmer, Burmese) have no words in the sense of UAX #29: their runs are cut into
// overlapping pairs of characters, and a run of one character is itself. A document also yields the single characters, so
// that a query of one character finds it; each shares the position of its pair, the last one that of the last pair. So
// pairs of consecutive positions are neighbours in the text, and a phrase is found wherever it stands.
//
// unspaced marks the pieces of such runs; more says that the next piece is at the same position.
func segments(s string, document bool, yield func(piece string, unspaced, more bool)) {
	run := -1 // start of the unspaced run before the current word, if any
	it := words.FromString(s)
	for it.Next() {
		piece, start := it.Value(), it.Start()
		if r, _ := utf8.DecodeRuneInString(piece); isUnspaced(r) {
			if run < 0 {
				run = start
			}
			continue
		}
		if run >= 0 {
			pairs(s[run:start], document, yield)
			run = -1
		}
		if hasLetter(piece) {
			yield(piece, false, false)
		}
	}
	if run >= 0 {
		pairs(s[run:], document, yield)
	}
}

// pairs cuts one unspaced run. A character is a rune with the marks that follow it.
func pairs(run string, document bool, yield func(piece string, unspaced, more bool)) {
	first := characterLen(run)
	if first == len(run) {
		yield(run, true, false)
		return
	}
	for {
		second := first + characterLen(run[first:])
		last := second == len(run)
		if document {
			yield(run[:first], true, true)
			if last {
				yield(run[first:], true, true)
			}
		}
		yield(run[:second], true, false)
		if last {
			return
		}
		run, first = run[first:], second-first
	}
}

// characterLen returns the bytes of the first rune of s and the marks behind it.
func characterLen(s string) int {
	_, n := utf8.DecodeRuneInString(s)
	for n < len(s) {
		r, size := utf8.DecodeRuneInString(s[n:])
		if !unicode.Is(unicode.M, r) {
			break
		}
		n += size
	}
	return n
}

func isUnspaced(r rune) bool {
	if r < 0x0e00 {
		return false
	}
	return r == 'ー' || r == '々' || r == '〆' ||
		unicode.IsLetter(r) && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao,
			unicode.Khmer, unicode.Myanmar)
}

func hasLetter(s string) bool {
	for _, r := range s {
		if unicode.IsLetter(r) {
			return true
		}
	}
	return false
}
