package rest

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/sextantdb/sextant"
)

func compress(t *testing.T, encoding, body string) string {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch encoding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "deflate":
		w = zlib.NewWriter(&b)
	case "br":
		w = brotli.NewWriter(&b)
	case "zstd":
		w, _ = zstd.NewWriter(&b)
	}
	if _, err := io.WriteString(w, body); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return b.String()
}

func uncompress(t *testing.T, encoding, body string) string {
	t.Helper()
	r, err := decompress(strings.NewReader(body), encoding)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestBodiesAreCompressedBothWays(t *testing.T) {
	f, h := newFake()
	for i := range 3000 { // several pieces
		f.records = append(f.records, sextant.Record{ID: sextant.NumID(uint64(i)), Payload: sextant.Payload(`{"some":"payload that repeats itself"}`)})
	}
	_, plain, head := do(t, h, "POST", "/collections/c/points/scroll", `{}`)
	if head.Get("Content-Encoding") != "" || !json.Valid([]byte(plain)) {
		t.Fatal(head)
	}
	result := plain[:strings.LastIndex(plain, `"time"`)]
	for _, encoding := range []string{"gzip", "deflate", "br", "zstd"} {
		_, body, head := do(t, h, "POST", "/collections/c/points/scroll", compress(t, encoding, `{"limit":3}`),
			"Content-Encoding", encoding, "Accept-Encoding", encoding+", identity;q=0.1")
		if head.Get("Content-Encoding") != encoding || !strings.HasPrefix(uncompress(t, encoding, body), result) {
			t.Errorf("%s: %v", encoding, head)
		}
		if f.scrolled.Limit != 3 {
			t.Errorf("%s: body was not read", encoding)
		}
	}
	for header, want := range map[string]string{"gzip, deflate, br, zstd": "zstd", "gzip;q=1.0, zstd;q=0.5": "gzip", "*": "zstd", "identity": "",
		"gzip;q=0": "", "br;q=0.5, identity": ""} {
		if got := acceptedEncoding(header); got != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
	status, body, _ := do(t, h, "POST", "/collections/c/points/scroll", "x", "Content-Encoding", "gzip")
	if status != 400 || !strings.Contains(errorText(t, body), "decompress") {
		t.Errorf("%d %s", status, body)
	}
}

// The limit counts what comes out of decompression; a body that tells its length is refused unread.
func TestBodyLimit(t *testing.T) {
	_, h := newFake()
	h.maxBody = 1000
	long := `{"filter":` + strings.Repeat(" ", 2000) + `{}}`
	status, body, _ := do(t, h, "POST", "/collections/c/points/scroll", long)
	if want := fmt.Sprintf("JSON payload (%d bytes) is larger than allowed (limit: 1000 bytes).", len(long)); status != 400 || errorText(t, body) != want {
		t.Errorf("%d %s", status, body)
	}
	status, body, _ = do(t, h, "POST", "/collections/c/points/scroll", compress(t, "gzip", long), "Content-Encoding", "gzip")
	if status != 400 || errorText(t, body) != "JSON payload has exceeded limit (1000 bytes)." {
		t.Errorf("%d %s", status, body)
	}
	if status, body, _ = do(t, h, "POST", "/collections/c/points/scroll", `{"limit":1`+strings.Repeat(" ", 989)+`}`); status != 200 {
		t.Errorf("%d %s", status, body)
	}
}

// A client that sends far too much reads why it was refused.
func TestHugeBodyGetsItsAnswer(t *testing.T) {
	_, h := newFake()
	h.maxBody = 1 << 20
	server := httptest.NewServer(h)
	defer server.Close()
	for _, known := range []bool{true, false} {
		r, err := http.NewRequest("POST", server.URL+"/collections/c/points/scroll", io.LimitReader(endless{}, 64<<20))
		if err != nil {
			t.Fatal(err)
		}
		if known {
			r.ContentLength = 64 << 20
		}
		a, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(a.Body)
		if err != nil || a.StatusCode != 400 || !strings.Contains(string(body), "JSON payload") {
			t.Errorf("%d %s %v", a.StatusCode, body, err)
		}
		_ = a.Body.Close()
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	return len(b), nil
}

func TestKeysAndOrigins(t *testing.T) {
	f, h := newFake()
	f.key = "secret"
	for _, c := range []struct {
		path, header, value string
		status              int
		body                string
	}{
		{"/collections", "", "", 401, "Must provide an API key or an Authorization bearer token"},
		{"/collections", "api-key", "wrong", 401, "Invalid API key or JWT"},
		{"/collections", "api-key", "expired", 403, "ExpiredSignature"},
		{"/collections", "api-key", "secret", 200, ""},
		{"/collections", "Authorization", "Bearer secret", 200, ""},
		{"/nothing", "", "", 401, "Must provide an API key or an Authorization bearer token"},
		{"/", "", "", 200, ""}, {"/healthz", "", "", 200, "healthz check passed"}, {"/livez", "", "", 200, "healthz check passed"},
		{"/readyz", "", "", 200, "all shards are ready"}, {"/metrics", "", "", 401, ""}, {"/metrics", "api-key", "reader", 200, ""},
	} {
		status, body, head := do(t, h, "GET", c.path, "", c.header, c.value)
		if status != c.status || c.body != "" && body != c.body {
			t.Errorf("%+v: %d %s", c, status, body)
		}
		if c.body != "" && !strings.HasPrefix(head.Get("Content-Type"), "text/plain") {
			t.Errorf("%+v: %v", c, head)
		}
	}
	status, _, head := do(t, h, "OPTIONS", "/collections", "", "Origin", "http://x", "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "api-key")
	if status != 200 || head.Get("Access-Control-Allow-Origin") != "http://x" || head.Get("Access-Control-Allow-Headers") != "api-key" {
		t.Errorf("%d %v", status, head)
	}
	if _, _, head = do(t, h, "GET", "/", "", "Origin", "http://x"); head.Get("Access-Control-Allow-Origin") != "http://x" {
		t.Error(head)
	}
	f.settings.Service.EnableCORS = false
	if status, _, _ = do(t, newHandler(f, Options{}), "OPTIONS", "/collections", "", "Origin", "http://x", "Access-Control-Request-Method", "PUT"); status != 401 {
		t.Error(status)
	}
	if status, body, _ := do(t, h.Metrics(), "GET", "/metrics", ""); status != 200 || !strings.Contains(body, "\ncollections_total ") {
		t.Error(status)
	}
}
