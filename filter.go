package sextant

// Filter selects points. All four clauses are ANDed; an absent or empty clause is true.
type Filter struct {
	Must      []Condition // all true
	Should    []Condition // at least one true
	MustNot   []Condition // none true
	MinShould *MinShould
}

// MinShould is true when at least MinCount of the conditions are; never with fewer conditions than that.
type MinShould struct {
	Conditions []Condition
	MinCount   int
}

// IsEmpty reports whether the filter (nil included) matches everything.
func (f *Filter) IsEmpty() bool {
	return f == nil || len(f.Must) == 0 && len(f.Should) == 0 && len(f.MustNot) == 0 && f.MinShould == nil
}

// Condition is one test of a point: *Filter, Field, IsEmpty, IsNull, HasID, HasVector, Slice or Nested.
type Condition interface{ isCondition() }

func (*Filter) isCondition()   {}
func (Field) isCondition()     {}
func (IsEmpty) isCondition()   {}
func (IsNull) isCondition()    {}
func (HasID) isCondition()     {}
func (HasVector) isCondition() {}
func (Slice) isCondition()     {}
func (Nested) isCondition()    {}

// Field tests the values at a payload path. Any looked-at value may pass; an array value is looked into, one level.
type Field struct {
	Key  Path
	Test FieldTest
}

// FieldTest is the test of a Field: Match, MatchAny, MatchExcept, MatchText, MatchPrefix, Range, DatetimeRange,
// ValuesCount, GeoRadius, GeoBox, GeoPolygon, FieldIsEmpty, FieldIsNull.
type FieldTest interface{ isTest() }

func (Match) isTest()         {}
func (MatchAny) isTest()      {}
func (MatchExcept) isTest()   {}
func (MatchText) isTest()     {}
func (MatchPrefix) isTest()   {}
func (Range) isTest()         {}
func (DatetimeRange) isTest() {}
func (ValuesCount) isTest()   {}
func (GeoRadius) isTest()     {}
func (GeoBox) isTest()        {}
func (GeoPolygon) isTest()    {}
func (FieldIsEmpty) isTest()  {}
func (FieldIsNull) isTest()   {}

// Match is true for a value equal to Value: a string, int64 or bool.
type Match struct{ Value any }

// MatchAny is true for a value equal to one of the list. One of the lists is used; both empty match nothing.
type MatchAny struct {
	Strings []string
	Ints    []int64
}

// MatchExcept is true for a value that is not null and not in the list; with both lists empty for any non-null value.
type MatchExcept MatchAny

// TextMode tells the full-text tests apart.
type TextMode uint8

const (
	TextAll    TextMode = iota // every token occurs (no index: substring)
	TextAny                    // at least one token occurs (no index: one whitespace-separated piece)
	TextPhrase                 // tokens consecutive, in order (no index: substring)
)

// MatchText is a full-text test.
type MatchText struct {
	Text string
	Mode TextMode
}

// MatchPrefix is true for a string that starts with Prefix.
type MatchPrefix struct{ Prefix string }

// Range bounds numbers, compared as float64; nil bounds are open. All bounds hold for the same value.
type Range struct{ Gt, Gte, Lt, Lte *float64 }

// DatetimeRange bounds datetimes in microseconds since the epoch.
type DatetimeRange struct{ Gt, Gte, Lt, Lte *int64 }

// ValuesCount bounds the number of values: array → length, null → 0, other → 1, no value → one count of 0.
type ValuesCount struct{ Gt, Gte, Lt, Lte *uint64 }

// GeoPoint is a place in degrees.
type GeoPoint struct {
	Lon float64 `json:"lon"`
	Lat float64 `json:"lat"`
}

// GeoRadius is true for places nearer than Radius metres (haversine, sphere of 6 371 008.8 m), strictly.
type GeoRadius struct {
	Center GeoPoint
	Radius float64
}

// GeoBox is true strictly inside; TopLeft.Lon > BottomRight.Lon crosses the antimeridian.
type GeoBox struct{ TopLeft, BottomRight GeoPoint }

// GeoPolygon is true strictly inside the exterior ring and outside every interior ring (planar, degrees).
type GeoPolygon struct {
	Exterior  []GeoPoint
	Interiors [][]GeoPoint
}

// FieldIsEmpty is the key form of IsEmpty; Want false negates.
type FieldIsEmpty struct{ Want bool }

// FieldIsNull is the key form of IsNull; Want false negates.
type FieldIsNull struct{ Want bool }

// IsEmpty is true when the path gives no values, or every value is null or [].
type IsEmpty struct{ Key Path }

// IsNull is true when the path gives a null, or an array with a null.
type IsNull struct{ Key Path }

// HasID is true for the listed ids.
type HasID struct{ IDs []PointID }

// HasVector is true for points that have the vector; an unknown name matches nothing.
type HasVector struct{ Name string }

// Slice is true when SipHash-2-4(key 0, id bytes) mod Total == Index.
type Slice struct{ Total, Index uint64 }

// Nested is true if one element object of the array at Key satisfies the whole Filter, with paths relative to it.
type Nested struct {
	Key    Path // ends in [] (the edge appends it)
	Filter *Filter
}
