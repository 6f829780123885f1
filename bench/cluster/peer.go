package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"time"
)

// peer is a server process: a lone node, or one of a cluster.
type peer struct {
	port, p2p int
	cmd       *exec.Cmd
	http      *http.Client
}

func (p *peer) uri() string { return fmt.Sprintf("http://127.0.0.1:%d", p.p2p) }

// startPeer starts a process over a new directory. With args it is a peer of a cluster.
func startPeer(binary, dir string, args func(p *peer) []string) (*peer, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	p := &peer{http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
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
	p.cmd = exec.Command(binary)
	p.cmd.Dir, p.cmd.Stderr = dir, os.Stderr
	p.cmd.Env = append(os.Environ(), "SEXTANT__SERVICE__HOST=127.0.0.1", fmt.Sprintf("SEXTANT__SERVICE__HTTP_PORT=%d", p.port), "SEXTANT__SERVICE__GRPC_PORT=0", "SEXTANT__LOG_LEVEL=ERROR")
	if args != nil {
		p.cmd.Args = append(p.cmd.Args, args(p)...)
		p.cmd.Env = append(p.cmd.Env, "SEXTANT__CLUSTER__ENABLED=true", fmt.Sprintf("SEXTANT__CLUSTER__P2P__PORT=%d", p.p2p))
	}
	return p, p.cmd.Start()
}

func (p *peer) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// poll asks until the answer is right.
func poll(what string, ok func() bool) error {
	for limit := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			return fmt.Errorf("not within a minute: %s", what)
		}
	}
	return nil
}

func (p *peer) ready() error {
	return poll("a server answers", func() bool { return p.call("GET", "/collections", nil, nil) == nil })
}

// together waits until all peers know each other.
func together(peers []*peer) error {
	for _, p := range peers {
		if err := poll("all peers know each other", func() bool {
			var v struct {
				Peers map[string]any
				Raft  struct{ Leader *uint64 } `json:"raft_info"`
			}
			return p.call("GET", "/cluster", nil, &v) == nil && len(v.Peers) == len(peers) && v.Raft.Leader != nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// shows waits until an alias leads to a collection here.
func (p *peer) shows(alias, collection string) error {
	for limit := time.Now().Add(time.Minute); time.Now().Before(limit); {
		var v struct {
			Aliases []struct {
				Alias      string `json:"alias_name"`
				Collection string `json:"collection_name"`
			}
		}
		if err := p.call("GET", "/aliases", nil, &v); err != nil {
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

func (p *peer) call(method, path string, body []byte, result any) error {
	req, err := http.NewRequest(method, fmt.Sprintf("http://127.0.0.1:%d%s", p.port, path), bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s %s", method, path, resp.Status, b)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(b, &struct{ Result any }{result})
}
