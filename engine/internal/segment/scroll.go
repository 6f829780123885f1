package segment

import (
	"context"

	"github.com/sextantdb/sextant"
)

// cursor walks the live rows of one piece in id order.
type cursor struct {
	p     *piece
	match func(row uint32) bool // nil: all
	runs  []run                 // of a head: what is left of each
	next  uint32                // of a sealed segment: the next row to look at
	row   uint32                // the row it stands on
	id    sextant.PointID       // and its id
}

// newCursor starts before the first row with an id not below from (nil: before all).
func newCursor(p *piece, from *sextant.PointID, match func(row uint32) bool) *cursor {
	c := &cursor{p: p, match: match}
	switch {
	case p.head != nil:
		c.runs = p.head.head.runs.upTo(p.head)
		if from != nil {
			for i, r := range c.runs {
				c.runs[i] = r.from(*from)
			}
		}
	case from != nil:
		c.next = p.sealed.seek(*from)
	}
	return c
}

// advance moves to the next live row that matches; false at the end.
func (c *cursor) advance() bool {
	for {
		row, ok := c.step()
		if !ok {
			return false
		}
		if !c.p.tombs.has(row) && (c.match == nil || c.match(row)) {
			c.row, c.id = row, c.p.id(row)
			return true
		}
	}
}

// step takes the next row, dead or alive.
func (c *cursor) step() (uint32, bool) {
	if c.p.head == nil {
		c.next++
		return c.next - 1, c.next <= c.p.len()
	}
	for {
		best := -1
		var id sextant.PointID
		for i, r := range c.runs {
			if len(r.rows) == 0 {
				continue
			}
			if other := r.ids.at(r.rows[0]); best < 0 || other.Compare(id) < 0 {
				best, id = i, other
			}
		}
		if best < 0 {
			return 0, false
		}
		row := c.runs[best].rows[0]
		c.runs[best].rows = c.runs[best].rows[1:]
		if row < c.p.len() {
			return row, true
		}
	}
}

// merged walks cursors of several pieces as one, in id order: a heap by id.
type merged struct{ heap []*cursor }

func (m *merged) add(c *cursor) {
	if !c.advance() {
		return
	}
	m.heap = append(m.heap, c)
	for i := len(m.heap) - 1; i > 0; {
		up := (i - 1) / 2
		if m.heap[up].id.Compare(m.heap[i].id) <= 0 {
			return
		}
		m.heap[up], m.heap[i] = m.heap[i], m.heap[up]
		i = up
	}
}

// top returns the cursor on the smallest id, nil at the end.
func (m *merged) top() *cursor {
	if len(m.heap) == 0 {
		return nil
	}
	return m.heap[0]
}

// pop moves on from the smallest id.
func (m *merged) pop() {
	h := m.heap
	if !h[0].advance() {
		h[0] = h[len(h)-1]
		h = h[:len(h)-1]
		m.heap = h
	}
	for i := 0; ; {
		least, left := i, 2*i+1
		for _, kid := range []int{left, left + 1} {
			if kid < len(h) && h[kid].id.Compare(h[least].id) < 0 {
				least = kid
			}
		}
		if least == i {
			return
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}

// Scroll returns up to s.Limit points in id order from s.Offset on, and the id of the first point that was left out, or
// in the order of a field.
func (v *View) Scroll(ctx context.Context, s sextant.Scroll) (
	found []sextant.Record, next *sextant.PointID, err error,
) {
	defer border(&err)()
	r, err := v.newReader(s.WithPayload, s.WithVector)
	if err != nil {
		return nil, nil, err
	}
	if s.OrderBy != nil {
		found, err = v.scrollOrdered(ctx, s, r)
		return found, nil, err
	}
	err = v.walk(ctx, s.Filter, s.Offset, uint32(min(s.Limit, 1<<31)), func(p *piece, row uint32, id sextant.PointID) bool {
		if len(found) == s.Limit {
			next = &id
			return false
		}
		found = append(found, r.record(p, row))
		return true
	})
	return found, next, err
}

// walk visits the points that match in id order, until visit returns false. limit says about how many it will want.
func (v *View) walk(ctx context.Context, f *sextant.Filter, from *sextant.PointID, limit uint32,
	visit func(p *piece, row uint32, id sextant.PointID) bool,
) error {
	var m merged
	for _, p := range v.pieces {
		if p.live() == 0 {
			continue
		}
		filter, err := v.filter(p, f)
		if err != nil {
			return err
		}
		match, err := filter.forWalk(ctx, limit)
		if err != nil {
			return err
		}
		m.add(newCursor(p, from, match))
	}
	for n := 0; ; n++ {
		c := m.top()
		if c == nil {
			return nil
		}
		if n%256 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if !visit(c.p, c.row, c.id) {
			return nil
		}
		m.pop()
	}
}

// SelectIDs returns the ids of the points that match, ascending.
func (v *View) SelectIDs(ctx context.Context, f *sextant.Filter) (ids []sextant.PointID, err error) {
	defer border(&err)()
	err = v.walk(ctx, f, nil, none, func(_ *piece, _ uint32, id sextant.PointID) bool {
		ids = append(ids, id)
		return true
	})
	return ids, err
}
