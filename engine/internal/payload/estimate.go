package payload

import (
	"cmp"
	"slices"
)

// bounds are how many rows match: at least, probably, at most.
type bounds struct{ min, exp, max float64 }

func (b bounds) clip(n float64) bounds {
	b.max = min(max(b.max, 0), n)
	b.min = min(max(b.min, 0), b.max)
	b.exp = min(max(b.exp, b.min), b.max)
	return b
}

func (c *compiler) constant(truth bool) node {
	if truth {
		n := float64(c.n)
		return node{op: opTrue, est: bounds{n, n, n}}
	}
	return node{op: opFalse}
}

// unknown completes a node that no index knows anything about.
func (c *compiler) unknown(nd node) node {
	n := float64(c.n)
	nd.class, nd.est = scan, bounds{0, n / 2, n}
	if nd.op > opSlice {
		nd.reads = n
	}
	return nd
}

// adopt lets the node use what an index knows.
func (nd *node) adopt(p probe, n uint32) {
	p.est = p.est.clip(float64(n))
	nd.probe, nd.est, nd.reads = &p, p.est, min(p.reads, float64(n))
	nd.class = mixed
	if p.reads == 0 {
		nd.class = pure
	}
}

func (c *compiler) byID(nd node) node {
	p := probe{}
	var rows []uint32
	for _, id := range nd.ids {
		c.src.Rows(id, func(row uint32) { rows = append(rows, row) })
	}
	p.base = []rowSet{{list: rows, count: uint32(len(rows))}}
	n := float64(len(rows))
	p.est = bounds{n, n, n}
	nd.adopt(p, c.n)
	return nd
}

// classOf joins the classes of the parts of a clause.
func classOf(kids []node) class {
	joined := kids[0].class
	for i := range kids {
		if kids[i].class != joined {
			return mixed
		}
	}
	return joined
}

// cheapFirst orders the parts of a clause so that the first ones decide soonest at the least cost.
func cheapFirst(kids []node, rarest bool) {
	slices.SortStableFunc(kids, func(a, b node) int {
		payload := func(nd *node) int {
			if nd.op > opSlice {
				return 1
			}
			return 0
		}
		by := cmp.Compare(a.est.exp, b.est.exp)
		if !rarest {
			by = -by
		}
		return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(payload(&a), payload(&b)), by)
	})
}

func (c *compiler) and(kids []node) node {
	var list []node
	for _, k := range kids {
		switch k.op {
		case opTrue:
		case opFalse:
			return k
		case opAnd:
			list = append(list, k.kids...)
		default:
			list = append(list, k)
		}
	}
	if len(list) == 0 {
		return c.constant(true)
	}
	if len(list) == 1 {
		return list[0]
	}
	cheapFirst(list, true)
	nd := node{op: opAnd, kids: list, class: classOf(list)}
	n := float64(c.n)
	nd.est = bounds{min: n, exp: n, max: n}
	for _, k := range list {
		// What came before has narrowed the candidates that this one reads.
		nd.reads += k.reads * share(nd.est.exp, n)
		nd.est.min += k.est.min - n
		nd.est.exp *= share(k.est.exp, n)
		nd.est.max = min(nd.est.max, k.est.max)
	}
	nd.est = nd.est.clip(n)
	return nd
}

func share(part, n float64) float64 {
	if n == 0 {
		return 0
	}
	return part / n
}

func (c *compiler) or(kids []node) node {
	var list []node
	for _, k := range kids {
		switch k.op {
		case opTrue:
			return k
		case opFalse:
		case opOr:
			list = append(list, k.kids...)
		default:
			list = append(list, k)
		}
	}
	if len(list) == 0 {
		return c.constant(false)
	}
	if len(list) == 1 {
		return list[0]
	}
	cheapFirst(list, false)
	nd := node{op: opOr, kids: list, class: classOf(list)}
	n, missed := float64(c.n), 1.0
	for _, k := range list {
		nd.reads += k.reads * missed
		missed *= 1 - share(k.est.exp, n)
		nd.est.min = max(nd.est.min, k.est.min)
		nd.est.max += k.est.max
	}
	nd.est.exp = n * (1 - missed)
	nd.est = nd.est.clip(n)
	return nd
}

func (c *compiler) not(kid node) node {
	switch kid.op {
	case opTrue:
		return c.constant(false)
	case opFalse:
		return c.constant(true)
	case opNot:
		return kid.kids[0]
	}
	n := float64(c.n)
	return node{op: opNot, kids: []node{kid}, class: kid.class, reads: kid.reads,
		est: bounds{n - kid.est.max, n - kid.est.exp, n - kid.est.min}}
}

func (c *compiler) atLeast(kids []node, least int) node {
	var list []node
	for _, k := range kids {
		switch k.op {
		case opTrue:
			least--
		case opFalse:
		default:
			list = append(list, k)
		}
	}
	switch {
	case least <= 0:
		return c.constant(true)
	case len(list) < least:
		return c.constant(false)
	case len(list) == least:
		return c.and(list)
	case least == 1:
		return c.or(list)
	}
	cheapFirst(list, false)
	nd := node{op: opAtLeast, kids: list, least: least, class: classOf(list)}
	n, sum := float64(c.n), 0.0
	for _, k := range list {
		nd.reads += k.reads
		sum += k.est.max
	}
	// Each match is counted by least of the kids at least.
	nd.est = bounds{0, sum / float64(least) / 2, sum / float64(least)}.clip(n)
	return nd
}
