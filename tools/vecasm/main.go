// Command vecasm writes the assembly kernels of package engine/internal/vec and their Go declarations.
//
// A kernel is a step (what to do with a register of the query and one of a row) and a reduction; the walk around it
// is the same for all: rows four at a time, the last two or three as a group of four with one row repeated, a single
// row with four accumulators of its own. Rows are named by a list of numbers (Batch) or follow each other (Span).
// Traps: only VEX and EVEX forms (a legacy SSE instruction costs a microcode assist while upper halves are dirty),
// VZEROUPPER before each RET, pointers declared as *byte, vectors moved by address and never by avo's Load and Store.
package main

import (
	"flag"
	"log"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/buildtags"
)

func main() {
	tier := flag.String("tier", "", "avx2 or avx512")
	flag.Parse()
	Constraint(buildtags.Not("purego").ToConstraint())
	var kernels []kernel
	switch *tier {
	case "avx2":
		kernels = avx2()
	case "avx512":
		kernels = avx512()
	default:
		log.Fatalf("unknown tier %q", *tier)
	}
	for _, k := range kernels {
		k.batch()
		k.span()
	}
	Generate()
}
