package node

import (
	"path"
	"testing"
	"time"

	"github.com/sextantdb/sextant/engine"
	"github.com/sextantdb/sextant/internal/topology"
	"github.com/sextantdb/sextant/internal/vfs"
)

// Damage of a quiet replica's files, which no read and no write meets, is found; the replica gives way and is copied anew.
func TestDamageOfAQuietReplicaIsFound(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, w *wire, m []*member) {
		replicated(t, m[0].n, "c", 1, 3)
		upsert(t, m[0].n, "c", 0, 10)
		ill := m[1].n
		own := func() *engine.Shard {
			for _, h := range *ill.hosted.Load() {
				for _, s := range h.slots() {
					if e, ok := s.current().(*engineShard); ok {
						return e.Shard
					}
				}
			}
			return nil
		}
		time.Sleep(3 * scrubEvery)
		if s := own(); s.Damage() != nil || s.Built() != (engine.Attempt{}) {
			t.Fatalf("%v, built by %v", s.Damage(), s.Built())
		}
		dirs := replicaDirs(t, m[1].disk)
		if len(dirs) != 1 {
			t.Fatal(dirs)
		}
		name := path.Join("/data/collections", dirs[0], "g1/MANIFEST")
		b, err := vfs.ReadFile(m[1].disk, name)
		must(t, err)
		b[len(b)/2] ^= 4
		must(t, vfs.WriteAtomic(m[1].disk, name, b))
		time.Sleep(2 * scrubEvery)
		eventually(t, "the replica was copied anew", func() bool {
			s := own()
			return s != nil && s.Damage() == nil && s.Built() != (engine.Attempt{}) && stateOf(t, m[0].n, ill) == topology.Active
		})
		for i := range m {
			if got := count(t, m[i].n, "c"); got != 10 {
				t.Errorf("peer %d counts %d points", i, got)
			}
		}
	})
}
