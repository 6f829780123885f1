package replica

import (
	"encoding/binary"
	"encoding/hex"
	"strings"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/wal"
)

// Message is what replicas of a shard tell each other on the lane between their peers. One member is set.
type Message struct {
	Shard  string // its uuid
	Append *Append
	Ack    *Ack
}

// Append is a primary's message to a follower: entries behind a place, and what is committed.
type Append struct {
	Term    order.Term
	Session uint64
	Number  uint64 // of the message within the session
	Life    uint64 // of the follower's process, as the connection told
	Prev    order.Pos
	Records []wal.Record // of seqs Prev.Seq+1, …
	Commit  order.Seq
	Round   uint64    // of the newest question whether this is the primary still
	Floor   order.Seq // the first entry that somebody who is away lacks; 0: nobody is
	Office  bool      // the entry that began the term is committed
}

// Ack is a follower's answer to the message Number of a session.
type Ack struct {
	Term    order.Term
	Session uint64
	Number  uint64
	// Match is durable and verified against this primary, Verified perhaps not durable yet.
	Match, Verified order.Seq
	Applied         order.Seq
	Last            order.Pos
	Round           uint64
	Mark            order.Seq // the newest mark applied; 0: none in this life
	Digest          [16]byte
	// Seen is a higher term that refuses the message.
	Seen order.Term
	// Mismatch says that the log here lacks the place before the entries; History tells what it has.
	Mismatch bool
	History  order.History
	// Refused says that the store cannot take the entries.
	Refused bool
	Why     string
}

// A message on the lane: kind, 16 bytes of the shard's uuid, then uvarints in the order of the fields; records as term, kind,
// request, length and body. After kind beat, a uvarint: the milliseconds since the sender heard
// the receiver.
const (
	kindAppend byte = 1 + iota
	kindAck
	kindBeat
)

const (
	flagOffice byte = 1 << iota
	flagMismatch
	flagRefused
)

// historySent bounds the reigns that an Ack tells of: the newest are where logs part.
const historySent = 64

func appendMessage(dst []byte, m Message) []byte {
	kind := kindAppend
	if m.Ack != nil {
		kind = kindAck
	}
	dst = append(dst, kind)
	dst = appendUUID(dst, m.Shard)
	n := func(values ...uint64) {
		for _, v := range values {
			dst = binary.AppendUvarint(dst, v)
		}
	}
	if a := m.Append; a != nil {
		var flags byte
		if a.Office {
			flags |= flagOffice
		}
		dst = append(dst, flags)
		n(uint64(a.Term), a.Session, a.Number, a.Life, uint64(a.Prev.Seq), uint64(a.Prev.Term), uint64(a.Commit), a.Round, uint64(a.Floor), uint64(len(a.Records)))
		for i := range a.Records {
			r := &a.Records[i]
			n(uint64(r.Term), uint64(r.Kind), r.ID.Peer, r.ID.Life, r.ID.Number, uint64(len(r.Body)))
			dst = append(dst, r.Body...)
		}
		return dst
	}
	a := m.Ack
	var flags byte
	if a.Mismatch {
		flags |= flagMismatch
	}
	if a.Refused {
		flags |= flagRefused
	}
	dst = append(dst, flags)
	n(uint64(a.Term), a.Session, a.Number, uint64(a.Match), uint64(a.Verified), uint64(a.Applied), uint64(a.Last.Seq), uint64(a.Last.Term), a.Round,
		uint64(a.Mark), uint64(a.Seen))
	dst = append(dst, a.Digest[:]...)
	history := a.History[max(0, len(a.History)-historySent):]
	n(uint64(len(history)))
	for _, r := range history {
		n(uint64(r.Term), uint64(r.First))
	}
	n(uint64(len(a.Why)))
	return append(dst, a.Why...)
}

// messageSize is about what a message takes.
func messageSize(m Message) int {
	size := 128
	if m.Append != nil {
		for i := range m.Append.Records {
			size += 48 + len(m.Append.Records[i].Body)
		}
	}
	return size
}

// parser walks a message; the first failure sticks.
type parser struct {
	in  []byte
	bad bool
}

func (p *parser) n() uint64 {
	v, size := binary.Uvarint(p.in)
	if size <= 0 {
		p.in, p.bad = nil, true
		return 0
	}
	p.in = p.in[size:]
	return v
}

func (p *parser) bytes(n uint64) []byte {
	if n > uint64(len(p.in)) {
		p.in, p.bad = nil, true
		return nil
	}
	b := p.in[:n:n]
	p.in = p.in[n:]
	return b
}

func (p *parser) byte() byte {
	if b := p.bytes(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

// parseMessage reads a message; bodies of records alias it.
func parseMessage(b []byte) (Message, error) {
	p := &parser{in: b}
	kind := p.byte()
	m := Message{Shard: uuidText(p.bytes(16))}
	flags := p.byte()
	switch kind {
	case kindAppend:
		m.Append = p.append(flags)
	case kindAck:
		m.Ack = p.ack(flags)
	default:
		p.bad = true
	}
	if p.bad || len(p.in) > 0 {
		return Message{}, sextant.Errorf(sextant.Corrupt, "malformed message between replicas")
	}
	return m, nil
}

func (p *parser) append(flags byte) *Append {
	a := &Append{Office: flags&flagOffice != 0}
	a.Term, a.Session, a.Number, a.Life = order.Term(p.n()), p.n(), p.n(), p.n()
	a.Prev = order.Pos{Seq: order.Seq(p.n()), Term: order.Term(p.n())}
	a.Commit, a.Round, a.Floor = order.Seq(p.n()), p.n(), order.Seq(p.n())
	count := p.n()
	if count > uint64(len(p.in)) {
		p.bad = true
		return a
	}
	a.Records = make([]wal.Record, count)
	before := a.Prev.Term
	for i := range a.Records {
		r := &a.Records[i]
		r.Seq, r.Term, r.Kind = a.Prev.Seq+1+order.Seq(i), order.Term(p.n()), wal.Kind(p.n())
		r.ID = wal.RequestID{Peer: p.n(), Life: p.n(), Number: p.n()}
		r.Body = p.bytes(p.n())
		if r.Term < before || r.Term > a.Term || r.Kind == 0 || r.Kind >= 0x80 {
			p.bad = true
		}
		before = r.Term
	}
	return a
}

func (p *parser) ack(flags byte) *Ack {
	a := &Ack{Mismatch: flags&flagMismatch != 0, Refused: flags&flagRefused != 0}
	a.Term, a.Session, a.Number = order.Term(p.n()), p.n(), p.n()
	a.Match, a.Verified, a.Applied = order.Seq(p.n()), order.Seq(p.n()), order.Seq(p.n())
	a.Last = order.Pos{Seq: order.Seq(p.n()), Term: order.Term(p.n())}
	a.Round, a.Mark, a.Seen = p.n(), order.Seq(p.n()), order.Term(p.n())
	copy(a.Digest[:], p.bytes(uint64(len(a.Digest))))
	count := p.n()
	if count > historySent {
		p.bad = true
		return a
	}
	for range count {
		a.History = append(a.History, order.Reign{Term: order.Term(p.n()), First: order.Seq(p.n())})
	}
	if a.History.Check() != nil {
		p.bad = true
	}
	a.Why = string(p.bytes(p.n()))
	return a
}

// appendUUID appends the 16 bytes of a uuid; zeros for what is none.
func appendUUID(dst []byte, text string) []byte {
	var id [16]byte
	if b, err := hex.DecodeString(strings.ReplaceAll(text, "-", "")); err == nil && len(b) == 16 {
		copy(id[:], b)
	}
	return append(dst, id[:]...)
}

func uuidText(b []byte) string {
	if len(b) != 16 {
		return ""
	}
	var text [36]byte
	hex.Encode(text[:], b[:4])
	hex.Encode(text[9:], b[4:6])
	hex.Encode(text[14:], b[6:8])
	hex.Encode(text[19:], b[8:10])
	hex.Encode(text[24:], b[10:])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}
