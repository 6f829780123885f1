package api

import (
	"net/http"
	"strings"

	"github.com/sextantdb/sextant/test/openapi"
)

// schema finds the published schema of an answer by the request.
type schema struct {
	spec       *openapi.Spec
	operations [][]string // the method, then the segments of the path
}

func loadSchema() (*schema, error) {
	spec, err := openapi.Load()
	if err != nil {
		return nil, err
	}
	s := &schema{spec: spec}
	for _, operation := range spec.Operations() {
		method, path, _ := strings.Cut(operation, " ")
		s.operations = append(s.operations, append([]string{method}, split(path)...))
	}
	return s, nil
}

func split(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// check compares a successful JSON answer with the schema, if it knows the request.
func (s *schema) check(method, path string, resp *http.Response, body []byte) error {
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		return nil
	}
	got := append([]string{method}, split(path)...)
	for _, o := range s.operations {
		if fits(o, got) {
			return s.spec.Response(method, "/"+strings.Join(o[1:], "/"), resp.StatusCode, body)
		}
	}
	return nil
}

func fits(operation, got []string) bool {
	if len(operation) != len(got) {
		return false
	}
	for i, word := range operation {
		if word != got[i] && !strings.HasPrefix(word, "{") {
			return false
		}
	}
	return true
}
