// Package consensus makes peers agree on the commands that a Machine applies. It knows nothing of what they mean.
//
// Shapes: a command and an image are bytes. Solo is the agreement of one peer with itself.
// Errors: those of the Machine, and of the disk; a damaged image is Corrupt.
// Concurrency: Propose may be called from anywhere; commands are applied one at a time.
// Format: the image file is "SXTOPO1\n", the number of commands applied (8 bytes, little-endian), the length of the
// image (8 bytes), the image, CRC32C of all before (4 bytes).
package consensus

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"sync"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/vfs"
)

// Machine is the state that is agreed on: pure, deterministic, without I/O.
type Machine interface {
	Apply(logIndex uint64, command []byte) error // an error means that nothing changed
	Image() []byte
	Restore(image []byte) error
}

// Solo is the consensus of a single peer: a command is applied at once and the whole image written, atomically.
type Solo struct {
	fs      vfs.FS
	file    string
	machine Machine

	mu    sync.Mutex // guards index, and the order of commands
	index uint64
}

const magic = "SXTOPO1\n"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// OpenSolo gives machine the state of the image file; without a file it stays as it is.
func OpenSolo(fsys vfs.FS, file string, machine Machine) (*Solo, error) {
	s := &Solo{fs: fsys, file: file, machine: machine}
	data, err := vfs.ReadFile(fsys, file)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	index, image, ok := decode(data)
	if !ok {
		return nil, sextant.Errorf(sextant.Corrupt, "%s: the image of the topology is damaged", file)
	}
	s.index = index
	return s, machine.Restore(image)
}

// Propose applies a command and returns when it is durable. If that fails the machine is as before.
func (s *Solo) Propose(ctx context.Context, command []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.machine.Image()
	if err := s.machine.Apply(s.index+1, command); err != nil {
		return err
	}
	if err := vfs.WriteAtomic(s.fs, s.file, encode(s.index+1, s.machine.Image())); err != nil {
		return errors.Join(err, s.machine.Restore(before))
	}
	s.index++
	return nil
}

func encode(index uint64, image []byte) []byte {
	b := append(make([]byte, 0, len(magic)+20+len(image)), magic...)
	b = binary.LittleEndian.AppendUint64(b, index)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(image)))
	b = append(b, image...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decode(b []byte) (index uint64, image []byte, ok bool) {
	const head = len(magic) + 16
	if len(b) < head+4 || string(b[:len(magic)]) != magic {
		return 0, nil, false
	}
	body := b[:len(b)-4]
	n := binary.LittleEndian.Uint64(b[len(magic)+8:])
	if n != uint64(len(body)-head) || crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(b[len(b)-4:]) {
		return 0, nil, false
	}
	return binary.LittleEndian.Uint64(b[len(magic):]), body[head:], true
}
