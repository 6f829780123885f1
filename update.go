package sextant

// Update is one change of a shard as a client asked for it: Upsert, DeletePoints, SetPayload, OverwritePayload,
// DeletePayload, ClearPayload, UpdateVectors, DeleteVectors, CreateField, DropField, CreateVector or DropVector.
type Update interface{ isUpdate() }

func (Upsert) isUpdate()           {}
func (DeletePoints) isUpdate()     {}
func (SetPayload) isUpdate()       {}
func (OverwritePayload) isUpdate() {}
func (DeletePayload) isUpdate()    {}
func (ClearPayload) isUpdate()     {}
func (UpdateVectors) isUpdate()    {}
func (DeleteVectors) isUpdate()    {}
func (CreateField) isUpdate()      {}
func (DropField) isUpdate()        {}
func (CreateVector) isUpdate()     {}
func (DropVector) isUpdate()       {}

// Selector names the points of an update: by ids, or by filter when IDs is nil. As effects only IDs remain, sorted and
// unique.
type Selector struct {
	IDs    []PointID
	Filter *Filter
}

// UpdateMode says which points an upsert touches.
type UpdateMode uint8

const (
	ModeUpsert     UpdateMode = iota // insert or replace
	ModeInsertOnly                   // leave existing points alone
	ModeUpdateOnly                   // skip new points
)

// Upsert replaces whole points. Of doubled ids the last counts. Filter limits which existing points are replaced
// (ModeUpsert, ModeUpdateOnly).
type Upsert struct {
	Points []Point
	Mode   UpdateMode
	Filter *Filter
}

// DeletePoints removes points; missing ids are no error.
type DeletePoints struct{ Selector }

// SetPayload merges Payload into the top level, or into the object at Key; a null value removes its key.
type SetPayload struct {
	Selector
	Payload Payload
	Key     Path // zero: top level
}

// OverwritePayload replaces the whole payload.
type OverwritePayload struct {
	Selector
	Payload Payload
}

// DeletePayload removes json paths.
type DeletePayload struct {
	Selector
	Keys []Path
}

// ClearPayload empties the payload.
type ClearPayload struct{ Selector }

// UpdateVectors replaces the given vectors of existing points, keeping their others. Points carry no payload. Filter
// limits it to matching points.
type UpdateVectors struct {
	Points []Point
	Filter *Filter
}

// DeleteVectors removes vectors by name from points.
type DeleteVectors struct {
	Selector
	Names []string
}

// CreateField makes, or replaces, the payload index on a path.
type CreateField struct {
	Key  Path
	Spec FieldSpec
}

// DropField removes a payload index; a missing one is no error.
type DropField struct{ Key Path }

// CreateVector adds a vector name; existing points lack it.
type CreateVector struct {
	Name string
	Spec VectorSpec
}

// DropVector removes a vector name everywhere; a missing one is no error.
type DropVector struct{ Name string }

// Wait says how much of an update must have happened before its answer.
type Wait uint8

const (
	Committed Wait = iota // durable on every counted replica: "acknowledged"
	Applied               // and visible to reads: "completed"
)

// UpdateStatus is what an answered update reached.
type UpdateStatus uint8

const (
	Acknowledged UpdateStatus = iota
	Completed
	WaitTimeout // applied later; not an error
)

func (s UpdateStatus) String() string {
	return [...]string{"acknowledged", "completed", "wait_timeout"}[s]
}

// Receipt answers an update. Seq is its place in the shard's log, over several shards the largest.
type Receipt struct {
	Seq    uint64
	Status UpdateStatus
}
