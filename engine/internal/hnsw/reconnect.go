package hnsw

import "context"

// reconnect makes every vertex reachable from the entry along level 0: choosing anew among the links of a
// full vertex may have dropped the last link to a neighbour. Each lost vertex is linked from a vertex near
// it that has room; where none has, as among many equal vectors, it is put between its nearest neighbour and
// the last link of that. Rounds are bounded; a second one is needed only if a lost vertex that was full led to
// others.
func (b *builder) reconnect(ctx context.Context) error {
	if len(b.order) == 0 {
		return nil
	}
	in := newInserter(b)
	in.live = false
	for range 4 {
		lost := b.unreached(ctx)
		for _, vertex := range lost {
			if err := in.rescue(ctx, vertex); err != nil {
				return err
			}
		}
		if len(lost) == 0 {
			break
		}
	}
	return ctx.Err()
}

// unreached lists the vertices no path leads to, walking in the order of discovery. A vertex found lost is
// itself walked from, so that of an island only its first vertex is listed.
func (b *builder) unreached(ctx context.Context) (lost []uint32) {
	l := &b.g.base
	seen := newVisited(l.n)
	queue := make([]uint32, 0, l.n)
	steps := 0
	flood := func(from uint32) {
		if !seen.mark(from) {
			return
		}
		queue = append(queue[:0], from)
		for len(queue) > 0 {
			if steps++; steps%4096 == 0 && ctx.Err() != nil {
				return
			}
			id := queue[len(queue)-1]
			queue = queue[:len(queue)-1]
			for _, to := range l.block(id) {
				if seen.mark(to) {
					queue = append(queue, to)
				}
			}
		}
	}
	flood(b.order[0])
	for id := range uint32(l.n) {
		if !seen.bitSet(id) {
			lost = append(lost, id)
			flood(id)
		}
	}
	if ctx.Err() != nil {
		return nil // the caller sees it
	}
	return lost
}

// rescue links a lost vertex from one that the walk towards it finds.
func (in *inserter) rescue(ctx context.Context, vertex uint32) error {
	g := in.b.g
	in.aim(g.row(vertex))
	entry, err := in.enter(g, in.guide)
	if err != nil {
		return err
	}
	l := &g.base
	if err := in.find(ctx, 0, l, &in.base, entry); err != nil {
		return err
	}
	for _, c := range in.beam.at {
		if id := packedID(c); id != vertex && l.addLink(id, vertex) {
			return nil
		}
	}
	for _, c := range in.beam.at {
		if id := packedID(c); id != vertex {
			last := &l.block(id)[l.limit-1]
			if !l.addLink(vertex, *last) {
				l.block(vertex)[l.limit-1] = *last // nothing depends on the links of a lost vertex
			}
			*last = vertex
			return nil
		}
	}
	return nil
}

// addLink reports whether there was room.
func (l *level) addLink(from, to uint32) bool {
	block := l.block(from)[:l.limit]
	for i, id := range block {
		if id == from {
			block[i] = to
			return true
		}
	}
	return false
}
