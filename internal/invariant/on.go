//go:build invariants

package invariant

// Enabled says whether expensive checks are compiled in.
const Enabled = true
