package hnsw

// chooser picks diverse neighbours (algorithm 4): the nearest first, and then only those that are nearer to
// the vertex than to any picked before.
type chooser struct {
	pairs  PairSpace
	left   []uint64 // candidates neither picked nor refused
	mine   []uint64 // candidates of trim
	rows   []uint32
	scores []float32
	picks  []uint32
}

// choose picks up to limit of the candidates, which come best first, into picks[:0].
func (c *chooser) choose(l *level, candidates []uint64, limit int, picks []uint32) []uint32 {
	picks = picks[:0]
	c.left = append(c.left[:0], candidates...)
	for left := c.left; len(left) > 0; {
		pick := packedID(left[0])
		picks = append(picks, pick)
		if len(picks) == limit {
			break
		}
		left = c.refuse(l, pick, left[1:])
	}
	return picks
}

// refuse drops the candidates that are nearer to a pick than to the vertex. Scoring all that is left against
// each pick makes large batches, and no comparison that a scan candidate by candidate would not make too.
func (c *chooser) refuse(l *level, pick uint32, left []uint64) []uint64 {
	if len(left) == 0 {
		return left
	}
	rows, scores := c.room(len(left))
	for i, candidate := range left {
		rows[i] = rowOn(l, packedID(candidate))
	}
	c.pairs.ScoreRow(rowOn(l, pick), rows, scores)
	kept := left[:0]
	for i, candidate := range left {
		if scores[i] <= packedScore(candidate) {
			kept = append(kept, candidate)
		}
	}
	return kept
}

// trim chooses up to limit of the neighbours of a vertex; the result is valid until the next call.
func (c *chooser) trim(l *level, vertex uint32, ids []uint32, limit int) []uint32 {
	rows, scores := c.room(len(ids))
	for i, id := range ids {
		rows[i] = rowOn(l, id)
	}
	c.pairs.ScoreRow(rowOn(l, vertex), rows, scores)
	c.mine = c.mine[:0]
	for i, id := range ids {
		c.mine = append(c.mine, pack(scores[i], id))
	}
	sortBestFirst(c.mine)
	c.picks = c.choose(l, c.mine, limit, c.picks)
	return c.picks
}

func (c *chooser) room(n int) ([]uint32, []float32) {
	if len(c.rows) < n {
		c.rows, c.scores = make([]uint32, 2*n), make([]float32, 2*n)
	}
	return c.rows[:n], c.scores[:n]
}

func rowOn(l *level, id uint32) uint32 {
	if l.rows == nil {
		return id
	}
	return l.rows[id]
}
