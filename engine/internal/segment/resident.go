package segment

import "path"

// Resident tells of each file how many of its bytes are in memory now.
func (s *Sealed) Resident(yield func(ref FileRef, bytes int64)) {
	for _, f := range s.stored {
		for _, ref := range s.meta.Files {
			if ref.Name == path.Base(f.name) {
				yield(ref, f.mapping.Resident())
			}
		}
	}
	for _, d := range *s.derived.Load() {
		yield(d.ref, d.mapping.Resident())
	}
}
