package text

import "testing"

// Every language that clients may name has a list, in lower case, cut at white space.
func TestEveryStopLanguageHasAList(t *testing.T) {
	for language := range stopLanguages {
		words := stopWords(language)
		if len(words) < 50 {
			t.Errorf("%s has %d words", language, len(words))
		}
		for word := range words {
			if word != toLower(word) {
				t.Errorf("%s: %q is not in lower case", language, word)
			}
		}
	}
	if n := len(stopWords("english")); n != 179 {
		t.Errorf("English has %d words, the classic list has 179", n)
	}
	files, err := stopFiles.ReadDir("stop")
	if err != nil || len(files) != len(stopLanguages) {
		t.Errorf("%d files for %d languages, %v", len(files), len(stopLanguages), err)
	}
}
