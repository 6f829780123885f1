package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/node"
	"github.com/sextantdb/sextant/internal/order"
	"github.com/sextantdb/sextant/internal/topology"
)

// collectionName is the one collection of a world.
const collectionName = "c"

// client does one operation after the other, each through any node.
type client struct {
	w    *World
	id   int
	rand *rand.Rand
}

// clients have some clients begin. They end when the history is told to stop.
func (w *World) clients(n int) {
	w.history.resume()
	for i := range n {
		c := &client{w: w, id: i, rand: rand.New(rand.NewPCG(w.seed, hash(w.rand.Uint64(), "client", uint64(i))))}
		w.history.mu.Lock()
		w.history.running++
		w.history.mu.Unlock()
		go c.run()
	}
}

// rest has the clients end, and waits for that.
func (w *World) rest() {
	w.history.stop()
	w.await(3*time.Minute, "the clients end", w.history.idle)
}

func (c *client) run() {
	h := &c.w.history
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.running--
	}()
	for {
		time.Sleep(time.Duration(1+c.rand.Int64N(int64(c.w.pause))) + time.Duration(c.id*7))
		if h.stopping() {
			return
		}
		c.act()
	}
}

// act does one operation.
func (c *client) act() {
	p := c.w.peers[c.rand.IntN(len(c.w.peers))]
	of, v := c.w.history.pick(c.rand.IntN(64))
	if of == nil {
		return
	}
	o := operation{Client: c.id, Key: of.keys[c.rand.IntN(len(of.keys))], V: v, Tag: of.tags[c.rand.IntN(2)], Wait: c.rand.IntN(3) > 0}
	timeout := 500*time.Millisecond + time.Duration(c.rand.Int64N(int64(6*time.Second)))
	vanishes := c.rand.IntN(40) == 0
	switch x := c.rand.IntN(100); {
	case x < 30:
		o.Kind = upsert
	case x < 42:
		o.Kind = set
	case x < 47:
		o.Kind = setBy
	case x < 54:
		o.Kind = remove
	case x < 59:
		o.Kind = removeBy
	default:
		o.Kind, o.How = read, [...]string{"linearizable", "linearizable", "", "all"}[c.rand.IntN(4)]
	}
	if o.Kind == setBy || o.Kind == removeBy {
		o.Key, o.Keys = 0, of.keys
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if vanishes {
		c.w.count("clients that went away")
		time.AfterFunc(timeout/8, cancel)
	}
	c.w.operate(ctx, p, o, of, timeout)
}

// operate does an operation through a machine and notes what became of it.
func (w *World) operate(ctx context.Context, p *Peer, o operation, of *group, timeout time.Duration) operation {
	n, life := p.node(), p.life.Load()
	if n == nil || of != nil && uuidOf(n) != of.uuid { // it knows another collection of the name
		return o
	}
	o.Node = p.i
	o.Call = w.history.tick()
	var receipt sextant.Receipt
	var err error
	if o.Kind == read {
		o.Found, err = look(ctx, n, o.Key, node.ReadOptions{Timeout: timeout, Linearizable: o.How == "linearizable", Consistency: strings.TrimPrefix(o.How, "linearizable")})
		if err == nil {
			o.Outcome = done
		}
	} else {
		receipt, err = n.Update(ctx, all, collectionName, update(o), node.WriteOptions{Wait: o.Wait, Timeout: &timeout})
		switch {
		case err == nil:
			o.Outcome = done
		case sextant.KindOf(err) == sextant.NotFound && strings.HasPrefix(err.Error(), "No point with id"):
			o.Outcome, o.Missing = done, true
		case strings.HasPrefix(err.Error(), "Timeout error: Update operation timed out, it was not done"): // by no shard
			o.Outcome = refused
		}
	}
	if p.life.Load() != life { // nobody hears what a dead process says
		o.Outcome, o.Missing, err = unknown, false, nil
	}
	o.Sure = err == nil && receipt.Status == sextant.Completed
	if err != nil {
		o.Text = err.Error()
	}
	w.count(fmt.Sprintf("%ss %s", o.Kind, [...]string{"with unknown outcome", "done", "refused"}[o.Outcome]))
	if o.Outcome == done && receipt.Status == sextant.Completed && len(o.Keys) == 0 && of != nil && uuidOf(n) == of.uuid {
		w.checker.answered(of.uuid, o.Key, order.Seq(receipt.Seq))
	}
	w.history.note(o, of)
	return o
}

// uuidOf returns which collection a node knows by the name; "" if none.
func uuidOf(n *node.Node) string {
	state, _ := n.Inside()
	if info := state.Collections[collectionName]; info != nil {
		return info.UUID
	}
	return ""
}

// update is an operation in the words of a client.
func update(o operation) sextant.Update {
	id := sextant.NumID(o.Key)
	one := sextant.Selector{IDs: []sextant.PointID{id}}
	by := sextant.Selector{Filter: &sextant.Filter{Must: []sextant.Condition{sextant.Field{Key: sextant.MustPath("tag"), Test: sextant.Match{Value: o.Tag}}}}}
	w := sextant.Payload(fmt.Sprintf(`{"w":%d}`, o.V))
	switch o.Kind {
	case set:
		return sextant.SetPayload{Selector: one, Payload: w}
	case setBy:
		return sextant.SetPayload{Selector: by, Payload: w}
	case remove:
		return sextant.DeletePoints{Selector: one}
	case removeBy:
		return sextant.DeletePoints{Selector: by}
	}
	return sextant.Upsert{Points: []sextant.Point{{ID: id, Payload: sextant.Payload(fmt.Sprintf(`{"v":%d,"tag":%q}`, o.V, o.Tag)),
		Vectors: []sextant.NamedVector{{Vector: sextant.Vector{Values: []float32{float32(o.V), 1}}}}}}}
}

// look reads one point.
func look(ctx context.Context, n *node.Node, key uint64, o node.ReadOptions) (content, error) {
	records, err := n.Retrieve(ctx, all, collectionName, []sextant.PointID{sextant.NumID(key)}, sextant.PayloadSelector{All: true}, sextant.VectorSelector{All: true}, o)
	if err != nil || len(records) == 0 {
		return content{}, err
	}
	return parse(&records[0]), nil
}

// parse reads a point. One whose vector is not that of its payload is like no point that was written.
func parse(r *sextant.Record) content {
	var p struct {
		V, W uint64
		Tag  string
	}
	if err := json.Unmarshal(r.Payload, &p); err != nil || len(r.Vectors) != 1 || r.Vectors[0].Values[0] != float32(p.V) {
		return content{There: true, V: 1 << 63}
	}
	return content{There: true, V: p.V, W: p.W, Tag: p.Tag}
}

// answered takes note that a client was told: this entry is applied by all.
func (c *checker) answered(collection string, key uint64, seq order.Seq) {
	info := c.state.Collections[collectionName]
	if info == nil || info.UUID != collection {
		return
	}
	shard := info.Shards[topology.NewRing(info.ShardIDs()).Owner(sextant.NumID(key))]
	if shard != nil {
		c.w.mu.Lock()
		defer c.w.mu.Unlock()
		t := c.truth(shard.UUID)
		t.visible = max(t.visible, seq)
	}
}
