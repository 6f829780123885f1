package segment

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"io"
	"path"
	"runtime"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/hnsw"
	"github.com/sextantdb/sextant/engine/internal/payload"
	"github.com/sextantdb/sextant/engine/internal/quant"
	"github.com/sextantdb/sextant/engine/internal/sparse"
	"github.com/sextantdb/sextant/engine/internal/vec"
	"github.com/sextantdb/sextant/internal/task"
	"github.com/sextantdb/sextant/internal/vfs"
)

// BuildDerived makes one derived file of a sealed segment beside its others. The segment itself is not changed: see
// Attach. The file is durable but for its name.
func BuildDerived(ctx context.Context, seg *Sealed, need Need, tuning Tuning, p *task.Progress) (
	ref FileRef, err error,
) {
	defer border(&err)()
	h := fnv.New64a()
	fmt.Fprintf(h, "%q %d %q", need.Of, need.Seq, need.Config) // never fails
	ref = FileRef{Kind: need.Kind, Of: need.Of, Seq: need.Seq, Config: need.Config}
	ref.Name = fmt.Sprintf("%s-%s-%016x.idx", seg.meta.UUID, need.Kind, h.Sum64())
	stage := p.Stage(stageNames[need.Kind]).Child(need.Of)
	stage.Begin()
	defer stage.End()
	return seg.writeDerived(ctx, ref, func(w io.Writer) error {
		return seg.build(ctx, need, tuning, stage, w)
	})
}

var stageNames = map[Kind]string{
	FieldFile: "payload_index", CodesFile: "quantization", GraphFile: "vector_index", SparseFile: "sparse_vector_index",
}

func (s *Sealed) build(ctx context.Context, need Need, tuning Tuning, p *task.Progress, w io.Writer) error {
	if need.Kind == FieldFile {
		var spec sextant.FieldSpec
		if err := json.Unmarshal([]byte(need.Config), &spec); err != nil {
			return fmt.Errorf("index settings of field %s: %w", need.Of, err)
		}
		key, err := sextant.ParsePath(need.Of)
		if err != nil {
			return err
		}
		return payload.BuildField(key, spec, s.meta.Rows, s.payload, w)
	}
	v, _ := s.vectors(slotKey{need.Of, need.Seq}).(*sealedVectors)
	if v == nil {
		return sextant.Errorf(sextant.Internal, "segment %s has no vector %q", s.meta.UUID, need.Of)
	}
	v.data.check(0, v.data.n)
	switch need.Kind {
	case SparseFile:
		return sparse.Build(s.meta.Rows, func(row uint32) ([]uint32, []float32, bool) {
			if !v.has(row) {
				return nil, nil, false
			}
			indices, values := decodeSparse(v.raw(row))
			return indices, values, true
		}, v.spec.Datatype, w)
	case CodesFile:
		_, err := quant.Write(ctx, w, metricOf(v.spec), v.rows, v.n, v.list(), codesOptions(need.Config))
		return err
	case GraphFile:
		g, err := hnsw.Build(ctx, s.space(need, v), v.list(), v.n, graphParams(tuning.Vector(need.Of), p))
		if err != nil {
			return err
		}
		_, err = g.WriteTo(w)
		return err
	}
	return sextant.Errorf(sextant.Internal, "derived data of kind %s cannot be built", need.Kind)
}

func graphParams(t VectorTuning, p *task.Progress) hnsw.Params {
	threads := int(t.HNSW.MaxIndexingThreads)
	if threads == 0 {
		threads = 8
	}
	reported := 0
	return hnsw.Params{
		M: max(2, int(t.HNSW.M)), EfConstruct: max(int(t.HNSW.EfConstruct), int(t.HNSW.M), 4),
		Threads: min(threads, runtime.GOMAXPROCS(0)), Seed: 1,
		Progress: func(done, total int) {
			p.Total(int64(total))
			p.Add(int64(done - reported))
			reported = done
		},
	}
}

// list returns the rows that have the vector.
func (v *sealedVectors) list() []uint32 {
	rows := make([]uint32, 0, v.count)
	for row := range v.n {
		if v.has(row) {
			rows = append(rows, row)
		}
	}
	return rows
}

// space scores stored rows against each other for a graph build.
type space struct {
	metric vec.Metric
	rows   vec.Rows
}

func (s space) RowScorer(row uint32) hnsw.Scorer {
	scorer := vec.NewRowScorer(s.metric, s.rows, row)
	return &scorer
}

func (s space) ScoreRow(row uint32, ids []uint32, out []float32) {
	scorer := vec.NewRowScorer(s.metric, s.rows, row)
	scorer.ScoreBatch(ids, out)
}

// roughSpace walks by codes; neighbours are chosen by stored rows.
type roughSpace struct {
	space
	codes *quant.Codes
}

func (s roughSpace) RoughScorer(row uint32) hnsw.Scorer {
	return s.codes.NewScorer(s.rows.Float32(row, nil))
}

// space returns what a graph is built over. Codes are built before graphs, so that most often there are some.
func (s *Sealed) space(need Need, v *sealedVectors) hnsw.Space {
	exact := space{metricOf(v.spec), v.rows}
	if codes := lookup[*quant.Codes](s, CodesFile, slotKey{need.Of, need.Seq}); codes != nil {
		return roughSpace{exact, codes}
	}
	return exact
}

// writeDerived writes a file of whatever form under its name.
func (s *Sealed) writeDerived(ctx context.Context, ref FileRef, build func(io.Writer) error) (FileRef, error) {
	tmp := path.Join(s.dir, tmpName(ref.Name))
	f, err := s.fs.Create(tmp)
	if err != nil {
		return ref, err
	}
	sum := &summer{f: f}
	buffered := bufio.NewWriterSize(sum, 256<<10)
	if err = build(cancellable{ctx, buffered}); err == nil {
		err = buffered.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = s.fs.Rename(tmp, path.Join(s.dir, ref.Name))
	}
	if err != nil {
		_ = s.fs.Remove(tmp) // what stays is removed at the next start
		return ref, fmt.Errorf("build %s: %w", ref.Name, err)
	}
	ref.Bytes, ref.CRC = sum.n, sum.crc
	return ref, nil
}

// summer counts and checksums what goes to a file.
type summer struct {
	f   vfs.File
	n   int64
	crc uint32
}

func (w *summer) Write(b []byte) (int, error) {
	n, err := w.f.Write(b)
	w.n += int64(n)
	w.crc = crc32.Update(w.crc, castagnoli, b[:n])
	return n, err
}

// cancellable fails once ctx has ended: builders that know no context write now and then, at times nothing.
type cancellable struct {
	ctx context.Context
	w   io.Writer
}

func (w cancellable) Write(b []byte) (int, error) {
	if w.ctx.Err() != nil {
		return 0, w.ctx.Err()
	}
	return w.w.Write(b)
}
