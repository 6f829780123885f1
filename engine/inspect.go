package engine

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/segment"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/vfs"
	"github.com/sextantdb/sextant/internal/wal"
)

// Report is a shard's directory as Inspect found it. Errors in it say what an Open would say, or what reads would meet.
type Report struct {
	Generation uint64   // the one that counts
	Others     []string // generations that do not count
	UUID       string
	Base       order.Pos // behind which the log of the generation began
	Checkpoint order.Pos
	History    order.History
	// ActiveThrough is what was applied when the replica stopped being active, nil while it is.
	ActiveThrough *order.Seq
	Requests      int // ids of recent requests
	Schema        sextant.Schema
	Segments      []SegmentReport
	Leftovers     []string // in the generation; removed by Open
	Log           wal.Report
	LogErr        error // the log cannot be read at all, or does not continue the checkpoint
}

// SegmentReport is one sealed segment.
type SegmentReport struct {
	UUID           string
	Rows, Dead     uint32
	MinSeq, MaxSeq order.Seq // of the versions of its rows
	Files          []FileReport
}

// FileReport is one file that the manifest names. Derived files can be made anew from the others.
type FileReport struct {
	Kind, Of, Name string
	Bytes          int64
	Derived        bool
	Err            error // sextant.Corrupt: missing, of another length, or another checksum
}

// LogRecord is an entry as the log keeps it.
type LogRecord = wal.Record

// Damage lists everything that keeps the shard from being opened or makes reads of it fail.
func (r *Report) Damage() (all []error) {
	for _, s := range r.Segments {
		for _, f := range s.Files {
			if f.Err != nil && !f.Derived {
				all = append(all, f.Err)
			}
		}
	}
	if r.LogErr != nil {
		all = append(all, r.LogErr)
	}
	for _, f := range r.Log.Files {
		if f.Damage != nil {
			all = append(all, logDamage(f.Damage))
		}
	}
	return all
}

// Inspect reads all of a shard's files and changes none, so that it may look at a shard that cannot be opened. Of an open
// one it may report files as missing that were replaced while it read. each, if not nil, gets every record of the log up to
// the first fault. The error is one that leaves nothing to report: no shard, no manifest, or ctx.
func Inspect(ctx context.Context, fsys vfs.FS, dir string, each func(LogRecord) error) (*Report, error) {
	generation, err := readCurrent(fsys, dir)
	if err != nil {
		return nil, err
	}
	own := generationDir(dir, generation)
	m, err := readManifest(fsys, own)
	if err != nil {
		return nil, err
	}
	r := &Report{
		Generation: generation, UUID: m.UUID, Base: m.Base, Checkpoint: m.At, History: m.History,
		ActiveThrough: m.ActiveThrough, Requests: len(m.Requests), Schema: m.Schema.Plain(),
	}
	if err := r.directories(fsys, dir, m); err != nil {
		return nil, err
	}
	for i := range m.Segments {
		s, err := inspectSegment(ctx, fsys, own, &m.Segments[i])
		if err != nil {
			return nil, err
		}
		r.Segments = append(r.Segments, s)
	}
	var stop error
	r.Log, err = wal.Inspect(fsys, path.Join(own, logDir), func(rec LogRecord) error {
		if stop = ctx.Err(); stop == nil && each != nil {
			stop = each(rec)
		}
		return stop
	})
	if stop != nil {
		return nil, stop
	}
	r.LogErr = r.judgeLog(path.Join(own, logDir), err)
	return r, nil
}

// directories finds what does not count.
func (r *Report) directories(fsys vfs.FS, dir string, m *manifest) error {
	infos, err := fsys.List(dir)
	if err != nil {
		return err
	}
	for _, info := range infos {
		if n, ok := parseGeneration(info.Name); ok && n != r.Generation {
			r.Others = append(r.Others, info.Name)
		}
	}
	r.Leftovers, err = m.leftovers(fsys, generationDir(dir, r.Generation))
	return err
}

func (r *Report) judgeLog(dir string, err error) error {
	if err != nil {
		return logDamage(err)
	}
	files := r.Log.Files
	switch {
	case len(files) == 0 || files[0].Damage == nil && files[0].Base.Seq > r.Checkpoint.Seq:
		return corrupt(dir, 0, "no file holds seq %d, the next after the checkpoint", r.Checkpoint.Seq+1)
	case r.Log.Last.Seq < r.Checkpoint.Seq:
		return corrupt(dir, 0, "the log ends at seq %d, the checkpoint is at %d", r.Log.Last.Seq, r.Checkpoint.Seq)
	}
	return nil
}

func inspectSegment(ctx context.Context, fsys vfs.FS, dir string, e *segmentEntry) (SegmentReport, error) {
	s := SegmentReport{UUID: e.UUID, Rows: e.Rows, MinSeq: order.Seq(e.MinSeq), MaxSeq: order.Seq(e.MaxSeq)}
	refs := e.Files
	if e.Tombs != nil {
		refs = append(refs[:len(refs):len(refs)], *e.Tombs)
	}
	for _, ref := range refs {
		f := FileReport{Kind: string(ref.Kind), Of: ref.Of, Name: ref.Name, Bytes: ref.Bytes}
		f.Derived = ref.Kind != segment.MainFile && ref.Kind != segment.VectorFile && ref.Kind != segment.TombFile
		if f.Err = compareFile(ctx, fsys, dir, ref); ctx.Err() != nil {
			return s, ctx.Err()
		}
		s.Files = append(s.Files, f)
	}
	if e.Tombs != nil {
		if tombs, err := segment.ReadTombstones(fsys, dir, *e.Tombs); err == nil { // else its file has the error
			s.Dead = tombs.Dead()
		}
	}
	return s, nil
}

// compareFile compares a file with what the manifest says of it.
func compareFile(ctx context.Context, fsys vfs.FS, dir string, ref segment.FileRef) error {
	name := path.Join(dir, ref.Name)
	info, err := fsys.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return corrupt(name, 0, "it is missing")
	case err != nil:
		return err
	case info.Size != ref.Bytes:
		return corrupt(name, min(info.Size, ref.Bytes), "it has %d bytes and should have %d", info.Size, ref.Bytes)
	}
	return sendFile(ctx, io.Discard, fsys, dir, ref, make([]byte, archiveChunk))
}
