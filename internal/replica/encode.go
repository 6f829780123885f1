package replica

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/codec"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/wal"
)

// AppendRequest appends the binary form of a request.
func AppendRequest(dst []byte, r Request) []byte {
	var flags byte
	if r.Retry {
		flags = 1
	}
	dst = append(dst, flags, byte(r.Wait))
	for _, v := range []uint64{r.ID.Peer, r.ID.Life, r.ID.Number, uint64(r.Factor), r.Index} {
		dst = binary.AppendUvarint(dst, v)
	}
	return codec.AppendUpdate(dst, r.Update)
}

// ParseRequest decodes what AppendRequest wrote. Payloads alias b.
func ParseRequest(b []byte) (Request, error) {
	p := &parser{in: b}
	r := Request{Retry: p.byte() == 1, Wait: sextant.Wait(p.byte())}
	r.ID = wal.RequestID{Peer: p.n(), Life: p.n(), Number: p.n()}
	r.Factor, r.Index = int(p.n()), p.n()
	if p.bad {
		return Request{}, sextant.Errorf(sextant.Corrupt, "malformed request")
	}
	var err error
	r.Update, err = codec.Update(p.in)
	return r, err
}

// AppendReceipt appends the outcome of an update.
func AppendReceipt(dst []byte, r sextant.Receipt) []byte {
	return append(binary.AppendUvarint(dst, r.Seq), byte(r.Status))
}

// ParseReceipt decodes what AppendReceipt wrote.
func ParseReceipt(b []byte) (sextant.Receipt, error) {
	p := &parser{in: b}
	r := sextant.Receipt{Seq: p.n(), Status: sextant.UpdateStatus(p.byte())}
	if p.bad || len(p.in) > 0 || r.Status > sextant.WaitTimeout {
		return sextant.Receipt{}, sextant.Errorf(sextant.Corrupt, "malformed receipt")
	}
	return r, nil
}

// AppendFeed appends entries of a transfer.
func AppendFeed(dst []byte, f Feed) []byte {
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, f.ID), f.Attempt)
	a := Append{Term: f.Prev.Term, Prev: f.Prev, Records: f.Records}
	if n := len(f.Records); n > 0 {
		a.Term = f.Records[n-1].Term
	}
	return appendMessage(slices.Grow(dst, messageSize(Message{Append: &a})), Message{Append: &a})
}

// ParseFeed decodes what AppendFeed wrote. Bodies of records alias b.
func ParseFeed(b []byte) (Feed, error) {
	p := &parser{in: b}
	f := Feed{ID: p.n(), Attempt: p.n()}
	m, err := parseMessage(p.in)
	switch {
	case p.bad || err == nil && m.Append == nil:
		return Feed{}, sextant.Errorf(sextant.Corrupt, "malformed entries of a transfer")
	case err != nil:
		return Feed{}, err
	}
	f.Prev, f.Records = m.Append.Prev, m.Append.Records
	return f, nil
}

// How errors travel: what they are, then what each needs.
const (
	errorPlain byte = iota
	errorNotPrimary
	errorUnknown
	errorDeadline
	errorForgotten
)

// AppendError appends an error so that ParseError gives one that means the same.
func AppendError(dst []byte, err error) []byte {
	var no *NotPrimary
	var known *sextant.Error
	switch {
	case errors.As(err, &no):
		dst = append(dst, errorNotPrimary)
		dst = binary.AppendUvarint(dst, uint64(no.Term))
		dst = binary.AppendUvarint(dst, uint64(no.Primary))
		return append(dst, no.Why...)
	case errors.Is(err, errForgotten):
		return append(dst, errorForgotten)
	case errors.Is(err, ErrUnknown):
		return append(append(dst, errorUnknown), err.Error()...)
	case errors.Is(err, context.DeadlineExceeded) && !errors.As(err, &known):
		return append(dst, errorDeadline)
	case errors.Is(err, context.Canceled) && !errors.As(err, &known): // this peer is stopping; what was logged is said to be unknown
		return append(append(dst, errorNotPrimary, 0, 0), "the peer is stopping"...)
	}
	dst = append(dst, errorPlain, byte(sextant.KindOf(err)))
	var after time.Duration
	if errors.As(err, &known) {
		after = known.RetryAfter
	}
	return append(binary.AppendUvarint(dst, uint64(after)), err.Error()...)
}

type unknownError string

func (e unknownError) Error() string { return string(e) }
func (e unknownError) Unwrap() error { return ErrUnknown }

// ParseError decodes what AppendError wrote.
func ParseError(b []byte) error {
	p := &parser{in: b}
	switch p.byte() {
	case errorNotPrimary:
		return &NotPrimary{Term: order.Term(p.n()), Primary: topology.PeerID(p.n()), Why: string(p.in)}
	case errorUnknown:
		return unknownError(p.in)
	case errorDeadline:
		return context.DeadlineExceeded
	case errorForgotten:
		return errForgotten
	}
	e := &sextant.Error{Kind: sextant.Kind(min(int(p.byte()), len(sextant.Kinds())-1)), RetryAfter: time.Duration(p.n())}
	e.Text = string(p.in)
	return e
}
