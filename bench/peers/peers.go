// Package peers runs server processes for benchmarks: a lone node, or the peers of a cluster.
package peers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Peer is a server process: a lone node, or one of a cluster.
type Peer struct {
	Dir       string
	port, p2p int
	cmd       *exec.Cmd
	http      *http.Client
	binary    string
	args, env []string
}

// idle is how long a connection may be unused: less than until the server closes it, else a request may meet just that.
const idle = 2 * time.Second

// Build builds the server into a directory.
func Build(dir string) (binary string, err error) {
	binary = filepath.Join(dir, "sextant")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "./cmd/sextant")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if b, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, b)
	}
	return binary, nil
}

// URI is where other peers reach it.
func (p *Peer) URI() string { return fmt.Sprintf("http://127.0.0.1:%d", p.p2p) }

// Start starts a process over a new directory, with settings besides. With args it is a peer of a cluster.
func Start(binary, dir string, args func(p *Peer) []string, env ...string) (*Peer, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	p := &Peer{Dir: dir, binary: binary, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: idle}}}
	for _, port := range []*int{&p.port, &p.p2p} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		*port = l.Addr().(*net.TCPAddr).Port
		if err := l.Close(); err != nil {
			return nil, err
		}
	}
	p.env = append([]string{"SEXTANT__SERVICE__HOST=127.0.0.1", fmt.Sprintf("SEXTANT__SERVICE__HTTP_PORT=%d", p.port), "SEXTANT__SERVICE__GRPC_PORT=0", "SEXTANT__LOG_LEVEL=ERROR"}, env...)
	if args != nil {
		p.args = args(p)
		p.env = append(p.env, "SEXTANT__CLUSTER__ENABLED=true", fmt.Sprintf("SEXTANT__CLUSTER__P2P__PORT=%d", p.p2p))
	}
	return p, p.Restart()
}

// Restart starts the process again, over its directory, after it was killed.
func (p *Peer) Restart() error {
	p.cmd = exec.Command(p.binary, p.args...)
	p.cmd.Dir, p.cmd.Stderr, p.cmd.Env = p.Dir, os.Stderr, append(os.Environ(), p.env...)
	return p.cmd.Start()
}

// Kill ends the process at once.
func (p *Peer) Kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// Poll asks until the answer is right.
func Poll(what string, ok func() bool) error {
	for limit := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			return fmt.Errorf("not within a minute: %s", what)
		}
	}
	return nil
}

// Ready waits until it answers.
func (p *Peer) Ready() error {
	return Poll("a server answers", func() bool { return p.Call("GET", "/collections", nil, nil) == nil })
}

// Together waits until all peers know each other.
func Together(peers []*Peer) error {
	for _, p := range peers {
		if err := Poll("all peers know each other", func() bool {
			var v struct {
				Peers map[string]any
				Raft  struct{ Leader *uint64 } `json:"raft_info"`
			}
			return p.Call("GET", "/cluster", nil, &v) == nil && len(v.Peers) == len(peers) && v.Raft.Leader != nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// Shows waits until an alias leads to a collection here.
func (p *Peer) Shows(alias, collection string) error {
	for limit := time.Now().Add(time.Minute); time.Now().Before(limit); {
		var v struct {
			Aliases []struct {
				Alias      string `json:"alias_name"`
				Collection string `json:"collection_name"`
			}
		}
		if err := p.Call("GET", "/aliases", nil, &v); err != nil {
			return err
		}
		for _, a := range v.Aliases {
			if a.Alias == alias && a.Collection == collection {
				return nil
			}
		}
	}
	return fmt.Errorf("alias %s does not lead to %s within a minute", alias, collection)
}

// Text returns what a GET answers.
func (p *Peer) Text(path string) (string, error) {
	resp, err := p.http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", p.port, path))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// Call asks it, and reads the result of the answer.
func (p *Peer) Call(method, path string, body []byte, result any) error {
	return Call(p.http, method, fmt.Sprintf("http://127.0.0.1:%d%s", p.port, path), body, result)
}

// Call asks a server, and reads the result of its answer, if result is not nil.
func Call(client *http.Client, method, url string, body []byte, result any) error {
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s %s", method, url, resp.Status, bytes.TrimSpace(b))
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(b, &struct{ Result any }{result})
}
