//go:build linux

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

// roughSpace walks with codes.
type roughSpace struct {
	space
	codes *quant.Codes
}

func (s roughSpace) RoughScorer(row uint32) hnsw.Scorer {
	return s.codes.NewScorer(s.rows.Float32(row, nil))
}

// ours is our graph, walked with the float rows or with codes.
type ours struct {
	label string
	set   *set
	graph *hnsw.Graph
	codes *quant.Codes // nil: floats
	time  cost
	ctx   context.Context
	stats hnsw.Stats
}

func openOurs(ctx context.Context, o options, s *set) ([]contestant, error) {
	stop := clock()
	var b bytes.Buffer
	if _, err := quant.Write(ctx, &b, s.metric, s.rows, uint32(s.n), everyRow(s.n), quant.Options{}); err != nil {
		return nil, err
	}
	coding := stop()
	codes, err := quant.Open(place(o.memory, b.Bytes()))
	if err != nil {
		return nil, err
	}
	var plain, rough hnsw.Space = space{s.metric, s.rows}, roughSpace{space{s.metric, s.rows}, codes}
	withFloats, floatTime, err := cachedGraph(ctx, o, s, "graph", plain)
	if err != nil {
		return nil, err
	}
	fmt.Printf("  codes made in %v\n", coding)
	withCodes, codeTime, err := cachedGraph(ctx, o, s, "rough.graph", rough)
	if err != nil {
		return nil, err
	}
	return []contestant{
		&ours{label: "float32", set: s, graph: withFloats, time: floatTime, ctx: ctx},
		&ours{label: "codes", set: s, graph: withCodes, codes: codes, time: codeTime, ctx: ctx},
	}, nil
}

// cachedGraph builds a graph, or reads the one built before.
func cachedGraph(ctx context.Context, o options, s *set, kind string, sp hnsw.Space) (*hnsw.Graph, cost, error) {
	file := fmt.Sprintf("%s.%d-%d-%d.%s", s.vectorFile, o.m, o.construct, o.threads, kind)
	var spent cost
	data, err := os.ReadFile(file)
	if o.rebuild || errors.Is(err, os.ErrNotExist) {
		if data, spent, err = build(ctx, o, s, sp); err == nil {
			err = os.WriteFile(file, data, 0o644)
		}
	}
	if err != nil {
		return nil, spent, err
	}
	g, err := hnsw.Open(place(o.memory, data))
	return g, spent, err
}

func build(ctx context.Context, o options, s *set, sp hnsw.Space) (file []byte, spent cost, err error) {
	stop := clock()
	p := hnsw.Params{M: o.m, EfConstruct: o.construct, Threads: o.threads}
	g, err := hnsw.Build(ctx, sp, everyRow(s.n), uint32(s.n), p)
	if err != nil {
		return nil, spent, err
	}
	spent = stop()
	var b bytes.Buffer
	_, err = g.WriteTo(&b)
	return b.Bytes(), spent, err
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
	per := c.graph.MemoryBytes() / int64(c.set.n)
	text := fmt.Sprintf("build %v, bytes per vector: %d of floats, %d of links", c.time, c.set.rows.Stride, per)
	if c.codes != nil {
		text += fmt.Sprintf(", %d of codes", c.codes.MemoryBytes()/int64(c.set.n))
	}
	return text
}

func (c *ours) run(ef int) (perSecond, recall float64, err error) {
	found := 0
	c.stats = hnsw.Stats{}
	stop := clock()
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
	return float64(c.set.queries) / stop().cpu, float64(found) / float64(c.set.queries*wanted), nil
}

// clock starts measuring; what it returns tells what was spent since.
func clock() func() cost {
	cpu := func() float64 {
		var u unix.Rusage
		unix.Getrusage(unix.RUSAGE_SELF, &u)
		return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
	}
	start, used := time.Now(), cpu()
	return func() cost { return cost{time.Since(start).Seconds(), cpu() - used} }
}
