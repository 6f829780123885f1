package text

import (
	"maps"
	"slices"
	"strings"
)

// Languages by their full names, with the short forms that clients may use instead.
var (
	stopLanguages = map[string]string{
		"arabic": "ar", "azerbaijani": "az", "basque": "eu", "bengali": "bn", "catalan": "ca", "chinese": "zh",
		"danish": "da", "dutch": "nl", "english": "en", "finnish": "fi", "french": "fr", "german": "de", "greek": "el",
		"hebrew": "he", "hinglish": "hi-en", "hungarian": "hu", "indonesian": "id", "italian": "it", "japanese": "jp",
		"kazakh": "kk", "nepali": "ne", "norwegian": "no", "portuguese": "pt", "romanian": "ro", "russian": "ru",
		"slovene": "sl", "spanish": "es", "swedish": "sv", "tajik": "tg", "turkish": "tr",
	}
	stemLanguages = map[string]string{
		"arabic": "ar", "armenian": "hy", "danish": "da", "dutch": "nl", "english": "en", "finnish": "fi", "french": "fr",
		"german": "de", "greek": "el", "hungarian": "hu", "italian": "it", "norwegian": "no", "portuguese": "pt",
		"romanian": "ro", "russian": "ru", "spanish": "es", "swedish": "sv", "tamil": "ta", "turkish": "tr",
	}
)

// StopLanguage returns the full name of a language with a list of stop words, given by its full name or short form.
func StopLanguage(name string) (full string, ok bool) { return lookup(stopLanguages, name) }

// StemLanguage returns the full name of a language with a stemmer, given by its full name or short form.
func StemLanguage(name string) (full string, ok bool) { return lookup(stemLanguages, name) }

func lookup(languages map[string]string, name string) (string, bool) {
	if _, ok := languages[name]; ok {
		return name, true
	}
	for full, short := range languages {
		if short == name {
			return full, true
		}
	}
	return "", false
}

// names lists languages for an error text.
func names(languages map[string]string) string {
	return strings.Join(slices.Sorted(maps.Keys(languages)), ", ")
}
