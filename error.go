package sextant

import (
	"errors"
	"fmt"
	"time"
)

// Kind says what a caller should do about an error. One kind per error class of the API; an edge maps each to its status
// code and text prefix, nothing else does.
type Kind uint8

const (
	Internal        Kind = iota // anything else: a bug or the hardware
	WrongInput                  // semantically wrong request (400, "Wrong input: ")
	BadRequest                  // request that cannot be done as asked (400, "Bad request: ")
	Malformed                   // the body, query or path cannot be parsed (400)
	Invalid                     // a parsed request fails validation (422)
	NotFound                    // 404, "Not found: "
	Exists                      // 409, "Wrong input: "
	Checksum                    // an uploaded file is not what was announced (400)
	Unauthenticated             // 401
	Forbidden                   // 403, "Forbidden: "
	Locked                      // storage locked (403)
	Standalone                  // a distributed operation on a standalone node (405)
	Timeout                     // 408, "Timeout: "
	RateLimited                 // 429
	Quota                       // a resource quota is reached (507)
	Unavailable                 // 503
	Precondition                // internal: not primary, log begins later, … (500)
	Unchanged                   // a partial snapshot would be empty (304)
	Corrupt                     // stored bytes are damaged; shown as internal, names file and offset
	NotImplemented              // a documented operation that this version lacks (501)
)

var kindNames = [...]string{"Internal", "WrongInput", "BadRequest", "Malformed", "Invalid", "NotFound", "Exists",
	"Checksum", "Unauthenticated", "Forbidden", "Locked", "Standalone", "Timeout", "RateLimited", "Quota", "Unavailable",
	"Precondition", "Unchanged", "Corrupt", "NotImplemented"}

// Kinds returns all kinds, for tests that walk them.
func Kinds() []Kind {
	all := make([]Kind, len(kindNames))
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

func (k Kind) String() string { return kindNames[k] }

// Error is a failure with a kind. Text is what the user sees, without the prefix of the kind; it already tells the cause.
type Error struct {
	Kind Kind
	Text string
	// RetryAfter is set with RateLimited when the request can succeed later.
	RetryAfter time.Duration
	Err        error // the cause, for errors.Is and errors.As, if any
}

func (e *Error) Error() string { return e.Text }

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an *Error of the kind. What %w names is kept as the cause.
func Errorf(kind Kind, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Text: err.Error(), Err: errors.Unwrap(err)}
}

// KindOf returns the kind of the outermost *Error in err's chain, or Internal.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// ErrUnknown is in the chain of errors after which an update may or may not be kept.
var ErrUnknown = errors.New("the outcome of the update is unknown")
