package main

import (
	"fmt"
	"math"
	"strings"
)

// The colours are of middle lightness, so that the figure reads on white and on black.
const (
	ink     = "#7d828a"
	faint   = "#7d828a55"
	byLog   = "#3a86c8"
	byCopy  = "#d98324"
	figureW = 860
	figureH = 360
)

// line is one measured or wanted quantity over the points that were missed.
type line struct {
	name, colour string
	dashed       bool
	x, y         []float64
}

// panel is one plot with logarithmic axes, whose decades are marked.
type panel struct {
	title, unit string
	left        float64
	lines       []line
}

const (
	plotW, plotH = 330.0, 250.0
	plotTop      = 48.0
)

// draw is the figure of a series by the log and one by copies: time, and bytes.
func draw(deltas, copies []result) []byte {
	of := func(name, colour string, dashed bool, rows []result, y func(r *result) float64) line {
		l := line{name: name, colour: colour, dashed: dashed}
		for i := range rows {
			l.x, l.y = append(l.x, float64(rows[i].points)), append(l.y, y(&rows[i]))
		}
		return l
	}
	seconds := func(r *result) float64 { return r.took.Seconds() }
	megabytes := func(r *result) float64 { return float64(r.sent) / 1e6 }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" fill="%s">`+"\n", figureW, figureH, ink)
	fmt.Fprintln(&b, "<title>Time and bytes to bring a replica back, over the points that it missed</title>")
	(&panel{"until the replica is Active", "s", 60, []line{
		of("by the log", byLog, false, deltas, seconds), of("by a copy of what differs", byCopy, false, copies, seconds),
		of("goal", ink, true, deltas, func(r *result) float64 { return goal(r.points).Seconds() }),
	}}).draw(&b)
	(&panel{"sent", "MB", 490, []line{
		of("by the log", byLog, false, deltas, megabytes), of("by a copy of what differs", byCopy, false, copies, megabytes),
		of("what was missed", ink, true, deltas, func(r *result) float64 { return float64(r.missed) / 1e6 }),
	}}).draw(&b)
	fmt.Fprintln(&b, "</svg>")
	return []byte(b.String())
}

func (p *panel) draw(b *strings.Builder) {
	xLow, xHigh, yLow, yHigh := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, l := range p.lines {
		for i := range l.x {
			xLow, xHigh = min(xLow, math.Log10(l.x[i])), max(xHigh, math.Log10(l.x[i]))
			yLow, yHigh = min(yLow, math.Log10(max(l.y[i], 1e-3))), max(yHigh, math.Log10(max(l.y[i], 1e-3)))
		}
	}
	if math.IsInf(xLow, 0) {
		return
	}
	xLow, yLow = math.Floor(xLow), math.Floor(yLow)
	xHigh, yHigh = max(math.Ceil(xHigh), xLow+1), max(math.Ceil(yHigh), yLow+1)
	x := func(v float64) float64 { return p.left + plotW*(math.Log10(v)-xLow)/(xHigh-xLow) }
	y := func(v float64) float64 { return plotTop + plotH*(1-(math.Log10(max(v, 1e-3))-yLow)/(yHigh-yLow)) }
	fmt.Fprintf(b, `<text x="%.0f" y="20" font-size="14">%s, %s</text>`+"\n", p.left, p.title, p.unit)
	for d := xLow; d <= xHigh; d++ {
		fmt.Fprintf(b, `<path d="M%.1f %.1fv%.0f" stroke="%s"/><text x="%.1f" y="%.0f" text-anchor="middle">%s</text>`+"\n", x(math.Pow(10, d)), plotTop, plotH, faint,
			x(math.Pow(10, d)), plotTop+plotH+18, decade(d))
	}
	for d := yLow; d <= yHigh; d++ {
		fmt.Fprintf(b, `<path d="M%.1f %.1fh%.0f" stroke="%s"/><text x="%.1f" y="%.1f" text-anchor="end">%s</text>`+"\n", p.left, y(math.Pow(10, d)), plotW, faint,
			p.left-6, y(math.Pow(10, d))+4, decade(d))
	}
	fmt.Fprintf(b, `<text x="%.0f" y="%.0f" text-anchor="middle">points missed</text>`+"\n", p.left+plotW/2, plotTop+plotH+38)
	for k, l := range p.lines {
		if len(l.x) == 0 {
			continue
		}
		dash := ""
		if l.dashed {
			dash = ` stroke-dasharray="5 4"`
		}
		var path strings.Builder
		for i := range l.x {
			fmt.Fprintf(&path, "%c%.1f %.1f", "ML"[min(i, 1)], x(l.x[i]), y(l.y[i]))
			if !l.dashed {
				fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"/>`+"\n", x(l.x[i]), y(l.y[i]), l.colour)
			}
		}
		fmt.Fprintf(b, `<path d="%s" fill="none" stroke="%s" stroke-width="2"%s/>`+"\n", path.String(), l.colour, dash)
		at := plotTop + 14 + 17*float64(k)
		fmt.Fprintf(b, `<path d="M%.1f %.1fh22" stroke="%s" stroke-width="2"%s/><text x="%.1f" y="%.1f">%s</text>`+"\n", p.left+10, at, l.colour, dash, p.left+38, at+4, l.name)
	}
}

// decade names a power of ten.
func decade(d float64) string {
	switch n := math.Pow(10, d); {
	case n >= 1e6:
		return fmt.Sprintf("%g M", n/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%g k", n/1e3)
	default:
		return fmt.Sprintf("%g", n)
	}
}
