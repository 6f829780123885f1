package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine"
	"github.com/sextantdb/sextant/internal/codec"
	"github.com/sextantdb/sextant/internal/vfs"
)

type inspectCommand struct {
	Dir     string `arg:"" help:"Directory of a shard: <storage>/collections/<uuid>/<shard>."`
	Records bool   `help:"Print every entry of the log, too."`
	JSON    bool   `help:"Print the report as JSON." name:"json"`
}

// Run reads everything and changes nothing. Damage makes the command fail after it is shown.
func (c inspectCommand) Run(ctx context.Context) error {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return err
	}
	var records []string
	var each func(engine.LogRecord) error
	if c.Records {
		each = func(r engine.LogRecord) error { records = append(records, entry(r)); return nil }
	}
	report, err := engine.Inspect(ctx, vfs.OS{}, dir, each)
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(os.Stdout, report, records)
	} else {
		printReport(os.Stdout, report, records)
	}
	if damage := report.Damage(); err == nil && len(damage) > 0 {
		return fmt.Errorf("the shard is damaged: %w", damage[0])
	}
	return err
}

func printJSON(w io.Writer, r *engine.Report, records []string) error {
	text := func(errs []error) (out []string) {
		for _, err := range errs {
			out = append(out, err.Error())
		}
		return out
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		*engine.Report
		Damage  []string `json:",omitempty"`
		Records []string `json:",omitempty"`
	}{r, text(r.Damage()), records})
}

func printReport(w io.Writer, r *engine.Report, records []string) {
	fmt.Fprintf(w, "shard       %s\n", r.UUID)
	fmt.Fprintf(w, "generation  g%d", r.Generation)
	if len(r.Others) > 0 {
		fmt.Fprintf(w, " (others, removed at the next start: %s)", strings.Join(r.Others, " "))
	}
	fmt.Fprintf(w, "\ncheckpoint  %v (log begins behind %v)\n", r.Checkpoint, r.Base)
	for _, reign := range r.History {
		fmt.Fprintf(w, "history     %+v\n", reign)
	}
	if r.ActiveThrough != nil {
		fmt.Fprintf(w, "not active  since entry %d\n", *r.ActiveThrough)
	}
	if r.Requests > 0 {
		fmt.Fprintf(w, "requests    %d ids remembered\n", r.Requests)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Schema.Vectors)) {
		v := r.Schema.Vectors[name]
		fmt.Fprintf(w, "vector      %q %s %s\n", name, v.Kind, strings.TrimSpace(fmt.Sprintf("%d %s %s", v.Dim, v.Distance, v.Datatype)))
	}
	for _, key := range slices.Sorted(maps.Keys(r.Schema.Fields)) {
		fmt.Fprintf(w, "index       %s %s\n", key, r.Schema.Fields[key].Type)
	}
	for _, s := range r.Segments {
		fmt.Fprintf(w, "segment     %s: %d rows, %d dead, versions %d…%d\n", s.UUID, s.Rows, s.Dead, s.MinSeq, s.MaxSeq)
		for _, f := range s.Files {
			fmt.Fprintf(w, "  %-12s %12d  %s%s%s\n", strings.TrimSpace(f.Kind+" "+f.Of), f.Bytes, f.Name, mark(f.Derived, " (derived)"), fault(f.Err))
		}
	}
	for _, f := range r.Log.Files {
		fmt.Fprintf(w, "log         %s: %d records behind %v, %d bytes%s%s\n", f.Name, f.Records, f.Base, f.Bytes,
			mark(f.Torn, fmt.Sprintf(" (torn after %d: never durable)", f.Good)), fault(f.Damage))
	}
	fmt.Fprintf(w, "log ends    %v, committed %d%s\n", r.Log.Last, r.Log.Commit, fault(r.LogErr))
	for _, name := range r.Leftovers {
		fmt.Fprintf(w, "leftover    %s\n", name)
	}
	for _, line := range records {
		fmt.Fprintln(w, line)
	}
}

func mark(on bool, text string) string {
	if on {
		return text
	}
	return ""
}

func fault(err error) string {
	if err == nil {
		return ""
	}
	return "  DAMAGED: " + err.Error()
}

// entry describes one record of the log in a line.
func entry(r engine.LogRecord) string {
	head := fmt.Sprintf("entry %d, term %d", r.Seq, r.Term)
	if r.Kind != 1 { // of effects
		return fmt.Sprintf("%s: kind %d, %d bytes", head, r.Kind, len(r.Body))
	}
	u, err := codec.Update(r.Body)
	if err != nil {
		return fmt.Sprintf("%s: %v", head, err)
	}
	what := strings.TrimPrefix(fmt.Sprintf("%T", u), "sextant.")
	switch u := u.(type) {
	case sextant.Upsert:
		what += fmt.Sprintf(" of %d points", len(u.Points))
	case sextant.UpdateVectors:
		what += fmt.Sprintf(" of %d points", len(u.Points))
	case sextant.DeletePoints:
		what += fmt.Sprintf(" of %d points", len(u.IDs))
	case sextant.CreateField:
		what += " " + u.Key.String()
	case sextant.DropField:
		what += " " + u.Key.String()
	case sextant.CreateVector:
		what += fmt.Sprintf(" %q", u.Name)
	case sextant.DropVector:
		what += fmt.Sprintf(" %q", u.Name)
	}
	return fmt.Sprintf("%s: %s, %d bytes", head, what, len(r.Body))
}
