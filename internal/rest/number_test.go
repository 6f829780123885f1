package rest

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

// Every spelling of a number gives the float32 that strconv gives, bit for bit, or is refused as strconv and
// encoding/json refuse it.
func sameFloat(t *testing.T, text string) {
	t.Helper()
	var reference json.Number
	valid := json.Unmarshal([]byte(text), &reference) == nil
	n, ok := scanNumber([]byte(text), 0)
	ok = ok && n.end == len(text)
	sameInVector(t, text, valid)
	if ok != valid {
		t.Fatalf("%q: scanned %v, encoding/json says %v", text, ok, valid)
	}
	if !ok {
		return
	}
	want, err := strconv.ParseFloat(text, 32)
	got, fits := n.float32([]byte(text), 0)
	if fits != (err == nil) || fits && math.Float32bits(got) != math.Float32bits(float32(want)) {
		t.Fatalf("%q: float32 %v %v, want %v %v", text, got, fits, float32(want), err)
	}
	want, err = strconv.ParseFloat(text, 64)
	double, fits := n.float64([]byte(text), 0)
	if fits != (err == nil) || fits && math.Float64bits(double) != math.Float64bits(want) {
		t.Fatalf("%q: float64 %v %v, want %v %v", text, double, fits, want, err)
	}
}

// sameInVector reads the number as the component of a vector, with enough behind it for the quick way and with little.
func sameInVector(t *testing.T, text string, valid bool) {
	t.Helper()
	want, err := strconv.ParseFloat(text, 32)
	for _, tail := range []string{"]", ",1]", ", 0.123456789012345678901234567890]"} {
		f, end, v := readFloat32([]byte(text+tail), 0)
		ok := v == good && end == len(text)
		if ok != (valid && err == nil) || ok && math.Float32bits(f) != math.Float32bits(float32(want)) {
			t.Fatalf("%q before %q: %v %v at %d, want %v %v", text, tail, f, v, end, float32(want), valid)
		}
	}
}

var oddNumbers = []string{"0", "-0", "-0.0", "1", "-1", "1e0", "1E+2", "1e-2", "123456789012345678901234567890", "1e39", "-1e39",
	"1e400", "1e-400", "3.4028235e38", "3.4028236e38", "3.4028234663852886e38", "3.40282356779733661637539395458142568447e38",
	"1.17549435e-38", "1e-45", "7e-46", "0.1", "0.10000000149011612", "16777217", "16777216.5", "8388608.5", "0.00000000000000000000000000000000000001",
	"18446744073709551615", "18446744073709551616", "99999999999999999999", "1.00000005960464477539062", "1.000000059604644775390625",
	"1.0000000596046447753906251", "12345678", "1234567", "123456789", "0.12345678", "0.1234567890123456", "0.03421516008675098",
	"", "-", "01", "1.", ".5", "1e", "1e+", "+1", "1.e3", "0x10", "1_000", "Infinity", "NaN", "--1", "1..2", "00", "-01", "1e5.5"}

func TestNumbersAreReadAsStrconvReadsThem(t *testing.T) {
	for _, text := range oddNumbers {
		sameFloat(t, text)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		f := math.Float32frombits(r.Uint32())
		if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
			continue
		}
		sameFloat(t, strconv.FormatFloat(float64(f), 'g', -1, 32))
		sameFloat(t, strconv.FormatFloat(float64(f), 'g', -1, 64))
		// The middle between two floats, and just beside it: where rounding twice goes wrong.
		middle := (float64(f) + float64(math.Nextafter32(f, 2))) / 2
		sameFloat(t, strconv.FormatFloat(middle, 'f', -1, 64))
		sameFloat(t, strconv.FormatFloat(math.Nextafter(middle, 3), 'g', -1, 64))
		sameFloat(t, strconv.FormatFloat(r.NormFloat64(), 'f', -1, 64))
	}
}

func FuzzNumber(f *testing.F) {
	for _, text := range oddNumbers {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, c := range text { // encoding/json allows white space around, the scanner's caller skips it
			if c == ' ' || c == '\n' || c == '\r' || c == '\t' {
				return
			}
		}
		var v any
		if json.Unmarshal([]byte(text), &v) == nil {
			if _, isNumber := v.(float64); !isNumber {
				return
			}
		}
		sameFloat(t, text)
	})
}
