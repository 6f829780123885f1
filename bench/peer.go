package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/sextantdb/sextant"
)

// peer is a running hnswlib_bench over the same vectors.
type peer struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	dir     string
	seconds float64
	cpu     float64 // seconds of processor time of the build
	bytes   int
}

func startPeer(o options, w *workload) (*peer, error) {
	dir, err := os.MkdirTemp("", "sextant-peer-")
	if err != nil {
		return nil, err
	}
	p := &peer{dir: dir}
	binary := filepath.Join(dir, "hnswlib_bench")
	compile := exec.Command("g++", "-O3", "-march=native", "-std=c++17", "-pthread", "-w", "-o", binary, "bench/hnswlib/hnswlib_bench.cpp")
	if out, err := compile.CombinedOutput(); err != nil {
		p.stop()
		return nil, fmt.Errorf("%w (run from the top of the repository)\n%s", err, out)
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	queries := make([]float32, 0, len(w.queries)*w.dim)
	for _, q := range w.queries {
		queries = append(queries, q...)
	}
	truth := make([]uint32, 0, len(w.truth)*wanted)
	for _, list := range w.truth {
		for _, id := range list {
			truth = append(truth, uint32(id))
		}
	}
	for name, data := range map[string][]byte{
		"vectors": words(w.len(), w.dim, floatBits(w.vectors)), "queries": words(len(w.queries), w.dim, floatBits(queries)),
		"truth": words(len(w.truth), wanted, truth),
	} {
		if err := os.WriteFile(file(name), data, 0o600); err != nil {
			p.stop()
			return nil, err
		}
	}
	metric := "ip"
	if w.distance == sextant.Euclid {
		metric = "l2"
	}
	p.cmd = exec.Command(binary, file("vectors"), file("queries"), file("truth"), metric,
		fmt.Sprint(o.m), fmt.Sprint(o.construct), fmt.Sprint(runtime.NumCPU()), file("index"))
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if _, err = fmt.Fscanf(p.out, "built %f %f %d\n", &p.seconds, &p.cpu, &p.bytes); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func floatBits(v []float32) []uint32 {
	out := make([]uint32, len(v))
	for i, f := range v {
		out[i] = math.Float32bits(f)
	}
	return out
}

func words(n, dim int, v []uint32) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(n))
	b = binary.LittleEndian.AppendUint32(b, uint32(dim))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, x)
	}
	return b
}

func (p *peer) run(ef int) (m measured, err error) {
	fmt.Fprintln(p.in, ef)
	_, err = fmt.Fscanf(p.out, "%d %f %f\n", &ef, &m.perSecond, &m.recall)
	return m, err
}

func (p *peer) stop() {
	if p.in != nil {
		p.in.Close()
	}
	if p.cmd != nil && p.cmd.Process != nil {
		_ = p.cmd.Wait()
	}
	os.RemoveAll(p.dir)
}
