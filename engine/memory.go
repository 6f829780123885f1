package engine

import (
	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/segment"
)

// MemoryUse is what one component takes, in bytes.
type MemoryUse struct {
	Disk     uint64 // files
	RAM      uint64 // that cannot be evicted
	Cached   uint64 // of the files, in memory now
	Expected uint64 // of the files, wanted in memory by the settings
}

func (u *MemoryUse) add(o MemoryUse) {
	u.Disk += o.Disk
	u.RAM += o.RAM
	u.Cached += o.Cached
	u.Expected += o.Expected
}

// Memory is what a shard takes, by component.
type Memory struct {
	Total   MemoryUse
	Vectors map[string]VectorMemory // by name
	Payload MemoryUse
	Fields  map[string]MemoryUse // by field
	IDs     MemoryUse
	Log     MemoryUse
}

// VectorMemory is what one vector name takes.
type VectorMemory struct {
	Sparse                    bool
	Storage, Index, Quantized MemoryUse
}

// Memory adds up what the shard takes.
func (s *Shard) Memory() (Memory, error) {
	m := Memory{Vectors: map[string]VectorMemory{}, Fields: map[string]MemoryUse{}}
	v := s.views.Get()
	if v == nil {
		return m, errClosed
	}
	defer v.Release()
	a := accountant{m: &m, tuning: s.tuning.Load()}
	schema := v.Schema()
	for name, slot := range schema.Vectors {
		m.Vectors[name] = VectorMemory{Sparse: slot.Spec.Kind == sextant.Sparse}
	}
	for key := range schema.Fields {
		m.Fields[key] = MemoryUse{}
	}
	info, err := v.Info()
	if err != nil {
		return m, err
	}
	for _, g := range info.Segments {
		if g.Head {
			a.head(g)
		}
	}
	for _, p := range v.Parts() {
		if p.Sealed != nil {
			a.sealed(p.Sealed)
		}
	}
	l := s.log.Stats()
	m.Log.Disk = uint64(l.Bytes)
	m.Total.add(m.Payload)
	m.Total.add(m.IDs)
	m.Total.add(m.Log)
	for _, u := range m.Vectors {
		m.Total.add(u.Storage)
		m.Total.add(u.Index)
		m.Total.add(u.Quantized)
	}
	for _, u := range m.Fields {
		m.Total.add(u)
	}
	return m, nil
}

// accountant books bytes to components.
type accountant struct {
	m      *Memory
	tuning *segment.Tuning
}

func (a *accountant) vector(name string, book func(v *VectorMemory)) {
	v, ok := a.m.Vectors[name]
	if !ok {
		return // of a name that was dropped; the next build takes it out
	}
	book(&v)
	a.m.Vectors[name] = v
}

func (a *accountant) head(g segment.SegmentInfo) {
	rest := g.RAM
	take := func(n uint64) uint64 {
		n = min(n, rest)
		rest -= n
		return n
	}
	for name, info := range g.Vectors {
		a.vector(name, func(v *VectorMemory) { v.Storage.RAM += take(info.Bytes) })
	}
	a.m.Payload.RAM += take(g.PayloadBytes)
	a.m.IDs.RAM += rest
}

func (a *accountant) sealed(s *segment.Sealed) {
	meta := s.Meta()
	own := map[string]bool{} // vector names with a file of their own
	for _, f := range meta.Files {
		if f.Kind == segment.VectorFile {
			own[f.Of] = true
		}
	}
	s.Resident(func(ref segment.FileRef, resident int64) {
		use := MemoryUse{Disk: uint64(ref.Bytes), Cached: uint64(resident)}
		t := a.tuning.Vector(ref.Of)
		switch ref.Kind {
		case segment.MainFile:
			a.main(&meta, use, own)
		case segment.VectorFile:
			a.vector(ref.Of, func(v *VectorMemory) { v.Storage.add(placed(use, t.Memory)) })
		case segment.GraphFile:
			a.vector(ref.Of, func(v *VectorMemory) { v.Index.add(placed(use, t.GraphMemory)) })
		case segment.SparseFile:
			a.vector(ref.Of, func(v *VectorMemory) { v.Index.add(placed(use, t.Memory)) })
		case segment.CodesFile:
			a.vector(ref.Of, func(v *VectorMemory) { v.Quantized.add(placed(use, t.Memory)) })
		case segment.FieldFile:
			if u, ok := a.m.Fields[ref.Of]; ok {
				u.add(placed(use, sextant.Cached))
				a.m.Fields[ref.Of] = u
			}
		}
	})
}

// main divides the file that holds ids, payloads and small vectors by what each should take.
func (a *accountant) main(meta *segment.Meta, use MemoryUse, own map[string]bool) {
	rest := use
	take := func(bytes int64, where sextant.Memory) MemoryUse {
		part := MemoryUse{Disk: min(uint64(max(bytes, 0)), rest.Disk)}
		if use.Disk > 0 {
			part.Cached = min(uint64(float64(use.Cached)*float64(part.Disk)/float64(use.Disk)), rest.Cached)
		}
		rest.Disk -= part.Disk
		rest.Cached -= part.Cached
		return placed(part, where)
	}
	a.m.Payload.add(take(meta.Payload+8*int64(meta.Rows), a.tuning.PayloadMemory))
	for _, vm := range meta.Vectors {
		if !own[vm.Name] {
			a.vector(vm.Name, func(v *VectorMemory) { v.Storage.add(take(vm.Bytes(), a.tuning.Vector(vm.Name).Memory)) })
		}
	}
	a.m.IDs.add(placed(rest, sextant.Cached))
}

// placed adds what should be in memory.
func placed(u MemoryUse, where sextant.Memory) MemoryUse {
	if where != sextant.Cold {
		u.Expected = u.Disk
	}
	return u
}
