// Package api holds black-box tests of the public REST API: real server processes, real requests, exact answers.
//
// Shapes: most of it is scripts in testdata, one file for a subject. A block is one request and the answer to it:
//
//	# Whatever is to say.
//	PUT /collections/c?timeout=5 {"vectors":{"size":4,"distance":"Dot"}}
//	200 true
//
// A request is a method, a path and a body, which may go on over several lines; lines that begin with "> " are headers of the
// request. What is expected begins with the status: the result of the envelope, or the text of its error, or the plain body
// in quotes. "…" in it stands for anything. Lines that begin with "< " expect headers of the answer. Two words are commands:
// "server KEY=VALUE …" starts the server anew with these variables and what it has on disk, and POLL before a method repeats the
// request until the answer is the expected one.
//
//	go test ./test/api -rewrite    # puts what was answered in place of what was not expected
package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sextantdb/sextant/test/process"
)

// block is a paragraph of a script.
type block struct {
	lines   []string // as they are in the file
	command []string // of a block that is no request
	poll    bool
	method  string
	path    string
	body    string
	headers [][2]string
	want    []string // status and answer, then headers
}

var statusLine = regexp.MustCompile(`^[1-5][0-9][0-9]( |$)`)

func parse(text string) (list []block, err error) {
	for paragraph := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		b := block{lines: strings.Split(strings.Trim(paragraph, "\n"), "\n")}
		if err := b.parse(); err != nil {
			return nil, fmt.Errorf("%w in\n%s", err, paragraph)
		}
		list = append(list, b)
	}
	return list, nil
}

func (b *block) parse() error {
	begun := false
	for _, line := range b.lines {
		switch {
		case strings.HasPrefix(line, "#"):
		case b.want != nil || begun && statusLine.MatchString(line):
			b.want = append(b.want, line)
		case begun && strings.HasPrefix(line, "> "):
			name, value, _ := strings.Cut(line[2:], ": ")
			b.headers = append(b.headers, [2]string{name, value})
		case begun:
			b.body += line
		case strings.HasPrefix(line, "server"):
			b.command = strings.Fields(line)
			return nil
		default:
			begun = true
			line, b.poll = strings.CutPrefix(line, "POLL ")
			method, rest, _ := strings.Cut(line, " ")
			b.method = method
			b.path, b.body, _ = strings.Cut(rest, " ")
		}
	}
	if begun && b.want == nil {
		return fmt.Errorf("no status line")
	}
	return nil
}

// show returns the lines of the block with another answer.
func (b *block) show(got []string) []string {
	var lines []string
	for _, line := range b.lines {
		if len(b.want) > 0 && line == b.want[0] {
			break
		}
		lines = append(lines, line)
	}
	return append(lines, got...)
}

// matches reports whether got is want, where "…" stands for anything.
func matches(want, got string) bool {
	parts := strings.Split(want, "…")
	for i, p := range parts {
		parts[i] = regexp.QuoteMeta(p)
	}
	return regexp.MustCompile(`(?s)^` + strings.Join(parts, `.*`) + `$`).MatchString(got)
}

// runner plays scripts against one server after the other.
type runner struct {
	t      testing.TB
	schema *schema
	server *process.Server
}

func (r *runner) start(env []string) {
	o := process.Options{Env: env}
	if r.server != nil {
		r.server.Stop(r.t, 5*time.Second)
		o.Dir, o.Port = r.server.Dir, r.server.Port
	}
	r.server = process.Start(r.t, o)
}

// play runs one block and returns what was answered and whether that is what was expected.
func (r *runner) play(b *block) (got []string, ok bool) {
	if r.server == nil || b.command != nil {
		var env []string
		if b.command != nil {
			env = b.command[1:]
		}
		r.start(env)
	}
	if b.method == "" {
		return nil, true
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if got = r.ask(b); b.expects(got) {
			return b.want, true
		}
		if !b.poll || time.Now().After(end) {
			return got, false
		}
	}
}

func (b *block) expects(got []string) bool {
	if len(got) != len(b.want) {
		return false
	}
	for i := range got {
		if !matches(b.want[i], got[i]) {
			return false
		}
	}
	return true
}

func (r *runner) ask(b *block) []string {
	req, err := http.NewRequest(b.method, r.server.URL+b.path, strings.NewReader(b.body))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, h := range b.headers {
		req.Header.Set(h[0], h[1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatalf("%s %s: %v", b.method, b.path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatalf("%s %s: %v", b.method, b.path, err)
	}
	if err := r.schema.check(b.method, req.URL.Path, resp, body); err != nil {
		r.t.Errorf("%s %s: %v", b.method, b.path, err)
	}
	got := []string{strings.TrimSpace(strconv.Itoa(resp.StatusCode) + " " + digest(resp, body))}
	for _, want := range b.want {
		if name, ok := strings.CutPrefix(want, "< "); ok {
			name, _, _ = strings.Cut(name, ":")
			got = append(got, "< "+strings.TrimSpace(name+": "+resp.Header.Get(name)))
		}
	}
	return got
}

// digest says in one line what an answer holds: of an envelope the result or the error.
func digest(resp *http.Response, body []byte) string {
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		if len(body) == 0 {
			return ""
		}
		return strconv.Quote(string(body))
	}
	var e struct {
		Result json.RawMessage `json:"result"`
		Status json.RawMessage `json:"status"`
		Time   *float64        `json:"time"`
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&e); err != nil {
		return "no JSON: " + string(body)
	}
	switch {
	case e.Status == nil:
		return string(body)
	case e.Time == nil:
		return "no time: " + string(body)
	}
	var failure struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(e.Status, &failure) == nil && e.Result == nil {
		return strings.ReplaceAll(failure.Error, "\n", `\n`)
	}
	if string(e.Status) != `"ok"` {
		return string(e.Status) + string(e.Result)
	}
	return string(e.Result)
}
