package order

import (
	"math/rand/v2"
	"reflect"
	"testing"
)

// A log as plain as can be: the term of each entry from seq 1 on.
type naive []Term

func (n naive) history() (h History) {
	for i, t := range n {
		h = h.Extend(Pos{Seq: Seq(i + 1), Term: t})
	}
	return h
}

func meet(a, b naive) Pos {
	var p Pos
	for i := 0; i < min(len(a), len(b)); i++ {
		if a[i] == b[i] {
			p = Pos{Seq: Seq(i + 1), Term: a[i]}
		}
	}
	return p
}

func random(r *rand.Rand) naive {
	n := make(naive, r.IntN(9))
	term := Term(1 + r.IntN(2))
	for i := range n {
		if r.IntN(3) == 0 {
			term += Term(1 + r.IntN(2))
		}
		n[i] = term
	}
	return n
}

func TestMeetIsTheHighestCommonPlace(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 200_000 {
		a, b := random(r), random(r)
		want := meet(a, b)
		if got := a.history().Meet(Seq(len(a)), b.history(), Seq(len(b))); got != want {
			t.Fatalf("%v and %v meet at %v, want %v", a, b, got, want)
		}
	}
}

func TestHistoryFollowsAppendsAndCuts(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 1))
	for range 20_000 {
		n := random(r)
		h := n.history()
		if err := h.Check(); err != nil {
			t.Fatal(err)
		}
		for i, want := range n {
			if got, known := h.TermAt(Seq(i + 1)); got != want || !known {
				t.Fatalf("%v: term at %d is %d (%v), want %d", n, i+1, got, known, want)
			}
		}
		last := r.IntN(len(n) + 1)
		if got, want := h.Cut(Seq(last)), n[:last].history(); len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Fatalf("%v cut at %d: %v, want %v", n, last, got, want)
		}
	}
}

func TestPlacesBeforeTheHistory(t *testing.T) {
	h := History{{Term: 3, First: 10}}
	if term, known := h.TermAt(0); term != 0 || !known {
		t.Error("place 0 has term 0")
	}
	if _, known := h.TermAt(9); known {
		t.Error("the term of 9 is not known")
	}
	if got := h.Meet(12, History{{Term: 2, First: 1}}, 9); got != (Pos{}) {
		t.Errorf("nothing in common, got %v", got)
	}
}

func TestImpossibleHistoriesAreRefused(t *testing.T) {
	for _, h := range []History{{{0, 1}}, {{1, 0}}, {{1, 1}, {1, 2}}, {{1, 5}, {2, 5}}, {{2, 1}, {1, 4}}} {
		if h.Check() == nil {
			t.Errorf("%v was accepted", h)
		}
	}
}
