// Package process starts real server processes for black-box tests: the program is built once per test binary, every
// server gets free ports on 127.0.0.1 and a directory of its own, and all of them end with their test.
package process

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Options describe one server. The zero value is a fresh one with default settings.
type Options struct {
	Dir  string   // working directory, kept over restarts; empty: a temporary one
	Env  []string // KEY=value, after the inherited environment
	Args []string
	Port int      // REST port; 0: a free one
	Host string   // where its ports are reached; empty: 127.0.0.1
	Wrap []string // a command that starts the program in place of itself
	Log  string   // a file that gets what it prints; empty: none
}

// Server is a running server process.
type Server struct {
	URL, Dir string
	Port     int
	cmd      *exec.Cmd
	log      *lockedBuffer
	done     chan struct{}
	ended    atomic.Bool // on purpose
	heir     atomic.Bool // another process took over its directory
}

type lockedBuffer struct {
	mu   sync.Mutex
	b    bytes.Buffer
	file *os.File // gets it too; nil: none
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		_, _ = l.file.Write(p)
	}
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var build = sync.OnceValues(func() (string, error) {
	if bin := os.Getenv("SEXTANT_BIN"); bin != "" {
		return filepath.Abs(bin)
	}
	dir, err := os.MkdirTemp("", "sextant-bin-")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "sextant")
	cmd := exec.Command("go", "build", "-o", bin, "github.com/sextantdb/sextant/cmd/sextant")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return bin, nil
})

// Binary returns the built program (or SEXTANT_BIN, if set).
func Binary(t testing.TB) string {
	t.Helper()
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

var given sync.Map // ports that this process has given out

// FreePort returns a port that nobody listened on a moment ago. It is none of those that the system takes for the near end of
// connections, so that a server finds it free again after a restart.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := 10_000 + rand.IntN(22_000)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		_ = l.Close()
		if _, twice := given.LoadOrStore(port, true); !twice {
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// Start starts a server and waits until it is ready.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s := Spawn(t, o)
	s.WaitReady(t, 30*time.Second)
	return s
}

// Spawn starts a server without waiting for it.
func Spawn(t testing.TB, o Options) *Server {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Port == 0 {
		o.Port = FreePort(t)
	}
	host := cmp.Or(o.Host, "127.0.0.1")
	s := &Server{Dir: o.Dir, Port: o.Port, URL: fmt.Sprintf("http://%s:%d", host, o.Port), log: &lockedBuffer{}, done: make(chan struct{})}
	command := slices.Concat(o.Wrap, []string{Binary(t)}, o.Args)
	s.cmd = exec.Command(command[0], command[1:]...)
	s.cmd.Dir, s.cmd.SysProcAttr = o.Dir, dieWithParent
	s.cmd.Env = append(append(cleanEnv(), fmt.Sprintf("QDRANT__SERVICE__HTTP_PORT=%d", o.Port),
		fmt.Sprintf("QDRANT__SERVICE__GRPC_PORT=%d", FreePort(t))), o.Env...)
	if o.Log != "" {
		f, err := os.Create(o.Log)
		if err != nil {
			t.Fatal(err)
		}
		s.log.file = f
		t.Cleanup(func() { _ = f.Close() })
	}
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = s.cmd.Wait()
		close(s.done)
	}()
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() && !s.heir.Load() {
			t.Logf("server log:\n%s", tail(s.log.String(), 8000))
		}
	})
	return s
}

// cleanEnv keeps settings of the developer's shell out of the tests.
func cleanEnv() (env []string) {
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "QDRANT_") && !strings.HasPrefix(kv, "SEXTANT__") {
			env = append(env, kv)
		}
	}
	return env
}

func tail(s string, n int) string {
	if len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

// WaitReady polls /readyz until it answers 200 and returns how long that took.
func (s *Server) WaitReady(t testing.TB, patience time.Duration) time.Duration {
	t.Helper()
	start := time.Now()
	for {
		resp, err := http.Get(s.URL + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return time.Since(start)
			}
		}
		select {
		case <-s.done:
			t.Fatalf("the server ended before it was ready:\n%s", tail(s.log.String(), 8000))
		case <-time.After(5 * time.Millisecond):
		}
		if time.Since(start) > patience {
			t.Fatalf("the server was not ready after %s:\n%s", patience, tail(s.log.String(), 8000))
		}
	}
}

// Kill ends the process at once (SIGKILL) and waits for its end.
func (s *Server) Kill() {
	s.ended.Store(true)
	_ = s.cmd.Process.Kill()
	<-s.done
}

// Stop asks the process to end (SIGTERM) and returns how long it took; it fails the test after patience.
func (s *Server) Stop(t testing.TB, patience time.Duration) time.Duration {
	t.Helper()
	start := time.Now()
	s.ended.Store(true)
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.done:
	case <-time.After(patience):
		t.Fatalf("the server did not stop within %s:\n%s", patience, tail(s.log.String(), 8000))
	}
	return time.Since(start)
}

// Crashed reports whether the process ended though nobody ended it.
func (s *Server) Crashed() bool {
	select {
	case <-s.done:
		return !s.ended.Load()
	default:
		return false
	}
}

// Wait waits for the end of a process that is to end by itself, and returns its exit code.
func (s *Server) Wait(patience time.Duration) (code int, ended bool) {
	select {
	case <-s.done:
		s.ended.Store(true)
		return s.cmd.ProcessState.ExitCode(), true
	case <-time.After(patience):
		return 0, false
	}
}

// PID is the process id.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Log returns what the process has printed.
func (s *Server) Log() string { return s.log.String() }
