package order

import (
	"fmt"
	"slices"
)

// Reign is the stretch of a log that one term wrote: from First up to the next reign's first entry.
type Reign struct {
	Term  Term
	First Seq
}

// History lists the reigns of a log in order. It may reach further back than the log itself does, so that the term of a
// log's base is known; places before its first reign have no known term.
type History []Reign

// TermAt returns the term of the entry at seq. known is false for places before the first reign; place 0 has term 0.
// The last reign is open: the caller says where its log ends.
func (h History) TermAt(seq Seq) (term Term, known bool) {
	i := h.reign(seq)
	if i < 0 {
		return 0, seq == 0
	}
	return h[i].Term, true
}

// Last returns the newest term, 0 of an empty history.
func (h History) Last() Term {
	if len(h) == 0 {
		return 0
	}
	return h[len(h)-1].Term
}

// Extend returns the history of the log after an entry at p was appended. The caller appends in order: a term below the
// last one is a broken log.
func (h History) Extend(p Pos) History {
	switch last := h.Last(); {
	case p.Term < last:
		panic(fmt.Sprintf("order: term %d appended behind term %d", p.Term, last))
	case p.Term == last && len(h) > 0:
		return h
	}
	return append(slices.Clip(h), Reign{Term: p.Term, First: p.Seq})
}

// Cut returns the history of the log with every entry above last removed.
func (h History) Cut(last Seq) History {
	return slices.Clip(h[:h.reign(last)+1])
}

// Meet returns the last place that a log with history h, ending at last, has in common with another one. By log matching
// (same seq and term: same bytes and same prefix) everything up to there is equal in both. The zero Pos means that
// nothing known is in common: start from an empty log, or, where a log begins later, from another base.
func (h History) Meet(last Seq, other History, otherLast Seq) Pos {
	i, j := h.reign(last), other.reign(otherLast)
	end := min(last, otherLast)
	for i >= 0 && j >= 0 {
		a, b := h[i], other[j]
		first := max(a.First, b.First)
		if first <= end && a.Term == b.Term {
			return Pos{Seq: end, Term: a.Term}
		}
		// Nothing matches from first on. The reign that begins there is passed; both, if they begin together.
		if end >= first {
			end = first - 1
		}
		if a.First == first {
			i--
		}
		if b.First == first {
			j--
		}
	}
	return Pos{}
}

// Check refuses a history that no log can have: terms and first seqs must both rise, from 1.
func (h History) Check() error {
	var before Reign
	for i, r := range h {
		if r.Term <= before.Term || r.First <= before.First {
			return fmt.Errorf("order: reign %d (term %d from seq %d) does not follow term %d from seq %d",
				i, r.Term, r.First, before.Term, before.First)
		}
		before = r
	}
	return nil
}

// reign returns the index of the reign that covers seq, -1 if it lies before the first.
func (h History) reign(seq Seq) int {
	i, found := slices.BinarySearchFunc(h, seq, func(r Reign, s Seq) int {
		switch {
		case r.First < s:
			return -1
		case r.First > s:
			return 1
		}
		return 0
	})
	if !found {
		i--
	}
	return i
}
