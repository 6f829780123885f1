package replica

import (
	"bytes"
	"slices"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/codec"
)

// settle makes one answer of several: items that are equal in at least need of them, in the order that the answers have, and
// at most limit; 0: all. Of counts it takes the least, or, for a majority, the middle one.
func settle(answers []answer, need, limit int, count, majority bool) codec.Answer {
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
		func(p *sextant.ScoredPoint) sextant.PointID { return p.ID }, samePoint)
	if limit > 0 && len(out.Points) > limit {
		out.Points = out.Points[:limit]
	}
	out.Records = agreed(answers, need, func(a answer) []sextant.Record { return a.Records },
		func(r *sextant.Record) sextant.PointID { return r.ID }, sameRecord)
	for _, a := range answers { // the page ends where the first one ends: what follows was not seen by all
		if a.Next != nil && (out.Next == nil || a.Next.Compare(*out.Next) < 0) {
			out.Next = a.Next
		}
	}
	if next := out.Next; next != nil {
		out.Records = slices.DeleteFunc(out.Records, func(r sextant.Record) bool { return r.ID.Compare(*next) >= 0 })
	}
	if limit > 0 && len(out.Records) > limit {
		if out.Next != nil {
			out.Next = &out.Records[limit].ID
		}
		out.Records = out.Records[:limit:limit]
	}
	return out
}

// candidate is an item, and where it stands in each answer; -1: nowhere.
type candidate[T any] struct {
	item  *T
	at    []int
	votes int
}

// agreed returns the items that at least need answers have. Any two of them are in one answer together if need is more than
// half of the answers, so their order is known without knowing what it goes by.
func agreed[T any](answers []answer, need int, list func(answer) []T, id func(*T) sextant.PointID, same func(a, b *T) bool) (out []T) {
	byID := map[sextant.PointID][]*candidate[T]{}
	var all []*candidate[T]
	for n, a := range answers {
		items := list(a)
		for i := range items {
			item := &items[i]
			of := byID[id(item)]
			k := slices.IndexFunc(of, func(c *candidate[T]) bool { return c.at[n] < 0 && same(c.item, item) })
			if k < 0 {
				c := &candidate[T]{item: item, at: slices.Repeat([]int{-1}, len(answers))}
				k, of = len(of), append(of, c)
				byID[id(item)], all = of, append(all, c)
			}
			of[k].at[n] = i
			of[k].votes++
		}
	}
	all = slices.DeleteFunc(all, func(c *candidate[T]) bool { return c.votes < need })
	slices.SortStableFunc(all, func(a, b *candidate[T]) int {
		for n := range answers {
			if a.at[n] >= 0 && b.at[n] >= 0 {
				return a.at[n] - b.at[n]
			}
		}
		return 0
	})
	for _, c := range all {
		out = append(out, *c.item)
	}
	return out
}

func samePoint(a, b *sextant.ScoredPoint) bool {
	return a.Score == b.Score && sameRecord(&a.Record, &b.Record)
}

// sameRecord compares what users see; an empty list is a missing one.
func sameRecord(a, b *sextant.Record) bool {
	if (a.OrderValue == nil) != (b.OrderValue == nil) || a.OrderValue != nil && *a.OrderValue != *b.OrderValue {
		return false
	}
	return a.ID == b.ID && bytes.Equal(a.Payload, b.Payload) &&
		slices.EqualFunc(a.Vectors, b.Vectors, func(v, w sextant.NamedVector) bool {
			return v.Name == w.Name && v.Kind == w.Kind && v.Rows == w.Rows && slices.Equal(v.Values, w.Values) && slices.Equal(v.Indices, w.Indices)
		})
}
