package text

import (
	"embed"
	"strings"
	"sync"
)

// Stop words by language, one file each, words separated by white space. The English list is the classic one of 179
// words; the others hold the function words of their language.
//
//go:embed stop/*.txt
var stopFiles embed.FS

var stopCache sync.Map // language → map[string]struct{}, filled on first use and never changed

// stopWords returns the stop words of a language by its full lower-case name, nil when there is no list.
func stopWords(language string) map[string]struct{} {
	if set, ok := stopCache.Load(language); ok {
		return set.(map[string]struct{})
	}
	if strings.ContainsAny(language, "/.") {
		return nil
	}
	data, err := stopFiles.ReadFile("stop/" + language + ".txt")
	if err != nil {
		return nil
	}
	words := strings.Fields(string(data))
	set := make(map[string]struct{}, len(words))
	for _, word := range words {
		set[word] = struct{}{}
	}
	stopCache.Store(language, set)
	return set
}

// stopSet is the union of stop word lists.
type stopSet struct{ sets []map[string]struct{} }

func (s stopSet) has(word string) bool {
	for _, set := range s.sets {
		if _, ok := set[word]; ok {
			return true
		}
	}
	return false
}
