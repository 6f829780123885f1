package text

import (
	"math/bits"
	"slices"

	"github.com/sextantdb/sextant"
)

// BM25Document returns the sparse vector of a document: per token its BM25 weight without the inverse document frequency,
// which is the collection's to add. A text without tokens has an empty vector.
func BM25Document(s string, o *BM25) sextant.Vector {
	counts := map[uint32]int{} // tokens that fall on the same index count as one
	length := 0
	o.analyzer.Document(s, func(token string, _ int) {
		counts[tokenIndex(token)]++
		length++
	})
	v := sparse(counts)
	norm := o.K * (1 - o.B + o.B*float64(length)/o.AvgLen)
	for i, index := range v.Indices {
		tf := float64(counts[index])
		v.Values[i] = float32(tf * (o.K + 1) / (tf + norm))
	}
	return v
}

// BM25Query returns the sparse vector of a query: weight 1 for each distinct token.
func BM25Query(s string, o *BM25) sextant.Vector {
	counts := map[uint32]int{}
	for _, token := range o.analyzer.Query(s) {
		counts[tokenIndex(token)] = 1
	}
	v := sparse(counts)
	for i := range v.Values {
		v.Values[i] = 1
	}
	return v
}

// sparse returns a vector with the indices of counts, in order, and zero weights.
func sparse(counts map[uint32]int) sextant.Vector {
	v := sextant.Vector{Kind: sextant.Sparse, Indices: make([]uint32, 0, len(counts)), Values: make([]float32, len(counts))}
	for index := range counts {
		v.Indices = append(v.Indices, index)
	}
	slices.Sort(v.Indices)
	return v
}

// tokenIndex places a token in the sparse vector: the absolute value of its hash as a signed number. Clients that compute
// BM25 themselves depend on it.
func tokenIndex(token string) uint32 {
	h := murmur3(token)
	if int32(h) < 0 {
		return -h
	}
	return h
}

// murmur3 is MurmurHash3 for x86, 32 bits, with seed 0.
func murmur3(s string) uint32 {
	const c1, c2 = 0xcc9e2d51, 0x1b873593
	mix := func(k uint32) uint32 { return bits.RotateLeft32(k*c1, 15) * c2 }
	h := uint32(0)
	i := 0
	for ; i+4 <= len(s); i += 4 {
		h ^= mix(uint32(s[i]) | uint32(s[i+1])<<8 | uint32(s[i+2])<<16 | uint32(s[i+3])<<24)
		h = bits.RotateLeft32(h, 13)*5 + 0xe6546b64
	}
	tail := uint32(0)
	for j := len(s) - 1; j >= i; j-- {
		tail = tail<<8 | uint32(s[j])
	}
	h ^= mix(tail)
	h ^= uint32(len(s))
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}
