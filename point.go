package sextant

// Payload is a JSON object as compact, valid UTF-8 bytes: key order, integers, floats and big numbers are as the user
// gave them; of a doubled key the last value counts. nil means the empty object.
type Payload []byte

// Point is a whole point as written by an upsert.
type Point struct {
	ID      PointID
	Vectors []NamedVector // each name at most once
	Payload Payload
}

// Record is a point as read: only what was asked for is filled.
type Record struct {
	ID      PointID
	Version uint64 // seq of the last entry that changed the point
	// Payload is nil when not asked for; a point without payload has "{}".
	Payload Payload
	// Vectors is nil when not asked for; a point without vectors has an empty, non-nil slice.
	Vectors []NamedVector
	// OrderValue is set by reads ordered by a field.
	OrderValue *OrderValue
}

// ScoredPoint is a record found by a query, with the score that users see.
type ScoredPoint struct {
	Record
	Score float32
}

// OrderValue is the field value that put a point in its place: an integer (datetimes: microseconds since the epoch)
// or a float.
type OrderValue struct {
	IsFloat bool
	Int     int64
	Float   float64
}
