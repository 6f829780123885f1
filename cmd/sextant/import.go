package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sextantdb/sextant/internal/transferfile"
)

type importCommand struct {
	remote     `embed:""`
	File       string `arg:"" help:"File to read: .jsonl (a point a line: id, vector, payload), .npy, .fvecs, .bvecs."`
	Collection string `help:"Collection to write to." required:"" short:"c"`
	Create     bool   `help:"Make the collection if it is missing (files of vectors only)."`
	Distance   string `help:"Distance of a collection that is made." enum:"Cosine,Dot,Euclid,Manhattan" default:"Cosine"`
	Vector     string `help:"Vector name that the rows of a file of vectors belong to; default: the unnamed one."`
	FirstID    uint64 `help:"Id of the first row of a file of vectors." default:"0" name:"first-id"`
	Batch      int    `help:"Points in one request." default:"256"`
	Parallel   int    `help:"Requests at the same time." default:"4"`
	Resume     string `help:"File that remembers how far an interrupted import came; default: beside the input." placeholder:"FILE"`
}

// batchBytes bounds a request whatever its number of points.
const batchBytes = 16 << 20

// batch is a request and the number of rows that are behind its end.
type batch struct {
	number int
	end    int64
	body   []byte
}

func (c importCommand) Run(ctx context.Context) error {
	format, err := transferfile.FormatOf(c.File)
	if err != nil {
		return err
	}
	f, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	rows, err := transferfile.NewReader(format, f, info.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	if err := c.prepare(ctx, rows.Dim()); err != nil {
		return err
	}
	if c.Resume == "" {
		c.Resume = c.File + "." + strconv.Quote(c.Collection)[1:len(strconv.Quote(c.Collection))-1] + ".resume"
	}
	job := fmt.Sprintf("import %s (%d bytes, %s) into %s %s %q %d", c.File, info.Size(), info.ModTime().UTC().Format(time.RFC3339), c.URL, c.Collection, c.Vector, c.FirstID)
	state, err := openResume(c.Resume, job)
	if err != nil {
		return err
	}
	if state.Rows > 0 {
		fmt.Fprintf(os.Stderr, "going on after row %d\n", state.Rows)
		if err := rows.Skip(state.Rows); err != nil {
			return fmt.Errorf("%s: %w", c.File, err)
		}
	}
	if err := c.send(ctx, rows, info.Size(), state); err != nil {
		return errors.Join(err, state.save())
	}
	if err := c.settle(ctx); err != nil {
		return err
	}
	return state.finish()
}

// settle returns when every shard has applied what it got: an update of no point goes to all of them and waits its turn.
func (c importCommand) settle(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, collectionPath(c.Collection)+"/points/delete?wait=true", []byte(`{"filter":{"must":[{"has_id":[]}]}}`), nil)
}

// prepare looks at the collection, and makes it if that is wanted.
func (c importCommand) prepare(ctx context.Context, dim int) error {
	dims, found, err := c.vectorNames(ctx, c.Collection)
	if err != nil {
		return err
	}
	if found {
		if have, ok := dims[c.Vector]; dim > 0 && (!ok || have != dim) {
			return fmt.Errorf("the vectors have %d dimensions, the vector %q of collection %s has %d", dim, c.Vector, c.Collection, have)
		}
		return nil
	}
	if !c.Create || dim == 0 {
		return fmt.Errorf("collection %s does not exist; make it first (or use --create with a file of vectors)", c.Collection)
	}
	vectors := map[string]any{"size": dim, "distance": c.Distance}
	if c.Vector != "" {
		vectors = map[string]any{c.Vector: vectors}
	}
	body, err := json.Marshal(map[string]any{"vectors": vectors})
	if err != nil {
		return err
	}
	return c.call(ctx, http.MethodPut, collectionPath(c.Collection), body, nil)
}

// send reads batches, sends some at a time, and notes up to where all rows are stored.
func (c importCommand) send(ctx context.Context, rows *transferfile.Reader, size int64, state *resume) error {
	total := max(rows.Rows(), 0)
	show := newBar("imported", total, state.Rows)
	defer show.end()
	batches := make(chan batch)
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error {
		defer close(batches)
		for number := 0; ; number++ {
			b, err := c.read(rows, number)
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return fmt.Errorf("%s: %w", c.File, err)
			}
			select {
			case batches <- b:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	var mu sync.Mutex // guards what follows, and state
	ends, next, saved := map[int]int64{}, 0, time.Now()
	for range max(c.Parallel, 1) {
		all.Go(func() error {
			for b := range batches {
				if err := c.call(ctx, http.MethodPut, collectionPath(c.Collection)+"/points?wait=false", b.body, nil); err != nil {
					return err
				}
				mu.Lock()
				ends[b.number] = b.end
				for end, ok := ends[next]; ok; end, ok = ends[next] {
					delete(ends, next)
					state.Rows, next = end, next+1
				}
				done, due := state.Rows, time.Since(saved) > time.Second
				var err error
				if due {
					saved = time.Now()
					err = state.save()
				}
				mu.Unlock()
				if err != nil {
					return err
				}
				show.set(done)
			}
			return nil
		})
	}
	err := all.Wait()
	show.set(state.Rows)
	return err
}

// read makes the next request; io.EOF when no rows are left.
func (c importCommand) read(rows *transferfile.Reader, number int) (batch, error) {
	b := batch{number: number, body: []byte(`{"points":[`)}
	count := 0
	for count < max(c.Batch, 1) && len(b.body) < batchBytes {
		at := rows.Row()
		row, err := rows.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return b, err
		}
		if count > 0 {
			b.body = append(b.body, ',')
		}
		count++
		if row.JSON != nil {
			if !json.Valid(row.JSON) {
				return b, fmt.Errorf("line %d is not JSON", rows.Row())
			}
			b.body = append(b.body, row.JSON...)
			continue
		}
		b.body = fmt.Appendf(b.body, `{"id":%d,"vector":`, c.FirstID+uint64(at))
		if c.Vector != "" {
			name, _ := json.Marshal(c.Vector)
			b.body = append(append(append(b.body, '{'), name...), ':')
		}
		b.body = appendFloats(b.body, row.Vector)
		if c.Vector != "" {
			b.body = append(b.body, '}')
		}
		b.body = append(b.body, '}')
	}
	if count == 0 {
		return b, io.EOF
	}
	b.body = append(b.body, `]}`...)
	b.end = rows.Row()
	return b, nil
}
