package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/sextantdb/sextant/server"
)

type serveCommand struct {
	ConfigPath       string      `help:"File of settings, read after all other files." placeholder:"FILE"`
	URI              string      `help:"Address of this peer for others.." env:"QDRANT_URI,SEXTANT_URI" name:"uri"`
	Bootstrap        string      `help:"Address of a peer to join.." env:"QDRANT_BOOTSTRAP,SEXTANT_BOOTSTRAP"`
	Snapshot         []string    `help:"Restore a snapshot as a collection before serving. Repeatable." placeholder:"FILE:COLLECTION" sep:"none"`
	StorageSnapshot  string      `help:"Restore a snapshot of the whole storage before serving." placeholder:"FILE"`
	ForceSnapshot    bool        `short:"f" help:"Let the two above replace existing collections."`
	Reinit           bool        `help:"Forget the cluster that this peer belonged to.."`
	DisableTelemetry bool        `help:"Known for old scripts: nothing is ever reported to anybody."`
	Stacktrace       bool        `help:"Print the stacks of this process and exit."`
	Version          versionFlag `help:"Print the version and exit."`
}

type versionFlag bool

func (versionFlag) BeforeReset(app *kong.Kong) error {
	fmt.Println(versionLine())
	app.Exit(0)
	return nil
}

func (s serveCommand) Run(ctx context.Context) error {
	if s.Stacktrace {
		return pprof.Lookup("goroutine").WriteTo(os.Stdout, 2)
	}
	parts := server.Parts{StorageSnapshot: s.StorageSnapshot, ForceSnapshot: s.ForceSnapshot, URI: s.URI, Bootstrap: s.Bootstrap, Reinit: s.Reinit}
	for _, arg := range s.Snapshot {
		at := strings.LastIndexByte(arg, ':')
		if at < 0 {
			return fmt.Errorf("--snapshot %s: want FILE:COLLECTION", arg)
		}
		parts.Snapshots = append(parts.Snapshots, server.Snapshot{File: arg[:at], Collection: arg[at+1:]})
	}
	flags := map[string]any{}
	if s.DisableTelemetry {
		flags["telemetry_disabled"] = true
	}
	early := slog.New(slog.NewTextHandler(os.Stderr, nil))
	cfg := server.LoadConfig(s.ConfigPath, flags, early)
	running, err := server.Start(ctx, cfg, parts)
	if err != nil {
		return err
	}
	var failed error
	select {
	case <-ctx.Done():
	case failed = <-running.Failed():
	}
	closing, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := running.Close(closing); err != nil {
		return err
	}
	return failed
}
