// Command sextant is the vector search engine: it serves, moves points in and out of a running server, and looks into
// storage directories.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/sextantdb/sextant/server"
)

type commands struct {
	Serve   serveCommand   `cmd:"" default:"withargs" help:"Run a server (what happens without a command, too)."`
	Version versionCommand `cmd:"" help:"Print the version."`
	Import  importCommand  `cmd:"" help:"Put the points of a file into a collection of a running server."`
	Export  exportCommand  `cmd:"" help:"Write the points of a collection of a running server to a file."`
	Inspect struct {
		Shard   inspectCommand        `cmd:"" default:"withargs" help:"Print what a shard directory holds: manifest, segments, log. The shard must not be open."`
		Cluster inspectClusterCommand `cmd:"" help:"Print peers, replicas and transfers of a running cluster."`
	} `cmd:"" help:"Look into a shard directory (inspect DIR), or at a running cluster (inspect cluster)."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:]))
}

func run(ctx context.Context, args []string) int {
	var c commands
	parser, err := kong.New(&c, kong.Name("sextant"), kong.Description("A vector search engine."), kong.UsageOnError(),
		kong.BindTo(ctx, (*context.Context)(nil)))
	if err != nil {
		fmt.Fprintln(os.Stderr, "sextant:", err)
		return 2
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		parser.Errorf("%s", err)
		return 2
	}
	if err := parsed.Run(); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "sextant:", err)
		return 1
	} else if err != nil {
		fmt.Fprintln(os.Stderr, "sextant: interrupted")
		return 130
	}
	return 0
}

type versionCommand struct{}

func (versionCommand) Run() error {
	fmt.Println(versionLine())
	return nil
}

func versionLine() string {
	own, commit := "devel", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if v := info.Main.Version; v != "" && v != "(devel)" {
			own = v
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = " " + s.Value
			}
		}
	}
	return fmt.Sprintf("sextant %s (API %s, %s %s/%s)%s", own, server.APIVersion, runtime.Version(), runtime.GOOS, runtime.GOARCH, commit)
}
