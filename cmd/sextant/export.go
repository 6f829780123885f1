package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/sextantdb/sextant/internal/transferfile"
)

type exportCommand struct {
	remote     `embed:""`
	File       string `arg:"" help:"File to write: .jsonl (a point a line: id, payload, vector), .npy or .fvecs (vectors in order of id; the ids go to FILE.ids)."`
	Collection string `help:"Collection to read." required:"" short:"c"`
	Vector     string `help:"Vector name that goes into a file of vectors; default: the unnamed one."`
	Batch      int    `help:"Points in one request." default:"512"`
	Resume     string `help:"File that remembers how far an interrupted export came; default: beside the output." placeholder:"FILE"`
}

// page is a part of a scroll. Points stay the JSON that the server gave.
type page struct {
	Points []json.RawMessage `json:"points"`
	Next   json.RawMessage   `json:"next_page_offset"`
}

func (c exportCommand) Run(ctx context.Context) (err error) {
	format, err := transferfile.FormatOf(c.File)
	if err != nil {
		return err
	}
	if format == transferfile.BVecs {
		return fmt.Errorf("%s: bvecs can be imported only", c.File)
	}
	dims, found, err := c.vectorNames(ctx, c.Collection)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("collection %s does not exist", c.Collection)
	}
	dim, ok := dims[c.Vector]
	if format != transferfile.JSONL && !ok {
		return fmt.Errorf("collection %s has no dense vector %q", c.Collection, c.Vector)
	}
	var count struct {
		Count int64 `json:"count"`
	}
	if err := c.call(ctx, http.MethodPost, collectionPath(c.Collection)+"/points/count", []byte(`{"exact":true}`), &count); err != nil {
		return err
	}
	if c.Resume == "" {
		c.Resume = c.File + ".resume"
	}
	state, err := openResume(c.Resume, fmt.Sprintf("export %s %s %q to %s", c.URL, c.Collection, c.Vector, c.File))
	if err != nil {
		return err
	}
	out, err := openOutput(c.File, format, dim, state)
	if err != nil {
		return err
	}
	show := newBar("exported", count.Count, state.Rows)
	err = c.copy(ctx, out, state, show)
	show.end()
	if err == nil {
		err = out.finish(state.Rows)
	}
	if err = errors.Join(err, out.close()); err != nil {
		return err
	}
	return state.finish()
}

func (c exportCommand) copy(ctx context.Context, out *output, state *resume, show *bar) error {
	saved := time.Now()
	for {
		request := map[string]any{"limit": max(c.Batch, 1), "with_payload": out.format == transferfile.JSONL, "with_vector": true}
		if out.format != transferfile.JSONL {
			request["with_vector"] = []string{c.Vector}
		}
		if state.Next != "" {
			request["offset"] = json.RawMessage(state.Next)
		}
		body, err := json.Marshal(request)
		if err != nil {
			return err
		}
		var p page
		if err := c.call(ctx, http.MethodPost, collectionPath(c.Collection)+"/points/scroll", body, &p); err != nil {
			var flushed error
			state.Bytes, flushed = out.flush()
			return errors.Join(err, flushed, state.save())
		}
		for _, point := range p.Points {
			written, err := out.add(point, c.Vector)
			if err != nil {
				return err
			}
			if written {
				state.Rows++
			}
		}
		show.set(state.Rows)
		last := len(p.Next) == 0 || string(p.Next) == "null"
		if !last {
			state.Next = string(p.Next)
		}
		if last || time.Since(saved) > time.Second {
			saved = time.Now()
			if state.Bytes, err = out.flush(); err != nil {
				return err
			}
			if last {
				return nil
			}
			if err := state.save(); err != nil {
				return err
			}
		}
	}
}

// output is the file of an export, and beside a file of vectors the one of their ids.
type output struct {
	format transferfile.Format
	dim    int
	file   *os.File
	w      *bufio.Writer
	size   int64
	ids    *os.File
	idsW   *bufio.Writer
	row    []byte
}

func openOutput(name string, format transferfile.Format, dim int, state *resume) (*output, error) {
	o := &output{format: format, dim: dim, size: state.Bytes}
	var err error
	if o.file, err = os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644); err != nil {
		return nil, err
	}
	if err := o.file.Truncate(state.Bytes); err != nil {
		return nil, errors.Join(err, o.file.Close())
	}
	if _, err := o.file.Seek(state.Bytes, io.SeekStart); err != nil {
		return nil, errors.Join(err, o.file.Close())
	}
	o.w = bufio.NewWriterSize(o.file, 1<<20)
	if format == transferfile.JSONL {
		return o, nil
	}
	if format == transferfile.NPY && state.Bytes == 0 {
		if err := o.write(transferfile.NPYHeader(0, dim)); err != nil {
			return nil, errors.Join(err, o.file.Close())
		}
	}
	if err := o.openIDs(name+".ids", state.Rows); err != nil {
		return nil, errors.Join(err, o.file.Close())
	}
	return o, nil
}

// openIDs keeps the ids of the rows that an earlier run finished.
func (o *output) openIDs(name string, rows int64) (err error) {
	if o.ids, err = os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644); err != nil {
		return err
	}
	var keep int64
	r := bufio.NewReader(o.ids)
	for range rows {
		line, err := r.ReadString('\n')
		if err != nil {
			return fmt.Errorf("%s does not belong to the unfinished export: %w", name, err)
		}
		keep += int64(len(line))
	}
	if err := o.ids.Truncate(keep); err != nil {
		return err
	}
	if _, err := o.ids.Seek(keep, io.SeekStart); err != nil {
		return err
	}
	o.idsW = bufio.NewWriter(o.ids)
	return nil
}

func (o *output) write(b []byte) error {
	n, err := o.w.Write(b)
	o.size += int64(n)
	return err
}

// add writes one point, and says whether it had what the file is for.
func (o *output) add(point json.RawMessage, name string) (bool, error) {
	if o.format == transferfile.JSONL {
		return true, o.write(append(point, '\n'))
	}
	var p struct {
		ID     json.RawMessage `json:"id"`
		Vector json.RawMessage `json:"vector"`
	}
	if err := json.Unmarshal(point, &p); err != nil {
		return false, err
	}
	var vector []float32
	if json.Unmarshal(p.Vector, &vector) != nil {
		var named map[string]json.RawMessage
		if err := json.Unmarshal(p.Vector, &named); err != nil {
			return false, err
		}
		if named[name] == nil {
			return false, nil // the point lacks the vector
		}
		if err := json.Unmarshal(named[name], &vector); err != nil {
			return false, fmt.Errorf("point %s: the vector %q is not dense", p.ID, name)
		}
	}
	if len(vector) != o.dim {
		return false, fmt.Errorf("point %s has %d dimensions instead of %d", p.ID, len(vector), o.dim)
	}
	var err error
	if o.row, err = transferfile.AppendVector(o.row[:0], o.format, vector); err != nil {
		return false, err
	}
	if err := o.write(o.row); err != nil {
		return false, err
	}
	_, err = o.idsW.Write(append(p.ID, '\n'))
	return true, err
}

// flush hands everything to the operating system and returns the size of the file.
func (o *output) flush() (int64, error) {
	err := o.w.Flush()
	if o.idsW != nil {
		err = errors.Join(err, o.idsW.Flush())
	}
	return o.size, err
}

// finish writes what only the end knows.
func (o *output) finish(rows int64) error {
	if o.format != transferfile.NPY {
		return nil
	}
	_, err := o.file.WriteAt(transferfile.NPYHeader(rows, o.dim), 0)
	return err
}

func (o *output) close() error {
	err := o.file.Close()
	if o.ids != nil {
		err = errors.Join(err, o.ids.Close())
	}
	return err
}
