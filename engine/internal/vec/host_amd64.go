//go:build !purego

package vec

import "golang.org/x/sys/cpu"

// features says which kernels a CPU can run. Each tier has its parts of AVX2 and AVX-512 together; VNNI and VPOPCNTDQ
// imply avx512.
type features struct{ avx2, avx512, vnni, popcnt bool }

var host = detect()

func detect() features {
	x := &cpu.X86
	var f features
	f.avx2 = x.HasAVX2 && x.HasFMA && x.HasF16C && x.HasBMI2
	f.avx512 = f.avx2 && x.HasAVX512F && x.HasAVX512BW && x.HasAVX512VL && x.HasAVX512DQ
	f.vnni = f.avx512 && x.HasAVX512VNNI
	f.popcnt = f.avx512 && x.HasAVX512VPOPCNTDQ
	return f
}

// kernel numbers the pairs of assembly functions that a Scorer calls. Calls go through a switch and not through a
// table of functions, because arguments of an indirect call would escape to the heap.
type kernel uint8

const (
	twin kernel = iota
	f32DotAVX2
	f32EuclidAVX2
	f32ManhattanAVX2
	f16DotAVX2
	f16EuclidAVX2
	f16ManhattanAVX2
	u8DotAVX2
	u8EuclidAVX2
	u8ManhattanAVX2
	u8CosineAVX2
	f32DotAVX512
	f32EuclidAVX512
	f32ManhattanAVX512
	f16DotAVX512
	f16EuclidAVX512
	f16ManhattanAVX512
	u8DotVNNI
	u8EuclidVNNI
	u8ManhattanVNNI
	u8CosineVNNI
)

// pick chooses the kernel. The AVX2 kernels over narrow types read their tail as the last whole register of a row, so
// shorter rows are left to the twins.
func pick(m Metric, t Type, dim int, f features) kernel {
	var small, large kernel
	least, wide := 0, f.avx512
	switch t {
	case F32:
		small, large = f32DotAVX2, f32DotAVX512
	case F16:
		small, large = f16DotAVX2, f16DotAVX512
		least = 8
	default:
		small, large = u8DotAVX2, u8DotVNNI
		least, wide = 16, f.vnni
	}
	switch {
	case wide:
		return large + kernel(m)
	case f.avx2 && dim >= least:
		return small + kernel(m)
	default:
		return twin
	}
}
