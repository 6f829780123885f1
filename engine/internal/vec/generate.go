package vec

//go:generate go run -C ../../../tools ./vecasm -tier avx2 -pkg vec -out ../engine/internal/vec/avx2_amd64.s -stubs ../engine/internal/vec/avx2_amd64.go
//go:generate go run -C ../../../tools ./vecasm -tier avx512 -pkg vec -out ../engine/internal/vec/avx512_amd64.s -stubs ../engine/internal/vec/avx512_amd64.go
