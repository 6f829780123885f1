package rest

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/node"
)

// bodies holds buffers of request bodies; larger ones than keptBody go to the garbage collector.
var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

const keptBody = 16 << 20

// decode reads the body with f. Nothing of the result refers to the bytes of the body.
func decode[T any](c *call, f func(*scanner) T) (T, error) {
	buf := bodies.Get().(*bytes.Buffer)
	defer func() {
		if buf.Cap() <= keptBody {
			buf.Reset()
			bodies.Put(buf)
		}
	}()
	var v T
	if err := c.readBody(buf); err != nil {
		return v, err
	}
	s := &scanner{b: buf.Bytes()}
	v = f(s)
	return v, s.finish()
}

// readBody reads the body up to the limit, which counts what comes out of decompression.
func (c *call) readBody(buf *bytes.Buffer) error {
	limit := c.h.maxBody
	compressed := c.r.Header.Get("Content-Encoding")
	if n := c.r.ContentLength; n > limit && isIdentity(compressed) {
		return c.tooLarge(fmt.Sprintf("JSON payload (%d bytes) is larger than allowed (limit: %d bytes).", n, limit))
	} else if n > 0 && isIdentity(compressed) {
		buf.Grow(int(min(n, 1<<20)) + bytes.MinRead)
	}
	r, err := decompress(c.r.Body, compressed)
	if err != nil {
		return err
	}
	defer r.Close()
	n, err := buf.ReadFrom(io.LimitReader(r, limit+1))
	switch {
	case n > limit:
		return c.tooLarge(fmt.Sprintf("JSON payload has exceeded limit (%d bytes).", limit))
	case c.r.Context().Err() != nil:
		return c.r.Context().Err()
	case err != nil:
		return sextant.Errorf(sextant.Malformed, "Format error in JSON body: cannot read the body: %v", err)
	}
	return nil
}

func isIdentity(encoding string) bool {
	return encoding == "" || strings.EqualFold(encoding, "identity")
}

// tooLarge refuses the body. What is on its way is taken in and thrown away after the answer, for a while: a client that is
// cut off while it sends would not read why.
func (c *call) tooLarge(text string) error {
	c.w.Header().Set("Connection", "close")
	c.drain = !strings.EqualFold(c.r.Header.Get("Expect"), "100-continue")
	return sextant.Errorf(sextant.Malformed, "%s", text)
}

const (
	drainTime  = 3 * time.Second
	drainBytes = 1 << 30
)

func (c *call) drainBody() {
	rc := http.NewResponseController(c.w)
	_ = rc.Flush()
	_ = rc.SetReadDeadline(time.Now().Add(drainTime))
	_, _ = io.CopyN(io.Discard, c.r.Body, drainBytes)
}

// decompress wraps the body as its Content-Encoding says.
func decompress(body io.Reader, encoding string) (io.ReadCloser, error) {
	bad := func(err error) error {
		return sextant.Errorf(sextant.Malformed, "Format error in JSON body: cannot decompress the body: %v", err)
	}
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		return io.NopCloser(body), nil
	case "gzip", "x-gzip":
		r, err := gzip.NewReader(body)
		if err != nil {
			return nil, bad(err)
		}
		return r, nil
	case "deflate":
		return inflate(body)
	case "br":
		return io.NopCloser(brotli.NewReader(body)), nil
	case "zstd":
		r, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20),
			zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, bad(err)
		}
		return r.IOReadCloser(), nil
	}
	return nil, bad(fmt.Errorf("Content-Encoding %q is not supported", encoding))
}

// inflate reads "deflate" in both forms that are around: zlib, as the standard says, and bare.
func inflate(body io.Reader) (io.ReadCloser, error) {
	head := make([]byte, 2)
	n, err := io.ReadFull(body, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	whole := io.MultiReader(bytes.NewReader(head[:n]), body)
	if n == 2 && head[0]&0x0F == 8 && (uint(head[0])<<8|uint(head[1]))%31 == 0 {
		return zlib.NewReader(whole)
	}
	return flate.NewReader(whole), nil
}

// badQuery refuses a query parameter.
func badQuery(format string, args ...any) error {
	return sextant.Errorf(sextant.Malformed, "Deserialize error in query parameters: %s", fmt.Sprintf(format, args...))
}

// flag reads a query parameter that is true or false.
func (c *call) flag(name string, standard bool) (bool, error) {
	switch v := c.query().Get(name); v {
	case "":
		return standard, nil
	case "true", "false":
		return v == "true", nil
	}
	return false, badQuery("%s: provided string was not `true` or `false`", name)
}

// seconds reads a query parameter of whole seconds; ok is false when it is absent.
func (c *call) seconds(name string) (d time.Duration, ok bool, err error) {
	v := c.query().Get(name)
	if v == "" {
		return 0, false, nil
	}
	n, err := strconv.ParseUint(v, 10, 64)
	if err != nil {
		return 0, false, badQuery("%s: invalid digit found in string", name)
	}
	const most = 1 << 32 // more than a century, and no overflow
	return time.Duration(min(n, most)) * time.Second, true, nil
}

func (c *call) writeOptions() (o node.WriteOptions, err error) {
	if o.Wait, err = c.flag("wait", false); err != nil {
		return o, err
	}
	timeout, given, err := c.seconds("timeout")
	if err != nil {
		return o, err
	}
	if given {
		o.Timeout = &timeout
	}
	switch o.Ordering = c.query().Get("ordering"); o.Ordering {
	case "", "weak", "medium", "strong":
		return o, nil
	}
	return o, badQuery("unknown variant `%s`, expected one of `weak`, `medium`, `strong`", o.Ordering)
}

func (c *call) readOptions() (o node.ReadOptions, err error) {
	timeout, given, err := c.seconds("timeout")
	if err != nil {
		return o, err
	}
	if given && timeout == 0 {
		return o, badQuery("timeout: invalid value: integer `0`, expected a nonzero u64")
	}
	o.Timeout = timeout
	o.Affinity = c.r.Header.Get("X-Qdrant-Route-Affinity")
	switch want := c.r.Header.Get("X-Sextant-Read"); want {
	case "":
	case "linearizable":
		o.Linearizable = true
	default:
		return o, sextant.Errorf(sextant.BadRequest, "the header X-Sextant-Read can be linearizable, not %q", want)
	}
	switch o.Consistency = c.query().Get("consistency"); o.Consistency {
	case "", "majority", "quorum", "all":
		return o, nil
	}
	n, err := strconv.ParseUint(o.Consistency, 10, 31)
	if err != nil || n == 0 {
		return o, badQuery("consistency: `%s` is neither an integer of at least 1 nor one of `majority`, `quorum`, `all`",
			o.Consistency)
	}
	return o, nil
}

// metaTimeout reads how long a change of collections may take; 0 is the default.
func (c *call) metaTimeout() (time.Duration, error) {
	timeout, given, err := c.seconds("timeout")
	if err == nil && given && timeout == 0 {
		err = sextant.Errorf(sextant.Invalid,
			"Validation error in query parameters: [timeout: value 0 invalid, must be 1 or larger]")
	}
	return timeout, err
}
