package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/bench/table"
)

func buildTable(s *ours, other *peer) error {
	memory, err := s.shard.Memory()
	if err != nil {
		return err
	}
	var t table.Table
	n := float64(s.len())
	t.Add("", "sextant", "hnswlib", "ratio")
	if other == nil {
		t.Add("all vectors indexed, s", s.indexed.Seconds(), "", "")
	} else {
		t.Add(fmt.Sprintf("index built with %d threads, s", runtime.NumCPU()), s.indexed.Seconds(), other.seconds, fmt.Sprintf("×%.2f", other.seconds/s.indexed.Seconds()))
	}
	t.Add("  thereof after the last upsert, s", s.indexPart.Seconds(), "", "")
	t.Add("upserts while indexing, points/s", n/s.upserts.Seconds(), "", "")
	peerBytes := any("")
	if other != nil {
		peerBytes = float64(other.bytes) / n
	}
	t.Add("bytes per vector on disk, log included", float64(s.diskBytes)/n, "", "")
	hot := memory.Vectors[""]
	t.Add("bytes per vector in memory: vector, graph, codes", float64(hot.Storage.Disk+hot.Index.Disk+hot.Quantized.Disk)/n, peerBytes, "")
	t.Add("  thereof touched by a walk on codes: graph and codes", float64(hot.Index.Disk+hot.Quantized.Disk)/n, "", "")
	t.Print(os.Stdout)
	return nil
}

var beams = []int{10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768}

// speedTable lets the contestants take turns at every beam width.
func speedTable(ctx context.Context, o options, s *ours, other *peer) error {
	type contestant struct {
		name  string
		run   func(ef int) (measured, error)
		curve []measured
	}
	search := func(threads int, float bool) func(ef int) (measured, error) {
		return func(ef int) (measured, error) {
			m, _, err := s.run(ctx, threads, ef, float, nil, s.truth)
			return m, err
		}
	}
	contestants := []*contestant{
		{name: "float32", run: search(1, true)}, {name: "codes", run: search(1, false)},
		{name: "codes, 2 threads", run: search(2, false)},
	}
	if other != nil {
		contestants = append(contestants, &contestant{name: "hnswlib", run: other.run})
	}
	var perBeam table.Table
	head := []any{"ef"}
	for _, c := range contestants {
		head = append(head, c.name+" q/s", "recall")
	}
	perBeam.Add(head...)
	for _, ef := range beams {
		speeds := make([][]float64, len(contestants))
		recalls := make([]float64, len(contestants))
		for range o.rounds {
			for i, c := range contestants {
				m, err := c.run(ef)
				if err != nil {
					return err
				}
				speeds[i], recalls[i] = append(speeds[i], m.perSecond), m.recall
			}
		}
		row := []any{ef}
		for i, c := range contestants {
			c.curve = append(c.curve, measured{table.Median(speeds[i]), recalls[i]})
			row = append(row, table.Median(speeds[i]), fmt.Sprintf("%.4f", recalls[i]))
		}
		perBeam.Add(row...)
	}
	perBeam.Print(os.Stdout)

	var t table.Table
	head = []any{"queries/s at recall@10"}
	for _, c := range contestants {
		head = append(head, c.name)
	}
	if other != nil {
		head = append(head, "float32 : hnswlib", "codes : hnswlib")
	}
	t.Add(head...)
	for _, wantedRecall := range []float64{0.90, 0.95, 0.98, 0.99} {
		row := []any{fmt.Sprintf("%.2f", wantedRecall)}
		speeds := make([]float64, len(contestants))
		for i, c := range contestants {
			speed, ok := at(c.curve, wantedRecall)
			speeds[i] = speed
			if !ok {
				row = append(row, "outside")
				continue
			}
			row = append(row, speed)
		}
		if other != nil {
			for i := range 2 {
				ratio := "–"
				if speeds[i] > 0 && speeds[3] > 0 {
					ratio = fmt.Sprintf("×%.2f", speeds[i]/speeds[3])
				}
				row = append(row, ratio)
			}
		}
		t.Add(row...)
	}
	t.Print(os.Stdout)
	return latencyTable(ctx, s)
}

func latencyTable(ctx context.Context, s *ours) error {
	var t table.Table
	t.Add("one query at a time, default parameters", "p50", "p99", "recall@10")
	m, latencies, err := s.run(ctx, 1, 0, false, nil, s.truth)
	if err != nil {
		return err
	}
	t.Add("ef = ef_construct", table.Quantile(latencies, 0.5), table.Quantile(latencies, 0.99), fmt.Sprintf("%.4f", m.recall))
	t.Print(os.Stdout)
	return nil
}

// filterTable searches with default parameters under filters that admit a share of the points, chosen at random or by region.
func filterTable(ctx context.Context, o options, s *ours) error {
	var t table.Table
	t.Add("filter", "matches", "recall@10", "queries/s", "p50", "p99")
	n := min(400, len(s.queries))
	for _, field := range []string{"random", "near"} {
		for _, share := range []float64{500, 100, 10, 1} {
			// The middle of the range: "near" is then a slab through the data, not its rim.
			low, high := 500-share/2, 500+share/2
			if share == 1 {
				low, high = 500, 501
			}
			filter := &sextant.Filter{Must: []sextant.Condition{sextant.Field{Key: sextant.MustPath(field), Test: sextant.Range{Gte: &low, Lt: &high}}}}
			truth := make([][]uint64, n)
			if err := s.exact(ctx, filter, truth); err != nil {
				return err
			}
			count, err := s.shard.Count(ctx, filter, true)
			if err != nil {
				return err
			}
			var speeds []float64
			var m measured
			var latencies []time.Duration
			for range o.rounds {
				if m, latencies, err = s.run(ctx, 1, 0, false, filter, truth); err != nil {
					return err
				}
				speeds = append(speeds, m.perSecond)
			}
			kind := map[string]string{"random": "random", "near": "correlated"}[field]
			t.Add(fmt.Sprintf("%s %.3g %%", kind, share/10), count, fmt.Sprintf("%.4f", m.recall), table.Median(speeds), table.Quantile(latencies, 0.5), table.Quantile(latencies, 0.99))
		}
	}
	t.Print(os.Stdout)
	return nil
}
