package consensus

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io/fs"
	"slices"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/vfs"
)

// image is everything that a member knows up to an index: its log goes on behind it.
type image struct {
	ID       uint64        `json:"id"`
	Index    uint64        `json:"index"`
	Term     uint64        `json:"term"`
	History  order.History `json:"history"` // terms up to Index
	Voters   []uint64      `json:"voters"`
	Learners []uint64      `json:"learners,omitempty"`
	Log      uint64        `json:"log"` // which directory holds the log behind it
	Window   window        `json:"window"`
	Machine  []byte        `json:"machine"`
}

// vote is what raft must not forget besides its log.
type vote struct {
	Term uint64 `json:"term"`
	Vote uint64 `json:"vote"`
}

// writeJSON replaces a file by a value, with a checksum behind it.
func writeJSON(fsys vfs.FS, name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return vfs.WriteAtomic(fsys, name, binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)))
}

// readJSON reads what writeJSON wrote; found is false if there is no file.
func readJSON(fsys vfs.FS, name string, v any) (found bool, err error) {
	b, err := vfs.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	end := len(b) - 4
	if end < 0 || crc32.Checksum(b[:end], castagnoli) != binary.LittleEndian.Uint32(b[end:]) {
		return false, sextant.Errorf(sextant.Corrupt, "%s is damaged: its checksum is wrong", name)
	}
	if err := json.Unmarshal(b[:end], v); err != nil {
		return false, sextant.Errorf(sextant.Corrupt, "%s is damaged: %w", name, err)
	}
	return true, nil
}

// proposalID names a proposal, so that it is done once however often it is sent.
type proposalID struct{ Peer, Life, Number uint64 }

// windowSize is how many proposals of one peer are remembered; none of an older one is waited for.
const windowSize = 1024

// window remembers which proposals were done. It is part of the agreed state.
type window map[uint64]*done

// done are the proposals of the newest life of a peer: all up to Floor, and some above.
type done struct {
	Life    uint64   `json:"life"`
	Floor   uint64   `json:"floor"`
	Numbers []uint64 `json:"numbers,omitempty"` // ascending
}

// add notes a proposal as done, and reports whether it is new.
func (w window) add(id proposalID) bool {
	d := w[id.Peer]
	switch {
	case d == nil || d.Life < id.Life:
		d = &done{Life: id.Life}
		w[id.Peer] = d
	case d.Life > id.Life || id.Number <= d.Floor:
		return false
	}
	at, found := slices.BinarySearch(d.Numbers, id.Number)
	if found {
		return false
	}
	d.Numbers = slices.Insert(d.Numbers, at, id.Number)
	if len(d.Numbers) > windowSize {
		d.Floor = d.Numbers[0]
		d.Numbers = d.Numbers[1:]
	}
	for len(d.Numbers) > 0 && d.Numbers[0] == d.Floor+1 {
		d.Floor++
		d.Numbers = d.Numbers[1:]
	}
	return true
}

func (w window) has(id proposalID) bool {
	d := w[id.Peer]
	if d == nil || d.Life != id.Life {
		return d != nil && d.Life > id.Life
	}
	_, found := slices.BinarySearch(d.Numbers, id.Number)
	return found || id.Number <= d.Floor
}

// envelope is a command with the name of its proposal.
func envelope(id proposalID, command []byte) []byte {
	b := binary.AppendUvarint(nil, id.Peer)
	b = binary.AppendUvarint(b, id.Life)
	b = binary.AppendUvarint(b, id.Number)
	return append(b, command...)
}

func openEnvelope(b []byte) (id proposalID, command []byte, ok bool) {
	for _, p := range []*uint64{&id.Peer, &id.Life, &id.Number} {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return id, nil, false
		}
		*p, b = v, b[n:]
	}
	return id, b, true
}
