package node

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/engine"
	"github.com/sextantdb/sextant/internal/auth"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/replica"
	"github.com/sextantdb/sextant/internal/wal"
)

// Event is something that happened to a replica and that an operator may want to know of.
type Event struct {
	At    time.Time `json:"at"`
	Shard string    `json:"shard"` // uuid
	Text  string    `json:"text"`
}

// keptEvents is how many are remembered.
const keptEvents = 64

// event logs something and remembers it.
func (c *cluster) event(shard, format string, args ...any) {
	e := Event{At: time.Now().UTC(), Shard: shard, Text: fmt.Sprintf(format, args...)}
	c.n.log.Warn(e.Text, "shard", shard)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, e)
	if more := len(c.events) - keptEvents; more > 0 {
		c.events = slices.Delete(c.events, 0, more)
	}
}

// differs tells which ranges of ids differ between the primary here and another replica. It leaves the set, and is brought back
// by a copy, without this: what is found here is for people.
func (c *cluster) differs(ctx context.Context, d replica.Difference) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	b, err := peers{c}.call(ctx, d.Peer, callRanges, d.Shard, binary.AppendUvarint(nil, uint64(d.Mark)))
	if err != nil {
		c.event(d.Shard, "the replica of peer %d differs at entry %d; which ranges is not known: %v", d.Peer, d.Mark, err)
		return
	}
	list, err := engine.DifferingRanges(d.Ranges, b)
	if err != nil {
		c.event(d.Shard, "the replica of peer %d differs at entry %d; its digest cannot be read: %v", d.Peer, d.Mark, err)
		return
	}
	text := strings.Trim(fmt.Sprint(list[:min(len(list), 16)]), "[]")
	if len(list) > 16 {
		text += " …"
	}
	c.event(d.Shard, "the replica of peer %d differs at entry %d in %d of 1024 ranges of ids: %s", d.Peer, d.Mark, len(list), text)
}

// serveRanges answers the primary's question what the digest was at a mark.
func (c *cluster) serveRanges(uuid string, body []byte) ([]byte, error) {
	mark, n := binary.Uvarint(body)
	local := c.hub.Local(uuid)
	if n <= 0 || local == nil {
		return nil, sextant.Errorf(sextant.Precondition, "there is no open replica of shard %s here", uuid)
	}
	ranges, known := local.MarkRanges(order.Seq(mark))
	if !known {
		return nil, sextant.Errorf(sextant.Precondition, "the digest at entry %d is not known any more", mark)
	}
	return ranges, nil
}

// VerifyShard has all in-sync replicas of a shard compared at one entry, which it returns, and says whether they are equal. One that
// is not leaves the set and is brought back.
func (n *Node) VerifyShard(ctx context.Context, a auth.Access, name string, shard uint32, timeout time.Duration) (seq uint64, equal bool, err error) {
	s, err := n.forTransfer(a, name, shard)
	if err != nil {
		return 0, false, err
	}
	if timeout <= 0 {
		timeout = metaTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c := n.cluster
	var at order.Seq
	if s.Primary == n.peer {
		local := c.hub.Local(s.UUID)
		if local == nil {
			return 0, false, sextant.Errorf(sextant.Unavailable, "the replica of shard %d here is not open", shard)
		}
		at, err = local.Mark(ctx)
	} else {
		var b []byte
		if b, err = (peers{c}).call(ctx, s.Primary, callMark, s.UUID, nil); err == nil {
			v, _ := binary.Uvarint(b)
			at = order.Seq(v)
		}
	}
	switch {
	case err == nil:
		return uint64(at), true, nil
	case strings.HasSuffix(err.Error(), replica.ErrDiffer.Error()): // it may have come over the wire, as its text
		return uint64(at), false, nil
	case ctx.Err() != nil:
		return 0, false, sextant.Errorf(sextant.Timeout, "the replicas of shard %d were not compared within %v", shard, timeout)
	}
	return 0, false, err
}

// dropping is a store that forgets one of the updates it is given, for tests of the audit: the replica differs from then on.
type dropping struct {
	*engine.Shard
	left int
}

// stagingDrop is which update of each shard a process forgets, for tests; 0: none.
func stagingDrop() int {
	n, err := strconv.Atoi(os.Getenv("SEXTANT_STAGING_DROP_UPDATE"))
	if err != nil {
		return 0
	}
	return n
}

// Append implements replica.Store.
func (d *dropping) Append(ctx context.Context, after order.Pos, records []wal.Record) error {
	for i := range records {
		if records[i].Kind != wal.Effects || d.left == 0 {
			continue
		}
		if d.left--; d.left == 0 {
			records = slices.Clone(records)
			records[i].Kind, records[i].Body, records[i].ID = wal.Noop, nil, wal.RequestID{}
		}
	}
	return d.Shard.Append(ctx, after, records)
}

// store is a shard as its replica sees it.
func store(s *engine.Shard) replica.Store {
	if n := stagingDrop(); n > 0 {
		return &dropping{s, n}
	}
	return s
}
