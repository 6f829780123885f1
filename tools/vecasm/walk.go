package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

type vector = reg.VecVirtual

// kernel describes one computation. An accumulator is a set of sums registers per row; combine folds such a set into
// one register per output.
type kernel struct {
	name   string
	doc    string
	out    string // Go type of the results; two outputs are out and out2
	twoOut bool
	shift  int  // log2 of the bytes of an element
	step   int  // bytes of a row that one step consumes
	elems  int  // elements that one step consumes
	unroll int  // steps per turn of the group loop, each with accumulators of its own
	sums   int  // registers per accumulator
	last   bool // the tail is read as the last whole step of the row, with what was seen before masked out

	vector  func() vector
	consts  func() any                                               // loads constants
	mask    func(elems reg.GPVirtual) any                            // prepares the mask of the tail
	query   func(m Mem, c any, mask any) []vector                    // loads query; mask is nil for a whole step
	accum   func(row Mem, q []vector, acc []vector, c any, mask any) // adds one step
	add     func(src, dst vector)
	combine func(acc []vector) []vector
	reduce  func(rows [4]vector) reg.VecVirtual // four registers to the four sums in an XMM register
	finish  func(x reg.VecVirtual)              // turns four sums into results in place
}

// walk is the state of a kernel under construction.
type walk struct {
	kernel
	ids          bool
	base, q, out reg.GPVirtual
	out2         reg.GPVirtual
	list, n      reg.GPVirtual
	stride       reg.GPVirtual
	whole        reg.GPVirtual // bytes in whole steps
	tail         reg.GPVirtual // byte offset at which the tail is read
	masked       any
	c            any
}

func (k kernel) batch() {
	sig := fmt.Sprintf("func(base *byte, stride, limit int, query *byte, dim int, ids *uint32, n int, out *%s) bool", k.out)
	if k.twoOut {
		sig = fmt.Sprintf("func(base *byte, stride, limit int, query *byte, dim int, ids *uint32, n int, out, out2 *%s) bool", k.out)
	}
	k.start(k.name+"Batch", sig, "the rows ids[:n]; it stops and returns false at a row that begins beyond limit").build(true)
}

func (k kernel) span() {
	sig := fmt.Sprintf("func(base *byte, stride int, query *byte, dim int, n int, out *%s)", k.out)
	if k.twoOut {
		sig = fmt.Sprintf("func(base *byte, stride int, query *byte, dim int, n int, out, out2 *%s)", k.out)
	}
	k.start(k.name+"Span", sig, "n rows from base on").build(false)
}

func (k kernel) start(name, sig, rows string) *walk {
	TEXT(name, NOSPLIT, sig)
	Pragma("noescape")
	Doc(fmt.Sprintf("%s computes %s over %s.", name, k.doc, rows))
	return &walk{kernel: k}
}

func param(name string) reg.GPVirtual { return Load(Param(name), GP64()).(reg.GPVirtual) }

func (w *walk) build(ids bool) {
	w.ids = ids
	w.base, w.q, w.n, w.out = param("base"), param("query"), param("n"), param("out")
	if w.twoOut {
		w.out2 = param("out2")
	}
	if ids {
		w.list = param("ids")
	} else {
		w.stride = param("stride")
	}
	w.prepareTail()
	w.c = w.consts()

	Label("next")
	CMPQ(w.n, Imm(4))
	JB(LabelRef("rest"))
	rows := w.four()
	Label("group")
	w.group(rows)
	CMPQ(w.n, Imm(4))
	JB(LabelRef("done"))
	SUBQ(Imm(4), w.n)
	JMP(LabelRef("next"))

	Label("rest")
	CMPQ(w.n, Imm(1))
	JB(LabelRef("done"))
	JE(LabelRef("single"))
	w.fewer(rows)
	JMP(LabelRef("group"))

	Label("single")
	w.single(rows[0])

	Label("done")
	VZEROUPPER()
	if ids {
		ok := GP8()
		MOVB(U8(1), ok)
		Store(ok, ReturnIndex(0))
	}
	RET()
	if ids {
		Label("bad")
		VZEROUPPER()
		no := GP8()
		MOVB(U8(0), no)
		Store(no, ReturnIndex(0))
		RET()
	}
}

// prepareTail splits dim into whole steps and a tail.
func (w *walk) prepareTail() {
	dim := param("dim")
	w.whole, w.tail = GP64(), GP64()
	MOVQ(dim, w.whole)
	ANDQ(I32(-w.elems), w.whole)
	left := GP64()
	MOVQ(dim, left)
	SUBQ(w.whole, left)
	if w.shift > 0 {
		SHLQ(Imm(uint64(w.shift)), w.whole)
	}
	if w.last {
		MOVQ(dim, w.tail)
		if w.shift > 0 {
			SHLQ(Imm(uint64(w.shift)), w.tail)
		}
		SUBQ(I32(w.step), w.tail)
	} else {
		MOVQ(w.whole, w.tail)
	}
	// One register says whether there is a tail: without one, tail is -1, which no offset is.
	w.masked = w.mask(left)
	none := GP64()
	MOVQ(I32(-1), none)
	TESTQ(left, left)
	CMOVQEQ(none, w.tail)
}

// row loads the address of the i-th next row.
func (w *walk) row(i Op, p reg.GPVirtual) {
	switch i := i.(type) {
	case Mem:
		MOVL(i, p.As32())
	}
	IMULQ(NewParamAddr("stride", 8), p)
	CMPQ(p, NewParamAddr("limit", 16))
	JGT(LabelRef("bad"))
	ADDQ(w.base, p)
}

// four addresses the next four rows and moves on.
func (w *walk) four() [4]reg.GPVirtual {
	var p [4]reg.GPVirtual
	for i := range p {
		p[i] = GP64()
	}
	if w.ids {
		for i := range p {
			w.row(Mem{Base: w.list, Disp: 4 * i}, p[i])
		}
		ADDQ(Imm(16), w.list)
		return p
	}
	MOVQ(w.base, p[0])
	LEAQ(Mem{Base: w.base, Index: w.stride, Scale: 1}, p[1])
	LEAQ(Mem{Base: w.base, Index: w.stride, Scale: 2}, p[2])
	LEAQ(Mem{Base: p[1], Index: w.stride, Scale: 2}, p[3])
	LEAQ(Mem{Base: w.base, Index: w.stride, Scale: 4}, w.base)
	return p
}

// fewer addresses two or three rows; the last of them stands in for the missing.
func (w *walk) fewer(p [4]reg.GPVirtual) {
	if w.ids {
		w.row(Mem{Base: w.list}, p[0])
		w.row(Mem{Base: w.list, Disp: 4}, p[1])
		w.row(Mem{Base: w.list, Index: w.n, Scale: 4, Disp: -4}, p[2])
		MOVQ(p[2], p[3])
		return
	}
	MOVQ(w.base, p[0])
	LEAQ(Mem{Base: w.base, Index: w.stride, Scale: 1}, p[1])
	LEAQ(Mem{Base: w.base, Index: w.stride, Scale: 2}, p[2])
	CMPQ(w.n, Imm(3))
	CMOVQNE(p[1], p[2])
	MOVQ(p[2], p[3])
}

func (w *walk) newAcc() []vector {
	acc := make([]vector, w.sums)
	for i := range acc {
		acc[i] = w.vector()
		zero(acc[i])
	}
	return acc
}

// zero clears a register in its full width: of a write to a part, avo would think that it keeps the rest.
func zero(v vector) {
	if v.Size() == 64 {
		VPXORD(v, v, v)
	} else {
		VPXOR(v, v, v)
	}
}

// group scores the four rows p and writes the results, all or the first n.
func (w *walk) group(p [4]reg.GPVirtual) {
	acc := make([][4][]vector, w.unroll)
	for u := range acc {
		for r := range p {
			acc[u][r] = w.newAcc()
		}
	}
	off := GP64()
	XORQ(off, off)
	step := func(u, disp int, mask any) {
		q := w.query(Mem{Base: w.q, Index: off, Scale: 1, Disp: disp}, w.c, mask)
		for r := range p {
			w.accum(Mem{Base: p[r], Index: off, Scale: 1, Disp: disp}, q, acc[u][r], w.c, mask)
		}
	}
	w.loops("group", off, w.unroll, func(u, disp int) { step(u, disp, nil) })
	CMPQ(w.tail, I8(-1))
	JE(LabelRef("group_reduce"))
	MOVQ(w.tail, off)
	step(0, 0, w.masked)
	Label("group_reduce")
	for u := 1; u < w.unroll; u++ {
		for r := range p {
			for s := range w.sums {
				w.add(acc[u][r][s], acc[0][r][s])
			}
		}
	}
	var sums [4][]vector
	for r := range p {
		sums[r] = w.combine(acc[0][r])
	}
	outs := []reg.GPVirtual{w.out, w.out2}[:len(sums[0])]
	var results []reg.VecVirtual
	for o := range outs {
		x := w.reduce([4]vector{sums[0][o], sums[1][o], sums[2][o], sums[3][o]})
		w.finish(x)
		results = append(results, x)
	}
	CMPQ(w.n, Imm(4))
	JB(LabelRef("group_part"))
	for o, out := range outs {
		VMOVUPS(results[o].AsX(), Mem{Base: out})
		ADDQ(Imm(16), out)
	}
	JMP(LabelRef("group_end"))
	Label("group_part")
	for o, out := range outs {
		VMOVLPS(results[o].AsX(), Mem{Base: out})
	}
	CMPQ(w.n, Imm(3))
	JNE(LabelRef("group_end"))
	for o, out := range outs {
		VEXTRACTPS(Imm(2), results[o].AsX(), Mem{Base: out, Disp: 8})
	}
	Label("group_end")
}

// loops runs step over the whole steps of a row, several per turn and then one by one.
func (w *walk) loops(name string, off reg.GPVirtual, unroll int, step func(u, disp int)) {
	if unroll > 1 {
		end := GP64()
		LEAQ(Mem{Base: w.whole, Disp: -unroll * w.step}, end)
		JMP(LabelRef(name + "_many_test"))
		Label(name + "_many")
		for u := range unroll {
			step(u, u*w.step)
		}
		ADDQ(I32(unroll*w.step), off)
		Label(name + "_many_test")
		CMPQ(off, end)
		JLE(LabelRef(name + "_many"))
	}
	JMP(LabelRef(name + "_one_test"))
	Label(name + "_one")
	step(0, 0)
	ADDQ(I32(w.step), off)
	Label(name + "_one_test")
	CMPQ(off, w.whole)
	JLT(LabelRef(name + "_one"))
}

// single scores the one row that is left.
func (w *walk) single(p reg.GPVirtual) {
	if w.ids {
		w.row(Mem{Base: w.list}, p)
	} else {
		MOVQ(w.base, p)
	}
	var acc [4][]vector
	for u := range acc {
		acc[u] = w.newAcc()
	}
	off := GP64()
	XORQ(off, off)
	step := func(u, disp int, mask any) {
		q := w.query(Mem{Base: w.q, Index: off, Scale: 1, Disp: disp}, w.c, mask)
		w.accum(Mem{Base: p, Index: off, Scale: 1, Disp: disp}, q, acc[u], w.c, mask)
	}
	w.loops("single", off, 4, func(u, disp int) { step(u, disp, nil) })
	CMPQ(w.tail, I8(-1))
	JE(LabelRef("single_reduce"))
	MOVQ(w.tail, off)
	step(0, 0, w.masked)
	Label("single_reduce")
	for s := range w.sums {
		w.add(acc[1][s], acc[0][s])
		w.add(acc[3][s], acc[2][s])
		w.add(acc[2][s], acc[0][s])
	}
	for o, sum := range w.combine(acc[0]) {
		x := w.reduce([4]vector{sum, sum, sum, sum})
		w.finish(x)
		VMOVSS(x.AsX(), Mem{Base: []reg.GPVirtual{w.out, w.out2}[o]})
	}
}
