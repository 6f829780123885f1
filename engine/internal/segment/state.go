package segment

import (
	"fmt"
	"slices"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/invariant"
)

// State is the rows of one shard as the writer changes them. It has one writer; everybody else uses the views that it
// publishes.
type State struct {
	schema Schema
	tuning *Tuning
	seq    uint64
	digest Digest
	epoch  uint64  // rises with each view; see tombstones
	parts  []*part // sealed segments, frozen heads, and last the head
	heads  uint64  // made so far in this life, for names
}

// part is a segment with the tombstones over it.
type part struct {
	id     SegmentID
	head   *head   // one of head and sealed is set
	sealed *Sealed //
	tombs  tombstones
	last   *piece // what the last view saw, to be shared while nothing changes
}

// Part is a segment with its tombstones, as of one view.
type Part struct {
	ID     SegmentID
	Sealed *Sealed // nil for a head
	Tombs  Tombstones
	rows   rows
}

// Tombstones are the dead rows of one segment at one seq. They never change.
type Tombstones struct{ set tombstones }

// Dead counts them.
func (t Tombstones) Dead() uint32 { return t.set.dead }

// NewState returns the state of a shard at seq. It takes over a reference to each sealed segment. A nil digest is that of
// an empty shard.
func NewState(schema Schema, tuning Tuning, parts []Part, digest *Digest, seq uint64) *State {
	s := &State{schema: schema, tuning: &tuning, seq: seq, epoch: 1}
	if digest != nil {
		s.digest = *digest
	}
	for _, p := range parts {
		s.parts = append(s.parts, &part{id: p.ID, sealed: p.Sealed, tombs: p.Tombs.set})
	}
	s.addHead()
	return s
}

func (s *State) addHead() {
	s.heads++
	s.parts = append(s.parts, &part{id: SegmentID(fmt.Sprintf("head-%d-%d", s.seq, s.heads)), head: newHead(&s.schema)})
}

// head returns the part that takes new rows.
func (s *State) head() *part { return s.parts[len(s.parts)-1] }

// Schema returns the schema as of the last entry applied.
func (s *State) Schema() Schema { return s.schema }

// Seq returns the seq of the last entry applied.
func (s *State) Seq() uint64 { return s.seq }

// Digest returns the digest as of the last entry applied.
func (s *State) Digest() Digest { return s.digest }

// SetTuning changes how later views are searched.
func (s *State) SetTuning(t Tuning) { s.tuning = &t }

// HeadSize returns what the head holds.
func (s *State) HeadSize() (rows uint32, bytes int64) {
	h := s.head().head
	return h.len(), h.size()
}

// Freeze ends the head: it stays readable in memory, and new rows go to a new one. An empty head is left as it is, and
// the name of no segment is returned.
func (s *State) Freeze() (frozen SegmentID) {
	p := s.head()
	if p.head.len() == 0 {
		return ""
	}
	s.addHead()
	return p.id
}

// find returns the live row of an id.
func (s *State) find(id sextant.PointID) (*part, uint32, bool) {
	for _, p := range slices.Backward(s.parts) {
		var row uint32
		var ok bool
		if p.head != nil {
			row, ok = p.head.table.newest(id)
		} else {
			row, ok = p.sealed.find(id)
		}
		if ok && !p.tombs.has(row) {
			return p, row, true
		}
	}
	return nil, 0, false
}

// kill puts a tombstone on a live row.
func (s *State) kill(p *part, row uint32) {
	fresh := p.tombs.set(row, s.epoch)
	invariant.Check(fresh, "only live rows die")
	s.digest.remove(p.pointID(row), p.version(row))
}

func (p *part) pointID(row uint32) sextant.PointID {
	if p.head != nil {
		return p.head.table.ids.at(row)
	}
	return p.sealed.id(row)
}

func (p *part) version(row uint32) uint64 {
	if p.head != nil {
		return p.head.versions.at(row)
	}
	return p.sealed.version(row)
}
