// Package table prints what was measured as a Markdown table, says what the middle of it is, and keeps it in a document.
package table

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

// Table is rows under aligned columns; the first row names them.
type Table struct{ rows [][]string }

// Add adds a row. Numbers and durations are rounded.
func (t *Table) Add(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		switch c := c.(type) {
		case float64:
			row[i] = fmt.Sprintf("%.3g", c)
			if c >= 100 {
				row[i] = fmt.Sprintf("%.0f", c)
			}
		case time.Duration:
			unit := time.Duration(1) // of the third digit
			for unit*1000 <= c {
				unit *= 10
			}
			row[i] = c.Round(unit).String()
		default:
			row[i] = fmt.Sprint(c)
		}
	}
	t.rows = append(t.rows, row)
}

// Print writes the table.
func (t *Table) Print(w io.Writer) {
	widths := make([]int, len(t.rows[0]))
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	for i, row := range t.rows {
		fmt.Fprint(w, "|")
		for j, cell := range row {
			fmt.Fprintf(w, " %s%s |", cell, strings.Repeat(" ", widths[j]-len([]rune(cell))))
		}
		fmt.Fprintln(w)
		if i == 0 {
			fmt.Fprint(w, "|")
			for _, n := range widths {
				fmt.Fprint(w, strings.Repeat("-", n+2)+"|")
			}
			fmt.Fprintln(w)
		}
	}
	fmt.Fprintln(w)
}

// Median returns the middle of values.
func Median(values []float64) float64 {
	values = slices.Clone(values)
	slices.Sort(values)
	return values[len(values)/2]
}

// Quantile returns the value below which a part q of values is.
func Quantile(values []time.Duration, q float64) time.Duration {
	values = slices.Clone(values)
	slices.Sort(values)
	return values[min(len(values)-1, int(q*float64(len(values))))]
}

// Keep replaces what stands in a file between the markers <!-- name --> and <!-- /name -->.
func Keep(file, name string, text []byte) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	begin, end := fmt.Appendf(nil, "<!-- %s -->", name), fmt.Appendf(nil, "<!-- /%s -->", name)
	before, rest, ok1 := bytes.Cut(b, begin)
	_, after, ok2 := bytes.Cut(rest, end)
	if !ok1 || !ok2 {
		return fmt.Errorf("%s has no markers %s and %s", file, begin, end)
	}
	return os.WriteFile(file, slices.Concat(before, begin, []byte("\n"), text, end, after), 0o644)
}
