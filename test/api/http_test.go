package api

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/sextantdb/sextant/test/process"
)

// Bodies may be compressed in both directions (1.6); limits count what comes out (1.4).
func TestBodiesAreCompressedAndLimited(t *testing.T) {
	c := of(t, process.Start(t, process.Options{Env: []string{"QDRANT__SERVICE__MAX_REQUEST_SIZE_MB=1"}}))
	c.expect("200 true", "PUT", "/collections/c", `{"vectors":{"size":2,"distance":"Dot"}}`)
	packers := map[string]func(io.Writer) io.WriteCloser{
		"gzip":    func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"deflate": func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
		"br":      func(w io.Writer) io.WriteCloser { return brotli.NewWriter(w) },
		"zstd":    func(w io.Writer) io.WriteCloser { z, _ := zstd.NewWriter(w); return z },
	}
	unpack := map[string]func(io.Reader) (io.Reader, error){
		"gzip":    func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		"deflate": func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) },
		"br":      func(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil },
		"zstd":    func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) },
	}
	pad := strings.Repeat("x", 5000)
	for name, pack := range packers {
		packed := func(body string) *bytes.Buffer {
			b := &bytes.Buffer{}
			w := pack(b)
			_, _ = io.WriteString(w, body)
			_ = w.Close()
			return b
		}
		resp, b := c.send("PUT", "/collections/c/points?wait=true", packed(`{"points":[{"id":1,"vector":[1,2],"payload":{"p":"`+pad+`"}}]}`), "Content-Encoding", name)
		if resp.StatusCode != 200 {
			t.Errorf("%s: %s", name, b)
		}
		resp, b = c.send("POST", "/collections/c/points/scroll", strings.NewReader("{}"), "Accept-Encoding", name)
		if resp.Header.Get("Content-Encoding") != name {
			t.Errorf("the answer is packed as %q, not %q", resp.Header.Get("Content-Encoding"), name)
			continue
		}
		r, err := unpack[name](bytes.NewReader(b))
		if err != nil {
			t.Fatal(name, err)
		}
		if plain, err := io.ReadAll(r); err != nil || !strings.Contains(string(plain), pad) {
			t.Errorf("%s: %v %.100s", name, err, plain)
		}
		resp, b = c.send("PUT", "/collections/c/points", packed(`{"points":[{"id":1,"vector":[1,2],"payload":{"p":"`+strings.Repeat("x", 1<<20)+`"}}]}`), "Content-Encoding", name)
		if got := digest(resp, b); resp.StatusCode != 400 || got != "JSON payload has exceeded limit (1048576 bytes)." {
			t.Errorf("%s: %d %s", name, resp.StatusCode, got)
		}
	}
	bare := &bytes.Buffer{}
	w, _ := flate.NewWriter(bare, 5)
	_, _ = io.WriteString(w, `{"ids":[1]}`)
	_ = w.Close()
	if resp, b := c.send("POST", "/collections/c/points", bare, "Content-Encoding", "deflate"); resp.StatusCode != 200 {
		t.Errorf("deflate without a head: %s", b)
	}
	big := `{"ids":[` + strings.Repeat("1,", 1<<19) + `1]}`
	resp, b := c.send("POST", "/collections/c/points", strings.NewReader(big))
	if got := digest(resp, b); resp.StatusCode != 400 || got != fmt.Sprintf("JSON payload (%d bytes) is larger than allowed (limit: 1048576 bytes).", len(big)) {
		t.Errorf("%d %s", resp.StatusCode, got)
	}
	resp, b = c.send("POST", "/collections/c/points", struct{ io.Reader }{strings.NewReader(big)}) // chunked
	if got := digest(resp, b); resp.StatusCode != 400 || got != "JSON payload has exceeded limit (1048576 bytes)." {
		t.Errorf("%d %s", resp.StatusCode, got)
	}
	resp, b = c.send("POST", "/collections/c/points", strings.NewReader(`{"ids":[1]}`), "Content-Encoding", "lzma")
	if resp.StatusCode != 400 {
		t.Errorf("an unknown packing: %d %s", resp.StatusCode, b)
	}
	// A small answer needs no packing, and one who wants none gets none.
	if resp, _ := c.send("POST", "/collections/c/points/scroll", strings.NewReader("{}"), "Accept-Encoding", "identity"); resp.Header.Get("Content-Encoding") != "" {
		t.Errorf("packed as %q against the will", resp.Header.Get("Content-Encoding"))
	}
}

// Snapshot uploads are not bounded by the size of requests.
func TestUploadsHaveNoLimit(t *testing.T) {
	server := process.Start(t, process.Options{Env: []string{"QDRANT__SERVICE__MAX_REQUEST_SIZE_MB=1"}})
	c := of(t, server)
	c.expect("200 true", "PUT", "/collections/c", `{"vectors":{"size":2,"distance":"Dot"}}`)
	for i := range 4 {
		c.expect("200 …", "PUT", "/collections/c/points?wait=true", fmt.Sprintf(`{"points":[{"id":%d,"vector":[1,2],"payload":{"p":"%s"}}]}`, i, strings.Repeat(fmt.Sprint(i), 900_000)))
	}
	_, file := c.send("GET", "/collections/c/shards/0/snapshot", nil)
	body, kind := form("snapshot", file)
	resp, b := c.send("POST", "/collections/c/shards/0/snapshots/upload", body, "Content-Type", kind)
	if resp.StatusCode != 200 {
		t.Errorf("%d bytes: %s", len(file), b)
	}
	c.expect(`200 {"count":4}`, "POST", "/collections/c/points/count", "{}")
	resp, b = c.send("POST", "/collections/c/snapshots/upload", strings.NewReader("x"))
	if resp.StatusCode != 400 {
		t.Errorf("no form: %d %s", resp.StatusCode, b)
	}
	body, kind = form("other", file)
	if resp, b = c.send("POST", "/collections/c/snapshots/upload", body, "Content-Type", kind); resp.StatusCode != 400 {
		t.Errorf("no file: %d %s", resp.StatusCode, b)
	}
}

// Without CORS nothing is said about origins. Connections stay open for a while and HTTP/1.1 is spoken.
func TestConnections(t *testing.T) {
	server := process.Start(t, process.Options{Env: []string{"QDRANT__SERVICE__ENABLE_CORS=false", "QDRANT__SERVICE__HOST=127.0.0.1"}})
	c := of(t, server)
	resp, _ := c.send("GET", "/", nil, "Origin", "https://example.org")
	if got := resp.Header.Get("Access-Control-Allow-Origin"); got != "" {
		t.Errorf("allowed origin %q", got)
	}
	if resp.ProtoMajor != 1 || resp.Close {
		t.Errorf("%s, close %t", resp.Proto, resp.Close)
	}
	if resp, _ := c.send("OPTIONS", "/collections", nil, "Origin", "https://example.org", "Access-Control-Request-Method", "PUT"); resp.StatusCode != 404 {
		t.Errorf("preflight: %s", resp.Status)
	}
	resp, b := c.send("GET", "/collections", strings.NewReader("{ this is no body"))
	if resp.StatusCode != 200 {
		t.Errorf("a body of a GET: %s", b)
	}
	// A client that is slow with its head does not hold a connection for ever, one that is slow with its body is waited for.
	conn, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := `{"vectors":{"size":2,"distance":"Dot"}}`
	fmt.Fprintf(conn, "PUT /collections/slow HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:10])
	time.Sleep(300 * time.Millisecond)
	fmt.Fprint(conn, body[10:])
	answer := make([]byte, 12)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 200" {
		t.Errorf("%q %v", answer, err)
	}
}
