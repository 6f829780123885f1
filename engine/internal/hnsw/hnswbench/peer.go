//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// contestant searches all queries with one beam width.
type contestant interface {
	name() string
	run(ef int) (perSecond, recall float64, err error)
	built() string
}

// cost is what something took. On a busy machine the CPU time says more.
type cost struct{ seconds, cpu float64 }

func (c cost) String() string { return fmt.Sprintf("%.1f s (CPU %.1f s)", c.seconds, c.cpu) }

// peer is a running hnswlib_bench.
type peer struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	time  cost
	bytes int
	n     int
}

func startPeer(o options, s *set) (*peer, error) {
	binary := filepath.Join(o.cache, "hnswlib_bench")
	source := "bench/hnswlib/hnswlib_bench.cpp"
	compile := exec.Command("g++", "-O3", "-march=native", "-std=c++17", "-pthread", "-w", "-o", binary, source)
	if out, err := compile.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w (run from the top of the repository)\n%s", err, out)
	}
	index := fmt.Sprintf("%s.%d-%d-%d.hnswlib", s.vectorFile, o.m, o.construct, o.threads)
	if o.rebuild {
		os.Remove(index)
	}
	metric := map[string]string{"fashion": "l2"}[o.data]
	if metric == "" {
		metric = "ip"
	}
	cmd := exec.Command(binary, s.vectorFile, s.queryFile, s.truthFile, metric,
		fmt.Sprint(o.m), fmt.Sprint(o.construct), fmt.Sprint(o.threads), index)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &peer{cmd: cmd, in: in, out: bufio.NewReader(out), n: s.n}
	_, err = fmt.Fscanf(p.out, "built %f %f %d\n", &p.time.seconds, &p.time.cpu, &p.bytes)
	return p, err
}

func (p *peer) name() string { return "hnswlib" }

func (p *peer) built() string {
	return fmt.Sprintf("build %v, %d bytes per vector", p.time, p.bytes/p.n)
}

func (p *peer) run(ef int) (perSecond, recall float64, err error) {
	fmt.Fprintln(p.in, ef)
	_, err = fmt.Fscanf(p.out, "%d %f %f\n", &ef, &perSecond, &recall)
	return perSecond, recall, err
}

func (p *peer) stop() {
	p.in.Close()
	p.cmd.Wait()
}
