// Package auth says who is asking and what they may do.
//
// Shapes: an Access is a value that is passed in the open to every service; the zero Access may do nothing.
// Errors: Unauthenticated and Forbidden with the sentences that users see.
// Concurrency: everything is immutable after it was made.
// Sources: the public API of the Qdrant 1.19 protocol family; RFC 7519.
package auth

import "github.com/sextantdb/sextant"

// Need is what an operation on a collection asks for.
type Need uint8

const (
	Read        Need = iota // points, information
	ReadExtra               // cluster information, list and download snapshots: not for those who may only use points
	WritePoints             // change points
	WriteExtra              // payload indexes, vector names, make and delete snapshots
	Manage                  // make, change, delete collections; recover
)

type level uint8

const (
	none level = iota
	read
	pointsReadWrite // collections only
	readWrite       // collections only
	manage          // global only
)

// Access is what one caller may do.
type Access struct {
	global      level
	collections map[string]level
	// Subject is who a token was made for; for records only.
	Subject string
	// ValueExists must hold in the stored data before the access counts; nil: nothing is asked.
	ValueExists *ValueExists
}

// ValueExists demands that some point of a collection matches all of the pairs.
type ValueExists struct {
	Collection string
	Matches    []ValueMatch
}

// ValueMatch demands that a payload key holds a value: a string, int64 or bool.
type ValueMatch struct {
	Key   sextant.Path
	Value any
}

// All may do everything.
func All() Access { return Access{global: manage} }

// ReadOnly may read everything.
func ReadOnly() Access { return Access{global: read} }

// IsGlobal reports whether the access is not limited to some collections.
func (a Access) IsGlobal() bool { return a.global != none }

// Sees reports whether the caller may know that the collection exists.
func (a Access) Sees(collection string) bool {
	return a.global != none || a.collections[collection] != none
}

// GlobalRead demands read access to everything.
func (a Access) GlobalRead() error {
	if a.global == none {
		return sextant.Errorf(sextant.Forbidden, "Global access is required")
	}
	return nil
}

// GlobalManage demands the right to do everything.
func (a Access) GlobalManage() error {
	if a.global != manage {
		return sextant.Errorf(sextant.Forbidden, "Global manage access is required")
	}
	return nil
}

// Collection demands a right on a collection, by the name that the request uses.
func (a Access) Collection(name string, need Need) error {
	if a.global == manage || a.global == read && need <= ReadExtra {
		return nil
	}
	if a.global == read {
		return sextant.Errorf(sextant.Forbidden, "Global manage access is required")
	}
	have := a.collections[name]
	switch {
	case need == Manage:
		return sextant.Errorf(sextant.Forbidden, "Manage access for this operation is required")
	case have == none:
		return sextant.Errorf(sextant.Forbidden, "Access to collection %s is required", name)
	case have == read && need >= WritePoints:
		return sextant.Errorf(sextant.Forbidden, "Write access to collection %s is required", name)
	case have == pointsReadWrite && (need == ReadExtra || need == WriteExtra):
		return sextant.Errorf(sextant.Forbidden, "Only points access is allowed for collection %s", name)
	}
	return nil
}
