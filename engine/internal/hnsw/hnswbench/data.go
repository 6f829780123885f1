//go:build linux

package main

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"unsafe"

	"github.com/sextantdb/sextant/engine/internal/vec"
)

const (
	heldOut = 2000
	wanted  = 10 // neighbours asked for
)

// set is a prepared data set: vectors to index, queries that are not among them, and the true neighbours.
type set struct {
	n, dim, queries int
	metric          vec.Metric
	rows            vec.Rows // 64-byte aligned
	query           [][]float32
	truth           [][]uint32

	vectorFile, queryFile, truthFile string // for the peer
}

func prepare(o options) (*set, error) {
	if err := os.MkdirAll(o.cache, 0o755); err != nil {
		return nil, err
	}
	s := &set{metric: vec.Dot}
	load := func() ([][]float32, error) { return readWords(o.words) }
	if o.data == "fashion" {
		s.metric = vec.Euclid
		load = func() ([][]float32, error) { return readImages(o.fashion) }
	}
	name := filepath.Join(o.cache, fmt.Sprintf("%s-%d", o.data, o.n))
	s.vectorFile, s.queryFile, s.truthFile = name+".vectors", name+".queries", name+".truth"
	if _, err := os.Stat(s.truthFile); err != nil {
		all, err := load()
		if err != nil {
			return nil, err
		}
		if err := s.split(all, o.n); err != nil {
			return nil, err
		}
	}
	return s, s.load(o.memory)
}

// split takes every so-maniest vector as a query, keeps the first n of the others, and finds the truth.
func (s *set) split(all [][]float32, n int) error {
	var vectors, queries [][]float32
	every := len(all) / heldOut
	for i, v := range all {
		if s.metric == vec.Dot {
			vec.Normalize(v)
		}
		if i%every == every/2 && len(queries) < heldOut {
			queries = append(queries, v)
		} else if n == 0 || len(vectors) < n {
			vectors = append(vectors, v)
		}
	}
	rows := arena("heap", vectors)
	truth := make([][]uint32, len(queries))
	for i, q := range queries {
		truth[i] = scan(s.metric, rows, q)
	}
	return errors.Join(writeTable(s.vectorFile, vectors), writeTable(s.queryFile, queries), writeTable(s.truthFile, truth))
}

func scan(m vec.Metric, rows vec.Rows, q []float32) []uint32 {
	scores := make([]float32, rows.Len())
	sc := vec.NewScorer(m, rows, q)
	sc.ScoreRange(0, scores)
	best := make([]uint32, 0, wanted+1)
	for i, score := range scores {
		if len(best) < wanted || score > scores[best[wanted-1]] {
			at, _ := slices.BinarySearchFunc(best, score, func(b uint32, x float32) int { return cmp.Compare(x, scores[b]) })
			best = slices.Insert(best, at, uint32(i))
			best = best[:min(len(best), wanted)]
		}
	}
	return best
}

func (s *set) load(memory string) error {
	vectors, err := readTable[float32](s.vectorFile)
	if err != nil {
		return err
	}
	if s.query, err = readTable[float32](s.queryFile); err != nil {
		return err
	}
	if s.truth, err = readTable[uint32](s.truthFile); err != nil {
		return err
	}
	s.rows = arena(memory, vectors)
	s.n, s.dim, s.queries = len(vectors), len(vectors[0]), len(s.query)
	return nil
}

func arena(memory string, vectors [][]float32) vec.Rows {
	dim := len(vectors[0])
	stride := vec.Stride(vec.F32, dim)
	data := make([]byte, len(vectors)*stride)
	for i, v := range vectors {
		vec.Encode(vec.F32, v, data[i*stride:])
	}
	return vec.Rows{Data: place(memory, data), Stride: stride, Dim: dim, Type: vec.F32}
}

func writeTable[T uint32 | float32](file string, table [][]T) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	head := []uint32{uint32(len(table)), uint32(len(table[0]))}
	binary.Write(w, binary.LittleEndian, head)
	for _, row := range table {
		w.Write(unsafe.Slice((*byte)(unsafe.Pointer(&row[0])), 4*len(row)))
	}
	return errors.Join(w.Flush(), f.Close())
}

func readTable[T uint32 | float32](file string) ([][]T, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	n, dim := int(binary.LittleEndian.Uint32(b)), int(binary.LittleEndian.Uint32(b[4:]))
	flat := unsafe.Slice((*T)(unsafe.Pointer(&b[8])), n*dim)
	table := make([][]T, n)
	for i := range table {
		table[i] = flat[i*dim : (i+1)*dim]
	}
	return table, nil
}

// readWords finds the arrays in a JSON object of word to [100 numbers, norm, index].
func readWords(file string) ([][]float32, error) {
	if file == "" {
		return nil, errors.New("the word vectors are not in the cache: name their file with -words")
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	const dim = 100
	var all [][]float32
	_, b, _ = bytes.Cut(b, []byte(`"vectors":{`))
	for {
		from := bytes.Index(b, []byte(`":[`))
		if from < 0 || bytes.HasSuffix(b[:from], []byte("unkVector")) {
			return all, nil
		}
		to := from + bytes.IndexByte(b[from:], ']')
		fields := bytes.Split(b[from+3:to], []byte{','})
		b = b[to:]
		v := make([]float32, dim)
		for d := range v {
			x, err := strconv.ParseFloat(string(fields[d]), 32)
			if err != nil {
				return nil, err
			}
			v[d] = float32(x)
		}
		all = append(all, v)
	}
}

// readImages reads the training and the test images.
func readImages(dir string) (all [][]float32, err error) {
	for _, name := range []string{"train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz"} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(z)
		if err != nil {
			return nil, err
		}
		for b = b[16:]; len(b) >= 784; b = b[784:] {
			v := make([]float32, 784)
			for d := range v {
				v[d] = float32(b[d])
			}
			all = append(all, v)
		}
	}
	return all, nil
}
