package replica

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/wal"
)

var someRequests = []Request{
	{ID: wal.RequestID{Peer: 1<<64 - 1, Life: 2, Number: 3}, Retry: true, Wait: sextant.Applied, Factor: 2, Index: 1 << 40,
		Update: sextant.Upsert{Points: []sextant.Point{{ID: sextant.NumID(1), Payload: sextant.Payload(`{"a":1}`)}}}},
	{Update: sextant.DeletePoints{Selector: sextant.Selector{IDs: []sextant.PointID{}}}},
}

func TestRequestsAndReceiptsTravel(t *testing.T) {
	for _, r := range someRequests {
		if got, err := ParseRequest(AppendRequest(nil, r)); err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("got %+v (%v), want %+v", got, err, r)
		}
	}
	for s := sextant.Acknowledged; s <= sextant.WaitTimeout; s++ {
		want := sextant.Receipt{Seq: 1 << 50, Status: s}
		if got, err := ParseReceipt(AppendReceipt(nil, want)); err != nil || got != want {
			t.Errorf("got %+v (%v), want %+v", got, err, want)
		}
	}
	if _, err := ParseReceipt([]byte{1, 7}); sextant.KindOf(err) != sextant.Corrupt {
		t.Errorf("an unknown status: %v", err)
	}
}

// An error means the same on the other side.
func TestErrorsTravel(t *testing.T) {
	back := func(err error) error { return ParseError(AppendError(nil, err)) }
	for _, k := range sextant.Kinds() {
		var e *sextant.Error
		if err := back(&sextant.Error{Kind: k, Text: "what", RetryAfter: 3 * time.Second}); !errors.As(err, &e) || e.Kind != k || e.Text != "what" || e.RetryAfter != 3*time.Second {
			t.Errorf("%s became %#v", k, err)
		}
	}
	no := NotPrimary{Term: 7, Primary: 9, Why: "so"}
	var got *NotPrimary
	if err := back(fmt.Errorf("outer: %w", &no)); !errors.As(err, &got) || *got != no {
		t.Errorf("%+v became %#v", no, err)
	}
	if err := back(fmt.Errorf("%w: gone", ErrUnknown)); !errors.Is(err, ErrUnknown) || errors.Is(err, errForgotten) || isUser(err) {
		t.Errorf("unknown became %#v", err)
	}
	if err := back(errForgotten); !errors.Is(err, errForgotten) || !errors.Is(err, ErrUnknown) {
		t.Errorf("forgotten became %#v", err)
	}
	if err := back(fmt.Errorf("x: %w", context.DeadlineExceeded)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a deadline became %#v", err)
	}
	if err := back(fmt.Errorf("x: %w", context.Canceled)); !errors.As(err, new(*NotPrimary)) { // another peer will be primary
		t.Errorf("the end of a peer became %#v", err)
	}
	if err := back(noQuorum(4)); !isUser(err) || err.Error() != "no quorum to remove peer 4" {
		t.Errorf("no quorum became %#v", err)
	}
}

func FuzzCalls(f *testing.F) {
	for _, r := range someRequests {
		f.Add(AppendRequest(nil, r))
	}
	f.Add(AppendError(nil, &NotPrimary{Term: 1, Primary: 2, Why: "x"}))
	f.Add(AppendError(nil, sextant.Errorf(sextant.Quota, "full")))
	f.Add(AppendReceipt(nil, sextant.Receipt{Seq: 5}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := ParseRequest(b); err == nil {
			if _, err := ParseRequest(AppendRequest(nil, r)); err != nil {
				t.Error(err)
			}
		}
		if r, err := ParseReceipt(b); err == nil {
			_ = r.Status.String()
		}
		if ParseError(b) == nil {
			t.Error("an error became none")
		}
	})
}
