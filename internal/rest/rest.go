// Package rest is the HTTP edge: requests of the public API become values of the vocabulary, answers become JSON.
//
// Shapes: bodies are read by a pull scanner that knows each object's keys; vectors of a request share one arena, payloads
// stay the bytes they are. Answers are appended to a buffer and leave in pieces when they are large.
// Errors: sextant.Error by kind, translated in errors.go and nowhere else. What the API documents and this version lacks
// is NotImplemented and says so.
// Concurrency: a Handler serves any number of requests; it owns no goroutine.
// Sources: the public REST API of the Qdrant 1.19 protocol family (test/openapi); RFC 8259, 9110.
package rest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/auth"
	"github.com/sextantdb/sextant/internal/node"
	"github.com/sextantdb/sextant/internal/telemetry"
)

// Options complete what the settings of the node say.
type Options struct {
	Log      *slog.Logger        // nil: silent
	Recorder *telemetry.Recorder // nil: the handler's own
}

// Handler serves the whole API on one port.
type Handler struct {
	node     backend
	log      *slog.Logger
	recorder *telemetry.Recorder
	routes   router
	maxBody  int64
	cors     bool
	keyless  bool // not even unknown paths ask for a key
}

// NewHandler returns the API of n.
func NewHandler(n *node.Node, o Options) *Handler { return newHandler(n, o) }

func newHandler(n backend, o Options) *Handler {
	service := n.Settings().Service
	h := &Handler{
		node:     n,
		log:      cmp.Or(o.Log, slog.New(slog.DiscardHandler)),
		recorder: cmp.Or(o.Recorder, telemetry.NewRecorder()),
		maxBody:  int64(cmp.Or(service.MaxRequestSizeMB, 32)) << 20,
		cors:     service.EnableCORS,
	}
	h.routes = newRouter(routes())
	return h
}

// Metrics returns the handler of a port that has nothing but /metrics, without a key.
func (h *Handler) Metrics() http.Handler {
	only := *h
	only.cors, only.keyless = false, true
	only.routes = newRouter([]*route{
		{method: "GET", pattern: "/metrics", do: (*call).openMetrics, open: true, quiet: true, plain: true},
	})
	return &only
}

// call is one request on its way.
type call struct {
	h         *Handler
	w         http.ResponseWriter
	r         *http.Request
	route     *route
	params    []string
	access    auth.Access
	start     time.Time
	values    url.Values
	status    int
	committed bool // the head of the answer is out
	drain     bool // the body was refused for its size
}

func (c *call) query() url.Values {
	if c.values == nil {
		c.values = c.r.URL.Query()
	}
	return c.values
}

// param returns the i-th parameter of the path.
func (c *call) param(i int) string { return c.params[i] }

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{h: h, w: w, r: r, start: time.Now()}
	if h.cors && c.allowOrigin() {
		return
	}
	c.route, c.params = h.routes.find(r.Method, r.URL.EscapedPath())
	known := c.route != nil
	if !known {
		c.route = &route{pattern: "unknown", plain: true, quiet: true, open: h.keyless}
	}
	defer c.finish()
	defer c.guard()
	if !c.route.open && !c.authenticate() {
		return
	}
	if !known {
		c.status = http.StatusNotFound
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if err := c.checkNames(); err != nil {
		c.fail(err)
		return
	}
	if err := c.route.do(c); err != nil {
		c.fail(c.explain(err))
	}
	if c.drain {
		c.drainBody()
	}
}

// explain gives errors of contexts the text of the API.
func (c *call) explain(err error) error {
	var e *sextant.Error
	if errors.Is(err, context.DeadlineExceeded) && !errors.As(err, &e) {
		return sextant.Errorf(sextant.Timeout, "Operation '%s' timed out after %ds",
			c.route.pattern, int(time.Since(c.start).Seconds()))
	}
	return err
}

// authenticate learns what the caller may do, or answers that the key is missing or wrong.
func (c *call) authenticate() bool {
	if !c.h.node.AuthEnabled() {
		c.access = auth.All()
		return true
	}
	access, err := c.h.node.Authenticate(c.r.Context(), c.r.Header.Get("api-key"), c.r.Header.Get("Authorization"))
	if err == nil {
		c.access = access
		return true
	}
	var e *sextant.Error
	if !errors.As(err, &e) {
		c.fail(err)
		return false
	}
	// The key check speaks plain text, without any prefix.
	c.send(answerOf(e.Kind).status, plainText, []byte(e.Text))
	return false
}

// guard turns a panic of a handler into an answer, so that one request does not take its neighbours along.
func (c *call) guard() {
	reason := recover()
	if reason == nil {
		return
	}
	if reason == http.ErrAbortHandler { //nolint:errorlint // the very value is agreed on
		panic(reason)
	}
	c.h.log.Error("panic in a request", "method", c.r.Method, "route", c.route.pattern, "err", reason,
		"stack", string(debug.Stack()))
	c.fail(sextant.Errorf(sextant.Internal, "panic: %v", reason))
}

// finish writes the access log and counts the request.
func (c *call) finish() {
	took := time.Since(c.start)
	if c.route.measured {
		c.h.recorder.Observe(telemetry.Request{Method: c.route.method, Route: c.route.pattern, Collection: c.params[0],
			Status: c.status, Took: took})
	}
	if !c.route.quiet {
		level := slog.LevelDebug // a line per request would bury what an operator must know
		if c.status >= http.StatusInternalServerError {
			level = slog.LevelWarn
		}
		c.h.log.Log(c.r.Context(), level, "request", "method", c.r.Method, "path", c.r.URL.Path, "status", c.status, "took", took,
			"from", c.r.RemoteAddr)
	}
}

// allowOrigin answers a preflight, and lets scripts of any origin read other answers.
func (c *call) allowOrigin() (done bool) {
	origin := c.r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	head := c.w.Header()
	head.Add("Vary", "Origin")
	head.Set("Access-Control-Allow-Origin", origin)
	head.Set("Access-Control-Expose-Headers", "*")
	method := c.r.Header.Get("Access-Control-Request-Method")
	if c.r.Method != http.MethodOptions || method == "" {
		return false
	}
	head.Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE, OPTIONS")
	if asked := c.r.Header.Get("Access-Control-Request-Headers"); asked != "" {
		head.Set("Access-Control-Allow-Headers", asked)
	}
	head.Set("Access-Control-Max-Age", "3600")
	c.w.WriteHeader(http.StatusOK)
	return true
}

// checkNames checks the parameters of the path that every operation on them checks.
func (c *call) checkNames() error {
	i := 0
	for _, segment := range c.route.segments {
		if !isParam(segment) {
			continue
		}
		value := c.params[i]
		i++
		if segment != "{collection_name}" {
			continue
		}
		forbidden := "/\x00"
		if c.route.creates() {
			forbidden = "<>:\"/\\|?*\x00\x1F"
		}
		if err := checkName("collection_name", "collection name", value, forbidden); err != nil {
			return err
		}
	}
	return nil
}

// creates reports whether the route may bring a new collection name into being.
func (r *route) creates() bool {
	return r.method == "PUT" && r.pattern == "/collections/{collection_name}" ||
		r.pattern == "/collections/{collection_name}/snapshots/upload"
}

func checkName(param, what, value, forbidden string) error {
	if n := len([]rune(value)); n < 1 || n > 255 {
		return badPath(param, "value %q invalid, must be from 1 to 255 characters", value)
	}
	for _, r := range value {
		for _, bad := range forbidden {
			if r == bad {
				return badPath(param, "%s cannot contain %q char", what, string(bad))
			}
		}
	}
	return nil
}

func badPath(param, format string, args ...any) error {
	return sextant.Errorf(sextant.Invalid, "Validation error in path parameters: [%s: %s]", param, fmt.Sprintf(format, args...))
}
