package vec

import (
	"encoding/binary"
	"math/bits"
)

// DotU8I8Batch writes Σ query[j]·code[j] to out[i] for each code that begins at codes[ids[i]*stride]. The sum is exact
// for all values and up to MaxDim components.
func DotU8I8Batch(query []int8, codes []byte, stride int, ids []uint32, out []int32) {
	out = out[:len(ids)]
	for len(ids) > 0 {
		n := burstRows(stride, len(ids))
		if !dotU8I8Batch(host, query, codes, stride, ids[:n], out[:n]) {
			panic("vec: a code number is out of range")
		}
		ids, out = ids[n:], out[n:]
	}
}

// DotU8I8Range does the same for the codes from, from+1, … to all of out.
func DotU8I8Range(query []int8, codes []byte, stride int, from uint32, out []int32) {
	checkCodes(len(query), codes, stride, from, len(out))
	for len(out) > 0 {
		n := burstRows(stride, len(out))
		dotU8I8Range(host, query, codes, stride, from, out[:n])
		from, out = from+uint32(n), out[n:]
	}
}

// XorPopcntBatch writes the number of bits in which query differs from the code that begins at codes[ids[i]*stride] to
// out[i]. A code has 8*len(query) bytes, read as little-endian words.
func XorPopcntBatch(query []uint64, codes []byte, stride int, ids []uint32, out []int32) {
	out = out[:len(ids)]
	for len(ids) > 0 {
		n := burstRows(stride, len(ids))
		if !xorPopcntBatch(host, query, codes, stride, ids[:n], out[:n]) {
			panic("vec: a code number is out of range")
		}
		ids, out = ids[n:], out[n:]
	}
}

// XorPopcntRange does the same for the codes from, from+1, … to all of out.
func XorPopcntRange(query []uint64, codes []byte, stride int, from uint32, out []int32) {
	checkCodes(8*len(query), codes, stride, from, len(out))
	for len(out) > 0 {
		n := burstRows(stride, len(out))
		xorPopcntRange(host, query, codes, stride, from, out[:n])
		from, out = from+uint32(n), out[n:]
	}
}

func checkCodes(size int, codes []byte, stride int, from uint32, n int) {
	if n > 0 && (int(from)+n-1)*stride > len(codes)-size {
		panic("vec: a code number is out of range")
	}
}

func twinDotU8I8Batch(query []int8, codes []byte, stride int, ids []uint32, out []int32) bool {
	for i, id := range ids {
		at := int(id) * stride
		if at > len(codes)-len(query) {
			return false
		}
		out[i] = twinDotU8I8(query, codes[at:at+len(query)])
	}
	return true
}

func twinDotU8I8Range(query []int8, codes []byte, stride int, from uint32, out []int32) {
	for i := range out {
		at := (int(from) + i) * stride
		out[i] = twinDotU8I8(query, codes[at:at+len(query)])
	}
}

func twinXorPopcntBatch(query []uint64, codes []byte, stride int, ids []uint32, out []int32) bool {
	for i, id := range ids {
		at := int(id) * stride
		if at > len(codes)-8*len(query) {
			return false
		}
		out[i] = twinXorPopcnt(query, codes[at:at+8*len(query)])
	}
	return true
}

func twinXorPopcntRange(query []uint64, codes []byte, stride int, from uint32, out []int32) {
	for i := range out {
		at := (int(from) + i) * stride
		out[i] = twinXorPopcnt(query, codes[at:at+8*len(query)])
	}
}

func twinDotU8I8(query []int8, code []byte) int32 {
	code = code[:len(query)]
	var sum int32
	for i, q := range query {
		sum += int32(q) * int32(code[i])
	}
	return sum
}

func twinXorPopcnt(query []uint64, code []byte) int32 {
	var n int
	for _, q := range query {
		n += bits.OnesCount64(q ^ binary.LittleEndian.Uint64(code))
		code = code[8:]
	}
	return int32(n)
}
