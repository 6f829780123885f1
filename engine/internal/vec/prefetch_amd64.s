//go:build !purego

#include "textflag.h"

// func Prefetch(first *byte, lines int)
TEXT ·Prefetch(SB), NOSPLIT, $0-16
	MOVQ first+0(FP), AX
	MOVQ lines+8(FP), CX

next:
	PREFETCHT0 (AX)
	ADDQ $64, AX
	SUBQ $1, CX
	JGT  next
	RET
