package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// table prints rows under aligned Markdown columns.
type table struct{ rows [][]string }

func (t *table) add(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		switch c := c.(type) {
		case float64:
			row[i] = fmt.Sprintf("%.3g", c)
			if c >= 100 {
				row[i] = fmt.Sprintf("%.0f", c)
			}
		case time.Duration:
			row[i] = c.Round(c / 100).String()
		default:
			row[i] = fmt.Sprint(c)
		}
	}
	t.rows = append(t.rows, row)
}

func (t *table) print() {
	widths := make([]int, len(t.rows[0]))
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	for i, row := range t.rows {
		fmt.Print("|")
		for j, cell := range row {
			fmt.Printf(" %s%s |", cell, strings.Repeat(" ", widths[j]-len([]rune(cell))))
		}
		fmt.Println()
		if i == 0 {
			fmt.Print("|")
			for _, w := range widths {
				fmt.Print(strings.Repeat("-", w+2) + "|")
			}
			fmt.Println()
		}
	}
	fmt.Println()
}

func median(values []float64) float64 {
	values = slices.Clone(values)
	slices.Sort(values)
	return values[len(values)/2]
}

func quantile(values []time.Duration, q float64) time.Duration {
	values = slices.Clone(values)
	slices.Sort(values)
	return values[min(len(values)-1, int(q*float64(len(values))))]
}

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
