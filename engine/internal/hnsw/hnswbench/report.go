//go:build linux

package main

import (
	"fmt"
	"slices"
	"sort"
)

type point struct{ perSecond, recall float64 }

// report runs all contestants in turns and prints the medians.
func report(o options, all []contestant) error {
	curves := make([][]point, len(all))
	for _, c := range all {
		fmt.Printf("  %-10s %s\n", c.name(), c.built())
	}
	for _, ef := range o.efs {
		speeds := make([][]float64, len(all))
		recalls := make([]float64, len(all))
		for range o.rounds {
			for i, c := range all {
				speed, recall, err := c.run(ef)
				if err != nil {
					return err
				}
				speeds[i], recalls[i] = append(speeds[i], speed), recall
			}
		}
		fmt.Printf("ef %4d", ef)
		for i, c := range all {
			slices.Sort(speeds[i])
			p := point{speeds[i][len(speeds[i])/2], recalls[i]}
			curves[i] = append(curves[i], p)
			fmt.Printf(" | %s %7.0f/s recall %.4f ×%.2f", c.name(), p.perSecond, p.recall, p.perSecond/curves[0][len(curves[i])-1].perSecond)
		}
		fmt.Println()
	}
	for _, recall := range []float64{0.90, 0.95, 0.98, 0.99} {
		fmt.Printf("recall %.2f", recall)
		base, known := at(curves[0], recall)
		for i, c := range all {
			speed, ok := at(curves[i], recall)
			switch {
			case ok && known:
				fmt.Printf(" | %s %7.0f/s ×%.2f", c.name(), speed, speed/base)
			case ok:
				fmt.Printf(" | %s %7.0f/s", c.name(), speed)
			default:
				fmt.Printf(" | %s outside", c.name())
			}
		}
		fmt.Println()
	}
	return nil
}

// at interpolates the speed at a recall between the measured points.
func at(curve []point, recall float64) (float64, bool) {
	curve = slices.Clone(curve)
	sort.Slice(curve, func(i, j int) bool { return curve[i].recall < curve[j].recall })
	for i := 1; i < len(curve); i++ {
		a, b := curve[i-1], curve[i]
		if a.recall <= recall && recall <= b.recall && a.recall < b.recall {
			f := (recall - a.recall) / (b.recall - a.recall)
			return a.perSecond + f*(b.perSecond-a.perSecond), true
		}
	}
	return 0, false
}
