package sextant

// Query asks for the points nearest to a vector, or without Nearest for points in id order with score 1.
type Query struct {
	Nearest        *VectorInput
	Using          string // vector name; "" is the unnamed vector
	Filter         *Filter
	Params         SearchParams
	ScoreThreshold *float32 // strict; compared with the score that users see
	Limit          int      // ≥ 1
	Offset         int
	WithPayload    PayloadSelector
	WithVector     VectorSelector
	LookupFrom     *LookupFrom
}

// VectorInput is a vector given as itself or by the id of a point that has it.
type VectorInput struct {
	ID     *PointID
	Vector *Vector
}

// LookupFrom names where VectorInput ids are looked up.
type LookupFrom struct {
	Collection string
	Vector     *string // nil: Query.Using
}

// SearchParams tune one search. Zero values mean the defaults.
type SearchParams struct {
	EF            int  // beam of the graph search; 0: the collection's ef_construct
	Exact         bool // score everything with original vectors
	IndexedOnly   bool // leave out large unindexed segments
	IgnoreQuant   bool
	Rescore       *bool   // nil: as the quantization demands
	Oversampling  float64 // ≥ 1, 0: none
	ACORN         bool    // accepted hint: filtered traversal adapts by itself
	ACORNMax      *float64
	IDFCorpus     *Filter // statistics of an idf vector only over points that match
	IDFCorpusFlag bool    // params.idf was given (it needs an idf vector)
}

// PayloadSelector says which part of a payload is returned. The zero value is none.
type PayloadSelector struct {
	All     bool
	Include []Path // non-nil: only these
	Exclude []Path // non-nil: all but these
}

// None reports whether the payload is not asked for at all.
func (s PayloadSelector) None() bool { return !s.All && s.Include == nil && s.Exclude == nil }

// VectorSelector says which vectors are returned. The zero value is none.
type VectorSelector struct {
	All   bool
	Names []string // non-nil: only these
}

// None reports whether no vectors are asked for.
func (s VectorSelector) None() bool { return !s.All && s.Names == nil }

// Scroll reads points in id order from Offset on (inclusive), or in the order of a field.
type Scroll struct {
	Offset      *PointID
	Limit       int // ≥ 1; never allocate by it
	Filter      *Filter
	OrderBy     *OrderBy
	WithPayload PayloadSelector
	WithVector  VectorSelector
}

// OrderBy orders by a field with a range index. StartFrom is inclusive.
type OrderBy struct {
	Key       Path
	Desc      bool
	StartFrom *OrderStart
}

// OrderStart is a number, or a datetime in microseconds (IsDatetime).
type OrderStart struct {
	IsDatetime bool
	Float      float64
	Int        int64 // exact when the number was an integer, or the datetime
	IsInt      bool
}
