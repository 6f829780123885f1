package replica

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sextantdb/sextant/internal/topology"
)

// line carries messages between two hubs, or loses them in one direction.
type line struct {
	to   *Hub
	from topology.PeerID
	lost atomic.Bool
}

func (l *line) Send(_ topology.PeerID, message []byte) {
	if !l.lost.Load() {
		l.to.Receive(l.from, message)
	}
}

// A peer that talks but does not hear is not alive for those whom it does not hear; and it hears nobody itself.
func TestAPeerThatIsDeafIsNotAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out, back := &line{from: 1}, &line{from: 2}
		one, two := NewHub(Options{Self: 1, Link: out}), NewHub(Options{Self: 2, Link: back})
		out.to, back.to = two, one
		defer one.Close()
		defer two.Close()
		state := &topology.State{Peers: map[topology.PeerID]topology.Peer{1: {}, 2: {}}}
		one.Show(state)
		two.Show(state)
		one.Connected(2, 1, true)
		two.Connected(1, 1, true)
		time.Sleep(10 * time.Second)
		alive := func(is bool) {
			t.Helper()
			if one.Alive(2) != is || two.Alive(1) != is {
				t.Fatalf("peer 2 is alive for 1: %t, after %v; peer 1 for 2: %t, after %v", one.Alive(2), one.Silence(2), two.Alive(1), two.Silence(1))
			}
		}
		alive(true)
		out.lost.Store(true)
		time.Sleep(3 * time.Second)
		alive(false)
		out.lost.Store(false)
		time.Sleep(5 * beatEvery / 2) // a beat is heard, and the next one tells so
		alive(true)
	})
}
