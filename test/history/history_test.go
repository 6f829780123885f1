package history

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestJudge(t *testing.T) {
	var b Book
	write := func(v Value, o Outcome) { b.Write(1, v); b.End(1, v, o) }
	write(1, Acknowledged)
	write(2, Unknown)
	write(3, Refused)
	write(4, Acknowledged)
	write(0, Unknown) // a delete
	for got, want := range map[Value]string{4: "", 0: "", 2: "late", 1: "lost", 3: "lost", 5: "invented"} {
		v := b.Judge(map[uint64]Value{1: got})
		is := ""
		switch {
		case len(v.Late) > 0:
			is = "late"
		case len(v.Lost) > 0:
			is = "lost"
		case len(v.Invented) > 0:
			is = "invented"
		}
		if is != want {
			t.Errorf("%d is judged %q, not %q", got, is, want)
		}
	}
	if v := b.Judge(map[uint64]Value{1: 4, 2: 1}); len(v.Invented) != 1 {
		t.Errorf("a point that nobody wrote: %+v", v)
	}
	if b.Certain(1) {
		t.Error("a point with an unanswered delete exists for sure")
	}
}

// What nobody answered may still come for a while, but not for ever: else every loss could be explained by it.
func TestAnUnknownWriteComesSoonOrNever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Book
		b.Write(1, 1)
		b.End(1, 1, Unknown)
		b.Write(1, 2)
		b.End(1, 2, Acknowledged)
		found := map[uint64]Value{1: 1}
		if v := b.Judge(found); len(v.Late) != 1 || len(v.Wrong()) != 0 {
			t.Error(v)
		}
		time.Sleep(carriage + time.Second)
		if v := b.Judge(found); len(v.Late) != 0 || len(v.Lost) != 1 {
			t.Error(v)
		}
	})
}
