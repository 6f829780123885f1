package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// window is a table of eight words that are zero and eight that are set; eight words of it, from some place on, are
// a mask.
var window Mem

func makeWindow() {
	window = GLOBL("window", RODATA|NOPTR)
	for i := range 16 {
		if i < 8 {
			DATA(4*i, U32(0))
		} else {
			DATA(4*i, U32(0xffffffff))
		}
	}
	// A second rising edge turns it into a mask of leading words.
	for i := 16; i < 24; i++ {
		DATA(4*i, U32(0))
	}
}

// leading makes a mask of the first n words of a register, trailing of the last n.
func leading(n reg.GPVirtual) any {
	at, y := GP64(), YMM()
	LEAQ(window, at)
	from := GP64()
	MOVQ(I32(16), from)
	SUBQ(n, from)
	VMOVDQU(Mem{Base: at, Index: from, Scale: 4}, y)
	return y
}

func trailing(n reg.GPVirtual) any {
	at, y := GP64(), YMM()
	LEAQ(window, at)
	VMOVDQU(Mem{Base: at, Index: n, Scale: 4}, y)
	return y
}

// trailingPairs is trailing for sixteen 16-bit words.
func trailingPairs(n reg.GPVirtual) any {
	at, y := GP64(), YMM()
	LEAQ(window, at)
	VMOVDQU(Mem{Base: at, Index: n, Scale: 2}, y)
	return y
}

func reduceF32x256(v [4]vector) reg.VecVirtual {
	ab, cd := YMM(), YMM()
	VHADDPS(v[1], v[0], ab)
	VHADDPS(v[3], v[2], cd)
	VHADDPS(cd, ab, ab)
	return foldF32(ab)
}

func foldF32(y vector) reg.VecVirtual {
	x := XMM()
	VEXTRACTF128(Imm(1), y.AsY(), x)
	VADDPS(y.AsX(), x, x)
	return x
}

func reduceI32x256(v [4]vector) reg.VecVirtual {
	ab, cd := YMM(), YMM()
	VPHADDD(v[1], v[0], ab)
	VPHADDD(v[3], v[2], cd)
	VPHADDD(cd, ab, ab)
	return foldI32(ab)
}

func foldI32(y vector) reg.VecVirtual {
	x := XMM()
	VEXTRACTI128(Imm(1), y.AsY(), x)
	VPADDD(y.AsX(), x, x)
	return x
}

// toFloat256 converts unsigned numbers by way of double precision: 2^52 + n is exact.
func toFloat256(x reg.VecVirtual) {
	magic, wide, r := YMM(), YMM(), GP64()
	MOVQ(U64(0x4330000000000000), r)
	VMOVQ(r, magic.AsX())
	VPBROADCASTQ(magic.AsX(), magic)
	VPMOVZXDQ(x, wide)
	VPOR(magic, wide, wide)
	VSUBPD(magic, wide, wide)
	VCVTPD2PSY(wide, x)
}

func toNegative256(x reg.VecVirtual) {
	toFloat256(x)
	nought := XMM()
	VPXOR(nought, nought, nought)
	VSUBPS(x, nought, x)
}

func absMask256() any {
	y := YMM()
	VPCMPEQD(y, y, y)
	VPSRLD(Imm(1), y, y)
	return y
}

func avx2() []kernel {
	makeWindow()
	f32 := kernel{
		out: "float32", shift: 2, step: 32, elems: 8, unroll: 2, sums: 1,
		vector: func() vector { return YMM() }, mask: leading,
		query: func(m Mem, _, mask any) []vector { return []vector{floats256(m, mask)} },
		add:   func(src, dst vector) { VADDPS(src, dst, dst) }, combine: same, reduce: reduceF32x256, finish: keep,
	}
	f16 := f32
	f16.shift, f16.step, f16.mask, f16.last = 1, 16, trailing, true
	f16.query = func(m Mem, _, mask any) []vector { return []vector{half256(m, mask)} }

	var all []kernel
	for _, load := range []struct {
		prefix string
		kernel
		row func(m Mem, mask any) vector
	}{{"f32", f32, floats256}, {"f16", f16, half256}} {
		for _, metric := range []string{"Dot", "Euclid", "Manhattan"} {
			k := load.kernel
			k.name, k.doc = load.prefix+metric+"AVX2", metric
			k.consts = constsOf(metric, absMask256)
			k.accum = func(row Mem, q, acc []vector, c, mask any) {
				if load.prefix == "f32" && mask == nil {
					near256(metric, row, q[0], acc[0], c)
				} else {
					near256(metric, load.row(row, mask), q[0], acc[0], c)
				}
			}
			all = append(all, k)
		}
	}
	return append(append(all, bytes256()...), codes256()...)
}

func floats256(m Mem, mask any) vector {
	v := YMM()
	if mask == nil {
		VMOVUPS(m, v)
	} else {
		VMASKMOVPS(m, mask.(Op), v)
	}
	return v
}

func half256(m Mem, mask any) vector {
	v := YMM()
	VCVTPH2PS(m, v)
	if mask != nil {
		VANDPS(mask.(Op), v, v)
	}
	return v
}

// near256 adds to the accumulator what the row, in memory or in a register, contributes.
func near256(metric string, row Op, q, acc vector, c any) {
	if metric == "Dot" {
		VFMADD231PS(row, q, acc)
		return
	}
	d := YMM()
	VSUBPS(row, q, d)
	if metric == "Euclid" {
		VFNMADD231PS(d, d, acc)
		return
	}
	VANDPS(c.(Op), d, d)
	VSUBPS(d, acc, acc)
}

// bytes256 widens bytes to 16 bits, whose products VPMADDWD adds exactly.
func bytes256() []kernel {
	base := kernel{
		out: "float32", shift: 0, step: 16, elems: 16, unroll: 1, sums: 1, last: true,
		vector: func() vector { return YMM() }, consts: noConsts, mask: trailingPairs,
		query:   func(m Mem, _, mask any) []vector { return []vector{wide256(m, mask)} },
		add:     func(src, dst vector) { VPADDD(src, dst, dst) },
		combine: same, reduce: reduceI32x256, finish: toFloat256,
	}
	dot := base
	dot.name, dot.doc = "u8DotAVX2", "Dot"
	dot.accum = func(row Mem, q, acc []vector, _, _ any) {
		v := wide256(row, nil) // the masked query is enough
		VPMADDWD(q[0], v, v)
		VPADDD(v, acc[0], acc[0])
	}

	euclid := base
	euclid.name, euclid.doc, euclid.finish = "u8EuclidAVX2", "Euclid", toNegative256
	euclid.accum = func(row Mem, q, acc []vector, _, mask any) {
		v := wide256(row, mask)
		VPSUBW(q[0], v, v)
		VPMADDWD(v, v, v)
		VPADDD(v, acc[0], acc[0])
	}

	manhattan := base
	manhattan.name, manhattan.doc, manhattan.finish = "u8ManhattanAVX2", "Manhattan", toNegative256
	manhattan.consts = func() any {
		y := YMM()
		VPCMPEQW(y, y, y)
		VPSRLW(Imm(15), y, y)
		return y
	}
	manhattan.accum = func(row Mem, q, acc []vector, c, mask any) {
		v := wide256(row, mask)
		VPSUBW(q[0], v, v)
		VPABSW(v, v)
		VPMADDWD(c.(Op), v, v)
		VPADDD(v, acc[0], acc[0])
	}

	cosine := base
	cosine.name, cosine.doc = "u8CosineAVX2", "the parts of CosineU8, q·v into out and v·v into out2,"
	cosine.out, cosine.twoOut, cosine.sums, cosine.finish = "uint32", true, 2, keep
	cosine.accum = func(row Mem, q, acc []vector, _, mask any) {
		v, product := wide256(row, mask), YMM()
		VPMADDWD(q[0], v, product)
		VPADDD(product, acc[0], acc[0])
		VPMADDWD(v, v, v)
		VPADDD(v, acc[1], acc[1])
	}
	return []kernel{dot, euclid, manhattan, cosine}
}

func wide256(m Mem, mask any) vector {
	v := YMM()
	VPMOVZXBW(m, v)
	if mask != nil {
		VPAND(mask.(Op), v, v)
	}
	return v
}

func codes256() []kernel {
	base := kernel{
		out: "int32", unroll: 1, sums: 1,
		vector: func() vector { return YMM() }, consts: noConsts,
		add: func(src, dst vector) { VPADDD(src, dst, dst) }, combine: same, reduce: reduceI32x256, finish: keep,
	}
	dot := base
	dot.name, dot.doc = "dotU8I8AVX2", "the dot product with signed bytes"
	dot.shift, dot.step, dot.elems, dot.last, dot.mask = 0, 16, 16, true, trailingPairs
	dot.query = func(m Mem, _, mask any) []vector {
		q := YMM()
		VPMOVSXBW(m, q)
		if mask != nil {
			VPAND(mask.(Op), q, q)
		}
		return []vector{q}
	}
	dot.accum = func(row Mem, q, acc []vector, _, _ any) {
		v := wide256(row, nil) // the masked query is enough
		VPMADDWD(q[0], v, v)
		VPADDD(v, acc[0], acc[0])
	}

	count := base
	count.name, count.doc = "xorPopcntAVX2", "the number of differing bits, dim counting 32 bits each,"
	count.shift, count.step, count.elems, count.mask = 2, 32, 8, leading
	count.query = func(m Mem, _, mask any) []vector { return []vector{floats256(m, mask)} }
	type consts struct{ nibble, table, zero vector }
	table := GLOBL("nibbles", RODATA|NOPTR)
	for i := range 4 { // the number of bits of 0..15, twice
		DATA(8*i, U64([]uint64{0x0302020102010100, 0x0403030203020201}[i%2]))
	}
	count.consts = func() any {
		c := consts{YMM(), YMM(), YMM()}
		r := GP64()
		MOVQ(U64(0x0f0f0f0f0f0f0f0f), r)
		VMOVQ(r, c.nibble.AsX())
		VPBROADCASTQ(c.nibble.AsX(), c.nibble)
		VMOVDQU(table, c.table)
		VPXOR(c.zero, c.zero, c.zero)
		return c
	}
	count.accum = func(row Mem, q, acc []vector, c, mask any) {
		k := c.(consts)
		v, hi := floats256(row, mask), YMM()
		VPXOR(q[0], v, v)
		VPSRLW(Imm(4), v, hi)
		VPAND(k.nibble, v, v)
		VPAND(k.nibble, hi, hi)
		VPSHUFB(v, k.table, v)
		VPSHUFB(hi, k.table, hi)
		VPADDB(v, hi, v)
		VPSADBW(k.zero, v, v)
		VPADDD(v, acc[0], acc[0])
	}
	return []kernel{dot, count}
}
