package dataset

import (
	"strings"
	"testing"
)

func TestWordsAreParsedInTheirOrder(t *testing.T) {
	row := "[" + strings.Repeat("0.5,", 100) + "9.9,3]"
	s, err := parseWords(strings.NewReader(`{"size":2,"words":["b","a"],"vectors":{"b":` + row + `,"a":` + row + `},"unkVector":[1]}`))
	if err != nil {
		t.Fatal(err)
	}
	if s.Len() != 2 || s.Names[0] != "b" || s.Names[1] != "a" || len(s.Row(1)) != 100 || s.Row(1)[99] != 0.5 {
		t.Errorf("got %d rows, names %v, row %v", s.Len(), s.Names, s.Row(1))
	}
	if _, err := parseWords(strings.NewReader(`{"vectors":{"a":[1,2]}}`)); err == nil {
		t.Error("a short vector was taken")
	}
}
