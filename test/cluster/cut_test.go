package cluster

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sextantdb/sextant/test/process"
)

// cut loses what goes from one peer to the others, or comes from them, or both.
func cut(c *process.Cluster, who int, out, in, lost bool) {
	for _, i := range c.Others(who) {
		if out {
			c.Net.Lose(who, i, lost)
		}
		if in {
			c.Net.Lose(i, who, lost)
		}
	}
}

// networks runs a test on every kind of network.
func networks(t *testing.T, test func(t *testing.T, c *process.Cluster, quick bool)) {
	for name, network := range map[string]func(testing.TB, int) process.Network{"proxied": process.Proxied, "namespaces": process.Namespaces} {
		t.Run(name, func(t *testing.T) {
			test(t, (&process.Cluster{Net: network(t, 3)}).Form(t, 3), name == "namespaces" && !*goals)
		})
	}
}

// A peer that is cut off, wholly or in one direction, refuses writes that need the others and serves reads; the others go on.
// No write that either side acknowledged is lost, and after healing all agree.
func TestCutOff(t *testing.T) {
	networks(t, func(t *testing.T, c *process.Cluster, quick bool) {
		for round := range *rounds {
			for k, how := range []struct {
				what    string
				primary bool // of the shard, or another
				out, in bool
			}{
				{"primary_alone", true, true, true},
				{"follower_alone", false, true, true},
				{"primary_unheard", true, true, false},
				{"primary_deaf", true, false, true},
				{"follower_unheard", false, true, false},
				{"follower_deaf", false, false, true},
			} {
				if quick && k > 0 {
					break
				}
				t.Run(fmt.Sprintf("%d_%s", round, how.what), func(t *testing.T) {
					name := fmt.Sprintf("c%d-%d", round, k)
					c.Create(t, name, 1, 3)
					who := c.Primary(t, 0, name)
					if !how.primary {
						who = (who + 1) % 3
					}
					rest, everybody := c.Others(who), c.Others(-1)
					l := start(c, name, everybody, 2*time.Second)
					l.progress(t, 20, everybody...)
					cut(c, who, how.out, how.in, true)
					t.Cleanup(func() { cut(c, who, true, true, false) })
					l.progress(t, 100, rest...)
					r := l.refusedAt(t, who)
					t.Logf("through the one that is cut off: %d after %v: %s", r.status, r.took.Round(time.Millisecond), r.text)
					noQuorum := strings.Contains(r.text, "no quorum to remove peer")
					late := strings.Contains(r.text, "imeout") || strings.Contains(r.text, "within")
					if r.status != 500 && r.status != 408 && r.status != 0 || r.status != 0 && !noQuorum && !late {
						t.Errorf("a write through the peer that is cut off was refused with %d %s", r.status, r.text)
					}
					if how.out && how.in {
						if _, err := c.Scroll(who, name); err != nil {
							t.Error("the minority does not serve reads:", err)
						}
					}
					cut(c, who, how.out, how.in, false)
					l.progress(t, 20, everybody...)
					judge(t, l.finish(t, rest), hangsGoal)
					back(t, c, name)
					same(t, c, name, everybody)
					c.Must(t, rest[0], "DELETE", "/collections/"+name+"?timeout=60", nil, nil)
				})
				if t.Failed() {
					return
				}
			}
		}
	})
}
