package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sextantdb/sextant/test/process"
)

// client asks one server.
type client struct {
	t   testing.TB
	url string
}

func of(t testing.TB, s *process.Server) client { return client{t, s.URL} }

// send returns the answer whole.
func (c client) send(method, path string, body io.Reader, headers ...string) (*http.Response, []byte) {
	c.t.Helper()
	req, err := http.NewRequest(method, c.url+path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp, b
}

// expect sends a request and compares the digest of the answer, where "…" stands for anything.
func (c client) expect(want, method, path, body string) string {
	c.t.Helper()
	resp, b := c.send(method, path, strings.NewReader(body))
	got := strings.TrimSpace(fmt.Sprintf("%d %s", resp.StatusCode, digest(resp, b)))
	if !matches(want, got) {
		c.t.Errorf("%s %s %.200s\n got %.600s\nwant %s", method, path, body, got, want)
	}
	return got
}

// result expects success and decodes the result into v.
func (c client) result(v any, method, path, body string) {
	c.t.Helper()
	resp, b := c.send(method, path, strings.NewReader(body))
	envelope := struct{ Result any }{v}
	if err := json.Unmarshal(b, &envelope); resp.StatusCode != http.StatusOK || err != nil {
		c.t.Fatalf("%s %s: %s %v\n%.600s", method, path, resp.Status, err, b)
	}
}

// poll repeats until the condition holds.
func poll(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

// form makes a multipart body with one file.
func form(field string, file []byte) (body *bytes.Buffer, contentType string) {
	body = &bytes.Buffer{}
	w := multipart.NewWriter(body)
	part, _ := w.CreateFormFile(field, "x.snapshot")
	_, _ = part.Write(file)
	_ = w.Close()
	return body, w.FormDataContentType()
}

// put sends a request that may fail, for servers that are about to end.
func put(url, body string) (status int, err error) {
	req, err := http.NewRequest("PUT", url, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}
