package segment

import (
	"runtime"
	"runtime/debug"

	"github.com/sextantdb/sextant"
)

// damage is what a panic carries from the place where stored bytes turned out wrong to the border of the package.
type damage struct{ err error }

// damaged ends the running read: the bytes of a stored file at an offset are not what was written.
func damaged(file string, offset int64, why string) {
	panic(damage{sextant.Errorf(sextant.Corrupt, "%s is damaged at byte %d: %s", file, offset, why)})
}

// border turns damage and faults of mapped files below it into errors:
//
//	defer border(&err)()
//
// The setting is per goroutine, so each goroutine that reads segments has its own border.
func border(err *error) func() {
	before := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(before)
		switch r := recover().(type) {
		case nil:
		case damage:
			*err = r.err
		case interface {
			runtime.Error
			Addr() uintptr
		}:
			*err = sextant.Errorf(sextant.Corrupt, "a mapped file cannot be read: %v", r)
		default:
			panic(r)
		}
	}
}
