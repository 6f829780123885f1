package invariant

import "testing"

func TestABrokenInvariantPanicsWithItsReason(t *testing.T) {
	defer func() {
		if got := recover(); got != Broken("two is not one") {
			t.Fatalf("recovered %v", got)
		}
	}()
	one := len("x")
	Check(one == 1, "fine")
	Check(one == 2, "two is not one")
}

func TestSometimesIsNeverWithoutTheTag(t *testing.T) {
	hits := 0
	for range 100 {
		if Sometimes(10) {
			hits++
		}
	}
	if Enabled && hits != 10 || !Enabled && hits != 0 {
		t.Fatalf("%d hits of 100, enabled=%v", hits, Enabled)
	}
}
