package rest

import (
	"strconv"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/node"
)

// update makes the handler of one kind of update from the reader of its body.
func update(read func(*scanner) change) func(*call) error {
	return func(c *call) error {
		o, err := c.writeOptions()
		if err != nil {
			return err
		}
		ch, err := decode(c, read)
		if err != nil {
			return err
		}
		o.ShardKey, o.Fallback = ch.shardKey.keys, ch.shardKey.fallback
		var receipt sextant.Receipt
		for _, u := range ch.updates { // the answer is that of the last
			if receipt, err = c.h.node.Update(c.r.Context(), c.access, c.param(0), u, o); err != nil {
				return err
			}
		}
		return c.receipt(receipt)
	}
}

func (c *call) receipt(r sextant.Receipt) error {
	return c.result(func(o *output) { o.b = appendReceipt(o.b, r) })
}

// updateBatch does a list of updates. Runs of updates with the same shard keys go down together, so that all are checked
// before the first is done.
func (c *call) updateBatch() error {
	o, err := c.writeOptions()
	if err != nil {
		return err
	}
	changes, err := decode(c, (*scanner).updateBatch)
	if err != nil {
		return err
	}
	receipts := make([]sextant.Receipt, 0, len(changes))
	for len(changes) > 0 {
		run := sameShards(changes)
		var updates []sextant.Update
		for _, ch := range changes[:run] {
			updates = append(updates, ch.updates...)
		}
		o.ShardKey, o.Fallback = changes[0].shardKey.keys, changes[0].shardKey.fallback
		got, err := c.h.node.UpdateBatch(c.r.Context(), c.access, c.param(0), updates, o)
		if err != nil {
			return err
		}
		for _, ch := range changes[:run] {
			receipts = append(receipts, got[len(ch.updates)-1])
			got = got[len(ch.updates):]
		}
		changes = changes[run:]
	}
	return c.result(func(o *output) {
		o.b = append(o.b, '[')
		for i, r := range receipts {
			if i > 0 {
				o.b = append(o.b, ',')
			}
			o.b = appendReceipt(o.b, r)
			o.spill()
		}
		o.b = append(o.b, ']')
	})
}

// sameShards returns how many changes from the first on are for the same shard keys.
func sameShards(changes []change) int {
	for i, ch := range changes {
		if !ch.shardKey.equal(changes[0].shardKey) {
			return i
		}
	}
	return len(changes)
}

// readShards completes the options of a read by the shards it is about.
func (c *call) readShards(keys choice) (o node.ReadOptions, err error) {
	if o, err = c.readOptions(); err != nil {
		return o, err
	}
	o.ShardKeys, o.Fallback = keys.keys, keys.fallback
	o.Shard, err = c.shard()
	return o, err
}

// shard returns the shard that the path names, or nil.
func (c *call) shard() (*uint32, error) {
	if len(c.route.segments) < 4 || c.route.segments[3] != "{shard_id}" {
		return nil, nil
	}
	id, err := strconv.ParseUint(c.param(1), 10, 32)
	if err != nil {
		return nil, sextant.Errorf(sextant.Malformed,
			"Deserialize error in path parameters: can not parse %q to a u32", c.param(1))
	}
	return new(uint32(id)), nil
}

// read decodes the body and the options of a read. Options come first: they are cheaper to refuse.
func read[T any](c *call, f func(*scanner) T, keys func(T) choice) (v T, o node.ReadOptions, err error) {
	if _, err = c.readShards(choice{}); err != nil {
		return v, o, err
	}
	if v, err = decode(c, f); err != nil {
		return v, o, err
	}
	o, err = c.readShards(keys(v))
	return v, o, err
}

func (r reading) keys() choice { return r.shardKey }

func (c *call) retrieve() error {
	r, o, err := read(c, (*scanner).retrieveRequest, reading.keys)
	if err != nil {
		return err
	}
	list, err := c.h.node.Retrieve(c.r.Context(), c.access, c.param(0), r.ids, r.scroll.WithPayload, r.scroll.WithVector, o)
	if err != nil {
		return err
	}
	return c.result(func(o *output) { o.records(list) })
}

// point answers one point, whole.
func (c *call) point() error {
	o, err := c.readOptions()
	if err != nil {
		return err
	}
	id, ok := sextant.ParsePointID(c.param(1))
	if !ok {
		return sextant.Errorf(sextant.WrongInput, "Can not recognize %q as point id", c.param(1))
	}
	list, err := c.h.node.Retrieve(c.r.Context(), c.access, c.param(0), []sextant.PointID{id},
		sextant.PayloadSelector{All: true}, sextant.VectorSelector{All: true}, o)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return sextant.Errorf(sextant.NotFound, "Point with id %s does not exists!", id)
	}
	return c.result(func(o *output) { o.b = appendRecord(o.b, &list[0]) })
}

func (c *call) scroll() error {
	r, o, err := read(c, (*scanner).scrollRequest, reading.keys)
	if err != nil {
		return err
	}
	list, next, err := c.h.node.Scroll(c.r.Context(), c.access, c.param(0), r.scroll, o)
	if err != nil {
		return err
	}
	return c.result(func(o *output) {
		o.b = append(o.b, `{"points":`...)
		o.records(list)
		o.b = append(o.b, `,"next_page_offset":`...)
		if next == nil {
			o.b = append(o.b, "null}"...)
			return
		}
		o.b = append(next.AppendJSON(o.b), '}')
	})
}

func (c *call) count() error {
	r, o, err := read(c, (*scanner).countRequest, reading.keys)
	if err != nil {
		return err
	}
	n, err := c.h.node.Count(c.r.Context(), c.access, c.param(0), r.scroll.Filter, r.exact, o)
	if err != nil {
		return err
	}
	return c.result(func(o *output) {
		o.b = append(strconv.AppendUint(append(o.b, `{"count":`...), n, 10), '}')
	})
}
