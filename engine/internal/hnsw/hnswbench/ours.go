package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sextantdb/sextant/engine/internal/hnsw"
	"github.com/sextantdb/sextant/engine/internal/quant"
	"github.com/sextantdb/sextant/engine/internal/vec"
)

// space is the float rows as a build sees them.
type space struct {
	metric vec.Metric
	rows   vec.Rows
}

func (s space) RowScorer(row uint32) hnsw.Scorer {
	sc := vec.NewRowScorer(s.metric, s.rows, row)
	return &sc
}

func (s space) ScoreRow(row uint32, ids []uint32, out []float32) {
	sc := vec.NewRowScorer(s.metric, s.rows, row)
	sc.ScoreBatch(ids, out)
}

// ours is our graph, walked with the float rows or with codes.
type ours struct {
	label   string
	set     *set
	graph   *hnsw.Graph
	codes   *quant.Codes // nil: floats
	seconds float64
	ctx     context.Context
	stats   hnsw.Stats
}

func openOurs(ctx context.Context, o options, s *set) ([]contestant, error) {
	file := fmt.Sprintf("%s.%d-%d-%d.graph", s.vectorFile, o.m, o.construct, o.threads)
	var seconds float64
	data, err := os.ReadFile(file)
	if o.rebuild || errors.Is(err, os.ErrNotExist) {
		if data, seconds, err = build(ctx, o, s); err == nil {
			err = os.WriteFile(file, data, 0o644)
		}
	}
	if err != nil {
		return nil, err
	}
	graph, err := hnsw.Open(huge(data))
	if err != nil {
		return nil, err
	}
	start := time.Now()
	var b bytes.Buffer
	if _, err := quant.Write(ctx, &b, s.metric, s.rows, uint32(s.n), everyRow(s.n), quant.Options{}); err != nil {
		return nil, err
	}
	coding := time.Since(start).Seconds()
	codes, err := quant.Open(huge(b.Bytes()))
	if err != nil {
		return nil, err
	}
	return []contestant{
		&ours{label: "float32", set: s, graph: graph, seconds: seconds, ctx: ctx},
		&ours{label: "codes", set: s, graph: graph, codes: codes, seconds: coding, ctx: ctx},
	}, nil
}

func build(ctx context.Context, o options, s *set) (file []byte, seconds float64, err error) {
	start := time.Now()
	p := hnsw.Params{M: o.m, EfConstruct: o.construct, Threads: o.threads}
	g, err := hnsw.Build(ctx, space{s.metric, s.rows}, everyRow(s.n), uint32(s.n), p)
	if err != nil {
		return nil, 0, err
	}
	seconds = time.Since(start).Seconds()
	var b bytes.Buffer
	_, err = g.WriteTo(&b)
	return b.Bytes(), seconds, err
}

func everyRow(n int) []uint32 {
	rows := make([]uint32, n)
	for i := range rows {
		rows[i] = uint32(i)
	}
	return rows
}

func (c *ours) name() string { return c.label }

func (c *ours) built() string {
	if c.codes != nil {
		return fmt.Sprintf("codes in %.1f s, %d bytes per vector more", c.seconds, c.codes.MemoryBytes()/int64(c.set.n))
	}
	per := c.graph.MemoryBytes() / int64(c.set.n)
	return fmt.Sprintf("build %.1f s, %d bytes per vector and %d of links", c.seconds, c.set.rows.Stride, per)
}

func (c *ours) run(ef int) (perSecond, recall float64, err error) {
	found := 0
	c.stats = hnsw.Stats{}
	start := time.Now()
	for i, q := range c.set.query {
		sc := vec.NewScorer(c.set.metric, c.set.rows, q)
		var hits []hnsw.Hit
		if c.codes == nil {
			hits, err = c.graph.Search(c.ctx, &sc, wanted, ef, nil, &c.stats)
		} else {
			hits, err = c.graph.SearchRescored(c.ctx, c.codes.NewScorer(q), &sc, wanted, ef, nil, &c.stats)
		}
		if err != nil {
			return 0, 0, err
		}
		for _, h := range hits {
			for _, t := range c.set.truth[i] {
				if h.Row == t {
					found++
				}
			}
		}
	}
	spent := time.Since(start).Seconds()
	return float64(c.set.queries) / spent, float64(found) / float64(c.set.queries*wanted), nil
}

// hugeBytes is zeroed memory of huge pages, never returned.
func hugeBytes(n int) []byte {
	b, err := unix.Mmap(-1, 0, (n+1<<21-1)>>21<<21, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return make([]byte, n)
	}
	unix.Madvise(b, unix.MADV_HUGEPAGE)
	return b[:n]
}

func huge(b []byte) []byte {
	to := hugeBytes(len(b))
	copy(to, b)
	return to
}
