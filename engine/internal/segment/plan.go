package segment

import (
	"math"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine/internal/hnsw"
	"github.com/sextantdb/sextant/engine/internal/payload"
)

// method is how the nearest rows of one piece are found.
type method uint8

const (
	skip     method = iota // indexed_only leaves the piece out
	scanAll                // score all live rows; the filter is asked only for rows that would be kept
	scanSome               // select the matching rows, score those
	walk                   // graph over all live rows, or over the selected ones
	walkTest               // graph over all live rows, in more width; the filter is asked for what it finds
)

// planned is what the planner looks at. Counts are rows.
type planned struct {
	live      uint32
	rows      uint32
	stride    int  // bytes from row to row
	coded     bool // there are codes to scan selected rows by
	bytes     int  // of one vector, as thresholds count them
	graph     bool // there is one, and the request may use it
	filtered  bool
	estimate  payload.Estimate
	k, ef     int
	fullScan  int64 // full_scan_threshold in bytes
	hideAbove int64 // indexed_only: size from which a piece without graph is left out; < 0: never
}

// choose decides by cost. Selecting first means to know the exact number of matches, and decide again: see afterSelect.
func (p planned) choose() method {
	matching := int64(p.live)
	if p.filtered {
		matching = min(matching, int64(p.estimate.Expected))
	}
	if !p.graph {
		if p.hideAbove >= 0 && matching*int64(p.bytes) > p.hideAbove {
			return skip
		}
		if p.filtered && p.selectFirst() {
			return scanSome
		}
		return scanAll
	}
	switch {
	case !p.filtered:
		if p.preferScan(p.live) {
			return scanAll
		}
		return walk
	case p.selectFirst():
		return scanSome // or a walk: afterSelect
	default:
		return walkTest // if enough of them match: afterSample
	}
}

// selectFirst reports whether indexes find the matching rows without reading many payloads that do not match.
func (p planned) selectFirst() bool {
	return p.estimate.Exact || p.estimate.Max <= p.rows/8
}

// afterSelect decides between the scan of count selected rows and a walk that returns only those.
func (p planned) afterSelect(count uint32) method {
	if !p.graph || p.preferScan(count) {
		return scanSome
	}
	return walk
}

// preferScan compares the costs of scoring count rows one after the other and of a walk.
//
// full_scan_threshold is a border for scans of everything, as users know it; among rows that a filter has selected it
// would force scans of thousands of rows where a walk is several times faster.
func (p planned) preferScan(count uint32) bool {
	if !p.filtered && int64(count)*int64(p.bytes) < p.fullScan {
		return true
	}
	return hnsw.PreferScan(int(count), int(p.live), p.ef, p.k, p.stride, p.filtered && p.scanCoded(count))
}

// codedRows is the number of selected rows from which they are scanned by their codes: fewer are scored exactly.
const codedRows = 4096

func (p planned) scanCoded(count uint32) bool {
	return p.coded && count >= codedRows && p.k <= codedRows/16
}

// widened returns the width of a walk whose finds are tested afterwards, of which a share passes; 0 if a scan is better.
func (p planned) widened(share float64) int {
	if share <= 0 {
		return 0
	}
	wide := float64(max(p.ef, p.k)) * 1.3 / share
	if wide > float64(p.live) {
		return 0
	}
	if hnsw.PreferScan(int(p.live), int(p.live), int(wide), p.k, p.stride, false) {
		return 0
	}
	return int(wide)
}

// beam returns the width of a walk over n rows that a request asks for. Where it asks for none, ef_construct is widened
// with the size of the segment, since at one width the recall falls as a graph grows.
func beam(q *SearchRequest, t VectorTuning, n uint32) int {
	ef := q.Params.EF
	if ef <= 0 {
		ef = int(min(t.HNSW.EfConstruct, 1<<20))
		if n > beamRows {
			ef = max(ef, 100+int(50*math.Log2(float64(n)/beamRows)))
		}
	}
	if o := q.Params.Oversampling; o > 1 {
		ef = max(ef, int(min(float64(q.Limit)*o, 1<<30)))
	}
	return max(ef, q.Limit)
}

// beamRows is the size of a segment up to which a width of 100 gives a recall of 0.95 for hard data (word vectors).
const beamRows = 20_000

// hiddenAbove returns the size in bytes above which indexed_only leaves out a piece without graph; -1: none.
func hiddenAbove(q *SearchRequest, tuning *Tuning, t VectorTuning) int64 {
	if !q.Params.IndexedOnly || q.Params.Exact {
		return -1
	}
	return max(tuning.IndexingThreshold, fullScan(t))
}

func fullScan(t VectorTuning) int64 { return int64(min(t.HNSW.FullScanThreshold, 1<<50)) << 10 }

func vectorBytes(spec sextant.VectorSpec) int { return spec.Dim * elementType(spec.Datatype).Size() }
