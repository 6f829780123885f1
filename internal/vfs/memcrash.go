package vfs

import "math/rand/v2"

const (
	pageSize   = 4096 // what a file system writes back at once
	sectorSize = 512  // what a disk writes at once
)

// survivingNames says which names a power loss leaves in each directory: the durable ones and a random prefix of the
// changes that came later.
func (m *Mem) survivingNames(r *rand.Rand) func(*node) map[string]*node {
	views := map[*node]map[string]*node{}
	view := func(d *node) map[string]*node {
		if views[d] == nil {
			v := map[string]*node{}
			for name, n := range d.durable {
				v[name] = n
			}
			views[d] = v
		}
		return views[d]
	}
	stopped := map[*node]bool{nil: false}
	keep := r.IntN(4) // of ten changes that could be kept, how many are lost on average
	for _, c := range m.names {
		if stopped[c.dirs[0]] || stopped[c.dirs[1]] || r.IntN(10) < keep {
			for _, d := range c.dirs {
				if d != nil {
					stopped[d] = true
				}
			}
			continue
		}
		c.apply(view)
	}
	return view
}

// heir copies what is left of a disk.
type heir struct {
	mem   *Mem
	r     *rand.Rand
	names func(*node) map[string]*node
	done  map[*node]*node // a file with two names is copied once
}

func (h *heir) inherit(n *node) *node {
	if have := h.done[n]; have != nil {
		have.links++
		return have
	}
	next := &node{}
	h.done[n] = next
	if n.kids != nil {
		next.kids, next.durable = map[string]*node{}, map[string]*node{}
		view := h.names(n)
		for _, name := range sortedNames(view) {
			kid := h.inherit(view[name])
			next.kids[name], next.durable[name] = kid, kid
		}
		return next
	}
	next.links = 1
	next.data = survivingBytes(h.r, n)
	next.synced, next.clean = next.data, len(next.data)
	h.mem.used += int64(len(next.data))
	return next
}

// survivingBytes mixes, behind the part where memory and disk agree, pages of both. The length may be the old one, the
// new one or between; a page that reached the disk only in length is zero; a page may be torn between sectors.
func survivingBytes(r *rand.Rand, n *node) []byte {
	old, now := n.synced, n.data
	switch r.IntN(5) {
	case 0:
		return old[:len(old):len(old)]
	case 1:
		return now[:len(now):len(now)]
	}
	low, high := min(len(old), len(now)), max(len(old), len(now))
	size := high
	switch r.IntN(3) {
	case 0:
		size = low
	case 1:
		size = low + r.IntN(high-low+1)
	}
	out := make([]byte, size)
	copy(out, now[:min(n.clean, size)])
	for from := n.clean; from < size; {
		end := min(size, (from/pageSize+1)*pageSize)
		kind := r.IntN(3)
		for from < end {
			next := min(end, (from/sectorSize+1)*sectorSize)
			source := old
			if kind == 1 || kind == 2 && r.IntN(2) == 0 {
				source = now
			}
			if from < len(source) {
				copy(out[from:next], source[from:])
			}
			from = next
		}
	}
	return out
}
