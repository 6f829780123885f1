package replica

import (
	"reflect"
	"testing"

	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/wal"
)

var messages = []Message{
	{Shard: "01020304-0506-0708-090a-0b0c0d0e0f10", Append: &Append{Term: 7, Session: 3, Number: 9, Life: 1 << 60, Prev: order.Pos{Seq: 4, Term: 6},
		Records: []wal.Record{
			{Seq: 5, Term: 6, Kind: wal.Effects, ID: wal.RequestID{Peer: 1, Life: 2, Number: 3}, Body: []byte("effects")},
			{Seq: 6, Term: 7, Kind: wal.Noop, Body: []byte{}},
		}, Commit: 4, Round: 2, Floor: 1, Office: true}},
	{Shard: "01020304-0506-0708-090a-0b0c0d0e0f10", Append: &Append{Term: 1, Records: []wal.Record{}}},
	{Shard: "ffffffff-0506-0708-090a-0b0c0d0e0f10", Ack: &Ack{Term: 7, Session: 3, Number: 9, Match: 4, Verified: 6, Applied: 3,
		Last: order.Pos{Seq: 6, Term: 7}, Round: 1, Mark: 2, Digest: [16]byte{1, 15: 2}, Seen: 8, Mismatch: true,
		History: order.History{{Term: 1, First: 1}, {Term: 7, First: 6}}, Refused: true, Why: "no space"}},
}

func TestMessagesKeepEverything(t *testing.T) {
	for _, m := range messages {
		got, err := parseMessage(appendMessage(nil, m))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, m) {
			t.Errorf("got %+v, want %+v", got, m)
		}
	}
}

func FuzzMessages(f *testing.F) {
	for _, m := range messages {
		f.Add(appendMessage(nil, m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseMessage(b)
		if err != nil {
			return
		}
		again, err := parseMessage(appendMessage(nil, m))
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("%+v became %+v (%v)", m, again, err)
		}
	})
}
