package hnsw

import (
	"testing"

	"github.com/sextantdb/sextant/engine/internal/vec"
)

// A segment that lost a fifth of its rows and gained as many again as it had is built from the old graph,
// in less work than anew and with the same recall.
func TestBuildFromKeepsRecall(t *testing.T) {
	f := newField(6000, 16, vec.Euclid, 21)
	p := Params{M: 12, EfConstruct: 80, Threads: 2, Seed: 3}
	for name, lists := range map[string]bool{"every row": false, "some rows": true} {
		t.Run(name, func(t *testing.T) {
			var before, after []uint32 // the old graph holds the first half of the rows
			moved := make([]uint32, f.n)
			for row := range uint32(f.n) {
				moved[row] = Gone
				if row < 3000 {
					before = append(before, row)
				}
				if row%5 != 0 || row >= 3000 || !lists {
					moved[row] = row
					after = append(after, row)
				}
			}
			old := f.build(t, before, p)
			total := 0
			q := p
			q.Progress = func(_, n int) { total = n }
			g, err := BuildFrom(t.Context(), old, moved, f, after, uint32(f.n), q)
			if err != nil {
				t.Fatal(err)
			}
			if total != len(after)-len(intersect(before, after)) {
				t.Errorf("%d vertices are linked anew", total)
			}
			if err := g.Verify(); err != nil {
				t.Error(err)
			}
			anew := f.recall(t, f.build(t, after, p), after, 10, 80, nil)
			if r := f.recall(t, g, after, 10, 80, nil); r < anew-0.015 || r < 0.95 {
				t.Errorf("recall %.3f, and %.3f when built anew", r, anew)
			}
		})
	}
}

func intersect(a, b []uint32) (both []uint32) {
	in := map[uint32]bool{}
	for _, x := range a {
		in[x] = true
	}
	for _, x := range b {
		if in[x] {
			both = append(both, x)
		}
	}
	return both
}

// With other parameters, or too few survivors, the graph is built anew.
func TestBuildFromGivesUpWhereItIsNotWorthIt(t *testing.T) {
	f := newField(600, 8, vec.Dot, 5)
	p := Params{M: 6, EfConstruct: 30, Seed: 3}
	old := f.build(t, f.all(), p)
	moved := f.all()
	for row := 0; row < 300; row++ {
		moved[row] = Gone
	}
	linked := 0
	p.Progress = func(done, _ int) { linked = max(linked, done) }
	for _, q := range []Params{{M: 8, EfConstruct: 30, Progress: p.Progress}, p} {
		linked = 0
		g, err := BuildFrom(t.Context(), old, moved, f, f.all()[300:], uint32(f.n), q)
		if err != nil || g.Len() != 300 || linked == 0 {
			t.Error(err, linked)
		}
	}
	if g, err := BuildFrom(t.Context(), old, f.all(), f, nil, uint32(f.n), p); err != nil || g.Len() != 0 {
		t.Error("a graph of no rows", err)
	}
}
