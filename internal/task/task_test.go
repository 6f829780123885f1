package task

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var errStop = errors.New("stop")

// A second start of the same thing is the first one.
func TestOneTaskPerKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Board
		runs := 0
		f := func(ctx context.Context, p *Progress) error {
			runs++
			<-ctx.Done()
			return ctx.Err()
		}
		first := b.Start(t.Context(), "build", f)
		if second := b.Start(t.Context(), "build", f); second != first {
			t.Fatal("a second task of the same key was started")
		}
		synctest.Wait()
		if !b.Cancel("build", errStop) || b.Cancel("other", errStop) {
			t.Fatal("cancel by key")
		}
		if err := first.Wait(t.Context()); err != errStop {
			t.Fatalf("ended with %v", err)
		}
		if s := first.Status(); s.State != Cancelled || s.Finished.IsZero() {
			t.Fatalf("status %+v", s)
		}
		if runs != 1 || b.Get("build") != nil {
			t.Fatalf("%d runs", runs)
		}
		third := b.Start(t.Context(), "build", func(context.Context, *Progress) error { return nil })
		if err := third.Wait(t.Context()); err != nil || third == first {
			t.Fatal("the key is not free again")
		}
	})
}

func TestStatusShowsTheTree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Board
		step := make(chan struct{})
		task := b.Start(t.Context(), "build", func(_ context.Context, p *Progress) error {
			p.Total(100)
			p.Child("copy")
			p.Child("graph")
			c := p.Stage("copy")
			c.Add(5)
			p.Add(20)
			<-step
			g := p.Stage("graph")
			g.Child("level").Begin()
			p.Add(30)
			<-step
			return nil
		})
		synctest.Wait()
		begin := time.Now()
		time.Sleep(2 * time.Second)
		if s := task.Status(); s.Stage != "copy" || s.Done != 20 || s.Total != 100 || s.Rate != 10 || s.Steps.Children[0].Done != 5 {
			t.Errorf("status %+v", s)
		}
		step <- struct{}{}
		synctest.Wait()
		time.Sleep(3 * time.Second)
		s := task.Status()
		if s.Stage != "graph" || s.StageStarted.Sub(begin) != 2*time.Second || s.Rate != 10 {
			t.Errorf("status %+v", s)
		}
		if c := s.Steps.Children[0]; c.Finished.Sub(c.Started) != 2*time.Second {
			t.Errorf("copy took from %v to %v", c.Started, c.Finished)
		}
		step <- struct{}{}
		if err := task.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		level := task.Status().Steps.Children[1].Children[0]
		if level.Finished.IsZero() {
			t.Error("the end of a task does not end its steps")
		}
	})
}

func TestAPanicEndsOnlyItsTask(t *testing.T) {
	var b Board
	task := b.Start(t.Context(), "bad", func(context.Context, *Progress) error { panic("oh") })
	if err := task.Wait(t.Context()); err == nil || !strings.Contains(err.Error(), "oh") {
		t.Fatalf("ended with %v", err)
	}
	if s := b.Finished(""); len(s) != 1 || s[0].State != Failed {
		t.Fatalf("finished: %+v", s)
	}
}

func TestTheBoardListsAndForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Board
		for i := range 20 {
			_ = b.Start(t.Context(), fmt.Sprintf("a/%02d", i), func(context.Context, *Progress) error { return nil }).Wait(t.Context())
		}
		for _, key := range []string{"b/2", "b/1", "c"} {
			b.Start(t.Context(), key, func(ctx context.Context, _ *Progress) error {
				<-ctx.Done()
				return ctx.Err()
			})
		}
		if s := b.Finished("a/"); len(s) != keptFinished || s[0].Key != "a/19" || s[15].Key != "a/04" {
			t.Errorf("finished: %d, first %s", len(s), s[0].Key)
		}
		if s := b.Running("b/"); len(s) != 2 || s[0].Key != "b/1" || s[1].Key != "b/2" {
			t.Errorf("running: %+v", s)
		}
		b.Close()
		if s := b.Finished(""); s[0].State != Cancelled || s[0].Err != ErrClosed {
			t.Errorf("after close: %+v", s[0])
		}
		late := b.Start(t.Context(), "late", func(context.Context, *Progress) error { return nil })
		if err := late.Wait(t.Context()); err != ErrClosed {
			t.Errorf("a closed board started a task: %v", err)
		}
	})
}
