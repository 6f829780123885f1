package segment

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/vfs"
)

// Warm loads what the settings want in memory into the page cache and checks it on the way, so that reads need not. It is
// for the background: a segment can be read before and meanwhile. Damage of a stored file is the error; a damaged
// derived file is dropped.
func (s *Sealed) Warm(ctx context.Context, tuning Tuning) (err error) {
	defer border(&err)()
	for _, f := range s.stored {
		for i := range f.sections {
			sec := &f.sections[i]
			if s.placement(sec.name, &tuning) == sextant.Cold {
				continue
			}
			for off := int64(0); off < sec.n; off += warmStep {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				n := min(warmStep, sec.n-off)
				f.mapping.Advise(vfs.Warm, int(sec.off+off), int(n))
				sec.check(off, n)
			}
		}
	}
	for _, d := range *s.derived.Load() {
		if d.placement(&tuning) == sextant.Cold {
			continue
		}
		for off := 0; off < len(d.mapping.Bytes()); off += warmStep {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			d.mapping.Advise(vfs.Warm, off, min(warmStep, len(d.mapping.Bytes())-off))
		}
		d.usable()
	}
	return nil
}

const warmStep = 4 << 20

// placement returns where a section of stored data is wanted. Ids and versions are small and needed by everything.
func (s *Sealed) placement(section string, tuning *Tuning) sextant.Memory {
	if strings.HasPrefix(section, "payload") {
		return tuning.PayloadMemory
	}
	for i, v := range s.meta.Vectors {
		if strings.HasPrefix(section, vectorSection(i, "")) {
			return tuning.Vector(v.Name).Memory
		}
	}
	return sextant.Cached
}

func (d *derived) placement(tuning *Tuning) sextant.Memory {
	switch t := tuning.Vector(d.ref.Of); d.ref.Kind {
	case GraphFile:
		return t.GraphMemory
	case CodesFile:
		return codesMemory(t)
	case SparseFile:
		return t.Memory
	}
	var spec sextant.FieldSpec
	var params struct {
		OnDisk *bool           `json:"on_disk"`
		Memory *sextant.Memory `json:"memory"`
	}
	if json.Unmarshal([]byte(d.ref.Config), &spec) != nil || len(spec.Params) == 0 ||
		json.Unmarshal(spec.Params, &params) != nil {
		return sextant.Pinned
	}
	return placement(params.Memory, params.OnDisk, sextant.Pinned)
}

// codesMemory follows the vectors unless the quantization says otherwise.
func codesMemory(t VectorTuning) sextant.Memory {
	if t.Quantization == nil || t.Quantization.Scalar == nil {
		return t.Memory
	}
	q := t.Quantization.Scalar
	switch {
	case q.Memory != nil:
		return *q.Memory
	case q.AlwaysRAM != nil && *q.AlwaysRAM:
		return sextant.Pinned
	}
	return t.Memory
}
