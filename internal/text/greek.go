package text

import (
	"strings"
	"sync"
	"unicode/utf8"
)

// greekRule is one rule of stem/greek.txt, where its words are explained.
type greekRule struct {
	kind  string
	words suffixes
	from  string // of kind word
	to    string
	cases []greekCase
}

type greekCase struct {
	kind  string
	add   string
	less  int // characters to take away
	stems suffixes
}

var greekRules = sync.OnceValue(func() (rules []greekRule) {
	for _, line := range ruleLines("greek.txt") {
		switch kind, words := line[0], line[1:]; kind {
		case "word":
			rules = append(rules, greekRule{kind: kind, from: words[0], to: words[1]})
		case "cut", "also", "last":
			rules = append(rules, greekRule{kind: kind, words: newSuffixes(words)})
		default:
			c := greekCase{kind: kind, add: words[0], stems: newSuffixes(words[1:])}
			if c.add == "-" {
				c.add = ""
			} else if digit, ok := strings.CutPrefix(c.add, "<"); ok {
				c.add, c.less = "", int(digit[0]-'0')
			}
			last := &rules[len(rules)-1]
			last.cases = append(last.cases, c)
		}
	}
	return rules
})

// plainGreek takes accents and the final form of sigma away.
var plainGreek = strings.NewReplacer("ά", "α", "έ", "ε", "ή", "η", "ί", "ι", "ό", "ο", "ύ", "υ", "ώ", "ω", "ς", "σ",
	"ϋ", "υ", "ΰ", "υ", "ϊ", "η", "ΐ", "η")

// stemGreek stems a Greek word. The stem has no accents. A word that is all ending stays.
func stemGreek(word string) string {
	word = plainGreek.Replace(strings.ToLower(word))
	if utf8.RuneCountInString(word) < 3 {
		return word
	}
	stem, ended := word, false
	for i := range greekRules() {
		switch r := &greekRules()[i]; {
		case r.kind == "word":
			if stem == r.from {
				stem = r.to
			}
		case r.kind == "last" && ended:
		default:
			at := r.words.find(stem, 0)
			if at < 0 {
				continue
			}
			ended = ended || r.kind == "cut"
			stem = r.complete(stem[:at])
		}
	}
	if stem == "" {
		return word
	}
	return stem
}

// complete applies the first case that fits.
func (r *greekRule) complete(stem string) string {
	for _, c := range r.cases {
		fits := true
		switch c.kind {
		case "whole":
			_, fits = c.stems.set[stem]
		case "tail":
			fits = c.stems.find(stem, 0) >= 0
		case "not":
			fits = c.stems.find(stem, 0) < 0
		}
		if fits {
			for range c.less {
				_, size := utf8.DecodeLastRuneInString(stem)
				stem = stem[:len(stem)-size]
			}
			return stem + c.add
		}
	}
	return stem
}
