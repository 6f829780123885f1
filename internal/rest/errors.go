package rest

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/sextantdb/sextant"
)

// answer is how a kind of error looks: its status and what stands before its text. Kinds Malformed and Invalid carry whole
// sentences already.
type answer struct {
	status int
	prefix string
}

func answerOf(k sextant.Kind) answer {
	switch k {
	case sextant.WrongInput:
		return answer{http.StatusBadRequest, "Wrong input: "}
	case sextant.BadRequest:
		return answer{http.StatusBadRequest, "Bad request: "}
	case sextant.Malformed, sextant.Checksum:
		return answer{http.StatusBadRequest, ""}
	case sextant.Invalid:
		return answer{http.StatusUnprocessableEntity, ""}
	case sextant.NotFound:
		return answer{http.StatusNotFound, "Not found: "}
	case sextant.Exists:
		return answer{http.StatusConflict, "Wrong input: "}
	case sextant.Unauthenticated:
		return answer{http.StatusUnauthorized, ""}
	case sextant.Forbidden:
		return answer{http.StatusForbidden, "Forbidden: "}
	case sextant.Locked:
		return answer{http.StatusForbidden, "Storage locked: "}
	case sextant.Standalone:
		return answer{http.StatusMethodNotAllowed, ""}
	case sextant.Timeout:
		return answer{http.StatusRequestTimeout, "Timeout: "}
	case sextant.RateLimited:
		return answer{http.StatusTooManyRequests, "Rate limiting exceeded: "}
	case sextant.Quota:
		return answer{http.StatusInsufficientStorage, "Insufficient storage: "}
	case sextant.Unavailable:
		return answer{http.StatusServiceUnavailable, "Shard temporarily unavailable: "}
	case sextant.Precondition:
		return answer{http.StatusInternalServerError, "Pre-condition failure: Precondition failed: "}
	case sextant.Unchanged:
		return answer{http.StatusNotModified, ""}
	case sextant.NotImplemented:
		return answer{http.StatusNotImplemented, "Not implemented: "}
	case sextant.Internal, sextant.Corrupt:
	}
	return answer{http.StatusInternalServerError, "Service internal error: "}
}

// fail answers with an error: in the envelope, or as a bare sentence where the route has no envelope.
func (c *call) fail(err error) {
	kind := sextant.KindOf(err)
	a := answerOf(kind)
	text := err.Error()
	var e *sextant.Error
	if errors.As(err, &e) {
		text = e.Text
		if e.RetryAfter > 0 {
			seconds := math.Ceil(e.RetryAfter.Seconds())
			c.w.Header().Set("Retry-After", strconv.Itoa(int(seconds)))
		}
	}
	text = a.prefix + text
	if a.status >= http.StatusInternalServerError && kind != sextant.NotImplemented {
		c.h.log.Error("request failed", "method", c.r.Method, "route", c.route.pattern, "status", a.status, "err", err)
	}
	if c.committed {
		// A part of the answer is out: all that is left is to break it off where the client notices.
		panic(http.ErrAbortHandler)
	}
	if c.route.plain || kind == sextant.Unauthenticated {
		c.send(a.status, plainText, []byte(text))
		return
	}
	took := time.Since(c.start)
	if kind == sextant.Malformed || kind == sextant.Invalid {
		took = 0 // the operation did not begin
	}
	b, _ := jsontext.AppendQuote([]byte(`{"status":{"error":`), text)
	b = append(b, `},"time":`...)
	b = appendSeconds(b, took)
	c.send(a.status, jsonText, append(b, '}'))
}

// appendSeconds prints a duration with a decimal point.
func appendSeconds(b []byte, d time.Duration) []byte {
	return strconv.AppendFloat(b, d.Seconds(), 'f', 9, 64)
}
