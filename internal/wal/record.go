package wal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/sextantdb/sextant/internal/order"
)

// Record is an entry as the log keeps it. Body belongs to whoever made the record; the log copies it.
type Record struct {
	Seq  order.Seq
	Term order.Term
	Kind Kind
	ID   RequestID
	Body []byte

	// Commit and Durable are what was known when the record was appended; Append fills them in.
	Commit  order.Seq // at most Seq
	Durable order.Seq // less than Seq
}

// Kind says what an entry is. Values from 0x80 on belong to the log itself.
type Kind uint8

const (
	Effects Kind = 1 // an update with explicit targets, in the body
	Noop    Kind = 2 // begins a term
	Mark    Kind = 3 // asks all replicas for their digest

	// commitNote is no entry: it tells a commit that no entry behind it tells. Its seq is that of the record before it.
	commitNote Kind = 0x80
)

// RequestID names a client's request across retries: which peer took it, in which life of that peer, as which one.
// The zero value is no id.
type RequestID struct{ Peer, Life, Number uint64 }

// A record in a file, little-endian, at a multiple of 8 bytes:
//
//	 0  u32 length of the record, without the padding
//	 4  u32 CRC32C of bytes [0,4) and [8,length)
//	 8  u64 seq
//	16  u64 term
//	24  u64 commit
//	32  u64 durable through
//	40  u64 request: peer
//	48  u64 request: life
//	56  u64 request: number
//	64  u8  kind, then 7 zeros
//	72  body, then zeros up to a multiple of 8
const (
	recordHead  = 72
	recordAlign = 8
	maxBody     = 1<<32 - 1 - recordHead - recordAlign
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errShort = errors.New("the record is longer than the file")
	errBad   = errors.New("checksum or header of a record is wrong")
)

func padded(n int) int { return (n + recordAlign - 1) &^ (recordAlign - 1) }

// size is what the record takes in a file.
func (r *Record) size() int { return padded(recordHead + len(r.Body)) }

func (r *Record) appendTo(dst []byte) []byte {
	from := len(dst)
	n := recordHead + len(r.Body)
	le := binary.LittleEndian
	dst = le.AppendUint32(dst, uint32(n))
	dst = le.AppendUint32(dst, 0)
	for _, v := range [...]uint64{uint64(r.Seq), uint64(r.Term), uint64(r.Commit), uint64(r.Durable),
		r.ID.Peer, r.ID.Life, r.ID.Number, uint64(r.Kind)} {
		dst = le.AppendUint64(dst, v)
	}
	dst = append(dst, r.Body...)
	le.PutUint32(dst[from+4:], checksum(dst[from:]))
	var zeros [recordAlign]byte
	return append(dst, zeros[:padded(n)-n]...)
}

func checksum(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:4], castagnoli), castagnoli, b[8:])
}

// decode reads the record at the begin of b and how many bytes it takes there. Body aliases b. errShort means that a
// longer b could still hold a good record; then the length says how long.
func decode(b []byte) (r Record, length int, err error) {
	if len(b) < recordHead {
		return Record{}, recordHead, errShort
	}
	le := binary.LittleEndian
	n := int64(le.Uint32(b))
	if n < recordHead || le.Uint64(b[64:]) > 0xff || b[64] == 0 {
		return Record{}, 0, errBad
	}
	length = padded(int(n))
	if len(b) < length {
		return Record{}, length, errShort
	}
	if checksum(b[:n]) != le.Uint32(b[4:]) {
		return Record{}, 0, errBad
	}
	r = Record{
		Seq: order.Seq(le.Uint64(b[8:])), Term: order.Term(le.Uint64(b[16:])),
		Commit: order.Seq(le.Uint64(b[24:])), Durable: order.Seq(le.Uint64(b[32:])),
		ID:   RequestID{Peer: le.Uint64(b[40:]), Life: le.Uint64(b[48:]), Number: le.Uint64(b[56:])},
		Kind: Kind(b[64]), Body: b[recordHead:n:n],
	}
	return r, length, nil
}

// follows says whether r may stand behind the place p in a log.
func (r *Record) follows(p order.Pos) bool {
	if r.Kind == commitNote {
		return r.Seq == p.Seq && r.Commit <= r.Seq && r.Durable <= r.Seq && len(r.Body) == 0
	}
	return r.Kind < commitNote && r.Seq == p.Seq+1 && r.Term >= p.Term && r.Commit <= r.Seq && r.Durable < r.Seq
}
