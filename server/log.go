package server

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
)

// levelOff is above every line.
const levelOff = slog.Level(1 << 10)

// parseLevel reads a level, or a comma list of levels and target=level: the word without a target counts for everything
// here, what stands alone last wins; targets of others' programs mean nothing.
func parseLevel(s string) (level slog.Level, ok bool) {
	words := map[string]slog.Level{"trace": slog.LevelDebug, "debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn,
		"warning": slog.LevelWarn, "error": slog.LevelError, "off": levelOff}
	level, ok = slog.LevelInfo, true
	for part := range strings.SplitSeq(s, ",") {
		part = strings.ToLower(strings.TrimSpace(part))
		if part == "" || strings.Contains(part, "=") {
			continue
		}
		if l, known := words[part]; known {
			level = l
		} else {
			ok = false
		}
	}
	return level, ok
}

// NewLogger makes the logger that the settings ask for: lines to w, and to a file if that is on.
func NewLogger(cfg Config, w io.Writer) (*slog.Logger, error) {
	level, known := parseLevel(cfg.LogLevel)
	handler := newHandler(w, cfg.Logger.Format, level)
	if file := cfg.Logger.OnDisk; file.Enabled && file.LogFile != nil {
		f, err := os.OpenFile(*file.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return nil, err
		}
		own := level
		if file.LogLevel != nil {
			own, _ = parseLevel(*file.LogLevel)
		}
		handler = both{handler, newHandler(f, cmp.Or(file.Format, "text"), own)}
	}
	log := slog.New(handler)
	if !known {
		log.Warn("log_level holds words that are no levels", "log_level", cfg.LogLevel)
	}
	return log, nil
}

func newHandler(w io.Writer, format string, level slog.Level) slog.Handler {
	o := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.NewJSONHandler(w, o)
	}
	return slog.NewTextHandler(w, o)
}

// both writes every line to two places.
type both [2]slog.Handler

func (b both) Enabled(ctx context.Context, l slog.Level) bool {
	return b[0].Enabled(ctx, l) || b[1].Enabled(ctx, l)
}

func (b both) Handle(ctx context.Context, r slog.Record) (err error) {
	for _, h := range b {
		if h.Enabled(ctx, r.Level) {
			err = errors.Join(err, h.Handle(ctx, r.Clone()))
		}
	}
	return err
}

func (b both) WithAttrs(attrs []slog.Attr) slog.Handler {
	return both{b[0].WithAttrs(attrs), b[1].WithAttrs(attrs)}
}

func (b both) WithGroup(name string) slog.Handler {
	return both{b[0].WithGroup(name), b[1].WithGroup(name)}
}
