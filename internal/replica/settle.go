package replica

import (
	"reflect"
	"slices"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/codec"
)

// settle makes one answer of several: items that are equal in at least need of them, in the order of the first answer that has
// them. Of counts it takes the least, or, for a majority, the middle one.
func settle(answers []answer, need int, count, majority bool) codec.Answer {
	if count {
		counts := make([]uint64, len(answers))
		for i := range answers {
			counts[i] = answers[i].Count
		}
		slices.Sort(counts)
		if majority {
			return codec.Answer{Count: counts[(len(counts)-1)/2]}
		}
		return codec.Answer{Count: counts[0]}
	}
	out := codec.Answer{}
	out.Points = agreed(answers, need, func(a answer) []sextant.ScoredPoint { return a.Points },
		func(p sextant.ScoredPoint) sextant.PointID { return p.ID }, func(a, b sextant.ScoredPoint) bool {
			a.Version, b.Version = 0, 0
			return reflect.DeepEqual(a, b)
		})
	out.Records = agreed(answers, need, func(a answer) []sextant.Record { return a.Records },
		func(r sextant.Record) sextant.PointID { return r.ID }, func(a, b sextant.Record) bool {
			a.Version, b.Version = 0, 0
			return reflect.DeepEqual(a, b)
		})
	for _, a := range answers { // the page ends where the first one ends
		if a.Next != nil && (out.Next == nil || a.Next.Compare(*out.Next) < 0) {
			out.Next = a.Next
		}
	}
	return out
}

func agreed[T any](answers []answer, need int, list func(answer) []T, id func(T) sextant.PointID, same func(a, b T) bool) (out []T) {
	type vote struct {
		item  T
		votes int
	}
	votes := map[sextant.PointID][]vote{}
	for _, a := range answers {
		for _, item := range list(a) {
			of := votes[id(item)]
			i := slices.IndexFunc(of, func(v vote) bool { return same(v.item, item) })
			if i < 0 {
				of = append(of, vote{item: item})
				i = len(of) - 1
			}
			of[i].votes++
			votes[id(item)] = of
		}
	}
	taken := map[sextant.PointID]bool{}
	for _, a := range answers {
		for _, item := range list(a) {
			if taken[id(item)] {
				continue
			}
			for _, v := range votes[id(item)] {
				if v.votes >= need && same(v.item, item) {
					out = append(out, v.item)
					taken[id(item)] = true
					break
				}
			}
		}
	}
	return out
}
