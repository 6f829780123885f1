package process

import (
	"testing"
	"time"
)

// What a peer sends is lost in one direction only, the other goes on, and a healed link is used again.
func TestLostMessages(t *testing.T) {
	for name, network := range map[string]func(testing.TB, int) Network{"proxied": Proxied, "namespaces": Namespaces} {
		t.Run(name, func(t *testing.T) {
			c := (&Cluster{Net: network(t, 3)}).Form(t, 3)
			leader := c.Number(c.Leader(0))
			away := (leader + 1) % 3
			for _, i := range c.Others(away) {
				c.Net.Lose(i, away, true)
			}
			Until(t, "who hears nobody knows no leader", func() bool { return c.Leader(away) == 0 })
			for _, i := range c.Others(away) {
				c.Net.Lose(i, away, false)
			}
			start := time.Now()
			Until(t, "it is back", func() bool { return c.Leader(away) != 0 })
			t.Logf("back after %v", time.Since(start))
		})
	}
}
