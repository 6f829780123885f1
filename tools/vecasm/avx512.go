package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// maskOf sets the low bits of an opmask, one per element of the tail.
func maskOf(elems reg.GPVirtual) any {
	bits := GP64()
	MOVQ(I32(-1), bits)
	BZHIQ(elems, bits, bits)
	k := K()
	KMOVQ(bits, k)
	return k
}

func broadcast512(pattern uint32) vector {
	r, z := GP32(), ZMM()
	MOVL(U32(pattern), r)
	VPBROADCASTD(r, z)
	return z
}

func same(acc []vector) []vector { return acc }

func noConsts() any { return nil }

func keep(reg.VecVirtual) {}

// reduceF32x512 transposes while it adds: pairs within lanes, then the four lanes.
func reduceF32x512(v [4]vector) reg.VecVirtual {
	half := func(a, b vector) vector {
		lo, hi := ZMM(), ZMM()
		VUNPCKLPS(b, a, lo)
		VUNPCKHPS(b, a, hi)
		VADDPS(hi, lo, lo)
		return lo
	}
	ab, cd := half(v[0], v[1]), half(v[2], v[3])
	lo, hi := ZMM(), ZMM()
	VUNPCKLPD(cd, ab, lo)
	VUNPCKHPD(cd, ab, hi)
	VADDPS(hi, lo, lo)
	upper := YMM()
	VEXTRACTF64X4(Imm(1), lo, upper)
	VADDPS(upper, lo.AsY(), upper)
	x := XMM()
	VEXTRACTF32X4(Imm(1), upper, x) // the EVEX form: x may be any of 32 registers
	VADDPS(upper.AsX(), x, x)
	return x
}

func reduceI32x512(v [4]vector) reg.VecVirtual {
	half := func(a, b vector) vector {
		lo, hi := ZMM(), ZMM()
		VPUNPCKLDQ(b, a, lo)
		VPUNPCKHDQ(b, a, hi)
		VPADDD(hi, lo, lo)
		return lo
	}
	ab, cd := half(v[0], v[1]), half(v[2], v[3])
	lo, hi := ZMM(), ZMM()
	VPUNPCKLQDQ(cd, ab, lo)
	VPUNPCKHQDQ(cd, ab, hi)
	VPADDD(hi, lo, lo)
	upper := YMM()
	VEXTRACTI64X4(Imm(1), lo, upper)
	VPADDD(upper, lo.AsY(), upper)
	x := XMM()
	VEXTRACTI32X4(Imm(1), upper, x)
	VPADDD(upper.AsX(), x, x)
	return x
}

func toFloat512(x reg.VecVirtual) { VCVTUDQ2PS(x, x) }

// toNegative512 subtracts from zero, so that no result is -0.
func toNegative512(x reg.VecVirtual) {
	VCVTUDQ2PS(x, x)
	nought := XMM()
	VPXORD(nought, nought, nought)
	VSUBPS(x, nought, x)
}

func avx512() []kernel {
	add := func(src, dst vector) { VADDPS(src, dst, dst) }
	f32 := kernel{
		out: "float32", shift: 2, step: 64, elems: 16, unroll: 2, sums: 1,
		vector: func() vector { return ZMM() }, consts: noConsts, mask: maskOf,
		query: func(m Mem, _, mask any) []vector {
			q := ZMM()
			if mask == nil {
				VMOVUPS(m, q)
			} else {
				VMOVUPS_Z(m, mask.(Op), q)
			}
			return []vector{q}
		},
		add: add, combine: same, reduce: reduceF32x512, finish: keep,
	}
	f16 := f32
	f16.shift, f16.step = 1, 32
	f16.query = func(m Mem, _, mask any) []vector { return []vector{half512(m, mask)} }

	var all []kernel
	for _, metric := range []string{"Dot", "Euclid", "Manhattan"} {
		k := f32
		k.name, k.doc = "f32"+metric+"AVX512", metric
		k.consts = constsOf(metric, func() any { return broadcast512(0x7fffffff) })
		k.accum = func(row Mem, q, acc []vector, c, mask any) {
			if metric == "Dot" {
				if mask == nil {
					VFMADD231PS(row, q[0], acc[0])
				} else {
					VFMADD231PS(row, q[0], mask.(Op), acc[0])
				}
				return
			}
			d := ZMM()
			if mask == nil {
				VSUBPS(row, q[0], d)
			} else {
				VSUBPS_Z(row, q[0], mask.(Op), d)
			}
			apart512(metric, d, acc[0], c)
		}
		all = append(all, k)
	}
	for _, metric := range []string{"Dot", "Euclid", "Manhattan"} {
		k := f16
		k.name, k.doc = "f16"+metric+"AVX512", metric
		k.consts = constsOf(metric, func() any { return broadcast512(0x7fffffff) })
		k.accum = func(row Mem, q, acc []vector, c, mask any) {
			v := half512(row, mask)
			if metric == "Dot" {
				VFMADD231PS(v, q[0], acc[0])
				return
			}
			VSUBPS(v, q[0], v)
			apart512(metric, v, acc[0], c)
		}
		all = append(all, k)
	}
	return append(append(all, bytes512()...), codes512()...)
}

func constsOf(metric string, load func() any) func() any {
	if metric == "Manhattan" {
		return load
	}
	return noConsts
}

func half512(m Mem, mask any) vector {
	v := ZMM()
	if mask == nil {
		VCVTPH2PS(m, v)
	} else {
		VCVTPH2PS_Z(m, mask.(Op), v)
	}
	return v
}

// apart512 subtracts d² or |d| from the accumulator.
func apart512(metric string, d, acc vector, c any) {
	if metric == "Euclid" {
		VFNMADD231PS(d, d, acc)
		return
	}
	VPANDD(c.(Op), d, d)
	VSUBPS(d, acc, acc)
}

// byteConsts are the patterns of the kernels over two unsigned vectors. VPDPBUSD multiplies unsigned by signed bytes,
// so that one side is shifted by 128, and 128 times the sum of the other is added in the end.
type byteConsts struct{ ones, flip vector }

func bytes512() []kernel {
	base := kernel{
		out: "float32", shift: 0, step: 64, elems: 64, unroll: 1, sums: 2,
		vector: func() vector { return ZMM() },
		consts: func() any { return byteConsts{broadcast512(0x01010101), broadcast512(0x80808080)} },
		mask:   maskOf,
		query:  func(m Mem, _, mask any) []vector { return []vector{bytes(m, mask)} },
		add:    func(src, dst vector) { VPADDD(src, dst, dst) },
		combine: func(acc []vector) []vector {
			VPSLLD(Imm(7), acc[1], acc[1])
			VPADDD(acc[1], acc[0], acc[0])
			return acc[:1]
		},
		reduce: reduceI32x512, finish: toFloat512,
	}
	shifted := func(m Mem, c, mask any) []vector {
		q := bytes(m, mask)
		VPXORD(c.(byteConsts).flip, q, q)
		return []vector{q}
	}

	dot := base
	dot.name, dot.doc, dot.query = "u8DotVNNI", "Dot", shifted
	dot.accum = func(row Mem, q, acc []vector, c, mask any) {
		v := bytes(row, mask)
		VPDPBUSD(q[0], v, acc[0])
		VPDPBUSD(c.(byteConsts).ones, v, acc[1])
	}

	euclid := base
	euclid.name, euclid.doc, euclid.finish = "u8EuclidVNNI", "Euclid", toNegative512
	euclid.accum = func(row Mem, q, acc []vector, c, mask any) {
		v, d := bytes(row, mask), ZMM()
		VPMAXUB(q[0], v, d)
		VPMINUB(q[0], v, v)
		VPSUBB(v, d, d)
		VPXORD(c.(byteConsts).flip, d, v)
		VPDPBUSD(v, d, acc[0])
		VPDPBUSD(c.(byteConsts).ones, d, acc[1])
	}

	manhattan := base
	manhattan.name, manhattan.doc, manhattan.finish = "u8ManhattanVNNI", "Manhattan", toNegative512
	manhattan.sums, manhattan.combine, manhattan.consts = 1, same, noConsts
	manhattan.accum = func(row Mem, q, acc []vector, _, mask any) {
		v := bytes(row, mask)
		VPSADBW(q[0], v, v)
		VPADDD(v, acc[0], acc[0]) // the sums of eight fit the lower half of their 64 bits
	}

	cosine := base
	cosine.name, cosine.query = "u8CosineVNNI", shifted
	cosine.doc = "the parts of CosineU8, q·v into out and v·v into out2,"
	cosine.out, cosine.twoOut, cosine.sums, cosine.finish = "uint32", true, 3, keep
	cosine.accum = func(row Mem, q, acc []vector, c, mask any) {
		v, f := bytes(row, mask), ZMM()
		VPXORD(c.(byteConsts).flip, v, f)
		VPDPBUSD(q[0], v, acc[0])
		VPDPBUSD(c.(byteConsts).ones, v, acc[1])
		VPDPBUSD(f, v, acc[2])
	}
	cosine.combine = func(acc []vector) []vector {
		VPSLLD(Imm(7), acc[1], acc[1])
		VPADDD(acc[1], acc[0], acc[0])
		VPADDD(acc[1], acc[2], acc[2])
		return []vector{acc[0], acc[2]}
	}
	return []kernel{dot, euclid, manhattan, cosine}
}

func bytes(m Mem, mask any) vector {
	v := ZMM()
	if mask == nil {
		VMOVDQU8(m, v)
	} else {
		VMOVDQU8_Z(m, mask.(Op), v)
	}
	return v
}

func codes512() []kernel {
	base := kernel{
		out: "int32", unroll: 1, sums: 1, step: 64,
		vector: func() vector { return ZMM() }, consts: noConsts, mask: maskOf,
		add: func(src, dst vector) { VPADDD(src, dst, dst) }, combine: same, reduce: reduceI32x512, finish: keep,
	}
	dot := base
	dot.name, dot.doc = "dotU8I8VNNI", "the dot product with signed bytes"
	dot.shift, dot.elems = 0, 64
	dot.query = func(m Mem, _, mask any) []vector { return []vector{bytes(m, mask)} }
	dot.accum = func(row Mem, q, acc []vector, _, mask any) { VPDPBUSD(q[0], bytes(row, mask), acc[0]) }

	count := base
	count.name, count.doc = "xorPopcntAVX512", "the number of differing bits, dim counting 32 bits each,"
	count.shift, count.elems = 2, 16
	words := func(m Mem, mask any) vector {
		v := ZMM()
		if mask == nil {
			VMOVDQU32(m, v)
		} else {
			VMOVDQU32_Z(m, mask.(Op), v)
		}
		return v
	}
	count.query = func(m Mem, _, mask any) []vector { return []vector{words(m, mask)} }
	count.accum = func(row Mem, q, acc []vector, _, mask any) {
		v := words(row, mask)
		VPXORD(q[0], v, v)
		VPOPCNTD(v, v)
		VPADDD(v, acc[0], acc[0])
	}
	return []kernel{dot, count}
}
