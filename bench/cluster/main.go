// Command cluster measures what a cluster costs: upserts with one and with three replicas beside the same on a lone node, and how
// long consensus takes.
//
//	go run ./bench/cluster                       five rounds, about four minutes
//	go run ./bench/cluster -write docs/bench.md  the same, and keeps the tables there, between their markers
//
// All processes run on this machine: three peers share its processors and its disk, so the cost of three replicas is the highest
// that there is. Contestants take turns in every round; the median of the rounds counts.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sextantdb/sextant/bench/peers"
	"github.com/sextantdb/sextant/bench/table"
)

type options struct {
	rounds   int
	length   time.Duration
	dim      int
	commands int
	dir      string
	write    string
	note     string
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "rounds; the median counts")
	flag.DurationVar(&o.length, "length", 2*time.Second, "of one measurement")
	flag.IntVar(&o.dim, "dim", 128, "numbers of a vector")
	flag.IntVar(&o.commands, "commands", 200, "that are proposed to consensus in a round")
	flag.StringVar(&o.dir, "dir", os.TempDir(), "a directory on the disk to measure")
	flag.StringVar(&o.write, "write", "", "a file with the markers <!-- cluster --> and <!-- /cluster -->, between which the tables are kept")
	flag.StringVar(&o.note, "note", "", "something to say about the machine")
	flag.Parse()
	var text bytes.Buffer
	if err := run(o, io.MultiWriter(os.Stdout, &text)); err != nil {
		fmt.Fprintln(os.Stderr, "bench/cluster:", err)
		os.Exit(1)
	}
	if o.write != "" {
		if err := table.Keep(o.write, "cluster", text.Bytes()); err != nil {
			fmt.Fprintln(os.Stderr, "bench/cluster:", err)
			os.Exit(1)
		}
	}
}

// contestant is a collection that is written.
type contestant struct {
	name       string
	peers      []*peers.Peer // requests go to all of them in turn
	collection string
}

func run(o options, out io.Writer) error {
	root, err := os.MkdirTemp(o.dir, "sextant-cluster-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	binary, err := peers.Build(root)
	if err != nil {
		return err
	}
	var all []*peers.Peer
	defer func() {
		for _, p := range all {
			p.Kill()
		}
	}()
	start := func(name string, args func(p *peers.Peer) []string) (*peers.Peer, error) {
		p, err := peers.Start(binary, filepath.Join(root, name), args)
		if err == nil {
			all = append(all, p)
			err = p.Ready()
		}
		return p, err
	}
	lone, err := start("lone", nil)
	if err != nil {
		return err
	}
	var three []*peers.Peer
	for i := range 3 {
		p, err := start(fmt.Sprint("peer", i), func(p *peers.Peer) []string {
			args := []string{"--uri", p.URI()}
			if i > 0 {
				args = append(args, "--bootstrap", three[0].URI())
			}
			return args
		})
		if err != nil {
			return err
		}
		three = append(three, p)
	}
	if err := peers.Together(three); err != nil {
		return err
	}
	contestants := []contestant{{"lone node", []*peers.Peer{lone}, "c"}, {"3 peers, 1 replica", three, "one"}, {"3 peers, 3 replicas", three, "three"}}
	for i, c := range contestants {
		body := fmt.Sprintf(`{"vectors":{"size":%d,"distance":"Cosine"},"shard_number":1,"replication_factor":%d,"optimizers_config":{"indexing_threshold":0}}`, o.dim, max(1, 2*i-1))
		if err := c.peers[0].Call("PUT", "/collections/"+c.collection+"?timeout=60", []byte(body), nil); err != nil {
			return err
		}
	}

	fmt.Fprintf(out, "%s, %s/%s, %d cpus, %s%s; %d rounds of %v, vectors of %d numbers, one point a request, through all peers in turn.\n", time.Now().UTC().Format(time.DateOnly),
		runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), o.note, o.rounds, o.length, o.dim)
	var syncs []time.Duration
	for range o.rounds {
		took, err := syncTime(root)
		if err != nil {
			return err
		}
		syncs = append(syncs, took...)
	}
	fmt.Fprintf(out, "Appending 4 kB and syncing takes %v here, %v for 1 of 100.\n\n", table.Quantile(syncs, 0.5).Round(10*time.Microsecond), table.Quantile(syncs, 0.99).Round(10*time.Microsecond))
	if err := upsertTable(o, contestants, out); err != nil {
		return err
	}
	return consensusTable(o, three, out)
}

// syncTime is how long this disk takes to make an append durable: the floor of everything that is acknowledged.
func syncTime(dir string) (took []time.Duration, err error) {
	f, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for range 100 {
		begin := time.Now()
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(begin))
	}
	return took, nil
}

// result is one measurement.
type result struct {
	perSecond float64
	p50, p99  time.Duration
}

func upsertTable(o options, contestants []contestant, out io.Writer) error {
	var t table.Table
	head := []any{"upserts"}
	for _, c := range contestants {
		head = append(head, c.name+", points/s", "p50", "p99")
	}
	t.Add(head...)
	for _, clients := range []int{1, 64} {
		for _, wait := range []bool{true, false} {
			results := make([][]result, len(contestants))
			for round := range o.rounds {
				for k := range contestants {
					i := (k + round) % len(contestants)
					r, err := contestants[i].upserts(o, clients, wait)
					if err != nil {
						return err
					}
					results[i] = append(results[i], r)
				}
			}
			row := []any{fmt.Sprintf("%d at a time, wait=%t", clients, wait)}
			for _, list := range results {
				var speed []float64
				var p50, p99 []time.Duration
				for _, r := range list {
					speed, p50, p99 = append(speed, r.perSecond), append(p50, r.p50), append(p99, r.p99)
				}
				row = append(row, table.Median(speed), table.Quantile(p50, 0.5), table.Quantile(p99, 0.5))
			}
			t.Add(row...)
		}
	}
	t.Print(out)
	return nil
}

func (c contestant) upserts(o options, clients int, wait bool) (result, error) {
	took := make([][]time.Duration, clients)
	failed := make([]error, clients)
	var run sync.WaitGroup
	begin := time.Now()
	for k := range clients {
		run.Go(func() {
			vector := strings.TrimSuffix(strings.Repeat("0.5,", o.dim-1), ",")
			for n := 0; time.Since(begin) < o.length; n++ {
				path := fmt.Sprintf("/collections/%s/points?wait=%t", c.collection, wait)
				body := fmt.Appendf(nil, `{"points":[{"id":%d,"vector":[%d.5,%s],"payload":{"n":%d}}]}`, k*1000+n%1000, n, vector, n)
				start := time.Now()
				if failed[k] = c.peers[(k+n)%len(c.peers)].Call("PUT", path, body, nil); failed[k] != nil {
					return
				}
				took[k] = append(took[k], time.Since(start))
			}
		})
	}
	run.Wait()
	span := time.Since(begin)
	every := slices.Concat(took...)
	if err := errors.Join(failed...); err != nil {
		return result{}, err
	}
	return result{float64(len(every)) / span.Seconds(), table.Quantile(every, 0.5), table.Quantile(every, 0.99)}, nil
}

// consensusTable measures how long it takes from the request for a change until all peers show it. An alias is the smallest change.
func consensusTable(o options, three []*peers.Peer, out io.Writer) error {
	var answered, everywhere []time.Duration
	for range o.rounds {
		for n := range o.commands {
			alias := fmt.Sprintf("a%d", n%2)
			to := []string{"one", "three"}[(n/2)%2]
			body := fmt.Appendf(nil, `{"actions":[{"delete_alias":{"alias_name":%q}},{"create_alias":{"alias_name":%q,"collection_name":%q}}]}`, alias, alias, to)
			if len(answered) < 2 {
				body = fmt.Appendf(nil, `{"actions":[{"create_alias":{"alias_name":%q,"collection_name":%q}}]}`, alias, to)
			}
			begin := time.Now()
			if err := three[n%3].Call("POST", "/collections/aliases", body, nil); err != nil {
				return err
			}
			answered = append(answered, time.Since(begin))
			for _, p := range three {
				if err := p.Shows(alias, to); err != nil {
					return err
				}
			}
			everywhere = append(everywhere, time.Since(begin))
		}
	}
	var t table.Table
	t.Add("consensus: a change, asked for over REST", "p50", "p99")
	t.Add("until it is answered", table.Quantile(answered, 0.5), table.Quantile(answered, 0.99))
	t.Add("until all 3 peers show it", table.Quantile(everywhere, 0.5), table.Quantile(everywhere, 0.99))
	t.Print(out)
	return nil
}
