package api

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/sextantdb/sextant/test/process"
)

// Every operation of the published schema is answered: done, refused for what was sent, or named as not there yet.
func TestEveryOperationIsKnown(t *testing.T) {
	schema, err := loadSchema()
	if err != nil {
		t.Fatal(err)
	}
	c := of(t, process.Start(t, process.Options{}))
	c.expect("200 true", "PUT", "/collections/c", `{"vectors":{"size":2,"distance":"Dot"}}`)
	values := strings.NewReplacer("{collection_name}", "c", "{shard_id}", "0", "{id}", "1", "{peer_id}", "1", "{key}", "k", "{field_name}", "f",
		"{vector_name}", "v", "{snapshot_name}", "s.snapshot")
	for _, operation := range schema.spec.Operations() {
		method, template, _ := strings.Cut(operation, " ")
		if operation == "DELETE /collections/{collection_name}" {
			continue
		}
		resp, body := c.send(method, values.Replace(template), strings.NewReader("{}"))
		got := digest(resp, body)
		switch {
		case len(body) == 0:
			t.Errorf("%s: %s and not a word", operation, resp.Status)
		case resp.StatusCode == http.StatusNotImplemented && got != "Not implemented: "+operation+" is not supported by this version":
			t.Errorf("%s: %s", operation, got)
		case resp.StatusCode == http.StatusInternalServerError:
			t.Errorf("%s: %s", operation, got)
		case regexp.MustCompile(`\{\w+\}`).MatchString(values.Replace(template)):
			t.Errorf("%s: a parameter without a value", operation)
		}
	}
}
