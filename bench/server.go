package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/bench/dataset"
	"github.com/sextantdb/sextant/bench/peers"
	"github.com/sextantdb/sextant/bench/table"
)

// server is a real server process on a directory of its own.
type server struct {
	binary, dir, url string
	port             int
	cmd              *exec.Cmd
	client           *http.Client
}

func newServer() (*server, error) {
	dir, err := os.MkdirTemp("", "sextant-server-")
	if err != nil {
		return nil, err
	}
	s := &server{dir: dir, binary: filepath.Join(dir, "sextant"), client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	build := exec.Command("go", "build", "-trimpath", "-o", s.binary, "./cmd/sextant")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	s.url = fmt.Sprintf("http://127.0.0.1:%d", s.port)
	return s, l.Close()
}

// start returns how long it took until /readyz answered 200 and the first query was answered.
func (s *server) start() (time.Duration, error) {
	s.cmd = exec.Command(s.binary)
	s.cmd.Dir = s.dir
	s.cmd.Env = append(os.Environ(), fmt.Sprintf("SEXTANT__SERVICE__HTTP_PORT=%d", s.port), "SEXTANT__LOG_LEVEL=WARN", "SEXTANT__SERVICE__GRPC_PORT=0")
	s.cmd.Stderr = os.Stderr
	start := time.Now()
	if err := s.cmd.Start(); err != nil {
		return 0, err
	}
	for time.Since(start) < time.Minute {
		resp, err := s.client.Get(s.url + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return time.Since(start), nil
			}
		}
		time.Sleep(time.Millisecond)
	}
	return 0, errors.New("the server was not ready within a minute")
}

func (s *server) end(signal syscall.Signal) (time.Duration, error) {
	start := time.Now()
	if err := s.cmd.Process.Signal(signal); err != nil {
		return 0, err
	}
	_ = s.cmd.Wait()
	s.client.CloseIdleConnections()
	return time.Since(start), nil
}

func (s *server) call(method, path string, body []byte, result any) error {
	return peers.Call(s.client, method, s.url+path, body, result)
}

func pointsBody(w *workload, first, last int) []byte {
	b := []byte(`{"points":[`)
	for i := first; i < last; i++ {
		if i > first {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"id":%d,"payload":{"random":%d},"vector":[`, i, random(i))
		for d, x := range w.row(i) {
			if d > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendFloat(b, float64(x), 'g', -1, 32)
		}
		b = append(b, "]}"...)
	}
	return append(b, "]}"...)
}

// upserts sends points [from,to) in batches by several clients and returns points per second.
func (s *server) upserts(w *workload, collection string, from, to, batch, clients int, wait bool) (float64, error) {
	var next atomic.Int64
	next.Store(int64(from))
	var group sync.WaitGroup
	failed := make([]error, clients)
	start := time.Now()
	for c := range clients {
		group.Go(func() {
			for {
				first := int(next.Add(int64(batch))) - batch
				if first >= to {
					return
				}
				path := fmt.Sprintf("/collections/%s/points?wait=%t", collection, wait)
				if failed[c] = s.call("PUT", path, pointsBody(w, first, min(first+batch, to)), nil); failed[c] != nil {
					return
				}
			}
		})
	}
	group.Wait()
	return float64(to-from) / time.Since(start).Seconds(), errors.Join(failed...)
}

// serverTable measures what only a process has: upserts over REST, memory, and the time from start to ready.
func serverTable(ctx context.Context, o options) error {
	set, err := dataset.Words()
	if err != nil {
		return err
	}
	o.queries = 2000
	w := split(set, sextant.Cosine, o)
	s, err := newServer()
	if err != nil {
		return err
	}
	defer os.RemoveAll(s.dir)
	fmt.Printf("\n## A server process: %d words over REST\n\n", w.len())
	if _, err := s.start(); err != nil {
		return err
	}
	defer func() { _ = s.cmd.Process.Kill() }()
	var t table.Table
	t.Add("upserts over REST", "points/s")
	create := fmt.Appendf(nil, `{"vectors":{"size":%d,"distance":"Cosine"}}`, w.dim)
	for _, run := range []struct {
		name                   string
		points, batch, clients int
		wait                   bool
	}{
		{"one point a request, 1 client, wait=true", 2000, 1, 1, true},
		{"one point a request, 1 client, wait=false", 2000, 1, 1, false},
		{"one point a request, 64 clients, wait=true", 20000, 1, 64, true},
		{"one point a request, 64 clients, wait=false", 20000, 1, 64, false},
		{"100 points a request, 4 clients, wait=true", 40000, 100, 4, true},
		{"100 points a request, 4 clients, wait=false", 40000, 100, 4, false},
	} {
		if err := s.call("PUT", "/collections/small", create, nil); err != nil {
			return err
		}
		speed, err := s.upserts(w, "small", 0, min(run.points, w.len()), run.batch, run.clients, run.wait)
		if err != nil {
			return err
		}
		t.Add(run.name, speed)
		if err := s.call("DELETE", "/collections/small", nil, nil); err != nil {
			return err
		}
	}
	if err := s.call("PUT", "/collections/words", create, nil); err != nil {
		return err
	}
	speed, err := s.upserts(w, "words", 0, w.len(), 1000, 2, false)
	if err != nil {
		return err
	}
	t.Add("everything: 1,000 points a request, 2 clients, wait=false", speed)
	t.Print(os.Stdout)
	return s.startTable(ctx, w)
}

func (s *server) startTable(ctx context.Context, w *workload) error {
	if err := s.untilIndexed(w.len()); err != nil {
		return err
	}
	var t table.Table
	t.Add("start with everything indexed", "time")
	for _, end := range []struct {
		name   string
		signal syscall.Signal
	}{{"after SIGTERM", syscall.SIGTERM}, {"after SIGKILL", syscall.SIGKILL}} {
		if end.signal == syscall.SIGKILL { // leave something to replay
			if _, err := s.upserts(w, "words", 0, min(20_000, w.len()), 100, 2, true); err != nil {
				return err
			}
		}
		took, err := s.end(end.signal)
		if err != nil {
			return err
		}
		if end.signal == syscall.SIGTERM {
			t.Add("stop by SIGTERM", took)
		}
		ready, err := s.start()
		if err != nil {
			return err
		}
		t.Add("ready "+end.name, ready)
	}
	t.Print(os.Stdout)
	rss, err := s.memory()
	if err != nil {
		return err
	}
	fmt.Printf("resident memory after start: %d MB, %d bytes per vector (of which mapped files are evictable)\n", rss>>20, rss/int64(w.len()))
	return ctx.Err()
}

func (s *server) untilIndexed(n int) error {
	deadline := time.Now().Add(30 * time.Minute)
	for {
		var info struct {
			Status  string `json:"status"`
			Indexed int    `json:"indexed_vectors_count"`
		}
		if err := s.call("GET", "/collections/words", nil, &info); err != nil {
			return err
		}
		// The newest rows may stay in memory, scanned, until there are enough of them for a segment.
		if info.Status == "green" && info.Indexed > n/2 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not indexed after 30 minutes: %+v", info)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (s *server) memory() (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}
