package rest

import (
	"compress/zlib"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	jsonText  = "application/json"
	plainText = "text/plain; charset=utf-8"
)

// send writes a whole answer.
func (c *call) send(status int, contentType string, body []byte) {
	head := c.w.Header()
	head.Set("Content-Type", contentType)
	head.Set("Content-Length", strconv.Itoa(len(body)))
	c.status, c.committed = status, true
	c.w.WriteHeader(status)
	if status != http.StatusNotModified {
		_, _ = c.w.Write(body)
	}
}

// output is the body of a successful answer on its way: it is appended to b, and leaves in pieces when it grows large.
type output struct {
	b    []byte
	c    *call
	w    io.Writer      // where pieces go; nil before the first
	zip  io.WriteCloser // non-nil when w compresses
	pool *sync.Pool     // that zip came from
}

const (
	pieceSize     = 64 << 10
	worthZipping  = 1 << 10
	keptPiece     = 256 << 10
	envelopeBegin = `{"result":`
)

var pieces = sync.Pool{New: func() any { return new(make([]byte, 0, 4<<10)) }}

// result answers with the envelope around what f appends.
func (c *call) result(f func(*output)) error {
	buf := pieces.Get().(*[]byte)
	o := &output{b: append((*buf)[:0], envelopeBegin...), c: c}
	f(o)
	o.b = append(o.b, `,"status":"ok","time":`...)
	o.b = appendSeconds(o.b, time.Since(c.start))
	o.b = append(o.b, '}')
	o.end(jsonText)
	if cap(o.b) <= keptPiece {
		*buf = o.b
		pieces.Put(buf)
	}
	return nil
}

// raw answers with a result that is JSON already.
func (c *call) raw(json string) error {
	return c.result(func(o *output) { o.b = append(o.b, json...) })
}

// accepted answers that the work goes on.
func (c *call) accepted() error {
	b := appendSeconds([]byte(`{"status":"accepted","time":`), time.Since(c.start))
	c.send(http.StatusAccepted, jsonText, append(b, '}'))
	return nil
}

// text answers with plain text.
func (c *call) text(status int, s string) error {
	c.send(status, plainText, []byte(s))
	return nil
}

// spill sends what has gathered when it is a piece.
func (o *output) spill() {
	if len(o.b) < pieceSize {
		return
	}
	if o.w == nil {
		o.begin(jsonText)
	}
	_, _ = o.w.Write(o.b) // a client that went away is noticed by the context of the request
	o.b = o.b[:0]
}

// begin sends the head of an answer of unknown length.
func (o *output) begin(contentType string) {
	c := o.c
	head := c.w.Header()
	head.Set("Content-Type", contentType)
	o.w = c.w
	if name := acceptedEncoding(c.r.Header.Get("Accept-Encoding")); name != "" {
		head.Set("Content-Encoding", name)
		o.pool = compressors[name]
		o.zip = o.pool.Get().(io.WriteCloser)
		o.zip.(interface{ Reset(io.Writer) }).Reset(c.w)
		o.w = o.zip
	}
	head.Add("Vary", "Accept-Encoding")
	c.status, c.committed = http.StatusOK, true
	c.w.WriteHeader(http.StatusOK)
}

// end sends the rest.
func (o *output) end(contentType string) {
	if o.w == nil {
		if len(o.b) < worthZipping || acceptedEncoding(o.c.r.Header.Get("Accept-Encoding")) == "" {
			o.c.send(http.StatusOK, contentType, o.b)
			return
		}
		o.begin(contentType)
	}
	_, _ = o.w.Write(o.b)
	if o.zip != nil {
		_ = o.zip.Close()
		o.zip.(interface{ Reset(io.Writer) }).Reset(io.Discard)
		o.pool.Put(o.zip)
	}
}

// compressors are tuned for speed: answers are made once and read once.
var compressors = map[string]*sync.Pool{
	"zstd": {New: func() any {
		w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
			zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(256<<10))
		if err != nil {
			panic(err) // the options are constants
		}
		return w
	}},
	"gzip": {New: func() any {
		w, err := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
		if err != nil {
			panic(err) // the level is a constant
		}
		return w
	}},
	"br": {New: func() any { return brotli.NewWriterLevel(io.Discard, brotli.BestSpeed) }},
	"deflate": {New: func() any {
		w, err := zlib.NewWriterLevel(io.Discard, zlib.BestSpeed)
		if err != nil {
			panic(err) // the level is a constant
		}
		return w
	}},
}

// preferred are the encodings of answers, the quickest first.
var preferred = []string{"zstd", "gzip", "br", "deflate"}

// acceptedEncoding picks an encoding that the client accepts; "" is none.
func acceptedEncoding(header string) string {
	if header == "" {
		return ""
	}
	best, bestWeight := "", 0.0
	for _, name := range preferred {
		if w := weightOf(header, name); w > bestWeight {
			best, bestWeight = name, w
		}
	}
	if bestWeight < weightOf(header, "identity") {
		return ""
	}
	return best
}

// weightOf returns the q-value of an encoding in an Accept-Encoding header; 0: not accepted.
func weightOf(header, name string) float64 {
	any := 0.0
	for item := range strings.SplitSeq(header, ",") {
		coding, params, _ := strings.Cut(strings.TrimSpace(item), ";")
		coding = strings.TrimSpace(coding)
		weight := 1.0
		if key, q, ok := strings.Cut(strings.TrimSpace(params), "="); ok && strings.EqualFold(strings.TrimSpace(key), "q") {
			if f, err := strconv.ParseFloat(strings.TrimSpace(q), 64); err == nil {
				weight = f
			}
		}
		if strings.EqualFold(coding, name) {
			return weight
		}
		if coding == "*" && name != "identity" {
			any = weight
		}
	}
	return any
}
