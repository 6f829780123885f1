package segment

import "math/bits"

// tombstones marks the dead rows of one segment: a bit per row in chunks of 4096, chunks in pages of 64. Chunks and pages
// are copied before the first change in each epoch, so that the value a view took stays as it was.
type tombstones struct {
	pages []*tombPage // nil: nothing dead there
	dead  uint32
}

const (
	chunkRows  = 4096
	chunkWords = chunkRows / 64
	pageChunks = 64
	pageRows   = chunkRows * pageChunks
)

type tombPage struct {
	epoch  uint64
	chunks [pageChunks]*tombChunk
}

type tombChunk struct {
	epoch uint64
	words [chunkWords]uint64
}

func (t *tombstones) has(row uint32) bool {
	c := t.chunk(row)
	return c != nil && c.words[row%chunkRows/64]>>(row%64)&1 != 0
}

func (t *tombstones) chunk(row uint32) *tombChunk {
	if p := int(row / pageRows); p < len(t.pages) && t.pages[p] != nil {
		return t.pages[p].chunks[row%pageRows/chunkRows]
	}
	return nil
}

// set marks a row dead and reports whether it was alive. The writer changes only what it made since the last view; epoch
// rises with each view.
func (t *tombstones) set(row uint32, epoch uint64) bool {
	if t.has(row) {
		return false
	}
	p, c := int(row/pageRows), row%pageRows/chunkRows
	// The list of pages belongs to the views that hold it: it is copied with every page. It is short.
	if p >= len(t.pages) || t.pages[p] == nil || t.pages[p].epoch != epoch {
		page := &tombPage{epoch: epoch}
		if p < len(t.pages) && t.pages[p] != nil {
			page.chunks = t.pages[p].chunks
		}
		pages := make([]*tombPage, max(p+1, len(t.pages)))
		copy(pages, t.pages)
		pages[p] = page
		t.pages = pages
	}
	page := t.pages[p]
	chunk := page.chunks[c]
	if chunk == nil || chunk.epoch != epoch {
		fresh := &tombChunk{epoch: epoch}
		if chunk != nil {
			fresh.words = chunk.words
		}
		page.chunks[c], chunk = fresh, fresh
	}
	chunk.words[row%chunkRows/64] |= 1 << (row % 64)
	t.dead++
	return true
}

// alive returns the rows below n that are not dead as a dense bitset; nil if none is dead.
func (t *tombstones) alive(n uint32) []uint64 {
	if t.dead == 0 {
		return nil
	}
	out := make([]uint64, (n+63)/64)
	for i := range out {
		out[i] = ^uint64(0)
	}
	if n%64 != 0 {
		out[len(out)-1] = 1<<(n%64) - 1
	}
	t.each(func(first uint32, words *[chunkWords]uint64) {
		for i, w := range words {
			if at := int(first)/64 + i; w != 0 && at < len(out) {
				out[at] &^= w
			}
		}
	})
	return out
}

// each visits the chunks that may hold dead rows, ascending.
func (t *tombstones) each(visit func(first uint32, words *[chunkWords]uint64)) {
	for p, page := range t.pages {
		if page == nil {
			continue
		}
		for c, chunk := range page.chunks {
			if chunk != nil {
				visit(uint32(p*pageRows+c*chunkRows), &chunk.words)
			}
		}
	}
}

// since visits the rows that are dead in t but not in before, an older value of the same set, ascending. What both
// share is skipped unseen.
func (t *tombstones) since(before *tombstones, visit func(row uint32)) {
	for p, page := range t.pages {
		var old *tombPage
		if p < len(before.pages) {
			old = before.pages[p]
		}
		if page == nil || page == old {
			continue
		}
		for c, chunk := range page.chunks {
			var oldChunk *tombChunk
			if old != nil {
				oldChunk = old.chunks[c]
			}
			if chunk == nil || chunk == oldChunk {
				continue
			}
			for i, w := range chunk.words {
				if oldChunk != nil {
					w &^= oldChunk.words[i]
				}
				for ; w != 0; w &= w - 1 {
					visit(uint32(p*pageRows+c*chunkRows+i*64) + uint32(bits.TrailingZeros64(w)))
				}
			}
		}
	}
}
