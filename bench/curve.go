package main

import "slices"

type measured struct{ perSecond, recall float64 }

// at interpolates the speed of a curve at a recall.
func at(curve []measured, recall float64) (float64, bool) {
	curve = slices.Clone(curve)
	slices.SortFunc(curve, func(a, b measured) int {
		switch {
		case a.recall < b.recall:
			return -1
		case a.recall > b.recall:
			return 1
		}
		return 0
	})
	for i := 1; i < len(curve); i++ {
		a, b := curve[i-1], curve[i]
		if a.recall <= recall && recall <= b.recall && a.recall < b.recall {
			return a.perSecond + (recall-a.recall)/(b.recall-a.recall)*(b.perSecond-a.perSecond), true
		}
	}
	return 0, false
}
