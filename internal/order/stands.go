package order

// Stands is where a replica of a shard stands: Base ≤ Applied ≤ Commit ≤ Last, and Durable ≤ Last.
type Stands struct {
	UUID    string // of the shard
	Base    Pos    // the log holds what follows it
	Applied Pos
	Last    Pos
	Durable Seq
	Commit  Seq
	History History
	// UsedTerm is the last term that this replica used as primary, 0 if none.
	UsedTerm Term
	// ActiveThrough is what was applied when the replica stopped being active, while it is not.
	ActiveThrough *Seq
}

// Outcome is what applying an entry brought, where there is something to tell.
type Outcome struct {
	Seq    Seq
	Err    error  // a user's error; every replica has the same
	Digest []byte // of a mark: the digest of the state at it
}
