package segment

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/hnsw"
	"github.com/sextantdb/sextant/engine/internal/payload"
	"github.com/sextantdb/sextant/engine/internal/quant"
	"github.com/sextantdb/sextant/engine/internal/sparse"
	"github.com/sextantdb/sextant/internal/vfs"
)

// Need is a derived file that a sealed segment should have: what it is made of and with which settings.
type Need struct {
	Kind   Kind
	Of     string // vector name or field key
	Seq    uint64 // that made the vector name or field
	Config string
}

func (n Need) key() derivedKey { return derivedKey{n.Kind, n.Of, n.Seq} }

type derivedKey struct {
	kind Kind
	of   string
	seq  uint64
}

// derivedSet is the derived files of a segment at one moment; it is replaced, never changed.
type derivedSet map[derivedKey]*derived

// derived is a mapped file that can be made anew from stored data. It is checked as a whole before it is first used, so
// that a damaged one is dropped instead of answering.
type derived struct {
	ref     FileRef
	mapping vfs.Mapping
	index   any // payload.FieldIndex, *sparse.Index, *hnsw.Graph or *quant.Codes
	once    sync.Once
	bad     atomic.Bool
}

// checkLimit is the size up to which a graph or codes are checked before their first use. In larger ones a search would
// wait too long; damage there costs recall, never a wrong score, and Verify finds it.
const checkLimit = 256 << 20

func (d *derived) key() derivedKey { return derivedKey{d.ref.Kind, d.ref.Of, d.ref.Seq} }

// openDerived fails with sextant.Corrupt if the file can only be made anew.
func openDerived(fs vfs.FS, dir string, ref FileRef) (*derived, error) {
	m, err := mapFile(fs, dir, ref)
	if err != nil {
		return nil, err
	}
	d := &derived{ref: ref, mapping: m}
	data := m.Bytes()
	switch ref.Kind {
	case GraphFile:
		d.index, err = hnsw.Open(data)
		m.Advise(vfs.Random, 0, len(data))
	case CodesFile:
		d.index, err = quant.Open(data)
		m.Advise(vfs.Random, 0, len(data))
	case SparseFile:
		d.index, err = sparse.Open(data)
	case FieldFile:
		var spec sextant.FieldSpec
		if err = json.Unmarshal([]byte(ref.Config), &spec); err == nil {
			d.index, err = payload.OpenField(spec, data)
		}
	default:
		err = fmt.Errorf("kind %q is not known", ref.Kind)
	}
	if err != nil {
		_ = m.Close() // only read
		return nil, sextant.Errorf(sextant.Corrupt, "%s: %w", path.Join(dir, ref.Name), err)
	}
	return d, nil
}

// usable reports whether the file may be used, and checks it at the first call.
func (d *derived) usable() bool {
	if d.bad.Load() {
		return false
	}
	if (d.ref.Kind == GraphFile || d.ref.Kind == CodesFile) && d.ref.Bytes > checkLimit {
		return true
	}
	d.once.Do(func() {
		if crc32.Checksum(d.mapping.Bytes(), castagnoli) != d.ref.CRC {
			d.bad.Store(true)
		}
	})
	return !d.bad.Load()
}

// lookup returns a derived index that may be used, or the zero T.
func lookup[T any](s *Sealed, kind Kind, of slotKey) (index T) {
	if d := (*s.derived.Load())[derivedKey{kind, of.name, of.seq}]; d != nil && d.usable() {
		index, _ = d.index.(T)
	}
	return index
}

// Needs returns the derived files that the segment should have under a schema and settings and does not have: never built,
// built with other settings, or damaged. Right after they were built it returns none.
func (s *Sealed) Needs(schema Schema, tuning Tuning) (needs []Need) {
	set := *s.derived.Load()
	for _, n := range s.meta.wanted(&schema, &tuning) {
		if d := set[n.key()]; d == nil || d.bad.Load() || d.ref.Config != n.Config {
			needs = append(needs, n)
		}
	}
	return needs
}

// wanted lists all derived files of a segment, fields first, in a fixed order.
func (m *Meta) wanted(schema *Schema, tuning *Tuning) (needs []Need) {
	if m.Rows == 0 {
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(schema.Fields)) {
		slot := schema.Fields[key]
		needs = append(needs, Need{FieldFile, key, slot.Seq, fieldConfig(slot.Spec)})
	}
	for _, v := range m.Vectors {
		if slot, ok := schema.Vectors[v.Name]; !ok || slot.Seq != v.Seq || v.Count == 0 {
			continue
		}
		t := tuning.Vector(v.Name)
		switch v.Spec.Kind {
		case sextant.Sparse:
			needs = append(needs, Need{SparseFile, v.Name, v.Seq, string(v.Spec.Datatype)})
		case sextant.Dense:
			if tuning.IndexingThreshold == 0 || v.Bytes() < tuning.IndexingThreshold || t.HNSW.M == 0 {
				continue
			}
			if quant.Supports(metricOf(v.Spec), elementType(v.Spec.Datatype)) {
				needs = append(needs, Need{CodesFile, v.Name, v.Seq, codesConfig(t)})
			}
			needs = append(needs, Need{GraphFile, v.Name, v.Seq, graphConfig(t)})
		}
	}
	return needs
}

func fieldConfig(spec sextant.FieldSpec) string {
	b, err := json.Marshal(spec)
	if err != nil { // Params is not JSON: no index can be made of it, and OpenField will say so
		return err.Error()
	}
	return string(b)
}

func graphConfig(t VectorTuning) string {
	return fmt.Sprintf("m=%d ef=%d", t.HNSW.M, t.HNSW.EfConstruct)
}

// codesConfig is "bytes" for codes of our own choice, or the configured scalar quantization.
func codesConfig(t VectorTuning) string {
	if t.Quantization == nil || t.Quantization.Scalar == nil {
		return "bytes"
	}
	if q := t.Quantization.Scalar.Quantile; q != nil {
		return fmt.Sprintf("int8 quantile=%v", *q)
	}
	return "int8"
}

func codesOptions(config string) (o quant.Options) {
	o.Uniform = strings.HasPrefix(config, "int8")
	_, _ = fmt.Sscanf(config, "int8 quantile=%g", &o.Quantile) // none: 0, the whole range
	return o
}

// Attach publishes derived files of a segment, also for views that exist. A file takes the place of one with the same key,
// which stays mapped for those who use it. It returns the files that are not needed any more; the caller removes them once
// no manifest names them.
func (s *Sealed) Attach(refs ...FileRef) (replaced []FileRef, err error) {
	for _, ref := range refs {
		d, err := openDerived(s.fs, s.dir, ref)
		if err != nil {
			return replaced, err
		}
		s.mu.Lock()
		set := maps.Clone(*s.derived.Load())
		if before := set[d.key()]; before != nil {
			s.old = append(s.old, before)
			if before.ref.Name != ref.Name {
				replaced = append(replaced, before.ref)
			}
		}
		set[d.key()] = d
		s.derived.Store(&set)
		s.mu.Unlock()
	}
	return replaced, nil
}

// Detach drops derived files that the schema does not ask for any more, and returns them; the caller removes them once no
// manifest names them.
func (s *Sealed) Detach(schema Schema, tuning Tuning) (dropped []FileRef) {
	wanted := map[derivedKey]bool{}
	for _, n := range s.meta.wanted(&schema, &tuning) {
		wanted[n.key()] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	set := maps.Clone(*s.derived.Load())
	for key, d := range set {
		if wanted[key] || key.kind == GraphFile || key.kind == CodesFile { // raising the threshold drops no graph
			continue
		}
		delete(set, key)
		s.old = append(s.old, d)
		dropped = append(dropped, d.ref)
	}
	s.derived.Store(&set)
	return dropped
}

// Distrust drops a derived file by its name, and Needs asks for it.
func (s *Sealed) Distrust(name string) {
	for _, d := range *s.derived.Load() {
		if d.ref.Name == name {
			d.bad.Store(true)
		}
	}
}

// Verify reads all stored blocks and all derived files and compares them with their checksums. Damage of a stored file is
// the error; damaged derived files are dropped, and Needs asks for them.
func (s *Sealed) Verify(ctx context.Context) (err error) {
	defer border(&err)()
	for _, f := range s.stored {
		for b := range int64(len(f.crcs) / 4) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			f.checkBlock(b)
		}
	}
	for _, d := range *s.derived.Load() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if crc32.Checksum(d.mapping.Bytes(), castagnoli) != d.ref.CRC {
			d.bad.Store(true)
		}
	}
	return nil
}
