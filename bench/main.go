// Command bench measures the whole engine on real data, beside hnswlib in the same run, and prints one table per data set.
//
//	go run ./bench                     words and fashion, everything; about 15 minutes on two cores
//	go run ./bench -data words -quick  a subset of the vectors, for a first look
//
// The engine runs as the package that programs import; the server part starts a real process. hnswlib is compiled here from
// bench/hnswlib (needs g++ and the headers of hnswlib, for example Debian's libhnswlib-dev); without it the column
// is empty. Contestants take turns at every beam width, and the median of the rounds counts.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/bench/dataset"
)

type options struct {
	data      string
	n         int
	m         int
	construct int
	rounds    int
	queries   int
	peer      bool
	filters   bool
	server    bool
}

func main() {
	var o options
	var quick bool
	flag.StringVar(&o.data, "data", "words,fashion", "data sets, separated by commas; empty: the server part only")
	flag.IntVar(&o.n, "n", 0, "vectors to index; 0 means all")
	flag.IntVar(&o.m, "m", 16, "links per vertex")
	flag.IntVar(&o.construct, "efc", 200, "beam width of the build")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds per beam width; the median counts")
	flag.IntVar(&o.queries, "queries", 2000, "held-out queries")
	flag.BoolVar(&o.peer, "peer", true, "run hnswlib too")
	flag.BoolVar(&o.filters, "filters", true, "measure filtered search")
	flag.BoolVar(&o.server, "server", true, "measure a server process: upserts, start")
	flag.BoolVar(&quick, "quick", false, "50,000 vectors, 500 queries, 3 rounds")
	flag.Parse()
	if quick {
		o.n, o.queries, o.rounds = 50_000, 500, 3
	}
	if err := run(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	fmt.Printf("%s/%s, %d cpus, %s\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	for _, name := range strings.Split(o.data, ",") {
		var set *dataset.Set
		var err error
		distance := sextant.Cosine
		switch name {
		case "":
			continue
		case "words":
			set, err = dataset.Words()
		case "fashion":
			set, err = dataset.Fashion()
			distance = sextant.Euclid
		default:
			err = fmt.Errorf("unknown data set %q", name)
		}
		if err != nil {
			return err
		}
		if err := runSet(ctx, o, split(set, distance, o)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if o.server {
		return serverTable(ctx, o)
	}
	return nil
}

func runSet(ctx context.Context, o options, w *workload) error {
	fmt.Printf("\n## %s: %d vectors × %d, %s, %d held-out queries, M=%d, ef_construct=%d\n\n",
		w.name, w.len(), w.dim, w.distance, len(w.queries), o.m, o.construct)
	ours, err := load(ctx, o, w)
	if err != nil {
		return err
	}
	defer ours.close()
	if err := ours.findTruth(ctx); err != nil {
		return err
	}
	var other *peer
	if o.peer {
		if other, err = startPeer(o, w); err != nil {
			fmt.Printf("hnswlib does not run here: %v\n\n", err)
			other = nil
		} else {
			defer other.stop()
		}
	}
	if err := buildTable(ours, other); err != nil {
		return err
	}
	if err := speedTable(ctx, o, ours, other); err != nil {
		return err
	}
	if o.filters {
		return filterTable(ctx, o, ours)
	}
	return nil
}
