package rest

import (
	"net/url"
	"strings"
)

// route is one operation of the API. Segments of its pattern in braces match anything and are its parameters.
type route struct {
	method   string
	pattern  string
	do       func(*call) error
	open     bool // no key is asked for
	quiet    bool // no line in the access log
	plain    bool // errors are bare text
	measured bool // durations are reported by /metrics
	segments []string
}

// router finds routes by method and path. It is immutable after it was made.
type router struct {
	byLength map[int][]*route
}

func newRouter(routes []*route) router {
	t := router{byLength: map[int][]*route{}}
	for _, r := range routes {
		r.segments = split(r.pattern)
		t.byLength[len(r.segments)] = append(t.byLength[len(r.segments)], r)
	}
	return t
}

// split cuts a path at its slashes; repeated and trailing ones do not count.
func split(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// find returns the route of a request and the values of its parameters in order. A route without parameters at the place
// in question wins over one with. path is percent-encoded; a segment that cannot be decoded matches nothing.
func (t router) find(method, path string) (*route, []string) {
	segments := split(path)
	for i, s := range segments {
		decoded, err := url.PathUnescape(s)
		if err != nil {
			return nil, nil
		}
		segments[i] = decoded
	}
	var best *route
	for _, r := range t.byLength[len(segments)] {
		if r.method == method && r.matches(segments) && (best == nil || r.beats(best)) {
			best = r
		}
	}
	if best == nil {
		return nil, nil
	}
	params := segments[:0]
	for i, s := range best.segments {
		if isParam(s) {
			params = append(params, segments[i])
		}
	}
	return best, params
}

func isParam(segment string) bool { return strings.HasPrefix(segment, "{") }

func (r *route) matches(segments []string) bool {
	for i, s := range r.segments {
		if s != segments[i] && !isParam(s) {
			return false
		}
	}
	return true
}

// beats reports whether r is more exact than other at the first place where they differ.
func (r *route) beats(other *route) bool {
	for i, s := range r.segments {
		if a, b := isParam(s), isParam(other.segments[i]); a != b {
			return b
		}
	}
	return false
}
