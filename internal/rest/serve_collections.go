package rest

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/sextantdb/sextant"
	"github.com/sextantdb/sextant/internal/node"
)

// value answers with a result that encoding/json prints: cold answers only.
func (c *call) value(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.result(func(o *output) { o.b = append(o.b, b...) })
}

func (c *call) truth(ok bool, err error) error {
	if err != nil {
		return err
	}
	return c.raw(strconv.FormatBool(ok))
}

func (c *call) listCollections() error {
	type description struct {
		Name string `json:"name"`
	}
	list := []description{}
	for _, name := range c.h.node.ListCollections(c.access) {
		list = append(list, description{name})
	}
	return c.value(struct {
		Collections []description `json:"collections"`
	}{list})
}

func (c *call) collectionExists() error {
	ok, err := c.h.node.CollectionExists(c.access, c.param(0))
	if err != nil {
		return err
	}
	return c.raw(`{"exists":` + strconv.FormatBool(ok) + `}`)
}

func (c *call) createCollection() error {
	timeout, err := c.metaTimeout()
	if err != nil {
		return err
	}
	body, err := decode(c, (*scanner).createCollection)
	if err != nil {
		return err
	}
	return c.truth(true, c.h.node.CreateCollection(c.r.Context(), c.access, c.param(0), body, timeout))
}

func (c *call) patchCollection() error {
	timeout, err := c.metaTimeout()
	if err != nil {
		return err
	}
	body, err := decode(c, (*scanner).patchCollection)
	if err != nil {
		return err
	}
	return c.truth(true, c.h.node.PatchCollection(c.r.Context(), c.access, c.param(0), body, timeout))
}

func (c *call) deleteCollection() error {
	timeout, err := c.metaTimeout()
	if err != nil {
		return err
	}
	return c.truth(c.h.node.DeleteCollection(c.r.Context(), c.access, c.param(0), timeout))
}

func (c *call) updateAliases() error {
	timeout, err := c.metaTimeout()
	if err != nil {
		return err
	}
	actions, err := decode(c, (*scanner).aliasActions)
	if err != nil {
		return err
	}
	return c.truth(true, c.h.node.UpdateAliases(c.r.Context(), c.access, actions, timeout))
}

func (c *call) aliases() error           { return c.listAliases("") }
func (c *call) collectionAliases() error { return c.listAliases(c.param(0)) }

func (c *call) listAliases(collection string) error {
	list, err := c.h.node.Aliases(c.access, collection)
	if err != nil {
		return err
	}
	return c.value(struct {
		Aliases []node.Alias `json:"aliases"`
	}{append([]node.Alias{}, list...)})
}

func (c *call) createIndex() error {
	o, err := c.writeOptions()
	if err != nil {
		return err
	}
	body, err := decode(c, (*scanner).createIndex)
	if err != nil {
		return err
	}
	receipt, err := c.h.node.CreateIndex(c.r.Context(), c.access, c.param(0), body.key, *body.spec, o)
	if err != nil {
		return err
	}
	return c.receipt(receipt)
}

func (c *call) dropIndex() error {
	o, err := c.writeOptions()
	if err != nil {
		return err
	}
	key, err := sextant.ParsePath(c.param(1))
	if err != nil {
		return sextant.Errorf(sextant.Malformed, "Deserialize error in path parameters: %s", err)
	}
	receipt, err := c.h.node.DropIndex(c.r.Context(), c.access, c.param(0), key, o)
	if err != nil {
		return err
	}
	return c.receipt(receipt)
}

func (c *call) createVector() error {
	o, err := c.writeOptions()
	if err != nil {
		return err
	}
	body, err := decode(c, (*scanner).vectorSchema)
	if err != nil {
		return err
	}
	receipt, err := c.h.node.CreateVector(c.r.Context(), c.access, c.param(0), c.param(1), body, o)
	if err != nil {
		return err
	}
	return c.receipt(receipt)
}

func (c *call) dropVector() error {
	o, err := c.writeOptions()
	if err != nil {
		return err
	}
	receipt, err := c.h.node.DropVector(c.r.Context(), c.access, c.param(0), c.param(1), o)
	if err != nil {
		return err
	}
	return c.receipt(receipt)
}

func (c *call) shardKeys() error {
	keys, ok, err := c.h.node.ShardKeys(c.access, c.param(0))
	if err != nil {
		return err
	}
	if !ok {
		return c.raw("{}")
	}
	return c.result(func(o *output) {
		o.b = append(o.b, `{"shard_keys":[`...)
		for i, k := range keys {
			if i > 0 {
				o.b = append(o.b, ',')
			}
			o.b = append(appendShardKey(append(o.b, `{"key":`...), k), '}')
		}
		o.b = append(o.b, "]}"...)
	})
}

func appendShardKey(b []byte, k node.ShardKey) []byte {
	if k.IsNumber {
		return strconv.AppendUint(b, k.Number, 10)
	}
	return appendString(b, k.Word)
}

func (c *call) memory() error {
	m, err := c.h.node.Memory(c.access, c.param(0))
	if err != nil {
		return err
	}
	return c.value(m)
}

// optimizations answers what builds do, did and will do.
func (c *call) optimizations() error {
	with := map[string]bool{}
	for word := range strings.SplitSeq(c.query().Get("with"), ",") {
		word = strings.TrimSpace(word)
		if word != "" && !slices.Contains([]string{"queued", "completed", "idle_segments"}, word) {
			return sextant.Errorf(sextant.WrongInput, "Unknown field in 'with' parameter: %s", word)
		}
		with[word] = true
	}
	limit := 16
	if v := c.query().Get("completed_limit"); v != "" {
		n, err := strconv.ParseUint(v, 10, 31)
		if err != nil {
			return badQuery("completed_limit: invalid digit found in string")
		}
		limit = int(n)
	}
	all, err := c.h.node.Optimizations(c.access, c.param(0), limit)
	if err != nil {
		return err
	}
	return c.value(showOptimizations(all, with))
}
